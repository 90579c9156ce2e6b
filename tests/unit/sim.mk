# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/sim_device_test
tests_unit_sim_device_test_SOURCES = tests/unit/sim_device_test.c $(OPS_BLOCK)
tests_unit_sim_device_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_sim_device_test_LDADD = $(TEST_LIBS)
