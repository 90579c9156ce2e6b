/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_mutation_test.c: calls that are nearly right. Each sample of
 * ops_samples.h is changed in a place or two - a size, a number, an attribute,
 * a type, an input left out - and then inferred and, if that accepts it,
 * evaluated into memory of just its size. It may be refused, by any status with
 * a text, or give anything; what it may not do is read or write elsewhere,
 * which builds with sanitizers tell.
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
#define OUT_MAX (1u << 18) /* bytes of a result that is still evaluated */

static uint64_t state = 88172645463325252u;

static uint64_t random_number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint32_t below(uint32_t n)
{
    return n == 0 ? 0 : (uint32_t)(random_number() % n);
}

static int64_t odd_number(void)
{
    static const int64_t numbers[] = {
        -1,        0,         1,         2,
        3,         5,         8,         -2,
        -7,        64,        1000,      INT32_MAX,
        INT32_MIN, INT64_MAX, INT64_MIN, INT64_C(1) << 40};
    return numbers[below(sizeof numbers / sizeof numbers[0])];
}

/* ---- Changes ---- */

static void change_size(struct tensor *t)
{
    struct hearth_shape shape = t->shape;
    uint64_t bytes;
    if (shape.rank == 0)
        shape = (struct hearth_shape){.rank = 1, .dims = {below(3)}};
    else if (below(6) == 0)
        shape.rank--;
    else
        shape.dims[below((uint32_t)shape.rank)] = below(6);
    /* Beside an empty axis the others may be anything. */
    if (hearth_shape_bytes(&shape, t->dtype, &bytes) && bytes == 0 &&
        shape.rank > 1 && below(3) == 0)
        for (int i = 0; i < shape.rank; i++)
            shape.dims[i] = shape.dims[i] == 0 || below(2) == 0
                                ? shape.dims[i]
                                : INT64_C(1) << (below(2) == 0 ? 31 : 40);
    if (!hearth_shape_bytes(&shape, t->dtype, &bytes) || bytes > OUT_MAX)
        return;
    t->shape = shape;
    char *data = calloc(1, bytes + 1);
    assert_non_null(data);
    memcpy(data, t->data, bytes < t->bytes ? bytes : t->bytes);
    free(t->data);
    t->data = data;
    t->bytes = bytes;
}

static void change_number(struct tensor *t)
{
    const uint32_t size = hearth_dtype_bytes(t->dtype);
    union hearth__ops_num v = {.i = odd_number()};
    if (t->bytes == 0)
        return;
    if (hearth__ops_kind(t->dtype) == HEARTH__OPS_FLOAT)
        v.f = below(8) == 0 ? __builtin_nan("") : (double)v.i / 4;
    hearth__ops_store(t->data, t->dtype, below((uint32_t)(t->bytes / size)), 0,
                      &v, 1);
}

static void change_attribute(struct hearth_graph *g)
{
    const struct hearth_graph_node *n = hearth_graph_node(g, 0);
    struct hearth_graph_attr *a =
        (struct hearth_graph_attr *)((char *)g + g->attrs) + n->first_attr;
    if (n->attr_count == 0)
        return;
    a += below(n->attr_count);
    if (below(8) == 0) {
        a->key = 0; /* gone */
    } else if (a->type == HEARTH_ATTR_INTS && a->count > 0) {
        int64_t *v = (int64_t *)((char *)g + g->data + a->offset);
        v[below(a->count)] = odd_number();
        a->count -= below(6) == 0;
    } else if (a->type == HEARTH_ATTR_FLOATS && a->count > 0) {
        double *v = (double *)((char *)g + g->data + a->offset);
        v[below(a->count)] = (double)odd_number();
    } else if (a->type == HEARTH_ATTR_STRING) {
        char *text = (char *)g + g->strings + a->offset;
        const size_t length = strlen(text);
        if (length > 0)
            text[below((uint32_t)length)] = (char)(33 + below(90));
    }
}

static void change(struct sample *s)
{
    static const enum hearth_dtype types[] = {
        HEARTH_F32, HEARTH_F64, HEARTH_F16, HEARTH_I64,
        HEARTH_I32, HEARTH_U8,  HEARTH_I8,  HEARTH_BOOL};
    struct tensor *t = &s->in[below(s->inputs)];
    uint64_t bytes;
    switch (below(10)) {
    case 0:
    case 1:
    case 2:
        if (t->present)
            change_size(t);
        break;
    case 3:
    case 4:
    case 5:
        if (t->present)
            change_number(t);
        break;
    case 6:
        t->present = below(2) == 0 && t->data != NULL;
        break;
    case 7:
        if (!t->present)
            break;
        t->dtype = types[below(sizeof types / sizeof types[0])];
        if (!hearth_shape_bytes(&t->shape, t->dtype, &bytes))
            break;
        free(t->data);
        t->data = calloc(1, bytes + 1);
        t->bytes = bytes;
        break;
    default:
        change_attribute(ops_block_graph(s->block));
    }
}

/* ---- Running ---- */

static int64_t fresh(void *ctx)
{
    return HEARTH_DIM_SYMBOL(1000 + (*(int64_t *)ctx)++);
}

static int64_t contents[64][HEARTH_CONTENT_MAX];
static uint32_t contents_used;

static int64_t *content(void *ctx, uint32_t count)
{
    (void)ctx;
    return contents_used == 64 || count > HEARTH_CONTENT_MAX
               ? NULL
               : contents[contents_used++];
}

/* Evaluates into memory of just its size. */
static void evaluate(const struct hearth_op_call *call, const struct sample *s)
{
    struct hearth_view views[MOST], out[MOST] = {0};
    const struct hearth_view *in[MOST] = {0};
    struct hearth_error err = {0};
    uint64_t bytes[MOST], all = 0;
    for (uint32_t k = 0; k < call->output_count; k++) {
        if (!hearth_shape_known(&call->out[k].shape) ||
            !hearth_shape_bytes(&call->out[k].shape, call->out[k].dtype,
                                &bytes[k]) ||
            bytes[k] > OUT_MAX || (all += bytes[k]) > OUT_MAX)
            return;
    }
    for (uint32_t k = 0; k < s->inputs; k++) {
        if (call->in[k] == NULL)
            continue;
        views[k] =
            hearth_view_dense(s->in[k].data, s->in[k].dtype, &s->in[k].shape);
        in[k] = &views[k];
    }
    for (uint32_t k = 0; k < call->output_count; k++)
        out[k] = hearth_view_dense(malloc(bytes[k] == 0 ? 1 : bytes[k]),
                                   call->out[k].dtype, &call->out[k].shape);
    int rc = hearth_op_eval(call, in, out, &err);
    if (rc != HEARTH_OK && err.text[0] == '\0')
        fail_msg("%s: refused without a word", s->name);
    for (uint32_t k = 0; k < call->output_count; k++)
        free(out[k].data);
}

/* Inferred, then evaluated when that accepts it. */
static bool run(const struct sample *s)
{
    const struct hearth_graph *g = ops_block_graph(s->block);
    struct hearth_value_info infos[MOST], out[MOST] = {0};
    const struct hearth_value_info *in[MOST];
    struct hearth_error err = {0};
    int64_t symbols = 0;
    contents_used = 0;
    for (uint32_t k = 0; k < s->inputs; k++) {
        infos[k] = (struct hearth_value_info){.dtype = s->in[k].dtype,
                                              .shape = s->in[k].shape,
                                              .data = s->in[k].data};
        in[k] = s->in[k].present ? &infos[k] : NULL;
    }
    const struct hearth_op_call call = {.graph = g,
                                        .node = hearth_graph_node(g, 0),
                                        .input_count = s->inputs,
                                        .output_count = s->outputs,
                                        .in = in,
                                        .out = out,
                                        .fresh_symbol = fresh,
                                        .content_alloc = content,
                                        .ctx = &symbols};
    if (hearth_op_row(s->op)->infer == NULL || s->inputs == 0 || in[0] == NULL)
        return false;
    int rc = hearth_op_row(s->op)->infer(&call, &err);
    if (rc != HEARTH_OK) {
        if (err.text[0] == '\0')
            fail_msg("%s: refused without a word", s->name);
        return false;
    }
    if (hearth_op_row(s->op)->eval != NULL)
        evaluate(&call, s);
    return true;
}

static void nearly_right_calls_are_refused_or_evaluated(void **unused)
{
    (void)unused;
    const char *rounds = getenv("HEARTH_MUTATIONS"); /* more of them by hand */
    uint64_t accepted = 0, all = 0;
    for (long r = rounds == NULL ? 3 : strtol(rounds, NULL, 10); r > 0; r--) {
        uint32_t count = ops_samples_open();
        for (uint32_t i = 0; i < count; i++) {
            struct sample s;
            ops_samples_take(&s, NULL);
            for (uint32_t changes = 1 + below(2); changes > 0; changes--)
                change(&s);
            accepted += run(&s);
            all++;
            ops_samples_drop(&s);
        }
        ops_samples_close();
    }
    /* Not all of them the same way, or it would test nothing. */
    assert_true(accepted > all / 20 && accepted < all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearly_right_calls_are_refused_or_evaluated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
