/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top.c: `hearth top`: hearthd at a glance, redrawn each second, with plain
 * ANSI sequences on the alternate screen. Whatever ends it gives the terminal
 * back as it was. A hearthd that goes away is waited for.
 */
#include "tool/remote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { OPT_SOCKET };

static const struct hearth_tool_option options[] = {
    HEARTH_REMOTE_OPTIONS,
    {NULL, NULL, NULL},
};

static struct termios before;
static volatile sig_atomic_t ending, resized;

static void on_signal(int signum)
{
    if (signum == SIGWINCH)
        resized = 1;
    else
        ending = 1;
}

static void take_terminal(void)
{
    struct termios raw;
    struct sigaction action = {.sa_handler = on_signal};

    tcgetattr(STDIN_FILENO, &before);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);
    fputs("\033[?1049h\033[?25l", stdout);
}

static void give_terminal(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* ---- A screen: lines, cut to the window ---- */

struct screen {
    int rows, columns, row;
};

static void line(struct screen *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void line(struct screen *s, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (s->row >= s->rows)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    printf("\033[%d;1H%.*s\033[K", ++s->row, s->columns, text);
}

static const char *bar(int64_t used, int64_t limit, char *buf, int width)
{
    int full =
        limit > 0 ? (int)((double)used / (double)limit * width + 0.5) : 0;

    if (full > width)
        full = width;
    memset(buf, '|', (size_t)full);
    memset(buf + full, ' ', (size_t)(width - full));
    buf[width] = '\0';
    return buf;
}

static int by_queue_and_runs(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int64_t p = hearth__json_int(x, "queued"),
            q = hearth__json_int(y, "queued");

    if (p == q) {
        p = hearth__json_int(x, "all_runs");
        q = hearth__json_int(y, "all_runs");
    }
    return (p < q) - (p > q);
}

static void draw_devices(struct screen *s, const json_t *devices)
{
    char meter[64], used[32], limit[32];
    int width = s->columns > 100 ? 40 : s->columns > 70 ? 20 : 8;
    size_t i;
    json_t *d;

    json_array_foreach(devices, i, d)
    {
        int64_t have = hearth__json_int(d, "used_bytes");
        int64_t most = hearth__json_int(d, "limit_bytes");

        line(s, "%-8s [%s] %10s of %-10s %lld loads %lld evictions%s",
             hearth__json_text(d, "device"), bar(have, most, meter, width),
             hearth_format_bytes((uint64_t)have, used, sizeof(used)),
             hearth_format_bytes((uint64_t)most, limit, sizeof(limit)),
             (long long)hearth__json_int(d, "loads"),
             (long long)hearth__json_int(d, "evictions"),
             json_is_true(json_object_get(d, "lost")) ? " LOST" : "");
    }
}

static void draw_models(struct screen *s, const json_t *models)
{
    json_t *sorted[256], *m, *place;
    size_t count = 0, i, k;

    json_array_foreach(models, i, m)
    {
        int64_t runs = 0;

        json_array_foreach(json_object_get(m, "places"), k, place) runs +=
            hearth__json_int(place, "runs");
        json_object_set_new(m, "all_runs", json_integer(runs));
        if (count < sizeof(sorted) / sizeof(*sorted))
            sorted[count++] = m;
    }
    qsort(sorted, count, sizeof(*sorted), by_queue_and_runs);
    line(s, "%-28s %6s %10s %10s %9s  %s", "MODEL", "QUEUE", "RUNS", "BYTES",
         "RUN ms", "WHERE");
    for (i = 0; i < count; i++) {
        char where[128] = "", bytes[32];
        size_t used = 0;
        uint64_t sum = 0;

        json_array_foreach(json_object_get(sorted[i], "places"), k, place)
        {
            sum += (uint64_t)hearth__json_int(place, "bytes");
            if (used < sizeof(where))
                used += (size_t)snprintf(
                    where + used, sizeof(where) - used, "%s%lld:%s",
                    used > 0 ? " " : "",
                    (long long)hearth__json_int(place, "device"),
                    hearth__json_text(place, "state"));
        }
        line(s, "%-28.28s %6lld %10lld %10s %9.2f  %s",
             hearth__json_text(sorted[i], "name"),
             (long long)hearth__json_int(sorted[i], "queued"),
             (long long)hearth__json_int(sorted[i], "all_runs"),
             hearth_format_bytes(sum, bytes, sizeof(bytes)),
             (double)hearth__json_int(sorted[i], "run_us") / 1e3, where);
    }
}

struct past {
    int64_t completed, hits, misses, at_us;
};

static void draw(struct screen *s, const json_t *root, struct past *past)
{
    const json_t *h = json_object_get(root, "hearthd");
    const json_t *jobs = json_object_get(root, "jobs");
    struct past now = {
        hearth__json_int(jobs, "completed"), hearth__json_int(jobs, "hits"),
        hearth__json_int(jobs, "misses"), hearth_now_us(hearth_clock_real())};
    double seconds =
        past->at_us > 0 ? (double)(now.at_us - past->at_us) / 1e6 : 0;
    int64_t hits = now.hits - past->hits, misses = now.misses - past->misses;

    if (past->at_us == 0 || hits + misses <= 0) {
        hits = now.hits;
        misses = now.misses;
    }
    line(s, "hearthd %s  up %.0f s  %s  (q quits)",
         hearth__json_text(h, "version"),
         json_number_value(json_object_get(h, "uptime_s")),
         json_is_true(json_object_get(h, "ready")) ? "ready" : "not ready");
    line(s,
         "requests/s %.1f  in flight %lld  waiting %lld  running %lld  loading "
         "%lld  hit ratio %.3f",
         seconds > 0 && now.completed >= past->completed
             ? (double)(now.completed - past->completed) / seconds
             : 0.0,
         (long long)hearth__json_int(h, "in_flight") - 1,
         (long long)hearth__json_int(jobs, "waiting"),
         (long long)hearth__json_int(jobs, "running"),
         (long long)hearth__json_int(jobs, "loading"),
         hits + misses > 0 ? (double)hits / (double)(hits + misses) : 0.0);
    line(s, "%s", "");
    draw_devices(s, json_object_get(root, "devices"));
    line(s, "%s", "");
    draw_models(s, json_object_get(root, "models"));
    *past = now;
}

static void redraw(struct hearth_remote *remote, struct past *past)
{
    struct winsize window = {0};
    struct screen s = {24, 80, 0};
    struct hearth_error err = {0};
    json_t *root;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0) {
        s.rows = window.ws_row;
        s.columns = window.ws_col;
    }
    if (hearth__remote_json(remote, "GET", "/v2/hearth/status", NULL, &root,
                            &err) == HEARTH_OK) {
        draw(&s, root, past);
        json_decref(root);
    } else {
        line(&s, "%s", err.text);
        line(&s, "trying again each second (q quits)");
        *past = (struct past){0};
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* A second, or less: a key, a signal, another size. */
static void wait_a_second(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;

    if (poll(&input, 1, 1000) <= 0)
        return;
    if (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q')
        ending = 1;
}

static int run(const char *const *values, int argc, char *const *argv)
{
    struct hearth_remote remote;
    struct hearth_error err = {0};
    struct past past = {0};

    (void)argc;
    (void)argv;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return hearth__tool_usage(&hearth__tool_top,
                                  "it needs a terminal; use hearth status");
    if (hearth__remote_open(&remote, values + OPT_SOCKET, &err) != HEARTH_OK)
        return hearth__tool_failed(&err);
    take_terminal();
    while (!ending) {
        if (resized)
            fputs("\033[2J", stdout);
        resized = 0;
        redraw(&remote, &past);
        wait_a_second();
    }
    give_terminal();
    hearth__remote_close(&remote);
    return HEARTH_TOOL_OK;
}

const struct hearth_tool_command hearth__tool_top = {
    .name = "top",
    .arguments = "",
    .summary = "Shows devices, queues and models, each second anew",
    .options = options,
    .run = run,
    .min_operands = 0,
    .max_operands = 0,
};
