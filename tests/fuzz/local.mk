# SPDX-License-Identifier: Apache-2.0
# libFuzzer targets: tests/fuzz/<name>_fuzz.c, seeds in tests/fuzz/corpus/<name>.
# configure CC=clang --enable-fuzz --enable-asan --enable-ubsan
if ENABLE_FUZZ
FUZZ_CFLAGS = $(CORE_CFLAGS) -I$(top_srcdir)/tests
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_LIBS = libhearth_core.la

noinst_PROGRAMS += tests/fuzz/pack_fuzz
tests_fuzz_pack_fuzz_SOURCES = tests/fuzz/pack_fuzz.c
tests_fuzz_pack_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_pack_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_pack_fuzz_LDADD = $(FUZZ_LIBS)

noinst_PROGRAMS += tests/fuzz/onnx_fuzz
tests_fuzz_onnx_fuzz_SOURCES = tests/fuzz/onnx_fuzz.c
tests_fuzz_onnx_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_onnx_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_onnx_fuzz_LDADD = $(FUZZ_LIBS)

noinst_PROGRAMS += tests/fuzz/http_fuzz
tests_fuzz_http_fuzz_SOURCES = tests/fuzz/http_fuzz.c
tests_fuzz_http_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_http_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_http_fuzz_LDADD = $(FUZZ_LIBS)

noinst_PROGRAMS += tests/fuzz/http_answer_fuzz
tests_fuzz_http_answer_fuzz_SOURCES = tests/fuzz/http_answer_fuzz.c
tests_fuzz_http_answer_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_http_answer_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_http_answer_fuzz_LDADD = $(FUZZ_LIBS)

noinst_PROGRAMS += tests/fuzz/image_fuzz
tests_fuzz_image_fuzz_SOURCES = tests/fuzz/image_fuzz.c
tests_fuzz_image_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_image_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_image_fuzz_LDADD = $(FUZZ_LIBS)

noinst_PROGRAMS += tests/fuzz/oip_fuzz
tests_fuzz_oip_fuzz_SOURCES = tests/fuzz/oip_fuzz.c
tests_fuzz_oip_fuzz_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_oip_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_oip_fuzz_LDADD = $(FUZZ_LIBS)

if PLUGIN_CPU
if HAVE_CMOCKA
noinst_PROGRAMS += tests/fuzz/executor_fuzz
tests_fuzz_executor_fuzz_SOURCES = tests/fuzz/executor_fuzz.c \
	tests/fuzz/executor_graph.c tests/fuzz/executor_graph.h \
	tests/fuzz/executor_parts.c $(ONNX_BUILD) $(CPU_CASE)
tests_fuzz_executor_fuzz_CFLAGS = $(FUZZ_CFLAGS) $(CMOCKA_CFLAGS)
tests_fuzz_executor_fuzz_LDFLAGS = $(FUZZ_LINK) $(OPENMP_CFLAGS)
tests_fuzz_executor_fuzz_LDADD = libhearth_cpu.la $(FUZZ_LIBS) \
	$(CMOCKA_LIBS) $(DNNL_LIBS)
endif
endif
endif
EXTRA_DIST += tests/fuzz/corpus/http tests/fuzz/corpus/http_answer \
	tests/fuzz/corpus/image tests/fuzz/corpus/oip tests/fuzz/corpus/onnx \
	tests/fuzz/corpus/executor tests/fuzz/corpus/pack
