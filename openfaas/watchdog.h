/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watchdog.h: what the files of hearth-watchdog share. The main thread runs the
 * signals, the drain and the metrics port; the engine's I/O threads run the
 * function's port, or, with hearth_url, the main thread does that too. Fields
 * without a note are set before the threads start.
 */
#ifndef HEARTH_OPENFAAS_WATCHDOG_H
#define HEARTH_OPENFAAS_WATCHDOG_H

#include "base/base.h"
#include "client/client.h"
#include "flow/flow.h"
#include "http/http.h"
#include "openfaas/text.h"
#include "stat/stat.h"

#include <limits.h>
#include <stdatomic.h>

enum hearth_watchdog_exit {
    HEARTH_WATCHDOG_OK = 0,
    HEARTH_WATCHDOG_FAILED = 1, /* configuration, model, port, lock file */
    HEARTH_WATCHDOG_USAGE = 2   /* flags, a mode that is not there */
};

/* From config.c's table. Zero or less is "none" for a duration, "off" for a
 * limit. */
struct hearth_watchdog_config {
    const char *mode;
    const char *hearth_yaml;
    const char *hearth_url; /* "": the engine is embedded */
    const char *hearth_token_file;
    int64_t hearth_wait_us;
    const char *devices;
    const char *pack_dir; /* "": none */
    uint64_t pack_bytes;
    uint64_t memory_bytes;
    int64_t port, metrics_port, max_in_flight, io_threads;
    int64_t read_us, write_us, exec_us, healthcheck_us;
    bool suppress_lock, log_call_id, jwt_auth;
    int log_level;
    const char *function_process; /* set: of-watchdog's default mode */
    const char *ignored;
};

struct hearth_watchdog {
    struct hearth_watchdog_config config;
    /* Embedded: an engine and the function on it. Shared: a client of the
     * node's hearthd, on the main thread's loop. The others are NULL. */
    hearth_engine_t *engine;
    hearth_service_t *service;
    hearth_client_t *client;
    hearth_stat_t *stat;
    char lock_path[PATH_MAX];
    _Atomic bool accepting; /* false from SIGTERM on: health and ready fail */
    _Atomic int64_t in_flight;
    _Atomic bool cut_off; /* a request was, by the end of the drain */
    uint32_t server_count;
    hearth_http_server_t **servers; /* [server_count], each its loop's */
};

/* ---- model.c: the function's port. On an I/O thread. ---- */
extern const struct hearth_http_handler hearth__watchdog_handler;

/* ---- health.c ---- */
/* Of the function, embedded or shared; <err> may be NULL. */
enum hearth_service_state
hearth__watchdog_state(struct hearth_watchdog *watchdog,
                       struct hearth_error *err);
/* Answers when the path is one of the private ones; false: it is not. */
bool hearth__watchdog_private(struct hearth_watchdog *watchdog,
                              hearth_http_request_t *req);
/* The lock file; HEARTH_EIO. */
int hearth__watchdog_lock(struct hearth_watchdog *watchdog,
                          struct hearth_error *err);
void hearth__watchdog_unlock(struct hearth_watchdog *watchdog);

/* ---- metrics.c ---- */
/* The statistics, before anything is counted. HEARTH_ENOMEM. */
int hearth__watchdog_metrics_create(struct hearth_watchdog *watchdog);
/* Any thread. */
void hearth__watchdog_count(struct hearth_watchdog *watchdog,
                            const char *method, int code, int64_t us);
/* Serves /metrics on <fd>, from <loop>. */
int hearth__watchdog_metrics(hearth_http_server_t **server,
                             struct hearth_watchdog *watchdog,
                             hearth_loop_t *loop, int fd);

/* ---- run.c ---- */
/* Serves until SIGTERM; the exit code. Fills the rest of <watchdog>. */
int hearth__watchdog_run(struct hearth_watchdog *watchdog);

#endif
