# SPDX-License-Identifier: Apache-2.0
if PLUGIN_CPU
CPU_CASE = tests/unit/cpu_case.c tests/unit/cpu_case.h $(DEVICE_RUN) \
	$(OPS_BLOCK)
CPU_CFLAGS = $(TEST_CFLAGS) $(DNNL_CFLAGS) -I$(top_srcdir)/plugins/cpu
# The executable's OpenMP is the plugin's.
CPU_LIBS = libhearth_cpu.la $(TEST_LIBS) $(DNNL_LIBS)
CPU_TEST_LINK = $(AM_LDFLAGS) $(OPENMP_CFLAGS)

check_PROGRAMS += tests/unit/cpu_ops_test
tests_unit_cpu_ops_test_SOURCES = tests/unit/cpu_ops_test.c $(CPU_CASE)
tests_unit_cpu_ops_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_ops_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_ops_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_graph_test
tests_unit_cpu_graph_test_SOURCES = tests/unit/cpu_graph_test.c $(CPU_CASE)
tests_unit_cpu_graph_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_graph_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_graph_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_model_test
tests_unit_cpu_model_test_SOURCES = tests/unit/cpu_model_test.c $(CPU_CASE)
tests_unit_cpu_model_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_model_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_model_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_device_test
tests_unit_cpu_device_test_SOURCES = tests/unit/cpu_device_test.c $(CPU_CASE)
tests_unit_cpu_device_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_device_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_device_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_rows_test
tests_unit_cpu_rows_test_SOURCES = tests/unit/cpu_rows_test.c $(CPU_CASE)
tests_unit_cpu_rows_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_rows_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_rows_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_product_test
tests_unit_cpu_product_test_SOURCES = tests/unit/cpu_product_test.c $(CPU_CASE)
tests_unit_cpu_product_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_product_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_product_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_chain_test
tests_unit_cpu_chain_test_SOURCES = tests/unit/cpu_chain_test.c $(CPU_CASE)
tests_unit_cpu_chain_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_chain_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_chain_test_LDADD = $(CPU_LIBS)

check_PROGRAMS += tests/unit/cpu_attention_test
tests_unit_cpu_attention_test_SOURCES = tests/unit/cpu_attention_test.c \
	$(CPU_CASE)
tests_unit_cpu_attention_test_CFLAGS = $(CPU_CFLAGS)
tests_unit_cpu_attention_test_LDFLAGS = $(CPU_TEST_LINK)
tests_unit_cpu_attention_test_LDADD = $(CPU_LIBS)
endif
