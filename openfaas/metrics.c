/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c: /metrics on a port of its own: of-watchdog's three families by
 * their names, labels and buckets, the process's, and the engine's.
 */
#include "openfaas/watchdog.h"

#include "stat/stat.h"

#include <string.h>
#include <strings.h>

static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,    2.5,   5,    10};

enum { REQUESTS, DURATIONS, IN_FLIGHT, ROW_COUNT };

static const struct hearth_stat_row rows[ROW_COUNT] = {
    [REQUESTS] = {.name = "http_requests_total",
                  .type = HEARTH_STAT_COUNTER,
                  .help = "total HTTP requests processed",
                  .labels = {"code", "method"}},
    [DURATIONS] = {.name = "http_request_duration_seconds",
                   .type = HEARTH_STAT_HISTOGRAM,
                   .help = "Seconds spent serving HTTP requests.",
                   .labels = {"code", "method"},
                   .bounds = bounds,
                   .bound_count = sizeof(bounds) / sizeof(*bounds)},
    [IN_FLIGHT] = {.name = "http_requests_in_flight",
                   .type = HEARTH_STAT_GAUGE,
                   .help = "total HTTP requests in-flight"},
};

/* A client cannot make new series: methods that nobody knows share one. */
static const char *method_label(const char *method)
{
    static const char *const methods[] = {
        "get",     "put",     "head",   "post",  "delete",
        "connect", "options", "notify", "trace", "patch"};

    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
        if (strcasecmp(methods[i], method) == 0)
            return methods[i];
    return "unknown";
}

int hearth__watchdog_metrics_create(struct hearth_watchdog *watchdog)
{
    return hearth_stat_create(&watchdog->stat, rows, ROW_COUNT);
}

void hearth__watchdog_count(struct hearth_watchdog *watchdog,
                            const char *method, int code, int64_t us)
{
    const char *label = method_label(method);
    char text[16];

    snprintf(text, sizeof(text), "%d", code);
    hearth_stat_add(hearth_stat_series(watchdog->stat, REQUESTS, text, label),
                    1);
    hearth_stat_observe_us(
        hearth_stat_series(watchdog->stat, DURATIONS, text, label), us);
}

/* ---- The server ---- */

static void on_request(void *ctx, hearth_http_request_t *req)
{
    struct hearth_watchdog *watchdog = ctx;
    struct hearth_http_header type = HEARTH_HTTP_HEADER(
        "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    struct hearth_http_header plain =
        HEARTH_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8");
    struct hearth_stat_text text = {.data = NULL};
    char *engine = NULL;

    if (strcmp(hearth_http_path(req), "/metrics") != 0) {
        static const char missing[] = "404 page not found\n";

        hearth_http_reply(req, 404, &plain, 1, missing, sizeof(missing) - 1);
        return;
    }
    hearth_stat_set(hearth_stat_series(watchdog->stat, IN_FLIGHT, NULL, NULL),
                    atomic_load(&watchdog->in_flight));
    hearth_stat_write(watchdog->stat, &text);
    hearth_stat_write_process(&text);
    if (watchdog->engine &&
        hearth_engine_metrics(watchdog->engine, &engine) == HEARTH_OK)
        hearth_stat_put(&text, "%s", engine);
    hearth_text_free(engine);
    if (text.failed)
        hearth_http_reply(req, 503, NULL, 0, NULL, 0);
    else
        hearth_http_reply(req, 200, &type, 1, text.data, text.bytes);
    hearth_free(text.data);
}

static void on_end(void *ctx, hearth_http_request_t *req,
                   enum hearth_http_end end)
{
    (void)ctx;
    (void)req;
    (void)end;
}

int hearth__watchdog_metrics(hearth_http_server_t **server,
                             struct hearth_watchdog *watchdog,
                             hearth_loop_t *loop, int fd)
{
    const struct hearth_http_handler handler = {
        .ctx = watchdog, .on_request = on_request, .on_end = on_end};
    struct hearth_http_limits limits;
    apr_status_t rv;

    hearth_http_limits_init(&limits);
    limits.connections = 64;
    rv = hearth_http_server_create(server, loop, &limits, &handler);
    return rv == APR_SUCCESS ? hearth_http_server_listen(*server, fd) : rv;
}
