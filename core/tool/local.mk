# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += hearth
hearth_SOURCES = core/tool/tool.h core/tool/main.c core/tool/fetch.c \
	core/tool/index.c core/tool/infer.c core/tool/inspect.c core/tool/node.c \
	core/tool/npy.h core/tool/npy.c core/tool/remote.h core/tool/remote.c \
	core/tool/top.c core/tool/try.c
hearth_CFLAGS = $(CORE_CFLAGS)
hearth_LDADD = libhearth_core.la
