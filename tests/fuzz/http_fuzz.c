/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_fuzz.c: any bytes as what a client sends, in pieces that the bytes
 * choose: a piece is a length and that many bytes. The handler accepts, refuses
 * or streams by the path. At the end every request that began has ended.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int began, ended;

static void on_request(void *ctx, hearth_http_request_t *req)
{
    const char *path = hearth_http_path(req);
    (void)ctx;
    began++;
    if (strlen(path) % 3 == 1)
        hearth_http_reply(req, 200, NULL, 0, "now", 3);
    else if (hearth_http_accept(req, 1000) == HEARTH_ETOOBIG)
        hearth_http_reply(req, 413, NULL, 0, NULL, 0);
    (void)hearth_http_header(req, "x-request-id");
    (void)hearth_http_query(req);
}

static void on_body(void *ctx, hearth_http_request_t *req, const char *data,
                    size_t bytes)
{
    (void)ctx;
    (void)data;
    if (bytes % 7 == 3) {
        hearth_http_pause(req);
        hearth_http_resume(req);
    }
}

static void on_complete(void *ctx, hearth_http_request_t *req)
{
    (void)ctx;
    if (hearth_http_replied(req))
        return;
    if (hearth_http_body_bytes(req) % 2 == 0) {
        hearth_http_reply(req, 200, NULL, 0, "whole", 5);
        return;
    }
    hearth_http_reply_begin(req, 200, NULL, 0, -1);
    hearth_http_write(req, "piece", 5);
    hearth_http_reply_end(req);
}

static void on_end(void *ctx, hearth_http_request_t *req,
                   enum hearth_http_end end)
{
    (void)ctx;
    (void)req;
    (void)end;
    ended++;
}

static const struct hearth_http_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_complete = on_complete,
    .on_end = on_end,
};

static void turns(hearth_loop_t *loop, int fd)
{
    char heard[4096];
    for (int i = 0; i < 3; i++)
        hearth_loop_run_once(loop, 0);
    while (read(fd, heard, sizeof heard) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hearth_manual_clock clock;
    struct hearth_http_limits limits;
    hearth_loop_t *loop;
    hearth_http_server_t *server;
    int pair[2];
    hearth_base_init();
    hearth_manual_clock_init(&clock, 1);
    hearth_http_limits_init(&limits);
    limits.header_bytes = 9000;
    began = ended = 0;
    if (hearth_loop_create(&loop, &clock.clock) != 0)
        return 0;
    if (hearth_http_server_create(&server, loop, &limits, &handler) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        __builtin_trap();
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    hearth_http_server_adopt(server, pair[1]);
    while (size > 1) {
        size_t n = 1 + data[0] * 4;
        n = n < size - 1 ? n : size - 1;
        if (send(pair[0], data + 1, n, MSG_NOSIGNAL) < 0)
            break;
        turns(loop, pair[0]);
        data += 1 + n;
        size -= 1 + n;
    }
    hearth_manual_clock_advance(&clock, 100000000);
    turns(loop, pair[0]);
    close(pair[0]);
    for (int i = 0; i < 3; i++)
        hearth_loop_run_once(loop, 0);
    hearth_http_server_destroy(&server);
    hearth_loop_destroy(&loop);
    HEARTH_ASSERT(began == ended);
    return 0;
}
