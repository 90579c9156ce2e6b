/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c: calls: one waits until hearthd has the function, for a while, is
 * sent, and becomes an answer. Also the client's beginning and end.
 */
#include "client/client_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 256
#define TOKEN_MAX 4096
#define REGISTER_US 2000000

struct hearth_client_call {
    hearth_client_t *client;
    hearth_client_call_t *next, **link;
    void (*done)(void *ctx, const struct hearth_answer *answer);
    void *ctx;
    char *body, *content_type, *request_id, *oip_json_bytes;
    size_t body_bytes;
    int64_t timeout_us, began_us;
    struct hearth_loop_timer wait; /* while it is not sent */
    hearth_http_call_t *http;      /* NULL: it waits */
    bool again, unknown;           /* sent a second time; hearthd said so */

    /* The response. */
    int http_status;
    char *answer, *answer_type, *answer_id;
    size_t answer_bytes, answer_room;
    bool no_memory;
    uint32_t retry_after_s;
    uint64_t answer_oip;
    struct hearth_times times;
};

/* The caller has left. */
static void nobody(void *ctx, const struct hearth_answer *answer)
{
    (void)ctx;
    (void)answer;
}

static void free_call(hearth_client_call_t *call)
{
    hearth_loop_timer_stop(&call->wait);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    hearth_free(call->body);
    hearth_free(call->content_type);
    hearth_free(call->request_id);
    hearth_free(call->oip_json_bytes);
    hearth_free(call->answer);
    hearth_free(call->answer_type);
    hearth_free(call->answer_id);
    hearth_free(call);
}

/* ---- Ends ---- */

static void finish(hearth_client_call_t *call,
                   const struct hearth_answer *answer)
{
    call->done(call->ctx, answer);
    free_call(call);
}

static void fail(hearth_client_call_t *call, const struct hearth_error *err)
{
    char text[sizeof(err->text) + 2];
    struct hearth_answer answer = {
        .struct_bytes = sizeof(answer),
        .status = err->status,
        .http_status = hearth_status_http(err->status),
        .retry_after_s =
            hearth_status_class(err->status) == HEARTH_CLASS_AGAIN ? 1 : 0,
        .request_id = call->request_id ? call->request_id : "",
        .content_type = "text/plain",
        .body = text,
    };

    /* A function that hearthd refuses is no matter of this request. */
    if (err->status == HEARTH_ECONFIG || err->status == HEARTH_EUNSUPPORTED)
        answer.http_status = 503;
    answer.body_bytes =
        (uint64_t)snprintf(text, sizeof(text), "%s\n", err->text);
    answer.times.total_us =
        hearth_loop_now_us(call->client->loop) - call->began_us;
    finish(call, &answer);
}

static void fail_with(hearth_client_call_t *call, int status, const char *text)
{
    struct hearth_error err;

    hearth_fail(&err, status, "%s", text);
    fail(call, &err);
}

/* ---- The response ---- */

static int64_t seconds_of(const char *times, const char *name)
{
    const char *at = times ? strstr(times, name) : NULL;

    return at ? (int64_t)(strtod(at + strlen(name), NULL) * 1e6 + 0.5) : 0;
}

static char *copy_header(hearth_client_call_t *call, hearth_http_call_t *http,
                         const char *name)
{
    const char *value = hearth_http_call_header(http, name);
    char *copy = value ? hearth_strdup(value) : NULL;

    call->no_memory |= value && !copy;
    return copy;
}

static void on_response(void *ctx, hearth_http_call_t *http, int status)
{
    hearth_client_call_t *call = ctx;
    const char *retry = hearth_http_call_header(http, "Retry-After");
    const char *oip =
        hearth_http_call_header(http, "Inference-Header-Content-Length");
    const char *times = hearth_http_call_header(http, "Hearth-Times");

    call->http_status = status;
    call->unknown = hearth_http_call_header(http, "Hearth-Unknown") != NULL;
    call->retry_after_s = retry ? (uint32_t)strtoul(retry, NULL, 10) : 0;
    call->answer_oip = oip ? strtoull(oip, NULL, 10) : 0;
    call->answer_type = copy_header(call, http, "Content-Type");
    call->answer_id = copy_header(call, http, "X-Request-Id");
    call->times.queue_us = seconds_of(times, "queue=");
    call->times.load_us = seconds_of(times, "load=");
    call->times.run_us = seconds_of(times, "run=");
}

static void on_body(void *ctx, hearth_http_call_t *http, const char *data,
                    size_t bytes)
{
    hearth_client_call_t *call = ctx;

    (void)http;
    if (call->answer_bytes + bytes > call->answer_room) {
        size_t room = call->answer_room ? call->answer_room * 2 : 4096;
        char *grown;

        while (room < call->answer_bytes + bytes)
            room *= 2;
        grown = hearth_realloc(call->answer, room);
        if (grown == NULL) {
            call->no_memory = true;
            return;
        }
        call->answer = grown;
        call->answer_room = room;
    }
    memcpy(call->answer + call->answer_bytes, data, bytes);
    call->answer_bytes += bytes;
}

/* The class of an answer, for metrics: the status itself tells the client. */
static int status_of(int http_status)
{
    return http_status < 400    ? HEARTH_OK
           : http_status == 429 ? HEARTH_EBUSY
           : http_status == 504 ? HEARTH_ETIMEOUT
           : http_status >= 500 ? HEARTH_EPEER
                                : HEARTH_EINVAL;
}

static void answered(hearth_client_call_t *call)
{
    struct hearth_answer answer = {
        .struct_bytes = sizeof(answer),
        .status = status_of(call->http_status),
        .http_status = call->http_status,
        .retry_after_s = call->retry_after_s,
        .request_id = call->answer_id ? call->answer_id : "",
        .content_type =
            call->answer_type ? call->answer_type : "application/octet-stream",
        .body = call->answer ? call->answer : "",
        .body_bytes = call->answer_bytes,
        .times = call->times,
        .oip_json_bytes = call->answer_oip,
    };

    answer.times.total_us =
        hearth_loop_now_us(call->client->loop) - call->began_us;
    finish(call, &answer);
}

static void send_call(hearth_client_call_t *call);
static void wait_call(hearth_client_call_t *call);

static void on_end(void *ctx, hearth_http_call_t *http, apr_status_t status)
{
    hearth_client_call_t *call = ctx;
    hearth_client_t *c = call->client;
    bool sent = hearth_http_call_sent(http);

    call->http = NULL;
    if (c->destroying) {
        fail_with(call, HEARTH_ECLOSING, "shutting down: ask another instance");
    } else if (status == HEARTH_EPEER && !sent && call->done != nobody) {
        if (c->step == HEARTH__CLIENT_READY)
            hearth__client_lost(c, "is away");
        wait_call(call);
    } else if (status == HEARTH_EPEER || status == HEARTH_EPROTO) {
        /* It may have been running: it is not sent again. */
        if (c->step == HEARTH__CLIENT_READY)
            hearth__client_lost(c, "broke off");
        fail_with(call, HEARTH_EPEER,
                  "hearthd broke off in the middle of the request: try again");
    } else if (status == HEARTH_ETIMEOUT) {
        fail_with(call, HEARTH_ETIMEOUT,
                  "the deadline passed: try again later, or allow more time");
    } else if (status != HEARTH_OK || call->no_memory) {
        fail_with(call, HEARTH_ENOMEM,
                  "no memory for the answer now: try again");
    } else if (call->unknown && !call->again) {
        call->again = true;
        call->unknown = false;
        call->answer_bytes = 0;
        hearth_free(call->answer_type);
        hearth_free(call->answer_id);
        call->answer_type = call->answer_id = NULL;
        if (c->step == HEARTH__CLIENT_READY) {
            c->step = HEARTH__CLIENT_AWAY;
            hearth__client_register(c);
        }
        wait_call(call);
    } else {
        answered(call);
    }
}

/* ---- Sending and waiting ---- */

static void send_call(hearth_client_call_t *call)
{
    static const struct hearth_http_call_handler handler = {
        .on_response = on_response, .on_body = on_body, .on_end = on_end};
    struct hearth_http_call_handler mine = handler;
    hearth_client_t *c = call->client;
    struct hearth_http_header headers[5];
    struct hearth_http_call_spec spec = {
        .method = "POST",
        .target = c->target,
        .headers = headers,
        .body = call->body ? call->body : "",
        .body_bytes = (int64_t)call->body_bytes,
    };
    char timeout[32];
    int64_t left_us;

    hearth_loop_timer_stop(&call->wait);
    if (call->content_type)
        headers[spec.header_count++] =
            HEARTH_HTTP_HEADER("Content-Type", call->content_type);
    if (call->request_id)
        headers[spec.header_count++] =
            HEARTH_HTTP_HEADER("X-Request-Id", call->request_id);
    if (call->oip_json_bytes)
        headers[spec.header_count++] = HEARTH_HTTP_HEADER(
            "Inference-Header-Content-Length", call->oip_json_bytes);
    if (c->authorization)
        headers[spec.header_count++] =
            HEARTH_HTTP_HEADER("Authorization", c->authorization);
    if (call->timeout_us > 0) {
        left_us =
            call->began_us + call->timeout_us - hearth_loop_now_us(c->loop);
        if (left_us < 1000)
            left_us = 1000;
        snprintf(timeout, sizeof(timeout), "%" PRId64 "ms", left_us / 1000);
        headers[spec.header_count++] = HEARTH_HTTP_HEADER("X-Timeout", timeout);
        /* hearthd answers 504 by itself; this is for one that hangs. */
        spec.deadline_us = hearth_loop_now_us(c->loop) + left_us + 1000000;
    }
    mine.ctx = call;
    if (hearth_http_call_start(&call->http, c->http, &spec, &mine) !=
        HEARTH_OK) {
        call->http = NULL;
        /* Not from inside hearth_client_call. */
        hearth_loop_timer_start(c->loop, &call->wait, 0, 0, call->wait.fn);
    }
}

static void waited_enough(struct hearth_loop_timer *timer)
{
    hearth_client_call_t *call =
        HEARTH_CONTAINER(timer, hearth_client_call_t, wait);
    hearth_client_t *c = call->client;

    if (c->step == HEARTH__CLIENT_READY)
        fail_with(call, HEARTH_ENOMEM,
                  "no memory for the request now: try again");
    else
        fail(call, &c->error);
}

static void wait_call(hearth_client_call_t *call)
{
    hearth_client_t *c = call->client;
    int64_t us = c->config.wait_us;

    /* hearthd is there, and takes the function again. */
    if (call->again && us < REGISTER_US)
        us = REGISTER_US;
    us += call->began_us - hearth_loop_now_us(c->loop);
    if (c->step == HEARTH__CLIENT_REFUSED)
        us = 0;
    hearth_loop_timer_start(c->loop, &call->wait, us, 0, waited_enough);
}

void hearth__client_dispatch(hearth_client_t *c)
{
    for (hearth_client_call_t *call = c->calls, *next; call; call = next) {
        next = call->next;
        if (call->http == NULL)
            send_call(call);
    }
}

void hearth__client_refuse_waiting(hearth_client_t *c)
{
    for (hearth_client_call_t *call = c->calls, *next; call; call = next) {
        next = call->next;
        if (call->http == NULL)
            fail(call, &c->error);
    }
}

static char *copy(const char *text, bool *good)
{
    char *made = text ? hearth_strdup(text) : NULL;

    *good &= !text || made;
    return made;
}

int hearth_client_call(hearth_client_call_t **out, hearth_client_t *c,
                       const struct hearth_client_request *request,
                       void (*done)(void *ctx,
                                    const struct hearth_answer *answer),
                       void *ctx)
{
    hearth_client_call_t *call = hearth_calloc(1, sizeof(*call));
    bool good = call != NULL;

    *out = NULL;
    if (!good)
        return HEARTH_ENOMEM;
    call->client = c;
    call->done = done;
    call->ctx = ctx;
    call->began_us = hearth_loop_now_us(c->loop);
    call->timeout_us = request->timeout_us;
    call->content_type = copy(request->content_type, &good);
    call->request_id = copy(request->request_id, &good);
    call->oip_json_bytes = copy(request->oip_json_bytes, &good);
    if (request->body_bytes > 0) {
        call->body = hearth_malloc(request->body_bytes);
        good &= call->body != NULL;
        if (call->body)
            memcpy(call->body, request->body, request->body_bytes);
        call->body_bytes = request->body_bytes;
    }
    call->link = &c->calls;
    call->next = c->calls;
    if (call->next)
        call->next->link = &call->next;
    c->calls = call;
    if (!good) {
        free_call(call);
        return HEARTH_ENOMEM;
    }
    *out = call;
    call->wait.fn = waited_enough;
    if (c->step == HEARTH__CLIENT_READY)
        send_call(call);
    else
        wait_call(call);
    return HEARTH_OK;
}

void hearth_client_leave(hearth_client_call_t *call)
{
    call->done = nobody;
    if (call->http)
        hearth_http_call_cancel(call->http); /* on_end frees it */
    else
        free_call(call);
}

/* ---- The client ---- */

static int read_token(hearth_client_t *c, struct hearth_error *err)
{
    char *text;
    size_t bytes;
    int status;

    if (c->config.token_file == NULL || *c->config.token_file == '\0')
        return HEARTH_OK;
    status =
        hearth_read_file(c->config.token_file, TOKEN_MAX, &text, &bytes, err);
    if (status != HEARTH_OK)
        return status;
    text[strcspn(text, "\r\n")] = '\0';
    c->authorization = hearth_malloc(strlen(text) + 8);
    if (c->authorization)
        snprintf(c->authorization, strlen(text) + 8, "Bearer %s", text);
    hearth_free(text);
    return c->authorization
               ? HEARTH_OK
               : hearth_fail(err, HEARTH_ENOMEM, "no memory for the token");
}

static int open_http(hearth_client_t *c, struct hearth_error *err)
{
    struct hearth_http_client_config http;
    const char *url = c->config.url;
    char *address;
    int status;

    hearth_http_client_config_init(&http);
    http.connections =
        c->config.connections ? c->config.connections : CONNECTIONS;
    c->is_unix = strncmp(url, "unix:", 5) == 0;
    if (!c->is_unix && strncmp(url, "http://", 7) != 0)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "hearth_url=%.120s: expected unix:/path or "
                           "http://host:port",
                           url);
    address = hearth_strdup(c->is_unix ? url : url + 7);
    if (address == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory");
    if (!c->is_unix)
        address[strcspn(address, "/")] = '\0';
    http.address = address;
    http.connect_us = 1000000;
    status =
        hearth_http_client_create(&c->http, c->loop, &http, err) == APR_SUCCESS
            ? HEARTH_OK
            : HEARTH_ECONFIG;
    hearth_free(address);
    return status;
}

int hearth_client_create(hearth_client_t **out, hearth_loop_t *loop,
                         const struct hearth_client_config *config,
                         struct hearth_error *err)
{
    hearth_client_t *c = hearth_calloc(1, sizeof(*c));
    int status;

    *out = NULL;
    if (c == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for the client");
    c->magic = HEARTH_MAGIC_CLIENT;
    c->loop = loop;
    c->config = *config;
    c->blob_fd = -1;
    c->pause_us = 20000;
    hearth_fail(&c->error, HEARTH_EPEER, "hearthd was not reached yet");
    status = hearth__package_read(&c->package, config->hearth_yaml, err);
    if (status == HEARTH_OK)
        status = read_token(c, err);
    if (status == HEARTH_OK)
        status = open_http(c, err);
    if (status != HEARTH_OK) {
        hearth_client_destroy(&c);
        return status;
    }
    snprintf(c->target, sizeof(c->target), "/v2/hearth/functions/%s",
             c->package.digest);
    hearth__client_register(c);
    *out = c;
    return HEARTH_OK;
}

void hearth_client_destroy(hearth_client_t **out)
{
    hearth_client_t *c = *out;

    if (c == NULL)
        return;
    HEARTH_CHECK(c, HEARTH_MAGIC_CLIENT);
    *out = NULL;
    c->destroying = true;
    hearth_loop_timer_stop(&c->again);
    if (c->http)
        hearth_http_client_destroy(&c->http);
    while (c->calls)
        fail_with(c->calls, HEARTH_ECLOSING,
                  "shutting down: ask another instance");
    hearth__package_free(&c->package);
    hearth_free(c->authorization);
    c->magic = 0;
    hearth_free(c);
}

enum hearth_service_state hearth_client_state(const hearth_client_t *c,
                                              struct hearth_error *err)
{
    HEARTH_CHECK(c, HEARTH_MAGIC_CLIENT);
    if (err)
        *err = c->error;
    return c->step == HEARTH__CLIENT_READY     ? HEARTH_SERVICE_READY
           : c->step == HEARTH__CLIENT_REFUSED ? HEARTH_SERVICE_FAILED
                                               : HEARTH_SERVICE_WARMING;
}

const struct hearth_function_info *hearth_client_info(const hearth_client_t *c)
{
    HEARTH_CHECK(c, HEARTH_MAGIC_CLIENT);
    return hearth_function_info(c->package.function);
}
