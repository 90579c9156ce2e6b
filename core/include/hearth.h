/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth.h: the engine, embedded in a process: it opens devices, keeps models
 * warm on them, and answers requests to functions, each of which is a
 * hearth.yaml. Not a network server: an adapter brings bodies and takes
 * answers. C library types only.
 *
 *     engine  <- service (a function opened on it)  <- call (one request)
 *
 * Threads: every function may be called on any thread. Those that say "blocks"
 * must not be called from a <done> callback. The engine never exits, aborts on
 * input, prints (except its log, see below), or changes signal handling; fork
 * without exec while one lives is not supported. Invariant: every call that was
 * started ends with exactly one <done>.
 *
 * Structs that a caller fills begin with their size, which the _init function
 * sets; fields are only ever appended. A function that can fail returns
 * HEARTH_OK or a status of hearth_types.h and, where it takes an <err> (NULL is
 * allowed), a text that ends with what to do next.
 */
#ifndef HEARTH_H
#define HEARTH_H

#include "hearth_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HEARTH_API __attribute__((visibility("default")))
#else
#define HEARTH_API
#endif

typedef struct hearth_engine hearth_engine_t;
typedef struct hearth_service hearth_service_t;
typedef struct hearth_call hearth_call_t;

/* ---- engine ---------------------------------------------------------------*/

/* Every text and pointer is copied or used during hearth_engine_create only,
 * except <log> and <log_ctx>, which live as long as the engine. */
struct hearth_engine_config {
    uint32_t struct_bytes;
    uint32_t io_threads; /* [0: one a core, at most 4] sockets, codecs */
    /* ["cpu"] NAME or NAME:SPEC, separated by spaces, semicolons, or a comma
     * before a name: "cpu:0-3,6", "cpu:0-0,cpu:1-1", "sim:mem=64MiB sim". */
    const char *devices;
    /* [NULL: HEARTH_PLUGIN_DIR, else the installed one] */
    const char *plugin_dir;
    /* [0: what each device has] device memory that models may take, for each
     * device. A model that can never fit is refused when it is opened. */
    uint64_t memory_bytes;
    /* [0: 256 MiB] bodies, tensors and answers of all calls in flight. A call
     * over it is refused with HEARTH_ENOMEM. */
    uint64_t request_bytes;
    int32_t log_level; /* ["info"] 0 error, 1 warning, 2 info, 3 debug */
    uint32_t reserved; /* 0 */
    /* [NULL: lines go to stderr] One line without a newline, any thread. The
     * log is the process's: the engine created last decides. */
    void (*log)(void *ctx, int level, const char *line);
    void *log_ctx;
    /* [0: none] host memory for copies of weights, so that a model that was
     * evicted from a device with memory of its own comes back without the
     * disk. Not used by devices whose memory is the host's. */
    uint64_t host_bytes;
    /* [NULL: none] A directory of packed models: what the first load of a model
     * made is kept there, and mapped by later ones, which take milliseconds.
     * Made where it is missing; several processes may share it. One that cannot
     * be used is a warning in the log. */
    const char *pack_dir;
    uint64_t pack_bytes; /* [0: 16 GiB] of them on the disk, at most */
};
HEARTH_API void hearth_engine_config_init(struct hearth_engine_config *config);

/* Loads the plugins, opens the devices and starts the threads: one that
 * schedules, one a device, one that loads, the I/O threads. Blocks (seconds
 * with a GPU). On failure *engine is NULL and nothing is left behind.
 * HEARTH_ECONFIG (a device that no plugin has, a bad spec), HEARTH_EABI,
 * HEARTH_EDEVICE, HEARTH_ENOMEM. */
HEARTH_API int hearth_engine_create(hearth_engine_t **engine,
                                    const struct hearth_engine_config *config,
                                    struct hearth_error *err);
/* Ends every call with HEARTH_ECLOSING, closes what is open, gives the devices
 * back, joins the threads and NULLs the pointer. Blocks, at most for the run
 * that a device is in the middle of. Handles of services and calls that the
 * caller still holds must be closed and released before. */
HEARTH_API void hearth_engine_destroy(hearth_engine_t **engine);

/* A JSON object of what the engine holds and does: devices with their bytes by
 * owner, models with their state, queues, services. <text> is the caller's, for
 * hearth_text_free. Blocks for a message to the scheduler and back.
 * HEARTH_ENOMEM. */
HEARTH_API int hearth_engine_status(hearth_engine_t *engine, char **text);
/* The statistics of the process, as Prometheus' text format. HEARTH_ENOMEM. */
HEARTH_API int hearth_engine_metrics(hearth_engine_t *engine, char **text);
HEARTH_API void hearth_text_free(char *text); /* NULL is allowed */

/* ---- service: a function on an engine -------------------------------------*/

struct hearth_service_config {
    uint32_t struct_bytes;
    /* [0: none] Calls in flight at most; the next is refused with HEARTH_EBUSY
     * before its body is looked at. */
    uint32_t max_in_flight;
    /* [0: none] From start to answer. A call may ask for less, not for more. */
    int64_t timeout_us;
    uint64_t body_bytes; /* [0: hearth.yaml's limit] longest body taken */
    /* [0] 1: no warm-up run, whatever hearth.yaml says; 2: only if it says
     * "warm: true". */
    uint32_t cold;
    uint32_t reserved; /* 0 */
};
HEARTH_API void
hearth_service_config_init(struct hearth_service_config *config);

/* Reads the hearth.yaml at <path>, its labels and its model, and asks every
 * device for the model's footprint. Then, unless the file says "warm: false",
 * one run on zeros is started, which loads the model: hearth_service_state
 * tells when it has answered. Blocks for the reading, not for the run.
 * <config> NULL: the defaults. HEARTH_ECONFIG ("hearth.yaml:7: ..."),
 * HEARTH_ENOENT, HEARTH_EMODEL, HEARTH_EUNSUPPORTED (every device's reason),
 * HEARTH_ENOSPACE, HEARTH_EIO, HEARTH_ENOMEM. */
HEARTH_API int hearth_service_open(hearth_service_t **service,
                                   hearth_engine_t *engine, const char *path,
                                   const struct hearth_service_config *config,
                                   struct hearth_error *err);
/* No new calls; those in flight end as they would have. NULLs the pointer.
 * Does not block. */
HEARTH_API void hearth_service_close(hearth_service_t **service);

enum hearth_service_state {
    HEARTH_SERVICE_NONE = 0,
    HEARTH_SERVICE_WARMING, /* the model has not answered yet */
    HEARTH_SERVICE_READY,   /* it answered once, or there is no warm-up */
    HEARTH_SERVICE_FAILED   /* the warm-up failed; calls try again */
};
/* <err> tells why it FAILED. A call that succeeds makes any state READY. */
HEARTH_API enum hearth_service_state
hearth_service_state(hearth_service_t *service, struct hearth_error *err);
/* Blocks until it is no longer WARMING, or for <timeout_us> (negative: no
 * limit). HEARTH_OK when READY, HEARTH_ETIMEOUT, or why it FAILED. */
HEARTH_API int hearth_service_wait_ready(hearth_service_t *service,
                                         int64_t timeout_us,
                                         struct hearth_error *err);
/* Calls between their start and their answer. */
HEARTH_API uint32_t hearth_service_in_flight(hearth_service_t *service);
/* The function's name, from its hearth.yaml. Lives as long as the handle. */
HEARTH_API const char *hearth_service_name(hearth_service_t *service);

/* ---- call: one request ----------------------------------------------------*/

/* Where the time went, in microseconds; 0 for a step that did not happen. */
struct hearth_times {
    int64_t receive_us; /* the body's bytes */
    int64_t decode_us;  /* body to tensors */
    int64_t queue_us;   /* for a device, other calls before it */
    int64_t load_us;    /* for the model to become resident */
    int64_t run_us;     /* on the device */
    int64_t encode_us;  /* tensors to answer */
    int64_t total_us;   /* start to answer, what lies between included */
};

/* An answer always has a body and a status for its client, also on failure:
 * then <status> is not HEARTH_OK, and the body is the text of what went wrong
 * (text/plain; {"error":"..."} where the function speaks the Open Inference
 * Protocol). */
struct hearth_answer {
    uint32_t struct_bytes;
    int32_t status;           /* HEARTH_OK, or why there is no result */
    int32_t http_status;      /* 200, or what fits <status> */
    uint32_t retry_after_s;   /* 0: no use or no idea */
    const char *request_id;   /* the caller's or one that the engine made */
    const char *content_type; /* of <body> */
    const void *body;
    uint64_t body_bytes;
    struct hearth_times times;
    /* Of an Open Inference Protocol answer with binary parts: the length of the
     * JSON before them (Inference-Header-Content-Length). 0: none. */
    uint64_t oip_json_bytes;
};

struct hearth_call_spec {
    uint32_t struct_bytes;
    uint32_t reserved; /* 0 */
    const void *body;  /* stays the caller's, and in place, until done */
    uint64_t body_bytes;
    const char *content_type; /* NULL: found from the first bytes */
    const char *request_id;   /* NULL: the engine makes one */
    uint64_t oip_json_bytes;  /* as in struct hearth_answer, of the body */
    int64_t timeout_us;       /* 0: the service's */
    void *ctx;
    /* Exactly once, on an I/O thread of the engine: do little, and nothing that
     * blocks. <answer> and what it points to are valid during the call. */
    void (*done)(void *ctx, const struct hearth_answer *answer);
};
HEARTH_API void hearth_call_spec_init(struct hearth_call_spec *spec);

/* Starts a call; <spec> itself and its texts are copied. *call (NULL: no handle
 * is wanted) is the caller's, for cancelling, until hearth_call_release.
 * HEARTH_OK: <done> will come, also for a call that is refused. HEARTH_EINVAL,
 * HEARTH_ENOMEM: it will not, and *call is NULL. */
HEARTH_API int hearth_call_start(hearth_call_t **call,
                                 hearth_service_t *service,
                                 const struct hearth_call_spec *spec);
/* The answer will be HEARTH_ECANCELED, unless it is under way already: <done>
 * comes in both cases, after the body is no longer read. Does not block; any
 * number of times, also after <done>. */
HEARTH_API void hearth_call_cancel(hearth_call_t *call);
/* Gives the handle back, before or after <done>; cancels nothing. */
HEARTH_API void hearth_call_release(hearth_call_t **call);

/* Start and wait. *answer is the caller's, for hearth_answer_free, whenever it
 * is not NULL: it tells more about a failure than the status. <spec>'s <done>
 * and <ctx> are ignored. Returns the answer's status, HEARTH_EINVAL or
 * HEARTH_ENOMEM. Blocks. */
HEARTH_API int hearth_infer(hearth_service_t *service,
                            const struct hearth_call_spec *spec,
                            struct hearth_answer **answer);
HEARTH_API void hearth_answer_free(struct hearth_answer **answer);

/* ---- about the library ----------------------------------------------------*/

/* "0.1.0" */
HEARTH_API const char *hearth_version(void);
/* configure's summary: compiler, flags, each plugin "built" or why not. Lines,
 * static. */
HEARTH_API const char *hearth_build_summary(void);

#ifdef __cplusplus
}
#endif
#endif
