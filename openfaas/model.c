/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c: mode=model: an HTTP request becomes a request of the flow, or, with
 * hearth_url, a call to hearthd, and its answer an HTTP answer. A visit is what
 * belongs to one HTTP request; it lives from on_request to on_end, on one I/O
 * thread.
 */
#include "openfaas/watchdog.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct visit {
    struct hearth_watchdog *watchdog;
    hearth_http_request_t *http;
    hearth_request_t *flow; /* NULL: not begun, or over */
    bool answered;          /* the answer was given to HTTP */
    /* Shared: the body is kept, so that it can be sent again. */
    hearth_client_call_t *call; /* NULL: not begun, or over */
    char *body;
    size_t body_bytes, body_room;
    int code;
    uint64_t bytes;
    int64_t began_us;
};

static int64_t now_us(const struct visit *visit)
{
    return hearth_now_us(hearth_loop_clock(hearth_http_loop(visit->http)));
}

/* ---- The flow's side. ---- */

static void on_accept(void *ctx, hearth_request_t *req, uint64_t limit_bytes)
{
    struct visit *visit = ctx;

    (void)req;
    /* The flow has checked Content-Length; a client that is gone ends the
     * request by on_end. */
    hearth_http_accept(visit->http, limit_bytes);
}

static void release_buffer(void *buffer)
{
    hearth_buffer_unref(buffer);
}

struct headers {
    struct hearth_http_header rows[8];
    uint32_t count;
};

static void add_header(struct headers *headers, const char *name,
                       const char *value)
{
    headers->rows[headers->count++] = HEARTH_HTTP_HEADER(name, value);
}

/* <buffer> holds the body; NULL: it is copied. */
static void send_answer(struct visit *visit, const struct hearth_answer *answer,
                        hearth_buffer_t *buffer)
{
    struct headers headers = {.count = 0};
    char seconds[32], retry[16], json[24];

    visit->answered = true;
    visit->code = answer->http_status;
    visit->bytes = answer->body_bytes;
    snprintf(seconds, sizeof(seconds), "%.6f",
             (double)(now_us(visit) - visit->began_us) / 1e6);
    add_header(&headers, "Content-Type", answer->content_type);
    add_header(&headers, "X-Duration-Seconds", seconds);
    add_header(&headers, "X-Request-Id", answer->request_id);
    if (answer->retry_after_s > 0) {
        snprintf(retry, sizeof(retry), "%" PRIu32, answer->retry_after_s);
        add_header(&headers, "Retry-After", retry);
    }
    if (answer->oip_json_bytes > 0) {
        snprintf(json, sizeof(json), "%" PRIu64, answer->oip_json_bytes);
        add_header(&headers, "Inference-Header-Content-Length", json);
    }
    if (answer->status == HEARTH_EBUSY)
        add_header(&headers, "X-Openfaas-Internal", "faas-middleware");
    else if (answer->http_status >= 500)
        add_header(&headers, "X-Openfaas-Internal", "of-watchdog");
    if (hearth_http_replied(visit->http))
        return; /* 408, 413: the connection's own answer; on_end comes */
    if (buffer)
        hearth_http_reply_ref(visit->http, answer->http_status, headers.rows,
                              headers.count, answer->body, answer->body_bytes,
                              release_buffer, hearth_buffer_ref(buffer));
    else
        hearth_http_reply(visit->http, answer->http_status, headers.rows,
                          headers.count, answer->body, answer->body_bytes);
}

static void on_send(void *ctx, hearth_request_t *req,
                    const struct hearth_answer *answer)
{
    send_answer(ctx, answer, hearth_flow_answer_buffer(req));
}

static const struct hearth_flow_adapter adapter = {on_accept, on_send};

/* ---- hearthd's side. ---- */

static void on_done(void *ctx, const struct hearth_answer *answer)
{
    struct visit *visit = ctx;

    visit->call = NULL;
    send_answer(visit, answer, NULL);
}

/* An answer of our own, as the engine would give it. */
static void refuse(struct visit *visit, int status, const char *text)
{
    struct hearth_answer answer = {
        .status = status,
        .http_status = hearth_status_http(status),
        .retry_after_s =
            hearth_status_class(status) == HEARTH_CLASS_AGAIN ? 1 : 0,
        .request_id = "",
        .content_type = "text/plain",
        .body = text,
        .body_bytes = strlen(text),
    };

    send_answer(visit, &answer, NULL);
}

static void shared_begin(struct visit *visit)
{
    struct hearth_watchdog *watchdog = visit->watchdog;
    int64_t limit = watchdog->config.max_in_flight;
    uint64_t most = hearth_client_info(watchdog->client)->max_body_bytes;
    char text[96];

    if (limit > 0 && atomic_load(&watchdog->in_flight) > limit) {
        snprintf(text, sizeof(text),
                 "Concurrent request limit exceeded. Max concurrent requests: "
                 "%lld\n",
                 (long long)limit);
        refuse(visit, HEARTH_EBUSY, text);
    } else if (hearth_http_accept(visit->http, most) == HEARTH_ETOOBIG) {
        snprintf(text, sizeof(text),
                 "the body is longer than %llu bytes: send less\n",
                 (unsigned long long)most);
        refuse(visit, HEARTH_ETOOBIG, text);
    }
}

static void shared_body(struct visit *visit, const char *data, size_t bytes)
{
    if (visit->body_bytes + bytes > visit->body_room) {
        int64_t known = hearth_http_body_bytes(visit->http);
        size_t room = visit->body_room ? visit->body_room * 2 : 16384;
        char *grown;

        if (known > 0 && known <= 1 << 20 && (size_t)known > room)
            room = (size_t)known;
        while (room < visit->body_bytes + bytes)
            room *= 2;
        grown = hearth_realloc(visit->body, room);
        if (grown == NULL) {
            refuse(visit, HEARTH_ENOMEM, "no memory for the body now\n");
            return;
        }
        visit->body = grown;
        visit->body_room = room;
    }
    memcpy(visit->body + visit->body_bytes, data, bytes);
    visit->body_bytes += bytes;
}

static int64_t asked_timeout_us(hearth_http_request_t *req);

static void shared_call(struct visit *visit)
{
    struct hearth_watchdog *watchdog = visit->watchdog;
    struct hearth_client_request request = {
        .body = visit->body,
        .body_bytes = visit->body_bytes,
        .content_type = hearth_http_header(visit->http, "Content-Type"),
        .request_id = hearth_http_header(visit->http, "X-Request-Id"),
        .oip_json_bytes =
            hearth_http_header(visit->http, "Inference-Header-Content-Length"),
        .timeout_us = watchdog->config.exec_us,
    };
    int64_t asked = asked_timeout_us(visit->http);

    if (request.request_id == NULL)
        request.request_id = hearth_http_header(visit->http, "X-Call-Id");
    if (asked > 0 && (request.timeout_us <= 0 || asked < request.timeout_us))
        request.timeout_us = asked;
    if (hearth_client_call(&visit->call, watchdog->client, &request, on_done,
                           visit) != HEARTH_OK)
        refuse(visit, HEARTH_ENOMEM, "no memory for the request now\n");
    hearth_free(visit->body);
    visit->body = NULL;
}

/* ---- HTTP's side. ---- */

/* A shorter limit that the caller asks for; 0: none that counts. */
static int64_t asked_timeout_us(hearth_http_request_t *req)
{
    const char *text = hearth_http_header(req, "X-Timeout");
    int64_t us;

    return text && hearth_parse_duration_us(text, &us) && us > 0 ? us : 0;
}

/* Length of the JSON before binary parts; what is no number is too long for
 * any body, so that decoding refuses it. */
static uint64_t oip_json_bytes(hearth_http_request_t *req)
{
    const char *text =
        hearth_http_header(req, "Inference-Header-Content-Length");

    if (text == NULL)
        return 0;
    if (*text == '\0' || strlen(text) > 18 ||
        text[strspn(text, "0123456789")] != '\0')
        return UINT64_MAX;
    return strtoull(text, NULL, 10);
}

static void on_request(void *ctx, hearth_http_request_t *req)
{
    static const char nomem[] = "no memory for the request now\n";
    struct hearth_watchdog *watchdog = ctx;
    struct hearth_flow_head head = {
        .content_type = hearth_http_header(req, "Content-Type"),
        .request_id = hearth_http_header(req, "X-Request-Id"),
        .body_bytes = hearth_http_body_bytes(req),
        .oip_json_bytes = oip_json_bytes(req),
        .timeout_us = asked_timeout_us(req),
    };
    struct visit *visit;

    hearth_http_set_context(req, NULL);
    if (hearth__watchdog_private(watchdog, req))
        return;
    if (head.request_id == NULL)
        head.request_id = hearth_http_header(req, "X-Call-Id");
    visit = hearth_calloc(1, sizeof(*visit));
    if (visit == NULL) {
        hearth_http_reply(req, 503, NULL, 0, nomem, sizeof(nomem) - 1);
        return;
    }
    visit->watchdog = watchdog;
    visit->http = req;
    visit->began_us = now_us(visit);
    hearth_http_set_context(req, visit);
    atomic_fetch_add(&watchdog->in_flight, 1);
    if (watchdog->client) {
        shared_begin(visit);
        return;
    }
    if (hearth_flow_begin(&visit->flow, watchdog->service,
                          hearth_http_loop(req), &adapter, visit,
                          &head) != APR_SUCCESS) {
        visit->code = 503;
        hearth_http_reply(req, 503, NULL, 0, nomem, sizeof(nomem) - 1);
    }
}

static void on_body(void *ctx, hearth_http_request_t *req, const char *data,
                    size_t bytes)
{
    struct visit *visit = hearth_http_context(req);

    (void)ctx;
    if (visit && visit->flow)
        hearth_flow_body(visit->flow, data, bytes);
    else if (visit && visit->watchdog->client && !visit->answered)
        shared_body(visit, data, bytes);
}

static void on_complete(void *ctx, hearth_http_request_t *req)
{
    struct visit *visit = hearth_http_context(req);

    (void)ctx;
    if (visit && visit->flow)
        hearth_flow_body_end(visit->flow);
    else if (visit && visit->watchdog->client && !visit->answered)
        shared_call(visit);
}

/* "POST /x?a=1 - 200 OK - ContentLength: 106B (0.0030s) [id]"; not for the
 * probes of Kubernetes. */
static void log_access(const struct visit *visit, int64_t us)
{
    const char *agent = hearth_http_header(visit->http, "User-Agent");
    const char *id = hearth_http_header(visit->http, "X-Call-Id");
    char size[32];

    if (agent && strncmp(agent, "kube-probe", 10) == 0)
        return;
    hearth_watchdog_log(
        "%s %s - %d %s - ContentLength: %s (%.4fs)%s%s%s",
        hearth_http_method(visit->http), hearth_http_target(visit->http),
        visit->code,
        visit->code == 499 ? "Client Left" : hearth_http_reason(visit->code),
        hearth_watchdog_size(visit->bytes, size, sizeof(size)),
        (double)us / 1e6, visit->watchdog->config.log_call_id ? " [" : "",
        !visit->watchdog->config.log_call_id ? ""
        : id                                 ? id
                                             : "none",
        visit->watchdog->config.log_call_id ? "]" : "");
}

/* What the client saw, when the flow's answer did not reach it. */
static int end_code(enum hearth_http_end end, int code)
{
    switch (end) {
    case HEARTH_HTTP_DONE:
        return code;
    case HEARTH_HTTP_TIMEOUT:
        return 408;
    case HEARTH_HTTP_BAD_BODY:
        return 400;
    case HEARTH_HTTP_TOO_BIG:
        return 413;
    case HEARTH_HTTP_LEFT:
        return 499;
    default:
        return 503;
    }
}

static void on_end(void *ctx, hearth_http_request_t *req,
                   enum hearth_http_end end)
{
    struct visit *visit = hearth_http_context(req);
    int64_t us;

    (void)ctx;
    if (visit == NULL)
        return;
    us = now_us(visit) - visit->began_us;
    if (end == HEARTH_HTTP_SHUTDOWN)
        atomic_store(&visit->watchdog->cut_off, true);
    visit->code = end_code(end, visit->code);
    if (visit->flow && visit->answered)
        hearth_flow_sent(visit->flow);
    else if (visit->flow)
        hearth_flow_leave(visit->flow);
    if (visit->call)
        hearth_client_leave(visit->call);
    hearth_free(visit->body);
    atomic_fetch_sub(&visit->watchdog->in_flight, 1);
    hearth__watchdog_count(visit->watchdog, hearth_http_method(req),
                           visit->code, us);
    log_access(visit, us);
    hearth_free(visit);
}

const struct hearth_http_handler hearth__watchdog_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_complete = on_complete,
    .on_end = on_end,
};
