# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/function_test
tests_unit_function_test_SOURCES = tests/unit/function_test.c
tests_unit_function_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_function_test_LDADD = $(TEST_LIBS)
