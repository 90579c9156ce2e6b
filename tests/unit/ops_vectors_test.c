/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_vectors_test.c: every operator against ONNX's reference evaluator, by the
 * cases of tests/unit/data/ops_vectors.bin (written by ops_vectors.py, which
 * tells the layout). Each case is run four ways: inference with all contents
 * known, evaluation on dense and on strided inputs, inference with a symbolic
 * first dimension (which may know less, but nothing else), and specialisation
 * of a graph of constants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/ops_impl.h"
#include "unit/ops_samples.h"

#define MOST OPS_SAMPLE_MOST

/* ---- Running ---- */

static int64_t fresh(void *ctx)
{
    return HEARTH_DIM_SYMBOL(1000 + (*(int64_t *)ctx)++);
}

static int64_t contents[16][HEARTH_CONTENT_MAX];
static uint32_t contents_used;

static int64_t *content(void *ctx, uint32_t count)
{
    (void)ctx;
    if (contents_used == 16 || count > HEARTH_CONTENT_MAX)
        return NULL;
    return contents[contents_used++];
}

struct run {
    struct hearth_value_info infos[MOST], out[MOST];
    const struct hearth_value_info *in[MOST];
    int64_t symbols;
    struct hearth_op_call call;
};

static void prepare(struct run *r, const struct sample *s)
{
    const struct hearth_graph *g = ops_block_graph(s->block);
    memset(r, 0, sizeof *r);
    contents_used = 0;
    for (uint32_t i = 0; i < s->inputs; i++) {
        r->infos[i].dtype = s->in[i].dtype;
        r->infos[i].shape = s->in[i].shape;
        r->infos[i].data = s->in[i].data;
        r->in[i] = s->in[i].present ? &r->infos[i] : NULL;
    }
    r->call = (struct hearth_op_call){.graph = g,
                                      .node = hearth_graph_node(g, 0),
                                      .input_count = s->inputs,
                                      .output_count = s->outputs,
                                      .in = r->in,
                                      .out = r->out,
                                      .fresh_symbol = fresh,
                                      .content_alloc = content,
                                      .ctx = &r->symbols};
}

static void compare(const struct sample *s, const struct tensor *want,
                    const void *got, const char *how)
{
    ops_samples_compare(s, want, got, 0, 0, how);
}

static void check_infer(const struct sample *s, struct run *r)
{
    struct hearth_error err = {0};
    int rc = hearth_op_row(s->op)->infer(&r->call, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s: infer: %s", s->name, err.text);
    for (uint32_t k = 0; k < s->outputs; k++) {
        char a[200], b[200];
        if (r->out[k].dtype != s->out[k].dtype ||
            !hearth_shape_equal(&r->out[k].shape, &s->out[k].shape))
            fail_msg("%s: infer gives %s %s, must be %s %s", s->name,
                     hearth_dtype_name(r->out[k].dtype),
                     hearth_shape_text(&r->out[k].shape, a, sizeof a),
                     hearth_dtype_name(s->out[k].dtype),
                     hearth_shape_text(&s->out[k].shape, b, sizeof b));
        if (r->out[k].data != NULL)
            compare(s, &s->out[k], r->out[k].data, "contents");
    }
}

/* A view of <t>'s elements spread over memory: every axis reversed, two steps
 * apart. Caller frees *room. */
static struct hearth_view spread(const struct tensor *t, void **room)
{
    size_t size = hearth_dtype_bytes(t->dtype);
    int64_t count;
    assert_true(hearth_shape_count(&t->shape, &count));
    struct hearth_view v = hearth_view_dense(NULL, t->dtype, &t->shape);
    char *base = calloc(2 * (size_t)count + 1, size);
    *room = base;
    /* The element of index 0 is the last in memory. */
    v.data = base + (count > 0 ? 2 * (size_t)(count - 1) * size : 0);
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)v.data - 2 * (size_t)i * size,
               (char *)t->data + (size_t)i * size, size);
    for (int i = 0; i < t->shape.rank; i++)
        v.strides[i] *= -2;
    return v;
}

static void check_eval(const struct sample *s, struct run *r, bool strided)
{
    struct hearth_view views[MOST], out[MOST];
    const struct hearth_view *in[MOST] = {0};
    void *rooms[MOST] = {0}, *results[MOST] = {0};
    struct hearth_error err = {0};
    for (uint32_t k = 0; k < s->inputs; k++) {
        if (!s->in[k].present)
            continue;
        in[k] = &views[k];
        views[k] = strided ? spread(&s->in[k], &rooms[k])
                           : hearth_view_dense(s->in[k].data, s->in[k].dtype,
                                               &s->in[k].shape);
    }
    for (uint32_t k = 0; k < s->outputs; k++) {
        results[k] = malloc(s->out[k].bytes + 1);
        memset(results[k], 0xa5, s->out[k].bytes + 1);
        out[k] =
            hearth_view_dense(results[k], s->out[k].dtype, &s->out[k].shape);
    }
    int rc = hearth_op_row(s->op)->eval(&r->call, in, out, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s: eval: %s", s->name, err.text);
    for (uint32_t k = 0; k < s->outputs; k++)
        compare(s, &s->out[k], results[k], strided ? "strided" : "dense");
    for (uint32_t k = 0; k < MOST; k++) {
        free(rooms[k]);
        free(results[k]);
    }
}

static bool dim_agrees(int64_t inferred, int64_t real)
{
    return inferred == real || HEARTH_DIM_IS_SYMBOL(inferred);
}

/* What is inferred with less knowledge must not contradict the truth. */
static void check_vague(const struct sample *s, bool symbol, bool contents_too)
{
    struct run r;
    struct hearth_error err;
    prepare(&r, s);
    if (symbol && s->in[0].shape.rank > 0)
        r.infos[0].shape.dims[0] = HEARTH_DIM_SYMBOL(0);
    for (uint32_t k = 0; k < s->inputs; k++)
        if (k == 0 || contents_too)
            r.infos[k].data = NULL;
    int rc = hearth_op_row(s->op)->infer(&r.call, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s: vague infer: %s", s->name, err.text);
    for (uint32_t k = 0; k < s->outputs; k++) {
        const struct hearth_shape *a = &r.out[k].shape, *b = &s->out[k].shape;
        bool ok = a->rank < 0 || a->rank == b->rank;
        for (int i = 0; ok && i < a->rank; i++)
            ok = dim_agrees(a->dims[i], b->dims[i]);
        if (!ok || r.out[k].dtype != s->out[k].dtype)
            fail_msg("%s: vague infer contradicts", s->name);
    }
}

static void check_spec(const struct sample *s)
{
    struct hearth_spec spec;
    struct hearth_error err;
    const struct hearth_graph *g = ops_block_graph(s->block);
    if (hearth_graph_check(g, g->bytes, &err) != HEARTH_OK)
        fail_msg("%s: %s", s->name, err.text);
    if (hearth_spec_create(&spec, g, NULL, NULL, &err) != HEARTH_OK)
        fail_msg("%s: spec: %s", s->name, err.text);
    for (uint32_t k = 0; k < s->outputs; k++) {
        uint32_t v = hearth_graph_output(g, hearth_graph_node(g, 0), k);
        assert_true(
            hearth_shape_equal(&spec.values[v].shape, &s->out[k].shape));
        assert_true((spec.values[v].data != NULL) == spec.node_done[0]);
        if (spec.node_done[0])
            compare(s, &s->out[k], spec.values[v].data, "spec");
    }
    hearth_spec_destroy(&spec);
}

static void every_operator_gives_the_reference_results(void **state)
{
    (void)state;
    uint32_t seen[HEARTH_OP_COUNT] = {0};
    uint32_t count = ops_samples_open();
    assert_true(count >= 500);
    for (uint32_t i = 0; i < count; i++) {
        struct sample s;
        struct run r;
        ops_samples_take(&s, NULL);
        assert_true(s.op < HEARTH_OP_COUNT);
        seen[s.op]++;
        prepare(&r, &s);
        check_infer(&s, &r);
        check_eval(&s, &r, false);
        check_eval(&s, &r, true);
        check_vague(&s, false, false);
        check_vague(&s, true, false);
        check_vague(&s, false, true);
        check_vague(&s, true, true);
        check_spec(&s);
        ops_samples_drop(&s);
    }
    ops_samples_close();
    for (uint32_t op = 1; op < HEARTH_OP_COUNT; op++)
        /* Control flow, and sizes that data tell: ops_interp_test. */
        if (seen[op] == 0 && !hearth_op_has_blocks(op) &&
            !hearth_op_random(op) && /* test_random.py */
            hearth_op_row(op)->measure == NULL)
            fail_msg("no case for %s", hearth_op_name(op));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_gives_the_reference_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
