/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c: byte counts and durations as users write them. Numbers are decimal,
 * with an optional fraction; they are held as integers in units of 10^-6, so
 * that "0.1" is a tenth and nothing depends on the locale.
 */
#include <inttypes.h>
#include <string.h>

#include "base/base.h"

#define FRACTION 1000000u

/* At <*text>: digits[.digits], value in millionths. False when there is no
 * digit, or it does not fit. Digits beyond the sixth of a fraction are cut. */
static bool take_number(const char **text, unsigned __int128 *millionths)
{
    const char *p = *text;
    unsigned __int128 whole = 0;
    uint32_t part = 0, scale = FRACTION;
    bool digits = false;
    for (; *p >= '0' && *p <= '9'; p++, digits = true) {
        whole = whole * 10 + (unsigned)(*p - '0');
        if (whole > UINT64_MAX)
            return false;
    }
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++, digits = true)
            if (scale > 1) {
                scale /= 10;
                part += (unsigned)(*p - '0') * scale;
            }
    }
    *text = p;
    *millionths = whole * FRACTION + part;
    return digits;
}

struct unit {
    const char *name;
    uint64_t value;
};

/* The longest unit at <*text>; 0 when there is none. */
static uint64_t take_unit(const char **text, const struct unit *units, size_t n)
{
    size_t best = 0;
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(units[i].name);
        if (length > best && strncmp(*text, units[i].name, length) == 0) {
            best = length;
            value = units[i].value;
        }
    }
    *text += best;
    return value;
}

#define UNITS(u) u, sizeof(u) / sizeof(u)[0]

bool hearth_parse_bytes(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"B", 1},
        {"kB", 1000},
        {"KB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", UINT64_C(1000000000000)},
        {"KiB", UINT64_C(1) << 10},
        {"MiB", UINT64_C(1) << 20},
        {"GiB", UINT64_C(1) << 30},
        {"TiB", UINT64_C(1) << 40},
        /* As Kubernetes writes them. */
        {"k", 1000},
        {"M", 1000000},
        {"G", 1000000000},
        {"T", UINT64_C(1000000000000)},
        {"Ki", UINT64_C(1) << 10},
        {"Mi", UINT64_C(1) << 20},
        {"Gi", UINT64_C(1) << 30},
        {"Ti", UINT64_C(1) << 40},
    };
    unsigned __int128 number;
    if (!take_number(&text, &number))
        return false;
    uint64_t unit = 1;
    if (*text != '\0') {
        text += strspn(text, " ");
        unit = take_unit(&text, UNITS(units));
    }
    if (unit == 0 || *text != '\0')
        return false;
    /* Below 2^84 * 2^40: no overflow. */
    number = number * unit / FRACTION;
    if (number > UINT64_MAX)
        return false;
    *bytes = (uint64_t)number;
    return true;
}

bool hearth_parse_duration_us(const char *text, int64_t *us)
{
    static const struct unit units[] = {
        {"us", 1},
        {"ms", 1000},
        {"s", 1000000},
        {"m", 60000000},
        {"h", UINT64_C(3600000000)},
    };
    unsigned __int128 sum = 0, number;
    bool plain = true; /* no unit yet */
    do {
        if (!take_number(&text, &number))
            return false;
        uint64_t unit =
            plain && *text == '\0' ? 1000000 : take_unit(&text, UNITS(units));
        if (unit == 0)
            return false;
        plain = false;
        sum += number * unit / FRACTION;
        if (sum > INT64_MAX)
            return false;
    } while (*text != '\0');
    *us = (int64_t)sum;
    return true;
}

const char *hearth_format_bytes(uint64_t bytes, char *buf, size_t size)
{
    static const char *const names[] = {"B",   "KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1023.95 && unit + 1 < sizeof names / sizeof names[0]) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(buf, size, "%" PRIu64 " B", bytes);
    else
        snprintf(buf, size, "%.1f %s", value, names[unit]);
    return buf;
}

const char *hearth_path_end(const char *path, char *buf, size_t bytes)
{
    size_t length = strlen(path);
    HEARTH_ASSERT(bytes > 4);
    if (length < bytes)
        snprintf(buf, bytes, "%s", path);
    else
        snprintf(buf, bytes, "...%s", path + length - (bytes - 4));
    return buf;
}

unsigned hearth_text_distance(const char *a, const char *b)
{
    unsigned row[34];
    size_t n = strlen(b);
    if (n > 32 || strlen(a) > 32)
        return UINT32_MAX;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < row[j] ? change : row[j];
        }
    }
    return row[n];
}
