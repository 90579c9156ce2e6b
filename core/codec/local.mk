# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/codec/codec.h core/codec/codec_priv.h \
	core/codec/image.c core/codec/inflate.c core/codec/image_read.c core/codec/json.c \
	core/codec/oip_read.c core/codec/oip_write.c core/codec/rank.c \
	core/codec/text.c
