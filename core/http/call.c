/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: one request to the upstream and its response. As on the server's
 * side, functions that the owner calls only change state, send, and have
 * `call_run` posted; it alone calls back. Sending and reading go on side by
 * side: an upstream may answer, and close, before it has read the body.
 */
#include "config.h"

#include "http/client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEPS 64 /* some 2 MiB of a body, then the others' turn */

/* ---- Beginning and ending ---- */

static void on_work(struct hearth_loop_work *work)
{
    hearth__http_call_run(HEARTH_CONTAINER(work, hearth_http_call_t, work));
}

void hearth__http_call_wake(hearth_http_call_t *call)
{
    if (!call->busy)
        hearth_loop_post(call->client->loop, &call->work, on_work);
}

void hearth__http_call_over(hearth_http_call_t *call, apr_status_t status)
{
    if (call->state == HEARTH__CALL_OVER)
        return;
    call->state = HEARTH__CALL_OVER;
    call->status = status;
    hearth__http_call_wake(call);
}

static void on_deadline(struct hearth_loop_timer *timer)
{
    hearth_http_call_t *call =
        HEARTH_CONTAINER(timer, hearth_http_call_t, deadline);
    hearth__http_call_over(call, HEARTH_ETIMEOUT);
    hearth__http_call_run(call);
}

static apr_status_t take_descriptor(hearth_http_call_t *call, int descriptor)
{
    const struct hearth__http_address *to = &call->client->addresses[0];
    if (to->sa.ss_family != AF_UNIX)
        return HEARTH_EUNSUPPORTED;
    call->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    return call->descriptor < 0 ? APR_FROM_OS_ERROR(errno) : 0;
}

apr_status_t hearth_http_call_start(hearth_http_call_t **result,
                                    hearth_http_client_t *client,
                                    const struct hearth_http_call_spec *spec,
                                    const struct hearth_http_call_handler *h)
{
    HEARTH_CHECK(client, HEARTH_MAGIC_HTTP_CLIENT);
    HEARTH_LOOP_ASSERT_OWNER(client->loop);
    HEARTH_ASSERT(h->on_end != NULL);
    *result = NULL;
    if (client->destroying)
        return HEARTH_ECLOSING;
    if (!hearth__http_call_valid(spec))
        return HEARTH_EINVAL;
    hearth_http_call_t *call = hearth_calloc(1, sizeof(*call));
    if (call == NULL)
        return HEARTH_ENOMEM;
    call->magic = HEARTH_MAGIC_HTTP_CALL;
    call->client = client;
    call->handler = *h;
    call->descriptor = -1;
    apr_status_t status = hearth__http_call_build(call, spec);
    if (status == 0 && spec->descriptor != NULL)
        status = take_descriptor(call, *spec->descriptor);
    if (status != 0) {
        hearth_free(call->message);
        hearth_free(call);
        return status;
    }
    call->prev = client->last;
    if (client->last != NULL)
        client->last->next = call;
    else
        client->first = call;
    client->last = call;
    if (spec->deadline_us != 0)
        hearth_loop_timer_start(client->loop, &call->deadline,
                                spec->deadline_us -
                                    hearth_loop_now_us(client->loop),
                                0, on_deadline);
    *result = call;
    hearth__http_client_dispatch(client);
    return 0;
}

static void unlink_call(hearth_http_call_t *call)
{
    hearth_http_client_t *client = call->client;
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        client->first = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    else
        client->last = call->prev;
}

void hearth__http_call_end(hearth_http_call_t *call)
{
    hearth_http_client_t *client = call->client;
    call->busy = true;
    hearth_loop_timer_stop(&call->deadline);
    /* The response's texts are in the link: it is given back after this. A
     * call that on_end starts waits so long, and may get this link. */
    client->holding++;
    call->handler.on_end(call->handler.ctx, call, call->status);
    client->holding--;
    unlink_call(call);
    hearth_loop_cancel(client->loop, &call->work);
    struct hearth__http_link *link = call->link;
    if (link != NULL && call->keep && !client->destroying)
        hearth__http_link_idle(link);
    else if (link != NULL)
        hearth__http_link_close(link);
    hearth__http_out_clear(&call->early);
    if (call->descriptor >= 0)
        close(call->descriptor);
    hearth_free(call->message);
    call->magic = 0;
    hearth_free(call);
    hearth__http_client_dispatch(client);
}

/* ---- Sending ---- */

static void no_release(void *ctx)
{
    (void)ctx; /* the message lives longer than the link's output */
}

/* Is all of it still here, and did the upstream not act on it, or does it not
 * matter? */
static bool may_retry(const hearth_http_call_t *call)
{
    const struct hearth__http_link *link = call->link;
    return link->reused && !call->retried && !call->answered &&
           !call->streamed &&
           (call->idempotent || link->out.sent_bytes == call->sent_before);
}

/* Nothing more comes on the link, and the response is not whole. */
static void lost(hearth_http_call_t *call)
{
    if (!may_retry(call)) {
        hearth__http_call_over(call, HEARTH_EPEER);
        return;
    }
    hearth__http_link_close(call->link);
    call->link = NULL;
    call->retried = true;
    call->state = HEARTH__CALL_WAITING;
}

static void begin_response(hearth_http_call_t *call)
{
    hearth__http_in_begin(&call->link->in, false);
    call->link->in.parser.skip_body = call->is_head;
}

void hearth__http_call_send(hearth_http_call_t *call)
{
    struct hearth__http_link *link = call->link;
    int fd = link->watch.fd;
    begin_response(call);
    call->sent_before = link->out.sent_bytes;
    /* Not copied: the whole message is "the body". */
    struct iovec none = {call->message, 0};
    size_t skip = call->descriptor >= 0;
    apr_status_t status = 0;
    if (skip)
        status = hearth__http_out_pass(&link->out, fd, call->message,
                                       call->descriptor);
    if (status == 0)
        status = hearth__http_out_send_ref(
            &link->out, fd, &none, call->message + skip,
            call->message_bytes - skip, no_release, NULL);
    if (status == 0 && call->early.bytes > 0) {
        hearth__http_out_append(&link->out, &call->early);
        status = hearth__http_out_flush(&link->out, fd);
    }
    if (link->out.sent_bytes > call->sent_before)
        call->was_sent = true;
    if (status == HEARTH_ENOMEM) {
        hearth__http_call_over(call, HEARTH_ENOMEM);
    } else if (status != 0) {
        /* What the upstream said before it closed may still be unread. */
        hearth__http_out_clear(&link->out);
        link->broken = link->readable = true;
    }
}

bool hearth_http_call_sent(const hearth_http_call_t *call)
{
    HEARTH_CHECK(call, HEARTH_MAGIC_HTTP_CALL);
    return call->was_sent;
}

static bool has_link(const hearth_http_call_t *call)
{
    return call->link != NULL && !call->link->connecting;
}

static apr_status_t put(hearth_http_call_t *call, struct iovec *iov, int count)
{
    struct hearth__http_link *link = call->link;
    apr_status_t status = 0;
    if (!has_link(call))
        status = hearth__http_out_send(&call->early, -1, iov, count);
    else if (!link->broken)
        status = hearth__http_out_send(&link->out, link->watch.fd, iov, count);
    if (status == HEARTH_ENOMEM) {
        hearth__http_call_over(call, HEARTH_ENOMEM);
        return status;
    }
    if (status != 0) {
        hearth__http_out_clear(&link->out);
        link->broken = link->readable = true;
    }
    hearth__http_call_wake(call);
    return 0;
}

static void check(const hearth_http_call_t *call)
{
    HEARTH_CHECK(call, HEARTH_MAGIC_HTTP_CALL);
    HEARTH_LOOP_ASSERT_OWNER(call->client->loop);
}

apr_status_t hearth_http_call_write(hearth_http_call_t *call, const void *data,
                                    size_t bytes)
{
    check(call);
    if (!call->streamed || call->finished)
        return HEARTH_EINVAL;
    if (call->state == HEARTH__CALL_OVER || bytes == 0)
        return 0;
    if (call->body_left >= 0 && bytes > (uint64_t)call->body_left)
        return HEARTH_EINVAL;
    uint64_t unsent =
        has_link(call) ? call->link->out.bytes : call->early.bytes;
    if (unsent > 0 && bytes + unsent > call->client->config.write_high_bytes) {
        call->want_writable = true;
        return HEARTH_EAGAIN;
    }
    struct iovec plain = {(void *)(uintptr_t)data, bytes};
    if (call->body_left >= 0) {
        call->body_left -= (int64_t)bytes;
        return put(call, &plain, 1);
    }
    char line[24];
    int line_bytes = snprintf(line, sizeof(line), "%zx\r\n", bytes);
    struct iovec iov[3] = {
        {line, (size_t)line_bytes}, plain, {(char *)(uintptr_t) "\r\n", 2}};
    return put(call, iov, 3);
}

apr_status_t hearth_http_call_finish(hearth_http_call_t *call)
{
    check(call);
    if (!call->streamed || call->finished)
        return HEARTH_EINVAL;
    if (call->state == HEARTH__CALL_OVER)
        return 0;
    if (call->body_left > 0) {
        hearth__http_call_over(call, HEARTH_ECANCELED);
        return HEARTH_EINVAL;
    }
    call->finished = true;
    if (call->body_left == 0)
        return 0;
    struct iovec iov = {(char *)(uintptr_t) "0\r\n\r\n", 5};
    return put(call, &iov, 1);
}

/* ---- Reading ---- */

static apr_status_t fault_status(const struct hearth__http_fault *fault)
{
    return fault->status == 503 ? HEARTH_ENOMEM : HEARTH_EPROTO;
}

static bool at_head(hearth_http_call_t *call)
{
    struct hearth__http_in *in = &call->link->in;
    struct hearth__http_fault fault;
    if (!hearth__http_in_head(in, &fault)) {
        hearth__http_call_over(call, fault_status(&fault));
        return true;
    }
    unsigned status = in->parser.status;
    if (in->parser.major != 1 || in->parser.minor > 1 || status < 100 ||
        status > 599 || status == 101) {
        hearth__http_call_over(call, HEARTH_EPROTO);
        return true;
    }
    if (status < 200)
        return true; /* its end follows, then another head */
    call->responded = true;
    if (call->handler.on_response != NULL)
        call->handler.on_response(call->handler.ctx, call, (int)status);
    return true;
}

static bool at_end(hearth_http_call_t *call)
{
    struct hearth__http_link *link = call->link;
    if (!call->responded) {
        begin_response(call);
        return true;
    }
    call->keep = link->in.keep_alive && !call->close && call->finished &&
                 link->out.bytes == 0 && !link->broken && !link->hung_up &&
                 link->in.pos == link->in.len &&
                 link->in.body_bytes != HEARTH__HTTP_UNTIL_CLOSE;
    hearth__http_call_over(call, 0);
    return true;
}

static void at_eof(hearth_http_call_t *call)
{
    struct hearth__http_in *in = &call->link->in;
    call->link->broken = true;
    if (call->responded && in->body_bytes == HEARTH__HTTP_UNTIL_CLOSE &&
        hearth__http_parser_eof(&in->parser) == HEARTH__HTTP_END)
        hearth__http_call_over(call, 0);
    else
        lost(call);
}

/* True: there is something new to look at. */
static bool read_more(hearth_http_call_t *call)
{
    struct hearth__http_link *link = call->link;
    if (!link->readable)
        return false;
    int error;
    bool full = false;
    ssize_t n = hearth__http_in_read(&link->in, link->watch.fd, &error, &full);
    if (n > 0) {
        call->answered = true;
        link->readable = full || link->hung_up || link->broken;
        return true;
    }
    if (n == 0) {
        at_eof(call);
    } else if (error == EAGAIN || error == EWOULDBLOCK) {
        link->readable = false;
        return false;
    } else if (error == HEARTH_ETOOBIG) {
        hearth__http_call_over(call, HEARTH_EPROTO);
    } else if (error == HEARTH_ENOMEM) {
        hearth__http_call_over(call, HEARTH_ENOMEM);
    } else {
        lost(call);
    }
    return true;
}

static bool step_input(hearth_http_call_t *call)
{
    struct hearth__http_in *in = &call->link->in;
    switch (hearth__http_in_next(in)) {
    case HEARTH__HTTP_MORE:
        return read_more(call);
    case HEARTH__HTTP_HEAD:
        return at_head(call);
    case HEARTH__HTTP_BODY:
        if (call->handler.on_body != NULL)
            call->handler.on_body(call->handler.ctx, call, in->parser.body_data,
                                  in->parser.body_bytes);
        return true;
    case HEARTH__HTTP_END:
        return at_end(call);
    default:
        hearth__http_call_over(call, in->parser.no_memory ? HEARTH_ENOMEM
                                                          : HEARTH_EPROTO);
        return true;
    }
}

/* ---- The run ---- */

enum outcome { IDLE_NOW = 0, AGAIN, GONE };

static enum outcome step(hearth_http_call_t *call)
{
    if (call->state == HEARTH__CALL_OVER) {
        hearth__http_call_end(call);
        return GONE;
    }
    if (call->state == HEARTH__CALL_WAITING)
        hearth__http_client_dispatch(call->client);
    if (call->state != HEARTH__CALL_RUNNING)
        return call->state == HEARTH__CALL_OVER ? AGAIN : IDLE_NOW;
    if (!has_link(call))
        return IDLE_NOW;
    if (call->want_writable &&
        call->link->out.bytes <= call->client->config.write_high_bytes / 2) {
        call->want_writable = false;
        if (call->handler.on_writable != NULL)
            call->handler.on_writable(call->handler.ctx, call);
        return AGAIN;
    }
    if (call->paused)
        return IDLE_NOW;
    return step_input(call) ? AGAIN : IDLE_NOW;
}

void hearth__http_call_run(hearth_http_call_t *call)
{
    HEARTH_CHECK(call, HEARTH_MAGIC_HTTP_CALL);
    call->busy = true;
    enum outcome outcome = AGAIN;
    for (int steps = 0; steps < STEPS && outcome == AGAIN; steps++)
        outcome = step(call);
    if (outcome == GONE)
        return;
    call->busy = false;
    if (outcome == AGAIN)
        hearth__http_call_wake(call);
    struct hearth__http_link *link = call->link;
    if (link != NULL && !hearth__http_link_watch(link, !link->readable))
        hearth__http_call_over(call, HEARTH_EPEER);
}

void hearth_http_call_pause(hearth_http_call_t *call)
{
    check(call);
    call->paused = true;
}

void hearth_http_call_resume(hearth_http_call_t *call)
{
    check(call);
    if (!call->paused)
        return;
    call->paused = false;
    hearth__http_call_wake(call);
}

void hearth_http_call_cancel(hearth_http_call_t *call)
{
    check(call);
    hearth__http_call_over(call, HEARTH_ECANCELED);
}

/* ---- The response ---- */

const char *hearth_http_call_header(const hearth_http_call_t *call,
                                    const char *name)
{
    if (!call->responded)
        return NULL;
    return hearth__http_find(call->link->in.headers,
                             call->link->in.header_count, name);
}

uint32_t hearth_http_call_headers(const hearth_http_call_t *call,
                                  const struct hearth_http_header **headers)
{
    *headers = call->responded ? call->link->in.headers : NULL;
    return call->responded ? call->link->in.header_count : 0;
}

int64_t hearth_http_call_body_bytes(const hearth_http_call_t *call)
{
    if (!call->responded)
        return 0;
    int64_t bytes = call->link->in.body_bytes;
    return bytes == HEARTH__HTTP_UNTIL_CLOSE ? -1 : bytes;
}
