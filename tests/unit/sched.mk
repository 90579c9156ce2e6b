# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/sched_test
tests_unit_sched_test_SOURCES = tests/unit/sched_test.c
tests_unit_sched_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_sched_test_LDADD = $(TEST_LIBS)
