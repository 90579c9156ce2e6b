/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h: asking hearthd, one request after the other, from a program that
 * may wait. Over its admin socket, or over TCP with the operator's token.
 */
#ifndef HEARTH_TOOL_REMOTE_H
#define HEARTH_TOOL_REMOTE_H

#include "http/http.h"
#include "tool/tool.h"

#include <jansson.h>

struct hearth_remote {
    hearth_loop_t *loop;
    hearth_http_client_t *http;
    char shown[200]; /* the address, for messages */
    char *authorization;
    bool is_unix;
};

/* Options that every command of hearthd has, at the end of its own table. */
#define HEARTH_REMOTE_OPTIONS                                                  \
    {"socket", "PATH", "hearthd's admin socket (/run/hearth/admin.sock)"},     \
        {"url", "URL", "hearthd over TCP instead: http://host:port"},          \
    {                                                                          \
        "token-file", "FILE", "the operator's token, over TCP"                 \
    }
#define HEARTH_REMOTE_OPTION_COUNT 3

/* <values>: of those three. HEARTH_ADMIN in the environment stands for --socket
 * or --url. HEARTH_ECONFIG, HEARTH_ENOMEM; nothing is connected yet. */
int hearth__remote_open(struct hearth_remote *remote, const char *const *values,
                        struct hearth_error *err);
void hearth__remote_close(struct hearth_remote *remote);

struct hearth_remote_request {
    const char *method, *target;
    const char *content_type; /* NULL: JSON */
    const char *oip_json_bytes;
    const void *body;
    size_t body_bytes;
    const int *descriptor;
    /* Each piece as it comes, instead of being kept; NULL: kept. False: no
     * more is wanted. */
    bool (*piece)(void *ctx, const char *data, size_t bytes);
    void *ctx;
};
struct hearth_remote_answer {
    int status; /* HTTP's */
    char *body; /* terminated; hearth_free */
    size_t bytes, room;
    uint64_t oip_json_bytes;
    char content_type[64];
};
/* HEARTH_EPEER: hearthd is not reached; the text says what to do. */
int hearth__remote_ask(struct hearth_remote *remote,
                       const struct hearth_remote_request *request,
                       struct hearth_remote_answer *answer,
                       struct hearth_error *err);
/* A request whose answer is JSON (an empty one is {}). *root is the caller's.
 * A refusal is a failure with hearthd's text. */
int hearth__remote_json(struct hearth_remote *remote, const char *method,
                        const char *target, const char *body, json_t **root,
                        struct hearth_error *err);
/* "/v2/models/NAME/..." with the name encoded; <version> NULL: none. */
void hearth__remote_target(char *buf, size_t size, const char *prefix,
                           const char *name, const char *version,
                           const char *suffix);

/* Prints <root> as JSON. */
void hearth__print_json(const json_t *root);
/* Numbers of objects, 0 where there is none. */
int64_t hearth__json_int(const json_t *object, const char *key);
const char *hearth__json_text(const json_t *object, const char *key);

#endif
