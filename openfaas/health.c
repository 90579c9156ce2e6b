/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.c: /_/health, /_/ready and the lock file. Health says that the process
 * accepts requests; ready says that the model has answered once and that there
 * is a place for one more request.
 */
#include "openfaas/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int hearth__watchdog_lock(struct hearth_watchdog *watchdog,
                          struct hearth_error *err)
{
    const char *dir = getenv("TMPDIR");
    int fd;

    if (dir == NULL || *dir == '\0')
        dir = "/tmp";
    if (snprintf(watchdog->lock_path, sizeof(watchdog->lock_path), "%s/.lock",
                 dir) >= (int)sizeof(watchdog->lock_path))
        return hearth_fail(err, HEARTH_ECONFIG,
                           "TMPDIR is too long a path: shorten it");
    if (watchdog->config.suppress_lock)
        return HEARTH_OK;
    hearth_watchdog_log("Writing lock-file to: %s", watchdog->lock_path);
    (void)mkdir(dir, 0777); /* as the reference: only the last part */
    fd = open(watchdog->lock_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
              0660);
    if (fd < 0)
        return hearth_fail(err, HEARTH_EIO,
                           "cannot write the lock file %s: %s: make the "
                           "directory writable, or set TMPDIR or "
                           "suppress_lock=true",
                           watchdog->lock_path, strerror(errno));
    close(fd);
    return HEARTH_OK;
}

void hearth__watchdog_unlock(struct hearth_watchdog *watchdog)
{
    if (watchdog->config.suppress_lock)
        return;
    hearth_watchdog_log("Removing lock-file : %s", watchdog->lock_path);
    if (unlink(watchdog->lock_path) != 0 && errno != ENOENT)
        hearth_watchdog_log("Unable to mark server as unhealthy: %s: %s",
                            watchdog->lock_path, strerror(errno));
}

static bool is_healthy(struct hearth_watchdog *watchdog)
{
    struct stat st;

    return atomic_load(&watchdog->accepting) &&
           (watchdog->config.suppress_lock ||
            stat(watchdog->lock_path, &st) == 0);
}

enum hearth_service_state
hearth__watchdog_state(struct hearth_watchdog *watchdog,
                       struct hearth_error *err)
{
    return watchdog->client ? hearth_client_state(watchdog->client, err)
                            : hearth_service_state(watchdog->service, err);
}

static int ready_status(struct hearth_watchdog *watchdog)
{
    int64_t limit = watchdog->config.max_in_flight;

    if (!is_healthy(watchdog) ||
        hearth__watchdog_state(watchdog, NULL) != HEARTH_SERVICE_READY)
        return 503;
    if (limit > 0 && atomic_load(&watchdog->in_flight) >= limit)
        return 429;
    return 200;
}

bool hearth__watchdog_private(struct hearth_watchdog *watchdog,
                              hearth_http_request_t *req)
{
    const char *path = hearth_http_path(req);
    bool health = strcmp(path, "/_/health") == 0;
    struct hearth_http_header type =
        HEARTH_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8");

    if (!health && strcmp(path, "/_/ready") != 0)
        return false;
    if (strcmp(hearth_http_method(req), "GET") != 0)
        hearth_http_reply(req, 405, NULL, 0, NULL, 0);
    else if (!health)
        hearth_http_reply(req, ready_status(watchdog), NULL, 0, NULL, 0);
    else if (is_healthy(watchdog))
        hearth_http_reply(req, 200, &type, 1, "OK", 2);
    else
        hearth_http_reply(req, 503, NULL, 0, NULL, 0);
    return true;
}
