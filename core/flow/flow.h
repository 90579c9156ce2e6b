/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h: the path of one request, for adapters: those that have a socket and
 * want an answer for what comes out of it. Not for embedding: that is hearth.h,
 * whose calls are an adapter of their own (call.c).
 *
 * A request belongs to one I/O loop of the engine, and everything here that
 * takes one is called on that loop's thread; so are the adapter's callbacks. At
 * times the scheduler or a device holds it; it comes back by a message. The
 * steps stand in one table, in steps.c. Invariant: after hearth_flow_begin
 * succeeded, the request ends with exactly one hearth_flow_sent or
 * hearth_flow_leave by the adapter, and is then no longer the adapter's.
 */
#ifndef HEARTH_FLOW_FLOW_H
#define HEARTH_FLOW_FLOW_H

#include "base/base.h"
#include "device/device.h"
#include "function/function.h"
#include "hearth.h"
#include "loop/loop.h"
#include "tensor/tensor.h"

typedef struct hearth_request hearth_request_t;

/* ---- The steps. ---- */
enum hearth_step {
    HEARTH_STEP_NONE = 0, /* over */
    HEARTH_STEP_RECV_HEAD,
    HEARTH_STEP_RESOLVE,
    HEARTH_STEP_ADMIT,
    HEARTH_STEP_RECV_BODY,
    HEARTH_STEP_DECODE,
    HEARTH_STEP_QUEUE,
    HEARTH_STEP_RESIDE,
    HEARTH_STEP_RUN,
    HEARTH_STEP_ENCODE,
    HEARTH_STEP_SEND,
    HEARTH_STEP_FAIL,
    HEARTH_STEP_COUNT
};
/* "recv_head"; "none", or "?" beyond the table. Any thread. */
const char *hearth_step_name(enum hearth_step step);
/* Does the table allow <to> after <from>? Any thread. */
bool hearth_step_allowed(enum hearth_step from, enum hearth_step to);

/* ---- An adapter's view of the engine. Any thread. ---- */
uint32_t hearth_flow_loop_count(hearth_engine_t *engine);
hearth_loop_t *hearth_flow_loop(hearth_engine_t *engine, uint32_t i);
/* Runs <fn> on that loop's thread and returns when it did. Not from an I/O
 * thread: blocks. */
void hearth_flow_on_loop(hearth_engine_t *engine, uint32_t i,
                         void (*fn)(void *ctx, uint32_t i), void *ctx);

/* Starts one more run on zeros, after the one of hearth_service_open FAILED.
 * HEARTH_ENOMEM. */
apr_status_t hearth_flow_warm(hearth_service_t *service);

/* ---- A request. ---- */

/* What the head tells. The texts are copied. */
struct hearth_flow_head {
    const char *content_type; /* NULL: found from the first bytes */
    const char *request_id;   /* NULL or unusable: one is made */
    int64_t body_bytes;       /* -1: not known */
    uint64_t oip_json_bytes;  /* 0: no binary part; or HEARTH_OIP_RAW */
    int64_t timeout_us;       /* 0: the service's */
    bool as_oip;     /* body and answer are OIP's, whatever hearth.yaml says */
    uint32_t tenant; /* that a load for it is charged to */
};

struct hearth_flow_adapter {
    /* The request was admitted: begin to deliver the body, of at most
     * <limit_bytes>, from here or later. */
    void (*accept)(void *ctx, hearth_request_t *req, uint64_t limit_bytes);
    /* The answer. It and its body live until hearth_flow_sent or
     * hearth_flow_leave, which may be called from here. Also comes before or
     * instead of accept, and while the body is being delivered: then the rest
     * of the body is not wanted. */
    void (*send)(void *ctx, hearth_request_t *req,
                 const struct hearth_answer *answer);
};

/* Begins at RECV_HEAD; accept or send may be called before it returns. On
 * success the service is held until the end. HEARTH_ENOMEM: no callback comes,
 * *req is NULL. */
apr_status_t hearth_flow_begin(hearth_request_t **req,
                               hearth_service_t *service, hearth_loop_t *loop,
                               const struct hearth_flow_adapter *adapter,
                               void *ctx, const struct hearth_flow_head *head);
/* A piece of the body; copied. What does not fit or cannot be stored fails the
 * request: send comes, from inside this call. */
void hearth_flow_body(hearth_request_t *req, const void *data, size_t bytes);
/* The whole body at once, not copied: it stays in place until send. */
void hearth_flow_body_borrow(hearth_request_t *req, const void *data,
                             uint64_t bytes);
/* The body is whole. */
void hearth_flow_body_end(hearth_request_t *req);
/* The answer went out; the request is gone. Only after send. */
void hearth_flow_sent(hearth_request_t *req);
/* The client is gone, in any step: the request is no longer the adapter's, no
 * callback comes, and its place is given up. */
void hearth_flow_leave(hearth_request_t *req);
/* As if the client had left, but send comes, with HEARTH_ECANCELED. Nothing
 * happens once the answer is under way. */
void hearth_flow_cancel(hearth_request_t *req);

/* The buffer that holds the answer's body, NULL for an answer made of a text:
 * an adapter that sends later than hearth_flow_sent takes a reference. */
hearth_buffer_t *hearth_flow_answer_buffer(const hearth_request_t *req);
const char *hearth_flow_request_id(const hearth_request_t *req);
enum hearth_step hearth_flow_step(const hearth_request_t *req);

/* ---- Services of a node's daemon: opened by a model instead of a hearth.yaml,
 * and asked about. Those that say "blocks" wait for the scheduler's thread; not
 * on an I/O thread. ---- */

/* As hearth_service_open. Blocks. */
int hearth_flow_open_plain(hearth_service_t **service, hearth_engine_t *engine,
                           const struct hearth_function_plain *plain,
                           const struct hearth_service_config *config,
                           struct hearth_error *err);
/* As hearth_service_open, for a file that a stranger wrote: see
 * hearth_function_open_confined. Blocks. */
int hearth_flow_open_confined(hearth_service_t **service,
                              hearth_engine_t *engine, const char *path,
                              const char *name,
                              const struct hearth_service_config *config,
                              struct hearth_error *err);
/* One reference more, for hearth_service_close; that closes the service only
 * when it was the last. Any thread. */
hearth_service_t *hearth_flow_service_ref(hearth_service_t *service);
/* Live as long as the service. Any thread. */
const hearth_model_t *hearth_flow_service_model(hearth_service_t *service);
const struct hearth_digest *
hearth_flow_service_digest(hearth_service_t *service);
const struct hearth_function_info *
hearth_flow_service_info(hearth_service_t *service);
/* Would opening it again give the same model? HEARTH_OK; HEARTH_ENOENT: its
 * file is gone; HEARTH_EAGAIN: it is another one now. Blocks on the disk. */
int hearth_flow_service_current(hearth_service_t *service);

/* What the service's requests came to. Times are sums. Any thread. */
struct hearth_flow_time {
    uint64_t count;
    int64_t us;
};
struct hearth_flow_stats {
    uint64_t inferences; /* samples: a batch of 8 is 8 */
    uint64_t executions;
    int64_t last_ms; /* since 1970; 0: never */
    struct hearth_flow_time success, fail, queue, input, infer, output;
};
void hearth_flow_service_stats(hearth_service_t *service,
                               struct hearth_flow_stats *stats);

/* Where the service's model is, one a device. */
struct hearth_flow_place {
    const char *device; /* lives as long as the engine */
    const char *state;  /* static: "resident" */
    bool resident, loading;
    uint64_t bytes, runs;
    uint32_t pins;
    struct hearth_error error; /* of its last load, if that failed */
};
/* How many were filled in. Blocks. */
uint32_t
hearth_flow_service_places(hearth_service_t *service,
                           struct hearth_flow_place places[HEARTH_DEVICES_MAX]);
/* Begins to load it where it is best, unless it is somewhere, charged to
 * <tenant>. Blocks. */
void hearth_flow_service_load(hearth_service_t *service, uint32_t tenant);
/* Loads it and keeps it from being evicted, or no longer. The model's, not the
 * service's: whoever closes the service unpins it. Blocks. */
void hearth_flow_service_pin(hearth_service_t *service, bool pinned);
/* Gives it up on every device where it is not in use. Blocks. */
void hearth_flow_service_unload(hearth_service_t *service);

/* Tenants are numbers from 1 on, under HEARTH_TENANTS_MAX (cache.h); 0 is
 * nobody, without a quota. */
#define HEARTH_FLOW_TENANTS_MAX 256u
struct hearth_flow_tenant {
    uint64_t used_bytes, quota_bytes, loads, evictions;
};
/* Device memory that may be charged to it; 0: any. Blocks. */
void hearth_flow_tenant_quota(hearth_engine_t *engine, uint32_t tenant,
                              uint64_t bytes);
/* Blocks. */
void hearth_flow_tenant_report(hearth_engine_t *engine, uint32_t tenant,
                               struct hearth_flow_tenant *report);

/* What a device would need for the model, and whom it would evict now. */
#define HEARTH_FLOW_EVICTS_MAX 16
struct hearth_flow_fit {
    const char *device;
    struct hearth_error error; /* status HEARTH_OK: it fits there */
    bool resident;
    uint64_t model_bytes, load_bytes, arena_bytes; /* as its footprint */
    uint64_t need_bytes; /* that are not there yet, its arena included */
    uint64_t free_bytes;
    uint32_t evict_count; /* may be more than the names */
    char evicts[HEARTH_FLOW_EVICTS_MAX][64];
};
/* How many were filled in. Blocks. */
uint32_t
hearth_flow_service_fit(hearth_service_t *service,
                        struct hearth_flow_fit fits[HEARTH_DEVICES_MAX]);

#endif
