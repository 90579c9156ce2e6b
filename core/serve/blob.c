/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.c: a file that comes: its bytes piece by piece, each written by a worker
 * while the connection waits; or an open descriptor, which a worker copies.
 */
#include "serve/serve_priv.h"

#include <string.h>
#include <unistd.h>

#define PIECE (256u << 10)

static void reply_put(struct hearth__visit *v, int status,
                      const struct hearth_digest *digest, uint64_t bytes,
                      const struct hearth_error *err)
{
    char text[HEARTH_DIGEST_TEXT];
    int kept;

    if (status != HEARTH_OK) {
        hearth__reply_fail(&v->reply, err);
        if (status == HEARTH_EPROTO)
            v->reply.status = 409;
        return;
    }
    kept = hearth__tenant_has_put(v->node, v->tenant->state, digest);
    hearth_blobs_unpin(v->node->blobs, digest);
    if (kept != HEARTH_OK)
        hearth__reply_error(&v->reply, 503, "too many blobs of this tenant");
    else
        hearth__reply_json(&v->reply, 200,
                           json_pack("{s:s, s:I}", "sha256",
                                     hearth_digest_text(digest, text), "bytes",
                                     (json_int_t)bytes));
}

/* ---- On a worker ---- */

static void copy_descriptor(struct hearth__visit *v)
{
    struct hearth_error err = {0};
    struct hearth_digest digest;
    uint64_t bytes;
    int status = hearth_blobs_put_fd(v->node->blobs, v->descriptor, UINT64_MAX,
                                     &v->blob_digest, &digest, &bytes, &err);

    reply_put(v, status, &digest, bytes, &err);
}

static void write_piece(struct hearth__visit *v)
{
    struct hearth_error err = {0};
    struct hearth_digest digest;
    uint64_t bytes = 0;
    int status = HEARTH_OK;

    if (v->put == NULL)
        status = hearth_blob_put_begin(&v->put, v->node->blobs, &err);
    if (status == HEARTH_OK && v->body_bytes > 0)
        status = hearth_blob_put_write(v->put, v->body, v->body_bytes, &err);
    v->body_bytes = 0;
    if (status == HEARTH_OK && !v->body_whole)
        return;
    if (status == HEARTH_OK)
        status = hearth_blob_put_end(&v->put, &v->blob_digest, &digest, &bytes,
                                     &err);
    else
        hearth_blob_put_abort(&v->put);
    reply_put(v, status, &digest, bytes, &err);
}

void hearth__blob_work(struct hearth__visit *v)
{
    if (v->descriptor >= 0)
        copy_descriptor(v);
    else
        write_piece(v);
}

/* ---- On the visit's thread ---- */

void hearth__blob_begin(struct hearth__visit *v)
{
    if (v->node->blobs == NULL) {
        hearth__visit_error(v, 501, "blobs are not taken here: set state_dir");
        return;
    }
    if (!hearth_digest_parse(v->name, &v->blob_digest)) {
        hearth__visit_error(v, 400, "a blob is named by its SHA-256");
        return;
    }
    v->descriptor = hearth_http_take_descriptor(v->http);
    hearth_http_accept(v->http, UINT64_MAX);
}

/* More than a piece is there: the client waits until it is written. */
void hearth__blob_body(struct hearth__visit *v)
{
    if (v->body_bytes < PIECE || v->working || hearth_http_replied(v->http))
        return;
    hearth_http_pause(v->http);
    hearth__visit_work(v);
}

void hearth__blob_body_end(struct hearth__visit *v)
{
    v->body_whole = true;
    hearth__visit_work(v);
}
