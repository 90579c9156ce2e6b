# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/http_server_test
tests_unit_http_server_test_SOURCES = tests/unit/http_server_test.c
tests_unit_http_server_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_http_server_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/http_client_test
tests_unit_http_client_test_SOURCES = tests/unit/http_client_test.c
tests_unit_http_client_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_http_client_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/http_descriptor_test
tests_unit_http_descriptor_test_SOURCES = tests/unit/http_descriptor_test.c
tests_unit_http_descriptor_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_http_descriptor_test_LDADD = $(TEST_LIBS)
