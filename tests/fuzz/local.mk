# SPDX-License-Identifier: Apache-2.0
# libFuzzer targets: tests/fuzz/<name>_fuzz.c, seeds in tests/fuzz/corpus/<name>.
# configure CC=clang --enable-fuzz --enable-asan --enable-ubsan
if ENABLE_FUZZ
FUZZ_CFLAGS = $(CORE_CFLAGS) -I$(top_srcdir)/tests
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_LIBS = libhearth_core.la

noinst_PROGRAMS += tests/fuzz/onnx_fuzz
tests_fuzz_onnx_fuzz_SOURCES = tests/fuzz/onnx_fuzz.c
tests_fuzz_onnx_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_onnx_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_onnx_fuzz_LDADD = $(FUZZ_LIBS)
endif
EXTRA_DIST += tests/fuzz/corpus/onnx
