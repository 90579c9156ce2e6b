# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/pack_test
tests_unit_pack_test_SOURCES = tests/unit/pack_test.c
tests_unit_pack_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_pack_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/model_packed_test
tests_unit_model_packed_test_SOURCES = tests/unit/model_packed_test.c \
	$(MODEL_RUN) $(ONNX_BUILD)
tests_unit_model_packed_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_model_packed_test_LDADD = $(TEST_LIBS)

# The CPU device makes packs of its own; the modelled one has none.
if PLUGIN_CPU
check_PROGRAMS += tests/unit/exec_packed_test
tests_unit_exec_packed_test_SOURCES = tests/unit/exec_packed_test.c
tests_unit_exec_packed_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_exec_packed_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/flow_packed_test
tests_unit_flow_packed_test_SOURCES = tests/unit/flow_packed_test.c \
	$(FLOW_FIXTURE)
tests_unit_flow_packed_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_flow_packed_test_LDADD = $(TEST_LIBS)
endif
