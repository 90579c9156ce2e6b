# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/model/model.h core/model/model_priv.h \
	core/model/wire.h core/model/wire.c core/model/onnx.c \
	core/model/files.c core/model/ir.c core/model/initializer.c \
	core/model/import.c core/model/inline.c core/model/canon.h core/model/canon.c core/model/spell.h \
	core/model/spell.c core/model/spell_math.c \
	core/model/spell_microsoft.c core/model/canon_math.c core/model/canon_along.c core/model/canon_random.c \
	core/model/spell_move.c core/model/spell_dynamic.c core/model/nested.h \
	core/model/nested.c core/model/canon_control.c \
	core/model/spell_nn.c core/model/spell_reduce.c \
	core/model/canon_fix.c core/model/canon_const.c core/model/canon_outputs.c core/model/emit.c core/model/passes.c \
	core/model/pass_identity.c core/model/pass_dead.c \
	core/model/pass_batchnorm.c core/model/pass_common.c core/model/pass_add.c \
	core/model/pass_activation.c core/model/pass_compose.c core/model/prove_batch.c core/model/block.c \
	core/model/model.c \
	core/model/packed.c core/model/packed_source.c \
	core/model/packed_write.c
# Layers of networks.
libhearth_core_la_SOURCES += core/model/spell_net.c core/model/canon_net.c \
	core/model/canon_recurrent.c core/model/canon_microsoft.c \
	core/model/canon_attention.c core/model/canon_einsum.c
