# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += hearthd
hearthd_SOURCES = core/hearthd/config.h core/hearthd/config.c \
	core/hearthd/main.c
hearthd_CFLAGS = $(CORE_CFLAGS)
hearthd_LDADD = libhearth_core.la
