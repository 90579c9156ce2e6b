/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server over socket pairs, on a clock moved by hand. The handler
 * answers by path; what it saw stands in a log that the tests compare.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "http/http.h"

static struct hearth_manual_clock hand;
static hearth_loop_t *loop;
static hearth_http_server_t *server;
static char seen[4096];
static hearth_http_request_t *held;
static bool drained;

static void saw(const char *fmt, ...)
{
    size_t n = strlen(seen);
    va_list args;
    va_start(args, fmt);
    vsnprintf(seen + n, sizeof seen - n, fmt, args);
    va_end(args);
}

static void answer(hearth_http_request_t *req, const char *text)
{
    assert_int_equal(hearth_http_reply(req, 200, NULL, 0, text, strlen(text)),
                     0);
}

static char *large;
static size_t large_left;
static int released;

static void release_large(void *ctx)
{
    (void)ctx;
    released++;
}

static void on_request(void *ctx, hearth_http_request_t *req)
{
    const char *path = hearth_http_path(req);
    (void)ctx;
    saw("%s %s;", hearth_http_method(req), hearth_http_target(req));
    if (strcmp(path, "/now") == 0)
        answer(req, "now");
    else if (strcmp(path, "/ref") == 0)
        assert_int_equal(hearth_http_reply_ref(req, 200, NULL, 0, large,
                                               large_left, release_large, NULL),
                         0);
    else if (strcmp(path, "/hold") == 0)
        held = req;
    else if (hearth_http_accept(req, strcmp(path, "/small") == 0 ? 10 : 0) ==
             HEARTH_ETOOBIG)
        hearth_http_reply(req, 413, NULL, 0, "too big", 7);
    if (strcmp(path, "/pause") == 0) {
        hearth_http_pause(req);
        held = req;
    }
}

static void on_body(void *ctx, hearth_http_request_t *req, const char *data,
                    size_t bytes)
{
    (void)ctx;
    (void)req;
    if (bytes <= 40)
        saw("[%.*s]", (int)bytes, data);
    else
        saw("[%zu]", bytes);
}

static void pump_large(hearth_http_request_t *req)
{
    while (large_left > 0) {
        size_t part = large_left < 100000 ? large_left : 100000;
        apr_status_t rc = hearth_http_write(req, large, part);
        if (rc == HEARTH_EAGAIN)
            return;
        assert_int_equal(rc, 0);
        large_left -= part;
    }
    assert_int_equal(hearth_http_reply_end(req), 0);
}

static void on_complete(void *ctx, hearth_http_request_t *req)
{
    const char *path = hearth_http_path(req);
    (void)ctx;
    saw("complete;");
    if (strcmp(path, "/stream") == 0) {
        assert_int_equal(hearth_http_reply_begin(req, 200, NULL, 0, -1), 0);
        hearth_http_write(req, "abc", 3);
        hearth_http_write(req, "defg", 4);
        hearth_http_reply_end(req);
    } else if (strcmp(path, "/large") == 0) {
        assert_int_equal(
            hearth_http_reply_begin(req, 200, NULL, 0, (int64_t)large_left), 0);
        pump_large(req);
    } else if (strcmp(path, "/short") == 0) {
        hearth_http_reply_begin(req, 200, NULL, 0, 10);
        hearth_http_write(req, "abc", 3);
        assert_int_equal(hearth_http_reply_end(req), HEARTH_EINVAL);
    } else if (strcmp(path, "/abort") == 0) {
        hearth_http_abort(req);
    } else if (strcmp(path, "/wait") == 0) {
        held = req;
    } else {
        answer(req, "ok");
    }
}

static void on_writable(void *ctx, hearth_http_request_t *req)
{
    (void)ctx;
    pump_large(req);
}

static void on_end(void *ctx, hearth_http_request_t *req,
                   enum hearth_http_end end)
{
    (void)ctx;
    if (held == req)
        held = NULL;
    saw("%s;", hearth_http_end_name(end));
}

static const struct hearth_http_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_complete = on_complete,
    .on_writable = on_writable,
    .on_end = on_end,
};

static void turns(int n)
{
    while (n-- > 0)
        assert_int_equal(hearth_loop_run_once(loop, 0), 0);
}

static void start(const struct hearth_http_limits *limits)
{
    seen[0] = '\0';
    held = NULL;
    drained = false;
    hearth_manual_clock_init(&hand, 1000000);
    assert_int_equal(hearth_loop_create(&loop, &hand.clock), 0);
    assert_int_equal(hearth_http_server_create(&server, loop, limits, &handler),
                     0);
}

static void stop(void)
{
    hearth_http_server_destroy(&server);
    hearth_loop_destroy(&loop);
}

static int dial(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    assert_int_equal(hearth_http_server_adopt(server, pair[1]), 0);
    return pair[0];
}

static void say_bytes(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            turns(1);
            continue;
        }
        if (n < 0)
            return; /* the server has closed: the answer tells */
        text += n;
        bytes -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
    turns(4);
}

/* All that came, "Date" cut out; "$" at the end when the server has closed. */
static char heard[1 << 16];

static const char *hear(int fd)
{
    size_t n = 0;
    for (int i = 0; i < 20; i++) {
        ssize_t got = read(fd, heard + n, sizeof heard - n - 2);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            heard[n++] = '$';
            break;
        }
        if (got < 0)
            turns(1);
        else
            n += (size_t)got;
    }
    heard[n] = '\0';
    for (char *date; (date = strstr(heard, "Date: ")) != NULL;) {
        char *end = strstr(date, "\r\n") + 2;
        memmove(date, end, strlen(end) + 1);
    }
    return heard;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define NOW "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnow"

static void
a_connection_is_kept_and_requests_may_come_in_one_piece(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(fd), NOW);
    say(fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
            "GET /now?q=1 HTTP/1.1\r\nHost: a\r\n\r\n"
            "POST /b HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2\r\nhi\r\n3;x=y\r\nyou\r\n0\r\nT: v\r\n\r\n");
    assert_string_equal(hear(fd), OK NOW OK);
    assert_string_equal(seen, "GET /now;done;POST /a;[xyz]complete;done;"
                              "GET /now?q=1;done;"
                              "POST /b;[hi][you]complete;done;");
    close(fd);
    stop();
}

static void bytes_may_come_one_at_a_time(void **state)
{
    (void)state;
    const char *text = "POST /a HTTP/1.1\r\nHost: "
                       "a\r\nX:\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "2\r\nhi\r\n0\r\n\r\nGET /now HTTP/1.0\r\n\r\n";
    start(NULL);
    int fd = dial();
    for (; *text != '\0'; text++) {
        say_bytes(fd, text, 1);
        turns(2);
    }
    assert_string_equal(
        hear(fd),
        OK "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
           "now$");
    assert_string_equal(seen, "POST /a;[h][i]complete;done;GET /now;done;");
    close(fd);
    stop();
}

static void
a_client_that_expects_continue_gets_it_after_the_accept(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            "Content-Length: 2\r\n\r\n");
    assert_string_equal(hear(fd), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hi");
    assert_string_equal(hear(fd), OK);
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            "Content-Length: 11\r\n\r\n");
    assert_non_null(strstr(hear(fd), "HTTP/1.1 413 "));
    assert_null(strstr(heard, "100 Continue"));
    close(fd);
    stop();
}

static void head_requests_get_no_body(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(fd),
                        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    close(fd);
    stop();
}

static void an_answer_may_be_streamed(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(fd), "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n"
                                  "0\r\n\r\n");
    close(fd);
    stop();
}

static void a_large_answer_waits_for_its_reader(void **state)
{
    (void)state;
    size_t got = 0;
    start(NULL);
    large_left = 5 << 20;
    large = calloc(1, 100000);
    int fd = dial();
    say(fd, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(large_left > 3 << 20); /* held back */
    for (int i = 0; i < 100000 && got < 5 << 20; i++) {
        ssize_t n = read(fd, heard, sizeof heard);
        if (n > 0)
            got += (size_t)n;
        else
            turns(1);
    }
    assert_true(got > 5 << 20);
    turns(2);
    assert_string_equal(seen, "GET /large;complete;done;");
    free(large);
    close(fd);
    stop();
}

static void a_referenced_body_is_released_once(void **state)
{
    (void)state;
    static char body[3000000];
    large = body;
    large_left = sizeof body;
    start(NULL);
    /* All of it is read; nothing is copied meanwhile. */
    released = 0;
    int fd = dial();
    uint64_t before = hearth_mem_used_bytes();
    say(fd, "GET /ref HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(released, 0);
    assert_true(hearth_mem_used_bytes() - before < 100000);
    size_t got = 0;
    for (int i = 0; i < 10000 && got < sizeof body; i++) {
        ssize_t n = read(fd, heard, sizeof heard);
        got += n > 0 ? (size_t)n : 0;
        turns(1);
    }
    turns(3);
    assert_int_equal(released, 1);
    say(fd, "HEAD /ref HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(released, 2);
    hear(fd);
    /* The client leaves in the middle. */
    say(fd, "GET /ref HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(released, 2);
    close(fd);
    turns(4);
    assert_int_equal(released, 3);
    assert_string_equal(seen, "GET /ref;done;HEAD /ref;done;GET /ref;left;");
    stop();
}

static void an_answer_shorter_than_announced_is_seen_as_broken(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(fd),
                        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc$");
    int other = dial();
    say(other, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(other), "$");
    assert_non_null(strstr(seen, "GET /short;complete;aborted;"));
    close(fd);
    close(other);
    stop();
}

/* ---- What is refused ---- */

static void malformed_and_ambiguous_requests_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET /now HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET /now HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET now HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET  /now HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /now HTTP/1.1\nHost: a\n\n", 400},
        {"GET /now HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n", 400},
        {"GET /now HTTP/2.0\r\nHost: a\r\n\r\n", 505},
#ifdef HAVE_LLHTTP /* knows no such version, and says no more */
        {"GET /now HTTP/1.2\r\nHost: a\r\n\r\n", 400},
#else
        {"GET /now HTTP/1.2\r\nHost: a\r\n\r\n", 505},
#endif
        {"NONSENSE\r\n\r\n", 400},
        {"\x16\x03\x01\x02\r\n\r\n", 400}, /* TLS to a plain port */
        {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
         "Content-Length: 1\r\n\r\nx",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: "
         "99999999999999999999\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n"
         "\r\n0\r\n\r\n",
         501},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "g\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\r\nab\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "fffffffffffffffff\r\n",
         400},
        /* Lines of a chunked body that not all readers end at one place. */
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\r\naXY0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\ra\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1;x\ry\r\na\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1;x\ny\r\na\r\n0\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\na\n0\n\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\nT: v\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\nT: v\001\r\n\r\n",
         400},
        {"GET /now HTTP/1.1\r\nHost: a\r\nExpect: soon\r\n\r\n", 417},
    };
    size_t count = sizeof cases / sizeof cases[0];
    for (size_t k = 0; k < 2 * count; k++) {
        size_t i = k % count;
        char want[32];
        start(NULL);
        int fd = dial();
        if (k < count)
            say(fd, cases[i].text);
        for (const char *at = cases[i].text; k >= count && *at != '\0'; at++) {
            say_bytes(fd, at, 1);
            turns(2);
        }
        snprintf(want, sizeof want, "HTTP/1.1 %d ", cases[i].status);
        hear(fd);
        if (strncmp(heard, want, strlen(want)) != 0)
            fail_msg("case %zu: want %s, heard '%.200s'", i, want, heard);
        if (strstr(heard, "Connection: close\r\n") == NULL)
            fail_msg("case %zu: the connection is not closed", i);
        if (strstr(strstr(heard, "Content-Length:") + 1, "Content-Length:"))
            fail_msg("case %zu: two answers: '%.300s'", i, heard);
        close(fd);
        stop();
    }
}

static void a_nul_byte_in_a_header_is_refused(void **state)
{
    (void)state;
    const char text[] = "GET /now HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    start(NULL);
    int fd = dial();
    say_bytes(fd, text, sizeof text - 1);
    turns(4);
    assert_non_null(strstr(hear(fd), "HTTP/1.1 400 "));
    assert_string_equal(seen, "");
    close(fd);
    stop();
}

static void limits_have_their_own_answers(void **state)
{
    (void)state;
    struct hearth_http_limits limits;
    hearth_http_limits_init(&limits);
    limits.header_bytes = 9000;
    limits.header_count = 8;
    limits.target_bytes = 100;
    limits.body_bytes = 1000;
    char *text = malloc(100000);
    const struct {
        const char *what;
        int status;
    } cases[] = {{"target", 414},  {"longtarget", 414}, {"header", 431},
                 {"headers", 431}, {"length", 413},     {"chunked", 413}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *what = cases[i].what;
        char want[32];
        start(&limits);
        int fd = dial();
        if (strcmp(what, "target") == 0) {
            sprintf(text, "GET /%0120d HTTP/1.1\r\nHost: a\r\n\r\n", 1);
        } else if (strcmp(what, "longtarget") == 0) {
            sprintf(text, "GET /%09500d", 1);
        } else if (strcmp(what, "header") == 0) {
            sprintf(text, "GET /now HTTP/1.1\r\nHost: a\r\nX: %09000d\r\n\r\n",
                    1);
        } else if (strcmp(what, "headers") == 0) {
            strcpy(text, "GET /now HTTP/1.1\r\nHost: a\r\n");
            for (int k = 0; k < 9; k++)
                strcat(text, "X: y\r\n");
            strcat(text, "\r\n");
        } else if (strcmp(what, "length") == 0) {
            strcpy(text, "POST /a HTTP/1.1\r\nHost: a\r\n"
                         "Content-Length: 1001\r\n\r\n");
        } else {
            sprintf(text,
                    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n3ea\r\n%01002d\r\n0\r\n\r\n",
                    1);
        }
        say(fd, text);
        snprintf(want, sizeof want, "HTTP/1.1 %d ", cases[i].status);
        hear(fd);
        if (strncmp(heard, want, strlen(want)) != 0)
            fail_msg("%s: want %s, heard '%.200s'", what, want, heard);
        close(fd);
        stop();
    }
    free(text);
}

static void a_limit_is_the_same_for_every_request_of_a_connection(void **state)
{
    (void)state;
    struct hearth_http_limits limits;
    hearth_http_limits_init(&limits);
    limits.header_bytes = 2000;
    start(&limits);
    int fd = dial();
    char text[12000];
    snprintf(text, sizeof text,
             "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
             "%09000d",
             1); /* makes the buffer grow */
    say(fd, text);
    assert_string_equal(hear(fd), OK);
    for (int bytes = 1900; bytes <= 2100; bytes += 200) {
        snprintf(text, sizeof text, "GET /now HTTP/1.1\r\nHost: a\r\nX: %0*d",
                 bytes - 35, 1);
        strcat(text, "\r\n\r\n");
        assert_int_equal(strlen(text), bytes);
        say(fd, text);
        assert_non_null(
            strstr(hear(fd), bytes < 2000 ? "HTTP/1.1 200 " : "HTTP/1.1 431 "));
    }
    close(fd);
    stop();
}

static void a_refused_body_is_dropped_and_the_connection_lives(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
            "GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(fd), NOW NOW);
    assert_string_equal(seen, "POST /now;done;GET /now;done;");
    close(fd);
    stop();
}

/* ---- Time ---- */

static void later(int64_t us)
{
    hearth_manual_clock_advance(&hand, us);
    turns(4);
}

static void slow_clients_are_told_and_closed(void **state)
{
    (void)state;
    struct hearth_http_limits limits;
    hearth_http_limits_init(&limits);
    limits.header_us = 10000000;
    limits.body_idle_us = 30000000;
    limits.idle_us = 75000000;
    start(&limits);
    int head = dial(), body = dial(), idle = dial();
    say(head, "GET /now HT");
    say(body, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    later(9999999);
    assert_string_equal(hear(head), "");
    later(2);
    assert_non_null(strstr(hear(head), "HTTP/1.1 408 "));
    assert_string_equal(hear(body), "");
    say(body, "d"); /* a piece, and the wait begins anew */
    later(29000000);
    assert_string_equal(hear(body), "");
    later(1100000);
    assert_non_null(strstr(hear(body), "HTTP/1.1 408 "));
    assert_string_equal(seen, "POST /a;[abc][d]timeout;");
    assert_string_equal(hear(idle), "");
    later(75000000);
    assert_string_equal(hear(idle), "$");
    close(head);
    close(body);
    close(idle);
    stop();
}

/* All of it, a mebibyte every tenth of a second. False: the server closed. */
static bool say_slowly(int fd, size_t mebibytes)
{
    static char piece[1 << 20];
    for (size_t i = 0; i < mebibytes; i++) {
        for (size_t done = 0; done < sizeof piece;) {
            ssize_t n =
                send(fd, piece + done, sizeof piece - done, MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                return false;
            done += n > 0 ? (size_t)n : 0;
            turns(1);
        }
        later(100000);
    }
    return true;
}

static void a_refusal_waits_until_the_client_has_sent_all(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\n"
            "Content-Length: 104857600\r\n\r\n");
    assert_true(say_slowly(fd, 100));
    assert_non_null(strstr(hear(fd), "HTTP/1.1 413 "));
    close(fd);
    /* Not for one that rests, nor for one that never ends. */
    fd = dial();
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\n"
            "Content-Length: 1048576000\r\n\r\n");
    assert_true(say_slowly(fd, 10));
    later(2000001);
    assert_false(say_slowly(fd, 1));
    close(fd);
    fd = dial();
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\n"
            "Content-Length: 1048576000\r\n\r\n");
    assert_true(say_slowly(fd, 299));
    assert_false(say_slowly(fd, 2));
    close(fd);
    stop();
}

static void a_paused_body_waits_and_has_no_timeout(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "POST /pause HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    later(1000000000);
    assert_string_equal(seen, "POST /pause;");
    hearth_http_resume(held);
    turns(3);
    assert_string_equal(seen, "POST /pause;[abc]complete;done;");
    close(fd);
    stop();
}

static void a_client_that_does_not_read_is_given_up(void **state)
{
    (void)state;
    static char body[3000000];
    large = body;
    large_left = sizeof body;
    struct hearth_http_limits limits;
    hearth_http_limits_init(&limits);
    limits.write_us = 5000000;
    start(&limits);
    released = 0;
    int fd = dial();
    say(fd, "GET /ref HTTP/1.1\r\nHost: a\r\n\r\n");
    later(4900000);
    while (read(fd, heard, sizeof heard) > 0)
        ;
    turns(2); /* progress: the wait begins anew */
    later(4900000);
    assert_int_equal(released, 0);
    later(200000);
    assert_int_equal(released, 1);
    assert_string_equal(seen, "GET /ref;timeout;");
    close(fd);
    stop();
}

static void a_request_has_a_time_limit_as_a_whole(void **state)
{
    (void)state;
    struct hearth_http_limits limits;
    hearth_http_limits_init(&limits);
    limits.read_us = 60000000;
    start(&limits);
    int fd = dial();
    say(fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        later(11000000);
        say(fd, "x"); /* never silent for long */
    }
    assert_string_equal(hear(fd), "");
    later(5100000);
    assert_non_null(strstr(hear(fd), "HTTP/1.1 408 "));
    assert_non_null(strstr(seen, "timeout;"));
    close(fd);
    stop();
}

/* ---- Ends ---- */

static void a_client_that_sends_no_more_still_gets_what_is_ready(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say_bytes(fd,
              "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
              "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
              strlen("GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
                     "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                     "\r\nhi"));
    shutdown(fd, SHUT_WR);
    turns(6);
    assert_string_equal(hear(fd), NOW OK "$");
    assert_string_equal(seen, "GET /now;done;POST /a;[hi]complete;done;");
    close(fd);
    fd = dial();
    say_bytes(fd, "GET /now HT", 11);
    shutdown(fd, SHUT_WR);
    turns(4);
    assert_string_equal(hear(fd), "$");
    close(fd);
    stop();
}

static void without_descriptors_the_server_waits_and_goes_on(void **state)
{
    (void)state;
    char path[64];
    struct hearth_error err = {0};
    int listener;
    struct rlimit old, low;
    start(NULL);
    snprintf(path, sizeof path, "unix:/tmp/hearth-emfile-%d", (int)getpid());
    assert_int_equal(hearth_http_listen(&listener, path, &err), 0);
    assert_int_equal(hearth_http_server_listen(server, listener), 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    turns(3);
    struct hearth_http_server_stats stats;
    hearth_http_server_stats(server, &stats);
    assert_int_equal(stats.accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    turns(3); /* it looks away: no event makes it spin */
    hearth_http_server_stats(server, &stats);
    assert_int_equal(stats.accepted, 0);
    later(100001);
    say(fd, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(hear(fd), NOW);
    close(fd);
    close(listener);
    unlink(sa.sun_path);
    stop();
}

static void a_client_that_leaves_is_noticed_at_once(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_non_null(held);
    close(fd);
    turns(4);
    assert_null(held);
    assert_string_equal(seen, "POST /wait;[hi]complete;left;");
    fd = dial();
    say(fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi");
    close(fd);
    turns(4);
    assert_non_null(strstr(seen, "POST /a;[hi]left;"));
    struct hearth_http_server_stats stats;
    hearth_http_server_stats(server, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.requests_in_flight, 0);
    stop();
}

static void on_drained(void *ctx)
{
    (void)ctx;
    drained = true;
}

static void draining_lets_requests_finish_and_closes_the_idle(void **state)
{
    (void)state;
    start(NULL);
    int idle = dial(), busy = dial();
    say(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    hearth_http_server_drain(server, 5000000, on_drained, NULL);
    turns(3);
    assert_string_equal(hear(idle), "$");
    assert_false(drained);
    answer(held, "bye");
    turns(3);
    assert_string_equal(hear(busy), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                                    "Connection: close\r\n\r\nbye$");
    later(3000000);
    assert_true(drained);
    close(idle);
    close(busy);
    stop();
}

static void a_drain_ends_at_its_deadline(void **state)
{
    (void)state;
    start(NULL);
    int busy = dial();
    say(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    hearth_http_server_drain(server, 5000000, on_drained, NULL);
    later(5000001);
    assert_true(drained);
    assert_string_equal(seen, "GET /hold;shutdown;");
    close(busy);
    stop();
}

static void destroying_the_server_ends_every_request(void **state)
{
    (void)state;
    start(NULL);
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    stop();
    assert_string_equal(seen, "GET /hold;shutdown;");
    close(fd);
}

static void over_the_limit_of_connections_the_idle_one_goes(void **state)
{
    (void)state;
    struct hearth_http_limits limits;
    hearth_http_limits_init(&limits);
    limits.connections = 2;
    start(&limits);
    int listener, first, second, third;
    struct hearth_error err;
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/hearth-http-test-%d.sock", getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    assert_int_equal(hearth_http_listen(&listener, address, &err), 0);
    assert_int_equal(hearth_http_server_listen(server, listener), 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    int *fds[] = {&first, &second, &third};
    for (int i = 0; i < 3; i++) {
        *fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(*fds[i], (struct sockaddr *)&sa, sizeof sa),
                         0);
        later(10);
        if (i == 1)
            say(first, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_string_equal(hear(second), "$");
    say(third, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    int fourth = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fourth, (struct sockaddr *)&sa, sizeof sa), 0);
    turns(3);
    assert_non_null(strstr(hear(fourth), "HTTP/1.1 503 "));
    for (int i = 0; i < 3; i++)
        close(*fds[i]);
    close(fourth);
    close(listener);
    unlink(path);
    stop();
}

static void addresses_that_cannot_be_are_explained(void **state)
{
    (void)state;
    struct hearth_error err = {0};
    int fd;
    assert_int_equal(hearth_http_listen(&fd, "nonsense", &err), HEARTH_EINVAL);
    assert_true(strlen(err.text) > 10);
    assert_int_equal(hearth_http_listen(&fd, "127.0.0.1:99999", &err),
                     HEARTH_EINVAL);
    assert_int_not_equal(hearth_http_listen(&fd, "unix:/no/such/dir/s", &err),
                         0);
    int first;
    char address[40];
    assert_int_equal(hearth_http_listen(&first, "127.0.0.1:0", &err), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u",
             hearth_http_listen_port(first));
    assert_int_equal(hearth_http_listen(&fd, address, &err), EADDRINUSE);
    assert_non_null(strstr(err.text, address));
    close(first);
}

static void running_out_of_memory_ends_requests_not_the_server(void **state)
{
    (void)state;
    for (int n = 1; n < 12; n++) {
        start(NULL);
        uint64_t before = hearth_mem_used_bytes();
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        fcntl(pair[1], F_SETFL, O_NONBLOCK);
        hearth_mem_fail_at(n, false);
        apr_status_t rc = hearth_http_server_adopt(server, pair[1]);
        assert_true(rc == 0 || rc == HEARTH_ENOMEM);
        say(pair[0], "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 20000"
                     "\r\n\r\nxx");
        hear(pair[0]);
        close(pair[0]);
        turns(4);
        hearth_mem_fail_at(0, false);
        int fd = dial();
        say(fd, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_string_equal(hear(fd), NOW);
        close(fd);
        turns(4);
        assert_int_equal(hearth_mem_used_bytes(), before);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_connection_is_kept_and_requests_may_come_in_one_piece),
        cmocka_unit_test(bytes_may_come_one_at_a_time),
        cmocka_unit_test(
            a_client_that_expects_continue_gets_it_after_the_accept),
        cmocka_unit_test(head_requests_get_no_body),
        cmocka_unit_test(an_answer_may_be_streamed),
        cmocka_unit_test(a_large_answer_waits_for_its_reader),
        cmocka_unit_test(a_referenced_body_is_released_once),
        cmocka_unit_test(an_answer_shorter_than_announced_is_seen_as_broken),
        cmocka_unit_test(malformed_and_ambiguous_requests_are_refused),
        cmocka_unit_test(a_nul_byte_in_a_header_is_refused),
        cmocka_unit_test(limits_have_their_own_answers),
        cmocka_unit_test(a_limit_is_the_same_for_every_request_of_a_connection),
        cmocka_unit_test(a_refused_body_is_dropped_and_the_connection_lives),
        cmocka_unit_test(slow_clients_are_told_and_closed),
        cmocka_unit_test(a_refusal_waits_until_the_client_has_sent_all),
        cmocka_unit_test(a_paused_body_waits_and_has_no_timeout),
        cmocka_unit_test(a_client_that_does_not_read_is_given_up),
        cmocka_unit_test(a_request_has_a_time_limit_as_a_whole),
        cmocka_unit_test(a_client_that_sends_no_more_still_gets_what_is_ready),
        cmocka_unit_test(without_descriptors_the_server_waits_and_goes_on),
        cmocka_unit_test(a_client_that_leaves_is_noticed_at_once),
        cmocka_unit_test(draining_lets_requests_finish_and_closes_the_idle),
        cmocka_unit_test(a_drain_ends_at_its_deadline),
        cmocka_unit_test(destroying_the_server_ends_every_request),
        cmocka_unit_test(over_the_limit_of_connections_the_idle_one_goes),
        cmocka_unit_test(addresses_that_cannot_be_are_explained),
        cmocka_unit_test(running_out_of_memory_ends_requests_not_the_server),
    };
    return hearth_base_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
