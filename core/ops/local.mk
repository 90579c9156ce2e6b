# SPDX-License-Identifier: Apache-2.0
libhearth_ops_la_SOURCES += core/ops/ops.h core/ops/ops_impl.h \
	core/ops/types.c core/ops/graph.c core/ops/table.c core/ops/attr.c \
	core/ops/content.c core/ops/infer.c core/ops/infer_nn.c \
	core/ops/infer_move.c core/ops/infer_cut.c core/ops/window.c \
	core/ops/batch.c core/ops/half.c core/ops/number.c \
	core/ops/eval_elementwise.c core/ops/eval_move.c \
	core/ops/eval_conv.c core/ops/eval_matmul.c core/ops/eval_reduce.c \
	core/ops/run.c core/ops/spec.c core/ops/arena.c
