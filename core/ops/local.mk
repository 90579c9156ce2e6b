# SPDX-License-Identifier: Apache-2.0
libhearth_ops_la_SOURCES += core/ops/ops.h core/ops/ops_impl.h \
	core/ops/types.c core/ops/graph.c core/ops/table.c core/ops/attr.c \
	core/ops/content.c core/ops/infer.c core/ops/infer_nn.c \
	core/ops/infer_move.c core/ops/infer_cut.c core/ops/window.c \
	core/ops/batch.c core/ops/half.c core/ops/number.c \
	core/ops/eval_elementwise.c core/ops/eval_math.c core/ops/eval_function.c core/ops/eval_bits.c \
	core/ops/eval_softmax.c core/ops/eval_along.c core/ops/infer_along.c \
	core/ops/eval_index.c core/ops/infer_index.c core/ops/eval_arrange.c \
	core/ops/infer_arrange.c core/ops/eval_window.c \
	core/ops/eval_shape.c core/ops/infer_math.c core/ops/eval_move.c \
	core/ops/eval_conv.c core/ops/eval_matmul.c core/ops/eval_reduce.c \
	core/ops/resize.c core/ops/run.c core/ops/spec.c core/ops/arena.c
# Sizes that only a run tells, control flow.
libhearth_ops_la_SOURCES += core/ops/interp.h core/ops/interp.c \
	core/ops/control.c core/ops/infer_control.c core/ops/select.c \
	core/ops/suppress.c
# Layers of networks.
libhearth_ops_la_SOURCES += core/ops/dense.c core/ops/norm.c \
	core/ops/conv_transpose.c core/ops/quantize.c core/ops/infer_qlinear.c \
	core/ops/qlinear.c core/ops/infer_recurrent.c core/ops/recurrent.c \
	core/ops/infer_attention.c core/ops/attention.c core/ops/nbits.c \
	core/ops/fourier.c core/ops/einsum.c core/ops/sample.c \
	core/ops/unpool.c core/ops/region.c core/ops/stateful.c core/ops/loss.c core/ops/random.c
