/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c: one request to hearthd, on a loop that runs until it is over. */
#include "tool/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_MAX 4096
#define SOCKET_DEFAULT "/run/hearth/admin.sock"

/* ---- The address ---- */

static int read_token(struct hearth_remote *r, const char *path,
                      struct hearth_error *err)
{
    char *text;
    size_t bytes;
    int status;

    if (path == NULL)
        return HEARTH_OK;
    status = hearth_read_file(path, TOKEN_MAX, &text, &bytes, err);
    if (status != HEARTH_OK)
        return status;
    text[strcspn(text, "\r\n")] = '\0';
    r->authorization = hearth_malloc(strlen(text) + 8);
    if (r->authorization)
        snprintf(r->authorization, strlen(text) + 8, "Bearer %s", text);
    hearth_free(text);
    return r->authorization ? HEARTH_OK
                            : hearth_fail(err, HEARTH_ENOMEM, "no memory");
}

int hearth__remote_open(struct hearth_remote *r, const char *const *values,
                        struct hearth_error *err)
{
    struct hearth_http_client_config config;
    const char *given = getenv("HEARTH_ADMIN");
    int status;

    memset(r, 0, sizeof(*r));
    if (values[1]) {
        snprintf(r->shown, sizeof(r->shown), "%s", values[1]);
    } else if (values[0]) {
        snprintf(r->shown, sizeof(r->shown), "unix:%s", values[0]);
    } else if (given && *given) {
        snprintf(r->shown, sizeof(r->shown), "%s%s",
                 given[0] == '/' ? "unix:" : "", given);
    } else {
        snprintf(r->shown, sizeof(r->shown), "unix:%s", SOCKET_DEFAULT);
    }
    r->is_unix = strncmp(r->shown, "unix:", 5) == 0;
    if (!r->is_unix && strncmp(r->shown, "http://", 7) != 0)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "%.100s: expected http://host:port or a socket's "
                           "path",
                           r->shown);
    status = read_token(r, values[2], err);
    if (status != HEARTH_OK)
        return status;
    hearth_http_client_config_init(&config);
    config.address = r->is_unix ? r->shown : r->shown + 7;
    if (hearth_loop_create(&r->loop, NULL) != APR_SUCCESS)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory");
    status = hearth_http_client_create(&r->http, r->loop, &config, err);
    if (status != APR_SUCCESS)
        hearth__remote_close(r);
    return status == APR_SUCCESS ? HEARTH_OK : HEARTH_ECONFIG;
}

void hearth__remote_close(struct hearth_remote *r)
{
    if (r->http)
        hearth_http_client_destroy(&r->http);
    if (r->loop)
        hearth_loop_destroy(&r->loop);
    hearth_free(r->authorization);
    r->authorization = NULL;
}

/* ---- A request ---- */

struct asking {
    const struct hearth_remote_request *request;
    struct hearth_remote_answer *answer;
    apr_status_t status;
    bool over, no_memory;
};

static void on_response(void *ctx, hearth_http_call_t *call, int status)
{
    struct asking *a = ctx;
    const char *type = hearth_http_call_header(call, "Content-Type");
    const char *oip =
        hearth_http_call_header(call, "Inference-Header-Content-Length");

    a->answer->status = status;
    a->answer->oip_json_bytes = oip ? strtoull(oip, NULL, 10) : 0;
    snprintf(a->answer->content_type, sizeof(a->answer->content_type), "%s",
             type ? type : "");
}

static void on_body(void *ctx, hearth_http_call_t *call, const char *data,
                    size_t bytes)
{
    struct asking *a = ctx;
    struct hearth_remote_answer *answer = a->answer;

    if (a->request->piece && answer->status == 200) {
        if (!a->request->piece(a->request->ctx, data, bytes))
            hearth_http_call_cancel(call);
        return;
    }
    if (answer->bytes + bytes + 1 > answer->room) {
        size_t room = answer->room ? answer->room * 2 : 4096;
        char *grown;

        while (room < answer->bytes + bytes + 1)
            room *= 2;
        grown = hearth_realloc(answer->body, room);
        if (grown == NULL) {
            a->no_memory = true;
            return;
        }
        answer->body = grown;
        answer->room = room;
    }
    memcpy(answer->body + answer->bytes, data, bytes);
    answer->bytes += bytes;
    answer->body[answer->bytes] = '\0';
}

static void on_end(void *ctx, hearth_http_call_t *call, apr_status_t status)
{
    struct asking *a = ctx;

    (void)call;
    a->status = status;
    a->over = true;
}

static int explain(const struct hearth_remote *r, apr_status_t status,
                   struct hearth_error *err)
{
    if (r->is_unix && access(r->shown + 5, F_OK) != 0)
        return hearth_fail(err, HEARTH_EPEER,
                           "there is no hearthd at %.120s: start it, or give "
                           "--socket or --url",
                           r->shown);
    if (r->is_unix && access(r->shown + 5, W_OK) != 0)
        return hearth_fail(err, HEARTH_EPEER,
                           "you may not use %.120s: be root, or hearthd's own "
                           "user",
                           r->shown);
    if (status == HEARTH_ECANCELED)
        return hearth_fail(err, HEARTH_ECANCELED, "given up");
    return hearth_fail(err, HEARTH_EPEER,
                       "hearthd at %.120s is not reached, or broke off: look "
                       "whether it runs",
                       r->shown);
}

int hearth__remote_ask(struct hearth_remote *r,
                       const struct hearth_remote_request *request,
                       struct hearth_remote_answer *answer,
                       struct hearth_error *err)
{
    struct asking a = {.request = request, .answer = answer};
    const struct hearth_http_call_handler handler = {
        .ctx = &a,
        .on_response = on_response,
        .on_body = on_body,
        .on_end = on_end,
    };
    struct hearth_http_header headers[3];
    struct hearth_http_call_spec spec = {
        .method = request->method,
        .target = request->target,
        .headers = headers,
        .body = request->body,
        .body_bytes = (int64_t)request->body_bytes,
        .descriptor = request->descriptor,
    };
    hearth_http_call_t *call;

    memset(answer, 0, sizeof(*answer));
    headers[spec.header_count++] = HEARTH_HTTP_HEADER(
        "Content-Type",
        request->content_type ? request->content_type : "application/json");
    if (request->oip_json_bytes)
        headers[spec.header_count++] = HEARTH_HTTP_HEADER(
            "Inference-Header-Content-Length", request->oip_json_bytes);
    if (r->authorization)
        headers[spec.header_count++] =
            HEARTH_HTTP_HEADER("Authorization", r->authorization);
    a.status = hearth_http_call_start(&call, r->http, &spec, &handler);
    while (a.status == HEARTH_OK && !a.over)
        hearth_loop_run_once(r->loop, -1);
    if (a.no_memory)
        a.status = HEARTH_ENOMEM;
    if (a.status != HEARTH_OK) {
        hearth_free(answer->body);
        answer->body = NULL;
        return explain(r, a.status, err);
    }
    return HEARTH_OK;
}

int hearth__remote_json(struct hearth_remote *r, const char *method,
                        const char *target, const char *body, json_t **root,
                        struct hearth_error *err)
{
    const struct hearth_remote_request request = {
        .method = method,
        .target = target,
        .body = body ? body : "",
        .body_bytes = body ? strlen(body) : 0,
    };
    struct hearth_remote_answer answer;
    const char *text;
    int status = hearth__remote_ask(r, &request, &answer, err);

    *root = NULL;
    if (status != HEARTH_OK)
        return status;
    *root = answer.bytes > 0
                ? json_loadb(answer.body, answer.bytes, JSON_DECODE_ANY, NULL)
                : json_object();
    hearth_free(answer.body);
    text = json_string_value(json_object_get(*root, "error"));
    if (answer.status != 200)
        status = hearth_fail(err, HEARTH_EINVAL, "%s",
                             text ? text : "hearthd refuses without a reason");
    else if (*root == NULL)
        status = hearth_fail(err, HEARTH_EPROTO,
                             "what is at %.120s does not answer as hearthd "
                             "does",
                             r->shown);
    if (status != HEARTH_OK) {
        json_decref(*root);
        *root = NULL;
    }
    return status;
}

void hearth__remote_target(char *buf, size_t size, const char *prefix,
                           const char *name, const char *version,
                           const char *suffix)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t used = (size_t)snprintf(buf, size, "%s", prefix);

    for (const char *p = name; *p && used + 4 < size; p++) {
        unsigned char c = (unsigned char)*p;

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
            (c >= 'A' && c <= 'Z') || strchr("-_.~", c)) {
            buf[used++] = (char)c;
        } else {
            buf[used++] = '%';
            buf[used++] = hex[c >> 4];
            buf[used++] = hex[c & 15];
        }
    }
    buf[used] = '\0';
    if (version)
        used +=
            (size_t)snprintf(buf + used, size - used, "/versions/%s", version);
    if (used < size)
        snprintf(buf + used, size - used, "%s", suffix);
}

/* ---- JSON ---- */

void hearth__print_json(const json_t *root)
{
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
}

int64_t hearth__json_int(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

const char *hearth__json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}
