# SPDX-License-Identifier: Apache-2.0
# ONNX's own cases; tests/conformance/run makes them and starts the runner.
# Not in check_PROGRAMS, which are tests: this one takes arguments.
EXTRA_PROGRAMS += tests/conformance/runner
check_DATA = tests/conformance/runner$(EXEEXT)
CLEANFILES += tests/conformance/runner$(EXEEXT)
tests_conformance_runner_SOURCES = tests/conformance/runner.c \
	tests/conformance/case.c tests/conformance/case.h
tests_conformance_runner_CFLAGS = $(TEST_CFLAGS)
tests_conformance_runner_LDADD = libhearth_core.la -lm
TESTS += tests/conformance/check
EXTRA_DIST += tests/conformance/check tests/conformance/run \
	tests/conformance/cases.py tests/conformance/functions.py \
	tests/conformance/microsoft.py tests/conformance/report.py
