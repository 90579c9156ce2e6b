/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: a function that runs in the node's hearthd instead of in this
 * process (`hearth_url`): hands hearthd the function's hearth.yaml and files by
 * digest, sends it bodies as they come, and survives its restarts.
 *
 * Everything but create is called on the thread of the loop that the client was
 * created for; callbacks run there. Nothing blocks but create.
 *
 * A call is sent again only when hearthd cannot have begun it: when the
 * connection turned out to be closed before a byte of it was sent, or when
 * hearthd says that it does not know the function. So a call that is in flight
 * when hearthd dies ends with HEARTH_EPEER (503).
 */
#ifndef HEARTH_CLIENT_CLIENT_H
#define HEARTH_CLIENT_CLIENT_H

#include "function/function.h"
#include "hearth.h"
#include "http/http.h"

typedef struct hearth_client hearth_client_t;
typedef struct hearth_client_call hearth_client_call_t;

struct hearth_client_config {
    const char *url;         /* "unix:/path", "http://host:port" */
    const char *hearth_yaml; /* the function's */
    const char *token_file;  /* NULL or "": none */
    /* For how long a call waits for a hearthd that is away, or that is taking
     * the function. 0: not at all. */
    int64_t wait_us;
    uint32_t connections; /* 0: 256 */
    /* Told on changes; may be NULL. */
    void (*tell)(void *ctx, const char *text);
    void *tell_ctx;
};

/* Reads and hashes the function's files. HEARTH_ECONFIG, HEARTH_ENOENT,
 * HEARTH_EMODEL, HEARTH_EIO, HEARTH_ENOMEM. */
int hearth_client_create(hearth_client_t **client, hearth_loop_t *loop,
                         const struct hearth_client_config *config,
                         struct hearth_error *err);
/* Ends every call with HEARTH_ECLOSING. NULLs the pointer. */
void hearth_client_destroy(hearth_client_t **client);

/* WARMING until hearthd has the function, and whenever it is away; <err> (may
 * be NULL) says why it is not READY. */
enum hearth_service_state hearth_client_state(const hearth_client_t *client,
                                              struct hearth_error *err);
const struct hearth_function_info *
hearth_client_info(const hearth_client_t *client);

struct hearth_client_request {
    const void *body; /* copied */
    size_t body_bytes;
    const char *content_type, *request_id; /* NULL: none */
    const char *oip_json_bytes;            /* the header as it came; NULL */
    int64_t timeout_us;                    /* 0: none */
};
/* <done> comes exactly once, not from inside; the answer is valid during it.
 * HEARTH_ENOMEM: it does not come. */
int hearth_client_call(hearth_client_call_t **call, hearth_client_t *client,
                       const struct hearth_client_request *request,
                       void (*done)(void *ctx,
                                    const struct hearth_answer *answer),
                       void *ctx);
/* The caller has lost interest: no <done> comes, the call is gone. */
void hearth_client_leave(hearth_client_call_t *call);

#endif
