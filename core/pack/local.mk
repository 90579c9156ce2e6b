# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/pack/pack.h core/pack/pack_priv.h \
	core/pack/dir.c core/pack/read.c core/pack/write.c
