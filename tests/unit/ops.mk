# SPDX-License-Identifier: Apache-2.0
OPS_BLOCK = tests/unit/ops_block.c tests/unit/ops_block.h
EXTRA_DIST += tests/unit/ops_vectors.py tests/unit/data/ops_vectors.bin

check_PROGRAMS += tests/unit/ops_vectors_test
tests_unit_ops_vectors_test_SOURCES = tests/unit/ops_vectors_test.c \
	$(OPS_BLOCK)
tests_unit_ops_vectors_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_ops_vectors_test_LDADD = $(TEST_LIBS)
