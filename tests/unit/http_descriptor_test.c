/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor passed beside a request on a unix socket, and who passes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http.h"

static hearth_loop_t *loop;
static hearth_http_server_t *server;
static hearth_http_client_t *client;
static char address[64];
static bool take, ended;
static int listening, taken, answer;
static struct hearth_http_peer peer;
static apr_status_t peer_status, call_status;

static void on_request(void *ctx, hearth_http_request_t *req)
{
    (void)ctx;
    peer_status = hearth_http_peer_credentials(req, &peer);
    taken = take ? hearth_http_take_descriptor(req) : -2;
    hearth_http_reply(req, taken >= 0 ? 200 : 404, NULL, 0, "x", 1);
}

static void on_server_end(void *ctx, hearth_http_request_t *req,
                          enum hearth_http_end end)
{
    (void)ctx;
    (void)req;
    (void)end;
}

static void on_response(void *ctx, hearth_http_call_t *call, int status)
{
    (void)ctx;
    (void)call;
    answer = status;
}

static void on_end(void *ctx, hearth_http_call_t *call, apr_status_t status)
{
    (void)ctx;
    (void)call;
    call_status = status;
    ended = true;
}

static int open_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void start(bool descriptors, const char *where)
{
    struct hearth_http_limits limits;
    struct hearth_http_client_config config;
    const struct hearth_http_handler handler = {.on_request = on_request,
                                                .on_end = on_server_end};
    struct hearth_error err;

    hearth_http_limits_init(&limits);
    limits.descriptors = descriptors;
    assert_int_equal(hearth_loop_create(&loop, NULL), 0);
    assert_int_equal(hearth_http_listen(&listening, where, &err), 0);
    assert_int_equal(
        hearth_http_server_create(&server, loop, &limits, &handler), 0);
    assert_int_equal(hearth_http_server_listen(server, listening), 0);
    hearth_http_client_config_init(&config);
    snprintf(address, sizeof(address), "%s", where);
    if (strncmp(where, "unix:", 5) != 0)
        snprintf(address, sizeof(address), "127.0.0.1:%u",
                 hearth_http_listen_port(listening));
    config.address = address;
    assert_int_equal(hearth_http_client_create(&client, loop, &config, &err),
                     0);
}

static void stop(void)
{
    hearth_http_client_destroy(&client);
    hearth_http_server_destroy(&server);
    hearth_loop_destroy(&loop);
    close(listening);
    if (strncmp(address, "unix:", 5) == 0)
        unlink(address + 5);
}

static apr_status_t call(const int *descriptor)
{
    const struct hearth_http_call_handler handler = {.on_response = on_response,
                                                     .on_end = on_end};
    const struct hearth_http_call_spec spec = {
        .method = "PUT", .target = "/x", .descriptor = descriptor};
    hearth_http_call_t *started;
    apr_status_t status =
        hearth_http_call_start(&started, client, &spec, &handler);

    ended = false;
    taken = -3;
    while (status == 0 && !ended)
        hearth_loop_run_once(loop, 1000000);
    return status;
}

static void a_descriptor_arrives_with_its_request(void **state)
{
    char text[6] = "";
    int pipes[2];

    (void)state;
    start(true, "unix:/tmp/hearth_descriptor_test.sock");
    take = true;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(call(&pipes[0]), 0);
    assert_int_equal(call_status, 0);
    assert_int_equal(answer, 200);
    assert_true(taken >= 0);
    assert_int_equal(peer_status, 0);
    assert_int_equal(peer.uid, getuid());
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(write(pipes[1], "hello", 5), 5);
    assert_int_equal(read(taken, text, 5), 5);
    assert_string_equal(text, "hello");
    assert_true(fcntl(taken, F_GETFD) & FD_CLOEXEC);
    close(taken);
    /* The next request of the connection has none. */
    assert_int_equal(call(NULL), 0);
    assert_int_equal(answer, 404);
    assert_int_equal(taken, -1);
    close(pipes[0]);
    close(pipes[1]);
    stop();
}

static void one_that_nobody_takes_is_closed(void **state)
{
    int pipes[2], before;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    for (int accepts = 0; accepts < 2; accepts++) {
        start(accepts, "unix:/tmp/hearth_descriptor_test.sock");
        take = false;
        assert_int_equal(call(NULL), 0); /* the connection stands */
        before = open_count();
        for (int i = 0; i < 10; i++)
            assert_int_equal(call(&pipes[0]), 0);
        assert_int_equal(open_count(), before);
        stop();
    }
    close(pipes[0]);
    close(pipes[1]);
}

static void over_tcp_there_are_none(void **state)
{
    int fd = 0;

    (void)state;
    start(true, "127.0.0.1:0");
    take = true;
    assert_int_equal(call(&fd), HEARTH_EUNSUPPORTED);
    assert_int_equal(call(NULL), 0);
    assert_int_equal(peer_status, HEARTH_EUNSUPPORTED);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_arrives_with_its_request),
        cmocka_unit_test(one_that_nobody_takes_is_closed),
        cmocka_unit_test(over_tcp_there_are_none),
    };

    hearth_base_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
