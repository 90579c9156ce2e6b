# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/conf_test
tests_unit_conf_test_SOURCES = tests/unit/conf_test.c
tests_unit_conf_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_conf_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/conf_file_test
tests_unit_conf_file_test_SOURCES = tests/unit/conf_file_test.c
tests_unit_conf_file_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_conf_file_test_LDADD = $(TEST_LIBS)
