# SPDX-License-Identifier: Apache-2.0
MODEL_RUN = tests/unit/model_run.c tests/unit/model_run.h
EXTRA_DIST += tests/unit/model_cases.py tests/unit/data/model_cases.bin

check_PROGRAMS += tests/unit/model_cases_test
tests_unit_model_cases_test_SOURCES = tests/unit/model_cases_test.c \
	$(MODEL_RUN)
tests_unit_model_cases_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_model_cases_test_LDADD = $(TEST_LIBS)

ONNX_BUILD = tests/unit/onnx_build.c tests/unit/onnx_build.h
check_PROGRAMS += tests/unit/model_hostile_test
tests_unit_model_hostile_test_SOURCES = tests/unit/model_hostile_test.c \
	$(MODEL_RUN) $(ONNX_BUILD)
tests_unit_model_hostile_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_model_hostile_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/model_open_test
tests_unit_model_open_test_SOURCES = tests/unit/model_open_test.c \
	$(MODEL_RUN) $(ONNX_BUILD)
tests_unit_model_open_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_model_open_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/store_open_test
tests_unit_store_open_test_SOURCES = tests/unit/store_open_test.c \
	$(ONNX_BUILD)
tests_unit_store_open_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_store_open_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/model_inline_test
tests_unit_model_inline_test_SOURCES = tests/unit/model_inline_test.c \
	$(MODEL_RUN) $(ONNX_BUILD)
tests_unit_model_inline_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_model_inline_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/model_nested_test
tests_unit_model_nested_test_SOURCES = tests/unit/model_nested_test.c \
	$(MODEL_RUN) $(ONNX_BUILD)
tests_unit_model_nested_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_model_nested_test_LDADD = $(TEST_LIBS)
