/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU's own kernels of encoders and newer CNNs, functions, rows and moves,
 * at random shapes against the rows of ops: broadcast, of size zero, on blocked
 * pictures whose last block is filled up. A failure names its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/cpu_case.h"

static hearth_device_t device;

static int open_device(void **state)
{
    (void)state;
    cpu_open(&device, "");
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    cpu_close(&device);
    return 0;
}

/* ---- A case ---- */

struct random_case {
    struct cpu_case c;
    struct hearth_shape shapes[3];
    uint32_t inputs;
    char what[32];
};

static void begin(struct random_case *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    cpu_case_init(&r->c, seed);
    snprintf(r->what, sizeof r->what, "seed %u", (unsigned)seed);
}

/* <rank> axes below <most>; one in twelve cases has an empty axis. */
static struct hearth_shape shape(struct random_case *r, int rank, int64_t most)
{
    struct hearth_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dims[i] = 1 + cpu_random(&r->c, most);
    if (rank > 0 && cpu_random(&r->c, 12) == 0)
        s.dims[cpu_random(&r->c, rank)] = 0;
    return s;
}

static uint32_t put_input(struct random_case *r, const struct hearth_shape *s)
{
    char name[2] = {(char)('a' + r->inputs), 0};
    r->shapes[r->inputs++] = *s;
    return ops_block_input(r->c.block, name, HEARTH_F32, s->rank, s->dims);
}

static uint32_t node(struct random_case *r, enum hearth_op op, uint32_t count,
                     const uint32_t *in)
{
    return ops_block_node(r->c.block, op, count, in, 1);
}

static uint32_t list(struct random_case *r, int64_t count,
                     const int64_t *values)
{
    return ops_block_const(r->c.block, HEARTH_I64, 1, &count, values);
}

static uint32_t cast(struct random_case *r, uint32_t x, enum hearth_dtype to)
{
    ops_block_int(r->c.block, HEARTH_ATTR_TO, to);
    return node(r, HEARTH_OP_CAST, 1, &x);
}

static void end(struct random_case *r, uint32_t output)
{
    ops_block_output(r->c.block, output);
    cpu_case_check(&r->c, &device, r->shapes, r->what);
    cpu_case_free(&r->c);
}

/* ---- Functions ---- */

static const enum hearth_op functions[] = {
    HEARTH_OP_LEAKY_RELU, HEARTH_OP_HARD_SIGMOID, HEARTH_OP_HARD_SWISH,
    HEARTH_OP_ERF,        HEARTH_OP_GELU,         HEARTH_OP_SQRT,
    HEARTH_OP_EXP,        HEARTH_OP_LOG,          HEARTH_OP_NEG,
    HEARTH_OP_ABS,        HEARTH_OP_RECIPROCAL,   HEARTH_OP_FLOOR,
    HEARTH_OP_CEIL};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

static uint32_t function(struct random_case *r, enum hearth_op op, uint32_t x)
{
    const double alpha = 0.3, beta = 0.4;
    if (op == HEARTH_OP_SQRT || op == HEARTH_OP_LOG)
        x = node(r, HEARTH_OP_ABS, 1, &x);
    if (op == HEARTH_OP_GELU && cpu_random(&r->c, 2))
        ops_block_string(r->c.block, HEARTH_ATTR_MODE, "tanh");
    if ((op == HEARTH_OP_LEAKY_RELU || op == HEARTH_OP_HARD_SIGMOID) &&
        cpu_random(&r->c, 2))
        ops_block_floats(r->c.block, HEARTH_ATTR_ALPHA, 1, &alpha);
    if (op == HEARTH_OP_HARD_SIGMOID && cpu_random(&r->c, 2))
        ops_block_floats(r->c.block, HEARTH_ATTR_BETA, 1, &beta);
    return node(r, op, 1, &x);
}

static void functions_of_one_number(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6 * FUNCTIONS; seed++) {
        struct random_case r;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, (int)cpu_random(&r.c, 4), 50);
        uint32_t x = put_input(&r, &s);
        if (cpu_random(&r.c, 2)) { /* far out */
            const float by = 60;
            uint32_t in[2] = {
                x, ops_block_const(r.c.block, HEARTH_F32, 0, NULL, &by)};
            x = node(&r, HEARTH_OP_MUL, 2, in);
        }
        end(&r, function(&r, functions[seed % FUNCTIONS], x));
    }
}

/* What fills the last block up must stay zero: the second convolution reads
 * it, and 0 times infinity is no number. */
static void functions_between_convolutions(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3 * FUNCTIONS; seed++) {
        struct random_case r;
        begin(&r, seed);
        int64_t channels = cpu_random(&r.c, 2) ? 16 : 17;
        struct hearth_shape s = {.rank = 4, .dims = {2, channels, 5, 4}};
        const int64_t dims[] = {channels, channels, 1, 1};
        uint32_t in[3] = {put_input(&r, &s)};
        enum hearth_op op = functions[seed % FUNCTIONS];
        if (op == HEARTH_OP_FLOOR || op == HEARTH_OP_CEIL)
            op = HEARTH_OP_LOG; /* what jumps would tell rounding apart */
        bool pole = op == HEARTH_OP_LOG || op == HEARTH_OP_RECIPROCAL;
        in[1] = cpu_case_weight(&r.c, 4, dims, 0.2f, 0);
        in[2] = cpu_case_weight(&r.c, 1, dims, 0.5f, pole ? 30 : 0);
        in[0] = node(&r, HEARTH_OP_CONV, 3, in);
        in[0] = function(&r, op, in[0]);
        in[1] = cpu_case_weight(&r.c, 4, dims, 0.2f, 0);
        end(&r, node(&r, HEARTH_OP_CONV, 2, in));
    }
}

static void two_operands(void **state)
{
    static const enum hearth_op ops[] = {HEARTH_OP_MIN, HEARTH_OP_MAX,
                                         HEARTH_OP_POW};
    static const float exponents[] = {2, 0.5f, 3, -1};
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct random_case r;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, (int)cpu_random(&r.c, 5), 12);
        struct hearth_shape t = s;
        uint32_t in[2] = {put_input(&r, &s)};
        for (int i = 0; i < t.rank; i++)
            if (t.dims[i] > 0 && cpu_random(&r.c, 2))
                t.dims[i] = 1;
        enum hearth_op op = ops[seed % 3];
        if (op == HEARTH_OP_POW) /* a root of a negative number is none */
            in[0] = node(&r, HEARTH_OP_ABS, 1, in);
        if (op == HEARTH_OP_POW && cpu_random(&r.c, 2))
            in[1] = ops_block_const(r.c.block, HEARTH_F32, 0, NULL,
                                    &exponents[cpu_random(&r.c, 4)]);
        else
            in[1] = put_input(&r, &t);
        if (op != HEARTH_OP_POW && cpu_random(&r.c, 2)) {
            uint32_t first = in[0];
            in[0] = in[1];
            in[1] = first;
        }
        end(&r, node(&r, op, 2, in));
    }
}

/* ---- Rows ---- */

static void sums_and_means(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct random_case r;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, 1 + (int)cpu_random(&r.c, 4), 20);
        int64_t axes[4], count = 0;
        for (int i = 0; i < s.rank; i++)
            if (cpu_random(&r.c, 2))
                axes[count++] = cpu_random(&r.c, 2) ? i : i - s.rank;
        uint32_t in[2] = {put_input(&r, &s), list(&r, count, axes)};
        bool mean = cpu_random(&r.c, 2);
        /* The mean of nothing is no number. */
        for (int i = 0; i < s.rank; i++)
            mean = mean && s.dims[i] > 0;
        ops_block_int(r.c.block, HEARTH_ATTR_KEEPDIMS, cpu_random(&r.c, 2));
        end(&r, node(&r, mean ? HEARTH_OP_REDUCE_MEAN : HEARTH_OP_REDUCE_SUM,
                     count > 0 || cpu_random(&r.c, 2) ? 2 : 1, in));
    }
}

static void layer_normalization(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct random_case r;
        const double epsilon = 1e-3;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, 1 + (int)cpu_random(&r.c, 4), 24);
        int axis = (int)cpu_random(&r.c, s.rank);
        /* One scale for each, or broadcast. */
        int from = cpu_random(&r.c, 4) ? axis : s.rank - 1;
        uint32_t in[3] = {put_input(&r, &s)};
        for (int k = 1; k < 3; k++)
            in[k] =
                cpu_case_weight(&r.c, s.rank - from, &s.dims[from], 0.5f, 1);
        ops_block_int(r.c.block, HEARTH_ATTR_AXIS,
                      cpu_random(&r.c, 2) ? axis : axis - s.rank);
        ops_block_floats(r.c.block, HEARTH_ATTR_EPSILON, 1, &epsilon);
        end(&r, node(&r, HEARTH_OP_LAYER_NORMALIZATION,
                     2 + (uint32_t)cpu_random(&r.c, 2), in));
    }
}

static void local_response_normalization(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct random_case r;
        const double alpha = 0.4, beta = seed % 2 ? 0.75 : 0.6, bias = 2;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, 3 + (int)cpu_random(&r.c, 2), 30);
        uint32_t x = put_input(&r, &s);
        ops_block_int(r.c.block, HEARTH_ATTR_SIZE, 1 + cpu_random(&r.c, 7));
        ops_block_floats(r.c.block, HEARTH_ATTR_ALPHA, 1, &alpha);
        if (cpu_random(&r.c, 2))
            ops_block_floats(r.c.block, HEARTH_ATTR_BETA, 1, &beta);
        if (cpu_random(&r.c, 2))
            ops_block_floats(r.c.block, HEARTH_ATTR_BIAS, 1, &bias);
        end(&r, node(&r, HEARTH_OP_LRN, 1, &x));
    }
}

/* ---- Moves ---- */

/* Elements of 4 bytes, or through others and back. */
static uint32_t as_some_type(struct random_case *r, uint32_t x,
                             enum hearth_dtype *type)
{
    static const enum hearth_dtype types[] = {
        HEARTH_F32, HEARTH_F32, HEARTH_F16, HEARTH_I64, HEARTH_BOOL, HEARTH_U8};
    *type = types[cpu_random(&r->c, 6)];
    if (*type == HEARTH_U8) /* of a negative number it would be anything */
        x = node(r, HEARTH_OP_ABS, 1, &x);
    return *type == HEARTH_F32 ? x : cast(r, x, *type);
}

static uint32_t back(struct random_case *r, uint32_t x, enum hearth_dtype type)
{
    return type == HEARTH_F32 ? x : cast(r, x, HEARTH_F32);
}

static void transposes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct random_case r;
        enum hearth_dtype type;
        begin(&r, seed);
        int rank = 1 + (int)cpu_random(&r.c, 6);
        struct hearth_shape s = shape(&r, rank,
                                      rank < 3   ? 200
                                      : rank < 5 ? 14
                                                 : 5);
        int64_t perm[6];
        for (int i = 0; i < s.rank; i++)
            perm[i] = i;
        for (int i = s.rank - 1; i > 0; i--) {
            int k = (int)cpu_random(&r.c, i + 1);
            int64_t p = perm[i];
            perm[i] = perm[k];
            perm[k] = p;
        }
        uint32_t x = as_some_type(&r, put_input(&r, &s), &type);
        if (cpu_random(&r.c, 8))
            ops_block_ints(r.c.block, HEARTH_ATTR_PERM, (uint32_t)s.rank, perm);
        end(&r, back(&r, node(&r, HEARTH_OP_TRANSPOSE, 1, &x), type));
    }
}

static void expands_and_tiles(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct random_case r;
        enum hearth_dtype type;
        int64_t numbers[8], count = 0;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, 1 + (int)cpu_random(&r.c, 4), 6);
        bool tile = cpu_random(&r.c, 2);
        for (int i = 0; !tile && i < (int)cpu_random(&r.c, 3); i++)
            numbers[count++] = 1 + cpu_random(&r.c, 4);
        for (int i = 0; i < s.rank; i++) {
            if (!tile && cpu_random(&r.c, 2))
                s.dims[i] = 1;
            numbers[count++] = tile || s.dims[i] == 1 ? 1 + cpu_random(&r.c, 4)
                               : cpu_random(&r.c, 2)  ? 1
                                                      : s.dims[i];
        }
        if (tile && cpu_random(&r.c, 8) == 0)
            numbers[cpu_random(&r.c, s.rank)] = 0;
        uint32_t in[2] = {as_some_type(&r, put_input(&r, &s), &type),
                          list(&r, count, numbers)};
        end(&r,
            back(&r, node(&r, tile ? HEARTH_OP_TILE : HEARTH_OP_EXPAND, 2, in),
                 type));
    }
}

static void slices(void **state)
{
    static const int64_t far[] = {INT64_MIN, INT64_MAX, INT64_MIN + 1, 99};
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct random_case r;
        enum hearth_dtype type;
        int64_t starts[5], ends[5], axes[5], steps[5], count = 0;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, 1 + (int)cpu_random(&r.c, 5), 9);
        for (int i = 0; i < s.rank; i++) {
            if (cpu_random(&r.c, 2))
                continue;
            axes[count] = cpu_random(&r.c, 2) ? i : i - s.rank;
            bool backwards = cpu_random(&r.c, 3) == 0;
            steps[count] = (backwards ? -1 : 1) * (1 + cpu_random(&r.c, 3));
            if (cpu_random(&r.c, 10) == 0)
                steps[count] = backwards ? INT64_MIN : INT64_MAX;
            starts[count] = cpu_random(&r.c, 20) - 10;
            ends[count] = backwards ? INT64_MIN : INT64_MAX;
            if (cpu_random(&r.c, 2))
                ends[count] = cpu_random(&r.c, 20) - 10;
            if (cpu_random(&r.c, 6) == 0)
                starts[count] = far[cpu_random(&r.c, 4)];
            count++;
        }
        uint32_t x = as_some_type(&r, put_input(&r, &s), &type);
        uint32_t in[5] = {x, list(&r, count, starts), list(&r, count, ends),
                          list(&r, count, axes), list(&r, count, steps)};
        end(&r, back(&r, node(&r, HEARTH_OP_SLICE, 5, in), type));
    }
}

/* Indices are data: cut from numbers that come in. */
static uint32_t indices(struct random_case *r, const struct hearth_shape *s,
                        float largest, enum hearth_dtype type)
{
    const float by = largest / 2;
    uint32_t in[2] = {put_input(r, s),
                      ops_block_const(r->c.block, HEARTH_F32, 0, NULL, &by)};
    return cast(r, node(r, HEARTH_OP_MUL, 2, in), type);
}

static void gathers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct random_case r;
        enum hearth_dtype type;
        begin(&r, seed);
        struct hearth_shape s = shape(&r, 1 + (int)cpu_random(&r.c, 3), 9);
        struct hearth_shape t = shape(&r, (int)cpu_random(&r.c, 3), 9);
        int axis = (int)cpu_random(&r.c, s.rank);
        s.dims[axis] += s.dims[axis] == 0;
        uint32_t in[2] = {as_some_type(&r, put_input(&r, &s), &type)};
        in[1] = indices(&r, &t, (float)s.dims[axis] - 0.01f,
                        cpu_random(&r.c, 2) ? HEARTH_I64 : HEARTH_I32);
        ops_block_int(r.c.block, HEARTH_ATTR_AXIS,
                      cpu_random(&r.c, 2) ? axis : axis - s.rank);
        end(&r, back(&r, node(&r, HEARTH_OP_GATHER, 2, in), type));
    }
}

static void an_index_out_of_range_is_refused(void **state)
{
    static const float bad[] = {4, -5, 1e9f};
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct random_case r;
        struct device_run run;
        float index = bad[k];
        begin(&r, 1);
        const struct hearth_shape one = {.rank = 1, .dims = {1}};
        uint32_t in[2] = {
            cpu_case_weight(&r.c, 2, (const int64_t[]){4, 3}, 1, 0),
            cast(&r, put_input(&r, &one), HEARTH_I64)};
        ops_block_output(r.c.block, node(&r, HEARTH_OP_GATHER, 2, in));
        struct hearth_view x = hearth_view_dense(&index, HEARTH_F32, &one);
        assert_int_equal(device_run_load(&run, &device,
                                         ops_block_graph(r.c.block),
                                         &r.c.weights),
                         HEARTH_OK);
        assert_int_not_equal(device_run_execute(&run, &x), HEARTH_OK);
        assert_non_null(strstr(run.error.text, "Gather"));
        index = 3; /* and the model goes on */
        assert_int_equal(device_run_execute(&run, &x), HEARTH_OK);
        device_run_unload(&run);
        cpu_case_free(&r.c);
    }
}

static void where_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct random_case r;
        const float zero = 0;
        uint32_t in[3];
        begin(&r, seed);
        struct hearth_shape s = shape(&r, (int)cpu_random(&r.c, 6), 6);
        for (int k = 0; k < 3; k++) {
            struct hearth_shape t = s;
            for (int i = 0; i < t.rank; i++)
                if (cpu_random(&r.c, 3) == 0)
                    t.dims[i] = 1;
            in[k] = put_input(&r, &t);
        }
        uint32_t two[2] = {
            in[0], ops_block_const(r.c.block, HEARTH_F32, 0, NULL, &zero)};
        in[0] = node(&r, HEARTH_OP_GREATER, 2, two);
        bool whole = cpu_random(&r.c, 4) == 0; /* numbers of 8 bytes */
        for (int k = 1; whole && k < 3; k++)
            in[k] = cast(&r, in[k], HEARTH_I64);
        uint32_t y = node(&r, HEARTH_OP_WHERE, 3, in);
        end(&r, whole ? cast(&r, y, HEARTH_F32) : y);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_one_number),
        cmocka_unit_test(functions_between_convolutions),
        cmocka_unit_test(two_operands),
        cmocka_unit_test(sums_and_means),
        cmocka_unit_test(layer_normalization),
        cmocka_unit_test(local_response_normalization),
        cmocka_unit_test(transposes),
        cmocka_unit_test(expands_and_tiles),
        cmocka_unit_test(slices),
        cmocka_unit_test(gathers),
        cmocka_unit_test(an_index_out_of_range_is_refused),
        cmocka_unit_test(where_at_random),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
