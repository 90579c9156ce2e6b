/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodes.c: each operator's steps. What has no fast way here goes through the
 * operator's row, on plain rows: right for every type and shape, and the long
 * tail's time.
 */
#include <stdlib.h>

#include "attention.h"
#include "nodes.h"
#include "patches.h"
#include "winograd.h"

/* ---- The reference ---- */

struct eval {
    const struct cpu_run *run;
    const struct cpu_step *step;
};

static void *eval_place(void *ctx, uint32_t value, bool output, uint32_t k)
{
    const struct eval *e = ctx;
    const struct cpu_ref *in = &e->run->plan->refs[e->step->first_ref];
    const struct hearth_graph_node *node =
        hearth_graph_node(e->run->graph, e->step->node);
    (void)value;
    if (!output)
        return cpu_at(e->run, &in[k]);
    return cpu_at(e->run, k < CPU_ARGS_MAX ? &e->step->refs[k]
                                           : &in[node->input_count + k]);
}

int cpu__run_eval(const struct cpu_run *run, struct cpu_step *step,
                  struct hearth_error *err)
{
    struct eval e = {run, step};
    return hearth_op_run(run->graph, &run->plan->spec, step->node,
                         &run->plan->scratch, eval_place, &e, err);
}

int cpu__lower_as(struct lowering *l, const struct cpu_step *how,
                  struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    struct cpu_step step = *how;
    struct cpu_ref few[16], *refs = few;
    int rc = HEARTH_OK;
    uint32_t count = node->input_count;
    if (node->output_count > CPU_ARGS_MAX)
        count += node->output_count;
    if (count > 16 && (refs = cpu_calloc(count, sizeof *refs)) == NULL)
        return cpu_no_memory(err);
    for (uint32_t k = 0; k < count; k++)
        refs[k] = (struct cpu_ref){.place = CPU_NOWHERE};
    for (uint32_t k = 0; rc == HEARTH_OK && k < node->input_count; k++)
        if (input(l, k) != HEARTH_NO_VALUE)
            rc = cpu__need(l, input(l, k), false, &refs[k], err);
    for (uint32_t k = 0; rc == HEARTH_OK && k < node->output_count; k++) {
        struct cpu_ref *ref =
            k < CPU_ARGS_MAX ? &step.refs[k] : &refs[node->input_count + k];
        if (output(l, k) != HEARTH_NO_VALUE)
            rc = cpu__output(l, output(l, k), false, ref, err);
    }
    if (rc == HEARTH_OK)
        rc = cpu__step(l, &step, refs, count, err);
    if (refs != few)
        free(refs);
    return rc;
}

int cpu__lower_eval(struct lowering *l, struct hearth_error *err)
{
    const struct cpu_step step = {.run = cpu__run_eval};
    return cpu__lower_as(l, &step, err);
}

/* ---- Conv ---- */

static int run_copy(const struct cpu_run *run, struct cpu_step *step,
                    struct hearth_error *err)
{
    (void)err;
    memcpy(cpu_at(run, &step->refs[1]), cpu_at(run, &step->refs[0]),
           (size_t)step->n[0]);
    return HEARTH_OK;
}

/* Where a convolution adds to: over the residual itself when nobody reads that
 * later, else over a copy. */
static int residual(struct lowering *l, bool blocked, const struct cpu_ref *src,
                    struct cpu_ref *dst, struct hearth_error *err)
{
    uint32_t z = input(l, 3), y = output(l, 0);
    struct cpu_step copy = {.run = run_copy};
    struct cpu_ref from;
    int rc = cpu__need(l, z, blocked, &from, err);
    if (rc != HEARTH_OK)
        return rc;
    /* A view of the residual, or a part, may be what is convolved. */
    if (cpu__is_last_use(l, &from) && !cpu__same_buffer(&from, src)) {
        *dst = from;
        cpu__map(l, y, blocked, from);
        return HEARTH_OK;
    }
    rc = cpu__output(l, y, blocked, dst, err);
    copy.refs[0] = from;
    copy.refs[1] = *dst;
    copy.n[0] = buffer_count(l, y, blocked) * (int64_t)sizeof(float);
    return rc == HEARTH_OK ? cpu__step(l, &copy, NULL, 0, err) : rc;
}

/* n: Winograd's size, 1: bias; refs: src, weights, dst, scratch, bias */
static int run_winograd(const struct cpu_run *run, struct cpu_step *step,
                        struct hearth_error *err)
{
    (void)err;
    cpu_winograd_run(step->conv, (int)step->n[0], run->dev->threads,
                     cpu_at(run, &step->refs[0]), cpu_at(run, &step->refs[1]),
                     cpu_at(run, &step->refs[4]), cpu_at(run, &step->refs[2]),
                     cpu_at(run, &step->refs[3]));
    return HEARTH_OK;
}

/* refs: src, weights, dst, scratch, bias */
static int run_patches(const struct cpu_run *run, struct cpu_step *step,
                       struct hearth_error *err)
{
    (void)err;
    cpu_patches_run(step->conv, cpu_at(run, &step->refs[0]),
                    cpu_at(run, &step->refs[1]), cpu_at(run, &step->refs[4]),
                    cpu_at(run, &step->refs[2]), cpu_at(run, &step->refs[3]));
    return HEARTH_OK;
}

/* One of our own; <refs>: src, weights, [bias], dst */
static int conv_step(struct lowering *l, const struct cpu_conv *conv,
                     const struct cpu_pack *pack, const struct cpu_ref *refs,
                     struct hearth_error *err)
{
    bool winograd = pack->kind == CPU_PACK_WINOGRAD;
    struct cpu_step step = {.run = winograd ? run_winograd : run_patches,
                            .n = {pack->size}};
    int threads = l->dev->threads;
    step.refs[0] = refs[0];
    step.refs[1] = refs[1];
    step.refs[2] = refs[conv->bias ? 3 : 2];
    if (conv->bias)
        step.refs[4] = refs[2];
    step.refs[3] = cpu__buffer(
        l, winograd ? cpu_winograd_scratch(conv, pack->size, threads)
                    : cpu_patches_scratch(conv, threads));
    step.conv = cpu_calloc(1, sizeof *step.conv);
    if (step.conv == NULL || step.refs[3].place == CPU_NOWHERE) {
        free(step.conv);
        return cpu_no_memory(err);
    }
    *step.conv = *conv;
    int rc = cpu__step(l, &step, NULL, 0, err);
    if (rc != HEARTH_OK)
        free(step.conv);
    return rc;
}

static int lower_conv(struct lowering *l, struct hearth_error *err)
{
    const struct cpu_pack *pack =
        cpu_packs_find(l->packs, input(l, 1), l->node);
    struct cpu_primitive primitive;
    struct cpu_conv conv;
    struct cpu_ref refs[4];
    int count = 0;
    bool slow;
    if (pack == NULL ||
        !cpu_conv_of_node(l->dev, l->g, &l->plan->spec, l->node, &conv)) {
        if (pack == NULL)
            return cpu__lower_eval(l, err);
        return hearth_fail(err, HEARTH_ESHAPE,
                           "cpu: nothing is left to convolve at this size, or "
                           "too much at once; send other inputs");
    }
    if (conv.sum && !hearth_shape_equal(&info(l, input(l, 3))->shape,
                                        &info(l, output(l, 0))->shape))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "cpu: what is added has another shape");
    conv.src_blocked = pack->conv.src_blocked;
    conv.dst_blocked = pack->conv.dst_blocked;
    int rc = cpu__need(l, input(l, 0), conv.src_blocked, &refs[count++], err);
    refs[count++] = (struct cpu_ref){.place = CPU_WEIGHTS, .at = pack->offset};
    if (rc == HEARTH_OK && conv.bias)
        rc = cpu__need(l, input(l, 2), false, &refs[count++], err);
    if (rc == HEARTH_OK && conv.sum)
        rc = residual(l, conv.dst_blocked, &refs[0], &refs[count++], err);
    else if (rc == HEARTH_OK)
        rc =
            cpu__output(l, output(l, 0), conv.dst_blocked, &refs[count++], err);
    if (rc == HEARTH_OK && pack->kind != CPU_PACK_CONV)
        return conv_step(l, &conv, pack, refs, err);
    if (rc == HEARTH_OK)
        rc = cpu_conv_create(l->dev, &conv, pack->layout, &primitive, &slow,
                             err);
    if (rc == HEARTH_OK)
        rc = cpu__primitive_step(l, &primitive, refs, count, err);
    return rc;
}

/* ---- Pools ---- */

/* oneDNN wants padding for the whole of a last window that hangs over it, and
 * no window in padding alone. */
static bool whole_windows(struct hearth_window *w)
{
    for (int i = 0; i < w->rank; i++) {
        int64_t span = (w->kernel[i] - 1) * w->dilation[i] + 1;
        int64_t end = (w->out[i] - 1) * w->stride[i] + span;
        int64_t beyond = end - w->in[i] - w->pad_begin[i];
        if (beyond > w->pad_end[i])
            w->pad_end[i] = beyond;
        if (w->pad_begin[i] >= w->kernel[i] || w->pad_end[i] >= w->kernel[i])
            return false;
    }
    return true;
}

static int lower_pool(struct lowering *l, bool max, struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    uint32_t x = input(l, 0), y = output(l, 0);
    const struct hearth_value_info *in = info(l, x);
    struct hearth_value_info out = *info(l, y);
    struct cpu_primitive primitive;
    struct cpu_ref refs[2];
    struct cpu_pool pool = {
        .rank = in->shape.rank - 2,
        .max = max,
        .block = l->dev->block,
        .count_pad =
            hearth_attr_int(l->g, node, HEARTH_ATTR_COUNT_INCLUDE_PAD, 0) != 0,
    };
    const struct hearth_op_call call = {.graph = l->g,
                                        .node = node,
                                        .input_count = 1,
                                        .output_count = 1,
                                        .in = &in,
                                        .out = &out};
    /* A window that ceil_mode lets hang over the padding divides otherwise than
     * oneDNN does: the reference knows how. */
    if (!is_f32(l, x) || output(l, 1) != HEARTH_NO_VALUE ||
        in->shape.rank < 3 || in->shape.rank > 5 || count_of(l, y) <= 0 ||
        count_of(l, x) <= 0 ||
        (!max && hearth_attr_int(l->g, node, HEARTH_ATTR_CEIL_MODE, 0) != 0) ||
        hearth_op_window(&call, &pool.window, NULL) != HEARTH_OK)
        return cpu__lower_eval(l, err);
    if (!whole_windows(&pool.window))
        return cpu__lower_eval(l, err);
    if (!cpu_fits_ints(&pool.window, count_of(l, x), count_of(l, y)))
        return cpu__lower_eval(l, err);
    pool.batch = in->shape.dims[0];
    pool.channels = in->shape.dims[1];
    pool.blocked = cpu__is_blocked(l, x);
    int rc = cpu_pool_create(l->dev, &pool, &primitive, NULL);
    if (rc == HEARTH_ENOMEM)
        return cpu_no_memory(err);
    if (rc != HEARTH_OK)
        return cpu__lower_eval(l, err);
    rc = cpu__need(l, x, pool.blocked, &refs[0], err);
    if (rc == HEARTH_OK)
        rc = cpu__output(l, y, pool.blocked, &refs[1], err);
    if (rc != HEARTH_OK) {
        cpu_primitive_destroy(&primitive);
        return rc;
    }
    return cpu__primitive_step(l, &primitive, refs, 2, err);
}

/* n: pictures, channels, pixels, block */
static int run_means(const struct cpu_run *run, struct cpu_step *step,
                     struct hearth_error *err)
{
    (void)err;
    cpu_channel_means(cpu_at(run, &step->refs[0]), cpu_at(run, &step->refs[1]),
                      step->n[0], step->n[1], step->n[2], (int)step->n[3]);
    return HEARTH_OK;
}

/* ReduceMean over just the axes of a picture. */
static bool is_spatial_mean(const struct lowering *l)
{
    const struct hearth_value_info *x = info(l, input(l, 0));
    const struct hearth_value_info *axes = info(l, input(l, 1));
    int rank = x->shape.rank;
    int64_t seen = 0;
    if (axes == NULL || axes->data == NULL || axes->dtype != HEARTH_I64 ||
        rank < 3 || count_of(l, input(l, 1)) != rank - 2)
        return false;
    for (int i = 0; i < rank - 2; i++) {
        int64_t axis = ((const int64_t *)axes->data)[i];
        axis += axis < 0 ? rank : 0;
        if (axis < 2 || axis >= rank)
            return false;
        seen |= INT64_C(1) << axis;
    }
    return seen == (INT64_C(1) << rank) - 4;
}

static int lower_means(struct lowering *l, struct hearth_error *err)
{
    uint32_t x = input(l, 0), y = output(l, 0);
    const struct hearth_shape *s = &info(l, x)->shape;
    struct cpu_step step = {.run = run_means};
    int64_t count = count_of(l, x);
    if (!is_f32(l, x) || s->rank < 3 || count <= 0)
        return cpu__lower_eval(l, err);
    bool blocked = cpu__is_blocked(l, x);
    step.n[0] = s->dims[0];
    step.n[1] = s->dims[1];
    step.n[2] = count / step.n[0] / step.n[1];
    step.n[3] = blocked ? l->dev->block : 1;
    int rc = cpu__need(l, x, blocked, &step.refs[0], err);
    if (rc == HEARTH_OK)
        rc = cpu__output(l, y, false, &step.refs[1], err);
    /* One pixel: both layouts are one. */
    if (rc == HEARTH_OK && blocked && blocks_are_full(l, x) &&
        info(l, y)->shape.rank == 4)
        cpu__map(l, y, true, step.refs[1]);
    return rc == HEARTH_OK ? cpu__step(l, &step, NULL, 0, err) : rc;
}

/* ---- Softmax, views ---- */

static int run_softmax(const struct cpu_run *run, struct cpu_step *step,
                       struct hearth_error *err)
{
    (void)err;
    cpu_softmax(cpu_at(run, &step->refs[0]), cpu_at(run, &step->refs[1]),
                step->n[0], step->n[1]);
    return HEARTH_OK;
}

static int lower_softmax(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *s = &info(l, input(l, 0))->shape;
    struct cpu_step step = {.run = run_softmax};
    int64_t axis = hearth_attr_int(l->g, this_node(l), HEARTH_ATTR_AXIS, -1);
    int64_t count = count_of(l, input(l, 0));
    axis += axis < 0 ? s->rank : 0;
    if (!is_f32(l, input(l, 0)) || s->rank < 1 || axis != s->rank - 1 ||
        count <= 0)
        return cpu__lower_eval(l, err);
    step.n[1] = s->dims[axis];
    step.n[0] = count / step.n[1];
    int rc = cpu__need(l, input(l, 0), false, &step.refs[0], err);
    if (rc == HEARTH_OK)
        rc = cpu__output(l, output(l, 0), false, &step.refs[1], err);
    return rc == HEARTH_OK ? cpu__step(l, &step, NULL, 0, err) : rc;
}

/* The same bytes under another shape. */
int cpu__lower_view(struct lowering *l, struct hearth_error *err)
{
    struct cpu_ref ref;
    uint64_t bytes;
    int rc = cpu__bytes(l, output(l, 0), false, &bytes, err);
    if (rc == HEARTH_OK)
        rc = cpu__need(l, input(l, 0), false, &ref, err);
    if (rc == HEARTH_OK)
        cpu__map(l, output(l, 0), false, ref);
    return rc;
}

/* The result is input 0, in every layout in which that is there. */
static void lower_same(struct lowering *l)
{
    const struct value *x = &l->values[input(l, 0)];
    if (x->plain.place != CPU_NOWHERE)
        cpu__map(l, output(l, 0), false, x->plain);
    if (x->blocked.place != CPU_NOWHERE)
        cpu__map(l, output(l, 0), true, x->blocked);
}

int cpu__lower_node(struct lowering *l, struct hearth_error *err)
{
    int rc;
    switch ((enum cpu_fused)l->fused[l->node]) {
    case CPU_FUSED_NOT:
        break;
    case CPU_FUSED_PART:
        return HEARTH_OK;
    case CPU_FUSED_ATTENTION:
        return cpu__lower_attention(l, err);
    case CPU_FUSED_VIEW:
        lower_same(l);
        return HEARTH_OK;
    }
    if (cpu__lower_lazily(l, &rc, err))
        return rc;
    switch (this_node(l)->op) {
    case HEARTH_OP_CONV:
        return lower_conv(l, err);
    case HEARTH_OP_MAX_POOL:
        return lower_pool(l, true, err);
    case HEARTH_OP_AVERAGE_POOL:
        return lower_pool(l, false, err);
    case HEARTH_OP_GLOBAL_AVERAGE_POOL:
        return lower_means(l, err);
    case HEARTH_OP_RELU:
    case HEARTH_OP_CLIP:
    case HEARTH_OP_SIGMOID:
    case HEARTH_OP_TANH:
    case HEARTH_OP_LEAKY_RELU:
    case HEARTH_OP_HARD_SIGMOID:
    case HEARTH_OP_HARD_SWISH:
    case HEARTH_OP_ERF:
    case HEARTH_OP_GELU:
    case HEARTH_OP_SQRT:
    case HEARTH_OP_EXP:
    case HEARTH_OP_LOG:
    case HEARTH_OP_NEG:
    case HEARTH_OP_ABS:
    case HEARTH_OP_RECIPROCAL:
    case HEARTH_OP_FLOOR:
    case HEARTH_OP_CEIL:
        return cpu__lower_unary(l, err);
    case HEARTH_OP_ADD:
    case HEARTH_OP_SUB:
    case HEARTH_OP_MUL:
    case HEARTH_OP_DIV:
    case HEARTH_OP_POW:
    case HEARTH_OP_MIN:
    case HEARTH_OP_MAX:
        return cpu__lower_binary(l, err);
    case HEARTH_OP_BATCH_NORMALIZATION:
        return cpu__lower_batchnorm(l, err);
    case HEARTH_OP_REDUCE_MEAN:
        return is_spatial_mean(l) ? lower_means(l, err)
                                  : cpu__lower_reduce(l, err);
    case HEARTH_OP_REDUCE_SUM:
        return cpu__lower_reduce(l, err);
    case HEARTH_OP_LAYER_NORMALIZATION:
        return cpu__lower_layer_norm(l, err);
    case HEARTH_OP_LRN:
        return cpu__lower_lrn(l, err);
    case HEARTH_OP_TRANSPOSE:
        return cpu__lower_transpose(l, err);
    case HEARTH_OP_EXPAND:
        return cpu__lower_expand(l, err);
    case HEARTH_OP_TILE:
        return cpu__lower_tile(l, err);
    case HEARTH_OP_SLICE:
        return cpu__lower_slice(l, err);
    case HEARTH_OP_GATHER:
        return cpu__lower_gather(l, err);
    case HEARTH_OP_WHERE:
        return cpu__lower_where(l, err);
    case HEARTH_OP_CAST:
        return cpu__lower_cast(l, err);
    case HEARTH_OP_GEMM:
        return cpu__lower_gemm(l, err);
    case HEARTH_OP_MATMUL:
        return cpu__lower_matmul(l, err);
    case HEARTH_OP_SOFTMAX:
        return lower_softmax(l, err);
    case HEARTH_OP_CONCAT:
        return cpu__lower_concat(l, err);
    case HEARTH_OP_RESHAPE:
    case HEARTH_OP_FLATTEN:
    case HEARTH_OP_SQUEEZE:
    case HEARTH_OP_UNSQUEEZE:
    case HEARTH_OP_IDENTITY:
        return cpu__lower_view(l, err);
    default:
        return cpu__lower_eval(l, err);
    }
}
