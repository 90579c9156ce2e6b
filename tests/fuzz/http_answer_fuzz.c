/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_answer_fuzz.c: any bytes as what an upstream answers to our HTTP
 * client, in pieces that the bytes choose: first a byte that chooses the call,
 * then a length and that many bytes, and so on. At the end every call that
 * began has ended, once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int began, ended;
static uint64_t body_bytes;

static void on_response(void *ctx, hearth_http_call_t *call, int status)
{
    const struct hearth_http_header *headers;
    (void)ctx;
    HEARTH_ASSERT(status >= 200 && status <= 599);
    uint32_t count = hearth_http_call_headers(call, &headers);
    for (uint32_t i = 0; i < count; i++)
        HEARTH_ASSERT(strlen(headers[i].value) == headers[i].value_bytes);
    body_bytes = 0;
}

static void on_body(void *ctx, hearth_http_call_t *call, const char *data,
                    size_t bytes)
{
    (void)ctx;
    (void)data;
    body_bytes += bytes;
    if (bytes % 7 == 3) {
        hearth_http_call_pause(call);
        hearth_http_call_resume(call);
    }
    if (bytes % 31 == 30)
        hearth_http_call_cancel(call);
}

static void on_end(void *ctx, hearth_http_call_t *call, apr_status_t status)
{
    int64_t announced = hearth_http_call_body_bytes(call);
    (void)ctx;
    ended++;
    if (status == 0 && announced >= 0)
        HEARTH_ASSERT((uint64_t)announced == body_bytes);
}

static const struct hearth_http_call_handler handler = {
    .on_response = on_response, .on_body = on_body, .on_end = on_end};

static void begin(hearth_http_client_t *client, uint8_t how)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT"};
    struct hearth_http_call_spec spec = {.method = methods[how & 3],
                                         .target = "/"};
    hearth_http_call_t *call;
    spec.body_bytes = (how & 4) != 0 ? -1 : 0;
    body_bytes = 0;
    if (hearth_http_call_start(&call, client, &spec, &handler) != 0)
        __builtin_trap();
    began++;
    if ((how & 8) != 0 && spec.body_bytes < 0) {
        hearth_http_call_write(call, "piece", 5);
        hearth_http_call_finish(call);
    }
}

static void turns(hearth_loop_t *loop, int fd)
{
    char heard[4096];
    for (int i = 0; i < 3; i++)
        hearth_loop_run_once(loop, 0);
    while (read(fd, heard, sizeof heard) > 0)
        ;
}

static void play(hearth_loop_t *loop, hearth_http_client_t *client,
                 int listener, const uint8_t *data, size_t size)
{
    uint8_t how = size > 0 ? data[0] : 0;
    begin(client, how);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        __builtin_trap();
    if (size > 0) {
        data++;
        size--;
    }
    turns(loop, fd);
    while (size > 1) {
        size_t n = 1 + data[0] * 4;
        n = n < size - 1 ? n : size - 1;
        if (ended == began) /* the kept connection's next call */
            begin(client, how);
        hearth_loop_run_once(loop, 0);
        if (send(fd, data + 1, n, MSG_NOSIGNAL) < 0)
            break;
        turns(loop, fd);
        data += 1 + n;
        size -= 1 + n;
    }
    close(fd);
    for (int i = 0; i < 3; i++)
        hearth_loop_run_once(loop, 0);
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        close(fd); /* of calls that were sent again */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char address[80];
    static int listener = -1;
    struct hearth_error err = {0};
    struct hearth_manual_clock clock;
    struct hearth_http_client_config config;
    hearth_loop_t *loop;
    hearth_http_client_t *client;
    hearth_base_init();
    if (listener < 0) {
        snprintf(address, sizeof address, "unix:/tmp/hearth-fuzz-%d.sock",
                 (int)getpid());
        if (hearth_http_listen(&listener, address, &err) != 0)
            __builtin_trap();
    }
    hearth_manual_clock_init(&clock, 1);
    hearth_http_client_config_init(&config);
    config.address = address;
    config.header_bytes = 9000;
    config.connections = 1;
    began = ended = 0;
    if (hearth_loop_create(&loop, &clock.clock) != 0 ||
        hearth_http_client_create(&client, loop, &config, &err) != 0)
        __builtin_trap();
    play(loop, client, listener, data, size);
    hearth_http_client_destroy(&client);
    hearth_loop_destroy(&loop);
    HEARTH_ASSERT(began == ended);
    HEARTH_ASSERT(hearth_mem_used_bytes() == 0);
    return 0;
}
