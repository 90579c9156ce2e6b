/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_priv.h: what the files of core/flow share: the request, the step table's
 * row, the service, the engine. A field without a note belongs to its request's
 * loop, or is set before other threads see it.
 */
#ifndef HEARTH_FLOW_FLOW_PRIV_H
#define HEARTH_FLOW_FLOW_PRIV_H

#include "flow/flow.h"
#include "function/function.h"
#include "sched/sched.h"
#include "stat/stat.h"
#include "store/store.h"

#include <stdatomic.h>

#define HEARTH_MAGIC_REQUEST 0x48525131u
#define HEARTH_MAGIC_SERVICE 0x48535631u
#define HEARTH_MAGIC_ENGINE 0x48454e31u
#define HEARTH_MAGIC_CALL 0x48434c31u

/* ---- The step table. ---- */

/* What <enter> and <resume> return to park. */
#define HEARTH__STEP_PARK HEARTH_STEP_COUNT

struct hearth__flow_row {
    const char *name;
    enum hearth_step (*enter)(hearth_request_t *req);
    /* After a park; NULL: the step never parks. May park again. */
    enum hearth_step (*resume)(hearth_request_t *req);
    /* Asks for a parked request to come back soon; NULL: nobody else holds it,
     * so it is just woken. */
    void (*cancel)(hearth_request_t *req);
    uint32_t next; /* bit set of enum hearth_step */
};
extern const struct hearth__flow_row hearth__flow_table[HEARTH_STEP_COUNT];

/* ---- The request. ---- */

#define HEARTH__ID_BYTES 72 /* longest request id taken, with terminator */

struct hearth_request {
    uint32_t magic;
    enum hearth_step step;
    bool running; /* inside hearth__flow_run */
    bool entered; /* parked in <step>, or about to look again */
    bool woken;   /* a wake came while running */
    bool failed;  /* passed FAIL */
    bool warming; /* of the service itself: zeros instead of a body */
    bool counted; /* has a place in flight */
    enum hearth_step failed_in;
    int stop; /* why it ends early; HEARTH_OK: it does not */
    int status;
    uint32_t retry_after_s;
    const struct hearth__flow_row *table; /* hearth__flow_table, but in tests */
    const struct hearth_clock *clock;
    hearth_loop_t *loop;
    hearth_service_t *service;      /* one reference */
    hearth_request_t *next, **link; /* of its I/O thread's requests */
    const struct hearth_flow_adapter *adapter; /* NULL: the client left */
    void *adapter_ctx;
    struct hearth_loop_timer deadline;
    int64_t began_us, deadline_us; /* INT64_MAX: none */
    int64_t step_began_us;
    int64_t step_us[HEARTH_STEP_COUNT];
    uint32_t passed; /* bit set of the steps it was in */
    char id[HEARTH__ID_BYTES];

    /* The body and what it becomes. */
    char *content_type;      /* NULL: none */
    int64_t announced_bytes; /* -1: not known */
    uint64_t oip_json_bytes;
    uint64_t body_limit;
    hearth_buffer_t *body; /* while it grows, body_bytes are filled */
    uint64_t body_bytes;
    bool body_whole;
    struct hearth_function_context context;
    struct hearth_tensor_list inputs, outputs;

    /* QUEUE to RUN: see step_job.c. */
    struct hearth_job job; /* the scheduler's while it is out */
    struct hearth_loop_work to_sched, cancel_to_sched;
    struct hearth_loop_work loading_work, back_work, cancel_back_work;
    bool job_live;   /* the scheduler's: submitted, not DONE */
    bool loading;    /* a load for it began */
    bool job_back;   /* DONE arrived here */
    bool cancel_out; /* a cancel is on its way there and back */
    int cancel_status;

    struct hearth_error err;        /* for the answer and the log */
    hearth_buffer_t *answer_buffer; /* NULL: <answer>'s body is <err> */
    struct hearth_answer answer;
};

/* steps.c: runs the request until it parks or ends (and is freed). */
void hearth__flow_run(hearth_request_t *req);
/* Ends it early, with <status>. May free it. */
void hearth__flow_stop(hearth_request_t *req, int status);

/* request.c */
apr_status_t hearth__flow_begin(hearth_request_t **req,
                                hearth_service_t *service, hearth_loop_t *loop,
                                const struct hearth_flow_adapter *adapter,
                                void *ctx, const struct hearth_flow_head *head,
                                bool warming);
void hearth__flow_drop_inputs(hearth_request_t *req);
/* A limit that became known later: the deadline moves only nearer. */
void hearth__flow_shorten(hearth_request_t *req, int64_t timeout_us);
/* Adds the time since the step began to it, at <now_us>. */
void hearth__flow_account(hearth_request_t *req, int64_t now_us);
enum hearth_step hearth__step_end(hearth_request_t *req);

/* step_head.c */
enum hearth_step hearth__step_recv_head(hearth_request_t *req);
enum hearth_step hearth__step_resolve(hearth_request_t *req);
enum hearth_step hearth__step_admit(hearth_request_t *req);
/* Of a body limit; one %llu. */
#define HEARTH__TOO_BIG                                                        \
    "the body is longer than %llu bytes: send less, or raise max_body in "     \
    "hearth.yaml"
/* step_body.c */
enum hearth_step hearth__step_recv_body(hearth_request_t *req);
enum hearth_step hearth__step_recv_body_resume(hearth_request_t *req);
enum hearth_step hearth__step_decode(hearth_request_t *req);
/* step_job.c */
enum hearth_step hearth__step_queue(hearth_request_t *req);
enum hearth_step hearth__step_queue_resume(hearth_request_t *req);
enum hearth_step hearth__step_reside(hearth_request_t *req);
enum hearth_step hearth__step_reside_resume(hearth_request_t *req);
enum hearth_step hearth__step_run(hearth_request_t *req);
void hearth__step_job_cancel(hearth_request_t *req);
/* step_answer.c */
enum hearth_step hearth__step_encode(hearth_request_t *req);
enum hearth_step hearth__step_send(hearth_request_t *req);
enum hearth_step hearth__step_send_resume(hearth_request_t *req);
enum hearth_step hearth__step_fail(hearth_request_t *req);

/* ---- The service. ---- */

struct hearth__model;

struct hearth__tally {
    _Atomic uint64_t count;
    _Atomic int64_t us;
};
struct hearth__tallies {
    _Atomic uint64_t inferences;
    _Atomic int64_t last_ms;
    struct hearth__tally success, fail, queue, input, infer, output;
};

struct hearth_service {
    uint32_t magic;
    _Atomic uint32_t refs;  /* the handles', and one a request */
    _Atomic uint32_t holds; /* the handles' */
    _Atomic uint32_t in_flight;
    _Atomic bool closed;
    _Atomic uint32_t next_loop;
    hearth_engine_t *engine;
    hearth_function_t *function;
    struct hearth__model *model;
    uint32_t max_in_flight;
    int64_t timeout_us;
    uint64_t body_bytes;
    hearth_service_t *next, **link; /* the engine's, under its lock */
    _Atomic int state;              /* enum hearth_service_state */
    struct hearth__tallies tallies;
    struct hearth_error error; /* under the engine's lock */
};
hearth_service_t *hearth__service_ref(hearth_service_t *service);
void hearth__service_unref(hearth_service_t *service);
/* The request's place in flight, if it has one. */
void hearth__service_give_place(hearth_request_t *req);
/* The I/O loops in turn. */
hearth_loop_t *hearth__service_next_loop(hearth_service_t *service);
/* A request ended well (<err> NULL), or the warm-up did not. Any thread. */
void hearth__service_answered(hearth_service_t *service,
                              const struct hearth_error *err);

/* ---- models.c: the models that services share, by digest. ---- */

struct hearth__model {
    hearth_engine_t *engine;
    struct hearth_digest digest;
    uint32_t refs;                  /* under the engine's lock */
    struct hearth__model *next;     /* likewise */
    hearth_store_entry_t *entry;    /* one reference */
    hearth_sched_model_t *sched;    /* the scheduler's */
    struct hearth_loop_work remove; /* to the scheduler */
};
/* hearth_exec_use_packs' <damaged>; <ctx> is the engine. */
void hearth__model_distrust(void *ctx, const hearth_model_t *onnx);
/* Takes over the reference to <entry>, also on failure. Blocks. */
int hearth__model_acquire(struct hearth__model **model, hearth_engine_t *engine,
                          hearth_store_entry_t *entry, const char *name,
                          struct hearth_error *err);
void hearth__model_release(struct hearth__model *model);

/* ---- The engine. ---- */

struct hearth__io {
    hearth_loop_t *loop;
    pthread_t thread;
    hearth_request_t *requests; /* that loop's */
};

struct hearth_engine {
    uint32_t magic;
    const struct hearth_clock *clock;
    _Atomic bool closing;
    hearth_device_t **devices;
    uint32_t device_count;
    hearth_store_t *store;
    hearth_packs_t *packs; /* NULL: none */
    struct hearth_budget request_budget;
    hearth_stat_t *stat;
    hearth_stat_series_t *steps[HEARTH_STEP_COUNT];

    uint32_t io_count;
    struct hearth__io *io;

    /* The scheduler's thread owns what hangs on it. */
    hearth_loop_t *sched_loop;
    pthread_t sched_thread;
    bool sched_running, sched_idle;
    hearth_exec_t *exec;
    hearth_host_tier_t *host;
    hearth_sched_t *sched;
    struct hearth_loop_timer sched_timer;

    struct hearth_lock lock;
    struct hearth_cond changed; /* any of: */
    uint32_t requests;
    uint32_t model_count;
    bool acquiring; /* a model is being added: one at a time */
    hearth_service_t *services;
    struct hearth__model *models;
};

/* engine.c: with a clock and a host for the plugins (NULL: ours) that a test
 * moves; both outlive the engine. */
int hearth__engine_create(hearth_engine_t **engine,
                          const struct hearth_engine_config *config,
                          const struct hearth_clock *clock,
                          const struct hearth_device_host *host,
                          struct hearth_error *err);

/* report.c */
void hearth__engine_log_open(hearth_engine_t *engine,
                             const struct hearth_engine_config *config,
                             const struct hearth_device_host *host);
void hearth__engine_log_close(hearth_engine_t *engine);
void hearth__engine_tell(void *engine, const char *what, const char *device,
                         const char *model, const struct hearth_error *err);

/* When its answer is made. */
void hearth__request_log(const hearth_request_t *req);

/* tally.c: when the answer is made. */
void hearth__tally_request(hearth_request_t *req);

/* meter.c */
int hearth__meter_open(hearth_engine_t *engine);
/* When it ends. */
void hearth__meter_request(const hearth_request_t *req);

/* io.c */
int hearth__thread_start(pthread_t *thread, void *(*fn)(void *), void *ctx);
int hearth__io_start(hearth_engine_t *engine, uint32_t count,
                     struct hearth_error *err);
void hearth__io_stop(hearth_engine_t *engine);
/* Runs <fn> on the loop's thread and waits for it. */
void hearth__on_loop(hearth_loop_t *loop, void (*fn)(void *ctx, uint32_t i),
                     void *ctx, uint32_t i);
/* The I/O thread that runs <loop>. */
struct hearth__io *hearth__io_of(hearth_engine_t *engine, hearth_loop_t *loop);

#endif
