/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: a watchdog's life: start, serve, drain. The main thread's loop has the
 * signals, the timers and the metrics port, so that a scrape or a probe of the
 * process never waits for a picture to be decoded.
 *
 * Start fails fast: the port first, then the configuration, the model last.
 * The lock file comes when requests are accepted, and goes with the first
 * SIGTERM; requests are then served for healthcheck_interval more, so that
 * load balancers notice, and what is in flight gets write_timeout to end.
 */
#include "device/device.h"
#include "openfaas/watchdog.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_LOOK_US 20000
#define WARM_RETRY_US 1000000

struct life {
    struct hearth_watchdog *watchdog;
    hearth_loop_t *loop; /* the main thread's */
    int fd;              /* of the function's port */
    hearth_http_server_t *metrics;
    struct hearth_loop_timer warm, drain;
    int64_t began_us;
    _Atomic uint32_t draining; /* servers that are */
    bool ending;
    int code;
    struct hearth_error err;
};

/* ---- The servers of the function's port, one an I/O thread ---- */

static hearth_loop_t *loop_of(struct life *life, uint32_t i)
{
    return life->watchdog->engine ? hearth_flow_loop(life->watchdog->engine, i)
                                  : life->loop;
}

/* Runs <fn> on the thread of each loop that serves: the engine's, or ours. */
static void on_loops(struct life *life, void (*fn)(void *ctx, uint32_t i))
{
    for (uint32_t i = 0; i < life->watchdog->server_count; i++)
        if (life->watchdog->engine)
            hearth_flow_on_loop(life->watchdog->engine, i, fn, life);
        else
            fn(life, i);
}

static void start_server(void *ctx, uint32_t i)
{
    struct life *life = ctx;
    struct hearth_watchdog *watchdog = life->watchdog;
    const struct hearth_watchdog_config *config = &watchdog->config;
    struct hearth_http_handler handler = hearth__watchdog_handler;
    struct hearth_http_limits limits;

    hearth_http_limits_init(&limits);
    limits.header_us = config->read_us;
    limits.read_us = config->read_us;
    limits.idle_us = config->read_us; /* of-watchdog's keep-alive limit */
    limits.write_us = config->write_us;
    limits.body_bytes = UINT64_MAX; /* the function's limit counts */
    handler.ctx = watchdog;
    if (hearth_http_server_create(&watchdog->servers[i], loop_of(life, i),
                                  &limits, &handler) != APR_SUCCESS ||
        hearth_http_server_listen(watchdog->servers[i], life->fd) !=
            APR_SUCCESS)
        hearth_fail(&life->err, HEARTH_ENOMEM,
                    "cannot serve the port: raise the limits of memory and of "
                    "open files (ulimit -n)");
}

static void stop_server(void *ctx, uint32_t i)
{
    struct life *life = ctx;

    if (life->watchdog->servers[i])
        hearth_http_server_destroy(&life->watchdog->servers[i]);
}

static int serve(struct life *life)
{
    struct hearth_watchdog *watchdog = life->watchdog;

    watchdog->server_count =
        watchdog->engine ? hearth_flow_loop_count(watchdog->engine) : 1;
    watchdog->servers =
        hearth_calloc(watchdog->server_count, sizeof(*watchdog->servers));
    if (watchdog->servers == NULL)
        return hearth_fail(&life->err, HEARTH_ENOMEM,
                           "no memory to serve the port: free some");
    atomic_store(&watchdog->accepting, true);
    on_loops(life, start_server);
    hearth_watchdog_log("Listening on port: %u",
                        hearth_http_listen_port(life->fd));
    return life->err.status;
}

/* ---- Readiness ---- */

/* Looks until the model has answered. A failure that may pass is tried again;
 * one that never will ends the process, so that the orchestrator sees it. */
static void look_warm(struct hearth_loop_timer *timer)
{
    struct life *life = HEARTH_CONTAINER(timer, struct life, warm);
    struct hearth_error err = {0};
    int64_t again_us = WARM_LOOK_US;

    switch (hearth__watchdog_state(life->watchdog, &err)) {
    case HEARTH_SERVICE_READY:
        hearth_watchdog_log(
            "Model ready: %s (%.4fs)",
            life->watchdog->client
                ? hearth_client_info(life->watchdog->client)->name
                : hearth_service_name(life->watchdog->service),
            (double)(hearth_loop_now_us(life->loop) - life->began_us) / 1e6);
        return;
    case HEARTH_SERVICE_FAILED:
        if (life->watchdog->client) {
            again_us = WARM_RETRY_US; /* hearthd may change its mind */
            break;
        }
        if (hearth_status_class(err.status) != HEARTH_CLASS_AGAIN) {
            life->err = err;
            hearth_fail_prefix(&life->err, "The model does not run");
            life->code = HEARTH_WATCHDOG_FAILED;
            hearth_loop_stop(life->loop);
            return;
        }
        hearth_watchdog_log("Model not ready, trying again: %s", err.text);
        hearth_flow_warm(life->watchdog->service);
        again_us = WARM_RETRY_US;
        break;
    default:
        break;
    }
    hearth_loop_timer_start(life->loop, &life->warm, again_us, 0, look_warm);
}

/* ---- The end ---- */

static void drained(void *ctx)
{
    struct life *life = ctx;

    if (atomic_fetch_sub(&life->draining, 1) == 1)
        hearth_loop_stop(life->loop);
}

static void drain_server(void *ctx, uint32_t i)
{
    struct life *life = ctx;
    int64_t grace_us = life->watchdog->config.write_us;

    hearth_http_server_drain(life->watchdog->servers[i],
                             grace_us > 0 ? grace_us : INT64_MAX / 2, drained,
                             life);
}

static void begin_drain(struct hearth_loop_timer *timer)
{
    struct life *life = HEARTH_CONTAINER(timer, struct life, drain);
    struct hearth_watchdog *watchdog = life->watchdog;

    hearth_watchdog_log("No new connections allowed, draining: %lld requests",
                        (long long)atomic_load(&watchdog->in_flight));
    atomic_store(&life->draining, watchdog->server_count);
    on_loops(life, drain_server);
}

/* SIGTERM, or SIGINT, which a person sends and who does not want to wait for
 * load balancers. The second of them ends it at once. */
static void on_signal(void *ctx, int signum)
{
    struct life *life = ctx;
    struct hearth_watchdog *watchdog = life->watchdog;
    int64_t wait_us = signum == SIGINT ? 0 : watchdog->config.healthcheck_us;
    char text[48];

    if (life->ending) {
        if (signum == SIGINT)
            hearth_loop_stop(life->loop);
        return;
    }
    life->ending = true;
    if (wait_us < 0)
        wait_us = 0;
    hearth_watchdog_log("%s: no new connections in %s",
                        signum == SIGINT ? "SIGINT" : "SIGTERM",
                        hearth_watchdog_duration(wait_us, text, sizeof(text)));
    atomic_store(&watchdog->accepting, false);
    hearth__watchdog_unlock(watchdog);
    hearth_loop_timer_start(life->loop, &life->drain, wait_us, 0, begin_drain);
}

/* ---- Start ---- */

static void tell_client(void *ctx, const char *text)
{
    (void)ctx;
    hearth_watchdog_log("%s", text);
}

static int open_client(struct life *life)
{
    const struct hearth_watchdog_config *config = &life->watchdog->config;
    const struct hearth_client_config client = {
        .url = config->hearth_url,
        .hearth_yaml = config->hearth_yaml,
        .token_file = config->hearth_token_file,
        .wait_us = config->hearth_wait_us,
        .tell = tell_client,
    };

    return hearth_client_create(&life->watchdog->client, life->loop, &client,
                                &life->err);
}

static int open_engine(struct life *life)
{
    struct hearth_watchdog *watchdog = life->watchdog;
    const struct hearth_watchdog_config *config = &watchdog->config;
    struct hearth_engine_config engine;
    struct hearth_service_config service;
    int status;

    hearth_devices_environment();
    hearth_engine_config_init(&engine);
    engine.devices = config->devices;
    engine.memory_bytes = config->memory_bytes;
    engine.pack_dir = config->pack_dir;
    engine.pack_bytes = config->pack_bytes;
    engine.io_threads = (uint32_t)config->io_threads;
    engine.log_level = config->log_level;
    status = hearth_engine_create(&watchdog->engine, &engine, &life->err);
    if (status != HEARTH_OK)
        return status;
    hearth_service_config_init(&service);
    service.max_in_flight =
        config->max_in_flight > 0 ? (uint32_t)config->max_in_flight : 0;
    service.timeout_us = config->exec_us;
    return hearth_service_open(&watchdog->service, watchdog->engine,
                               config->hearth_yaml, &service, &life->err);
}

static int open_function(struct life *life)
{
    return *life->watchdog->config.hearth_url ? open_client(life)
                                              : open_engine(life);
}

static void log_start(const struct hearth_watchdog_config *config)
{
    char texts[4][48];

    hearth_watchdog_log("Watchdog mode: %s\tfunction: %s", config->mode,
                        config->hearth_yaml);
    hearth_watchdog_log(
        "Timeouts: read: %s write: %s hard: %s health: %s",
        hearth_watchdog_duration(config->read_us, texts[0], sizeof(*texts)),
        hearth_watchdog_duration(config->write_us, texts[1], sizeof(*texts)),
        hearth_watchdog_duration(config->exec_us, texts[2], sizeof(*texts)),
        hearth_watchdog_duration(config->healthcheck_us, texts[3],
                                 sizeof(*texts)));
}

static int listen_on(int *fd, int64_t port, struct hearth_error *err)
{
    char address[32];

    snprintf(address, sizeof(address), ":%lld", (long long)port);
    return hearth_http_listen(fd, address, err) == APR_SUCCESS ? HEARTH_OK
                                                               : err->status;
}

static int start_metrics(struct life *life)
{
    int64_t port = life->watchdog->config.metrics_port;
    int fd = -1;

    if (port < 0)
        return HEARTH_OK; /* switched off */
    if (listen_on(&fd, port, &life->err) != HEARTH_OK) {
        hearth_fail_prefix(&life->err, "metrics");
        return life->err.status;
    }
    if (hearth__watchdog_metrics(&life->metrics, life->watchdog, life->loop,
                                 fd) != HEARTH_OK)
        hearth_fail(&life->err, HEARTH_ENOMEM,
                    "no memory to serve the metrics: free some");
    else
        hearth_watchdog_log("Metrics listening on port: %u",
                            hearth_http_listen_port(fd));
    close(fd);
    return life->err.status;
}

static int start(struct life *life)
{
    struct hearth_watchdog *watchdog = life->watchdog;
    const struct hearth_watchdog_config *config = &watchdog->config;

    if (hearth__watchdog_metrics_create(watchdog) != APR_SUCCESS ||
        hearth_loop_create(&life->loop, NULL) != APR_SUCCESS ||
        hearth_loop_signal(life->loop, SIGTERM, on_signal, life) !=
            APR_SUCCESS ||
        hearth_loop_signal(life->loop, SIGINT, on_signal, life) != APR_SUCCESS)
        return hearth_fail(&life->err, HEARTH_ENOMEM,
                           "no memory to start: free some");
    log_start(config);
    if (listen_on(&life->fd, config->port, &life->err) != HEARTH_OK ||
        start_metrics(life) != HEARTH_OK || open_function(life) != HEARTH_OK ||
        serve(life) != HEARTH_OK)
        return life->err.status;
    return hearth__watchdog_lock(watchdog, &life->err);
}

static void stop(struct life *life)
{
    struct hearth_watchdog *watchdog = life->watchdog;

    if (watchdog->servers)
        on_loops(life, stop_server);
    hearth_free(watchdog->servers);
    hearth_client_destroy(&watchdog->client);
    hearth_service_close(&watchdog->service);
    hearth_engine_destroy(&watchdog->engine);
    if (life->metrics)
        hearth_http_server_destroy(&life->metrics);
    if (life->fd >= 0)
        close(life->fd);
    if (life->loop)
        hearth_loop_destroy(&life->loop);
    hearth_stat_destroy(&watchdog->stat);
}

int hearth__watchdog_run(struct hearth_watchdog *watchdog)
{
    struct life life = {
        .watchdog = watchdog,
        .fd = -1,
        .code = HEARTH_WATCHDOG_OK,
        .began_us = hearth_now_us(hearth_clock_real()),
    };

    signal(SIGPIPE, SIG_IGN);
    if (start(&life) == HEARTH_OK) {
        hearth_loop_timer_start(life.loop, &life.warm, 0, 0, look_warm);
        hearth_loop_run(life.loop);
    } else {
        life.code = HEARTH_WATCHDOG_FAILED;
    }
    if (life.err.status != HEARTH_OK)
        hearth_watchdog_log("Error: %s", life.err.text);
    if (life.ending) {
        if (atomic_load(&watchdog->cut_off))
            hearth_watchdog_log("Error in Shutdown: write_timeout is over");
        hearth_watchdog_log("Exiting. Active connections: %lld",
                            (long long)atomic_load(&watchdog->in_flight));
    } else if (watchdog->lock_path[0] != '\0') {
        hearth__watchdog_unlock(watchdog);
    }
    stop(&life);
    return life.code;
}
