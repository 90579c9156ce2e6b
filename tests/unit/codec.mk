# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += tests/unit/codec_images.py tests/unit/data/codec_images.bin

check_PROGRAMS += tests/unit/codec_image_test
tests_unit_codec_image_test_SOURCES = tests/unit/codec_image_test.c
tests_unit_codec_image_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_codec_image_test_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/codec_text_test
tests_unit_codec_text_test_SOURCES = tests/unit/codec_text_test.c
tests_unit_codec_text_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_codec_text_test_LDADD = $(TEST_LIBS)
