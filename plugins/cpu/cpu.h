/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.h: between the files of plugins/cpu, the CPU device on oneDNN.
 *
 * A model's weights are packed once, at load, each convolution's in the layout
 * that oneDNN asked for. A plan is the graph at its input shapes: a list of
 * steps, each a function, over places in the core's arena. Activations of rank
 * 4 live in oneDNN's blocked layout (nChw8c, or nChw16c with AVX-512) from one
 * convolution to the next, and are turned back only where a step needs rows.
 * OpenMP is the only threading; a run is over when execute returns.
 */
#ifndef HEARTH_PLUGINS_CPU_H
#define HEARTH_PLUGINS_CPU_H

#include <pthread.h>

#include <oneapi/dnnl/dnnl.h>

#include "hearth_plugin.h"
#include "ops/ops.h"

#define CPU_ALIGNMENT 64
#define CPU_PLANS_MAX 8
/* Of a primitive: its code and its books, as measured. */
#define CPU_KERNEL_BYTES (UINT64_C(24) << 10)

extern const struct hearth_host *cpu_host;
extern const struct hearth_memory_calls cpu_memory_calls;
extern const struct hearth_model_calls cpu_model_calls;

/* ---- Memory (memory.c) ---- */

/* The plugin's own, for free(); NULL when there is none. */
void *cpu_calloc(size_t count, size_t size);
void *cpu_realloc(void *ptr, size_t count, size_t size);
/* For tests: this thread's <n>-th allocation from now fails, and all after it;
 * 0: none. */
void cpu_fail_at(int64_t n);
/* Aligned host memory that counts as the device's; HEARTH_ENOMEM. */
int cpu_alloc(hearth_dev_t *dev, uint64_t bytes, void **ptr,
              struct hearth_error *err);
void cpu_free(hearth_dev_t *dev, void *ptr, uint64_t bytes);
/* Only the count, for what is elsewhere. */
int cpu_charge(hearth_dev_t *dev, uint64_t bytes, struct hearth_error *err);
void cpu_uncharge(hearth_dev_t *dev, uint64_t bytes);
int cpu_no_memory(struct hearth_error *err);

/* ---- Device ---- */

struct hearth_dev {
    uint64_t number; /* of the devices that were ever open */
    dnnl_engine_t engine;
    dnnl_stream_t stream, load_stream; /* two threads may use the device */
    int threads;
    bool pinned;        /* cores were asked for */
    uint64_t cores[16]; /* bit set, up to 1024 of them */
    int block;          /* channels of a block: 8 or 16 */
    bool winograd;      /* may be chosen */
    bool chains;        /* elementwise steps may become one */
    bool tune;          /* ways are chosen by the clock */
    bool profile;       /* steps are timed */
    pthread_mutex_t tuning;
    struct cpu_tuned *tuned; /* under <tuning> */
    uint32_t tuned_count;
    uint64_t limit, overhead;
    uint64_t used; /* atomic */
    char name[64], arch[32];
};

/* Cores that a cgroup's "quota period" is worth, rounded up; many for "max". */
int cpu_quota_cores(const char *text);
/* Sets the calling thread's OpenMP team and cores; cheap when it is done. */
void cpu_bind_thread(hearth_dev_t *dev);
/* The same team for a while, on any thread and on its own cores: primitives are
 * made for a number of threads. begin's result is for end. */
int cpu_team_begin(const hearth_dev_t *dev);
/* Likewise one of <threads>. */
int cpu_team_begin_of(int threads);
void cpu_team_end(int before);
/* HEARTH_ENOMEM or HEARTH_EBUG, with oneDNN's reason. */
int cpu_dnnl_failed(dnnl_status_t status, const char *what,
                    struct hearth_error *err);

/* ---- oneDNN 2.6 and 3.x (dnnl.c, the only file that knows both) ---- */

typedef struct cpu_layout cpu_layout_t; /* a memory descriptor */

struct cpu_conv {
    int rank; /* spatial */
    int64_t batch, in_channels, out_channels, groups;
    /* So many groups of the model are one of <groups>, which fills a block, and
     * weights from one of them to another are zeros: twice the products, and
     * several times as fast as oneDNN is without blocks. */
    int64_t merged;
    struct hearth_window window;
    bool src_blocked, dst_blocked, bias, sum;
    enum hearth_activation act;
    float alpha, beta;
    int block;
};
struct cpu_pool {
    int rank;
    int64_t batch, channels;
    struct hearth_window window;
    bool blocked, max, count_pad;
    int block;
};
/* A primitive with its memories, whose data is set before each run. Its code,
 * which takes long to make, is made by cpu_primitive_prepare or else by the
 * first run: who only asks for sizes needs none. */
#define CPU_ARGS_MAX 6
struct cpu_primitive {
    dnnl_primitive_desc_t plan; /* NULL: there is no primitive */
    dnnl_primitive_t primitive; /* NULL: not yet */
    int count;
    dnnl_exec_arg_t args[CPU_ARGS_MAX];
    const void *data[CPU_ARGS_MAX]; /* as set last */
    uint64_t scratch_bytes;
};
/* <weights> NULL: as oneDNN likes it best. *slow: only its reference kernel
 * can. Arguments are in the order src, weights, [bias], dst, [scratchpad].
 * HEARTH_EUNSUPPORTED when it has no kernel at all. */
int cpu_conv_create(hearth_dev_t *dev, const struct cpu_conv *conv,
                    const cpu_layout_t *weights, struct cpu_primitive *out,
                    bool *slow, struct hearth_error *err);
/* The layout that the weights of such a convolution shall have. */
int cpu_conv_layout(hearth_dev_t *dev, const struct cpu_conv *conv,
                    cpu_layout_t **layout, bool *slow,
                    struct hearth_error *err);
/* src, dst, [scratchpad] */
int cpu_pool_create(hearth_dev_t *dev, const struct cpu_pool *pool,
                    struct cpu_primitive *out, struct hearth_error *err);
/* Between plain and blocked, of f32 [n,c,h,w]; src, dst, [scratchpad]. */
int cpu_reorder_create(hearth_dev_t *dev, const int64_t dims[4],
                       bool to_blocked, int block, struct cpu_primitive *out,
                       struct hearth_error *err);
/* May be called for several primitives at once, by as many threads. */
int cpu_primitive_prepare(struct cpu_primitive *primitive,
                          struct hearth_error *err);
void cpu_primitive_destroy(struct cpu_primitive *primitive);
/* <data> in the order of the arguments. */
int cpu_primitive_run(dnnl_stream_t stream, struct cpu_primitive *primitive,
                      void *const *data, struct hearth_error *err);
/* oneDNN keeps what it compiled, for whoever asks for the same again: for the
 * plan after the load after the footprint. Forgets it: models that are loaded
 * hold theirs. Any thread. */
void cpu_kernels_forget(void);
uint64_t cpu_layout_bytes(const cpu_layout_t *layout);
void cpu_layout_free(cpu_layout_t *layout);
/* Packs f32 weights [groups*M/g, C/g, k..], merged groups already as one, from
 * <src> to <dst>, on the thread that loads. */
int cpu_pack(hearth_dev_t *dev, const struct cpu_conv *conv,
             const cpu_layout_t *layout, const void *src, void *dst,
             struct hearth_error *err);

/* ---- Weights (weights.c) ---- */

enum cpu_pack_kind {
    CPU_PACK_PLAIN = 0,
    CPU_PACK_CONV,     /* as oneDNN wants it: conv, layout */
    CPU_PACK_WINOGRAD, /* conv, size */
    CPU_PACK_PATCHES,  /* conv, and as GEMM */
    CPU_PACK_GEMM      /* [k,n] whose elements are the steps apart */
};
struct cpu_pack {
    uint32_t value;
    uint32_t node; /* HEARTH_NO_VALUE: plain, for every node */
    enum cpu_pack_kind kind;
    int size; /* of Winograd's tiles */
    cpu_layout_t *layout;
    struct cpu_conv conv;
    int64_t k, n, k_step, n_step;
    uint64_t bytes, offset;
};
struct cpu_packs {
    struct cpu_pack *items;
    uint32_t count, capacity;
    uint64_t bytes;   /* of all */
    uint64_t staging; /* what a load needs beside <bytes>, at most */
    bool interpreted; /* no plan can be made: all are plain */
};
/* The ways of a model's convolutions, as a lowered section has them. */
struct cpu_choices {
    const char *entries; /* not aligned */
    uint32_t count, next;
};
/* What must be kept of the weights, at the nominal shapes of <spec>, which is
 * NULL where sizes are not known before a run. <choices> NULL: ways are chosen
 * here. */
int cpu_packs_create(hearth_dev_t *dev, const struct hearth_graph *graph,
                     const struct hearth_spec *spec,
                     struct cpu_choices *choices, struct cpu_packs *packs,
                     struct hearth_error *err);
/* What the clock said of a convolution. */
struct cpu_tuned {
    struct cpu_conv conv;
    int size;
};
/* Of Winograd's tiles, 4, 2 or 0 for none, by the clock (tune.c). Takes up to
 * some tens of milliseconds, when first asked. On the device's team. */
int cpu_tune(hearth_dev_t *dev, const struct cpu_conv *conv);
/* The same as a section says, of the nodes in ascending order; what it says is
 * to be checked (lowered.c). */
int cpu_lowered_choice(struct cpu_choices *choices, uint32_t node);
void cpu_packs_destroy(struct cpu_packs *packs);
const struct cpu_pack *cpu_packs_find(const struct cpu_packs *packs,
                                      uint32_t value, uint32_t node);
/* oneDNN's kernels count in 32 bits: may they have this? */
bool cpu_fits_ints(const struct hearth_window *window, int64_t in_count,
                   int64_t out_count);
/* Fills in a node's convolution at the shapes of <spec>; false: it is not one
 * for oneDNN. The layouts are a first choice. */
bool cpu_conv_of_node(const hearth_dev_t *dev, const struct hearth_graph *graph,
                      const struct hearth_spec *spec, uint32_t node,
                      struct cpu_conv *conv);

/* ---- Plans (lower.c) ---- */

enum cpu_place {
    CPU_NOWHERE = 0,
    CPU_ARENA,
    CPU_WEIGHTS,
    CPU_INPUT,
    CPU_FIXED
};
struct cpu_ref {
    enum cpu_place place;
    uint64_t at; /* offset; ARENA, until planned: a buffer; INPUT: a number */
    uint64_t inside; /* ARENA, until planned: bytes from the buffer's start */
    const void *fixed;
};
struct cpu_run {
    hearth_dev_t *dev;
    const struct hearth_graph *graph;
    struct cpu_plan *plan;
    char *arena;
    const char *weights;
    const struct hearth_view *inputs;
};
static inline void *cpu_at(const struct cpu_run *run, const struct cpu_ref *ref)
{
    switch (ref->place) {
    case CPU_ARENA:
        return run->arena + ref->at;
    case CPU_WEIGHTS:
        return (char *)(uintptr_t)run->weights + ref->at;
    case CPU_INPUT:
        return run->inputs[ref->at].data;
    case CPU_FIXED:
        return (void *)(uintptr_t)ref->fixed;
    default:
        return NULL;
    }
}

struct cpu_step {
    int (*run)(const struct cpu_run *run, struct cpu_step *step,
               struct hearth_error *err);
    uint32_t node;
    struct cpu_primitive primitive;
    struct cpu_ref refs[CPU_ARGS_MAX];
    /* Of an evaluated node's inputs, in plan->refs. */
    uint32_t first_ref, ref_count;
    struct cpu_conv *conv; /* the plan's, of what oneDNN does not do */
    struct cpu_attention *attention; /* likewise */
    struct cpu_chain *chain;         /* likewise */
    /* Numbers that a kernel needs; each says which. */
    int64_t n[16];
    float f[2];
};

struct cpu_plan {
    struct hearth_shape *shapes;
    struct hearth_spec spec;
    struct cpu_step *steps;
    uint32_t step_count, step_capacity;
    struct cpu_ref *refs; /* of evaluated nodes' inputs */
    uint32_t ref_count, ref_capacity;
    struct cpu_ref *outputs; /* plain, one a graph output */
    struct hearth_op_scratch scratch;
    uint64_t arena_bytes;
    bool interpreted;   /* has no steps */
    bool alone;         /* made and run on one thread (work.c) */
    uint64_t own_bytes; /* of this struct and all that hangs on it */
    uint64_t used;      /* by the model's count of uses */
    int64_t *step_us;   /* NULL, or of each step over <profiled> runs */
    int64_t profiled;
};
/* <spec> is taken over, also on failure. HEARTH_ETOOBIG: a tensor that no arena
 * of the device holds. */
int cpu_plan_create(hearth_dev_t *dev, const struct hearth_graph *graph,
                    const struct cpu_packs *packs, struct hearth_spec *spec,
                    struct cpu_plan **plan, struct hearth_error *err);
/* Are its steps not worth more than one thread? */
bool cpu_is_small(const struct hearth_graph *graph,
                  const struct hearth_spec *spec);
/* Makes the code of all its primitives, on the device's threads. */
int cpu_plan_prepare(struct cpu_plan *plan, struct hearth_error *err);
void cpu_plan_destroy(struct cpu_plan *plan);

/* ---- "profile=on" (profile.c) ---- */

int64_t cpu_profile_now(void);
void cpu_profile_step(struct cpu_plan *plan, uint32_t step, int64_t us);
/* Logs where the time of its runs went, if it had any. */
void cpu_profile_report(const struct cpu_plan *plan,
                        const struct hearth_graph *graph);

/* ---- Models (model.c, lowered.c) ---- */

struct hearth_dev_model {
    hearth_dev_t *dev;
    const struct hearth_graph *graph;
    struct cpu_packs packs;
    char *weights;
    bool weights_stay; /* they are the core's, mapped: only counted here */
    struct cpu_plan *plans[CPU_PLANS_MAX];
    uint64_t plan_bytes;  /* of them all */
    uint64_t arena_bytes; /* that an interpreted run took at most */
    uint64_t uses;
};
/* A model with its packs and no room for them yet; cpu_unload gives all back.
 */
int cpu_load_begin(hearth_dev_t *dev, const struct hearth_load *load,
                   struct cpu_choices *choices, hearth_dev_model_t **model,
                   struct hearth_error *err);
void cpu_unload(hearth_dev_model_t *model);
/* Between two packs lie bytes that nobody wrote: zeros. */
void cpu_clear_gaps(hearth_dev_model_t *model);
int cpu_lowered_key(hearth_dev_t *dev, char *key, uint32_t size);
int cpu_export_lowered(hearth_dev_model_t *model,
                       const struct hearth_sink *sink,
                       struct hearth_error *err);
int cpu_load_lowered(hearth_dev_t *dev, hearth_queue_t *copy_queue,
                     const struct hearth_load *load, const void *lowered,
                     uint64_t lowered_bytes, hearth_dev_model_t **model,
                     uint64_t *model_bytes, struct hearth_error *err);

/* ---- Without a plan (interp.c) ---- */

/* HEARTH_EAGAIN: the plan's arena_bytes have grown; to be run again. */
int cpu_interpret(hearth_dev_model_t *model, struct cpu_plan *plan,
                  const struct hearth_execution *execution,
                  struct hearth_error *err);

/* ---- Kernels (kernels.c, math.c): f32, contiguous ---- */

/* On the calling thread alone. */
void cpu__activate(const float *x, float *y, int64_t n,
                   enum hearth_activation act, float alpha, float beta);

/* Four axes of a result, the last one innermost, and the operands' steps along
 * them; the innermost step is 0 or 1. */
struct cpu_broadcast {
    const int64_t *size, *a, *b;
};
/* y = act(a op b); <y> may be an operand that is as large as it. */
void cpu_binary(enum hearth_op op, const float *a, const float *b, float *y,
                const struct cpu_broadcast *shape, enum hearth_activation act,
                float alpha, float beta);
/* y = x * factor + term, and no less than <low>, one of each a channel; <rows>
 * of <pixels> times <block> channels; after <groups> rows the channels begin
 * again. */
void cpu_affine(const float *x, const float *factor, const float *term,
                float low, float *y, int64_t rows, int64_t pixels, int block,
                int64_t groups);
/* Factors and terms of a normalization: <norm> is scale, bias, mean, variance.
 */
void cpu_factors(const float *const norm[4], float epsilon, float *factor,
                 float *term, int64_t channels);
void cpu_unary(enum hearth_op op, const float *x, float *y, int64_t count,
               float alpha, float beta);
/* Rows of <n>, <count> of them. */
void cpu_softmax(const float *x, float *y, int64_t count, int64_t n);
/* The mean of each of <channels> channels of <pixels>, y[batch][channels];
 * blocked: channels are groups of <block> beside each other, the last one
 * filled up; else <block> is 1. */
void cpu_channel_means(const float *x, float *y, int64_t batch,
                       int64_t channels, int64_t pixels, int block);
/* y[o][i] = sum over r of x[o][r][i], over <divisor>. */
void cpu_reduce(const float *x, float *y, int64_t outer, int64_t n,
                int64_t inner, float divisor);
/* Each of <rows> rows of <n> to mean 0 and variance 1, times scale, plus bias,
 * [n] each; bias may be NULL. */
void cpu_layer_norm(const float *x, const float *scale, const float *bias,
                    float *y, int64_t rows, int64_t n, float epsilon);
/* Across <size> of <channels> beside each other; [batch, channels, pixels]. */
void cpu_lrn(const float *x, float *y, int64_t batch, int64_t channels,
             int64_t pixels, int64_t size, float alpha, float beta, float bias);
/* y[row] = act(y[row] + bias + z[row]); bias and z may be NULL. */
void cpu_epilogue(float *y, const float *bias, const float *z, int64_t rows,
                  int64_t n, enum hearth_activation act, float alpha,
                  float beta);

/* ---- Kernels that move (move.c): elements of 1, 2, 4 or 8 bytes ---- */

#define CPU_COPY_AXES 5
/* Writes a dense array of that <size>, the last axis innermost, out of <x>,
 * whose elements are <step> apart along each axis: 0 repeats, less than 0 goes
 * backwards. */
void cpu_copy(const void *x, void *y, int bytes, const int64_t *size,
              const int64_t *step);
/* y = c ? a : b of 4 bytes each, broadcast as cpu_binary's operands. */
void cpu_where(const uint8_t *c, const uint32_t *a, const uint32_t *b,
               uint32_t *y, const int64_t size[4], const int64_t c_step[4],
               const int64_t a_step[4], const int64_t b_step[4]);
/* False: this pair of types is not done here. */
bool cpu_cast(const void *x, enum hearth_dtype from, void *y,
              enum hearth_dtype to, int64_t count);

#endif
