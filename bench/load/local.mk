# SPDX-License-Identifier: Apache-2.0
EXTRA_PROGRAMS += bench/load/ours
bench_load_ours_SOURCES = bench/load/ours.c
bench_load_ours_CFLAGS = $(CORE_CFLAGS)
bench_load_ours_LDADD = libhearth_core.la
CLEANFILES += bench/load/ours
EXTRA_DIST += bench/load/run
