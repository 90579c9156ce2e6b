/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: the life of a server connection. `conn_run` looks at the two states
 * until nothing more can be done without the peer or the handler, then sets
 * what to wait for. It is never re-entered, and it alone calls the handler
 * and closes, so that no call of a handler frees what it is working on.
 *
 * In the ordinary case a request costs three system calls (poll, read, send):
 * interest in reading is dropped only when bytes arrive that nobody wants yet,
 * and the timer is moved only when it fires or must fire earlier.
 */
#include "config.h"

#include "http/server_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* After an answer that no request of this connection can follow: what the
 * client still sends is thrown away, for if we closed before it has sent all of
 * it, the reset could overtake the answer. Until it rests, and in all. */
#define LINGER_REST_US INT64_C(2000000)
#define LINGER_US INT64_C(30000000)
#define STEPS 64 /* some ten requests, or 2 MiB of a body, at a stretch */

static void conn_run(hearth_http_request_t *conn);

static int64_t now_us(const hearth_http_request_t *conn)
{
    return hearth_loop_now_us(conn->server->loop);
}

/* ---- Waking, failing, closing ---- */

static void on_work(struct hearth_loop_work *work)
{
    conn_run(HEARTH_CONTAINER(work, hearth_http_request_t, work));
}

void hearth__http_conn_wake(hearth_http_request_t *conn)
{
    if (!conn->busy)
        hearth_loop_post(conn->server->loop, &conn->work, on_work);
}

void hearth__http_conn_fail(hearth_http_request_t *conn,
                            enum hearth_http_end end)
{
    if (conn->failed)
        return;
    conn->failed = true;
    conn->end = end;
    hearth__http_conn_wake(conn);
}

static void end_request(hearth_http_request_t *conn, enum hearth_http_end end)
{
    if (!conn->announced)
        return;
    conn->announced = false;
    hearth_http_server_t *server = conn->server;
    server->stats.requests_in_flight--;
    server->handler.on_end(server->handler.ctx, conn, end);
    conn->context = NULL;
    hearth__http_in_drop(&conn->in);
}

void hearth__http_conn_close(hearth_http_request_t *conn,
                             enum hearth_http_end end)
{
    hearth_http_server_t *server = conn->server;
    conn->failed = true; /* calls from on_end have no effect */
    conn->busy = true;
    end_request(conn, end);
    hearth__http_idle_remove(conn);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    hearth_loop_timer_stop(&conn->timer);
    hearth_loop_cancel(server->loop, &conn->work);
    int fd = conn->watch.fd;
    hearth_loop_fd_stop(&conn->watch);
    close(fd);
    server->stats.connections--;
    server->stats.received_bytes += conn->received_bytes;
    server->stats.sent_bytes += conn->out.sent_bytes;
    hearth__http_out_clear(&conn->out);
    hearth__http_in_fini(&conn->in);
    conn->magic = 0;
    hearth_free(conn);
    hearth__http_server_left(server);
}

static void begin_linger(hearth_http_request_t *conn)
{
    conn->in_state = HEARTH__IN_LINGER;
    conn->keep_alive = false;
    conn->input_us = conn->linger_us = now_us(conn);
    conn->in.pos = conn->in.len = conn->in.floor = 0;
}

/* Answers for the module itself, then closes. Nothing was answered yet. */
static void refuse(hearth_http_request_t *conn, int status, const char *why)
{
    hearth_http_server_t *server = conn->server;
    char body[256], head[512];
    int bytes = snprintf(body, sizeof(body), "%d %s: %s\n", status,
                         hearth_http_reason(status), why);
    if (bytes >= (int)sizeof(body))
        bytes = (int)sizeof(body) - 1;
    struct hearth__http_text text = {head, sizeof(head), 0};
    hearth__http_puts(&text, "HTTP/1.1 ");
    hearth__http_put_u64(&text, (uint64_t)status);
    hearth__http_puts(&text, " ");
    hearth__http_puts(&text, hearth_http_reason(status));
    hearth__http_puts(&text, "\r\nContent-Type: text/plain; charset=utf-8\r\n");
    hearth__http_put_date(&text);
    hearth__http_puts(&text, "Connection: close\r\nContent-Length: ");
    hearth__http_put_u64(&text, (uint64_t)bytes);
    hearth__http_puts(&text, "\r\n\r\n");
    struct iovec iov[2] = {{head, text.len}, {body, (size_t)bytes}};
    server->stats.refused++;
    conn->out_state = HEARTH__OUT_FINISHED;
    hearth__http_idle_remove(conn);
    begin_linger(conn);
    hearth__http_conn_send(conn, iov, 2);
}

/* False: the connection is closed. */
static bool finish_failed(hearth_http_request_t *conn)
{
    static const struct {
        int status;
        const char *why;
    } answers[] = {
        [HEARTH_HTTP_TIMEOUT] = {408, "the body did not arrive in time"},
        [HEARTH_HTTP_BAD_BODY] = {400, "malformed body"},
        [HEARTH_HTTP_TOO_BIG] = {413, "the body is over the limit"},
        [HEARTH_HTTP_ABORTED] = {0, NULL},
    };
    enum hearth_http_end end = conn->end;
    if (!conn->announced || conn->out_state != HEARTH__OUT_NONE ||
        answers[end].status == 0) {
        hearth__http_conn_close(conn, end);
        return false;
    }
    end_request(conn, end); /* still failed: its calls have no effect */
    conn->failed = false;
    refuse(conn, answers[end].status, answers[end].why);
    return true;
}

apr_status_t hearth__http_conn_send(hearth_http_request_t *conn,
                                    struct iovec *iov, int count)
{
    if (conn->failed)
        return 0;
    if (conn->out.bytes == 0)
        conn->output_us = now_us(conn);
    apr_status_t status =
        hearth__http_out_send(&conn->out, conn->watch.fd, iov, count);
    if (status != 0)
        hearth__http_conn_fail(conn, status == HEARTH_ENOMEM
                                         ? HEARTH_HTTP_ABORTED
                                         : HEARTH_HTTP_LEFT);
    return status == HEARTH_ENOMEM ? status : 0;
}

bool hearth__http_conn_may_keep(const hearth_http_request_t *conn)
{
    if (conn->server->draining || !conn->in.keep_alive)
        return false;
    if (conn->in_state == HEARTH__IN_DONE || conn->in.body_bytes == 0)
        return true;
    /* A client that was not told to continue may or may not send its body:
     * what comes next cannot be known. */
    if (conn->in_state == HEARTH__IN_HELD && conn->in.expect_continue)
        return false;
    return conn->in.body_bytes > 0 &&
           (uint64_t)conn->in.body_bytes - conn->body_received <=
               conn->server->limits.drain_bytes;
}

/* ---- Input ---- */

static void next_request(hearth_http_request_t *conn)
{
    hearth__http_in_begin(&conn->in, true);
    conn->out_state = HEARTH__OUT_NONE;
    conn->paused = conn->want_writable = false;
    conn->input_us = now_us(conn);
    if (conn->in.len > 0) {
        conn->in_state = HEARTH__IN_HEAD;
        conn->head_start_us = conn->input_us;
        return;
    }
    conn->in_state = HEARTH__IN_IDLE;
    hearth__http_in_idle(&conn->in);
    hearth__http_idle_add(conn);
}

static void begin_request(hearth_http_request_t *conn)
{
    hearth_http_server_t *server = conn->server;
    struct hearth__http_fault fault;
    if (!hearth__http_in_head(&conn->in, &fault)) {
        refuse(conn, fault.status, fault.text);
        return;
    }
    conn->in_state = HEARTH__IN_HELD;
    conn->announced = true;
    conn->body_limit = server->limits.body_bytes;
    conn->body_received = 0;
    conn->context = NULL;
    server->stats.requests++;
    server->stats.requests_in_flight++;
    server->handler.on_request(server->handler.ctx, conn);
}

/* Nothing comes any more. */
static void at_eof(hearth_http_request_t *conn)
{
    conn->hung_up = conn->eof = true;
    conn->readable = false;
    if (conn->in_state == HEARTH__IN_LINGER && conn->out.bytes > 0)
        return; /* it may still be reading the answer */
    hearth__http_conn_fail(conn, HEARTH_HTTP_LEFT);
}

/* True: there is something new to look at. */
static bool read_more(hearth_http_request_t *conn)
{
    if (!conn->readable || conn->eof)
        return false;
    int error;
    bool full = false;
    if (conn->in_state == HEARTH__IN_LINGER)
        conn->in.pos = conn->in.len = 0;
    ssize_t n = hearth__http_in_read(&conn->in, conn->watch.fd, &error, &full);
    if (n == 0) {
        at_eof(conn);
        return true;
    }
    if (n < 0 && (error == EAGAIN || error == EWOULDBLOCK)) {
        conn->readable = false;
        return false;
    }
    if (n < 0) {
        if (error == HEARTH_ETOOBIG) {
            struct hearth__http_fault fault =
                hearth__http_in_fault(&conn->in, HEARTH__HTTP_MORE);
            refuse(conn, fault.status, fault.text);
        } else
            hearth__http_conn_fail(conn, error == HEARTH_ENOMEM
                                             ? HEARTH_HTTP_ABORTED
                                             : HEARTH_HTTP_LEFT);
        return true;
    }
    /* A short read emptied the socket; after a hang-up the end is to come. */
    conn->readable = full || conn->hung_up;
    conn->received_bytes += (uint64_t)n;
    if (conn->in_state == HEARTH__IN_IDLE) {
        conn->in_state = HEARTH__IN_HEAD;
        conn->head_start_us = now_us(conn);
        hearth__http_idle_remove(conn);
    }
    conn->input_us = now_us(conn);
    return true;
}

static bool step_head(hearth_http_request_t *conn)
{
    enum hearth__http_event event = hearth__http_in_next(&conn->in);
    if (event == HEARTH__HTTP_MORE)
        return read_more(conn);
    if (event == HEARTH__HTTP_HEAD) {
        begin_request(conn);
        return true;
    }
    struct hearth__http_fault fault = hearth__http_in_fault(&conn->in, event);
    refuse(conn, fault.status, fault.text);
    return true;
}

/* BODY and DROP. */
static bool step_body(hearth_http_request_t *conn)
{
    const struct hearth_http_handler *handler = &conn->server->handler;
    bool deliver = conn->in_state == HEARTH__IN_BODY;
    enum hearth__http_event event = hearth__http_in_next(&conn->in);
    switch (event) {
    case HEARTH__HTTP_MORE:
        return read_more(conn);
    case HEARTH__HTTP_BODY:
        conn->body_received += conn->in.parser.body_bytes;
        if (!deliver)
            return true;
        if (conn->body_received > conn->body_limit)
            hearth__http_conn_fail(conn, HEARTH_HTTP_TOO_BIG);
        else if (handler->on_body != NULL)
            handler->on_body(handler->ctx, conn, conn->in.parser.body_data,
                             conn->in.parser.body_bytes);
        return true;
    case HEARTH__HTTP_END:
        conn->in_state = HEARTH__IN_DONE;
        if (deliver && handler->on_complete != NULL)
            handler->on_complete(handler->ctx, conn);
        return true;
    default:
        if (deliver)
            hearth__http_conn_fail(conn, HEARTH_HTTP_BAD_BODY);
        else
            begin_linger(conn);
        return true;
    }
}

static bool wants_input(const hearth_http_request_t *conn)
{
    switch (conn->in_state) {
    case HEARTH__IN_HELD:
    case HEARTH__IN_DONE:
        return false;
    case HEARTH__IN_BODY:
        return !conn->paused;
    case HEARTH__IN_DROP:
        return conn->keep_alive;
    default:
        return !conn->eof;
    }
}

static bool step_input(hearth_http_request_t *conn)
{
    if (!wants_input(conn)) {
        /* The client left before its answer is whole: nobody needs it. */
        if (conn->hung_up && conn->announced &&
            conn->out_state != HEARTH__OUT_FINISHED) {
            hearth__http_conn_fail(conn, HEARTH_HTTP_LEFT);
            return true;
        }
        return false;
    }
    switch (conn->in_state) {
    case HEARTH__IN_IDLE:
    case HEARTH__IN_HEAD:
        return step_head(conn);
    case HEARTH__IN_BODY:
    case HEARTH__IN_DROP:
        return step_body(conn);
    default:
        return read_more(conn);
    }
}

/* ---- The run ---- */

enum outcome { IDLE_NOW = 0, AGAIN, CLOSED };

/* What is due after everything queued was sent. */
static enum outcome step_sent(hearth_http_request_t *conn)
{
    if (conn->in_state == HEARTH__IN_LINGER) {
        if (conn->eof) {
            hearth__http_conn_close(conn, HEARTH_HTTP_LEFT);
            return CLOSED;
        }
        if (!conn->shut) {
            conn->shut = true;
            conn->input_us = now_us(conn);
            shutdown(conn->watch.fd, SHUT_WR);
        }
        return IDLE_NOW;
    }
    if (conn->out_state != HEARTH__OUT_FINISHED)
        return IDLE_NOW;
    if (conn->announced) {
        end_request(conn, HEARTH_HTTP_DONE);
        return AGAIN;
    }
    if (conn->keep_alive && !conn->server->draining) {
        if (conn->in_state != HEARTH__IN_DONE)
            return IDLE_NOW; /* the rest of the body comes first */
        next_request(conn);
        return AGAIN;
    }
    if (conn->in_state == HEARTH__IN_DONE && conn->in.pos == conn->in.len &&
        !conn->readable) {
        hearth__http_conn_close(conn, HEARTH_HTTP_DONE);
        return CLOSED;
    }
    /* Closing with unread bytes would reset the connection, and the answer
     * might be lost with it. */
    begin_linger(conn);
    return AGAIN;
}

static enum outcome step(hearth_http_request_t *conn)
{
    if (conn->failed)
        return finish_failed(conn) ? AGAIN : CLOSED;
    if (conn->out.bytes == 0) {
        enum outcome outcome = step_sent(conn);
        if (outcome != IDLE_NOW)
            return outcome;
    }
    if (conn->want_writable && conn->announced &&
        conn->out.bytes <= conn->server->limits.write_high_bytes / 2) {
        const struct hearth_http_handler *handler = &conn->server->handler;
        conn->want_writable = false;
        if (handler->on_writable != NULL)
            handler->on_writable(handler->ctx, conn);
        return AGAIN;
    }
    return step_input(conn) ? AGAIN : IDLE_NOW;
}

static void earlier(int64_t *deadline_us, int64_t from_us, int64_t limit_us)
{
    int64_t at_us;
    if (limit_us > 0 && !__builtin_add_overflow(from_us, limit_us, &at_us) &&
        at_us < *deadline_us)
        *deadline_us = at_us;
}

static int64_t find_deadline(const hearth_http_request_t *conn)
{
    const struct hearth_http_limits *limits = &conn->server->limits;
    int64_t deadline_us = INT64_MAX;
    switch (conn->in_state) {
    case HEARTH__IN_IDLE:
        earlier(&deadline_us, conn->input_us, limits->idle_us);
        break;
    case HEARTH__IN_HEAD:
        earlier(&deadline_us, conn->head_start_us, limits->header_us);
        earlier(&deadline_us, conn->head_start_us, limits->read_us);
        break;
    case HEARTH__IN_BODY:
    case HEARTH__IN_DROP:
        if (!wants_input(conn))
            break;
        earlier(&deadline_us, conn->input_us, limits->body_idle_us);
        earlier(&deadline_us, conn->head_start_us, limits->read_us);
        break;
    case HEARTH__IN_LINGER:
        if (conn->out.bytes > 0)
            break;
        earlier(&deadline_us, conn->input_us, LINGER_REST_US);
        earlier(&deadline_us, conn->linger_us,
                conn->server->draining ? LINGER_REST_US : LINGER_US);
        break;
    default:
        break;
    }
    if (conn->out.bytes > 0)
        earlier(&deadline_us, conn->output_us, limits->write_us);
    return deadline_us;
}

static void on_timer(struct hearth_loop_timer *timer);

static void set_timer(hearth_http_request_t *conn)
{
    conn->deadline_us = find_deadline(conn);
    if (conn->deadline_us == INT64_MAX)
        return; /* a started timer finds out that there is nothing to do */
    if (conn->timer.loop == NULL || conn->timer.at_us > conn->deadline_us)
        hearth_loop_timer_start(conn->server->loop, &conn->timer,
                                conn->deadline_us - now_us(conn), 0, on_timer);
}

static void set_interest(hearth_http_request_t *conn)
{
    unsigned interest = HEARTH_LOOP_NONE;
    if (!conn->eof && (wants_input(conn) || !conn->readable))
        interest |= HEARTH_LOOP_READ;
    if (!conn->hung_up)
        interest |= HEARTH_LOOP_HUP;
    if (conn->out.bytes > 0)
        interest |= HEARTH_LOOP_WRITE;
    if (hearth_loop_fd_interest(&conn->watch, interest) != 0)
        hearth__http_conn_fail(conn, HEARTH_HTTP_ABORTED);
}

static void conn_run(hearth_http_request_t *conn)
{
    HEARTH_CHECK(conn, HEARTH_MAGIC_HTTP_REQUEST);
    conn->busy = true;
    enum outcome outcome = AGAIN;
    for (int steps = 0; steps < STEPS && outcome == AGAIN; steps++)
        outcome = step(conn);
    if (outcome == CLOSED)
        return;
    conn->busy = false;
    if (outcome == AGAIN) /* the other connections' turn */
        hearth__http_conn_wake(conn);
    set_timer(conn);
    set_interest(conn);
}

static void on_timer(struct hearth_loop_timer *timer)
{
    hearth_http_request_t *conn =
        HEARTH_CONTAINER(timer, hearth_http_request_t, timer);
    if (now_us(conn) < conn->deadline_us) {
        set_timer(conn);
        return;
    }
    conn->busy = true;
    if (conn->in_state == HEARTH__IN_HEAD && conn->out.bytes == 0)
        refuse(conn, 408, "the headers did not arrive in time");
    else
        hearth__http_conn_fail(conn, HEARTH_HTTP_TIMEOUT);
    conn_run(conn);
}

static void on_event(struct hearth_loop_fd *watch, unsigned events)
{
    hearth_http_request_t *conn =
        HEARTH_CONTAINER(watch, hearth_http_request_t, watch);
    conn->busy = true;
    if (events & HEARTH_LOOP_READ)
        conn->readable = true;
    if (events & HEARTH_LOOP_HUP)
        conn->readable = conn->hung_up = true;
    if ((events & HEARTH_LOOP_WRITE) && conn->out.bytes > 0) {
        uint64_t before = conn->out.bytes;
        if (hearth__http_out_flush(&conn->out, watch->fd) != 0)
            hearth__http_conn_fail(conn, HEARTH_HTTP_LEFT);
        if (conn->out.bytes != before)
            conn->output_us = now_us(conn);
    }
    conn_run(conn);
}

apr_status_t hearth__http_conn_open(hearth_http_server_t *server, int fd)
{
    hearth_http_request_t *conn = hearth_calloc(1, sizeof(*conn));
    apr_status_t status = HEARTH_ENOMEM;
    if (conn != NULL)
        status =
            hearth_loop_fd_start(server->loop, &conn->watch, fd,
                                 HEARTH_LOOP_READ | HEARTH_LOOP_HUP, on_event);
    if (status != 0) {
        hearth_free(conn);
        close(fd);
        return status;
    }
    int on = 1; /* fails on a unix socket, which needs no such thing */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    conn->magic = HEARTH_MAGIC_HTTP_REQUEST;
    conn->server = server;
    conn->next = server->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    server->conns = conn;
    server->stats.connections++;
    conn->in.head_limit = server->limits.header_bytes;
    conn->in.takes_descriptor = server->limits.descriptors;
    conn->in.header_limit = server->limits.header_count;
    conn->in.target_limit = server->limits.target_bytes;
    next_request(conn);
    set_timer(conn);
    return 0;
}
