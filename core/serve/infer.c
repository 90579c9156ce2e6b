/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer.c: a visit that is an inference: HTTP's head, body and answer against
 * the flow's. The model is open; the tenant's place is taken before a byte of
 * the body is read.
 */
#include "serve/serve_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- The flow's side ---- */

static void on_accept(void *ctx, hearth_request_t *req, uint64_t limit_bytes)
{
    struct hearth__visit *v = ctx;

    (void)req;
    if (v->coding != HEARTH_CODING_NONE &&
        hearth_inflate_create(&v->inflate, v->coding, limit_bytes) !=
            APR_SUCCESS) {
        /* Not from in here: the flow is in the middle of it. */
        hearth_http_abort(v->http);
        return;
    }
    hearth_http_accept(v->http, limit_bytes);
}

static void release_buffer(void *buffer)
{
    hearth_buffer_unref(buffer);
}

static void on_send(void *ctx, hearth_request_t *req,
                    const struct hearth_answer *answer)
{
    struct hearth__visit *v = ctx;
    hearth_buffer_t *buffer = hearth_flow_answer_buffer(req);
    struct hearth_http_header headers[HEARTH__HEADERS_MAX];
    char retry[16], json[24], times[96];
    uint32_t count = 0;

    v->answered = true;
    if (answer->status != HEARTH_OK)
        atomic_fetch_add(&v->node->failures, 1);
    headers[count++] = HEARTH_HTTP_HEADER("Content-Type", answer->content_type);
    headers[count++] = HEARTH_HTTP_HEADER("X-Request-Id", answer->request_id);
    if (answer->retry_after_s > 0) {
        snprintf(retry, sizeof(retry), "%" PRIu32, answer->retry_after_s);
        headers[count++] = HEARTH_HTTP_HEADER("Retry-After", retry);
    }
    if (answer->oip_json_bytes > 0) {
        snprintf(json, sizeof(json), "%" PRIu64, answer->oip_json_bytes);
        headers[count++] =
            HEARTH_HTTP_HEADER("Inference-Header-Content-Length", json);
    }
    snprintf(times, sizeof(times), "queue=%.6f;load=%.6f;run=%.6f",
             (double)answer->times.queue_us / 1e6,
             (double)answer->times.load_us / 1e6,
             (double)answer->times.run_us / 1e6);
    headers[count++] = HEARTH_HTTP_HEADER("Hearth-Times", times);
    if (hearth_http_replied(v->http))
        return; /* the connection's own answer; on_end comes */
    if (buffer)
        hearth_http_reply_ref(v->http, answer->http_status, headers, count,
                              answer->body, answer->body_bytes, release_buffer,
                              hearth_buffer_ref(buffer));
    else
        hearth_http_reply(v->http, answer->http_status, headers, count,
                          answer->body, answer->body_bytes);
}

static const struct hearth_flow_adapter adapter = {on_accept, on_send};

/* ---- HTTP's side ---- */

/* False: refused, and answered. */
static bool take_place(struct hearth__visit *v)
{
    struct hearth__tenant *t = v->tenant;
    uint32_t before = atomic_fetch_add(&t->state->in_flight, 1);

    v->counted = true;
    if (t->max_in_flight == 0 || before < t->max_in_flight)
        return true;
    hearth__visit_error(v, 429,
                        "this tenant has as many requests in flight as it may "
                        "have: try again, or ask the operator for more");
    return false;
}

/* Inference-Header-Content-Length. What is no number is too long for any body,
 * so that decoding refuses it. */
static uint64_t oip_json_bytes(const char *text)
{
    uint64_t bytes;

    if (text == NULL)
        return 0;
    if (*text == '\0' || strlen(text) > 18 ||
        text[strspn(text, "0123456789")] != '\0')
        return UINT64_MAX;
    bytes = strtoull(text, NULL, 10);
    return bytes == 0 ? HEARTH_OIP_RAW : bytes;
}

/* False: refused, and answered. */
static bool take_coding(struct hearth__visit *v)
{
    struct hearth__reply reply = {.header = "Accept-Encoding",
                                  .header_value = "gzip, deflate"};

    v->coding =
        hearth_coding_parse(hearth_http_header(v->http, "Content-Encoding"));
    if (v->coding != HEARTH_CODING_UNKNOWN)
        return true;
    hearth__reply_error(&reply, 501,
                        "this Content-Encoding is not supported: send gzip, "
                        "deflate or none");
    hearth__visit_reply(v, &reply);
    return false;
}

static int64_t asked_timeout_us(hearth_http_request_t *req)
{
    const char *text = hearth_http_header(req, "X-Timeout");
    int64_t us;

    return text && hearth_parse_duration_us(text, &us) && us > 0 ? us : 0;
}

/* What only a model with a hearth.yaml takes; any other one says so. */
static bool is_picture(const char *type)
{
    return type && strncasecmp(type, "image/", 6) == 0;
}

void hearth__infer_begin(struct hearth__visit *v)
{
    const char *type = hearth_http_header(v->http, "Content-Type");
    struct hearth_flow_head head = {
        .content_type = type,
        .request_id = hearth_http_header(v->http, "X-Request-Id"),
        .body_bytes = hearth_http_body_bytes(v->http),
        .oip_json_bytes = oip_json_bytes(
            hearth_http_header(v->http, "Inference-Header-Content-Length")),
        .timeout_us = asked_timeout_us(v->http),
        .tenant = v->tenant->state->number,
        .as_oip = !v->as_function && !is_picture(type),
    };

    if (type && strncasecmp(type, "multipart/", 10) == 0) {
        hearth__visit_error(v, 415,
                            "multipart bodies are not taken: send JSON, JSON "
                            "with binary tensors, or raw bytes");
        return;
    }
    if (!take_coding(v) || !take_place(v))
        return;
    if (v->coding != HEARTH_CODING_NONE)
        head.body_bytes = -1;
    if (hearth_flow_begin(&v->flow, v->service, v->loop, &adapter, v, &head) !=
        APR_SUCCESS)
        hearth__visit_error(v, 503, "no memory for the request now: try again");
}

static void deliver(void *ctx, const void *data, size_t bytes)
{
    struct hearth__visit *v = ctx;

    if (v->flow)
        hearth_flow_body(v->flow, data, bytes);
}

/* The body is broken: the flow has no use for the rest. */
static void refuse_body(struct hearth__visit *v, const struct hearth_error *err)
{
    hearth_request_t *flow = v->flow;

    v->flow = NULL;
    hearth_flow_leave(flow);
    hearth__visit_fail(v, err);
}

void hearth__infer_body(struct hearth__visit *v, const char *data, size_t bytes)
{
    struct hearth_error err = {0};

    if (v->flow == NULL || v->answered)
        return;
    if (v->inflate == NULL)
        hearth_flow_body(v->flow, data, bytes);
    else if (hearth_inflate_write(v->inflate, data, bytes, deliver, v, &err) !=
                 HEARTH_OK &&
             !v->answered)
        refuse_body(v, &err);
}

void hearth__infer_body_end(struct hearth__visit *v)
{
    struct hearth_error err = {0};

    if (v->flow == NULL || v->answered)
        return;
    if (v->inflate && hearth_inflate_end(v->inflate, &err) != HEARTH_OK)
        refuse_body(v, &err);
    else
        hearth_flow_body_end(v->flow);
}

void hearth__infer_end(struct hearth__visit *v)
{
    hearth_request_t *flow = v->flow;

    v->flow = NULL;
    if (flow && v->answered)
        hearth_flow_sent(flow);
    else if (flow)
        hearth_flow_leave(flow);
}
