/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that users write, hashes, statuses, clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static void byte_counts_are_read_as_users_write_them(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"64MiB", 64 << 20},
        {"64 MiB", 64 << 20},
        {"64Mi", 64 << 20},
        {"1.5GB", 1500000000},
        {"0.1kB", 100},
        {"10B", 10},
        {"2k", 2000},
        {"18446744073709551615", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 1;
        assert_true(hearth_parse_bytes(cases[i].text, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
    const char *const bad[] = {
        "",
        "MiB",
        "-1",
        "1 ",
        "1XB",
        "64MiBs",
        "0x10",
        "1e9",
        "1,5k",
        "1.k.",
        " 1",
        "1  kB k",
        ".",
        "18446744073709551616",
        "99999999999999999999999",
        "16777216TiB",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes = 7;
        assert_false(hearth_parse_bytes(bad[i], &bytes));
        assert_int_equal(bytes, 7);
    }
}

static void durations_are_read_as_users_write_them(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"30", 30000000},    {"0", 0},
        {"250ms", 250000},   {"10us", 10},
        {"1m30s", 90000000}, {"1.5h", INT64_C(5400000000)},
        {"0.5s", 500000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t us = -1;
        assert_true(hearth_parse_duration_us(cases[i].text, &us));
        assert_int_equal(us, cases[i].us);
    }
    const char *const bad[] = {"",   "s",   "-1s", "1m30",
                               "5d", "1 s", "1ss", "99999999999999999h"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t us = 7;
        assert_false(hearth_parse_duration_us(bad[i], &us));
        assert_int_equal(us, 7);
    }
}

static void byte_counts_are_shown_with_one_digit(void **state)
{
    (void)state;
    char buf[32];
    assert_string_equal(hearth_format_bytes(0, buf, sizeof buf), "0 B");
    assert_string_equal(hearth_format_bytes(1023, buf, sizeof buf), "1023 B");
    assert_string_equal(hearth_format_bytes(1536, buf, sizeof buf), "1.5 KiB");
    assert_string_equal(hearth_format_bytes((1 << 20) - 1, buf, sizeof buf),
                        "1.0 MiB");
    assert_string_equal(hearth_format_bytes(UINT64_MAX, buf, sizeof buf),
                        "16.0 EiB");
}

static void a_long_path_keeps_its_end(void **state)
{
    (void)state;
    char buf[12];
    assert_string_equal(hearth_path_end("/a/b.yaml", buf, sizeof buf),
                        "/a/b.yaml");
    assert_string_equal(hearth_path_end("/a/bc/d.yml", buf, sizeof buf),
                        "/a/bc/d.yml");
    assert_string_equal(hearth_path_end("/a/bcd/d.yml", buf, sizeof buf),
                        "...cd/d.yml");
    assert_string_equal(hearth_path_end("", buf, sizeof buf), "");
}

static void sha256_is_the_standards(void **state)
{
    (void)state;
    const char *want =
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    struct hearth_digest digest, back;
    char text[HEARTH_DIGEST_TEXT];
    hearth_sha256("abc", 3, &digest);
    assert_string_equal(hearth_digest_text(&digest, text), want);
    assert_true(hearth_digest_parse(want, &back));
    assert_memory_equal(&digest, &back, sizeof digest);
    assert_false(hearth_digest_parse("ba78", &back));
    text[5] = 'g';
    assert_false(hearth_digest_parse(text, &back));
}

static void the_table_hash_sees_every_byte_and_the_length(void **state)
{
    (void)state;
    uint8_t data[70] = {0};
    for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
        uint64_t h = hearth_hash64(data, bytes, 1);
        assert_true(h == hearth_hash64(data, bytes, 1));
        assert_true(h != hearth_hash64(data, bytes, 2));
        if (bytes > 0)
            assert_true(h != hearth_hash64(data, bytes - 1, 1));
        for (size_t i = 0; i < bytes; i++) {
            data[i] ^= 1;
            assert_true(h != hearth_hash64(data, bytes, 1));
            data[i] ^= 1;
        }
    }
}

static void statuses_of_both_worlds_have_texts(void **state)
{
    (void)state;
    char buf[100];
    assert_int_equal(hearth_base_init(), 0);
    assert_int_equal(hearth_base_init(), 0);
    assert_string_equal(hearth_strerror(HEARTH_ENOMEM, buf, sizeof buf),
                        "not enough memory now");
    assert_string_equal(hearth_strerror(APR_ENOENT, buf, sizeof buf),
                        "No such file or directory");
    assert_int_equal(hearth_status_from_apr(0), 0);
    assert_int_equal(hearth_status_from_apr(HEARTH_ESHAPE), HEARTH_ESHAPE);
    assert_int_equal(hearth_status_from_apr(APR_ENOENT), HEARTH_ENOENT);
    assert_int_equal(hearth_status_from_apr(APR_ENOMEM), HEARTH_ENOMEM);
    assert_int_equal(hearth_status_from_apr(APR_TIMEUP), HEARTH_ETIMEOUT);
    assert_int_equal(hearth_status_from_apr(APR_EACCES), HEARTH_EIO);
}

static void a_manual_clock_moves_only_by_hand(void **state)
{
    (void)state;
    struct hearth_manual_clock clock;
    hearth_manual_clock_init(&clock, 5);
    assert_int_equal(hearth_now_us(&clock.clock), 5);
    hearth_manual_clock_advance(&clock, 10);
    assert_int_equal(hearth_now_us(&clock.clock), 15);
    hearth_manual_clock_set(&clock, 100);
    assert_int_equal(hearth_now_us(&clock.clock), 100);
    int64_t a = hearth_now_us(hearth_clock_real());
    assert_true(hearth_now_us(hearth_clock_real()) >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_counts_are_read_as_users_write_them),
        cmocka_unit_test(durations_are_read_as_users_write_them),
        cmocka_unit_test(byte_counts_are_shown_with_one_digit),
        cmocka_unit_test(a_long_path_keeps_its_end),
        cmocka_unit_test(sha256_is_the_standards),
        cmocka_unit_test(the_table_hash_sees_every_byte_and_the_length),
        cmocka_unit_test(statuses_of_both_worlds_have_texts),
        cmocka_unit_test(a_manual_clock_moves_only_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
