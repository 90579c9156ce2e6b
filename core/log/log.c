/* SPDX-License-Identifier: Apache-2.0 */
/* log.c: see log.h. */
#include "log/log.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex; /* of <fn> and <ctx>; not held while fn runs */
    void (*fn)(void *ctx, int level, const char *line);
    void *ctx;
    int level; /* atomic */
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER, .level = HEARTH_LOG_ERROR};

static const char *const names[] = {"error", "warn", "info", "debug"};
#define LEVEL_COUNT ((int)(sizeof(names) / sizeof(*names)))

const char *hearth_log_level_name(enum hearth_log_level level)
{
    return (int)level >= 0 && (int)level < LEVEL_COUNT ? names[level] : "?";
}

bool hearth_log_level_parse(const char *text, int *level)
{
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (strcmp(text, names[i]) == 0) {
            *level = i;
            return true;
        }
    return false;
}

void hearth_log_open(enum hearth_log_level level,
                     void (*fn)(void *ctx, int level, const char *line),
                     void *ctx)
{
    pthread_mutex_lock(&sink.mutex);
    sink.fn = fn;
    sink.ctx = ctx;
    __atomic_store_n(&sink.level, (int)level, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&sink.mutex);
}

void hearth_log_close(void)
{
    hearth_log_open(HEARTH_LOG_ERROR, NULL, NULL);
}

void hearth_log_level_set(enum hearth_log_level level)
{
    __atomic_store_n(&sink.level, (int)level, __ATOMIC_RELAXED);
}

bool hearth_log_wanted(enum hearth_log_level level)
{
    return (int)level <= __atomic_load_n(&sink.level, __ATOMIC_RELAXED);
}

static void write_stderr(int level, const char *line)
{
    char text[HEARTH_LOG_LINE_BYTES + 80];
    struct timespec now;
    struct tm tm;
    size_t used;
    int n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    used = strftime(text, sizeof(text), "time=%Y-%m-%dT%H:%M:%S", &tm);
    n = snprintf(text + used, sizeof(text) - used, ".%03ldZ level=%s %s\n",
                 now.tv_nsec / 1000000, hearth_log_level_name(level), line);
    if (n > 0 && (size_t)n < sizeof(text) - used &&
        write(STDERR_FILENO, text, used + (size_t)n) < 0)
        return; /* nobody reads our log: nothing better to do */
}

void hearth_log(enum hearth_log_level level, int tag, const char *fmt, ...)
{
    void (*fn)(void *ctx, int level, const char *line);
    char line[HEARTH_LOG_LINE_BYTES];
    void *ctx;
    va_list args;
    int n;

    if (!hearth_log_wanted(level))
        return;
    n = snprintf(line, sizeof(line), "tag=HEARTH%04d ", tag);
    va_start(args, fmt);
    vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, args);
    va_end(args);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    pthread_mutex_lock(&sink.mutex);
    fn = sink.fn;
    ctx = sink.ctx;
    pthread_mutex_unlock(&sink.mutex);
    if (fn)
        fn(ctx, level, line);
    else
        write_stderr(level, line);
}

bool hearth_log_allow(struct hearth_log_limit *limit,
                      const struct hearth_clock *clock, int64_t every_us,
                      uint32_t *left_out)
{
    int64_t now_us = hearth_now_us(clock);
    int64_t last_us = __atomic_load_n(&limit->last_us, __ATOMIC_RELAXED);

    if ((last_us != 0 && now_us - last_us < every_us) ||
        !__atomic_compare_exchange_n(&limit->last_us, &last_us, now_us, false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&limit->left_out, 1, __ATOMIC_RELAXED);
        return false;
    }
    *left_out = __atomic_exchange_n(&limit->left_out, 0, __ATOMIC_RELAXED);
    return true;
}
