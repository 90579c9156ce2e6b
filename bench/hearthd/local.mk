# SPDX-License-Identifier: Apache-2.0
EXTRA_PROGRAMS += bench/hearthd/load
bench_hearthd_load_SOURCES = bench/hearthd/load.c
bench_hearthd_load_CFLAGS = $(CORE_CFLAGS)
bench_hearthd_load_LDADD = libhearth_core.la
CLEANFILES += bench/hearthd/load
EXTRA_DIST += bench/hearthd/run bench/hearthd/peer.py bench/hearthd/mlserver_model.py bench/models/make \
	bench/watchdog/run bench/watchdog/peer.py
