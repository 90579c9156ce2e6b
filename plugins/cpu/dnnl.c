/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnnl.c: oneDNN's two interfaces behind one. Version 2 has operation
 * descriptors and memory descriptors by value; version 3 creates primitive
 * descriptors at once and memory descriptors are handles.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

#define V3 (DNNL_VERSION_MAJOR >= 3)

/* More than a model has of different ones; 10 to 100 KiB each. */
#define CPU_KERNELS_KEPT 256

struct cpu_layout {
    dnnl_memory_desc_t md;
};

#if V3
typedef const_dnnl_memory_desc_t md_in;
#define MD(layout) ((layout)->md)
#else
typedef const dnnl_memory_desc_t *md_in;
#define MD(layout) (&(layout)->md)
#endif

int cpu_dnnl_failed(dnnl_status_t status, const char *what,
                    struct hearth_error *err)
{
    if (status == dnnl_out_of_memory)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "cpu: no memory for %s; try again later", what);
    if (status == dnnl_unimplemented)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "cpu: oneDNN has no kernel for %s; use another "
                           "device",
                           what);
    return hearth_fail(err, HEARTH_EBUG, "cpu: oneDNN failed at %s: %d", what,
                       (int)status);
}

/* ---- Layouts ---- */

static bool layout_init(struct cpu_layout *l, int rank, const dnnl_dims_t dims,
                        dnnl_format_tag_t tag)
{
#if V3
    return dnnl_memory_desc_create_with_tag(&l->md, rank, dims, dnnl_f32,
                                            tag) == dnnl_success;
#else
    return dnnl_memory_desc_init_by_tag(&l->md, rank, dims, dnnl_f32, tag) ==
           dnnl_success;
#endif
}

static void layout_fini(struct cpu_layout *l)
{
#if V3
    dnnl_memory_desc_destroy(l->md);
#else
    (void)l;
#endif
}

static cpu_layout_t *layout_copy(md_in md)
{
    cpu_layout_t *l = cpu_calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
#if V3
    if (dnnl_memory_desc_clone(&l->md, md) != dnnl_success) {
        free(l);
        return NULL;
    }
#else
    l->md = *md;
#endif
    return l;
}

uint64_t cpu_layout_bytes(const cpu_layout_t *layout)
{
    return dnnl_memory_desc_get_size(MD(layout));
}

void cpu_layout_free(cpu_layout_t *layout)
{
    if (layout == NULL)
        return;
    layout_fini(layout);
    free(layout);
}

static dnnl_format_tag_t plain_tag(int rank)
{
    static const dnnl_format_tag_t tags[] = {dnnl_format_tag_undef,
                                             dnnl_a,
                                             dnnl_ab,
                                             dnnl_abc,
                                             dnnl_abcd,
                                             dnnl_abcde,
                                             dnnl_abcdef};
    return tags[rank];
}

static dnnl_format_tag_t blocked_tag(int block)
{
    return block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
}

/* ---- From a descriptor to something that runs ---- */

static bool add_arg(struct cpu_primitive *p, hearth_dev_t *dev, int arg,
                    md_in md)
{
    dnnl_memory_t memory;
    if (md == NULL || dnnl_memory_create(&memory, md, dev->engine,
                                         DNNL_MEMORY_NONE) != dnnl_success)
        return false;
    p->args[p->count].arg = arg;
    p->args[p->count].memory = memory;
    p->data[p->count] = NULL;
    p->count++;
    return true;
}

static md_in query(const_dnnl_primitive_desc_t pd, dnnl_query_t what, int index)
{
    return dnnl_primitive_desc_query_md(pd, what, index);
}

/* Consumes <pd>. */
static int finish(hearth_dev_t *dev, dnnl_primitive_desc_t pd,
                  struct cpu_primitive *p, bool weights, bool bias,
                  struct hearth_error *err)
{
    memset(p, 0, sizeof *p);
    p->plan = pd;
    bool ok = add_arg(p, dev, DNNL_ARG_SRC, query(pd, dnnl_query_src_md, 0));
    if (ok && weights)
        ok = add_arg(p, dev, DNNL_ARG_WEIGHTS,
                     query(pd, dnnl_query_weights_md, 0));
    if (ok && bias)
        ok =
            add_arg(p, dev, DNNL_ARG_BIAS, query(pd, dnnl_query_weights_md, 1));
    ok = ok && add_arg(p, dev, DNNL_ARG_DST, query(pd, dnnl_query_dst_md, 0));
    md_in scratch = query(pd, dnnl_query_scratchpad_md, 0);
    if (ok && scratch != NULL)
        p->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if (ok && p->scratch_bytes > 0)
        ok = add_arg(p, dev, DNNL_ARG_SCRATCHPAD, scratch);
    if (ok)
        return HEARTH_OK;
    cpu_primitive_destroy(p);
    return cpu_no_memory(err);
}

int cpu_primitive_prepare(struct cpu_primitive *p, struct hearth_error *err)
{
    if (p->primitive != NULL)
        return HEARTH_OK;
    dnnl_status_t status = dnnl_primitive_create(&p->primitive, p->plan);
    if (status == dnnl_success)
        return HEARTH_OK;
    p->primitive = NULL;
    return cpu_dnnl_failed(status, "a kernel's code", err);
}

void cpu_primitive_destroy(struct cpu_primitive *p)
{
    for (int i = 0; i < p->count; i++)
        dnnl_memory_destroy(p->args[i].memory);
    p->count = 0;
    if (p->primitive != NULL)
        dnnl_primitive_destroy(p->primitive);
    if (p->plan != NULL)
        dnnl_primitive_desc_destroy(p->plan);
    p->primitive = NULL;
    p->plan = NULL;
}

int cpu_primitive_run(dnnl_stream_t stream, struct cpu_primitive *p,
                      void *const *data, struct hearth_error *err)
{
    int rc = cpu_primitive_prepare(p, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int i = 0; i < p->count; i++) {
        if (p->data[i] == data[i])
            continue;
        dnnl_status_t status =
            dnnl_memory_set_data_handle(p->args[i].memory, data[i]);
        if (status != dnnl_success)
            return cpu_dnnl_failed(status, "setting its memory", err);
        p->data[i] = data[i];
    }
    dnnl_status_t status =
        dnnl_primitive_execute(p->primitive, stream, p->count, p->args);
    return status == dnnl_success ? HEARTH_OK
                                  : cpu_dnnl_failed(status, "a run", err);
}

void cpu_kernels_forget(void)
{
    (void)dnnl_set_primitive_cache_capacity(0);
    (void)dnnl_set_primitive_cache_capacity(CPU_KERNELS_KEPT);
}

static dnnl_primitive_attr_t user_scratchpad(void)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    return attr;
}

/* ---- Convolution ---- */

static dnnl_status_t append_act(dnnl_post_ops_t ops, const struct cpu_conv *c)
{
    dnnl_alg_kind_t alg = dnnl_eltwise_relu;
    float alpha = 0, beta = 0;
    switch (c->act) {
    case HEARTH_ACT_NONE:
        return dnnl_success;
    case HEARTH_ACT_RELU:
        break;
    case HEARTH_ACT_CLIP:
        alg = dnnl_eltwise_clip;
        alpha = c->alpha;
        beta = c->beta;
        break;
    case HEARTH_ACT_SIGMOID:
        alg = dnnl_eltwise_logistic;
        break;
    case HEARTH_ACT_TANH:
        alg = dnnl_eltwise_tanh;
        break;
    case HEARTH_ACT_GELU:
        alg = dnnl_eltwise_gelu_erf;
        break;
    case HEARTH_ACT_GELU_TANH:
        alg = dnnl_eltwise_gelu_tanh;
        break;
    case HEARTH_ACT_SWISH:
        alg = dnnl_eltwise_swish;
        alpha = 1;
        break;
    case HEARTH_ACT_HARD_SWISH: /* 2.x takes no numbers */
        alg = dnnl_eltwise_hardswish;
        alpha = 1.0f / 6;
        beta = 0.5f;
        break;
    }
#if V3
    return dnnl_post_ops_append_eltwise(ops, alg, alpha, beta);
#else
    return dnnl_post_ops_append_eltwise(ops, 1, alg, alpha, beta);
#endif
}

static dnnl_primitive_attr_t conv_attr(const struct cpu_conv *c)
{
    dnnl_primitive_attr_t attr = user_scratchpad();
    dnnl_post_ops_t ops = NULL;
    bool ok = attr != NULL && dnnl_post_ops_create(&ops) == dnnl_success;
#if V3
    if (ok && c->sum)
        ok = dnnl_post_ops_append_sum(ops, 1, 0, dnnl_f32) == dnnl_success;
#else
    if (ok && c->sum)
        ok = dnnl_post_ops_append_sum(ops, 1) == dnnl_success;
#endif
    ok = ok && append_act(ops, c) == dnnl_success &&
         dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success;
    if (ops != NULL)
        dnnl_post_ops_destroy(ops);
    if (!ok && attr != NULL) {
        dnnl_primitive_attr_destroy(attr);
        attr = NULL;
    }
    return attr;
}

/* [g,] M/g, C/g, k.. ; returns the rank. */
static int weight_dims(const struct cpu_conv *c, dnnl_dims_t dims)
{
    int rank = 0;
    if (c->groups > 1)
        dims[rank++] = c->groups;
    dims[rank++] = c->out_channels / c->groups;
    dims[rank++] = c->in_channels / c->groups;
    for (int i = 0; i < c->rank; i++)
        dims[rank++] = c->window.kernel[i];
    return rank;
}

struct conv_mds {
    struct cpu_layout src, weights, bias, dst;
    bool have_src, have_weights, have_bias, have_dst;
};

static bool conv_mds_init(struct conv_mds *m, const struct cpu_conv *c)
{
    dnnl_dims_t src = {c->batch, c->in_channels};
    dnnl_dims_t dst = {c->batch, c->out_channels};
    dnnl_dims_t weights, bias = {c->out_channels};
    int rank = c->rank + 2;
    for (int i = 0; i < c->rank; i++) {
        src[i + 2] = c->window.in[i];
        dst[i + 2] = c->window.out[i];
    }
    memset(m, 0, sizeof *m);
    m->have_src =
        layout_init(&m->src, rank, src,
                    c->src_blocked ? blocked_tag(c->block) : plain_tag(rank));
    m->have_dst =
        layout_init(&m->dst, rank, dst,
                    c->dst_blocked ? blocked_tag(c->block) : plain_tag(rank));
    int weight_rank = weight_dims(c, weights);
    m->have_weights =
        layout_init(&m->weights, weight_rank, weights, dnnl_format_tag_any);
    m->have_bias = layout_init(&m->bias, 1, bias, dnnl_a);
    return m->have_src && m->have_dst && m->have_weights && m->have_bias;
}

static void conv_mds_fini(struct conv_mds *m)
{
    if (m->have_src)
        layout_fini(&m->src);
    if (m->have_dst)
        layout_fini(&m->dst);
    if (m->have_weights)
        layout_fini(&m->weights);
    if (m->have_bias)
        layout_fini(&m->bias);
}

static dnnl_status_t conv_pd(hearth_dev_t *dev, const struct cpu_conv *c,
                             const struct conv_mds *m,
                             const cpu_layout_t *weights,
                             dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t *pd)
{
    dnnl_dims_t strides, dilates, begin, end;
    const cpu_layout_t *w = weights != NULL ? weights : &m->weights;
    for (int i = 0; i < c->rank; i++) {
        strides[i] = c->window.stride[i];
        dilates[i] = c->window.dilation[i] - 1;
        begin[i] = c->window.pad_begin[i];
        end[i] = c->window.pad_end[i];
    }
#if V3
    return dnnl_convolution_forward_primitive_desc_create(
        pd, dev->engine, dnnl_forward_inference, dnnl_convolution_direct,
        m->src.md, w->md, c->bias ? m->bias.md : NULL, m->dst.md, strides,
        dilates, begin, end, attr);
#else
    dnnl_convolution_desc_t d;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &d, dnnl_forward_inference, dnnl_convolution_direct, &m->src.md, &w->md,
        c->bias ? &m->bias.md : NULL, &m->dst.md, strides, dilates, begin, end);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(pd, &d, attr, dev->engine, NULL);
#endif
}

static bool is_reference(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) ==
               dnnl_success &&
           name != NULL && strncmp(name, "ref", 3) == 0;
}

static int conv_create_pd(hearth_dev_t *dev, const struct cpu_conv *c,
                          const cpu_layout_t *weights,
                          dnnl_primitive_desc_t *pd, bool *slow,
                          struct hearth_error *err)
{
    struct conv_mds m;
    dnnl_primitive_attr_t attr = conv_attr(c);
    dnnl_status_t status = dnnl_out_of_memory;
    if (conv_mds_init(&m, c) && attr != NULL)
        status = conv_pd(dev, c, &m, weights, attr, pd);
    conv_mds_fini(&m);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success)
        return cpu_dnnl_failed(status, "a convolution", err);
    *slow = is_reference(*pd);
    return HEARTH_OK;
}

int cpu_conv_create(hearth_dev_t *dev, const struct cpu_conv *conv,
                    const cpu_layout_t *weights, struct cpu_primitive *out,
                    bool *slow, struct hearth_error *err)
{
    dnnl_primitive_desc_t pd;
    int rc = conv_create_pd(dev, conv, weights, &pd, slow, err);
    if (rc == HEARTH_OK)
        rc = finish(dev, pd, out, true, conv->bias, err);
    return rc;
}

int cpu_conv_layout(hearth_dev_t *dev, const struct cpu_conv *conv,
                    cpu_layout_t **layout, bool *slow, struct hearth_error *err)
{
    dnnl_primitive_desc_t pd;
    int rc = conv_create_pd(dev, conv, NULL, &pd, slow, err);
    if (rc != HEARTH_OK)
        return rc;
    *layout = layout_copy(query(pd, dnnl_query_weights_md, 0));
    dnnl_primitive_desc_destroy(pd);
    return *layout != NULL ? HEARTH_OK : cpu_no_memory(err);
}

/* ---- Reorders ---- */

static int reorder_between(hearth_dev_t *dev, md_in src, md_in dst,
                           struct cpu_primitive *out, struct hearth_error *err)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_attr_t attr = user_scratchpad();
    dnnl_status_t status = dnnl_out_of_memory;
    if (attr != NULL)
        status = dnnl_reorder_primitive_desc_create(&pd, src, dev->engine, dst,
                                                    dev->engine, attr);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success)
        return cpu_dnnl_failed(status, "a change of layout", err);
    return finish(dev, pd, out, false, false, err);
}

int cpu_reorder_create(hearth_dev_t *dev, const int64_t dims[4],
                       bool to_blocked, int block, struct cpu_primitive *out,
                       struct hearth_error *err)
{
    struct cpu_layout plain, blocked;
    dnnl_dims_t d = {dims[0], dims[1], dims[2], dims[3]};
    if (!layout_init(&plain, 4, d, dnnl_abcd))
        return cpu_no_memory(err);
    if (!layout_init(&blocked, 4, d, blocked_tag(block))) {
        layout_fini(&plain);
        return cpu_no_memory(err);
    }
    int rc = reorder_between(dev, MD(to_blocked ? &plain : &blocked),
                             MD(to_blocked ? &blocked : &plain), out, err);
    layout_fini(&plain);
    layout_fini(&blocked);
    return rc;
}

int cpu_pack(hearth_dev_t *dev, const struct cpu_conv *conv,
             const cpu_layout_t *layout, const void *src, void *dst,
             struct hearth_error *err)
{
    struct cpu_layout plain;
    struct cpu_primitive p;
    dnnl_dims_t dims;
    int rank = weight_dims(conv, dims);
    if (!layout_init(&plain, rank, dims, plain_tag(rank)))
        return cpu_no_memory(err);
    int rc = reorder_between(dev, MD(&plain), MD(layout), &p, err);
    layout_fini(&plain);
    if (rc != HEARTH_OK)
        return rc;
    void *data[] = {(void *)(uintptr_t)src, dst, NULL};
    if (p.scratch_bytes > 0)
        rc = cpu_alloc(dev, p.scratch_bytes, &data[2], err);
    if (rc == HEARTH_OK)
        rc = cpu_primitive_run(dev->load_stream, &p, data, err);
    cpu_free(dev, data[2], p.scratch_bytes);
    cpu_primitive_destroy(&p);
    return rc;
}

/* ---- Pools ---- */

int cpu_pool_create(hearth_dev_t *dev, const struct cpu_pool *pool,
                    struct cpu_primitive *out, struct hearth_error *err)
{
    struct cpu_layout src, dst;
    dnnl_dims_t in = {pool->batch, pool->channels};
    dnnl_dims_t to = {pool->batch, pool->channels};
    dnnl_dims_t strides, kernel, begin, end, dilation;
    int rank = pool->rank + 2;
    dnnl_format_tag_t tag =
        pool->blocked ? blocked_tag(pool->block) : plain_tag(rank);
    dnnl_alg_kind_t alg = pool->max         ? dnnl_pooling_max
                          : pool->count_pad ? dnnl_pooling_avg_include_padding
                                            : dnnl_pooling_avg_exclude_padding;
    for (int i = 0; i < pool->rank; i++) {
        in[i + 2] = pool->window.in[i];
        to[i + 2] = pool->window.out[i];
        strides[i] = pool->window.stride[i];
        kernel[i] = pool->window.kernel[i];
        begin[i] = pool->window.pad_begin[i];
        end[i] = pool->window.pad_end[i];
        dilation[i] = pool->window.dilation[i] - 1;
    }
    if (!layout_init(&src, rank, in, tag))
        return cpu_no_memory(err);
    if (!layout_init(&dst, rank, to, tag)) {
        layout_fini(&src);
        return cpu_no_memory(err);
    }
    dnnl_primitive_desc_t pd;
    dnnl_primitive_attr_t attr = user_scratchpad();
    dnnl_status_t status = dnnl_out_of_memory;
#if V3
    if (attr != NULL)
        status = dnnl_pooling_forward_primitive_desc_create(
            &pd, dev->engine, dnnl_forward_inference, alg, src.md, dst.md,
            strides, kernel, dilation, begin, end, attr);
#else
    dnnl_pooling_v2_desc_t d;
    if (attr != NULL)
        status = dnnl_pooling_v2_forward_desc_init(
            &d, dnnl_forward_inference, alg, &src.md, &dst.md, strides, kernel,
            dilation, begin, end);
    if (attr != NULL && status == dnnl_success)
        status = dnnl_primitive_desc_create(&pd, &d, attr, dev->engine, NULL);
#endif
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    layout_fini(&src);
    layout_fini(&dst);
    if (status != dnnl_success)
        return cpu_dnnl_failed(status, "a pool", err);
    return finish(dev, pd, out, false, false, err);
}
