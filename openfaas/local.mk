# SPDX-License-Identifier: Apache-2.0
WATCHDOG_SOURCES = openfaas/config.h openfaas/config.c openfaas/health.c \
	openfaas/metrics.c openfaas/model.c openfaas/run.c openfaas/text.h \
	openfaas/text.c openfaas/watchdog.h

bin_PROGRAMS += hearth-watchdog
hearth_watchdog_SOURCES = openfaas/main.c $(WATCHDOG_SOURCES)
hearth_watchdog_CFLAGS = $(CORE_CFLAGS)
hearth_watchdog_LDADD = libhearth_core.la
