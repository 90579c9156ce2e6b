# SPDX-License-Identifier: Apache-2.0
OPS_BLOCK = tests/unit/ops_block.c tests/unit/ops_block.h
OPS_SAMPLES = tests/unit/ops_samples.c tests/unit/ops_samples.h $(OPS_BLOCK)
EXTRA_DIST += tests/unit/ops_vectors.py tests/unit/data/ops_vectors.bin

check_PROGRAMS += tests/unit/ops_vectors_test
tests_unit_ops_vectors_test_SOURCES = tests/unit/ops_vectors_test.c \
	$(OPS_SAMPLES)
tests_unit_ops_vectors_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_ops_vectors_test_LDADD = $(TEST_LIBS)
