# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/openfaas_text_test
tests_unit_openfaas_text_test_SOURCES = tests/unit/openfaas_text_test.c \
	openfaas/text.h openfaas/text.c
tests_unit_openfaas_text_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_openfaas_text_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/openfaas_config_test
tests_unit_openfaas_config_test_SOURCES = tests/unit/openfaas_config_test.c \
	openfaas/config.h openfaas/config.c openfaas/text.h openfaas/text.c
tests_unit_openfaas_config_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_openfaas_config_test_LDADD = $(TEST_LIBS)
