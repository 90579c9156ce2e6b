# SPDX-License-Identifier: Apache-2.0
OPS_BLOCK = tests/unit/ops_block.c tests/unit/ops_block.h
OPS_SAMPLES = tests/unit/ops_samples.c tests/unit/ops_samples.h $(OPS_BLOCK)
EXTRA_DIST += tests/unit/ops_vectors.py tests/unit/data/ops_vectors.bin
EXTRA_DIST += tests/unit/ops_vectors_function.py \
	tests/unit/data/ops_vectors_function.bin \
	tests/unit/ops_vectors_index.py tests/unit/data/ops_vectors_index.bin \
	tests/unit/ops_vectors_reduce.py tests/unit/data/ops_vectors_reduce.bin
EXTRA_DIST += tests/unit/ops_vectors_net.py tests/unit/data/ops_vectors_net.bin
EXTRA_DIST += tests/unit/ops_vectors_sample.py \
	tests/unit/data/ops_vectors_sample.bin

check_PROGRAMS += tests/unit/ops_interp_test
tests_unit_ops_interp_test_SOURCES = tests/unit/ops_interp_test.c $(OPS_BLOCK)
tests_unit_ops_interp_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_ops_interp_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/ops_vectors_test
tests_unit_ops_vectors_test_SOURCES = tests/unit/ops_vectors_test.c \
	$(OPS_SAMPLES)
tests_unit_ops_vectors_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_ops_vectors_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/ops_mutation_test
tests_unit_ops_mutation_test_SOURCES = tests/unit/ops_mutation_test.c \
	$(OPS_SAMPLES)
tests_unit_ops_mutation_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_ops_mutation_test_LDADD = $(TEST_LIBS)
