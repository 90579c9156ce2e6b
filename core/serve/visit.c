/* SPDX-License-Identifier: Apache-2.0 */
/*
 * visit.c: an HTTP request from its head to its end: who is asking, what for,
 * and may they; then the route's own code. A visit lives on one I/O thread,
 * except that a worker has it while `working`; it ends when both HTTP and the
 * worker are through with it.
 */
#include "serve/serve_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- Answers ---- */

char *hearth__error_json(const char *text, size_t *bytes)
{
    json_t *object = json_object();
    json_t *string = json_string(text);
    char *dumped = NULL, *copy = NULL;

    if (string == NULL) /* no UTF-8: it quotes what a client sent */
        string = json_string("the request cannot be served; its error quotes "
                             "bytes that are no UTF-8");
    json_object_set_new(object, "error", string);
    dumped = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (dumped) {
        copy = hearth_strdup(dumped);
        *bytes = strlen(dumped);
    }
    free(dumped); /* Jansson's */
    return copy;
}

static void send_reply(struct hearth__visit *v, const struct hearth__reply *r)
{
    struct hearth_http_header headers[HEARTH__HEADERS_MAX];
    uint32_t count = 0;
    char retry[16];

    if (v->http == NULL || hearth_http_replied(v->http))
        return;
    headers[count++] = HEARTH_HTTP_HEADER(
        "Content-Type", r->content_type ? r->content_type : "application/json");
    if (r->retry_after_s > 0) {
        snprintf(retry, sizeof(retry), "%u", r->retry_after_s);
        headers[count++] = HEARTH_HTTP_HEADER("Retry-After", retry);
    }
    if (r->header)
        headers[count++] = HEARTH_HTTP_HEADER(r->header, r->header_value);
    hearth_http_reply(v->http, r->status, headers, count, r->body,
                      r->body ? r->bytes : 0);
}

void hearth__visit_reply(struct hearth__visit *v, struct hearth__reply *r)
{
    send_reply(v, r);
    hearth_free(r->body);
    r->body = NULL;
}

void hearth__reply_json(struct hearth__reply *reply, int status, json_t *object)
{
    char *dumped = object ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    hearth_free(reply->body);
    reply->body = dumped ? hearth_strdup(dumped) : NULL;
    reply->bytes = dumped ? strlen(dumped) : 0;
    reply->status = reply->body ? status : 503;
    free(dumped); /* Jansson's */
}

void hearth__reply_error(struct hearth__reply *reply, int status,
                         const char *text)
{
    hearth_free(reply->body);
    reply->body = hearth__error_json(text, &reply->bytes);
    reply->status = status;
}

static uint32_t retry_after(int status)
{
    return hearth_status_class(status) == HEARTH_CLASS_AGAIN ? 1 : 0;
}

void hearth__reply_fail(struct hearth__reply *reply,
                        const struct hearth_error *err)
{
    hearth__reply_error(reply, hearth_status_http(err->status), err->text);
    reply->retry_after_s = retry_after(err->status);
}

void hearth__visit_error(struct hearth__visit *v, int status, const char *text)
{
    struct hearth__reply reply = {.body = NULL};

    hearth__reply_error(&reply, status, text);
    if (status == 429 || status == 503)
        reply.retry_after_s = 1;
    if (status == 401) {
        reply.header = "WWW-Authenticate";
        reply.header_value = "Bearer";
    }
    hearth__visit_reply(v, &reply);
}

void hearth__visit_fail(struct hearth__visit *v, const struct hearth_error *err)
{
    struct hearth__reply reply = {.body = NULL};

    hearth__reply_fail(&reply, err);
    hearth__visit_reply(v, &reply);
}

void hearth__visit_json(struct hearth__visit *v, int status, json_t *object)
{
    struct hearth__reply reply = {.body = NULL};

    hearth__reply_json(&reply, status, object);
    hearth__visit_reply(v, &reply);
}

/* ---- Who is asking ---- */

/* In a time that does not depend on where they differ. */
static bool same_token(const char *a, const char *b)
{
    size_t bytes = strlen(a);
    unsigned char differ = strlen(b) != bytes;

    for (size_t i = 0; i < bytes && !differ; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return !differ;
}

static bool take_token(struct hearth__visit *v, const char *token)
{
    if (v->tenants->operator_token &&
        same_token(v->tenants->operator_token, token)) {
        v->is_operator = v->may_load = true;
        return true;
    }
    for (uint32_t i = 0; i < v->tenants->count; i++) {
        struct hearth__tenant *t = v->tenants->list[i];

        if (t->token && same_token(t->token, token)) {
            v->tenant = t;
            v->may_load = t->may_load;
            return true;
        }
    }
    return false;
}

/* Of a unix socket. False: it may not use this door. */
static bool identify_peer(struct hearth__visit *v)
{
    struct hearth_http_peer peer;
    uint32_t groups[64], count;

    if (hearth_http_peer_credentials(v->http, &peer) != HEARTH_OK)
        return false;
    if (v->door == HEARTH_DOOR_ADMIN) {
        v->is_operator = v->may_load = peer.uid == 0 || peer.uid == geteuid();
        return v->is_operator;
    }
    count = hearth_http_peer_groups(v->http, groups, 63);
    groups[count++] = peer.gid;
    v->tenant = hearth__tenant_of(v->tenants, peer.uid, groups, count);
    v->may_load = true;
    return true;
}

/* False: refused, and answered. */
static bool identify(struct hearth__visit *v)
{
    const char *text = hearth_http_header(v->http, "Authorization");

    v->tenants = hearth__node_tenants(v->node);
    v->tenant = v->tenants->tcp;
    if (v->door != HEARTH_DOOR_TCP && !identify_peer(v)) {
        hearth__visit_error(v, 403,
                            "this socket is for root and hearthd's own user: "
                            "use the infer socket, or sudo");
        return false;
    }
    if (text && strncasecmp(text, "Bearer ", 7) == 0 &&
        !take_token(v, text + 7 + strspn(text + 7, " "))) {
        hearth__visit_error(v, 401, "the token is not known");
        return false;
    }
    return true;
}

/* False: refused, and answered. */
static bool allowed(struct hearth__visit *v)
{
    switch (v->route->right) {
    case HEARTH__RIGHT_OPERATOR:
        if (v->is_operator)
            return true;
        hearth__visit_error(v, 403,
                            "this is for the operator: use the admin socket, "
                            "or the operator's token");
        return false;
    case HEARTH__RIGHT_LOAD:
        if (v->may_load || v->is_operator)
            return true;
        hearth__visit_error(v, 403,
                            "loading and unloading are closed over TCP: send "
                            "the token that opens them, or use the socket");
        return false;
    default:
        return true;
    }
}

/* ---- The wait for a model ---- */

static void go_on(struct hearth__visit *v)
{
    if (v->route->kind == HEARTH__ROUTE_INFER)
        hearth__infer_begin(v);
    else
        v->route->now(v);
}

static void free_visit(struct hearth__visit *v);

static void model_opened(struct hearth_loop_work *work)
{
    struct hearth__visit *v =
        HEARTH_CONTAINER(work, struct hearth__visit, waiter.work);

    v->waiting = false;
    v->service = v->waiter.service;
    if (v->http == NULL)
        free_visit(v);
    else if (v->service)
        go_on(v);
    else
        hearth__visit_fail(v, &v->waiter.error);
}

/* The name may be new on the disk: a look costs a few calls, on a worker. */
static void look_for_name(struct hearth__work *work)
{
    struct hearth__visit *v =
        HEARTH_CONTAINER(work, struct hearth__visit, work);

    hearth__scan(v->node, v->name, NULL);
    hearth_loop_post(v->loop, &v->back, v->back.fn);
}

static void want_model(struct hearth__visit *v, bool looked);

static void name_was_looked_for(struct hearth_loop_work *work)
{
    struct hearth__visit *v =
        HEARTH_CONTAINER(work, struct hearth__visit, back);

    v->working = false;
    if (v->http == NULL)
        free_visit(v);
    else
        want_model(v, true);
}

static void want_model(struct hearth__visit *v, bool looked)
{
    const struct hearth__tenant *tenant = v->is_operator ? NULL : v->tenant;
    struct hearth_error err = {0};
    struct hearth__served *s =
        hearth__served_find(v->node, tenant, v->name, v->version, &err);
    int status;

    if (s == NULL) {
        if (!looked && (!tenant || hearth__tenant_sees(tenant, v->name))) {
            v->working = true;
            v->work.fn = look_for_name;
            v->back.fn = name_was_looked_for;
            hearth__workers_do(v->node->workers, &v->work);
        } else {
            hearth__visit_fail(v, &err);
        }
        return;
    }
    v->waiter.loop = v->loop;
    v->waiter.over = model_opened;
    v->waiting = true;
    status = hearth__served_want(v->node, s, &v->waiter, &v->service, &err);
    hearth__served_unref(v->node, s);
    if (status == HEARTH_EAGAIN)
        return;
    v->waiting = false;
    if (status == HEARTH_OK)
        go_on(v);
    else
        hearth__visit_fail(v, &err);
}

/* ---- Work with a small body ---- */

static void work_is_done(struct hearth_loop_work *work)
{
    struct hearth__visit *v =
        HEARTH_CONTAINER(work, struct hearth__visit, back);

    v->working = false;
    if (v->http == NULL)
        free_visit(v);
    else if (v->reply.status != 0)
        hearth__visit_reply(v, &v->reply);
    else
        hearth_http_resume(v->http); /* a piece was written */
}

void hearth__visit_worked(struct hearth__visit *v)
{
    v->working = false;
    if (v->http == NULL)
        free_visit(v);
}

static void do_work(struct hearth__work *work)
{
    struct hearth__visit *v =
        HEARTH_CONTAINER(work, struct hearth__visit, work);

    if (v->route->kind == HEARTH__ROUTE_IMPORT) {
        hearth__import_model(v); /* ends with hearth__visit_worked */
        return;
    }
    if (v->route->kind == HEARTH__ROUTE_BLOB)
        hearth__blob_work(v);
    else
        v->route->work(v, &v->reply);
    hearth_loop_post(v->loop, &v->back, work_is_done);
}

void hearth__visit_work(struct hearth__visit *v)
{
    v->working = true;
    v->work.fn = do_work;
    hearth__workers_do(v->node->workers, &v->work);
}

static bool keep_body(struct hearth__visit *v, const char *data, size_t bytes)
{
    if (v->body_bytes + bytes + 1 > v->body_room) {
        size_t room = v->body_room ? v->body_room * 2 : 4096;
        char *grown;

        while (room < v->body_bytes + bytes + 1)
            room *= 2;
        grown = hearth_realloc(v->body, room);
        if (grown == NULL)
            return false;
        v->body = grown;
        v->body_room = room;
    }
    memcpy(v->body + v->body_bytes, data, bytes);
    v->body_bytes += bytes;
    v->body[v->body_bytes] = '\0';
    return true;
}

/* ---- HTTP's side ---- */

static void free_visit(struct hearth__visit *v)
{
    if (v->counted)
        atomic_fetch_sub(&v->tenant->state->in_flight, 1);
    hearth_service_close(&v->service);
    hearth_inflate_destroy(&v->inflate);
    hearth_blob_put_abort(&v->put);
    if (v->descriptor >= 0)
        close(v->descriptor);
    hearth__tenants_unref(v->tenants);
    hearth_free(v->body);
    hearth_free(v->reply.body);
    hearth_free(v);
}

static void on_request(void *ctx, hearth_http_request_t *req)
{
    static const char nomem[] = "{\"error\":\"no memory for the request now\"}";
    struct hearth__door *door = ctx;
    hearth_node_t *node = door->node;
    struct hearth__visit *v = hearth_calloc(1, sizeof(*v));
    int status;

    hearth_http_set_context(req, v);
    atomic_fetch_add(&node->requests, 1);
    atomic_fetch_add(&node->in_flight, 1);
    if (v == NULL) {
        hearth_http_reply(req, 503, NULL, 0, nomem, sizeof(nomem) - 1);
        return;
    }
    v->node = node;
    v->door = door->kind;
    v->http = req;
    v->descriptor = -1;
    v->loop = hearth_http_loop(req);
    if (!identify(v))
        return;
    status = hearth__route_find(hearth_http_method(req), hearth_http_path(req),
                                v, &v->route);
    if (status != 0) {
        hearth__visit_error(v, status,
                            status == 405 ? "Method Not Allowed" : "Not Found");
        return;
    }
    if (!allowed(v))
        return;
    switch (v->route->kind) {
    case HEARTH__ROUTE_NOW:
    case HEARTH__ROUTE_INVOKE:
        v->route->now(v);
        break;
    case HEARTH__ROUTE_BLOB:
        hearth__blob_begin(v);
        break;
    case HEARTH__ROUTE_MODEL:
    case HEARTH__ROUTE_INFER:
        want_model(v, false);
        break;
    case HEARTH__ROUTE_IMPORT:
    case HEARTH__ROUTE_WORK:
        v->descriptor = hearth_http_take_descriptor(req);
        if (hearth_http_accept(req, v->route->body_limit) == HEARTH_ETOOBIG)
            hearth__visit_error(v, 413, "the body is too long for this path");
    }
}

static bool infers(const struct hearth__visit *v)
{
    return v->route->kind == HEARTH__ROUTE_INFER ||
           v->route->kind == HEARTH__ROUTE_INVOKE;
}

static void on_body(void *ctx, hearth_http_request_t *req, const char *data,
                    size_t bytes)
{
    struct hearth__visit *v = hearth_http_context(req);

    (void)ctx;
    if (v == NULL || v->route == NULL)
        return;
    if (infers(v))
        hearth__infer_body(v, data, bytes);
    else if (!keep_body(v, data, bytes))
        hearth__visit_error(v, 503, "no memory for the body now: try again");
    else if (v->route->kind == HEARTH__ROUTE_BLOB)
        hearth__blob_body(v);
}

static void on_complete(void *ctx, hearth_http_request_t *req)
{
    struct hearth__visit *v = hearth_http_context(req);

    (void)ctx;
    if (v == NULL || v->route == NULL || hearth_http_replied(req))
        return;
    if (infers(v))
        hearth__infer_body_end(v);
    else if (v->route->kind == HEARTH__ROUTE_BLOB)
        hearth__blob_body_end(v);
    else
        hearth__visit_work(v);
}

static void on_end(void *ctx, hearth_http_request_t *req,
                   enum hearth_http_end end)
{
    struct hearth__door *door = ctx;
    struct hearth__visit *v = hearth_http_context(req);

    (void)end;
    atomic_fetch_sub(&door->node->in_flight, 1);
    if (v == NULL)
        return;
    hearth__infer_end(v);
    v->http = NULL;
    atomic_store(&v->left, true);
    if (v->waiting && hearth__waiter_cancel(v->node, &v->waiter))
        v->waiting = false;
    if (!v->waiting && !v->working)
        free_visit(v);
}

const struct hearth_http_handler hearth__visit_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_complete = on_complete,
    .on_end = on_end,
};
