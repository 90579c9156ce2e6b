/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: see text.h. */
#include "openfaas/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048

void hearth_watchdog_log(const char *fmt, ...)
{
    char line[LINE_BYTES + 1];
    struct tm tm;
    time_t now = time(NULL);
    va_list args;
    size_t used;
    int n;

    localtime_r(&now, &tm);
    used = strftime(line, sizeof(line), "%Y/%m/%d %H:%M:%S ", &tm);
    va_start(args, fmt);
    n = vsnprintf(line + used, LINE_BYTES - used, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    used += (size_t)n < LINE_BYTES - used ? (size_t)n : LINE_BYTES - used - 1;
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < ' ' && line[i] != '\t')
            line[i] = '?';
    line[used++] = '\n';
    for (size_t done = 0; done < used;) {
        ssize_t w = write(STDERR_FILENO, line + done, used - done);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return; /* nobody reads our log: nothing better to do */
        done += (size_t)w;
    }
}

const char *hearth_watchdog_size(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes;
    size_t u = 0;

    while (value >= 1000 && u + 1 < sizeof(units) / sizeof(*units)) {
        value /= 1000;
        u++;
    }
    snprintf(buf, size, "%.4g%s", value, units[u]);
    return buf;
}

/* "1.5" of 1500 and unit 1000: no trailing zeros. */
static int put_decimal(char *buf, size_t size, uint64_t value, uint64_t unit,
                       const char *suffix)
{
    uint64_t rest = value % unit;
    char digits[24] = "";

    if (rest != 0) {
        int width = unit == 1000 ? 3 : 6;
        int len = snprintf(digits, sizeof(digits), ".%0*" PRIu64, width, rest);

        while (len > 1 && digits[len - 1] == '0')
            digits[--len] = '\0';
    }
    return snprintf(buf, size, "%" PRIu64 "%s%s", value / unit, digits, suffix);
}

const char *hearth_watchdog_duration(int64_t us, char *buf, size_t size)
{
    uint64_t value = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    const char *sign = us < 0 ? "-" : "";
    char seconds[40];

    if (us == 0) {
        snprintf(buf, size, "0s");
    } else if (value < 1000) {
        snprintf(buf, size, "%s%" PRIu64 "\302\265s", sign, value);
    } else if (value < 1000000) {
        put_decimal(seconds, sizeof(seconds), value, 1000, "ms");
        snprintf(buf, size, "%s%s", sign, seconds);
    } else {
        uint64_t minutes = value / 60000000;

        put_decimal(seconds, sizeof(seconds), value % 60000000, 1000000, "s");
        if (minutes >= 60)
            snprintf(buf, size, "%s%" PRIu64 "h%" PRIu64 "m%s", sign,
                     minutes / 60, minutes % 60, seconds);
        else if (minutes > 0)
            snprintf(buf, size, "%s%" PRIu64 "m%s", sign, minutes, seconds);
        else
            snprintf(buf, size, "%s%s", sign, seconds);
    }
    return buf;
}
