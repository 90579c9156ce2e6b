# SPDX-License-Identifier: Apache-2.0

check_PROGRAMS += tests/unit/tensor_test
tests_unit_tensor_test_SOURCES = tests/unit/tensor_test.c
tests_unit_tensor_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_tensor_test_LDADD = $(TEST_LIBS)
