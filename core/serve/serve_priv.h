/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_priv.h: between the files of core/serve: the node, its tenants, the
 * models of its repositories, its functions, and a visit, which is what belongs
 * to one HTTP request.
 *
 * What the node's lock guards says so. Nothing that blocks, and no call into
 * the engine that waits, is done under it.
 */
#ifndef HEARTH_SERVE_SERVE_PRIV_H
#define HEARTH_SERVE_SERVE_PRIV_H

#include "codec/codec.h"
#include "flow/flow.h"
#include "http/http.h"
#include "serve/pbtxt.h"
#include "serve/serve.h"
#include "serve/work.h"
#include "store/blobs.h"

#include <jansson.h>
#include <stdatomic.h>

#define HEARTH_MAGIC_NODE 0x484e4f44u
#define HEARTH__DOOR_LISTENERS 4
#define HEARTH__PATH_BYTES 4096
#define HEARTH__NAME_BYTES 256 /* longest model name, with terminator */

/* ---- Tenants: tenant.c ---- */

/* What a tenant has, over every reload. */
struct hearth__tenant_state {
    _Atomic uint32_t refs;
    _Atomic uint32_t in_flight;
    uint32_t number; /* for the scheduler, from 1 on; 0: there are too many */
    /* Under the node's lock. */
    uint32_t functions;
    struct hearth_digest *blobs; /* that it has put */
    uint32_t blob_count;
};
struct hearth__tenant_state *
hearth__tenant_state_ref(struct hearth__tenant_state *state);
void hearth__tenant_state_unref(struct hearth__tenant_state *state);
struct hearth__tenant {
    _Atomic uint32_t refs;
    char *name, *models;
    uint32_t *users, *groups; /* numbers */
    uint32_t user_count, group_count;
    char *token; /* NULL: none */
    uint64_t quota_bytes;
    uint32_t max_in_flight;
    bool may_load;
    struct hearth__tenant_state *state;
};
struct hearth__tenant *hearth__tenant_ref(struct hearth__tenant *tenant);
void hearth__tenant_unref(struct hearth__tenant *tenant);
/* May it use a repository's model of that name? */
bool hearth__tenant_sees(const struct hearth__tenant *tenant, const char *name);
/* A table of them, replaced as a whole by a reload. */
struct hearth__tenants {
    _Atomic uint32_t refs;
    struct hearth__tenant **list;
    uint32_t count;
    struct hearth__tenant *tcp;  /* of callers without a token */
    struct hearth__tenant *rest; /* "default" */
    uint32_t numbers;            /* given out, ever */
    char *operator_token;        /* NULL: none */
};
/* Tenants that <before> (may be NULL) has by the same name keep their counts.
 * HEARTH_ECONFIG, HEARTH_ENOENT, HEARTH_ENOMEM. */
int hearth__tenants_create(struct hearth__tenants **tenants,
                           const struct hearth_node_config *config,
                           const struct hearth__tenants *before,
                           struct hearth_error *err);
struct hearth__tenants *hearth__tenants_ref(struct hearth__tenants *tenants);
void hearth__tenants_unref(struct hearth__tenants *tenants);

/* The tenant of a user: by the user, else by a group; else "default". */
struct hearth__tenant *hearth__tenant_of(const struct hearth__tenants *tenants,
                                         uint32_t uid, const uint32_t *groups,
                                         uint32_t group_count);

/* ---- Models of the repositories: models.c, scan.c ---- */

enum hearth__served_state {
    HEARTH__CLOSED = 0, /* not opened yet, or unloaded */
    HEARTH__OPENING,
    HEARTH__OPEN,
    HEARTH__FAILED
};

/* Someone who waits for a version to be opened. */
struct hearth__waiter {
    struct hearth__waiter *next, **link; /* link NULL: not in a list */
    hearth_loop_t *loop;
    struct hearth_loop_work work; /* posted when it is over */
    void (*over)(struct hearth_loop_work *work);
    hearth_service_t *service; /* the waiter's reference; NULL: <error> */
    struct hearth_error error;
};

struct hearth__remote;

/* One version of a model. */
struct hearth__served {
    char *name;
    int64_t version;
    char version_text[24];
    char *path; /* the .onnx or the hearth.yaml */
    bool yaml;
    struct hearth__pbtxt *config; /* NULL: there is no config.pbtxt */
    struct hearth_model_file_id config_id;
    struct hearth_error config_error; /* status HEARTH_OK: none */
    char *labels_path;                /* from config.pbtxt; NULL: none */
    uint32_t repository;              /* number of the one it is in */
    struct hearth__remote *remote;    /* NULL: it lies on a disk here */

    /* Under the node's lock. */
    uint32_t refs;
    bool unloaded; /* by hand: not opened again by a request */
    bool loaded;   /* by hand */
    bool pinned;
    bool stays; /* a scan found another, which cannot be had */
    enum hearth__served_state state;
    hearth_service_t *service;           /* OPEN: one reference */
    struct hearth_model_file_id path_id; /* when it was opened */
    struct hearth_error error;           /* FAILED, or why it went */
    int64_t retry_us;                    /* FAILED: not before */
    struct hearth__waiter *waiters;
    struct hearth__work work; /* OPENING */
    hearth_node_t *node;
};

/* Finds the version (0: the newest) that <tenant> (NULL: the operator) may use,
 * with a reference. NULL: <err> is Triton's text. */
struct hearth__served *hearth__served_find(hearth_node_t *node,
                                           const struct hearth__tenant *tenant,
                                           const char *name, int64_t version,
                                           struct hearth_error *err);
void hearth__served_unref(hearth_node_t *node, struct hearth__served *served);
/* Opens it, or waits for who does; <again>: also when it is open and its files
 * have changed. *service (may be NULL) is a reference. Blocks: on workers. */
int hearth__served_open(hearth_node_t *node, struct hearth__served *served,
                        bool again, hearth_service_t **service,
                        struct hearth_error *err);
/* For an I/O thread. HEARTH_OK: *service is a reference. HEARTH_EAGAIN:
 * <waiter> is told. Else why not. */
int hearth__served_want(hearth_node_t *node, struct hearth__served *served,
                        struct hearth__waiter *waiter,
                        hearth_service_t **service, struct hearth_error *err);
/* Its state is OPENING now; the caller hands its work to the workers. Under the
 * lock. */
void hearth__served_begin(struct hearth__served *served);
/* Gives the wait up; false: it is over, and <over> runs or has run. */
bool hearth__waiter_cancel(hearth_node_t *node, struct hearth__waiter *waiter);
/* By hand: no request opens it again before the next load. Blocks. */
void hearth__served_unload(hearth_node_t *node, struct hearth__served *served);
/* Every version that <tenant> (NULL: the operator) may use, with references;
 * <name> NULL: of all models. The caller frees the array. HEARTH_ENOMEM. */
apr_status_t hearth__served_list(hearth_node_t *node,
                                 const struct hearth__tenant *tenant,
                                 const char *name,
                                 struct hearth__served ***list,
                                 uint32_t *count);
/* Looks which open ones have changed or gone; new ones replace them. Blocks. */
void hearth__served_poll(hearth_node_t *node);
void hearth__served_close_all(hearth_node_t *node);

/* table.c: puts what a scan found, sorted as the table is, in the place of the
 * table, or of its part named <only>. Takes <found>'s entries over. Blocks on a
 * network when there are URLs. HEARTH_ENOMEM. */
int hearth__table_put(hearth_node_t *node, const char *only,
                      struct hearth__served **found, uint32_t count,
                      struct hearth_error *err);
/* The order of the table: by name, the newest version first. For qsort. */
int hearth__served_order(const void *a, const void *b);
/* Of one that was never in the table. */
void hearth__served_drop(struct hearth__served *served);
/* scan.c: looks through the repositories, for one name or for all (NULL).
 * Blocks. HEARTH_EIO, HEARTH_ENOENT (a directory), HEARTH_ENOMEM. */
int hearth__scan(hearth_node_t *node, const char *only,
                 struct hearth_error *err);

/* ---- Repositories behind a URL: remote.c ---- */

/* A version as the index of such a repository has it. */
struct hearth__remote_file {
    char *name, *url;
    struct hearth_digest digest;
    uint64_t bytes;
    bool pinned;
};
struct hearth__remote {
    struct hearth__remote_file *files;
    uint32_t count;
    char *directory; /* of links to its blobs, while it is here */
    struct hearth_digest id;
    bool here;             /* whoever has <id> busy */
    uint64_t bytes;        /* of all files */
    _Atomic uint64_t came; /* of them, while they come */
    _Atomic bool coming, given_up;
};
void hearth__remote_free(struct hearth__remote **remote);
/* Something that one thread at a time does: it waits for the others. */
struct hearth__busy {
    struct hearth__busy *next;
    struct hearth_digest what;
};
void hearth__busy_begin(hearth_node_t *node, struct hearth__busy *busy,
                        const struct hearth_digest *what);
void hearth__busy_end(hearth_node_t *node, struct hearth__busy *busy);
/* STATE/SUB/NAME into <path> of HEARTH__PATH_BYTES, which it returns. */
const char *hearth__state_path(hearth_node_t *node, char *path, const char *sub,
                               const char *name);
/* For hearth_fetch: the node drains or ends. <ctx> is the node. */
bool hearth__is_over(void *ctx, int64_t bytes, int64_t total);
bool hearth__is_url(const char *repository);
/* Makes the directories, removes what an earlier process left. HEARTH_EIO. */
int hearth__remote_open(hearth_node_t *node, struct hearth_error *err);
/* Fetches the index, or takes the copy of the last time, and calls <found> for
 * each version of <only> (NULL: of all) until one is not HEARTH_OK; <remote> is
 * the callee's, <config> (NULL: none) is the text of a config.pbtxt. Blocks on
 * the network. HEARTH_EPEER, HEARTH_EPROTO, HEARTH_ECONFIG, HEARTH_ENOMEM. */
int hearth__remote_index(hearth_node_t *node, const char *url, const char *only,
                         int (*found)(void *ctx, const char *name,
                                      int64_t version, const char *config,
                                      struct hearth__remote *remote),
                         void *ctx, struct hearth_error *err);
/* Brings what is missing of the files and makes the directory. Blocks on the
 * network; ends early with HEARTH_ECANCELED when the node drains. */
int hearth__remote_bring(hearth_node_t *node, const char *name,
                         struct hearth__remote *remote,
                         struct hearth_error *err);
/* They may be evicted from the disk, unless <s> was opened meanwhile. */
void hearth__remote_let_go(hearth_node_t *node, struct hearth__served *s);
/* Looks through the repositories again, when one is behind a URL and was not
 * asked for a minute. Blocks. */
void hearth__remote_poll(hearth_node_t *node);

/* ---- The node: node.c ---- */

struct hearth__door {
    hearth_node_t *node;
    enum hearth_node_door kind;
    hearth_http_server_t **servers; /* one an I/O thread */
};
#define HEARTH__DOORS 3

struct hearth_node {
    uint32_t magic;
    hearth_engine_t *engine;
    struct hearth_node_config config; /* replaced under the lock */
    const struct hearth_clock *clock;
    int64_t began_us;
    hearth__workers_t *workers;
    struct hearth__door doors[HEARTH__DOORS];
    uint32_t loop_count;

    struct hearth_lock lock;
    struct hearth_cond changed;     /* a version is no longer OPENING */
    struct hearth__served **served; /* sorted by name, newest version first */
    uint32_t served_count;
    struct hearth__tenants *tenants;
    struct hearth__function *functions;
    hearth_blobs_t *blobs; /* NULL: none are taken */
    struct hearth__busy *busy;
    _Atomic uint64_t remotes;
    _Atomic int64_t asked_us; /* repositories behind URLs, last */

    _Atomic bool quiet, draining, ending;
    _Atomic uint64_t requests, failures, in_flight;
    _Atomic uint32_t draining_servers;
    void (*drained)(void *ctx);
    void *drained_ctx;
    int (*again)(void *ctx, struct hearth_error *err);
    void *again_ctx;
    struct hearth_loop_timer poll_timer; /* of loop 0 */
    struct hearth__work poll_work;
    _Atomic bool polling;
};
/* As it is now: a reload may replace it. Its texts stay. */
struct hearth_node_config hearth__node_config(hearth_node_t *node);
/* The table of now, with a reference. */
struct hearth__tenants *hearth__node_tenants(hearth_node_t *node);

/* ---- Visits: visit.c ---- */

#define HEARTH__HEADERS_MAX 6

struct hearth__reply {
    int status;
    char *body; /* hearth_free; NULL: none */
    size_t bytes;
    const char *content_type; /* static; NULL: JSON */
    uint32_t retry_after_s;
    const char *header, *header_value; /* static: one more */
};

struct hearth__visit;
struct hearth__route;

struct hearth__visit {
    hearth_node_t *node;
    enum hearth_node_door door;
    hearth_http_request_t *http; /* NULL: the client is gone */
    hearth_loop_t *loop;
    const struct hearth__route *route;
    struct hearth__tenants *tenants; /* a reference, which keeps <tenant> */
    struct hearth__tenant *tenant;
    bool is_operator, may_load;
    bool counted; /* in the tenant's requests in flight */
    /* Of the path. */
    char name[HEARTH__NAME_BYTES];
    int64_t version; /* 0: none was given */

    /* A wait for a version. */
    struct hearth__waiter waiter;
    bool waiting;
    hearth_service_t *service; /* a reference */

    /* An inference. */
    hearth_request_t *flow;
    bool answered;
    bool as_function; /* as its hearth.yaml says, not as OIP */
    enum hearth_coding coding;
    hearth_inflate_t *inflate;

    /* A body that is kept, and work on it. */
    char *body;
    size_t body_bytes, body_room, body_limit;
    struct hearth__work work;
    struct hearth_loop_work back;
    bool working;
    _Atomic bool left;          /* the client is gone: for the worker */
    struct hearth__reply reply; /* of the work; status 0: none yet */

    /* A blob that comes. */
    struct hearth_digest blob_digest;
    hearth_blob_put_t *put;
    int descriptor; /* -1: none */
    bool body_whole;
};

/* Hands the visit to a worker. */
void hearth__visit_work(struct hearth__visit *visit);
/* The worker is through with it; the visit may be gone after this. */
void hearth__visit_worked(struct hearth__visit *visit);

/* Sends {"error":...}; the visit's request must not be answered yet. */
void hearth__visit_error(struct hearth__visit *visit, int status,
                         const char *text);
/* Takes the reply's body over. */
void hearth__visit_reply(struct hearth__visit *visit,
                         struct hearth__reply *reply);
/* By the error's own status. */
void hearth__visit_fail(struct hearth__visit *visit,
                        const struct hearth_error *err);
void hearth__visit_json(struct hearth__visit *visit, int status,
                        json_t *object); /* takes <object> over */
/* On a worker: what to answer. */
void hearth__reply_json(struct hearth__reply *reply, int status,
                        json_t *object);
void hearth__reply_error(struct hearth__reply *reply, int status,
                         const char *text);
void hearth__reply_fail(struct hearth__reply *reply,
                        const struct hearth_error *err);
/* {"error":"..."} into a text that is the caller's. NULL: no memory. */
char *hearth__error_json(const char *text, size_t *bytes);

/* ---- Routes: route.c ---- */

enum hearth__route_kind {
    HEARTH__ROUTE_NOW = 0, /* answered at once, on the I/O thread: now() */
    HEARTH__ROUTE_MODEL,   /* needs the model open: then now() */
    HEARTH__ROUTE_INFER,   /* needs the model open: then the flow */
    HEARTH__ROUTE_INVOKE,  /* a function: now(), then the flow */
    HEARTH__ROUTE_BLOB,    /* a large body, or a descriptor: blob.c */
    HEARTH__ROUTE_IMPORT,  /* as WORK, but answers by itself: import.c */
    HEARTH__ROUTE_WORK     /* takes a small body, then work() on a worker */
};
enum hearth__right {
    HEARTH__RIGHT_ALL = 0,
    HEARTH__RIGHT_LOAD,    /* sockets; TCP with a token */
    HEARTH__RIGHT_OPERATOR /* the admin socket; TCP with the operator's token */
};
struct hearth__route {
    const char *method;
    /* '*' is a model's name, '#' a version's number; "[...]" may be absent. */
    const char *pattern;
    enum hearth__route_kind kind;
    enum hearth__right right;
    void (*now)(struct hearth__visit *visit);
    void (*work)(struct hearth__visit *visit, struct hearth__reply *reply);
    uint32_t body_limit;
};
/* 0 and *route; 404: no such path; 405: no such method there. Fills in the
 * visit's name and version. */
int hearth__route_find(const char *method, const char *path,
                       struct hearth__visit *visit,
                       const struct hearth__route **route);

/* infer.c: the visit has its service. */
void hearth__infer_begin(struct hearth__visit *visit);
void hearth__infer_body(struct hearth__visit *visit, const char *data,
                        size_t bytes);
void hearth__infer_body_end(struct hearth__visit *visit);
void hearth__infer_end(struct hearth__visit *visit);
extern const struct hearth_http_handler hearth__visit_handler;

/* import.c, on a worker */
void hearth__import_model(struct hearth__visit *visit);

/* admin.c, on workers */
void hearth__status(struct hearth__visit *visit, struct hearth__reply *reply);
void hearth__models(struct hearth__visit *visit, struct hearth__reply *reply);
void hearth__pin(struct hearth__visit *visit, struct hearth__reply *reply);
void hearth__fit(struct hearth__visit *visit, struct hearth__reply *reply);
void hearth__reload(struct hearth__visit *visit, struct hearth__reply *reply);

/* blob.c */
void hearth__blob_begin(struct hearth__visit *visit);
void hearth__blob_body(struct hearth__visit *visit);
void hearth__blob_body_end(struct hearth__visit *visit);
void hearth__blob_work(struct hearth__visit *visit); /* on a worker */

/* functions.c */
int hearth__functions_open(hearth_node_t *node, struct hearth_error *err);
void hearth__functions_close(hearth_node_t *node);
/* HEARTH_ENOMEM, HEARTH_EBUSY: it has too many. */
int hearth__tenant_has_put(hearth_node_t *node,
                           struct hearth__tenant_state *tenant,
                           const struct hearth_digest *digest);
void hearth__function_state(struct hearth__visit *visit);
void hearth__function_invoke(struct hearth__visit *visit);
void hearth__function_put(struct hearth__visit *visit,
                          struct hearth__reply *reply);

/* describe.c */
void hearth__server_metadata(struct hearth__visit *visit);
void hearth__health_live(struct hearth__visit *visit);
void hearth__health_ready(struct hearth__visit *visit);
void hearth__model_metadata(struct hearth__visit *visit);
void hearth__model_ready(struct hearth__visit *visit);
void hearth__model_config(struct hearth__visit *visit);
/* stats.c */
void hearth__model_stats(struct hearth__visit *visit,
                         struct hearth__reply *reply);
/* manage.c */
void hearth__repository_index(struct hearth__visit *visit,
                              struct hearth__reply *reply);
void hearth__repository_load(struct hearth__visit *visit,
                             struct hearth__reply *reply);
void hearth__repository_unload(struct hearth__visit *visit,
                               struct hearth__reply *reply);
/* As the index names it: "READY"; <reason> is filled. */
const char *hearth__served_state(hearth_node_t *node,
                                 struct hearth__served *served, char *reason,
                                 size_t size);
/* Loads it and keeps it loaded, or no longer. Blocks. */
int hearth__pin_now(hearth_node_t *node, struct hearth__served *served,
                    bool pinned, struct hearth_error *err);
/* Opens it and waits until a device has it. Blocks. */
int hearth__load_now(hearth_node_t *node, struct hearth__served *served,
                     uint32_t tenant, struct hearth_error *err);

#endif
