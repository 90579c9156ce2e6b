/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed bodies, in pieces of every size; damaged, cut, too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <zlib.h>

#include "codec/codec.h"

static unsigned char plain[100000], packed[120000], got[200000];
static size_t packed_bytes, got_bytes;
static struct hearth_error err;

static void pack_some(int bits, size_t bytes)
{
    z_stream z = {.next_in = plain,
                  .avail_in = (uInt)bytes,
                  .next_out = packed,
                  .avail_out = sizeof(packed)};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 8, 0), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed_bytes = z.total_out;
    deflateEnd(&z);
}

static void pack(int bits)
{
    pack_some(bits, sizeof(plain));
}

static void take(void *ctx, const void *data, size_t bytes)
{
    (void)ctx;
    assert_true(got_bytes + bytes <= sizeof(got));
    memcpy(got + got_bytes, data, bytes);
    got_bytes += bytes;
}

static int unpack(enum hearth_coding coding, size_t bytes, size_t piece,
                  uint64_t limit)
{
    hearth_inflate_t *f;
    int status = HEARTH_OK;

    got_bytes = 0;
    assert_int_equal(hearth_inflate_create(&f, coding, limit), HEARTH_OK);
    for (size_t at = 0; status == HEARTH_OK && at < bytes; at += piece)
        status = hearth_inflate_write(f, packed + at,
                                      at + piece < bytes ? piece : bytes - at,
                                      take, NULL, &err);
    if (status == HEARTH_OK)
        status = hearth_inflate_end(f, &err);
    hearth_inflate_destroy(&f);
    return status;
}

static void every_form_is_read_in_pieces_of_every_size(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 1000, 200000};
    static const struct {
        int bits;
        enum hearth_coding coding;
    } forms[] = {{31, HEARTH_CODING_GZIP},
                 {15, HEARTH_CODING_DEFLATE},
                 {-15, HEARTH_CODING_DEFLATE}};

    (void)state;
    for (size_t f = 0; f < 3; f++) {
        pack(forms[f].bits);
        for (size_t p = 0; p < 5; p++) {
            assert_int_equal(
                unpack(forms[f].coding, packed_bytes, pieces[p], sizeof(plain)),
                HEARTH_OK);
            assert_int_equal(got_bytes, sizeof(plain));
            assert_memory_equal(got, plain, sizeof(plain));
        }
    }
}

/* The last of the input leaves a full piece of output and some of the next; a
 * raw stream has no check sum that would still be waiting. */
static void little_that_unpacks_to_much_is_drained(void **state)
{
    static unsigned char saved[sizeof(plain)];

    (void)state;
    memcpy(saved, plain, sizeof(plain));
    memset(plain, 'a', sizeof(plain));
    for (size_t bytes = 32768; bytes < 32768 + 600; bytes++) {
        pack_some(-15, bytes);
        assert_int_equal(
            unpack(HEARTH_CODING_DEFLATE, packed_bytes, packed_bytes, bytes),
            HEARTH_OK);
        assert_int_equal(got_bytes, bytes);
    }
    memcpy(plain, saved, sizeof(plain));
}

static void what_is_damaged_cut_or_too_long_is_refused(void **state)
{
    (void)state;
    pack(31);
    for (size_t cut = 0; cut < packed_bytes; cut += packed_bytes / 50 + 1)
        assert_int_equal(unpack(HEARTH_CODING_GZIP, cut, 1000, sizeof(plain)),
                         HEARTH_EPROTO);
    packed[packed_bytes] = 'x'; /* behind the end */
    assert_int_equal(
        unpack(HEARTH_CODING_GZIP, packed_bytes + 1, 1000, sizeof(plain)),
        HEARTH_EPROTO);
    assert_int_equal(
        unpack(HEARTH_CODING_GZIP, packed_bytes, 1000, sizeof(plain) - 1),
        HEARTH_ETOOBIG);
    packed[packed_bytes / 2] ^= 0x55;
    assert_int_equal(
        unpack(HEARTH_CODING_GZIP, packed_bytes, 1000, sizeof(plain)),
        HEARTH_EPROTO);
    assert_int_equal(
        unpack(HEARTH_CODING_DEFLATE, packed_bytes, 1000, sizeof(plain)),
        HEARTH_EPROTO);
}

static void names_of_codings(void **state)
{
    (void)state;
    assert_int_equal(hearth_coding_parse(NULL), HEARTH_CODING_NONE);
    assert_int_equal(hearth_coding_parse("identity"), HEARTH_CODING_NONE);
    assert_int_equal(hearth_coding_parse("GZip"), HEARTH_CODING_GZIP);
    assert_int_equal(hearth_coding_parse("deflate"), HEARTH_CODING_DEFLATE);
    assert_int_equal(hearth_coding_parse("br"), HEARTH_CODING_UNKNOWN);
}

static void without_memory_nothing_is_left(void **state)
{
    uint64_t before = hearth_mem_used_bytes();
    hearth_inflate_t *f;

    (void)state;
    pack(31);
    hearth_mem_fail_at(1, false);
    assert_int_equal(hearth_inflate_create(&f, HEARTH_CODING_GZIP, 1),
                     HEARTH_ENOMEM);
    hearth_mem_fail_at(0, false);
    assert_int_equal(hearth_inflate_create(&f, HEARTH_CODING_GZIP, 1 << 20),
                     HEARTH_OK);
    hearth_mem_fail_at(1, true);
    assert_int_equal(hearth_inflate_write(f, packed, 100, take, NULL, &err),
                     HEARTH_ENOMEM);
    hearth_mem_fail_at(0, false);
    hearth_inflate_destroy(&f);
    assert_int_equal(hearth_mem_used_bytes(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read_in_pieces_of_every_size),
        cmocka_unit_test(little_that_unpacks_to_much_is_drained),
        cmocka_unit_test(what_is_damaged_cut_or_too_long_is_refused),
        cmocka_unit_test(names_of_codings),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    uint64_t random = 7;

    for (size_t i = 0; i < sizeof(plain); i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695041;
        plain[i] = (unsigned char)(random >> 60) + 'a';
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
