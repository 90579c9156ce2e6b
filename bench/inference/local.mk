# SPDX-License-Identifier: Apache-2.0
EXTRA_PROGRAMS += bench/inference/ours
bench_inference_ours_SOURCES = bench/inference/ours.c
bench_inference_ours_CFLAGS = $(CORE_CFLAGS)
bench_inference_ours_LDADD = libhearth_core.la
CLEANFILES += bench/inference/ours
EXTRA_DIST += bench/inference/run
