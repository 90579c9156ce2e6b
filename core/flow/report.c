/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c: the engine's log: key=value, one line a message, to the caller's
 * function or to stderr. Nothing of a request's body is ever in it, and what
 * may repeat with every request is written once a second at most, with a count
 * of those left out.
 */
#include "flow/flow_priv.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define REPEAT_US 1000000

/* Where lines go: the process's, for plugins have no engine. */
static struct {
    pthread_mutex_t mutex;
    void (*log)(void *ctx, int level, const char *line);
    void *ctx;
    const hearth_engine_t *owner;
    _Atomic int level;
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void write_stderr(int level, const char *line)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char text[LINE_BYTES + 80];
    struct timespec now;
    struct tm tm;
    size_t used;
    int n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    used = strftime(text, sizeof(text), "time=%Y-%m-%dT%H:%M:%S", &tm);
    n = snprintf(text + used, sizeof(text) - used, ".%03ldZ level=%s %s\n",
                 now.tv_nsec / 1000000, names[level], line);
    if (n > 0 && (size_t)n < sizeof(text) - used &&
        write(STDERR_FILENO, text, used + (size_t)n) < 0)
        return; /* nobody reads our log: nothing better to do */
}

static void emit(int level, const char *line)
{
    void (*log)(void *ctx, int level, const char *line);
    void *ctx;

    if (level > atomic_load(&sink.level))
        return;
    pthread_mutex_lock(&sink.mutex);
    log = sink.log;
    ctx = sink.ctx;
    pthread_mutex_unlock(&sink.mutex);
    if (log)
        log(ctx, level, line);
    else
        write_stderr(level, line);
}

void hearth__engine_log(enum hearth_log_level level, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;

    if ((int)level > atomic_load(&sink.level))
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = '?';
    emit(level, line);
}

static void plugin_log(void *ctx, enum hearth_log_level level, const char *text)
{
    (void)ctx;
    hearth__engine_log(level, "event=plugin text=\"%s\"", text);
}

static _Atomic uint32_t engines;

void hearth__engine_log_open(hearth_engine_t *engine,
                             const struct hearth_engine_config *config,
                             const struct hearth_device_host *host)
{
    const struct hearth_device_host ours = {.clock = engine->clock,
                                            .log = plugin_log};

    pthread_mutex_lock(&sink.mutex);
    sink.log = config->log;
    sink.ctx = config->log_ctx;
    sink.owner = engine;
    atomic_store(&sink.level, config->log_level < 0   ? 0
                              : config->log_level > 3 ? 3
                                                      : config->log_level);
    pthread_mutex_unlock(&sink.mutex);
    /* Only while no device is open. */
    if (atomic_fetch_add(&engines, 1) == 0)
        hearth_device_host_set(host ? host : &ours);
}

void hearth__engine_log_close(hearth_engine_t *engine)
{
    atomic_fetch_sub(&engines, 1);
    pthread_mutex_lock(&sink.mutex);
    if (sink.owner == engine) {
        sink.owner = NULL;
        sink.log = NULL;
    }
    pthread_mutex_unlock(&sink.mutex);
}

/* What the scheduler tells of: a device that was lost, a load that failed. */
void hearth__engine_tell(void *engine, const char *what, const char *device,
                         const char *model, const struct hearth_error *err)
{
    (void)engine;
    hearth__engine_log(HEARTH_LOG_ERROR,
                       "event=\"%s\" device=%s model=%s status=%s text=\"%s\"",
                       what, device ? device : "-", model ? model : "-",
                       err ? hearth_status_name(err->status) : "-",
                       err ? err->text : "");
}

/* A failure that is neither the client's nor a matter of load is worth a line
 * of the log; everything else is a debug line. */
void hearth__request_log(const hearth_request_t *req)
{
    static _Atomic int64_t last_us;
    static _Atomic uint32_t left_out;
    enum hearth_class class = hearth_status_class(req->status);
    bool serious = req->failed && class != HEARTH_CLASS_CLIENT &&
                   class != HEARTH_CLASS_AGAIN;
    int64_t now_us = hearth_now_us(hearth_clock_real());
    int64_t before_us = atomic_load(&last_us);
    char skipped[40] = "";

    if (serious) {
        if ((before_us != 0 && now_us - before_us < REPEAT_US) ||
            !atomic_compare_exchange_strong(&last_us, &before_us, now_us)) {
            atomic_fetch_add(&left_out, 1);
            return;
        }
        snprintf(skipped, sizeof(skipped), " left_out=%u",
                 atomic_exchange(&left_out, 0));
    } else if (atomic_load(&sink.level) < HEARTH_LOG_DEBUG) {
        return;
    }
    hearth__engine_log(
        serious ? HEARTH_LOG_ERROR : HEARTH_LOG_DEBUG,
        "event=request id=%s function=%s status=%s step=%s total_us=%lld "
        "decode_us=%lld queue_us=%lld load_us=%lld run_us=%lld%s text=\"%s\"",
        req->id, hearth_function_info(req->service->function)->name,
        hearth_status_name(req->failed ? req->status : HEARTH_OK),
        hearth_step_name(req->failed ? req->failed_in : HEARTH_STEP_SEND),
        (long long)req->answer.times.total_us,
        (long long)req->answer.times.decode_us,
        (long long)req->answer.times.queue_us,
        (long long)req->answer.times.load_us,
        (long long)req->answer.times.run_us, skipped,
        req->failed ? req->err.text : "");
}
