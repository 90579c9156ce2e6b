# SPDX-License-Identifier: Apache-2.0

check_PROGRAMS += tests/unit/base_memory_test
tests_unit_base_memory_test_SOURCES = tests/unit/base_memory_test.c
tests_unit_base_memory_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_base_memory_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/base_text_test
tests_unit_base_text_test_SOURCES = tests/unit/base_text_test.c
tests_unit_base_text_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_base_text_test_LDADD = $(TEST_LIBS)
