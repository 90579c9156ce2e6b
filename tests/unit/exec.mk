# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/exec_test
tests_unit_exec_test_SOURCES = tests/unit/exec_test.c $(OPS_BLOCK)
tests_unit_exec_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_exec_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/exec_host_test
tests_unit_exec_host_test_SOURCES = tests/unit/exec_host_test.c $(OPS_BLOCK)
tests_unit_exec_host_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_exec_host_test_LDADD = $(TEST_LIBS)
