# SPDX-License-Identifier: Apache-2.0
# One file a module. Each adds its programs to check_PROGRAMS:
#   check_PROGRAMS += tests/unit/base_error_test
#   tests_unit_base_error_test_SOURCES = tests/unit/base_error_test.c
#   tests_unit_base_error_test_CFLAGS = $(TEST_CFLAGS)
#   tests_unit_base_error_test_LDADD = $(TEST_LIBS)
if HAVE_CMOCKA
include tests/unit/ops.mk
include tests/unit/base.mk
include tests/unit/loop.mk
include tests/unit/log.mk
include tests/unit/stat.mk
include tests/unit/conf.mk
include tests/unit/tensor.mk
include tests/unit/http.mk
include tests/unit/codec.mk
include tests/unit/model.mk
include tests/unit/pack.mk
include tests/unit/device.mk
include tests/unit/policy.mk
include tests/unit/cache.mk
include tests/unit/exec.mk
include tests/unit/sched.mk
include tests/unit/function.mk
include tests/unit/flow.mk
include tests/unit/sim.mk
include tests/unit/cpu.mk
include tests/unit/serve.mk
include tests/unit/openfaas.mk
endif
