# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/base/base.h core/base/base_priv.h \
	core/base/budget.c core/base/clock.c core/base/hash.c \
	core/base/lock.c core/base/memory.c core/base/status.c \
	core/base/text.c core/base/file.c
