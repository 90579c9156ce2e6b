# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/loop_test
tests_unit_loop_test_SOURCES = tests/unit/loop_test.c
tests_unit_loop_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_loop_test_LDADD = $(TEST_LIBS)
