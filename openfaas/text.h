/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h: the texts of of-watchdog, so that whoever reads or scrapes them sees
 * no difference: log lines, sizes, durations. Any thread.
 */
#ifndef HEARTH_OPENFAAS_TEXT_H
#define HEARTH_OPENFAAS_TEXT_H

#include "base/base.h"

/* One line on stderr, in one write: "YYYY/MM/DD HH:MM:SS " and local time
 * before it, control characters as '?'. A line over 2 KiB is cut. */
void hearth_watchdog_log(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
/* Decimal units, 4 significant digits: "106B", "1.006kB", "2.1MB". */
const char *hearth_watchdog_size(uint64_t bytes, char *buf, size_t size);
/* As Go writes a duration: "30s", "1m5s", "1h0m0s", "500ms", "1.5s", "0s". */
const char *hearth_watchdog_duration(int64_t us, char *buf, size_t size);

#endif
