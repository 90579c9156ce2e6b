# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/model/model.h core/model/model_priv.h \
	core/model/wire.h core/model/wire.c core/model/onnx.c \
	core/model/files.c core/model/ir.c core/model/initializer.c \
	core/model/import.c core/model/canon.h core/model/canon.c \
	core/model/canon_fix.c core/model/canon_const.c core/model/emit.c core/model/passes.c \
	core/model/pass_identity.c core/model/pass_dead.c \
	core/model/pass_batchnorm.c core/model/pass_add.c \
	core/model/pass_activation.c core/model/prove_batch.c core/model/block.c \
	core/model/model.c
