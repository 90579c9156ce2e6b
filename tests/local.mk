# SPDX-License-Identifier: Apache-2.0
TEST_CFLAGS = $(CORE_CFLAGS) $(CMOCKA_CFLAGS) -I$(top_srcdir)/tests
TEST_LIBS = libhearth_core.la $(CMOCKA_LIBS)
include tests/unit/local.mk
include tests/fuzz/local.mk
include tests/conformance/local.mk

TESTS += tests/style/style_test
EXTRA_DIST += tests/style/banned tests/style/includes tests/style/style_test \
	tests/lsan.supp tests/requirements.txt tests/integration
