/* SPDX-License-Identifier: Apache-2.0 */
/*
 * register.c: hands the function over:
 *
 *     AWAY -> PUT (the manifest) -> READY, or ASK until it is, or REFUSED
 *               -> BLOB, one by one, those that hearthd lacks -> PUT
 *
 * and starts again whenever hearthd is away or has forgotten it. The first
 * tries follow within 20 ms, so that a hearthd that is back is found at once.
 */
#include "client/client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_FIRST_US 20000
#define PAUSE_MOST_US 250000
#define ASK_US 50000
#define CALL_US 10000000
#define BLOB_US 600000000

static void start(struct hearth_loop_timer *timer)
{
    hearth__client_register(HEARTH_CONTAINER(timer, hearth_client_t, again));
}

static void later(hearth_client_t *c, int64_t us)
{
    hearth_loop_timer_start(c->loop, &c->again, us, 0, start);
}

static void tell(hearth_client_t *c, const char *text)
{
    if (c->config.tell)
        c->config.tell(c->config.tell_ctx, text);
}

void hearth__client_lost(hearth_client_t *c, const char *why)
{
    char text[400];

    if (c->destroying)
        return;
    if (c->asking) /* it finds out by itself */
        return;
    c->step = HEARTH__CLIENT_AWAY;
    hearth_fail(&c->error, HEARTH_EPEER, "hearthd at %.100s %s: try again",
                c->config.url, why);
    if (!c->told_away) {
        snprintf(text, sizeof(text), "hearthd at %.100s %s: trying again",
                 c->config.url, why);
        tell(c, text);
    }
    c->told_away = true;
    later(c, c->pause_us);
    c->pause_us =
        c->pause_us * 2 < PAUSE_MOST_US ? c->pause_us * 2 : PAUSE_MOST_US;
}

/* It will not have the function: asking again is no use before something
 * changes there, which is looked for now and then. */
static void refused(hearth_client_t *c, int http_status, const char *text)
{
    int status = http_status == 507   ? HEARTH_ENOSPACE
                 : http_status == 501 ? HEARTH_EUNSUPPORTED
                 : http_status >= 500 ? HEARTH_EPEER
                                      : HEARTH_ECONFIG;
    bool news = c->step != HEARTH__CLIENT_REFUSED;

    hearth_fail(&c->error, status, "hearthd refuses the function: %s", text);
    c->step = HEARTH__CLIENT_REFUSED;
    if (news)
        tell(c, c->error.text);
    hearth__client_refuse_waiting(c);
    later(c, 1000000);
}

static void ready(hearth_client_t *c)
{
    c->step = HEARTH__CLIENT_READY;
    c->pause_us = PAUSE_FIRST_US;
    if (c->told_away)
        tell(c, "hearthd is there and has the function");
    c->told_away = false;
    hearth__client_dispatch(c);
}

/* ---- Answers ---- */

static void send_blob(hearth_client_t *c);

static bool take_missing(hearth_client_t *c, const json_t *list)
{
    bool any = false;
    size_t i;
    json_t *value;

    memset(c->missing, 0, sizeof(c->missing));
    json_array_foreach(list, i, value)
    {
        for (uint32_t k = 0; k < c->package.count; k++) {
            char text[HEARTH_DIGEST_TEXT];

            hearth_digest_text(&c->package.files[k].digest, text);
            if (json_is_string(value) &&
                strcmp(json_string_value(value), text) == 0)
                any = c->missing[k] = true;
        }
    }
    return any;
}

static void manifest_answered(hearth_client_t *c, const json_t *root)
{
    const char *state = json_string_value(json_object_get(root, "state"));
    const char *reason = json_string_value(json_object_get(root, "reason"));
    const char *text = json_string_value(json_object_get(root, "error"));
    const json_t *missing = json_object_get(root, "missing");

    if (c->asking_status == 200 && state && strcmp(state, "ready") == 0) {
        ready(c);
    } else if (c->asking_status == 200 && state &&
               strcmp(state, "warming") == 0) {
        c->step = HEARTH__CLIENT_ASK;
        hearth_fail(&c->error, HEARTH_EAGAIN, "the model is being loaded");
        later(c, ASK_US);
    } else if (c->asking_status == 200) {
        refused(c, 503, reason ? reason : "it failed");
    } else if (c->asking_status == 404 && take_missing(c, missing)) {
        c->blob = 0;
        c->step = HEARTH__CLIENT_BLOB;
        send_blob(c);
    } else {
        refused(c, c->asking_status, text ? text : "no reason is given");
    }
}

static void blob_answered(hearth_client_t *c, const json_t *root)
{
    const char *text = json_string_value(json_object_get(root, "error"));

    if (c->asking_status == 200) {
        c->missing[c->blob] = false;
        send_blob(c);
    } else {
        refused(c, c->asking_status, text ? text : "a file was not taken");
    }
}

static void on_response(void *ctx, hearth_http_call_t *call, int status)
{
    hearth_client_t *c = ctx;

    (void)call;
    c->asking_status = status;
    c->answer_bytes = 0;
}

static void on_body(void *ctx, hearth_http_call_t *call, const char *data,
                    size_t bytes)
{
    hearth_client_t *c = ctx;
    size_t room = sizeof(c->answer) - c->answer_bytes;

    (void)call;
    if (bytes > room)
        bytes = room; /* it will be no JSON, and so refused */
    memcpy(c->answer + c->answer_bytes, data, bytes);
    c->answer_bytes += bytes;
}

static void on_end(void *ctx, hearth_http_call_t *call, apr_status_t status)
{
    hearth_client_t *c = ctx;
    json_t *root;

    (void)call;
    c->asking = NULL;
    if (c->blob_fd >= 0)
        close(c->blob_fd);
    c->blob_fd = -1;
    if (c->destroying)
        return;
    if (status != HEARTH_OK) {
        hearth__client_lost(c, status == HEARTH_ETIMEOUT ? "does not answer"
                                                         : "is away");
        return;
    }
    root = json_loadb(c->answer, c->answer_bytes, 0, NULL);
    if (c->step == HEARTH__CLIENT_BLOB)
        blob_answered(c, root);
    else
        manifest_answered(c, root);
    json_decref(root);
}

/* ---- Requests ---- */

/* The next pieces of a file over TCP. */
static void on_writable(void *ctx, hearth_http_call_t *call)
{
    hearth_client_t *c = ctx;
    char piece[65536];
    apr_status_t status = HEARTH_OK;

    while (status == HEARTH_OK) {
        ssize_t n = read(c->blob_fd, piece, sizeof(piece));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            hearth_http_call_finish(call);
            return;
        }
        status = hearth_http_call_write(call, piece, (size_t)n);
        if (status == HEARTH_EAGAIN)
            (void)lseek(c->blob_fd, -n, SEEK_CUR);
    }
}

static void ask(hearth_client_t *c, struct hearth_http_call_spec *spec,
                int64_t patience_us)
{
    const struct hearth_http_call_handler handler = {
        .ctx = c,
        .on_response = on_response,
        .on_body = on_body,
        .on_writable = on_writable,
        .on_end = on_end,
    };
    struct hearth_http_header headers[2];

    headers[0] = HEARTH_HTTP_HEADER("Content-Type", "application/json");
    spec->headers = headers;
    spec->header_count = 1;
    if (c->authorization)
        headers[spec->header_count++] =
            HEARTH_HTTP_HEADER("Authorization", c->authorization);
    spec->deadline_us = hearth_loop_now_us(c->loop) + patience_us;
    c->asking_status = 0;
    c->answer_bytes = 0;
    if (hearth_http_call_start(&c->asking, c->http, spec, &handler) !=
        HEARTH_OK) {
        c->asking = NULL;
        hearth__client_lost(c, "cannot be asked for want of memory");
    }
}

static void send_blob(hearth_client_t *c)
{
    struct hearth_http_call_spec spec = {.method = "PUT"};
    char target[128], text[HEARTH_DIGEST_TEXT];
    const struct hearth__client_file *file;
    struct stat st;
    int fd;

    while (c->blob < c->package.count && !c->missing[c->blob])
        c->blob++;
    if (c->blob == c->package.count) {
        hearth__client_register(c);
        return;
    }
    file = &c->package.files[c->blob];
    snprintf(target, sizeof(target), "/v2/hearth/blobs/%s",
             hearth_digest_text(&file->digest, text));
    spec.target = target;
    fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0)
            close(fd);
        refused(c, 400, "a file of the function is gone");
        return;
    }
    if (c->is_unix) {
        spec.descriptor = &fd;
    } else {
        spec.body_bytes = st.st_size;
        c->blob_fd = fd;
    }
    ask(c, &spec, BLOB_US);
    if (c->is_unix)
        close(fd);
    else if (c->asking)
        on_writable(c, c->asking);
}

void hearth__client_register(hearth_client_t *c)
{
    struct hearth_http_call_spec spec = {
        .method = "PUT",
        .target = c->target,
        .body = c->package.manifest,
        .body_bytes = (int64_t)c->package.manifest_bytes,
    };

    if (c->asking)
        return;
    hearth_loop_timer_stop(&c->again);
    if (c->step != HEARTH__CLIENT_REFUSED && c->step != HEARTH__CLIENT_ASK)
        c->step = HEARTH__CLIENT_PUT;
    ask(c, &spec, CALL_US);
}
