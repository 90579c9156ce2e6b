/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth_plugin.h: what the core and a device plugin agree on.
 *
 * A plugin is one shared object that exports one function, hearth_plugin_v1. It
 * includes this header and the C library: no APR, no core. It runs a graph on
 * its devices and counts its own bytes; it never evicts, retries, exits, aborts
 * or prints. It is loaded once and never unloaded.
 *
 * Threads: "device thread" is the one thread that drives a device: no two calls
 * on one device overlap, whatever thread makes them, except where a function
 * says otherwise. Two devices may be driven at the same time.
 *
 * Statuses are those of hearth_types.h; the class tells the core what to do:
 * CLIENT fails this request, AGAIN frees memory and retries once, NEVER refuses
 * the model on this device, DEVICE_LOST is sticky and quarantines the device.
 * Wherever an <err> can be given, the text ends with what to do next.
 */
#ifndef HEARTH_PLUGIN_H
#define HEARTH_PLUGIN_H

#include "hearth_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HEARTH_PLUGIN_MAGIC 0x47504c48u /* "HLPG" */
#define HEARTH_PLUGIN_ABI_MAJOR 1u      /* changes: the core refuses */
#define HEARTH_PLUGIN_ABI_MINOR 0u      /* grows when something is appended */
#define HEARTH_PLUGIN_SYMBOL "hearth_plugin_v1"

/* A plugin's own; the core only carries pointers to them. */
typedef struct hearth_dev hearth_dev_t;
typedef struct hearth_queue hearth_queue_t;
typedef struct hearth_event hearth_event_t;
typedef struct hearth_dev_model hearth_dev_model_t;

/* Every struct that crosses the border begins with its size in bytes, set by
 * whoever fills it. A reader takes fields beyond that size for absent (zero).
 * Fields and functions are only ever appended. */

/* ---- What the core gives to a plugin; valid for the process's life. -------*/
enum hearth_log_level {
    HEARTH_LOG_ERROR = 0,
    HEARTH_LOG_WARN,
    HEARTH_LOG_INFO,
    HEARTH_LOG_DEBUG
};
struct hearth_host {
    uint32_t struct_bytes;
    uint32_t reserved;
    void *ctx;
    /* One line, no newline. Any thread. */
    void (*log)(void *ctx, enum hearth_log_level level, const char *text);
    /* Monotonic microseconds on the core's clock, which a test may move by
     * hand: a plugin takes time from nowhere else. Any thread. */
    int64_t (*now_us)(void *ctx);
    /* Blocks until now_us() >= <us>. For sim, and for bounded waits. */
    void (*wait_until_us)(void *ctx, int64_t us);
};

/* ---- plugin ---------------------------------------------------------------*/
struct hearth_probe {
    uint32_t struct_bytes;
    uint32_t device_count;
    int32_t score;      /* 0: cannot be used; the higher the more preferred */
    char sentence[200]; /* why: "no CUDA driver (35)", "AVX2, 2 cores" */
};
struct hearth_open_config {
    uint32_t struct_bytes;
    uint32_t index; /* of the device, < device_count; plugins may ignore it */
    /* What stands after "NAME:" in the operator's device list, "" for nothing:
     * cpu: a core list "0-3,6"; sim: "mem=8GiB,bandwidth=12GiB"; cuda: an
     * index. An unknown key is HEARTH_ECONFIG. */
    const char *spec;
    uint64_t
        memory_limit; /* bytes the core will ask for at most; 0: no limit */
    /* What export_lowered gives is kept: what a load finds out about the
     * fastest way to run, at some cost, is found out once. */
    bool keeps_lowered;
};
struct hearth_plugin_calls {
    uint32_t struct_bytes;
    uint32_t reserved;
    /* Once, before any other call. Keeps <host>. */
    int (*init)(const struct hearth_host *host, struct hearth_error *err);
    /* Without side effects; may be called again. Any thread after init. */
    int (*probe)(struct hearth_probe *probe, struct hearth_error *err);
    /* *dev is the plugin's until close. HEARTH_ECONFIG, HEARTH_EDEVICE. */
    int (*open)(const struct hearth_open_config *config, hearth_dev_t **dev,
                struct hearth_error *err);
    /* All models, queues, events and memory of it were given back before. */
    void (*close)(hearth_dev_t *dev);
};

/* ---- device ---------------------------------------------------------------*/
enum hearth_device_caps {
    /* Device memory is the host's: host pointers are device pointers, there is
     * one budget for both tiers, and weights are never held twice. */
    HEARTH_CAP_HOST_MEMORY = 1 << 0,
    /* load and unload may be called on one other thread beside the device
     * thread's calls. */
    HEARTH_CAP_LOAD_BESIDE_RUN = 1 << 1,
    /* execute returns before the run is over; else it is over on return. */
    HEARTH_CAP_ASYNC_RUN = 1 << 2,
    /* host_alloc gives memory that copies faster than malloc's. */
    HEARTH_CAP_PINNED_HOST = 1 << 3
};
struct hearth_device_properties {
    uint32_t struct_bytes;
    uint32_t caps; /* enum hearth_device_caps */
    char name[64]; /* "AMD EPYC 7B13", "NVIDIA H100 80GB HBM3" */
    char uuid[48]; /* stable across restarts where the device has one */
    char arch[32]; /* "avx2", "sm_90": with the build, a lowering's key */
    uint64_t bytes_total;    /* of the device's memory */
    uint64_t bytes_free;     /* now, other processes counted */
    uint64_t overhead_bytes; /* what libraries took at open: charged by the core
                                as "overhead", and part of used_bytes */
    uint64_t alignment;      /* of alloc; arenas are planned to it */
    uint32_t units;          /* cores or multiprocessors used */
    uint32_t reserved;
};
struct hearth_device_calls {
    uint32_t struct_bytes;
    uint32_t reserved;
    /* Any thread. */
    int (*properties)(hearth_dev_t *dev, struct hearth_device_properties *out,
                      struct hearth_error *err);
    /* HEARTH_OK, or HEARTH_EDEVICE once it is lost. Any thread; cheap. */
    int (*health)(hearth_dev_t *dev, struct hearth_error *err);
};

/* ---- memory ---------------------------------------------------------------*/
struct hearth_memory_calls {
    uint32_t struct_bytes;
    uint32_t reserved;
    /* Device memory, aligned to properties.alignment, contents undefined.
     * HEARTH_ENOMEM: nothing was taken. <bytes> > 0. */
    int (*alloc)(hearth_dev_t *dev, uint64_t bytes, void **ptr,
                 struct hearth_error *err);
    /* <bytes> as given to alloc. */
    void (*free)(hearth_dev_t *dev, void *ptr, uint64_t bytes);
    /* Host memory for staging; pinned where the device has it. Any thread. */
    int (*host_alloc)(hearth_dev_t *dev, uint64_t bytes, void **ptr,
                      struct hearth_error *err);
    void (*host_free)(hearth_dev_t *dev, void *ptr, uint64_t bytes);
    /* Device bytes in use as the plugin's own allocator counts them: overhead,
     * models, and what alloc gave. The core compares them with its own books.
     * Any thread. */
    uint64_t (*used_bytes)(hearth_dev_t *dev);
};

/* ---- queue: work in order; two queues may overlap -------------------------*/
enum hearth_queue_kind { HEARTH_QUEUE_RUN = 0, HEARTH_QUEUE_COPY = 1 };
enum hearth_copy_kind {
    HEARTH_COPY_TO_DEVICE = 0,
    HEARTH_COPY_TO_HOST = 1,
    HEARTH_COPY_ON_DEVICE = 2
};
struct hearth_queue_calls {
    uint32_t struct_bytes;
    uint32_t reserved;
    int (*create)(hearth_dev_t *dev, enum hearth_queue_kind kind,
                  hearth_queue_t **queue, struct hearth_error *err);
    void (*destroy)(hearth_queue_t *queue); /* it is empty */
    /* Asynchronous where memory allows; the ranges live until an event after
     * it, or synchronise, says that it is done. */
    int (*copy)(hearth_queue_t *queue, void *dst, const void *src,
                uint64_t bytes, enum hearth_copy_kind kind,
                struct hearth_error *err);
    int (*fill)(hearth_queue_t *queue, void *dst, int value, uint64_t bytes,
                struct hearth_error *err);
    int (*event_create)(hearth_dev_t *dev, hearth_event_t **event,
                        struct hearth_error *err);
    void (*event_destroy)(hearth_event_t *event);
    /* Marks "everything submitted so far". */
    int (*event_record)(hearth_queue_t *queue, hearth_event_t *event,
                        struct hearth_error *err);
    /* Later work of <queue> waits for the event, without blocking the host. */
    int (*event_wait)(hearth_queue_t *queue, hearth_event_t *event,
                      struct hearth_error *err);
    /* HEARTH_OK when reached, HEARTH_EAGAIN when not yet. */
    int (*event_query)(hearth_event_t *event, struct hearth_error *err);
    /* Calls the completions that are due, on this thread. *next_us: when it is
     * worth asking again, by now_us; INT64_MAX when nothing is under way. */
    int (*poll)(hearth_queue_t *queue, int64_t *next_us,
                struct hearth_error *err);
    /* Blocks until the queue is empty and has called every completion.
     * HEARTH_ETIMEOUT at <deadline_us>: the work goes on. */
    int (*synchronise)(hearth_queue_t *queue, int64_t deadline_us,
                       struct hearth_error *err);
};

/* ---- model ----------------------------------------------------------------*/
struct hearth_footprint {
    uint32_t struct_bytes;
    uint32_t reserved;
    uint64_t model_bytes; /* from load to unload: weights as the device keeps
                             them, and what goes with them, the plan of a first
                             run included: a load may take less */
    uint64_t load_bytes;  /* beside that, while it loads */
    uint64_t arena_bytes; /* activations and workspaces at these shapes */
};
struct hearth_load {
    uint32_t struct_bytes;
    uint32_t reserved;
    const struct hearth_graph *graph;     /* outlives the model on the device */
    const struct hearth_weights *weights; /* until load returns */
    void *ctx;
    /* Either may be NULL. <done> of <total> weight bytes; true: give up, and
     * load returns HEARTH_ECANCELED with nothing kept. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    bool (*cancelled)(void *ctx);
    /* Of load_lowered: its bytes are aligned to 4096, and stay where they are,
     * unchanged and never written to, until unload: a plugin whose memory is
     * the host's may use them there, and counts them as its own. */
    bool lowered_stays;
};
struct hearth_plan {
    uint32_t struct_bytes;
    uint32_t reserved;
    uint64_t arena_bytes; /* that an execution at these shapes needs; where only
                             a run tells its sizes, what it begins with: see
                             execute */
    uint64_t model_bytes; /* of the model, all its cached plans included */
};
/* One run. The struct and what it points to live until <done> was called. */
struct hearth_execution {
    uint32_t struct_bytes;
    uint32_t input_count;
    const struct hearth_view *inputs; /* host memory, dense, aligned to their
                                         elements, in graph order */
    void *arena; /* device memory of the core, >= plan's arena_bytes; one run at
                    a time uses it */
    uint64_t arena_bytes;
    int64_t deadline_us; /* by now_us: between two operators a plugin may give
                            up with HEARTH_ETIMEOUT; INT64_MAX: none */
    void *ctx;
    /* Host memory for output <i> of this shape, dense, written before <done>.
     * On the device thread; once for each output. HEARTH_ENOMEM: the run ends
     * with it. */
    int (*alloc_output)(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data);
    /* Exactly once, on the device thread: inside execute, poll or synchronise.
     * <err> is valid during the call; NULL on success. */
    void (*done)(void *ctx, int status, const struct hearth_error *err);
};
struct hearth_sink {
    uint32_t struct_bytes;
    uint32_t reserved;
    void *ctx;
    int (*write)(void *ctx, const void *data, uint64_t bytes);
};
struct hearth_model_calls {
    uint32_t struct_bytes;
    uint32_t reserved;
    /* What it would take, with no side effect and nothing allocated on the
     * device. <shapes>: one known shape per graph input, or NULL for every
     * symbolic dimension taken as 1. HEARTH_EUNSUPPORTED (NEVER) names the
     * node and its operator or type. Any thread. */
    int (*footprint)(hearth_dev_t *dev, const struct hearth_graph *graph,
                     const struct hearth_weights *weights,
                     const struct hearth_shape *shapes,
                     struct hearth_footprint *out, struct hearth_error *err);
    /* Takes at most footprint's model_bytes + load_bytes; *model_bytes is what
     * it holds on return, as used_bytes counts it. All or nothing. The source
     * weights are not needed afterwards: a plugin copies, and so packs, what it
     * keeps. HEARTH_ENOMEM, HEARTH_EIO, HEARTH_ECANCELED, HEARTH_EDEVICE. */
    int (*load)(hearth_dev_t *dev, hearth_queue_t *copy_queue,
                const struct hearth_load *load, hearth_dev_model_t **model,
                uint64_t *model_bytes, struct hearth_error *err);
    void (*unload)(hearth_dev_model_t *model); /* no run of it is under way */
    /* Makes ready to run at these input shapes. A plan is kept (8 a model, the
     * least recently used goes), so that this is cheap when it was asked
     * before. HEARTH_ESHAPE names the input or the node. */
    int (*plan)(hearth_dev_model_t *model, const struct hearth_shape *shapes,
                struct hearth_plan *out, struct hearth_error *err);
    /* Runs the whole graph, shape arithmetic on the host included. HEARTH_OK:
     * <done> was or will be called; any error: it will not be. plan was called
     * with these shapes before. A run that ends with HEARTH_EAGAIN, before it
     * asked for any output, found the arena too small for sizes that only it
     * could tell: plan says a larger one then, and it is to be run again. */
    int (*execute)(hearth_dev_model_t *model, hearth_queue_t *queue,
                   const struct hearth_execution *run,
                   struct hearth_error *err);
    /* The three below are optional (NULL together): weights as the device wants
     * them, kept beside a packed model under <key>, which holds plugin build,
     * arch and library version. A plugin takes nothing on trust from a lowered
     * section but the weights' numbers: HEARTH_EMODEL, and the core loads from
     * the source. export_lowered may be called beside runs of the model, where
     * load may; not of a model that load_lowered made. */
    int (*lowered_key)(hearth_dev_t *dev, char *key, uint32_t size);
    int (*export_lowered)(hearth_dev_model_t *model,
                          const struct hearth_sink *sink,
                          struct hearth_error *err);
    int (*load_lowered)(hearth_dev_t *dev, hearth_queue_t *copy_queue,
                        const struct hearth_load *load, const void *lowered,
                        uint64_t lowered_bytes, hearth_dev_model_t **model,
                        uint64_t *model_bytes, struct hearth_error *err);
};

/* ---- The descriptor: constant, static. The first five fields never move. --*/
struct hearth_plugin {
    uint32_t magic;     /* HEARTH_PLUGIN_MAGIC */
    uint32_t abi_major; /* of the header it was built with */
    uint32_t abi_minor;
    uint32_t struct_bytes; /* sizeof(struct hearth_plugin) */
    const char *build;     /* version and commit, for logs and lowered keys */

    const char *name; /* "cpu": lower case, what a device list says */
    const struct hearth_plugin_calls *plugin;
    const struct hearth_device_calls *device;
    const struct hearth_memory_calls *memory;
    const struct hearth_queue_calls *queue;
    const struct hearth_model_calls *model;
};

/* The exported function's type; never NULL. */
typedef const struct hearth_plugin *(*hearth_plugin_fn)(void);
const struct hearth_plugin *hearth_plugin_v1(void);

#ifdef __cplusplus
}
#endif
#endif
