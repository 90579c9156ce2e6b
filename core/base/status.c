/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c: statuses as APR and people see them, asserts, the library's start.
 */
#include <apr_general.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/base_priv.h"

/* A hearth status is also an apr_status_t of the application's range. */
_Static_assert(HEARTH_STATUS_BASE == APR_OS_START_USERERR + 3000,
               "HEARTH_STATUS_BASE is not in APR's range for applications");

static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static apr_status_t start_status;

const char *hearth_strerror(apr_status_t status, char *buf, size_t size)
{
    if (status == 0 || hearth_status_name(status)[0] != '?')
        snprintf(buf, size, "%s", hearth_status_text(status));
    else
        apr_strerror(status, buf, size);
    return buf;
}

int hearth_status_from_apr(apr_status_t status)
{
    if (status == 0 || hearth_status_name(status)[0] != '?')
        return status;
    if (APR_STATUS_IS_ENOENT(status) || APR_STATUS_IS_ENOTDIR(status))
        return HEARTH_ENOENT;
    if (APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_ETIMEDOUT(status))
        return HEARTH_ETIMEOUT;
    if (APR_STATUS_IS_ENOMEM(status))
        return HEARTH_ENOMEM;
    return HEARTH_EIO;
}

void hearth_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "hearth: %s:%d: assertion failed: %s\n", file, line, cond);
    abort();
}

static void start(void)
{
    start_status = apr_initialize();
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
        hearth__base_hash_seed = seed;
}

apr_status_t hearth_base_init(void)
{
    pthread_once(&start_once, start);
    return start_status;
}
