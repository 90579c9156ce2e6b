/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c: /metrics on a port of its own: of-watchdog's three families by
 * their names, labels and buckets, the process's, and the engine's.
 *
 * Requests are counted by method and status code in a small table that only
 * grows: methods outside the known ones share "unknown", codes are those that
 * we send, so that a client cannot make it grow without end.
 */
#include "openfaas/watchdog.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,    2.5,   5,    10};
#define BOUND_COUNT (sizeof(bounds) / sizeof(*bounds))
static const char *const methods[] = {"get",    "put",     "head",    "post",
                                      "delete", "connect", "options", "notify",
                                      "trace",  "patch",   "unknown"};
#define METHOD_COUNT (sizeof(methods) / sizeof(*methods))
#define CODES_MAX 64

struct series {
    int code; /* 0: free */
    uint64_t count[METHOD_COUNT];
    uint64_t buckets[METHOD_COUNT][BOUND_COUNT];
    int64_t sum_us[METHOD_COUNT];
};

static struct {
    pthread_mutex_t mutex; /* innermost, held for a few additions */
    struct series series[CODES_MAX];
} table = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void hearth__watchdog_count(const char *method, int code, int64_t us)
{
    size_t m = 0, s = 0;

    while (m + 1 < METHOD_COUNT && strcasecmp(methods[m], method) != 0)
        m++;
    pthread_mutex_lock(&table.mutex);
    while (s + 1 < CODES_MAX && table.series[s].code != 0 &&
           table.series[s].code != code)
        s++;
    table.series[s].code = code;
    table.series[s].count[m]++;
    table.series[s].sum_us[m] += us;
    for (size_t b = 0; b < BOUND_COUNT; b++)
        if ((double)us <= bounds[b] * 1e6)
            table.series[s].buckets[m][b]++;
    pthread_mutex_unlock(&table.mutex);
}

/* ---- The text ---- */

struct page {
    char *text;
    size_t used, room;
    bool failed;
};

static void put(struct page *page, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct page *page, const char *fmt, ...)
{
    for (int round = 0; round < 2 && !page->failed; round++) {
        va_list args;
        int n;

        va_start(args, fmt);
        n = vsnprintf(page->text ? page->text + page->used : NULL,
                      page->room - page->used, fmt, args);
        va_end(args);
        if (n >= 0 && (size_t)n < page->room - page->used) {
            page->used += (size_t)n;
            return;
        }
        if (n >= 0) {
            size_t room = (page->used + (size_t)n + 1) * 2;
            char *text = hearth_realloc(page->text, room);

            page->failed = text == NULL;
            if (text) {
                page->text = text;
                page->room = room;
            }
        }
    }
}

static void put_head(struct page *page, const char *name, const char *type,
                     const char *help)
{
    put(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_histogram(struct page *page, const struct series *s, size_t m)
{
    static const char name[] = "http_request_duration_seconds";

    for (size_t b = 0; b < BOUND_COUNT; b++)
        put(page, "%s_bucket{code=\"%d\",method=\"%s\",le=\"%g\"} %llu\n", name,
            s->code, methods[m], bounds[b],
            (unsigned long long)s->buckets[m][b]);
    put(page, "%s_bucket{code=\"%d\",method=\"%s\",le=\"+Inf\"} %llu\n", name,
        s->code, methods[m], (unsigned long long)s->count[m]);
    put(page, "%s_sum{code=\"%d\",method=\"%s\"} %.6f\n", name, s->code,
        methods[m], (double)s->sum_us[m] / 1e6);
    put(page, "%s_count{code=\"%d\",method=\"%s\"} %llu\n", name, s->code,
        methods[m], (unsigned long long)s->count[m]);
}

/* Both families are absent until the first request, as in of-watchdog. */
static void put_requests(struct page *page)
{
    static struct series copy[CODES_MAX]; /* the main thread's */

    pthread_mutex_lock(&table.mutex);
    memcpy(copy, table.series, sizeof(copy));
    pthread_mutex_unlock(&table.mutex);
    if (copy[0].code == 0)
        return;
    put_head(page, "http_requests_total", "counter",
             "total HTTP requests processed");
    for (size_t s = 0; s < CODES_MAX && copy[s].code != 0; s++)
        for (size_t m = 0; m < METHOD_COUNT; m++)
            if (copy[s].count[m] > 0)
                put(page,
                    "http_requests_total{code=\"%d\",method=\"%s\"} %llu\n",
                    copy[s].code, methods[m],
                    (unsigned long long)copy[s].count[m]);
    put_head(page, "http_request_duration_seconds", "histogram",
             "Seconds spent serving HTTP requests.");
    for (size_t s = 0; s < CODES_MAX && copy[s].code != 0; s++)
        for (size_t m = 0; m < METHOD_COUNT; m++)
            if (copy[s].count[m] > 0)
                put_histogram(page, &copy[s], m);
}

/* From /proc/self/stat: virtual and resident bytes, and the start, in clock
 * ticks since boot. */
static bool read_stat(unsigned long long *virt, long long *resident,
                      unsigned long long *start)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t n = file ? fread(line, 1, sizeof(line) - 1, file) : 0;
    const char *rest;

    if (file)
        fclose(file);
    line[n] = '\0';
    rest = strrchr(line, ')'); /* the name may hold anything */
    return rest && sscanf(rest + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u "
                          "%*u %*d %*d %*d %*d %*d %*d %llu %llu %lld",
                          start, virt, resident) == 3;
}

static double boot_time(void)
{
    char line[256];
    FILE *file = fopen("/proc/stat", "re");
    double seconds = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "btime %lf", &seconds) == 1)
            break;
    if (file)
        fclose(file);
    return seconds;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", "..", and <dir> itself */
}

static void put_process(struct page *page)
{
    unsigned long long virt, start;
    long long resident;
    struct rusage usage;
    struct rlimit files;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        put_head(page, "process_cpu_seconds_total", "counter",
                 "Total user and system CPU time spent in seconds.");
        put(page, "process_cpu_seconds_total %.6f\n",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
                    1e6);
    }
    put_head(page, "process_open_fds", "gauge",
             "Number of open file descriptors.");
    put(page, "process_open_fds %d\n", count_fds());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        put_head(page, "process_max_fds", "gauge",
                 "Maximum number of open file descriptors.");
        put(page, "process_max_fds %llu\n", (unsigned long long)files.rlim_cur);
    }
    if (!read_stat(&virt, &resident, &start))
        return;
    put_head(page, "process_virtual_memory_bytes", "gauge",
             "Virtual memory size in bytes.");
    put(page, "process_virtual_memory_bytes %llu\n", virt);
    put_head(page, "process_resident_memory_bytes", "gauge",
             "Resident memory size in bytes.");
    put(page, "process_resident_memory_bytes %lld\n",
        resident * sysconf(_SC_PAGESIZE));
    put_head(page, "process_start_time_seconds", "gauge",
             "Start time of the process since unix epoch in seconds.");
    put(page, "process_start_time_seconds %.2f\n",
        boot_time() + (double)start / (double)sysconf(_SC_CLK_TCK));
}

/* ---- The server ---- */

static void on_request(void *ctx, hearth_http_request_t *req)
{
    struct hearth_watchdog *watchdog = ctx;
    struct hearth_http_header type = HEARTH_HTTP_HEADER(
        "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    struct hearth_http_header plain =
        HEARTH_HTTP_HEADER("Content-Type", "text/plain; charset=utf-8");
    struct page page = {.text = NULL};
    char *engine = NULL;

    if (strcmp(hearth_http_path(req), "/metrics") != 0) {
        static const char missing[] = "404 page not found\n";

        hearth_http_reply(req, 404, &plain, 1, missing, sizeof(missing) - 1);
        return;
    }
    put_requests(&page);
    put_head(&page, "http_requests_in_flight", "gauge",
             "total HTTP requests in-flight");
    put(&page, "http_requests_in_flight %lld\n",
        (long long)atomic_load(&watchdog->in_flight));
    put_process(&page);
    if (hearth_engine_metrics(watchdog->engine, &engine) == HEARTH_OK)
        put(&page, "%s", engine);
    hearth_text_free(engine);
    if (page.failed)
        hearth_http_reply(req, 503, NULL, 0, NULL, 0);
    else
        hearth_http_reply(req, 200, &type, 1, page.text, page.used);
    hearth_free(page.text);
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
