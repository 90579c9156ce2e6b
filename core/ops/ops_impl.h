/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_impl.h: what the files of core/ops share. Private to the module (and to
 * its tests).
 *
 * Evaluation knows three kinds of numbers only: every floating type is computed
 * in double and rounded once at the end (so + - * / of f32, f16 and bf16 are
 * what IEEE arithmetic of that type gives), signed integers in int64_t, the
 * rest in uint64_t, both modulo 2^64. A loop loads a run of elements into
 * numbers, computes, and stores; so one loop serves all types.
 */
#ifndef HEARTH_OPS_OPS_IMPL_H
#define HEARTH_OPS_OPS_IMPL_H

#include "ops/ops.h"

/* ---- Numbers ---- */
enum hearth__ops_kind {
    HEARTH__OPS_NONE = 0,
    HEARTH__OPS_FLOAT,
    HEARTH__OPS_SIGNED,
    HEARTH__OPS_UNSIGNED /* bool too */
};
union hearth__ops_num {
    double f;
    int64_t i;
    uint64_t u;
};
#define HEARTH__OPS_CHUNK 256

enum hearth__ops_kind hearth__ops_kind(enum hearth_dtype dtype);
/* <n> elements from <base>, at element <offset>, <stride> elements apart. */
void hearth__ops_load(union hearth__ops_num *dst, const void *base,
                      enum hearth_dtype dtype, int64_t offset, int64_t stride,
                      int64_t n);
void hearth__ops_store(void *base, enum hearth_dtype dtype, int64_t offset,
                       int64_t stride, const union hearth__ops_num *src,
                       int64_t n);
/* In place, from kind to kind. Float to integer truncates and saturates at the
 * bounds of <to>; NaN becomes 0; anything but 0 becomes true. */
void hearth__ops_convert(union hearth__ops_num *x, int64_t n,
                         enum hearth_dtype from, enum hearth_dtype to);

/* Cuts integers to what <dtype> holds, as storing and loading would; floats
 * stay. For an activation after arithmetic. */
void hearth__ops_wrap(union hearth__ops_num *x, int64_t n,
                      enum hearth_dtype dtype);

/* ---- Nests: loops over a shape, for several operands at once. The last loop
 * is the caller's: <run> elements, <step[k]> apart, from <offset[k]>. Adjacent
 * axes that every operand walks evenly are merged. */
#define HEARTH__OPS_OPERANDS 6
struct hearth__ops_nest {
    int rank, operands;
    int64_t dims[HEARTH_RANK_MAX];
    int64_t strides[HEARTH__OPS_OPERANDS][HEARTH_RANK_MAX];
    int64_t index[HEARTH_RANK_MAX];
    int64_t offset[HEARTH__OPS_OPERANDS];
    int64_t run, step[HEARTH__OPS_OPERANDS];
};
void hearth__ops_nest_init(struct hearth__ops_nest *nest,
                           const struct hearth_shape *shape);
/* The next operand, which must broadcast to the shape. */
void hearth__ops_nest_add(struct hearth__ops_nest *nest,
                          const struct hearth_view *view);
/* for (bool more = ..._start(&nest); more; more = ..._next(&nest)) */
bool hearth__ops_nest_start(struct hearth__ops_nest *nest);
bool hearth__ops_nest_next(struct hearth__ops_nest *nest);

/* <view> seen with <shape>, to which it broadcasts: strides become 0. */
struct hearth_view hearth__ops_broadcast(const struct hearth_view *view,
                                         const struct hearth_shape *shape);
/* <view> without axis <axis>, at index <at> of it. */
struct hearth_view hearth__ops_take_axis(const struct hearth_view *view,
                                         int axis, int64_t at);
/* <view> with an axis of size 1 put in before <axis>. */
struct hearth_view hearth__ops_put_axis(const struct hearth_view *view,
                                        int axis);
void *hearth__ops_at(const struct hearth_view *view, int64_t offset);
/* Equal shapes and element sizes. */
void hearth__ops_copy(const struct hearth_view *dst,
                      const struct hearth_view *src);

/* ---- Elementwise: runs <fn> over chunks of up to three inputs, broadcast to
 * <y>; each is loaded by its own type. x[0] is what is stored. ---- */
typedef int (*hearth__ops_chunk_fn)(
    union hearth__ops_num x[3][HEARTH__OPS_CHUNK], int64_t n, const void *arg,
    struct hearth_error *err);
int hearth__ops_chunks(const struct hearth_view *const *in, uint32_t count,
                       struct hearth_view *y, hearth__ops_chunk_fn fn,
                       const void *arg, struct hearth_error *err);
/* ---- Dense copies, for operators that look everywhere ----
 * Room for <count> numbers of <bytes> each; NULL with <err> filled. */
void *hearth__ops_room(int64_t count, size_t bytes, struct hearth_error *err);
/* All elements, row-major, to be freed; NULL with <err> filled. The view has a
 * known shape. hearth__ops_ints: of types of at most 32 bits. */
double *hearth__ops_doubles(const struct hearth_view *view,
                            struct hearth_error *err);
int32_t *hearth__ops_ints(const struct hearth_view *view,
                          struct hearth_error *err);
/* All elements of a dense <view> of floats; <view> converts to its type. */
void hearth__ops_put_doubles(struct hearth_view *view, const double *from);
/* Product of dims[from..to) of a known shape. */
int64_t hearth__ops_product(const struct hearth_shape *shape, int from, int to);
/* The number at <offset> as a double. */
double hearth__ops_number(const struct hearth_view *view, int64_t offset);

/* ---- The fused activation ---- */
struct hearth__ops_act {
    enum hearth_activation act;
    double alpha, beta;
};
struct hearth__ops_act hearth__ops_act_of(const struct hearth_op_call *call);
void hearth__ops_act_apply(const struct hearth__ops_act *act,
                           enum hearth__ops_kind kind, union hearth__ops_num *x,
                           int64_t n);

/* <n> integers of [<least>, INT32_MAX] of an attribute, or all <fallback>;
 * HEARTH_EMODEL. */
int hearth__ops_ints_of(const struct hearth_op_call *call, enum hearth_attr key,
                        int n, int64_t least, int64_t fallback, int64_t *dst,
                        struct hearth_error *err);

/* The output's shape, of which input 0 is the vector; infer's statuses. */
int hearth__ops_shape_of_vector(const struct hearth_op_call *call,
                                struct hearth_error *err);

/* ---- Contents of small integer tensors ---- */
struct hearth__ops_content {
    uint32_t n;
    bool known; /* every value is a number, even one that looks like a symbol */
    bool odd;   /* known, and a value looks like a symbol */
    int64_t v[HEARTH_CONTENT_MAX];
};
/* False when <info> is NULL or its contents are not known, not even as
 * symbols, or not i32 or i64. */
bool hearth__ops_content(const struct hearth_value_info *info,
                         struct hearth__ops_content *content);
/* The same of an evaluated input; false for NULL, type and size. */
bool hearth__ops_content_view(const struct hearth_view *view,
                              struct hearth__ops_content *content);
/* Gives <out> (dtype and known shape set) these contents; <known> as above. Out
 * of memory, or a type that has none: leaves it without, which is correct. */
void hearth__ops_set_content(const struct hearth_op_call *call,
                             struct hearth_value_info *out,
                             const int64_t *values, uint32_t n, bool known);

/* ---- What infer functions share ---- */
static inline const struct hearth_value_info *
hearth__ops_in(const struct hearth_op_call *call, uint32_t k)
{
    return k < call->input_count ? call->in[k] : NULL;
}
static inline int64_t hearth__ops_fresh(const struct hearth_op_call *call)
{
    return call->fresh_symbol(call->ctx);
}
/* Checks counts, required inputs, ranks and input 0's type; gives every output
 * input 0's type and an unknown shape. */
int hearth__ops_begin(const struct hearth_op_call *call,
                      struct hearth_error *err);
/* HEARTH_ETYPE unless input <k> is absent or of input 0's type. */
int hearth__ops_same_dtype(const struct hearth_op_call *call, uint32_t k,
                           struct hearth_error *err);
/* HEARTH_ETYPE unless input <k> is absent, i32 or i64. */
int hearth__ops_index_dtype(const struct hearth_op_call *call, uint32_t k,
                            struct hearth_error *err);
/* HEARTH_ESHAPE unless input <k> is absent, of one element, or of unknown size.
 */
int hearth__ops_one_element(const struct hearth_op_call *call, uint32_t k,
                            struct hearth_error *err);
/* Checks the activation against the type of output 0. */
int hearth__ops_check_act(const struct hearth_op_call *call,
                          struct hearth_error *err);
/* One dimension of a broadcast. */
int hearth__ops_broadcast_dim(const struct hearth_op_call *call, int64_t a,
                              int64_t b, int64_t *out,
                              struct hearth_error *err);
int hearth__ops_broadcast_shape(const struct hearth_op_call *call,
                                const struct hearth_shape *a,
                                const struct hearth_shape *b,
                                struct hearth_shape *out,
                                struct hearth_error *err);
/* <b> must broadcast to <a> without changing it. */
int hearth__ops_broadcasts_to(const struct hearth_shape *b,
                              const struct hearth_shape *a, const char *what,
                              struct hearth_error *err);
/* Two dimensions that must be the same number: the better known of the two. */
int hearth__ops_merge_dim(int64_t a, int64_t b, int64_t *out, const char *what,
                          struct hearth_error *err);
/* Sum of two dimensions or contents, a fresh symbol when it has no other. */
int hearth__ops_add_dim(const struct hearth_op_call *call, int64_t a, int64_t b,
                        int64_t *out, struct hearth_error *err);
/* <axis> made >= 0 for <rank>; HEARTH_EMODEL out of [-rank, rank). */
int hearth__ops_axis(int64_t axis, int rank, int *out,
                     struct hearth_error *err);
/* A set of axes as bits; refuses duplicates. */
int hearth__ops_axis_set(const int64_t *axes, uint32_t n, int rank,
                         uint32_t *set, struct hearth_error *err);

/* hearth_op_window for an input and a weight shape (NULL for pools). A symbolic
 * size gives out = the same symbol where the window keeps every size, else -1.
 */
int hearth__ops_window(const struct hearth_op_call *call,
                       const struct hearth_shape *x,
                       const struct hearth_shape *w,
                       struct hearth_window *window, struct hearth_error *err);

/* Shape of output 0 of a convolution of input 0, and of numpy's matmul; the
 * numbers of the inputs that are its weights and bias, its second factor. */
int hearth__ops_conv_shape(const struct hearth_op_call *call, uint32_t weights,
                           uint32_t bias, struct hearth_error *err);
int hearth__ops_matmul_shape(const struct hearth_op_call *call, uint32_t second,
                             struct hearth_error *err);

/* A vector of factors for the rows of a matrix, as a column; other shapes stay.
 */
struct hearth_shape hearth__ops_as_column(const struct hearth_shape *s,
                                          bool rows);

/* Attention's Q, K and V as [B,heads,S,D], where their ranks are known. */
int hearth__ops_attention_shapes(const struct hearth_op_call *call,
                                 struct hearth_shape shapes[3],
                                 struct hearth_error *err);
/* Gates of RNN, GRU, LSTM. */
int64_t hearth__ops_recurrent_gates(uint32_t op);

/* One axis of Slice with its bounds resolved: elements start, start + step, ..
 * <count> of them. <dim> is known. */
struct hearth__ops_slice {
    int64_t start, step, count;
};
int hearth__ops_slice_axis(int64_t dim, int64_t start, int64_t end,
                           int64_t step, struct hearth__ops_slice *slice,
                           struct hearth_error *err);
/* Starts, ends, axes and steps of Slice, checked against each other: what each
 * axis of the data is cut by. */
struct hearth__ops_slices {
    uint32_t set; /* bit: the axis is named */
    bool known[HEARTH_RANK_MAX];
    int64_t start[HEARTH_RANK_MAX], end[HEARTH_RANK_MAX], step[HEARTH_RANK_MAX];
};
int hearth__ops_slices(int rank, const struct hearth__ops_content *starts,
                       const struct hearth__ops_content *ends,
                       const struct hearth__ops_content *axes,
                       const struct hearth__ops_content *steps,
                       struct hearth__ops_slices *slices,
                       struct hearth_error *err);
enum hearth__ops_pad {
    HEARTH__OPS_PAD_CONSTANT,
    HEARTH__OPS_PAD_REFLECT,
    HEARTH__OPS_PAD_EDGE,
    HEARTH__OPS_PAD_WRAP
};
int hearth__ops_pad_mode(const struct hearth_op_call *call,
                         enum hearth__ops_pad *mode, struct hearth_error *err);
/* Pads by axis from Pad's inputs. */
int hearth__ops_pads(int rank, const struct hearth__ops_content *pads,
                     const struct hearth__ops_content *axes,
                     int64_t begin[HEARTH_RANK_MAX],
                     int64_t end[HEARTH_RANK_MAX], struct hearth_error *err);

/* ---- Attributes ---- */
enum hearth_attr_type hearth__ops_attr_type(uint32_t key);

/* ---- Memory of hearth_spec_create and hearth_arena_plan. A test makes this
 * thread's n-th allocation from now fail (1: the next), and all that follow; 0:
 * none. */
void *hearth__ops_malloc(size_t bytes);
void hearth__ops_fail_at(int64_t n);

/* ---- Rows ---- */
#define HEARTH__OPS_INFER(name)                                                \
    int hearth__ops_infer_##name(const struct hearth_op_call *call,            \
                                 struct hearth_error *err)
#define HEARTH__OPS_EVAL(name)                                                 \
    int hearth__ops_eval_##name(const struct hearth_op_call *call,             \
                                const struct hearth_view *const *in,           \
                                struct hearth_view *out,                       \
                                struct hearth_error *err)
#define HEARTH__OPS_MEASURE(name)                                              \
    int hearth__ops_measure_##name(const struct hearth_op_call *call,          \
                                   const struct hearth_view *const *in,        \
                                   struct hearth_error *err)
#define HEARTH__OPS_BATCH(name)                                                \
    bool hearth__ops_batch_##name(const struct hearth_op_call *call)

HEARTH__OPS_INFER(conv);
HEARTH__OPS_INFER(batch_normalization);
HEARTH__OPS_INFER(unary);
HEARTH__OPS_INFER(clip);
HEARTH__OPS_INFER(test);
HEARTH__OPS_INFER(prelu);
HEARTH__OPS_INFER(bits);
HEARTH__OPS_INFER(arg);
HEARTH__OPS_INFER(running);
HEARTH__OPS_INFER(top_k);
HEARTH__OPS_INFER(gather_elements);
HEARTH__OPS_INFER(scatter_elements);
HEARTH__OPS_INFER(gather_nd);
HEARTH__OPS_INFER(scatter_nd);
HEARTH__OPS_INFER(one_hot);
HEARTH__OPS_INFER(trilu);
HEARTH__OPS_INFER(eye_like);
HEARTH__OPS_INFER(random);
HEARTH__OPS_INFER(multinomial);
HEARTH__OPS_INFER(bit_cast);
HEARTH__OPS_INFER(reverse_sequence);
HEARTH__OPS_INFER(blocks);
HEARTH__OPS_INFER(center);
HEARTH__OPS_INFER(tensor_scatter);
HEARTH__OPS_INFER(cosine_window);
HEARTH__OPS_INFER(mel_weight_matrix);
HEARTH__OPS_INFER(softmax);
HEARTH__OPS_INFER(pool);
HEARTH__OPS_INFER(global_pool);
HEARTH__OPS_INFER(gemm);
HEARTH__OPS_INFER(matmul);
HEARTH__OPS_INFER(binary);
HEARTH__OPS_INFER(concat);
HEARTH__OPS_INFER(reshape);
HEARTH__OPS_INFER(flatten);
HEARTH__OPS_INFER(transpose);
HEARTH__OPS_INFER(squeeze);
HEARTH__OPS_INFER(unsqueeze);
HEARTH__OPS_INFER(shape);
HEARTH__OPS_INFER(gather);
HEARTH__OPS_INFER(slice);
HEARTH__OPS_INFER(cast);
HEARTH__OPS_INFER(constant_of_shape);
HEARTH__OPS_INFER(identity);
HEARTH__OPS_INFER(pad);
HEARTH__OPS_INFER(reduce_mean);
HEARTH__OPS_INFER(compare);
HEARTH__OPS_INFER(pow);
HEARTH__OPS_INFER(where);
HEARTH__OPS_INFER(expand);
HEARTH__OPS_INFER(tile);
HEARTH__OPS_INFER(range);
HEARTH__OPS_INFER(layer_normalization);
HEARTH__OPS_INFER(lrn);
HEARTH__OPS_INFER(resize);

HEARTH__OPS_INFER(conv_transpose);
HEARTH__OPS_INFER(group_normalization);
HEARTH__OPS_INFER(lp_normalization);
HEARTH__OPS_INFER(matmul_nbits);
HEARTH__OPS_INFER(linear_attention);
HEARTH__OPS_INFER(causal_conv);
HEARTH__OPS_INFER(loss);
HEARTH__OPS_INFER(max_unpool);
HEARTH__OPS_INFER(grid_sample);
HEARTH__OPS_INFER(affine_grid);
HEARTH__OPS_INFER(roi_align);
HEARTH__OPS_INFER(deform_conv);
HEARTH__OPS_INFER(det);
HEARTH__OPS_INFER(einsum);
HEARTH__OPS_INFER(dft);
HEARTH__OPS_INFER(stft);
HEARTH__OPS_INFER(col2im);
HEARTH__OPS_INFER(attention);
HEARTH__OPS_INFER(rotary_embedding);
HEARTH__OPS_INFER(recurrent);
HEARTH__OPS_INFER(dynamic_quantize);
HEARTH__OPS_INFER(rms_normalization);
HEARTH__OPS_INFER(global_lp_pool);
HEARTH__OPS_INFER(quantize);
HEARTH__OPS_INFER(dequantize);
HEARTH__OPS_INFER(matmul_integer);
HEARTH__OPS_INFER(conv_integer);
HEARTH__OPS_INFER(qlinear_matmul);
HEARTH__OPS_INFER(qlinear_conv);

HEARTH__OPS_EVAL(conv);
HEARTH__OPS_EVAL(batch_normalization);
HEARTH__OPS_EVAL(unary);
HEARTH__OPS_EVAL(clip);
HEARTH__OPS_EVAL(function);
HEARTH__OPS_EVAL(test);
HEARTH__OPS_EVAL(bits);
HEARTH__OPS_EVAL(arg);
HEARTH__OPS_EVAL(running);
HEARTH__OPS_EVAL(top_k);
HEARTH__OPS_EVAL(gather_elements);
HEARTH__OPS_EVAL(scatter_elements);
HEARTH__OPS_EVAL(gather_nd);
HEARTH__OPS_EVAL(scatter_nd);
HEARTH__OPS_EVAL(one_hot);
HEARTH__OPS_EVAL(trilu);
HEARTH__OPS_EVAL(eye_like);
HEARTH__OPS_EVAL(random);
HEARTH__OPS_EVAL(multinomial);
HEARTH__OPS_EVAL(bit_cast);
HEARTH__OPS_EVAL(reverse_sequence);
HEARTH__OPS_EVAL(blocks);
HEARTH__OPS_EVAL(center);
HEARTH__OPS_EVAL(tensor_scatter);
HEARTH__OPS_EVAL(cosine_window);
HEARTH__OPS_EVAL(mel_weight_matrix);
HEARTH__OPS_EVAL(softmax);
HEARTH__OPS_EVAL(pool);
HEARTH__OPS_EVAL(global_pool);
HEARTH__OPS_EVAL(gemm);
HEARTH__OPS_EVAL(matmul);
HEARTH__OPS_EVAL(binary);
HEARTH__OPS_EVAL(concat);
HEARTH__OPS_EVAL(reshape);
HEARTH__OPS_EVAL(transpose);
HEARTH__OPS_EVAL(shape);
HEARTH__OPS_EVAL(gather);
HEARTH__OPS_EVAL(slice);
HEARTH__OPS_EVAL(cast);
HEARTH__OPS_EVAL(constant_of_shape);
HEARTH__OPS_EVAL(pad);
HEARTH__OPS_EVAL(reduce_mean);
HEARTH__OPS_EVAL(math);
HEARTH__OPS_EVAL(compare);
HEARTH__OPS_EVAL(pow);
HEARTH__OPS_EVAL(where);
HEARTH__OPS_EVAL(expand);
HEARTH__OPS_EVAL(tile);
HEARTH__OPS_EVAL(range);
HEARTH__OPS_EVAL(layer_normalization);
HEARTH__OPS_EVAL(lrn);
HEARTH__OPS_EVAL(resize);

HEARTH__OPS_EVAL(conv_transpose);
HEARTH__OPS_EVAL(group_normalization);
HEARTH__OPS_EVAL(rms_normalization);
HEARTH__OPS_EVAL(lp_normalization);
HEARTH__OPS_EVAL(matmul_nbits);
HEARTH__OPS_EVAL(linear_attention);
HEARTH__OPS_EVAL(causal_conv);
HEARTH__OPS_EVAL(loss);
HEARTH__OPS_EVAL(max_unpool);
HEARTH__OPS_EVAL(grid_sample);
HEARTH__OPS_EVAL(affine_grid);
HEARTH__OPS_EVAL(roi_align);
HEARTH__OPS_EVAL(deform_conv);
HEARTH__OPS_EVAL(det);
HEARTH__OPS_EVAL(einsum);
HEARTH__OPS_EVAL(dft);
HEARTH__OPS_EVAL(stft);
HEARTH__OPS_EVAL(col2im);
HEARTH__OPS_EVAL(attention);
HEARTH__OPS_EVAL(rotary_embedding);
HEARTH__OPS_EVAL(recurrent);
HEARTH__OPS_EVAL(dynamic_quantize);
HEARTH__OPS_EVAL(global_pool2);
HEARTH__OPS_EVAL(quantize);
HEARTH__OPS_EVAL(dequantize);
HEARTH__OPS_EVAL(matmul_integer);
HEARTH__OPS_EVAL(conv_integer);
HEARTH__OPS_EVAL(qlinear_matmul);
HEARTH__OPS_EVAL(qlinear_conv);
HEARTH__OPS_INFER(if);
HEARTH__OPS_INFER(loop);
HEARTH__OPS_INFER(scan);
HEARTH__OPS_EVAL(control);
HEARTH__OPS_INFER(non_zero);
HEARTH__OPS_MEASURE(non_zero);
HEARTH__OPS_EVAL(non_zero);
HEARTH__OPS_INFER(compress);
HEARTH__OPS_MEASURE(compress);
HEARTH__OPS_EVAL(compress);
HEARTH__OPS_INFER(unique);
HEARTH__OPS_MEASURE(unique);
HEARTH__OPS_EVAL(unique);
HEARTH__OPS_INFER(non_max_suppression);
HEARTH__OPS_MEASURE(non_max_suppression);
HEARTH__OPS_EVAL(non_max_suppression);

HEARTH__OPS_BATCH(never);
HEARTH__OPS_BATCH(broadcast);
HEARTH__OPS_BATCH(softmax);
HEARTH__OPS_BATCH(running);
HEARTH__OPS_BATCH(elements);
HEARTH__OPS_BATCH(gather_nd);
HEARTH__OPS_BATCH(one_hot);
HEARTH__OPS_BATCH(matrices);
HEARTH__OPS_BATCH(reverse_sequence);
HEARTH__OPS_BATCH(center);
HEARTH__OPS_BATCH(tensor_scatter);
HEARTH__OPS_BATCH(arg);
HEARTH__OPS_BATCH(pool);
HEARTH__OPS_BATCH(gemm);
HEARTH__OPS_BATCH(matmul);
HEARTH__OPS_BATCH(concat);
HEARTH__OPS_BATCH(kept);
HEARTH__OPS_BATCH(transpose);
HEARTH__OPS_BATCH(gather);
HEARTH__OPS_BATCH(slice);
HEARTH__OPS_BATCH(pad);
HEARTH__OPS_BATCH(reduce_mean);
HEARTH__OPS_BATCH(where);
HEARTH__OPS_BATCH(spread);
HEARTH__OPS_BATCH(layer_normalization);
HEARTH__OPS_BATCH(quantize);
HEARTH__OPS_BATCH(nbits);
HEARTH__OPS_BATCH(det);
HEARTH__OPS_BATCH(attention);
HEARTH__OPS_BATCH(matmul_integer);

#endif
