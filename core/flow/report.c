/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: what the engine writes into the log. */
#include "flow/flow_priv.h"

#include "log/log.h"

#define REPEAT_US 1000000

/* The log and the plugins' host are the process's: the engine created last has
 * the log, the first one sets the host, for that is allowed only while no
 * device is open. */
static _Atomic uint32_t engines;
static _Atomic(hearth_engine_t *) log_owner;

static void plugin_log(void *ctx, enum hearth_log_level level, const char *text)
{
    (void)ctx;
    hearth_log(level, 1, "event=plugin text=\"%s\"", text);
}

void hearth__engine_log_open(hearth_engine_t *engine,
                             const struct hearth_engine_config *config,
                             const struct hearth_device_host *host)
{
    const struct hearth_device_host ours = {.clock = engine->clock,
                                            .log = plugin_log};
    int level = config->log_level < HEARTH_LOG_ERROR   ? HEARTH_LOG_ERROR
                : config->log_level > HEARTH_LOG_DEBUG ? HEARTH_LOG_DEBUG
                                                       : config->log_level;

    atomic_store(&log_owner, engine);
    hearth_log_open((enum hearth_log_level)level, config->log, config->log_ctx);
    if (atomic_fetch_add(&engines, 1) == 0)
        hearth_device_host_set(host ? host : &ours);
}

void hearth__engine_log_close(hearth_engine_t *engine)
{
    hearth_engine_t *owner = engine;

    atomic_fetch_sub(&engines, 1);
    if (atomic_compare_exchange_strong(&log_owner, &owner, NULL))
        hearth_log_close();
}

/* What the scheduler tells of: a device that was lost, a load that failed. */
void hearth__engine_tell(void *engine, const char *what, const char *device,
                         const char *model, const struct hearth_error *err)
{
    (void)engine;
    hearth_log(HEARTH_LOG_ERROR, 2,
               "event=\"%s\" device=%s model=%s status=%s text=\"%s\"", what,
               device ? device : "-", model ? model : "-",
               err ? hearth_status_name(err->status) : "-",
               err ? err->text : "");
}

/* A failure that is neither the client's nor a matter of load is an error, once
 * a second at most; every other end is a debug message. */
void hearth__request_log(const hearth_request_t *req)
{
    static struct hearth_log_limit limit;
    enum hearth_class class = hearth_status_class(req->status);
    const struct hearth_times *times = &req->answer.times;
    uint32_t left_out = 0;

    if (req->failed && class != HEARTH_CLASS_CLIENT &&
        class != HEARTH_CLASS_AGAIN) {
        if (hearth_log_allow(&limit, hearth_clock_real(), REPEAT_US, &left_out))
            hearth_log(
                HEARTH_LOG_ERROR, 3,
                "event=failed id=%s function=%s status=%s step=%s "
                "left_out=%u text=\"%s\"",
                req->id, hearth_function_info(req->service->function)->name,
                hearth_status_name(req->status),
                hearth_step_name(req->failed_in), left_out, req->err.text);
        return;
    }
    if (!hearth_log_wanted(HEARTH_LOG_DEBUG))
        return;
    hearth_log(HEARTH_LOG_DEBUG, 4,
               "event=answered id=%s function=%s status=%s total_us=%lld "
               "decode_us=%lld queue_us=%lld load_us=%lld run_us=%lld",
               req->id, hearth_function_info(req->service->function)->name,
               hearth_status_name(req->failed ? req->status : HEARTH_OK),
               (long long)times->total_us, (long long)times->decode_us,
               (long long)times->queue_us, (long long)times->load_us,
               (long long)times->run_us);
}
