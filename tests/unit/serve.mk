# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/serve_pbtxt_test
tests_unit_serve_pbtxt_test_SOURCES = tests/unit/serve_pbtxt_test.c
tests_unit_serve_pbtxt_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_serve_pbtxt_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/store_blobs_test
tests_unit_store_blobs_test_SOURCES = tests/unit/store_blobs_test.c
tests_unit_store_blobs_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_store_blobs_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/hearthd_config_test
tests_unit_hearthd_config_test_SOURCES = tests/unit/hearthd_config_test.c \
	core/hearthd/config.h core/hearthd/config.c
tests_unit_hearthd_config_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_hearthd_config_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/codec_inflate_test
tests_unit_codec_inflate_test_SOURCES = tests/unit/codec_inflate_test.c
tests_unit_codec_inflate_test_CFLAGS = $(TEST_CFLAGS) $(ZLIB_CFLAGS)
tests_unit_codec_inflate_test_LDADD = $(TEST_LIBS)
