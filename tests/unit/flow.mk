# SPDX-License-Identifier: Apache-2.0
FLOW_FIXTURE = tests/unit/flow_fixture.c tests/unit/flow_fixture.h \
	tests/unit/onnx_build.c tests/unit/onnx_build.h

check_PROGRAMS += tests/unit/flow_steps_test
tests_unit_flow_steps_test_SOURCES = tests/unit/flow_steps_test.c
tests_unit_flow_steps_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_flow_steps_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/flow_engine_test
tests_unit_flow_engine_test_SOURCES = tests/unit/flow_engine_test.c \
	$(FLOW_FIXTURE)
tests_unit_flow_engine_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_flow_engine_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/flow_cache_test
tests_unit_flow_cache_test_SOURCES = tests/unit/flow_cache_test.c \
	$(FLOW_FIXTURE)
tests_unit_flow_cache_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_flow_cache_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/libhearth_test
tests_unit_libhearth_test_SOURCES = tests/unit/libhearth_test.c $(FLOW_FIXTURE)
tests_unit_libhearth_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_libhearth_test_LDADD = libhearth.la $(CMOCKA_LIBS)

TESTS += tests/unit/exports_test.sh
EXTRA_DIST += tests/unit/exports_test.sh
