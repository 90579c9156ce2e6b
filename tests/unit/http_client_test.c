/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client against a peer that the tests play by hand on a unix
 * socket, on a clock moved by hand; and against our own server.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "http/http.h"

static struct hearth_manual_clock hand;
static hearth_loop_t *loop;
static hearth_http_client_t *client;
static struct hearth_http_client_config config;
static int listener = -1;
static char path[64], address[80];
static char seen[8192];
static int writable_count;
static void (*at_end)(void); /* called inside the next on_end */

static void saw(const char *fmt, ...)
{
    size_t n = strlen(seen);
    va_list args;
    va_start(args, fmt);
    vsnprintf(seen + n, sizeof seen - n, fmt, args);
    va_end(args);
}

static void on_response(void *ctx, hearth_http_call_t *call, int status)
{
    (void)call;
    saw("%s%d;", (const char *)ctx, status);
}

static void on_body(void *ctx, hearth_http_call_t *call, const char *data,
                    size_t bytes)
{
    (void)ctx;
    (void)call;
    if (bytes <= 40)
        saw("[%.*s]", (int)bytes, data);
    else
        saw("[%zu]", bytes);
}

static void on_writable(void *ctx, hearth_http_call_t *call)
{
    (void)ctx;
    (void)call;
    writable_count++;
}

static const char *name_of(apr_status_t status)
{
    switch (status) {
    case 0:
        return "ok";
    case HEARTH_EPEER:
        return "peer";
    case HEARTH_EPROTO:
        return "proto";
    case HEARTH_ETIMEOUT:
        return "timeout";
    case HEARTH_ECANCELED:
        return "canceled";
    case HEARTH_ECLOSING:
        return "closing";
    case HEARTH_ENOMEM:
        return "nomem";
    default:
        return "?";
    }
}

static void on_end(void *ctx, hearth_http_call_t *call, apr_status_t status)
{
    (void)call;
    saw("%s%s;", (const char *)ctx, name_of(status));
    void (*then)(void) = at_end;
    at_end = NULL;
    if (then != NULL)
        then();
}

static const struct hearth_http_call_handler handler = {
    .ctx = (void *)(uintptr_t) "",
    .on_response = on_response,
    .on_body = on_body,
    .on_writable = on_writable,
    .on_end = on_end,
};

static void turns(int n)
{
    while (n-- > 0)
        assert_int_equal(hearth_loop_run_once(loop, 0), 0);
}

static void later(int64_t us)
{
    hearth_manual_clock_advance(&hand, us);
    turns(3);
}

static int setup(void **state)
{
    (void)state;
    struct hearth_error err = {0};
    seen[0] = '\0';
    writable_count = 0;
    at_end = NULL;
    snprintf(path, sizeof path, "/tmp/hearth-client-%d.sock", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    hearth_manual_clock_init(&hand, 1000000);
    hearth_http_client_config_init(&config);
    config.address = address;
    if (hearth_loop_create(&loop, &hand.clock) != 0 ||
        hearth_http_listen(&listener, address, &err) != 0)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hearth_http_client_destroy(&client);
    hearth_loop_destroy(&loop);
    close(listener);
    unlink(path);
    return 0;
}

static void make_client(void)
{
    struct hearth_error err = {0};
    assert_int_equal(hearth_http_client_create(&client, loop, &config, &err),
                     0);
}

static hearth_http_call_t *begin(const struct hearth_http_call_spec *spec,
                                 const char *name)
{
    hearth_http_call_t *call;
    struct hearth_http_call_handler named = handler;
    named.ctx = (void *)(uintptr_t)name;
    assert_int_equal(hearth_http_call_start(&call, client, spec, &named), 0);
    turns(3);
    return call;
}

static hearth_http_call_t *get(const char *target)
{
    return begin(
        &(struct hearth_http_call_spec){.method = "GET", .target = target}, "");
}

/* -1: nobody connects. */
static int take(void)
{
    turns(3);
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void say_bytes(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            turns(1);
            continue;
        }
        text += n;
        bytes -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
    turns(4);
}

/* What came; "$" at the end when the client has closed. */
static char heard[1 << 16];
static const char *hear(int fd)
{
    size_t n = 0;
    turns(3);
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
    return heard;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- Calls that go well ---- */

static void a_connection_is_kept_for_the_next_call(void **state)
{
    (void)state;
    make_client();
    get("/a?b");
    int fd = take();
    assert_string_equal(hear(fd),
                        "GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    say(fd, OK);
    get("/c");
    assert_string_equal(hear(fd), "GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n");
    say(fd, OK);
    assert_int_equal(take(), -1);
    assert_string_equal(seen, "200;[ok]ok;200;[ok]ok;");
    close(fd);
}

static void a_request_is_framed_by_its_body(void **state)
{
    (void)state;
    const struct hearth_http_header headers[] = {
        HEARTH_HTTP_HEADER("Host", "other"), HEARTH_HTTP_HEADER("X", "y"),
        HEARTH_HTTP_HEADER("Content-Length", "99"),
        HEARTH_HTTP_HEADER("Transfer-Encoding", "gzip")};
    make_client();
    begin(&(struct hearth_http_call_spec){.method = "POST",
                                          .target = "/p",
                                          .headers = headers,
                                          .header_count = 4,
                                          .body = "xyz",
                                          .body_bytes = 3},
          "");
    int fd = take();
    assert_string_equal(hear(fd), "POST /p HTTP/1.1\r\nHost: other\r\nX: y\r\n"
                                  "Content-Length: 3\r\n\r\nxyz");
    say(fd, OK);
    begin(&(struct hearth_http_call_spec){.method = "PUT", .target = "/"}, "");
    assert_string_equal(hear(fd), "PUT / HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 0\r\n\r\n");
    say(fd, OK);
    const struct hearth_http_header last =
        HEARTH_HTTP_HEADER("connection", "Close");
    begin(&(struct hearth_http_call_spec){.method = "GET",
                                          .target = "/",
                                          .headers = &last,
                                          .header_count = 1},
          "");
    assert_non_null(strstr(hear(fd), "\r\nConnection: close\r\n"));
    say(fd, OK);
    assert_string_equal(hear(fd), "$");
    close(fd);
}

static void a_response_may_have_any_framing(void **state)
{
    (void)state;
    static const struct {
        const char *method, *text, *seen;
        bool closes, kept;
    } cases[] = {
        {"GET", OK, "200;[ok]ok;", false, true},
        {"GET", "HTTP/1.1 204 None\r\n\r\n", "204;ok;", false, true},
        {"GET", "HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n", "304;ok;",
         false, true},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "200;ok;",
         false, true},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
         "200;ok;", false, true},
        {"GET",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2;a=b\r\nhi\r\n3\r\nyou\r\n0\r\nT: v\r\n\r\n",
         "200;[hi][you]ok;", false, true},
        {"GET",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n"
         "\r\n" OK,
         "200;[ok]ok;", false, true},
        {"GET", "HTTP/1.1 200 OK\r\n\r\nall of it", "200;[all of it]ok;", true,
         false},
        {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200;[ok]ok;",
         false, false},
        {"GET",
         "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
         "Content-Length: 2\r\n\r\nok",
         "200;[ok]ok;", false, true},
        {"GET",
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
         "200;[ok]ok;", false, false},
        {"GET", OK "more than was asked for", "200;[ok]ok;", false, false},
    };
    make_client();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seen[0] = '\0';
        begin(&(struct hearth_http_call_spec){.method = cases[i].method,
                                              .target = "/"},
              "");
        int fd = take();
        hear(fd);
        say(fd, cases[i].text);
        if (cases[i].closes)
            shutdown(fd, SHUT_WR);
        turns(4);
        if (strcmp(seen, cases[i].seen) != 0)
            fail_msg("case %zu: saw '%s'", i, seen);
        if ((strcmp(hear(fd), "") == 0) != cases[i].kept)
            fail_msg("case %zu: kept or not kept: '%s'", i, heard);
        close(fd);
        turns(2);
    }
}

static void a_response_may_come_byte_by_byte(void **state)
{
    (void)state;
    const char *text =
        "HTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 200 OK\r\nX:\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nhi\r\n0\r\n\r\n";
    make_client();
    get("/");
    int fd = take();
    hear(fd);
    for (; *text != '\0'; text++) {
        say_bytes(fd, text, 1);
        turns(2);
    }
    assert_string_equal(seen, "200;[h][i]ok;");
    assert_string_equal(hear(fd), "");
    close(fd);
}

static void look_at_headers(void *ctx, hearth_http_call_t *call, int status)
{
    (void)ctx;
    (void)status;
    const struct hearth_http_header *headers;
    assert_int_equal(hearth_http_call_headers(call, &headers), 2);
    assert_string_equal(headers[0].name, "X-One");
    assert_string_equal(hearth_http_call_header(call, "x-one"), "1");
    assert_null(hearth_http_call_header(call, "x-two"));
    assert_int_equal(hearth_http_call_body_bytes(call), 2);
    saw("looked;");
}

static void the_headers_of_a_response_can_be_read(void **state)
{
    (void)state;
    make_client();
    struct hearth_http_call_handler looking = handler;
    looking.on_response = look_at_headers;
    hearth_http_call_t *call;
    assert_int_equal(hearth_http_call_start(&call, client,
                                            &(struct hearth_http_call_spec){
                                                .method = "GET", .target = "/"},
                                            &looking),
                     0);
    assert_null(hearth_http_call_header(call, "x-one"));
    int fd = take();
    say(fd, "HTTP/1.1 200 OK\r\nX-One:  1 \r\nContent-Length: 2\r\n\r\nok");
    assert_string_equal(seen, "looked;[ok]ok;");
    close(fd);
}

/* ---- Streamed bodies ---- */

static hearth_http_call_t *post(int64_t body_bytes)
{
    return begin(&(struct hearth_http_call_spec){.method = "POST",
                                                 .target = "/s",
                                                 .body_bytes = body_bytes},
                 "");
}

static void a_streamed_body_is_chunked_or_as_long_as_announced(void **state)
{
    (void)state;
    hearth_http_call_t *call;
    make_client();
    struct hearth_http_call_spec spec = {
        .method = "POST", .target = "/s", .body_bytes = -1};
    assert_int_equal(hearth_http_call_start(&call, client, &spec, &handler), 0);
    /* Before there is a connection. */
    assert_int_equal(hearth_http_call_write(call, "abc", 3), 0);
    int fd = take();
    assert_int_equal(hearth_http_call_write(call, "defg", 4), 0);
    assert_int_equal(hearth_http_call_finish(call), 0);
    assert_int_equal(hearth_http_call_write(call, "x", 1), HEARTH_EINVAL);
    assert_string_equal(hear(fd), "POST /s HTTP/1.1\r\nHost: localhost\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    say(fd, OK);
    call = post(5);
    assert_int_equal(hearth_http_call_write(call, "abc", 3), 0);
    assert_int_equal(hearth_http_call_write(call, "def", 3), HEARTH_EINVAL);
    assert_int_equal(hearth_http_call_write(call, "de", 2), 0);
    assert_int_equal(hearth_http_call_finish(call), 0);
    assert_string_equal(hear(fd), "POST /s HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: 5\r\n\r\nabcde");
    say(fd, OK);
    assert_string_equal(seen, "200;[ok]ok;200;[ok]ok;");
    call = post(5);
    hearth_http_call_write(call, "abc", 3);
    assert_int_equal(hearth_http_call_finish(call), HEARTH_EINVAL);
    turns(2);
    assert_non_null(strstr(hear(fd), "abc$"));
    assert_non_null(strstr(seen, "canceled;"));
    close(fd);
}

static void a_slow_upstream_holds_the_writer_back(void **state)
{
    (void)state;
    static char piece[50000];
    config.write_high_bytes = 200000;
    make_client();
    hearth_http_call_t *call = post(-1);
    int fd = take();
    uint64_t before = hearth_mem_used_bytes(), taken = 0;
    apr_status_t rc;
    while ((rc = hearth_http_call_write(call, piece, sizeof piece)) == 0) {
        taken += sizeof piece;
        assert_true(taken < 10000000);
    }
    assert_int_equal(rc, HEARTH_EAGAIN);
    assert_true(hearth_mem_used_bytes() - before < 300000);
    turns(3);
    assert_int_equal(writable_count, 0);
    uint64_t got = 0;
    while (got < taken) {
        ssize_t n = read(fd, heard, sizeof heard);
        got += n > 0 ? (uint64_t)n : 0;
        turns(1);
    }
    assert_int_equal(writable_count, 1);
    assert_int_equal(hearth_http_call_write(call, "x", 1), 0);
    assert_int_equal(hearth_http_call_finish(call), 0);
    turns(2);
    say(fd, OK);
    assert_string_equal(seen, "200;[ok]ok;");
    close(fd);
}

static void an_upstream_may_answer_before_it_has_read_the_body(void **state)
{
    (void)state;
    static char piece[50000];
    make_client();
    hearth_http_call_t *call = post(-1);
    int fd = take();
    while (hearth_http_call_write(call, piece, sizeof piece) == 0)
        ;
    say(fd, "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nbig");
    close(fd);
    turns(4);
    assert_string_equal(seen, "413;[big]ok;");
    get("/");
    fd = take(); /* the other one was in the middle of a body */
    assert_true(fd >= 0);
    close(fd);
}

static void a_paused_response_waits_in_bounded_memory(void **state)
{
    (void)state;
    static char piece[100000];
    make_client();
    hearth_http_call_t *call = get("/");
    int fd = take();
    hearth_http_call_pause(call);
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    uint64_t before = hearth_mem_used_bytes(), sent = 0;
    for (int idle = 0; idle < 5;) {
        ssize_t n = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
        sent += n > 0 ? (uint64_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        turns(1);
    }
    assert_true(hearth_mem_used_bytes() - before <= 65536);
    assert_string_equal(seen, "");
    /* The upstream leaves; what it said is still there, and waiting for it
     * costs no turns. */
    close(fd);
    turns(3);
    hearth_http_call_resume(call);
    turns((int)(sent / 8000) + 10);
    assert_true(strncmp(seen, "200;[", 5) == 0);
    uint64_t got = 0;
    for (char *at = seen; (at = strchr(at, '[')) != NULL;)
        got += strtoull(++at, NULL, 10);
    assert_true(strlen(seen) == sizeof seen - 1 || got == sent);
}

/* ---- What goes wrong ---- */

static void bad_answers_end_the_call(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seen;
    } cases[] = {
        /* The connection breaks. */
        {"", "peer;"},
        {"HTTP/1.1 200 O", "peer;"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "peer;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "200;[abc]peer;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
         "200;[abc]peer;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
         "200;[abc]peer;"},
        /* It is no HTTP, or can be read in two ways. */
        {"SSH-2.0-OpenSSH\r\n", "proto;"},
        {"HTTP/1.1 abc\r\n\r\n", "proto;"},
        {"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "proto;"},
        {"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "proto;"},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
         "proto;"},
        {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "proto;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
         "proto;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
         "Transfer-Encoding: chunked\r\n\r\nok",
         "proto;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", "proto;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         "proto;"},
        {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
         "proto;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "200;proto;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2\r\nabXY0\r\n\r\n",
         "200;[ab]proto;"},
    };
    make_client();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seen[0] = '\0';
        get("/");
        int fd = take();
        hear(fd);
        say(fd, cases[i].text);
        close(fd);
        turns(4);
        /* A parser may tell of a bad chunk before or after its data. */
        const char *want = cases[i].seen;
        if (strcmp(seen, want) != 0 && !(strcmp(want, "200;[ab]proto;") == 0 &&
                                         strcmp(seen, "200;proto;") == 0))
            fail_msg("case %zu: saw '%s', not '%s'", i, seen, want);
        assert_int_equal(take(), -1); /* not sent again */
    }
}

static void a_flood_of_headers_is_not_read_to_its_end(void **state)
{
    (void)state;
    config.header_bytes = 4096;
    config.header_count = 10;
    make_client();
    get("/");
    int fd = take();
    say(fd, "HTTP/1.1 200 OK\r\nX: ");
    memset(heard, 'a', 5000);
    send(fd, heard, 5000, MSG_NOSIGNAL);
    turns(4);
    assert_string_equal(seen, "proto;");
    close(fd);
    seen[0] = '\0';
    get("/");
    fd = take();
    say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 11; i++)
        send(fd, "A: b\r\n", 6, MSG_NOSIGNAL);
    turns(4);
    assert_string_equal(seen, "proto;");
    close(fd);
}

static void a_refused_connection_ends_the_call(void **state)
{
    (void)state;
    close(listener); /* the socket file stays */
    make_client();
    get("/");
    assert_string_equal(seen, "peer;");
    unlink(path);
    get("/");
    assert_string_equal(seen, "peer;peer;");
    struct hearth_error err = {0};
    assert_int_equal(hearth_http_listen(&listener, address, &err), 0);
    get("/");
    int fd = take();
    say(fd, OK);
    assert_string_equal(seen, "peer;peer;200;[ok]ok;");
    close(fd);
}

static void every_address_of_a_name_is_tried(void **state)
{
    (void)state;
    struct hearth_error err = {0};
    int tcp;
    assert_int_equal(hearth_http_listen(&tcp, "127.0.0.1:0", &err), 0);
    snprintf(address, sizeof address, "localhost:%u",
             hearth_http_listen_port(tcp));
    make_client();
    get("/");
    int fd = -1;
    for (int i = 0; i < 1000 && fd < 0; i++) {
        assert_int_equal(hearth_loop_run_once(loop, 1000), 0);
        fd = accept4(tcp, NULL, NULL, SOCK_NONBLOCK);
    }
    assert_true(fd >= 0);
    assert_non_null(strstr(hear(fd), address)); /* Host */
    send(fd, OK, strlen(OK), 0);
    for (int i = 0; i < 1000 && strstr(seen, "ok;") == NULL; i++)
        assert_int_equal(hearth_loop_run_once(loop, 1000), 0);
    assert_string_equal(seen, "200;[ok]ok;");
    close(fd);
    close(tcp);
    hearth_http_client_destroy(&client);
    make_client(); /* nobody listens on that port now */
    get("/");
    for (int i = 0; i < 1000 && strstr(seen, "peer;") == NULL; i++)
        assert_int_equal(hearth_loop_run_once(loop, 1000), 0);
    assert_non_null(strstr(seen, "peer;"));
}

static void a_kept_connection_that_was_closed_costs_no_call(void **state)
{
    (void)state;
    make_client();
    get("/");
    int fd = take();
    say(fd, OK);
    close(fd); /* seen before the next call */
    turns(2);
    get("/");
    fd = take();
    assert_true(fd >= 0);
    say(fd, OK);
    close(fd); /* seen when the next call takes it */
    get("/");
    fd = take();
    assert_true(fd >= 0);
    say(fd, OK);
    get("/x"); /* seen after the call was sent */
    assert_non_null(strstr(hear(fd), "GET /x "));
    close(fd);
    fd = take();
    assert_non_null(strstr(hear(fd), "GET /x "));
    say(fd, OK);
    assert_string_equal(seen, "200;[ok]ok;200;[ok]ok;200;[ok]ok;200;[ok]ok;");
    /* But not twice. */
    seen[0] = '\0';
    get("/y");
    hear(fd);
    close(fd);
    fd = take();
    hear(fd);
    close(fd);
    turns(4);
    assert_int_equal(take(), -1);
    assert_string_equal(seen, "peer;");
}

static void what_may_have_been_acted_on_is_not_sent_again(void **state)
{
    (void)state;
    make_client();
    get("/");
    int fd = take();
    say(fd, OK);
    begin(&(struct hearth_http_call_spec){.method = "POST", .target = "/"}, "");
    hear(fd);
    close(fd);
    turns(3);
    assert_int_equal(take(), -1);
    assert_string_equal(seen, "200;[ok]ok;peer;");
    seen[0] = '\0';
    get("/");
    fd = take();
    say(fd, OK);
    get("/"); /* an answer had begun */
    say(fd, "H");
    close(fd);
    turns(3);
    assert_int_equal(take(), -1);
    assert_string_equal(seen, "200;[ok]ok;peer;");
}

/* ---- The line, ends, deadlines ---- */

static void calls_over_the_limit_wait_in_line(void **state)
{
    (void)state;
    config.connections = 1;
    make_client();
    struct hearth_http_call_spec spec = {.method = "GET", .target = "/"};
    begin(&spec, "a:");
    hearth_http_call_t *b = begin(&spec, "b:");
    begin(&spec, "c:");
    int fd = take();
    assert_int_equal(take(), -1);
    hearth_http_call_cancel(b);
    assert_string_equal(seen, ""); /* not from inside the cancel */
    turns(2);
    assert_string_equal(seen, "b:canceled;");
    hear(fd);
    say(fd, OK);
    assert_non_null(strstr(hear(fd), "GET / "));
    say(fd, OK);
    assert_string_equal(seen, "b:canceled;a:200;[ok]a:ok;c:200;[ok]c:ok;");
    assert_int_equal(take(), -1);
    close(fd);
}

static void start_another(void)
{
    hearth_http_call_t *call;
    assert_int_equal(
        hearth_http_call_start(
            &call, client,
            &(struct hearth_http_call_spec){.method = "GET", .target = "/n"},
            &handler),
        0);
}

static void a_call_started_at_an_end_takes_the_same_connection(void **state)
{
    (void)state;
    make_client();
    get("/");
    int fd = take();
    hear(fd);
    at_end = start_another;
    say(fd, OK);
    assert_non_null(strstr(hear(fd), "GET /n "));
    assert_int_equal(take(), -1);
    say(fd, OK);
    assert_string_equal(seen, "200;[ok]ok;200;[ok]ok;");
    close(fd);
}

static void a_cancelled_call_closes_its_connection(void **state)
{
    (void)state;
    make_client();
    hearth_http_call_t *call = get("/");
    int fd = take();
    hear(fd);
    hearth_http_call_cancel(call);
    hearth_http_call_cancel(call);
    turns(2);
    assert_string_equal(seen, "canceled;");
    assert_string_equal(hear(fd), "$");
    close(fd);
}

static void a_deadline_holds_for_the_whole_call(void **state)
{
    (void)state;
    config.connections = 1;
    make_client();
    struct hearth_http_call_spec spec = {
        .method = "GET",
        .target = "/",
        .deadline_us = hearth_now_us(&hand.clock) + 1000000};
    begin(&spec, "runs:");
    begin(&spec, "waits:");
    int fd = take();
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    later(999000);
    assert_string_equal(seen, "runs:200;[ab]");
    later(1000);
    assert_string_equal(seen, "runs:200;[ab]runs:timeout;waits:timeout;");
    assert_non_null(strstr(hear(fd), "$"));
    close(fd);
    begin(&spec, "late:");
    assert_non_null(strstr(seen, "late:timeout;"));
}

static void an_idle_connection_is_closed_in_time(void **state)
{
    (void)state;
    config.idle_us = 2000000;
    make_client();
    get("/");
    int fd = take();
    hear(fd);
    say(fd, OK);
    later(1999000);
    assert_string_equal(hear(fd), "");
    later(1000);
    assert_string_equal(hear(fd), "$");
    close(fd);
}

static apr_status_t start_status;
static void start_in_destruction(void)
{
    hearth_http_call_t *call;
    start_status = hearth_http_call_start(
        &call, client,
        &(struct hearth_http_call_spec){.method = "GET", .target = "/"},
        &handler);
}

static void destroying_the_client_ends_every_call(void **state)
{
    (void)state;
    config.connections = 2;
    make_client();
    get("/");
    get("/");
    get("/"); /* waits */
    int fd = take();
    at_end = start_in_destruction;
    uint64_t before = hearth_mem_used_bytes();
    hearth_http_client_destroy(&client);
    assert_string_equal(seen, "closing;closing;closing;");
    assert_int_equal(start_status, HEARTH_ECLOSING);
    assert_true(hearth_mem_used_bytes() < before);
    assert_non_null(strstr(hear(fd), "$"));
    close(fd);
}

static void calls_that_cannot_be_sent_are_refused_at_once(void **state)
{
    (void)state;
    const struct hearth_http_header bad = HEARTH_HTTP_HEADER("X", "a\r\nY: b");
    const struct hearth_http_header worse = HEARTH_HTTP_HEADER("X Y", "a");
    const struct hearth_http_call_spec cases[] = {
        {.method = "", .target = "/"},
        {.method = "GET /", .target = "/"},
        {.method = "CONNECT", .target = "a:1"},
        {.method = "GET", .target = ""},
        {.method = "GET", .target = "/a b"},
        {.method = "GET", .target = "/a\r\nX: y"},
        {.method = "GET", .target = "/", .headers = &bad, .header_count = 1},
        {.method = "GET", .target = "/", .headers = &worse, .header_count = 1},
        {.method = "POST", .target = "/", .body_bytes = -2},
        {.method = "POST", .target = "/", .body = "a", .body_bytes = -1},
    };
    make_client();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hearth_http_call_t *call;
        if (hearth_http_call_start(&call, client, &cases[i], &handler) !=
            HEARTH_EINVAL)
            fail_msg("case %zu was taken", i);
    }
    turns(2);
    assert_string_equal(seen, "");
    struct hearth_error err = {0};
    hearth_http_client_t *other;
    config.address = "nonsense";
    assert_int_equal(hearth_http_client_create(&other, loop, &config, &err),
                     HEARTH_EINVAL);
    assert_true(strlen(err.text) > 10);
    config.address = address;
    config.host = "a\r\nb";
    assert_int_equal(hearth_http_client_create(&other, loop, &config, &err),
                     HEARTH_EINVAL);
}

static void running_out_of_memory_ends_calls_not_the_client(void **state)
{
    (void)state;
    make_client();
    uint64_t before = hearth_mem_used_bytes();
    struct hearth_http_call_spec spec = {
        .method = "POST", .target = "/", .body_bytes = -1};
    int fine = 0;
    for (int n = 1; n < 12; n++) {
        seen[0] = '\0';
        hearth_mem_fail_at(n, false);
        hearth_http_call_t *call;
        apr_status_t rc =
            hearth_http_call_start(&call, client, &spec, &handler);
        assert_true(rc == 0 || rc == HEARTH_ENOMEM);
        if (rc == 0)
            rc = hearth_http_call_write(call, "abc", 3);
        int fd = take();
        if (rc == 0 && seen[0] == '\0')
            hearth_http_call_finish(call);
        if (fd >= 0) {
            send(fd, OK, strlen(OK), MSG_NOSIGNAL);
            hear(fd);
            close(fd);
        }
        turns(4);
        hearth_mem_fail_at(0, false);
        if (rc == 0 && strcmp(seen, "nomem;") != 0 &&
            strcmp(seen, "200;[ok]ok;") != 0)
            fail_msg("allocation %d: saw '%s'", n, seen);
        fine += strcmp(seen, "200;[ok]ok;") == 0;
        turns(3);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
    assert_true(fine > 0 && fine < 11);
}

/* ---- Both ends are ours ---- */

static void count_end(void *ctx, hearth_http_request_t *req,
                      enum hearth_http_end end)
{
    (void)req;
    (void)end;
    ++*(int *)ctx;
}

static void collect_head(void *ctx, hearth_http_request_t *req)
{
    (void)ctx;
    hearth_http_accept(req, 0);
}

static void collect_complete(void *ctx, hearth_http_request_t *req)
{
    (void)ctx;
    const char *length = hearth_http_header(req, "x-length");
    hearth_http_reply(req, 200, NULL, 0, length, strlen(length));
}

static void calls_of_any_size_pass_through_our_own_server(void **state)
{
    (void)state;
    int ends = 0;
    hearth_http_server_t *server;
    struct hearth_http_handler serving = {.ctx = &ends,
                                          .on_request = collect_head,
                                          .on_complete = collect_complete,
                                          .on_end = count_end};
    assert_int_equal(hearth_http_server_create(&server, loop, NULL, &serving),
                     0);
    assert_int_equal(hearth_http_server_listen(server, listener), 0);
    config.connections = 3;
    make_client();
    static char body[300000];
    char want[512] = "";
    for (int i = 0; i < 20; i++) {
        char length[16];
        int bytes = i * i * 800;
        snprintf(length, sizeof length, "%d", bytes);
        const struct hearth_http_header header =
            HEARTH_HTTP_HEADER("X-Length", length);
        struct hearth_http_call_spec spec = {.method = "POST",
                                             .target = "/",
                                             .headers = &header,
                                             .header_count = 1,
                                             .body = body,
                                             .body_bytes = bytes};
        begin(&spec, "");
        for (int n = 0; n < 100 && ends <= i; n++)
            turns(1);
        turns(4);
        snprintf(want, sizeof want, "200;[%d]ok;", bytes);
        assert_string_equal(seen, want);
        seen[0] = '\0';
    }
    assert_int_equal(ends, 20);
    struct hearth_http_server_stats stats;
    hearth_http_server_stats(server, &stats);
    assert_int_equal(stats.accepted, 1);
    hearth_http_server_destroy(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_is_kept_for_the_next_call),
        TEST(a_request_is_framed_by_its_body),
        TEST(a_response_may_have_any_framing),
        TEST(a_response_may_come_byte_by_byte),
        TEST(the_headers_of_a_response_can_be_read),
        TEST(a_streamed_body_is_chunked_or_as_long_as_announced),
        TEST(a_slow_upstream_holds_the_writer_back),
        TEST(an_upstream_may_answer_before_it_has_read_the_body),
        TEST(a_paused_response_waits_in_bounded_memory),
        TEST(bad_answers_end_the_call),
        TEST(a_flood_of_headers_is_not_read_to_its_end),
        TEST(a_refused_connection_ends_the_call),
        TEST(every_address_of_a_name_is_tried),
        TEST(a_kept_connection_that_was_closed_costs_no_call),
        TEST(what_may_have_been_acted_on_is_not_sent_again),
        TEST(calls_over_the_limit_wait_in_line),
        TEST(a_call_started_at_an_end_takes_the_same_connection),
        TEST(a_cancelled_call_closes_its_connection),
        TEST(a_deadline_holds_for_the_whole_call),
        TEST(an_idle_connection_is_closed_in_time),
        TEST(destroying_the_client_ends_every_call),
        TEST(calls_that_cannot_be_sent_are_refused_at_once),
        TEST(running_out_of_memory_ends_calls_not_the_client),
        TEST(calls_of_any_size_pass_through_our_own_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
