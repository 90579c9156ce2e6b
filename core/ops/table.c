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
#define INTS                                                                   \
    (WIDE_INTS | BIT(HEARTH_I8) | BIT(HEARTH_I16) | BIT(HEARTH_U8) |           \
     BIT(HEARTH_U16))
#define NUMBERS (FLOATS | INTS)
#define BYTES (BIT(HEARTH_I8) | BIT(HEARTH_U8))
#define QUANTIZED                                                              \
    (BYTES | BIT(HEARTH_I16) | BIT(HEARTH_U16) | BIT(HEARTH_I32))
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
                        hearth__ops_eval_##ev,                                 \
                        NULL}
/* The same name for infer, measure and eval. */
#define ROW_DATA(op, name, least, most, outs, types, batch, rule, fn)          \
    [HEARTH_OP_##op] = {HEARTH_OP_##op,                                        \
                        name,                                                  \
                        least,                                                 \
                        most,                                                  \
                        outs,                                                  \
                        types,                                                 \
                        batch,                                                 \
                        rule,                                                  \
                        hearth__ops_infer_##fn,                                \
                        hearth__ops_eval_##fn,                                 \
                        hearth__ops_measure_##fn}
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
    ROW(GATHER_ELEMENTS, "GatherElements", 2, 2, 1, ALL, IN(0) | IN(1),
        RULE(elements), gather_elements, gather_elements),
    ROW(GATHER_ND, "GatherND", 2, 2, 1, ALL, IN(0) | IN(1), RULE(gather_nd),
        gather_nd, gather_nd),
    ROW(SCATTER_ELEMENTS, "ScatterElements", 3, 3, 1, ALL,
        IN(0) | IN(1) | IN(2), RULE(elements), scatter_elements,
        scatter_elements),
    ROW(SCATTER_ND, "ScatterND", 3, 3, 1, ALL, 0, RULE(never), scatter_nd,
        scatter_nd),
    ROW(ONE_HOT, "OneHot", 3, 3, 1, NUMBERS, IN(0), RULE(one_hot), one_hot,
        one_hot),
    ROW(TRILU, "Trilu", 1, 2, 1, ALL, IN(0), RULE(matrices), trilu, trilu),
    ROW(EYE_LIKE, "EyeLike", 1, 1, 1, ALL, 0, RULE(never), eye_like, eye_like),
    ROW(BIT_CAST, "BitCast", 1, 1, 1, ALL, IN(0), NULL, bit_cast, bit_cast),
    ROW(REVERSE_SEQUENCE, "ReverseSequence", 2, 2, 1, ALL, IN(0) | IN(1),
        RULE(reverse_sequence), reverse_sequence, reverse_sequence),
    ROW(DEPTH_TO_SPACE, "DepthToSpace", 1, 1, 1, ALL, IN(0), NULL, blocks,
        blocks),
    ROW(SPACE_TO_DEPTH, "SpaceToDepth", 1, 1, 1, ALL, IN(0), NULL, blocks,
        blocks),
    ROW(CENTER_CROP_PAD, "CenterCropPad", 2, 2, 1, ALL, IN(0), RULE(center),
        center, center),
    ROW(TENSOR_SCATTER, "TensorScatter", 2, 3, 1, ALL, IN(0) | IN(1) | IN(2),
        RULE(tensor_scatter), tensor_scatter, tensor_scatter),
    ROW(HANN_WINDOW, "HannWindow", 1, 1, 1, BIT(HEARTH_I32) | BIT(HEARTH_I64),
        0, RULE(never), cosine_window, cosine_window),
    ROW(HAMMING_WINDOW, "HammingWindow", 1, 1, 1,
        BIT(HEARTH_I32) | BIT(HEARTH_I64), 0, RULE(never), cosine_window,
        cosine_window),
    ROW(BLACKMAN_WINDOW, "BlackmanWindow", 1, 1, 1,
        BIT(HEARTH_I32) | BIT(HEARTH_I64), 0, RULE(never), cosine_window,
        cosine_window),
    ROW(MEL_WEIGHT_MATRIX, "MelWeightMatrix", 5, 5, 1,
        BIT(HEARTH_I32) | BIT(HEARTH_I64), 0, RULE(never), mel_weight_matrix,
        mel_weight_matrix),
    ROW(SLICE, "Slice", 3, 5, 1, ALL, IN(0), RULE(slice), slice, slice),
    ROW(CAST, "Cast", 1, 1, 1, ALL, IN(0), NULL, cast, cast),
    ROW(CONSTANT_OF_SHAPE, "ConstantOfShape", 1, 1, 1, BIT(HEARTH_I64), 0,
        RULE(never), constant_of_shape, constant_of_shape),
    ROW(IDENTITY, "Identity", 1, 1, 1, ALL, IN(0), NULL, identity, reshape),
    ROW(PAD, "Pad", 2, 4, 1, ALL, IN(0), RULE(pad), pad, pad),
    ROW(REDUCE_MEAN, "ReduceMean", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(LEAKY_RELU, "LeakyRelu", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(HARD_SIGMOID, "HardSigmoid", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(HARD_SWISH, "HardSwish", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(ERF, "Erf", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(GELU, "Gelu", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(SQRT, "Sqrt", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(EXP, "Exp", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(LOG, "Log", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(NEG, "Neg", 1, 1, 1, FLOATS | SIGNED, IN(0), NULL, unary, math),
    ROW(ABS, "Abs", 1, 1, 1, NUMBERS, IN(0), NULL, unary, math),
    ROW(RECIPROCAL, "Reciprocal", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(FLOOR, "Floor", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(CEIL, "Ceil", 1, 1, 1, FLOATS, IN(0), NULL, unary, math),
    ROW(NOT, "Not", 1, 1, 1, BIT(HEARTH_BOOL), IN(0), NULL, unary, math),
    ROW(SIN, "Sin", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(COS, "Cos", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(TAN, "Tan", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ASIN, "Asin", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ACOS, "Acos", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ATAN, "Atan", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(SINH, "Sinh", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(COSH, "Cosh", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ASINH, "Asinh", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ACOSH, "Acosh", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ATANH, "Atanh", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ROUND, "Round", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(ELU, "Elu", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(CELU, "Celu", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(SELU, "Selu", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(SOFTPLUS, "Softplus", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(SOFTSIGN, "Softsign", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(SWISH, "Swish", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(MISH, "Mish", 1, 1, 1, FLOATS, IN(0), NULL, unary, function),
    ROW(THRESHOLDED_RELU, "ThresholdedRelu", 1, 1, 1, FLOATS, IN(0), NULL,
        unary, function),
    ROW(SIGN, "Sign", 1, 1, 1, NUMBERS, IN(0), NULL, unary, function),
    ROW(SHRINK, "Shrink", 1, 1, 1, NUMBERS, IN(0), NULL, unary, function),
    ROW(IS_NAN, "IsNaN", 1, 1, 1, FLOATS, IN(0), NULL, test, test),
    ROW(IS_INF, "IsInf", 1, 1, 1, FLOATS, IN(0), NULL, test, test),
    ROW(PRELU, "PRelu", 2, 2, 1, FLOATS | WIDE_INTS, IN(0) | IN(1),
        RULE(broadcast), prelu, bits),
    ROW(MOD, "Mod", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), bits,
        bits),
    ROW(BIT_SHIFT, "BitShift", 2, 2, 1, INTS, IN(0) | IN(1), RULE(broadcast),
        bits, bits),
    ROW(BITWISE_AND, "BitwiseAnd", 2, 2, 1, INTS, IN(0) | IN(1),
        RULE(broadcast), bits, bits),
    ROW(BITWISE_OR, "BitwiseOr", 2, 2, 1, INTS, IN(0) | IN(1), RULE(broadcast),
        bits, bits),
    ROW(BITWISE_XOR, "BitwiseXor", 2, 2, 1, INTS | BIT(HEARTH_BOOL),
        IN(0) | IN(1), RULE(broadcast), bits, bits),
    ROW(BITWISE_NOT, "BitwiseNot", 1, 1, 1, INTS, IN(0), NULL, unary, bits),
    ROW(POW, "Pow", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), pow, pow),
    ROW(MIN, "Min", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), binary,
        binary),
    ROW(MAX, "Max", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast), binary,
        binary),
    ROW(EQUAL, "Equal", 2, 2, 1, ALL, IN(0) | IN(1), RULE(broadcast),
        compare, compare),
    ROW(LESS, "Less", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast),
        compare, compare),
    ROW(GREATER, "Greater", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(broadcast),
        compare, compare),
    ROW(LESS_OR_EQUAL, "LessOrEqual", 2, 2, 1, NUMBERS, IN(0) | IN(1),
        RULE(broadcast),
        compare, compare),
    ROW(GREATER_OR_EQUAL, "GreaterOrEqual", 2, 2, 1, NUMBERS, IN(0) | IN(1),
        RULE(broadcast),
        compare, compare),
    ROW(AND, "And", 2, 2, 1, BIT(HEARTH_BOOL), IN(0) | IN(1), RULE(broadcast),
        compare, compare),
    ROW(OR, "Or", 2, 2, 1, BIT(HEARTH_BOOL), IN(0) | IN(1), RULE(broadcast),
        compare, compare),
    ROW(WHERE, "Where", 3, 3, 1, BIT(HEARTH_BOOL), IN(0) | IN(1) | IN(2),
        RULE(where), where, where),
    ROW(EXPAND, "Expand", 2, 2, 1, ALL, IN(0), RULE(spread), expand, expand),
    ROW(TILE, "Tile", 2, 2, 1, ALL, IN(0), RULE(spread), tile, tile),
    ROW(RANGE, "Range", 3, 3, 1, FLOATS | WIDE_INTS | BIT(HEARTH_I16), 0,
        RULE(never), range, range),
    ROW(REDUCE_SUM, "ReduceSum", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_L1, "ReduceL1", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_L2, "ReduceL2", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_SUM_SQUARE, "ReduceSumSquare", 1, 2, 1, FLOATS | WIDE_INTS,
        IN(0), RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_LOG_SUM, "ReduceLogSum", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_LOG_SUM_EXP, "ReduceLogSumExp", 1, 2, 1, FLOATS | WIDE_INTS,
        IN(0), RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_PROD, "ReduceProd", 1, 2, 1, FLOATS | WIDE_INTS, IN(0),
        RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_MAX, "ReduceMax", 1, 2, 1,
        FLOATS | WIDE_INTS | BIT(HEARTH_I8) | BIT(HEARTH_U8) | BIT(HEARTH_BOOL),
        IN(0), RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(REDUCE_MIN, "ReduceMin", 1, 2, 1,
        FLOATS | WIDE_INTS | BIT(HEARTH_I8) | BIT(HEARTH_U8) | BIT(HEARTH_BOOL),
        IN(0), RULE(reduce_mean), reduce_mean, reduce_mean),
    ROW(LOG_SOFTMAX, "LogSoftmax", 1, 1, 1, FLOATS, IN(0), RULE(softmax),
        softmax, softmax),
    ROW(HARDMAX, "Hardmax", 1, 1, 1, FLOATS, IN(0), RULE(softmax), softmax,
        softmax),
    ROW(ARG_MAX, "ArgMax", 1, 1, 1, NUMBERS, IN(0), RULE(arg), arg, arg),
    ROW(ARG_MIN, "ArgMin", 1, 1, 1, NUMBERS, IN(0), RULE(arg), arg, arg),
    ROW(CUM_SUM, "CumSum", 2, 2, 1, FLOATS | WIDE_INTS, IN(0), RULE(running),
        running, running),
    ROW(CUM_PROD, "CumProd", 2, 2, 1, FLOATS | WIDE_INTS, IN(0), RULE(running),
        running, running),
    ROW(TOP_K, "TopK", 2, 2, 2, NUMBERS, IN(0), RULE(softmax), top_k, top_k),
    ROW(LAYER_NORMALIZATION, "LayerNormalization", 2, 3, 1, FLOATS, IN(0),
        RULE(layer_normalization), layer_normalization, layer_normalization),
    ROW(LRN, "LRN", 1, 1, 1, FLOATS, IN(0), NULL, lrn, lrn),
    ROW(RESIZE, "Resize", 1, 4, 1, NUMBERS, IN(0), RULE(kept), resize,
        resize),
    ROW(CONV_TRANSPOSE, "ConvTranspose", 2, 3, 1, FLOATS, IN(0), RULE(kept),
        conv_transpose, conv_transpose),
    ROW(GROUP_NORMALIZATION, "GroupNormalization", 3, 3, 1, FLOATS, IN(0),
        NULL, group_normalization, group_normalization),
    ROW(RMS_NORMALIZATION, "RMSNormalization", 2, 2, 1, FLOATS, IN(0),
        RULE(layer_normalization), rms_normalization, rms_normalization),
    ROW(LP_NORMALIZATION, "LpNormalization", 1, 1, 1, FLOATS, IN(0),
        RULE(softmax), lp_normalization, lp_normalization),
    ROW(GLOBAL_MAX_POOL, "GlobalMaxPool", 1, 1, 1, FLOATS, IN(0), NULL,
        global_pool, global_pool2),
    ROW(GLOBAL_LP_POOL, "GlobalLpPool", 1, 1, 1, FLOATS, IN(0), NULL,
        global_lp_pool, global_pool2),
    ROW(LP_POOL, "LpPool", 1, 1, 1, FLOATS, IN(0), NULL, pool, pool),
    ROW(QUANTIZE_LINEAR, "QuantizeLinear", 2, 3, 1, FLOATS | BIT(HEARTH_I32),
        IN(0), RULE(quantize), quantize, quantize),
    ROW(DEQUANTIZE_LINEAR, "DequantizeLinear", 2, 3, 1, QUANTIZED, IN(0),
        RULE(quantize), dequantize, dequantize),
    ROW(MATMUL_INTEGER, "MatMulInteger", 2, 4, 1, BYTES, IN(0),
        RULE(matmul_integer), matmul_integer, matmul_integer),
    ROW(CONV_INTEGER, "ConvInteger", 2, 4, 1, BYTES, IN(0), RULE(kept),
        conv_integer, conv_integer),
    ROW(QLINEAR_MATMUL, "QLinearMatMul", 8, 8, 1, BYTES, IN(0),
        RULE(matmul_integer), qlinear_matmul, qlinear_matmul),
    ROW(QLINEAR_CONV, "QLinearConv", 8, 9, 1, BYTES, IN(0), RULE(kept),
        qlinear_conv, qlinear_conv),
    ROW(RNN, "RNN", 3, 6, 2, FLOATS, 0, RULE(never), recurrent, recurrent),
    ROW(GRU, "GRU", 3, 6, 2, FLOATS, 0, RULE(never), recurrent, recurrent),
    ROW(LSTM, "LSTM", 3, 8, 3, FLOATS, 0, RULE(never), recurrent, recurrent),
    ROW(DYNAMIC_QUANTIZE_LINEAR, "DynamicQuantizeLinear", 1, 1, 3,
        BIT(HEARTH_F32), 0, RULE(never), dynamic_quantize, dynamic_quantize),
    ROW(IF, "If", 1, 255, HEARTH_OP_OUTPUTS_MAX, BIT(HEARTH_BOOL), 0,
        RULE(never), if, control),
    ROW(LOOP, "Loop", 2, 255, HEARTH_OP_OUTPUTS_MAX, BIT(HEARTH_I64), 0,
        RULE(never), loop, control),
    ROW(SCAN, "Scan", 1, 255, HEARTH_OP_OUTPUTS_MAX, ALL, 0, RULE(never), scan,
        control),
    ROW_DATA(NON_ZERO, "NonZero", 1, 1, 1, ALL, 0, RULE(never), non_zero),
    ROW_DATA(COMPRESS, "Compress", 2, 2, 1, ALL, 0, RULE(never), compress),
    ROW_DATA(UNIQUE, "Unique", 1, 1, 4, ALL, 0, RULE(never), unique),
    ROW_DATA(NON_MAX_SUPPRESSION, "NonMaxSuppression", 2, 5, 1, FLOATS, 0,
             RULE(never), non_max_suppression),
    ROW(ATTENTION, "Attention", 3, 7, 4, FLOATS,
        IN(0) | IN(1) | IN(2) | IN(4) | IN(5) | IN(6), RULE(attention),
        attention, attention),
    ROW(ROTARY_EMBEDDING, "RotaryEmbedding", 3, 4, 1, FLOATS, IN(0) | IN(3),
        RULE(kept), rotary_embedding, rotary_embedding),
    ROW(MATMUL_NBITS, "MatMulNBits", 3, 5, 1, FLOATS, IN(0), RULE(nbits),
        matmul_nbits, matmul_nbits),
    ROW(RANDOM_UNIFORM, "RandomUniform", 1, 1, 1, BIT(HEARTH_I64), 0,
        RULE(never), random, random),
    ROW(RANDOM_NORMAL, "RandomNormal", 1, 1, 1, BIT(HEARTH_I64), 0,
        RULE(never), random, random),
    ROW(MULTINOMIAL, "Multinomial", 1, 1, 1, FLOATS, IN(0), NULL, multinomial,
        multinomial),
    ROW(LINEAR_ATTENTION, "LinearAttention", 3, 6, 2, FLOATS, EVERY, NULL,
        linear_attention, linear_attention),
    ROW(CAUSAL_CONV, "CausalConvWithState", 2, 4, 2, FLOATS, IN(0) | IN(3),
        NULL, causal_conv, causal_conv),
    ROW(NEGATIVE_LOG_LIKELIHOOD_LOSS, "NegativeLogLikelihoodLoss", 2, 3, 1,
        FLOATS, 0, RULE(never), loss, loss),
    ROW(MAX_UNPOOL, "MaxUnpool", 2, 3, 1, FLOATS, 0, RULE(never), max_unpool,
        max_unpool),
    ROW(GRID_SAMPLE, "GridSample", 2, 2, 1, NUMBERS, IN(0) | IN(1), RULE(kept),
        grid_sample, grid_sample),
    ROW(AFFINE_GRID, "AffineGrid", 2, 2, 1, FLOATS, 0, RULE(never),
        affine_grid, affine_grid),
    ROW(ROI_ALIGN, "RoiAlign", 3, 3, 1, FLOATS, 0, RULE(never), roi_align,
        roi_align),
    ROW(DEFORM_CONV, "DeformConv", 3, 5, 1, FLOATS, IN(0) | IN(2) | IN(4),
        RULE(kept), deform_conv, deform_conv),
    ROW(DET, "Det", 1, 1, 1, FLOATS, IN(0), RULE(det), det, det),
    ROW(EINSUM, "Einsum", 1, 255, 1, NUMBERS, 0, RULE(never), einsum, einsum),
    ROW(DFT, "DFT", 1, 3, 1, FLOATS, 0, RULE(never), dft, dft),
    ROW(STFT, "STFT", 2, 4, 1, FLOATS, IN(0), RULE(kept), stft, stft),
    ROW(COL2IM, "Col2Im", 3, 3, 1, FLOATS, IN(0), RULE(kept), col2im, col2im),
};
/* clang-format on */

bool hearth_op_cheap(uint32_t op)
{
    switch (op) {
    case HEARTH_OP_CONV:
    case HEARTH_OP_MAX_POOL:
    case HEARTH_OP_AVERAGE_POOL:
    case HEARTH_OP_GEMM:
    case HEARTH_OP_MATMUL:
    case HEARTH_OP_CONV_TRANSPOSE:
    case HEARTH_OP_LP_POOL:
    case HEARTH_OP_MATMUL_INTEGER:
    case HEARTH_OP_CONV_INTEGER:
    case HEARTH_OP_QLINEAR_MATMUL:
    case HEARTH_OP_QLINEAR_CONV:
    case HEARTH_OP_RNN:
    case HEARTH_OP_GRU:
    case HEARTH_OP_LSTM:
    case HEARTH_OP_IF:
    case HEARTH_OP_LOOP:
    case HEARTH_OP_SCAN:
    case HEARTH_OP_NON_MAX_SUPPRESSION:
    case HEARTH_OP_ATTENTION:
    case HEARTH_OP_MATMUL_NBITS:
    case HEARTH_OP_LINEAR_ATTENTION:
    case HEARTH_OP_RANDOM_UNIFORM: /* not ahead of a run at all */
    case HEARTH_OP_RANDOM_NORMAL:
    case HEARTH_OP_MULTINOMIAL:
    case HEARTH_OP_CAUSAL_CONV:
    case HEARTH_OP_GRID_SAMPLE:
    case HEARTH_OP_ROI_ALIGN:
    case HEARTH_OP_DEFORM_CONV:
    case HEARTH_OP_DET:
    case HEARTH_OP_EINSUM:
    case HEARTH_OP_DFT:
    case HEARTH_OP_STFT:
        return false;
    default:
        return true;
    }
}

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
