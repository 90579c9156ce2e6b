/* SPDX-License-Identifier: Apache-2.0 */
/* client_priv.h: between the files of core/client. */
#ifndef HEARTH_CLIENT_CLIENT_PRIV_H
#define HEARTH_CLIENT_CLIENT_PRIV_H

#include "client/client.h"

#define HEARTH_MAGIC_CLIENT 0x48434e54u /* "HCNT" */
#define HEARTH__CLIENT_FILES 64

struct hearth__client_file {
    char *name; /* as the hearth.yaml has it, beside it */
    char *path;
    struct hearth_digest digest;
};

/* What is handed over: read once, at the start. */
struct hearth__client_package {
    hearth_function_t *function;
    struct hearth__client_file files[HEARTH__CLIENT_FILES];
    uint32_t count;
    char *manifest;
    size_t manifest_bytes;
    char digest[HEARTH_DIGEST_TEXT];
};
/* package.c */
int hearth__package_read(struct hearth__client_package *package,
                         const char *hearth_yaml, struct hearth_error *err);
void hearth__package_free(struct hearth__client_package *package);

enum hearth__client_step {
    HEARTH__CLIENT_AWAY = 0, /* no hearthd: tried again, later */
    HEARTH__CLIENT_PUT,      /* the manifest is on its way */
    HEARTH__CLIENT_BLOB,     /* a file is */
    HEARTH__CLIENT_ASK,      /* it warms: asked now and then */
    HEARTH__CLIENT_READY,
    HEARTH__CLIENT_REFUSED /* hearthd will not have it: <error> */
};

struct hearth_client {
    uint32_t magic;
    hearth_loop_t *loop;
    hearth_http_client_t *http;
    struct hearth_client_config config;
    struct hearth__client_package package;
    bool is_unix;
    char *authorization; /* NULL: none */
    char target[128];    /* of the function */

    enum hearth__client_step step;
    struct hearth_error error;
    struct hearth_loop_timer again;
    int64_t pause_us;
    hearth_http_call_t *asking; /* the registration's call */
    int asking_status;
    char answer[4096]; /* its body */
    size_t answer_bytes;
    bool missing[HEARTH__CLIENT_FILES];
    uint32_t blob; /* being sent */
    int blob_fd;   /* streamed; -1: none */
    bool told_away;

    hearth_client_call_t *calls;
    bool destroying;
};

/* register.c: (re)starts the registration. */
void hearth__client_register(hearth_client_t *client);
/* hearthd went away, or forgot the function. */
void hearth__client_lost(hearth_client_t *client, const char *why);
/* client.c: the function is there: calls that wait are sent. */
void hearth__client_dispatch(hearth_client_t *client);
void hearth__client_refuse_waiting(hearth_client_t *client);

#endif
