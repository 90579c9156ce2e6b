# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/log_test
tests_unit_log_test_SOURCES = tests/unit/log_test.c
tests_unit_log_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_log_test_LDADD = $(TEST_LIBS)

TESTS += tests/unit/log_tags_test.sh
EXTRA_DIST += tests/unit/log_tags_test.sh
