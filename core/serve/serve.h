/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h: a node: one engine's models, functions and tenants, spoken to by the
 * Open Inference Protocol v2 with Triton's extensions and by Hearth's own paths
 * (docs/api.md). Not a program: hearthd's main gives it an engine, descriptors
 * that listen, and signals.
 *
 * Any thread but an I/O thread of the engine, unless a function says otherwise.
 */
#ifndef HEARTH_SERVE_SERVE_H
#define HEARTH_SERVE_SERVE_H

#include "hearth.h"
#include "stat/stat.h"

typedef struct hearth_node hearth_node_t;

/* Who may do what. Texts are lists with blanks between. */
struct hearth_node_tenant {
    const char *name;
    const char *users, *groups; /* names or numbers, of a unix peer */
    const char *token_file;     /* of a TCP caller; NULL or "": none */
    const char *models;         /* names it may use, with * and ?; "*" */
    uint64_t quota_bytes;       /* of device memory; 0: none */
    int64_t max_in_flight;      /* requests; 0: any number */
    bool may_load;              /* over TCP, with its token */
};

/* When a repository's model is opened. */
enum hearth_node_control {
    HEARTH_NODE_ON_DEMAND = 0, /* with its first request */
    HEARTH_NODE_EXPLICIT       /* by a load only */
};

struct hearth_node_config {
    const char *name;         /* of the server, in its metadata */
    const char *repositories; /* directories, the first one counts */
    int control;              /* enum hearth_node_control */
    int64_t poll_us;          /* between looks for changed files; 0: none */
    const char *load;         /* names to be opened and loaded at the start */
    const char *pin;          /* likewise, and never evicted */
    const char *state_dir;    /* for blobs and functions; "": none are taken */
    uint64_t blob_bytes;      /* that blobs may take; 0: no limit */
    uint64_t body_bytes;      /* longest inference body taken */
    int64_t timeout_us;       /* of a request, at most; 0: none */
    const char *tcp_tenant;   /* of a TCP caller without a token */
    const char *token_file;   /* of the operator, over TCP; "": no such */
    int64_t connections;      /* of a door, at most */
    int64_t workers;          /* threads that open models and write files */
    const struct hearth_node_tenant *tenants;
    uint32_t tenant_count;
};

/* What a door is for. */
enum hearth_node_door {
    HEARTH_DOOR_TCP = 0,
    HEARTH_DOOR_SOCKET,
    HEARTH_DOOR_ADMIN
};

/* Looks through the repositories. <config> is copied, its texts are not and
 * outlive the node or its next hearth_node_configure. The engine outlives the
 * node. *node is NULL on failure: HEARTH_ECONFIG, HEARTH_ENOENT (no such
 * directory), HEARTH_EIO, HEARTH_ENOMEM. Blocks on the disk. */
int hearth_node_create(hearth_node_t **node, hearth_engine_t *engine,
                       const struct hearth_node_config *config,
                       struct hearth_error *err);
/* What can change while it serves: tenants, tokens, names to load and to pin,
 * limits; the repositories are looked through again. On failure everything is
 * as it was. */
int hearth_node_configure(hearth_node_t *node,
                          const struct hearth_node_config *config,
                          struct hearth_error *err);
/* Serves a listening descriptor, which is duplicated. Up to 4 a door.
 * HEARTH_ENOMEM. */
int hearth_node_listen(hearth_node_t *node, enum hearth_node_door door, int fd,
                       struct hearth_error *err);
/* <again> reads the configuration and calls hearth_node_configure, for `POST
 * /v2/hearth/reload`; on a thread of the node. */
void hearth_node_on_reload(hearth_node_t *node,
                           int (*again)(void *ctx, struct hearth_error *err),
                           void *ctx);
/* Not ready any more: health says so, requests are still served. */
void hearth_node_quiesce(hearth_node_t *node);
/* Closes the doors, lets what is in flight end, at most <grace_us>, then calls
 * <drained> once, on an I/O thread. */
void hearth_node_drain(hearth_node_t *node, int64_t grace_us,
                       void (*drained)(void *ctx), void *ctx);
/* Requests in flight. Any thread. */
uint64_t hearth_node_in_flight(hearth_node_t *node);
/* Closes what is open. NULLs the pointer; *node NULL is allowed. Blocks. */
void hearth_node_destroy(hearth_node_t **node);

/* The engine's statistics and the node's, as Prometheus' text.
 * HEARTH_ENOMEM. */
int hearth_node_metrics(hearth_node_t *node, char **text);

#endif
