/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: listening, the set of connections, and the graceful close. */
#include "config.h"

#include "http/server_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ACCEPT_BATCH 16                 /* leaves some to the other loops */
#define ACCEPT_RETRY_US INT64_C(100000) /* out of descriptors */

void hearth_http_limits_init(struct hearth_http_limits *limits)
{
    *limits = (struct hearth_http_limits){
        .header_bytes = 64 << 10,
        .header_count = 128,
        .target_bytes = 8 << 10,
        .body_bytes = UINT64_C(64) << 20,
        .drain_bytes = UINT64_C(256) << 10,
        .write_high_bytes = 1 << 20,
        .connections = 4096,
        .header_us = INT64_C(10000000),
        .body_idle_us = INT64_C(30000000),
        .read_us = 0,
        .write_us = INT64_C(30000000),
        .idle_us = INT64_C(75000000),
    };
}

apr_status_t hearth_http_server_create(hearth_http_server_t **result,
                                       hearth_loop_t *loop,
                                       const struct hearth_http_limits *limits,
                                       const struct hearth_http_handler *h)
{
    HEARTH_LOOP_ASSERT_OWNER(loop);
    HEARTH_ASSERT(h->on_request != NULL && h->on_end != NULL);
    *result = NULL;
    hearth_http_server_t *server = hearth_calloc(1, sizeof(*server));
    if (server == NULL)
        return HEARTH_ENOMEM;
    server->magic = HEARTH_MAGIC_HTTP_SERVER;
    server->loop = loop;
    if (limits != NULL)
        server->limits = *limits;
    else
        hearth_http_limits_init(&server->limits);
    /* A request line and one header need some room, and buffers have 32-bit
     * offsets. */
    if (server->limits.header_bytes < 1024)
        server->limits.header_bytes = 1024;
    if (server->limits.header_bytes > 16 << 20)
        server->limits.header_bytes = 16 << 20;
    server->handler = *h;
    *result = server;
    return 0;
}

static void stop_listening(hearth_http_server_t *server)
{
    for (unsigned i = 0; i < server->listener_count; i++) {
        int fd = server->listeners[i].watch.fd;
        hearth_loop_fd_stop(&server->listeners[i].watch);
        close(fd);
    }
    server->listener_count = 0;
    hearth_loop_timer_stop(&server->retry);
}

void hearth_http_server_destroy(hearth_http_server_t **server_ptr)
{
    hearth_http_server_t *server = *server_ptr;
    if (server == NULL)
        return;
    HEARTH_CHECK(server, HEARTH_MAGIC_HTTP_SERVER);
    HEARTH_LOOP_ASSERT_OWNER(server->loop);
    stop_listening(server);
    server->draining = true;
    server->on_drained = NULL;
    hearth_loop_timer_stop(&server->drain_timer);
    while (server->conns != NULL) {
        HEARTH_ASSERT(!server->conns->busy);
        hearth__http_conn_close(server->conns, HEARTH_HTTP_SHUTDOWN);
    }
    hearth_loop_cancel(server->loop, &server->drain_work);
    server->magic = 0;
    hearth_free(server);
    *server_ptr = NULL;
}

/* ---- Accepting ---- */

void hearth__http_idle_add(hearth_http_request_t *conn)
{
    hearth_http_server_t *server = conn->server;
    if (conn->listed_idle)
        return;
    conn->listed_idle = true;
    conn->idle_next = NULL;
    conn->idle_prev = server->idle_last;
    if (server->idle_last != NULL)
        server->idle_last->idle_next = conn;
    else
        server->idle_first = conn;
    server->idle_last = conn;
}

void hearth__http_idle_remove(hearth_http_request_t *conn)
{
    hearth_http_server_t *server = conn->server;
    if (!conn->listed_idle)
        return;
    conn->listed_idle = false;
    if (conn->idle_prev != NULL)
        conn->idle_prev->idle_next = conn->idle_next;
    else
        server->idle_first = conn->idle_next;
    if (conn->idle_next != NULL)
        conn->idle_next->idle_prev = conn->idle_prev;
    else
        server->idle_last = conn->idle_prev;
}

/* Too many connections: one that waits between requests gives way. */
static bool make_room(hearth_http_server_t *server)
{
    if (server->stats.connections < server->limits.connections)
        return true;
    if (server->idle_first == NULL)
        return false;
    hearth__http_conn_close(server->idle_first, HEARTH_HTTP_SHUTDOWN);
    return true;
}

static void refuse_socket(hearth_http_server_t *server, int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Content-Length: 22\r\nRetry-After: 1\r\n"
                               "Content-Type: text/plain; charset=utf-8\r\n"
                               "Connection: close\r\n\r\n"
                               "too many connections.\n";
    char unread[4096];
    /* A new socket has room for this, or the client gets none. */
    ssize_t n = send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    /* Closing with a request unread would reset the connection, and the client
     * might lose the answer; most requests lie here already, and are small. */
    for (int i = 0; i < 4 && n > 0; i++)
        n = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
    server->stats.refused++;
    close(fd);
}

apr_status_t hearth_http_server_adopt(hearth_http_server_t *server, int fd)
{
    HEARTH_CHECK(server, HEARTH_MAGIC_HTTP_SERVER);
    HEARTH_LOOP_ASSERT_OWNER(server->loop);
    if (server->draining) {
        close(fd);
        return HEARTH_ECLOSING;
    }
    if (!make_room(server)) {
        refuse_socket(server, fd);
        return HEARTH_EBUSY;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return hearth__http_conn_open(server, fd);
}

static void on_retry(struct hearth_loop_timer *timer)
{
    hearth_http_server_t *server =
        HEARTH_CONTAINER(timer, hearth_http_server_t, retry);
    for (unsigned i = 0; i < server->listener_count; i++) {
        struct hearth_loop_fd *watch = &server->listeners[i].watch;
        if (watch->loop == NULL &&
            hearth_loop_fd_start(server->loop, watch, watch->fd,
                                 HEARTH_LOOP_READ | HEARTH_LOOP_EXCLUSIVE,
                                 watch->fn) != 0)
            hearth_loop_timer_start(server->loop, timer, ACCEPT_RETRY_US, 0,
                                    on_retry);
    }
}

static void on_listener(struct hearth_loop_fd *watch, unsigned events)
{
    (void)events;
    hearth_http_server_t *server =
        HEARTH_CONTAINER(watch, struct hearth__http_listener, watch)->server;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            server->stats.accepted++;
            hearth_http_server_adopt(server, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
            errno == ENOMEM) {
            /* The listener stays readable: look away for a while. */
            hearth_loop_fd_stop(watch);
            hearth_loop_timer_start(server->loop, &server->retry,
                                    ACCEPT_RETRY_US, 0, on_retry);
        }
        return;
    }
}

apr_status_t hearth_http_server_listen(hearth_http_server_t *server, int fd)
{
    HEARTH_CHECK(server, HEARTH_MAGIC_HTTP_SERVER);
    if (server->draining)
        return HEARTH_ECLOSING;
    if (server->listener_count == HEARTH__HTTP_LISTENERS)
        return HEARTH_EINVAL;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return errno;
    struct hearth__http_listener *listener =
        &server->listeners[server->listener_count];
    listener->server = server;
    apr_status_t status = hearth_loop_fd_start(
        server->loop, &listener->watch, copy,
        HEARTH_LOOP_READ | HEARTH_LOOP_EXCLUSIVE, on_listener);
    if (status != 0)
        close(copy);
    else
        server->listener_count++;
    return status;
}

/* ---- Graceful close ---- */

static void on_drain_work(struct hearth_loop_work *work)
{
    hearth_http_server_t *server =
        HEARTH_CONTAINER(work, hearth_http_server_t, drain_work);
    hearth_loop_timer_stop(&server->drain_timer);
    if (server->on_drained != NULL)
        server->on_drained(server->drained_ctx);
}

void hearth__http_server_left(hearth_http_server_t *server)
{
    if (!server->draining || server->drained || server->conns != NULL)
        return;
    server->drained = true;
    hearth_loop_post(server->loop, &server->drain_work, on_drain_work);
}

static void on_drain_timer(struct hearth_loop_timer *timer)
{
    hearth_http_server_t *server =
        HEARTH_CONTAINER(timer, hearth_http_server_t, drain_timer);
    while (server->conns != NULL)
        hearth__http_conn_close(server->conns, HEARTH_HTTP_SHUTDOWN);
}

void hearth_http_server_drain(hearth_http_server_t *server, int64_t grace_us,
                              void (*on_drained)(void *ctx), void *ctx)
{
    HEARTH_CHECK(server, HEARTH_MAGIC_HTTP_SERVER);
    HEARTH_LOOP_ASSERT_OWNER(server->loop);
    if (server->draining)
        return;
    stop_listening(server);
    server->on_drained = on_drained;
    server->drained_ctx = ctx;
    server->draining = true;
    hearth_loop_timer_start(server->loop, &server->drain_timer, grace_us, 0,
                            on_drain_timer);
    while (server->idle_first != NULL)
        hearth__http_conn_close(server->idle_first, HEARTH_HTTP_SHUTDOWN);
    hearth__http_server_left(server);
}

void hearth_http_server_stats(const hearth_http_server_t *server,
                              struct hearth_http_server_stats *stats)
{
    *stats = server->stats;
    for (const hearth_http_request_t *conn = server->conns; conn != NULL;
         conn = conn->next) {
        stats->received_bytes += conn->received_bytes;
        stats->sent_bytes += conn->out.sent_bytes;
    }
}
