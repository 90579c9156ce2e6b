# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += hearth
hearth_SOURCES = core/tool/tool.h core/tool/main.c core/tool/inspect.c \
	core/tool/try.c
hearth_CFLAGS = $(CORE_CFLAGS)
hearth_LDADD = libhearth_core.la
