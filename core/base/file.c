/* SPDX-License-Identifier: Apache-2.0 */
/* file.c: a small file as a text. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

static int read_open(int fd, const char *path, uint64_t most, char **text,
                     size_t *bytes, struct hearth_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return hearth_fail(err, HEARTH_EIO, "%.120s is not a file; name a file",
                           path);
    if ((uint64_t)st.st_size > most)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "%.120s has %llu bytes, more than %llu; is it the "
                           "right file?",
                           path, (unsigned long long)st.st_size,
                           (unsigned long long)most);
    *text = hearth_malloc((size_t)st.st_size + 1);
    if (*text == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for %.120s", path);
    *bytes = 0;
    while (*bytes < (size_t)st.st_size) {
        ssize_t n = read(fd, *text + *bytes, (size_t)st.st_size - *bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *bytes += (size_t)n;
    }
    (*text)[*bytes] = '\0';
    return HEARTH_OK;
}

int hearth_read_file(const char *path, uint64_t most, char **text,
                     size_t *bytes, struct hearth_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *text = NULL;
    if (fd < 0)
        return hearth_fail(err, errno == ENOENT ? HEARTH_ENOENT : HEARTH_EIO,
                           "cannot read %.120s: %s; check its path and "
                           "permissions",
                           path, strerror(errno));
    int rc = read_open(fd, path, most, text, bytes, err);
    close(fd);
    return rc;
}
