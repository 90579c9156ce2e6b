/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c: the operators' table. Types are those that ONNX allows for input 0
 * in the newest opset, among the ones that Hearth knows.
 *
 * batch_inputs names the inputs that may carry the batch on axis 0. A batched
 * value in any other input, or a batch_axis that says no, ends the proof. An
 * input that is named and is not batched (a bias that Add broadcasts) is what
 * batch_axis looks at; it is asked after infer, with out filled.
 */
#include "ops/ops_impl.h"

#define BIT(dtype) (UINT32_C(1) << (dtype))
#define FLOATS                                                                 \
    (BIT(HEARTH_F32) | BIT(HEARTH_F64) | BIT(HEARTH_F16) | BIT(HEARTH_BF16))
#define WIDE_INTS                                                              \
    (BIT(HEARTH_I32) | BIT(HEARTH_I64) | BIT(HEARTH_U32) | BIT(HEARTH_U64))
#define SIGNED                                                                 \
    (BIT(HEARTH_I8) | BIT(HEARTH_I16) | BIT(HEARTH_I32) | BIT(HEARTH_I64))
#define NUMBERS                                                                \
    (FLOATS | WIDE_INTS | BIT(HEARTH_I8) | BIT(HEARTH_I16) | BIT(HEARTH_U8) |  \
     BIT(HEARTH_U16))
#define ALL (NUMBERS | BIT(HEARTH_BOOL))

#define IN(i) (UINT32_C(1) << (i))
#define EVERY UINT32_MAX

/* op, name, inputs least and most, outputs, types, batch inputs, batch rule,
 * infer, eval */
#define ROW(op, name, least, most, outs, types, batch, rule, inf, ev)          \
    [HEARTH_OP_##op] = {HEARTH_OP_##op,                                        \
                        name,                                                  \
                        least,                                                 \
                        most,                                                  \
                        outs,                                                  \
                        types,                                                 \
                        batch,                                                 \
                        rule,                                                  \
                        hearth__ops_infer_##inf,                               \
                        hearth__ops_eval_##ev}
#define RULE(name) hearth__ops_batch_##name

/* clang-format off */
static const struct hearth_op_row rows[HEARTH_OP_COUNT] = {
    ROW(CONV, "Conv", 2, 4, 1, FLOATS, IN(0) | IN(3), RULE(kept), conv, conv),
    ROW(BATCH_NORMALIZATION, "BatchNormalization", 5, 5, 1, FLOATS, IN(0),
        NULL, batch_normalization, batch_normalization),
    ROW(RELU, "Relu", 1, 1, 1, FLOATS | SIGNED, IN(0), NULL, unary, unary),
    ROW(CLIP, "Clip", 1, 3, 1, NUMBERS, IN(0), NULL, clip, clip),
    ROW(SIGMOID, "Sigmoid", 1, 1, 1, FLOATS, IN(0), NULL, unary, unary),
    ROW(TANH, "Tanh", 1, 1, 1, FLOATS, IN(0), NULL, unary, unary),
    ROW(SOFTMAX, "Softmax", 1, 1, 1, FLOATS, IN(0), RULE(softmax), softmax,
        softmax),
    ROW(MAX_POOL, "MaxPool", 1, 1, 2,
        FLOATS | BIT(HEARTH_I8) | BIT(HEARTH_U8), IN(0), RULE(pool), pool,
        pool),
    ROW(AVERAGE_POOL, "AveragePool", 1, 1, 1, FLOATS, IN(0), NULL, pool, pool),
    ROW(GLOBAL_AVERAGE_POOL, "GlobalAveragePool", 1, 1, 1, FLOATS, IN(0), NULL,
        global_pool, global_pool),
    ROW(GEMM, "Gemm", 2, 3, 1, FLOATS | WIDE_INTS, IN(0) | IN(2), RULE(gemm),
        gemm, gemm),
    ROW(MATMUL, "MatMul", 2, 4, 1, FLOATS | WIDE_INTS, IN(0) | IN(1) | IN(3),
        RULE(matmul), matmul, matmul),
    ROW(ADD, "Add", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), binary,
        binary),
    ROW(SUB, "Sub", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), binary,
        binary),
    ROW(MUL, "Mul", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), binary,
        binary),
    ROW(DIV, "Div", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), binary,
        binary),
    ROW(CONCAT, "Concat", 1, 255, 1, ALL, EVERY, RULE(concat), concat, concat),
    ROW(RESHAPE, "Reshape", 2, 2, 1, ALL, IN(0), RULE(kept), reshape, reshape),
    ROW(FLATTEN, "Flatten", 1, 1, 1, ALL, IN(0), RULE(kept), flatten, reshape),
    ROW(TRANSPOSE, "Transpose", 1, 1, 1, ALL, IN(0), RULE(transpose),
        transpose, transpose),
    ROW(SQUEEZE, "Squeeze", 1, 2, 1, ALL, IN(0), RULE(kept), squeeze, reshape),
    ROW(UNSQUEEZE, "Unsqueeze", 2, 2, 1, ALL, IN(0), RULE(kept), unsqueeze,
        reshape),
    ROW(SHAPE, "Shape", 1, 1, 1, ALL, 0, RULE(never), shape, shape),
    ROW(GATHER, "Gather", 2, 2, 1, ALL, IN(0) | IN(1), RULE(gather), gather,
        gather),
    ROW(SLICE, "Slice", 3, 5, 1, ALL, IN(0), RULE(slice), slice, slice),
    ROW(CAST, "Cast", 1, 1, 1, ALL, IN(0), NULL, cast, cast),
    ROW(CONSTANT_OF_SHAPE, "ConstantOfShape", 1, 1, 1, BIT(HEARTH_I64), 0,
        RULE(never), constant_of_shape, constant_of_shape),
    ROW(IDENTITY, "Identity", 1, 1, 1, ALL, IN(0), NULL, identity, reshape),
    ROW(PAD, "Pad", 2, 4, 1, ALL, IN(0), RULE(pad), pad, pad),
    ROW(REDUCE_MEAN, "ReduceMean", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
};
/* clang-format on */

const struct hearth_op_row *hearth_op_row(uint32_t op)
{
    if (op == HEARTH_OP_NONE || op >= HEARTH_OP_COUNT)
        return NULL;
    return &rows[op];
}

const char *hearth_op_name(uint32_t op)
{
    const struct hearth_op_row *row = hearth_op_row(op);
    return row == NULL ? "?" : row->name;
}
