/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h: the operators: one table, a row an operator, so that an operator's
 * meaning is written once. A row serves the importer (which ONNX versions,
 * which types, constant folding), shape inference, the plugins' host-side shape
 * arithmetic and long tail, and the tests' reference.
 *
 * C library and hearth_types.h/hearth_graph.h only: plugins link it. Reentrant,
 * no state; any thread.
 *
 * The rows are *canonical* operators: one form whatever the opset. The importer
 * rewrites older spellings (attributes that became inputs, and back) into the
 * form that enum hearth_op documents.
 */
#ifndef HEARTH_OPS_OPS_H
#define HEARTH_OPS_OPS_H

#include "hearth_graph.h"

/* Canonical operators. Inputs in [] are optional. "act" stands for the fused
 * activation: HEARTH_ATTR_ACTIVATION (enum hearth_activation) with
 * HEARTH_ATTR_ALPHA, HEARTH_ATTR_BETA. Axes are normalised to >= 0 by the
 * importer wherever the rank is known; evaluation takes negative ones too.
 *
 * Values are stable: they stand in packed files. Append only. */
enum hearth_op {
    HEARTH_OP_NONE = 0,
    /* X [N,C,D..], W [M,C/group,k..], [B [M]], [Z like Y, added before act];
     * KERNEL_SHAPE STRIDES PADS(begin.., end..) DILATIONS GROUP, act. AUTO_PAD
     * stays a string ("SAME_UPPER"..) only while a spatial size is unknown. */
    HEARTH_OP_CONV,
    /* X, scale, B, mean, var; EPSILON */
    HEARTH_OP_BATCH_NORMALIZATION,
    HEARTH_OP_RELU,
    /* X, [min scalar], [max scalar] */
    HEARTH_OP_CLIP,
    HEARTH_OP_SIGMOID,
    HEARTH_OP_TANH,
    /* X; AXIS, over that one axis (opset 13 meaning). Older: the importer
     * flattens around it with RESHAPE nodes. */
    HEARTH_OP_SOFTMAX,
    /* X -> Y, [Indices]; KERNEL_SHAPE STRIDES PADS DILATIONS CEIL_MODE
     * STORAGE_ORDER AUTO_PAD */
    HEARTH_OP_MAX_POOL,
    /* X; the same, and COUNT_INCLUDE_PAD */
    HEARTH_OP_AVERAGE_POOL,
    HEARTH_OP_GLOBAL_AVERAGE_POOL,
    /* A, B, [C broadcast to the result], act; ALPHA is Gemm's own
     * GEMM_ALPHA here, GEMM_BETA, TRANS_A, TRANS_B */
    HEARTH_OP_GEMM,
    /* A, B (numpy's matmul), [C: bias of the last axis], [Z like Y], act */
    HEARTH_OP_MATMUL,
    HEARTH_OP_ADD, /* numpy broadcasting; act */
    HEARTH_OP_SUB,
    HEARTH_OP_MUL,
    HEARTH_OP_DIV,    /* integers truncate; integer x/0 is an error, CLIENT */
    HEARTH_OP_CONCAT, /* inputs...; AXIS */
    /* data, shape i64 [r]; ALLOW_ZERO */
    HEARTH_OP_RESHAPE,
    HEARTH_OP_FLATTEN,   /* AXIS */
    HEARTH_OP_TRANSPOSE, /* PERM */
    HEARTH_OP_SQUEEZE,   /* data, [axes i64] */
    HEARTH_OP_UNSQUEEZE, /* data, axes i64 */
    HEARTH_OP_SHAPE,     /* START, END */
    HEARTH_OP_GATHER,    /* data, indices; AXIS */
    /* data, starts, ends, [axes], [steps]; i32 or i64 */
    HEARTH_OP_SLICE,
    HEARTH_OP_CAST, /* TO */
    /* shape i64; VALUE_DTYPE, VALUE_INT or VALUE_FLOAT: the one element */
    HEARTH_OP_CONSTANT_OF_SHAPE,
    HEARTH_OP_IDENTITY,
    /* data, pads i64 [2r], [value], [axes]; MODE "constant" "reflect" "edge"
     * "wrap" */
    HEARTH_OP_PAD,
    /* data, [axes i64]; KEEPDIMS, NOOP_WITH_EMPTY_AXES */
    HEARTH_OP_REDUCE_MEAN,
    /* Elementwise, one input. */
    HEARTH_OP_LEAKY_RELU,   /* ALPHA */
    HEARTH_OP_HARD_SIGMOID, /* max(0, min(1, ALPHA * x + BETA)) */
    HEARTH_OP_HARD_SWISH,   /* x * max(0, min(1, x / 6 + 1 / 2)) */
    HEARTH_OP_ERF,
    HEARTH_OP_GELU, /* MODE "none": by erf, "tanh" */
    HEARTH_OP_SQRT,
    HEARTH_OP_EXP,
    HEARTH_OP_LOG,
    HEARTH_OP_NEG,
    HEARTH_OP_ABS,
    HEARTH_OP_RECIPROCAL,
    HEARTH_OP_FLOOR,
    HEARTH_OP_CEIL,
    HEARTH_OP_NOT,
    /* Elementwise, two inputs, numpy broadcasting. */
    HEARTH_OP_POW, /* the result has the base's type, the exponent any */
    HEARTH_OP_MIN, /* NaN wins */
    HEARTH_OP_MAX,
    HEARTH_OP_EQUAL, /* these give bool */
    HEARTH_OP_LESS,
    HEARTH_OP_GREATER,
    HEARTH_OP_LESS_OR_EQUAL,
    HEARTH_OP_GREATER_OR_EQUAL,
    HEARTH_OP_AND,
    HEARTH_OP_OR,
    HEARTH_OP_WHERE,      /* condition bool, X, Y */
    HEARTH_OP_EXPAND,     /* X, shape i64: broadcasting both ways */
    HEARTH_OP_TILE,       /* X, repeats i64 [r] */
    HEARTH_OP_RANGE,      /* start, limit, delta: scalars of one type */
    HEARTH_OP_REDUCE_SUM, /* as REDUCE_MEAN */
    /* X, scale, [bias]; AXIS >= 0 where the rank is known, EPSILON: over all
     * axes from AXIS on */
    HEARTH_OP_LAYER_NORMALIZATION,
    HEARTH_OP_LRN, /* X; SIZE, ALPHA, BETA, BIAS */
    /* X, [scales f32], [sizes i64], one of them, [roi]; MODE "nearest" "linear"
     * "cubic" (ALPHA is its a), COORDINATE, NEAREST, ASPECT: ONNX's words; AXES
     * (none: all), ANTIALIAS, EXCLUDE_OUTSIDE, EXTRAPOLATION */
    HEARTH_OP_RESIZE,
    /* Functions of one number, elementwise. */
    HEARTH_OP_SIN,
    HEARTH_OP_COS,
    HEARTH_OP_TAN,
    HEARTH_OP_ASIN,
    HEARTH_OP_ACOS,
    HEARTH_OP_ATAN,
    HEARTH_OP_SINH,
    HEARTH_OP_COSH,
    HEARTH_OP_ASINH,
    HEARTH_OP_ACOSH,
    HEARTH_OP_ATANH,
    HEARTH_OP_SIGN,
    HEARTH_OP_ROUND, /* halves to even */
    HEARTH_OP_ELU,   /* x < 0: ALPHA * (e^x - 1) */
    HEARTH_OP_CELU,  /* x < 0: ALPHA * (e^(x / ALPHA) - 1) */
    HEARTH_OP_SELU,  /* BETA times Elu of ALPHA */
    HEARTH_OP_SOFTPLUS,
    HEARTH_OP_SOFTSIGN,
    HEARTH_OP_SWISH, /* x * sigmoid(ALPHA * x) */
    HEARTH_OP_MISH,
    HEARTH_OP_THRESHOLDED_RELU, /* x > ALPHA: x, else 0 */
    HEARTH_OP_SHRINK, /* x < -ALPHA: x + BETA, x > ALPHA: x - BETA, else 0 */
    HEARTH_OP_IS_NAN, /* these give bool */
    HEARTH_OP_IS_INF, /* DETECT_NEGATIVE, DETECT_POSITIVE */
    /* Elementwise, numpy broadcasting. */
    HEARTH_OP_PRELU,     /* X, slope, which broadcasts to X */
    HEARTH_OP_MOD,       /* FMOD; integer x mod 0 is an error, CLIENT */
    HEARTH_OP_BIT_SHIFT, /* DIRECTION "LEFT" "RIGHT" */
    HEARTH_OP_BITWISE_AND,
    HEARTH_OP_BITWISE_OR,
    HEARTH_OP_BITWISE_XOR, /* of bools too, as Xor */
    HEARTH_OP_BITWISE_NOT, /* one input */
    /* As REDUCE_MEAN; of no elements: 0, 1, the least or largest of the type */
    HEARTH_OP_REDUCE_L1,
    HEARTH_OP_REDUCE_L2,
    HEARTH_OP_REDUCE_SUM_SQUARE,
    HEARTH_OP_REDUCE_LOG_SUM,
    HEARTH_OP_REDUCE_LOG_SUM_EXP,
    HEARTH_OP_REDUCE_PROD,
    HEARTH_OP_REDUCE_MAX, /* NaN wins */
    HEARTH_OP_REDUCE_MIN,
    HEARTH_OP_LOG_SOFTMAX, /* as SOFTMAX */
    HEARTH_OP_HARDMAX,     /* as SOFTMAX: 1 for the first largest, else 0 */
    HEARTH_OP_ARG_MAX,     /* AXIS, KEEPDIMS, SELECT_LAST_INDEX; gives i64 */
    HEARTH_OP_ARG_MIN,
    HEARTH_OP_CUM_SUM, /* X, axis i32 or i64; EXCLUSIVE, REVERSE */
    HEARTH_OP_CUM_PROD,
    /* X, k i64 -> values, [indices i64]; AXIS, LARGEST. Sorted; of equals the
     * one with the lower index is first. */
    HEARTH_OP_TOP_K,
    /* X [N,C,D..], W [C,M/group,k..], [B [M]]; as CONV, no act, OUTPUT_PADDING,
     * OUTPUT_SHAPE (of the spatial axes) */
    HEARTH_OP_CONV_TRANSPOSE,
    /* X [N,C,..], scale, bias, each [C] or [NUM_GROUPS]; NUM_GROUPS (0: as many
     * as channels), EPSILON */
    HEARTH_OP_GROUP_NORMALIZATION,
    HEARTH_OP_RMS_NORMALIZATION, /* X, scale; as LAYER_NORMALIZATION */
    HEARTH_OP_LP_NORMALIZATION,  /* X; AXIS, P 1 or 2 */
    HEARTH_OP_GLOBAL_MAX_POOL,
    HEARTH_OP_GLOBAL_LP_POOL, /* P */
    HEARTH_OP_LP_POOL,        /* as MAX_POOL, and P */
    /* x, scale, [zero point]; AXIS, BLOCK_SIZE (0: scale is one, or one for
     * each index of AXIS), TO: the result's type where no zero point tells it
     * (u8) */
    HEARTH_OP_QUANTIZE_LINEAR,
    /* x, scale, [zero point]; AXIS, BLOCK_SIZE, TO (0: the scale's type) */
    HEARTH_OP_DEQUANTIZE_LINEAR,
    HEARTH_OP_MATMUL_INTEGER, /* A, B, [zero point of A], [of B]: i32 */
    HEARTH_OP_CONV_INTEGER,   /* as CONV, then zero points of X and W: i32 */
    /* A, scale, zero point, B, scale, zero point, scale, zero point of Y */
    HEARTH_OP_QLINEAR_MATMUL,
    HEARTH_OP_QLINEAR_CONV, /* the same with X and W, [B i32]; as CONV */
    /* X, W, R, [B], [lengths i32], [H]; of LSTM [C], [peepholes P]; -> Y, Y_h,
     * of LSTM Y_c. DIRECTION "forward" "reverse" "bidirectional", LAYOUT,
     * HIDDEN_SIZE, CELL_CLIP, LINEAR_BEFORE_RESET (GRU), INPUT_FORGET (LSTM);
     * ACTIVATIONS (enum hearth_recurrent_act), ACT_ALPHA, ACT_BETA: of each
     * direction's functions, all or none */
    HEARTH_OP_RNN,
    HEARTH_OP_GRU,
    HEARTH_OP_LSTM,
    HEARTH_OP_DYNAMIC_QUANTIZE_LINEAR, /* x f32 -> y u8, scale, zero point */
    /* Control flow. The blocks take nothing from around them but by inputs: the
     * node's last ones are handed to each block as its last ones.
     * cond (one bool), captures..; THEN, ELSE -> outputs of either */
    HEARTH_OP_IF,
    /* [M i64], [cond bool], STATES states, captures..; BODY takes iteration
     * i64, cond, states, captures and gives cond, states, rows ->
     * states, all rows of each one beneath another */
    HEARTH_OP_LOOP,
    /* STATES states, SCANS sequences, captures..; SCAN_IN_AXES,
     * SCAN_IN_REVERSE, SCAN_OUT_AXES, SCAN_OUT_REVERSE (none: all 0), BATCHED
     * (0): axis 0 of everything is a batch, as in opset 8; BODY takes states, a
     * slice of each sequence, captures and gives states, rows
     * -> states, all rows */
    HEARTH_OP_SCAN,
    /* Sizes that only data tells. */
    HEARTH_OP_NON_ZERO, /* X -> i64 [rank, count] */
    HEARTH_OP_COMPRESS, /* X, condition bool; AXIS (none: of X flattened) */
    /* X -> Y, [indices], [inverse], [counts]; AXIS (none: of X flattened),
     * SORTED */
    HEARTH_OP_UNIQUE,
    /* boxes [b,n,4], scores [b,c,n], [most a class i64], [IoU f32], [score
     * f32]; CENTER_POINT_BOX -> i64 [count,3] */
    HEARTH_OP_NON_MAX_SUPPRESSION,
    /* Q, K, V, [mask bool or float], [past key], [past value], [lengths i64] ->
     * Y, present key, present value, product; Q_HEADS, KV_HEADS, SCALE,
     * SOFTCAP, IS_CAUSAL, LEFT_WINDOW, RIGHT_WINDOW, PRODUCT_MODE */
    HEARTH_OP_ATTENTION,
    /* X, cos, sin, [places]; Q_HEADS, ROTARY_DIM, INTERLEAVED */
    HEARTH_OP_ROTARY_EMBEDDING,
    /* A, B u8, scales, [zero points], [bias]; N, K, BITS, BLOCK_SIZE */
    HEARTH_OP_MATMUL_NBITS,
    /* data, indices i32 or i64 of its rank; AXIS */
    HEARTH_OP_GATHER_ELEMENTS,
    HEARTH_OP_GATHER_ND, /* data, tuples of indices; BATCH_DIMS */
    /* data, indices, updates of their shape; AXIS, REDUCTION "none" "add" "mul"
     * "max" "min" */
    HEARTH_OP_SCATTER_ELEMENTS,
    HEARTH_OP_SCATTER_ND, /* data, tuples of indices, updates; REDUCTION */
    /* indices, depth, values [2]: off, on; AXIS (-1) of the result. An index
     * that is out of range is off everywhere. */
    HEARTH_OP_ONE_HOT,
    HEARTH_OP_TRILU,    /* X, [k]; UPPER */
    HEARTH_OP_EYE_LIKE, /* X, for its shape alone; TO, K */
    HEARTH_OP_BIT_CAST, /* TO, which has as many bits */
    /* X, lengths [batch]; BATCH_AXIS, TIME_AXIS: 0 and 1 */
    HEARTH_OP_REVERSE_SEQUENCE,
    HEARTH_OP_DEPTH_TO_SPACE, /* BLOCK_SIZE, MODE "DCR" "CRD" */
    HEARTH_OP_SPACE_TO_DEPTH,
    HEARTH_OP_CENTER_CROP_PAD, /* X, sizes; AXES (none: all) */
    /* cache, update, [write indices [batch]]; AXIS, MODE "linear" "circular" */
    HEARTH_OP_TENSOR_SCATTER,
    HEARTH_OP_HANN_WINDOW, /* size; PERIODIC, TO (f32) */
    HEARTH_OP_HAMMING_WINDOW,
    HEARTH_OP_BLACKMAN_WINDOW,
    /* bands, DFT's length, rate, lower and upper edge in hertz; TO (f32) */
    HEARTH_OP_MEL_WEIGHT_MATRIX,
    /* X [N,C,D..], indices i64, [shape of the result]; as MAX_POOL */
    HEARTH_OP_MAX_UNPOOL,
    /* X [N,C,D..], grid [N,d..,axes]; MODE, PADDING, ALIGN_CORNERS */
    HEARTH_OP_GRID_SAMPLE,
    HEARTH_OP_AFFINE_GRID, /* theta, size i64; ALIGN_CORNERS */
    /* X, rois [R,4], images [R]; MODE "avg" "max", COORDINATE "half_pixel"
     * "output_half_pixel", OUTPUT_HEIGHT, OUTPUT_WIDTH, SAMPLING_RATIO,
     * SPATIAL_SCALE */
    HEARTH_OP_ROI_ALIGN,
    /* X, W, offsets, [B], [mask]; as CONV, and OFFSET_GROUP */
    HEARTH_OP_DEFORM_CONV,
    HEARTH_OP_DET,
    HEARTH_OP_EINSUM, /* EQUATION */
    /* X [..,1 or 2], [length], [axis]; AXIS where that is not there, INVERSE,
     * ONESIDED */
    HEARTH_OP_DFT,
    HEARTH_OP_STFT, /* signal, step, [window], [frame length]; ONESIDED */
    /* X, image's shape, block's shape; STRIDES, DILATIONS, PADS */
    HEARTH_OP_COL2IM,
    /* Q, K, V [B,T,heads*D], [state], [decay], [beta] -> Y, state; Q_HEADS,
     * KV_HEADS, SCALE, UPDATE_RULE: ONNX's words */
    HEARTH_OP_LINEAR_ATTENTION,
    /* X [B,C,L], W [C,1,k], [bias], [state] -> Y, state; MODE "none" "silu" */
    HEARTH_OP_CAUSAL_CONV,
    /* log probabilities [N,C,..], classes i32 or i64 [N,..], [weight [C]];
     * REDUCTION "none" "sum" "mean", IGNORE_INDEX (none: every class counts) */
    HEARTH_OP_NEGATIVE_LOG_LIKELIHOOD_LOSS,
    /* a shape [rank]; TO (f32), SEED (none: other numbers at every run), ALPHA
     * and BETA: from (0) below (1), or mean (0) and deviation (1) */
    HEARTH_OP_RANDOM_UNIFORM,
    HEARTH_OP_RANDOM_NORMAL,
    /* logarithms of probabilities [N,C]; SAMPLE_SIZE (1), TO (i32), SEED */
    HEARTH_OP_MULTINOMIAL,
    HEARTH_OP_COUNT
};

enum hearth_attr {
    HEARTH_ATTR_KEY_NONE = 0,
    HEARTH_ATTR_KERNEL_SHAPE,
    HEARTH_ATTR_STRIDES,
    HEARTH_ATTR_PADS,
    HEARTH_ATTR_DILATIONS,
    HEARTH_ATTR_GROUP,
    HEARTH_ATTR_AUTO_PAD,
    HEARTH_ATTR_CEIL_MODE,
    HEARTH_ATTR_COUNT_INCLUDE_PAD,
    HEARTH_ATTR_STORAGE_ORDER,
    HEARTH_ATTR_EPSILON,
    HEARTH_ATTR_AXIS,
    HEARTH_ATTR_PERM,
    HEARTH_ATTR_GEMM_ALPHA,
    HEARTH_ATTR_GEMM_BETA,
    HEARTH_ATTR_TRANS_A,
    HEARTH_ATTR_TRANS_B,
    HEARTH_ATTR_ALLOW_ZERO,
    HEARTH_ATTR_START,
    HEARTH_ATTR_END,
    HEARTH_ATTR_TO,
    HEARTH_ATTR_VALUE_DTYPE,
    HEARTH_ATTR_VALUE_INT,
    HEARTH_ATTR_VALUE_FLOAT,
    HEARTH_ATTR_MODE,
    HEARTH_ATTR_KEEPDIMS,
    HEARTH_ATTR_NOOP_WITH_EMPTY_AXES,
    HEARTH_ATTR_ACTIVATION,
    HEARTH_ATTR_ALPHA, /* of the activation: CLIP's minimum */
    HEARTH_ATTR_BETA,  /* CLIP's maximum */
    HEARTH_ATTR_SIZE,
    HEARTH_ATTR_BIAS,
    HEARTH_ATTR_COORDINATE,
    HEARTH_ATTR_NEAREST,
    HEARTH_ATTR_AXES,
    HEARTH_ATTR_ASPECT,
    HEARTH_ATTR_ANTIALIAS,
    HEARTH_ATTR_EXCLUDE_OUTSIDE,
    HEARTH_ATTR_EXTRAPOLATION,
    HEARTH_ATTR_DETECT_NEGATIVE,
    HEARTH_ATTR_DETECT_POSITIVE,
    HEARTH_ATTR_FMOD,
    HEARTH_ATTR_DIRECTION,
    HEARTH_ATTR_SELECT_LAST_INDEX,
    HEARTH_ATTR_EXCLUSIVE,
    HEARTH_ATTR_REVERSE,
    HEARTH_ATTR_LARGEST,
    HEARTH_ATTR_OUTPUT_PADDING,
    HEARTH_ATTR_OUTPUT_SHAPE,
    HEARTH_ATTR_NUM_GROUPS,
    HEARTH_ATTR_P,
    HEARTH_ATTR_BLOCK_SIZE,
    HEARTH_ATTR_LAYOUT,
    HEARTH_ATTR_HIDDEN_SIZE,
    HEARTH_ATTR_CELL_CLIP,
    HEARTH_ATTR_LINEAR_BEFORE_RESET,
    HEARTH_ATTR_INPUT_FORGET,
    HEARTH_ATTR_ACTIVATIONS,
    HEARTH_ATTR_ACT_ALPHA,
    HEARTH_ATTR_ACT_BETA,
    HEARTH_ATTR_THEN,
    HEARTH_ATTR_ELSE,
    HEARTH_ATTR_BODY,
    HEARTH_ATTR_STATES,
    HEARTH_ATTR_SCANS,
    HEARTH_ATTR_SCAN_IN_AXES,
    HEARTH_ATTR_SCAN_IN_REVERSE,
    HEARTH_ATTR_SCAN_OUT_AXES,
    HEARTH_ATTR_SCAN_OUT_REVERSE,
    HEARTH_ATTR_SORTED,
    HEARTH_ATTR_CENTER_POINT_BOX,
    HEARTH_ATTR_Q_HEADS,
    HEARTH_ATTR_KV_HEADS,
    HEARTH_ATTR_SCALE,
    HEARTH_ATTR_SOFTCAP,
    HEARTH_ATTR_IS_CAUSAL,
    HEARTH_ATTR_PRODUCT_MODE,
    HEARTH_ATTR_LEFT_WINDOW,
    HEARTH_ATTR_RIGHT_WINDOW,
    HEARTH_ATTR_ROTARY_DIM,
    HEARTH_ATTR_INTERLEAVED,
    HEARTH_ATTR_N,
    HEARTH_ATTR_K,
    HEARTH_ATTR_BITS,
    HEARTH_ATTR_BATCH_DIMS,
    HEARTH_ATTR_REDUCTION,
    HEARTH_ATTR_UPPER,
    HEARTH_ATTR_BATCH_AXIS,
    HEARTH_ATTR_TIME_AXIS,
    HEARTH_ATTR_PERIODIC,
    HEARTH_ATTR_PADDING,
    HEARTH_ATTR_ALIGN_CORNERS,
    HEARTH_ATTR_OUTPUT_HEIGHT,
    HEARTH_ATTR_OUTPUT_WIDTH,
    HEARTH_ATTR_SAMPLING_RATIO,
    HEARTH_ATTR_SPATIAL_SCALE,
    HEARTH_ATTR_OFFSET_GROUP,
    HEARTH_ATTR_EQUATION,
    HEARTH_ATTR_INVERSE,
    HEARTH_ATTR_ONESIDED,
    HEARTH_ATTR_UPDATE_RULE,
    HEARTH_ATTR_IGNORE_INDEX,
    HEARTH_ATTR_SEED,
    HEARTH_ATTR_BATCHED,
    HEARTH_ATTR_SAMPLE_SIZE,
    HEARTH_ATTR_KEY_COUNT
};

enum hearth_activation {
    HEARTH_ACT_NONE = 0,
    HEARTH_ACT_RELU,
    HEARTH_ACT_CLIP, /* min(max(x, ALPHA), BETA) */
    HEARTH_ACT_SIGMOID,
    HEARTH_ACT_TANH,
    HEARTH_ACT_GELU,      /* by erf */
    HEARTH_ACT_GELU_TANH, /* by tanh */
    HEARTH_ACT_SWISH,     /* x * sigmoid(x) */
    HEARTH_ACT_HARD_SWISH
};

/* Functions of the recurrent operators, with their own ALPHA and BETA. */
enum hearth_recurrent_act {
    HEARTH_RECURRENT_SIGMOID = 0,
    HEARTH_RECURRENT_TANH,
    HEARTH_RECURRENT_RELU,
    HEARTH_RECURRENT_AFFINE,
    HEARTH_RECURRENT_LEAKY_RELU,
    HEARTH_RECURRENT_THRESHOLDED_RELU,
    HEARTH_RECURRENT_SCALED_TANH,
    HEARTH_RECURRENT_HARD_SIGMOID,
    HEARTH_RECURRENT_ELU,
    HEARTH_RECURRENT_SOFTSIGN,
    HEARTH_RECURRENT_SOFTPLUS,
    HEARTH_RECURRENT_COUNT
};

/* What is known of a value while shapes are inferred or a node is evaluated. */
struct hearth_value_info {
    enum hearth_dtype dtype;
    struct hearth_shape shape; /* dims may be symbolic; rank may be -1 */
    /* Dense contents on the host when they are known, else NULL. */
    const void *data;
    /* Contents of an integer tensor of at most HEARTH_CONTENT_MAX elements
     * when each is known or a symbol (HEARTH_DIM_SYMBOL), else NULL. Set
     * together with <data> when all are known. This is how Shape -> Gather ->
     * Concat -> Reshape keeps "batch". */
    const int64_t *content;
};
#define HEARTH_CONTENT_MAX 64
/* Of a node; no row has more. */
#define HEARTH_OP_OUTPUTS_MAX 16

/* One node as the table's functions see it. */
struct hearth_op_call {
    const struct hearth_graph *graph; /* where attributes lie */
    const struct hearth_graph_node *node;
    uint32_t input_count, output_count;
    const struct hearth_value_info *const *in; /* NULL: absent */
    struct hearth_value_info *out;             /* [output_count], to fill */
    /* A new anonymous symbol's dimension, for sizes that only data tells. */
    int64_t (*fresh_symbol)(void *ctx);
    /* Room for <content> of an output; lives as long as the inference. NULL
     * when out of memory. */
    int64_t *(*content_alloc)(void *ctx, uint32_t count);
    void *ctx;
};

struct hearth_op_row {
    enum hearth_op op;
    const char *name;               /* ONNX's: "Conv" */
    uint8_t min_inputs, max_inputs; /* max 255: any number */
    uint8_t max_outputs;
    /* 1 << dtype for every element type that input 0 may have. */
    uint32_t dtypes;
    /* Axis 0 of the output is the batch whenever axis 0 of the inputs that
     * <batch_inputs> names (bit i = input i) is: rows are independent. Subject
     * to batch_axis (below) agreeing. */
    uint32_t batch_inputs;
    /* NULL: always independent. Else decides by attributes and shapes whether
     * axis 0 stays an independent batch (Softmax axis != 0, Reshape keeping
     * dim 0, ...). */
    bool (*batch_axis)(const struct hearth_op_call *call);
    /* Fills dtype and shape of every output, and content where it can. OK, or
     * HEARTH_EMODEL/HEARTH_ESHAPE/HEARTH_ETYPE with a text that names what
     * disagreed, not the node: the caller adds that. */
    int (*infer)(const struct hearth_op_call *call, struct hearth_error *err);
    /* Plain evaluation on host memory: inputs dense or strided, outputs dense
     * and allocated by the caller after the shapes that infer gave. The
     * reference: right before fast. CLIENT-class errors for data that the
     * operator refuses (Gather index out of range). */
    int (*eval)(const struct hearth_op_call *call,
                const struct hearth_view *const *in, struct hearth_view *out,
                struct hearth_error *err);
    /* NULL, or: infer leaves sizes unknown that the inputs' data tell. Asked
     * after infer, with all of it at hand; makes every output's shape known. */
    int (*measure)(const struct hearth_op_call *call,
                   const struct hearth_view *const *in,
                   struct hearth_error *err);
};

/* Evaluates by the call's row, unless every output is empty or left out: then
 * there is nothing to do, however large the axes beside an empty one are. The
 * row's statuses, but HEARTH_EINVAL for HEARTH_EMODEL, as infer was content. */
int hearth_op_eval(const struct hearth_op_call *call,
                   const struct hearth_view *const *in, struct hearth_view *out,
                   struct hearth_error *err);
/* Is the operator's work in proportion to its bytes, so that it may be done
 * while a model is imported or a shape specialised? */
bool hearth_op_cheap(uint32_t op);
/* May it give other outputs for the same inputs? Then it is neither done ahead
 * of a run, nor once for two nodes. */
static inline bool hearth_op_random(uint32_t op)
{
    return op == HEARTH_OP_RANDOM_UNIFORM || op == HEARTH_OP_RANDOM_NORMAL ||
           op == HEARTH_OP_MULTINOMIAL;
}
/* NULL for a number that is not an operator. */
const struct hearth_op_row *hearth_op_row(uint32_t op);
const char *hearth_op_name(uint32_t op); /* "?" likewise */

/* Attributes of a node; <fallback> or NULL/0 when it has none of that key. */
int64_t hearth_attr_int(const struct hearth_graph *g,
                        const struct hearth_graph_node *node,
                        enum hearth_attr key, int64_t fallback);
double hearth_attr_float(const struct hearth_graph *g,
                         const struct hearth_graph_node *node,
                         enum hearth_attr key, double fallback);
const int64_t *hearth_attr_ints(const struct hearth_graph *g,
                                const struct hearth_graph_node *node,
                                enum hearth_attr key, uint32_t *count);
const double *hearth_attr_floats(const struct hearth_graph *g,
                                 const struct hearth_graph_node *node,
                                 enum hearth_attr key, uint32_t *count);
const char *hearth_attr_string(const struct hearth_graph *g,
                               const struct hearth_graph_node *node,
                               enum hearth_attr key, const char *fallback);
const char *hearth_attr_name(uint32_t key); /* ONNX's name: "kernel_shape" */
/* The nested graph, checked with the block around it; NULL: none. */
const struct hearth_graph *
hearth_attr_block(const struct hearth_graph *g,
                  const struct hearth_graph_node *node, enum hearth_attr key);
/* How deep blocks may stand in each other. */
#define HEARTH_BLOCKS_DEEP 8
/* Does the node run blocks? Then only hearth_interp_run can evaluate it. */
static inline bool hearth_op_has_blocks(uint32_t op)
{
    return op == HEARTH_OP_IF || op == HEARTH_OP_LOOP || op == HEARTH_OP_SCAN;
}

/* Spatial geometry of Conv and the pools, with AUTO_PAD and CEIL_MODE resolved,
 * for spatial rank <= 6. HEARTH_ESHAPE when the window does not fit. */
struct hearth_window {
    int32_t rank;
    int64_t in[6], kernel[6], stride[6], dilation[6], pad_begin[6], pad_end[6],
        out[6];
};
int hearth_op_window(const struct hearth_op_call *call,
                     struct hearth_window *window, struct hearth_error *err);

/* f16 and bf16 <-> f32, round to nearest even. */
float hearth_f16_to_f32(uint16_t bits);
uint16_t hearth_f32_to_f16(float value);
float hearth_bf16_to_f32(uint16_t bits);
uint16_t hearth_f32_to_bf16(float value);

/* ---- A whole graph at concrete input shapes ("specialised") ---------------
 * Used by the plugins at every new shape, by `hearth inspect` and by the tests.
 * Infers every value's shape and evaluates on the host whatever is shape
 * arithmetic: nodes all of whose inputs are small host constants. Weights are
 * never touched, except those that shape arithmetic needs (read through
 * <weights>, at most 64 KiB each). */
struct hearth_spec {
    uint32_t value_count;
    struct hearth_value_info *values; /* [value_count]; <data> if host known */
    uint8_t *node_done; /* [node_count] 1: evaluated here, plugins skip it */
    void *memory;       /* everything above, one list; private */
};
/* <inputs>: one known shape per graph input. OK, or HEARTH_ESHAPE (naming input
 * or node and operator), HEARTH_ENOMEM. On failure *spec is empty. */
int hearth_spec_create(struct hearth_spec *spec, const struct hearth_graph *g,
                       const struct hearth_weights *weights,
                       const struct hearth_shape *inputs,
                       struct hearth_error *err);
void hearth_spec_destroy(struct hearth_spec *spec);

/* ---- One node of a specialised graph, on host memory ----
 * Room for the views of the node with the most inputs; one run at a time. */
struct hearth_op_scratch {
    struct hearth_view *views;
    const struct hearth_view **in;
    const struct hearth_value_info **infos;
};
/* False: out of memory, and empty. */
bool hearth_op_scratch_create(struct hearth_op_scratch *scratch,
                              const struct hearth_graph *g);
void hearth_op_scratch_destroy(struct hearth_op_scratch *scratch);
/* Evaluates node <number> by its row. <place> tells where input or output <k>,
 * which is value <value>, has its dense bytes. The row's statuses. */
int hearth_op_run(const struct hearth_graph *g, const struct hearth_spec *spec,
                  uint32_t number, const struct hearth_op_scratch *scratch,
                  void *(*place)(void *ctx, uint32_t value, bool output,
                                 uint32_t k),
                  void *ctx, struct hearth_error *err);

/* ---- A graph, node by node ------------------------------------------------
 * For what cannot be planned: sizes that only a run tells, control flow. Each
 * node is inferred with its inputs' data at hand and then evaluated by its row.
 * Everything it needs lies in one arena of host memory, so that what it takes
 * is bounded and known: when the arena is too small, the run ends with
 * HEARTH_EAGAIN before any output was asked for, and is to be begun again with
 * a larger one. */

/* Is every size known, and no node a control flow's? Then a graph is planned.
 */
bool hearth_spec_is_complete(const struct hearth_graph *g,
                             const struct hearth_spec *spec);

struct hearth_interp {
    const struct hearth_graph *graph;
    const struct hearth_spec *spec;   /* at the shapes of <inputs> */
    const struct hearth_view *inputs; /* dense, in graph order */
    char *arena;                      /* aligned to 64 */
    uint64_t arena_bytes;
    void *ctx;
    /* The dense bytes of a WEIGHT of <graph>, aligned to its elements. */
    const void *(*weight)(void *ctx, uint32_t value);
    /* NULL, or asked before each node and iteration: anything but HEARTH_OK
     * ends the run with it. */
    int (*pause)(void *ctx, struct hearth_error *err);
    /* NULL, or does the node itself, on dense views. False: the row does it. */
    bool (*kernel)(void *ctx, const struct hearth_op_call *call,
                   const struct hearth_view *const *in,
                   const struct hearth_view *out);
    /* As hearth_execution's; all at the end, in order. */
    int (*alloc_output)(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data);
    uint64_t need_bytes; /* out: the least arena that could be enough */
};
/* Bytes to begin with: what is known to be needed. */
uint64_t hearth_interp_arena(const struct hearth_graph *g,
                             const struct hearth_spec *spec);
/* The rows' statuses, with node and operator in the text; HEARTH_EAGAIN as
 * above; HEARTH_ETOOBIG: more than can be counted; HEARTH_EUNSUPPORTED: a Loop
 * that does not end. Any thread; blocks until it is over. */
int hearth_interp_run(struct hearth_interp *run, struct hearth_error *err);

/* ---- One arena, planned -----------------------------------------------
 * Offsets for buffers with known first and last use, none overlapping in both
 * time and space: greedy by size, best fit (as TFLite's and TVM's planners do).
 * <alignment> is a power of two. Returns the arena's bytes; fills offset. */
struct hearth_arena_buffer {
    uint64_t bytes;       /* 0: no room is given, offset 0 */
    uint32_t first, last; /* steps, inclusive */
    uint64_t offset;      /* out */
};
uint64_t hearth_arena_plan(struct hearth_arena_buffer *buffers, uint32_t count,
                           uint64_t alignment);

#endif
