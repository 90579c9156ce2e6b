# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/loop/loop.h core/loop/loop_priv.h \
	core/loop/loop.c core/loop/process.c core/loop/timer.c
