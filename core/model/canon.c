/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon.c: every opset's spelling of an operator becomes the one that
 * ops/ops.h documents.
 *
 * The table has a row for each spelling: operator, first and last opset, what
 * it becomes, how many inputs it has, its attributes, and a fix where more than
 * names changed. An attribute that is not in the row is refused, for to ignore
 * it would be to compute something else.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/canon.h"

#define LATEST 999

enum kind {
    KIND_INT,
    KIND_INTS,
    KIND_FLOAT,
    KIND_STRING,
    KIND_OTHER /* the fix looks at it, or nobody needs it */
};
struct attr_rule {
    const char *name;
    enum kind kind;
    enum hearth_attr key; /* KEY_NONE: left to the fix */
};

#define END                                                                    \
    {                                                                          \
        NULL, KIND_OTHER, HEARTH_ATTR_KEY_NONE                                 \
    }
#define INT(name, key)                                                         \
    {                                                                          \
        name, KIND_INT, HEARTH_ATTR_##key                                      \
    }
#define INTS(name, key)                                                        \
    {                                                                          \
        name, KIND_INTS, HEARTH_ATTR_##key                                     \
    }
#define FLOAT(name, key)                                                       \
    {                                                                          \
        name, KIND_FLOAT, HEARTH_ATTR_##key                                    \
    }
#define STRING(name, key)                                                      \
    {                                                                          \
        name, KIND_STRING, HEARTH_ATTR_##key                                   \
    }
#define SKIP(name)                                                             \
    {                                                                          \
        name, KIND_OTHER, HEARTH_ATTR_KEY_NONE                                 \
    }
#define WINDOW                                                                 \
    STRING("auto_pad", AUTO_PAD), INTS("kernel_shape", KERNEL_SHAPE),          \
        INTS("pads", PADS), INTS("strides", STRIDES)

static const struct attr_rule none[] = {END};
static const struct attr_rule conv[] = {WINDOW, INTS("dilations", DILATIONS),
                                        INT("group", GROUP), END};
static const struct attr_rule max_pool[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("ceil_mode", CEIL_MODE),
    INT("storage_order", STORAGE_ORDER), END};
static const struct attr_rule average_pool[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("ceil_mode", CEIL_MODE),
    INT("count_include_pad", COUNT_INCLUDE_PAD), END};
static const struct attr_rule batchnorm[] = {
    FLOAT("epsilon", EPSILON), SKIP("momentum"), INT("spatial", KEY_NONE),
    INT("training_mode", KEY_NONE), END};
static const struct attr_rule clip6[] = {FLOAT("min", KEY_NONE),
                                         FLOAT("max", KEY_NONE), END};
static const struct attr_rule axis[] = {INT("axis", AXIS), END};
static const struct attr_rule gemm[] = {
    FLOAT("alpha", GEMM_ALPHA), FLOAT("beta", GEMM_BETA),
    INT("transA", TRANS_A), INT("transB", TRANS_B), END};
static const struct attr_rule reshape[] = {INT("allowzero", ALLOW_ZERO), END};
static const struct attr_rule transpose[] = {INTS("perm", PERM), END};
static const struct attr_rule axes[] = {INTS("axes", KEY_NONE), END};
static const struct attr_rule shape[] = {INT("start", START), INT("end", END),
                                         END};
static const struct attr_rule slice1[] = {INTS("starts", KEY_NONE),
                                          INTS("ends", KEY_NONE),
                                          INTS("axes", KEY_NONE), END};
static const struct attr_rule cast[] = {INT("to", TO), SKIP("saturate"),
                                        SKIP("round_mode"), END};
/* Several types share them: the fix checks. */
static const struct attr_rule constant[] = {
    SKIP("value"),         SKIP("value_int"),    SKIP("value_ints"),
    SKIP("value_float"),   SKIP("value_floats"), SKIP("value_string"),
    SKIP("value_strings"), SKIP("sparse_value"), END};
static const struct attr_rule of_shape[] = {SKIP("value"), END};
static const struct attr_rule dropout[] = {SKIP("ratio"), SKIP("seed"), END};
static const struct attr_rule pad2[] = {STRING("mode", MODE),
                                        INTS("pads", KEY_NONE),
                                        FLOAT("value", KEY_NONE), END};
static const struct attr_rule pad[] = {STRING("mode", MODE), END};
static const struct attr_rule reduce1[] = {INTS("axes", KEY_NONE),
                                           INT("keepdims", KEEPDIMS), END};
static const struct attr_rule reduce18[] = {
    INT("keepdims", KEEPDIMS),
    INT("noop_with_empty_axes", NOOP_WITH_EMPTY_AXES), END};

struct spelling {
    const char *op;
    int16_t since, until;
    uint8_t inputs;  /* most; 255: any */
    uint8_t outputs; /* most; those beyond the first may be unused */
    enum hearth_op to;
    const struct attr_rule *attrs;
    int (*fix)(struct hearth__canon *c); /* NULL: names were enough */
};

/* clang-format off */
static const struct spelling spellings[] = {
    {"Conv", 7, LATEST, 3, 1, HEARTH_OP_CONV, conv, hearth__fix_window},
    {"BatchNormalization", 7, LATEST, 5, 5, HEARTH_OP_BATCH_NORMALIZATION,
     batchnorm, hearth__fix_batchnorm},
    {"Relu", 7, LATEST, 1, 1, HEARTH_OP_RELU, none, NULL},
    {"Clip", 7, 10, 1, 1, HEARTH_OP_CLIP, clip6, hearth__fix_clip6},
    {"Clip", 11, LATEST, 3, 1, HEARTH_OP_CLIP, none, NULL},
    {"Sigmoid", 7, LATEST, 1, 1, HEARTH_OP_SIGMOID, none, NULL},
    {"Tanh", 7, LATEST, 1, 1, HEARTH_OP_TANH, none, NULL},
    {"Softmax", 7, 12, 1, 1, HEARTH_OP_SOFTMAX, axis, hearth__fix_softmax1},
    {"Softmax", 13, LATEST, 1, 1, HEARTH_OP_SOFTMAX, axis, hearth__fix_axis},
    {"MaxPool", 7, LATEST, 1, 2, HEARTH_OP_MAX_POOL, max_pool,
     hearth__fix_window},
    {"AveragePool", 7, LATEST, 1, 1, HEARTH_OP_AVERAGE_POOL, average_pool,
     hearth__fix_window},
    {"GlobalAveragePool", 7, LATEST, 1, 1, HEARTH_OP_GLOBAL_AVERAGE_POOL, none,
     NULL},
    {"Gemm", 7, LATEST, 3, 1, HEARTH_OP_GEMM, gemm, NULL},
    {"MatMul", 7, LATEST, 2, 1, HEARTH_OP_MATMUL, none, NULL},
    {"Add", 7, LATEST, 2, 1, HEARTH_OP_ADD, none, NULL},
    {"Sum", 8, LATEST, 255, 1, HEARTH_OP_ADD, none, hearth__fix_sum},
    {"Sub", 7, LATEST, 2, 1, HEARTH_OP_SUB, none, NULL},
    {"Mul", 7, LATEST, 2, 1, HEARTH_OP_MUL, none, NULL},
    {"Div", 7, LATEST, 2, 1, HEARTH_OP_DIV, none, NULL},
    {"Concat", 7, LATEST, 255, 1, HEARTH_OP_CONCAT, axis, hearth__fix_axis},
    {"Reshape", 7, LATEST, 2, 1, HEARTH_OP_RESHAPE, reshape,
     hearth__fix_reshape},
    {"Flatten", 7, LATEST, 1, 1, HEARTH_OP_FLATTEN, axis, hearth__fix_axis},
    {"Transpose", 7, LATEST, 1, 1, HEARTH_OP_TRANSPOSE, transpose,
     hearth__fix_transpose},
    {"Squeeze", 7, 12, 1, 1, HEARTH_OP_SQUEEZE, axes, hearth__fix_axes_attr},
    {"Squeeze", 13, LATEST, 2, 1, HEARTH_OP_SQUEEZE, none, hearth__fix_axes},
    {"Unsqueeze", 7, 12, 1, 1, HEARTH_OP_UNSQUEEZE, axes,
     hearth__fix_axes_attr},
    {"Unsqueeze", 13, LATEST, 2, 1, HEARTH_OP_UNSQUEEZE, none,
     hearth__fix_axes},
    {"Shape", 7, LATEST, 1, 1, HEARTH_OP_SHAPE, shape, NULL},
    {"Gather", 7, LATEST, 2, 1, HEARTH_OP_GATHER, axis, hearth__fix_axis},
    {"Slice", 7, 9, 1, 1, HEARTH_OP_SLICE, slice1, hearth__fix_slice1},
    {"Slice", 10, LATEST, 5, 1, HEARTH_OP_SLICE, none, hearth__fix_axes},
    {"Cast", 7, LATEST, 1, 1, HEARTH_OP_CAST, cast, hearth__fix_cast},
    {"Constant", 7, LATEST, 0, 1, HEARTH_OP_NONE, constant,
     hearth__fix_constant},
    {"ConstantOfShape", 9, LATEST, 1, 1, HEARTH_OP_CONSTANT_OF_SHAPE, of_shape,
     hearth__fix_constant_of_shape},
    {"Identity", 7, LATEST, 1, 1, HEARTH_OP_IDENTITY, none, NULL},
    {"Dropout", 7, 11, 1, 2, HEARTH_OP_IDENTITY, dropout, hearth__fix_dropout},
    {"Dropout", 12, LATEST, 3, 2, HEARTH_OP_IDENTITY, dropout,
     hearth__fix_dropout},
    {"Pad", 7, 10, 1, 1, HEARTH_OP_PAD, pad2, hearth__fix_pad2},
    {"Pad", 11, LATEST, 4, 1, HEARTH_OP_PAD, pad, hearth__fix_axes},
    {"ReduceMean", 7, 17, 1, 1, HEARTH_OP_REDUCE_MEAN, reduce1,
     hearth__fix_axes_attr},
    {"ReduceMean", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_MEAN, reduce18,
     hearth__fix_axes},
};
/* clang-format on */

/* ---- What the fixes look at ---- */

const struct hearth__onnx_attr *
hearth__canon_attr(const struct hearth__canon *c, const char *name)
{
    for (uint32_t i = 0; i < c->attr_count; i++)
        if (hearth__slice_is(c->attrs[i].name, name))
            return &c->attrs[i];
    return NULL;
}

int64_t hearth__canon_int(const struct hearth__canon *c, const char *name,
                          int64_t fallback)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, name);
    return a == NULL ? fallback : a->i;
}

static int ints_of(const struct hearth__canon *c,
                   const struct hearth__onnx_attr *a, int64_t *ints,
                   uint32_t *count)
{
    uint64_t n;
    int rc = hearth__onnx_numbers(a->message, 8, false, ints,
                                  HEARTH__CANON_INTS, &n, c->ir->err);
    if (rc == HEARTH_OK && n > HEARTH__CANON_INTS)
        rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                         "attribute '%.*s' has %" PRIu64
                         " numbers, the most is %d",
                         hearth__slice_cut(a->name, 40),
                         (const char *)a->name.at, n, HEARTH__CANON_INTS);
    *count = (uint32_t)n;
    return rc;
}

int hearth__canon_ints(const struct hearth__canon *c, const char *name,
                       int64_t *ints, uint32_t *count)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, name);
    *count = 0;
    return a == NULL ? HEARTH_OK : ints_of(c, a, ints, count);
}

const struct hearth_value_info *hearth__canon_in(const struct hearth__canon *c,
                                                 uint32_t k)
{
    uint32_t value =
        k < c->draft.input_count ? c->draft.inputs[k] : HEARTH_NO_VALUE;
    return value == HEARTH_NO_VALUE ? NULL
                                    : &hearth__ir_value(c->ir, value)->info;
}

int hearth__canon_set_input(struct hearth__canon *c, uint32_t k, uint32_t value)
{
    uint32_t *inputs = hearth__ir_alloc(c->ir, k + 1, sizeof *inputs);
    if (value == HEARTH_NO_VALUE || inputs == NULL)
        return c->ir->err->status;
    for (uint32_t i = 0; i < k; i++)
        inputs[i] =
            i < c->draft.input_count ? c->draft.inputs[i] : HEARTH_NO_VALUE;
    inputs[k] = value;
    c->draft.inputs = inputs;
    c->draft.input_count = k + 1;
    return HEARTH_OK;
}

/* ---- Attributes ---- */

static int read_attrs(struct hearth__canon *c)
{
    struct hearth__slice message = c->source->message;
    struct hearth__wire_field f;
    struct hearth_error *err = c->ir->err;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number != 5)
            continue;
        struct hearth__onnx_attr a;
        rc = hearth__onnx_read_attr(f.bytes, &a, err);
        if (rc != HEARTH_OK)
            return rc;
        bool twice = false;
        for (uint32_t i = 0; i < c->attr_count; i++)
            twice |= hearth__slice_equal(a.name, c->attrs[i].name);
        if (twice || c->attr_count == HEARTH__CANON_ATTRS)
            return hearth_fail(err, HEARTH_EMODEL,
                               twice ? "attribute '%.*s' stands twice"
                                     : "attribute '%.*s' is one too many",
                               hearth__slice_cut(a.name, 40),
                               (const char *)a.name.at);
        c->attrs[c->attr_count++] = a;
    }
    return rc;
}

static int convert_attr(struct hearth__canon *c,
                        const struct hearth__onnx_attr *a,
                        const struct attr_rule *rule)
{
    static const enum hearth__onnx_attr_type types[] = {
        [KIND_INT] = HEARTH__ONNX_INT,
        [KIND_INTS] = HEARTH__ONNX_INTS,
        [KIND_FLOAT] = HEARTH__ONNX_FLOAT,
        [KIND_STRING] = HEARTH__ONNX_STRING};
    int64_t ints[HEARTH__CANON_INTS];
    uint32_t count;
    double f = (double)a->f;
    if (rule->kind == KIND_OTHER)
        return HEARTH_OK;
    if (a->type != types[rule->kind])
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "attribute '%s' is of type %" PRIu64
                           ", it must be of type %d; export the model again",
                           rule->name, a->type, (int)types[rule->kind]);
    if (rule->key == HEARTH_ATTR_KEY_NONE)
        return HEARTH_OK;
    switch (rule->kind) {
    case KIND_INT:
        return hearth__draft_set_int(c->ir, &c->draft, rule->key, a->i);
    case KIND_FLOAT:
        return hearth__draft_set(c->ir, &c->draft, rule->key,
                                 HEARTH_ATTR_FLOATS, 1, &f);
    case KIND_STRING:
        if (a->s.bytes > 64 ||
            (a->s.bytes > 0 && memchr(a->s.at, '\0', a->s.bytes) != NULL))
            return hearth_fail(c->ir->err, HEARTH_EMODEL,
                               "attribute '%s' is not a word; export the model "
                               "again",
                               rule->name);
        return hearth__draft_set(c->ir, &c->draft, rule->key,
                                 HEARTH_ATTR_STRING, (uint32_t)a->s.bytes,
                                 a->s.at);
    default:;
        int rc = ints_of(c, a, ints, &count);
        if (rc != HEARTH_OK)
            return rc;
        return hearth__draft_set(c->ir, &c->draft, rule->key, HEARTH_ATTR_INTS,
                                 count, ints);
    }
}

static int convert_attrs(struct hearth__canon *c, const struct spelling *s)
{
    int rc = read_attrs(c);
    for (uint32_t i = 0; rc == HEARTH_OK && i < c->attr_count; i++) {
        const struct attr_rule *rule = s->attrs;
        while (rule->name != NULL &&
               !hearth__slice_is(c->attrs[i].name, rule->name))
            rule++;
        if (rule->name == NULL)
            return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                               "attribute '%.*s' is not known in opset "
                               "%" PRId64 "; export the model again",
                               hearth__slice_cut(c->attrs[i].name, 40),
                               (const char *)c->attrs[i].name.at,
                               c->ir->head.opset);
        rc = convert_attr(c, &c->attrs[i], rule);
    }
    return rc;
}

/* ---- A node ---- */

/* Is there a spelling of it in any opset? */
static bool known(const struct hearth__onnx_node *head)
{
    if (head->domain.bytes > 0 && !hearth__slice_is(head->domain, "ai.onnx"))
        return false;
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++)
        if (hearth__slice_is(head->op, spellings[i].op))
            return true;
    return false;
}

/* Names the other operators that are not known, each once, so that whoever
 * exports the model need not find them one by one. */
static int not_supported(struct hearth__canon *c)
{
    const struct hearth__ir_source *all = c->ir->sources.items;
    const struct hearth__onnx_node *told[8];
    char others[100] = "";
    size_t used = 0, count = 0;
    told[count++] = &c->source->head;
    for (uint32_t i = 0; i < c->ir->sources.count && count < 8; i++) {
        bool new_one = !known(&all[i].head);
        for (size_t k = 0; k < count; k++)
            new_one &= !hearth__slice_equal(told[k]->op, all[i].head.op);
        int n = 0;
        if (new_one) {
            told[count] = &all[i].head;
            n = snprintf(others + used, sizeof others - used, "%s%.*s",
                         used == 0 ? ", nor are " : ", ",
                         hearth__slice_cut(all[i].head.op, 40),
                         (const char *)all[i].head.op.at);
        }
        if (n <= 0 || (size_t)n >= sizeof others - used) {
            others[used] = '\0';
            continue;
        }
        used += (size_t)n;
        count++;
    }
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "the operator is not supported%s; export the model "
                       "without",
                       others);
}

static int find_spelling(struct hearth__canon *c, const struct spelling **out)
{
    const struct hearth__onnx_node *head = &c->source->head;
    int64_t opset = c->ir->head.opset;
    if (!known(head))
        return not_supported(c);
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        const struct spelling *s = &spellings[i];
        if (hearth__slice_is(head->op, s->op) && opset >= s->since &&
            opset <= s->until) {
            *out = s;
            return HEARTH_OK;
        }
    }
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "the operator does not exist in opset %" PRId64
                       "; export the model again",
                       opset);
}

/* Unused outputs beyond the first go; used ones must exist. */
static int take_outputs(struct hearth__canon *c, const struct spelling *s)
{
    const struct hearth__ir_source *src = c->source;
    uint32_t n = src->output_count;
    if (n == 0 || src->outputs[0] == HEARTH_NO_VALUE || n > s->outputs)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " outputs, or no first one; export the model again",
                           n);
    c->draft.outputs[1] = HEARTH_NO_VALUE;
    c->draft.outputs[0] = src->outputs[0];
    c->draft.output_count = 1;
    for (uint32_t k = 1; k < n; k++) {
        uint32_t o = src->outputs[k];
        if (o == HEARTH_NO_VALUE || hearth__ir_value(c->ir, o)->uses == 0)
            continue;
        if (s->to != HEARTH_OP_MAX_POOL)
            return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                               "its output %" PRIu32
                               " is used, which is for training; export the "
                               "model for inference",
                               k);
        c->draft.outputs[1] = o;
        c->draft.output_count = 2;
    }
    return HEARTH_OK;
}

int hearth__canon(struct hearth__ir *ir, uint32_t source)
{
    struct hearth__canon c = {
        .ir = ir,
        .source = (struct hearth__ir_source *)ir->sources.items + source,
        .draft = {.source = source}};
    const struct spelling *s = NULL;
    int rc = find_spelling(&c, &s);
    if (rc != HEARTH_OK)
        return rc;
    c.draft.op = (uint32_t)s->to;
    c.draft.inputs = c.source->inputs;
    c.draft.input_count = c.source->input_count;
    if (s->inputs != 255 && c.draft.input_count > s->inputs)
        return hearth_fail(ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " inputs, the most is %d; export the model again",
                           c.draft.input_count, s->inputs);
    /* The fixes and the rows may take input 0 for granted. */
    if (s->inputs > 0 &&
        (c.draft.input_count == 0 || c.draft.inputs[0] == HEARTH_NO_VALUE))
        return hearth_fail(ir->err, HEARTH_EMODEL,
                           "its input 0 is missing; export the model again");
    rc = take_outputs(&c, s);
    if (rc == HEARTH_OK)
        rc = convert_attrs(&c, s);
    if (rc == HEARTH_OK && s->fix != NULL)
        rc = s->fix(&c);
    if (rc == HEARTH_OK && !c.emitted)
        rc = hearth__emit(ir, &c.draft);
    return rc;
}
