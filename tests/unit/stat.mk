# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/stat_test
tests_unit_stat_test_SOURCES = tests/unit/stat_test.c
tests_unit_stat_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_stat_test_LDADD = $(TEST_LIBS)
