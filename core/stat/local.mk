# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/stat/stat.h core/stat/stat.c \
	core/stat/process.c
