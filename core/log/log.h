/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h: the process's log: messages as key=value with a level and a tag, one
 * line each, to stderr or to a function. Not for what is counted (stat) nor for
 * a program's own console. Any thread; nothing blocks but the sink's own write.
 *
 * Nothing of a client's body is ever logged. A tag is a number that stands for
 * one message for ever: people search for it; tests/unit/log_tags_test.sh finds
 * one that is used twice. The next free one: 32.
 */
#ifndef HEARTH_LOG_LOG_H
#define HEARTH_LOG_LOG_H

#include "base/base.h"
#include "hearth_plugin.h" /* enum hearth_log_level */

/* Lines over this are cut. */
#define HEARTH_LOG_LINE_BYTES 1024

/* Messages up to <level> go to <fn> from now on; NULL: to stderr, with the time
 * and the level before them. <fn> may be called on any thread, several at once,
 * also for a short while after it was replaced. */
void hearth_log_open(enum hearth_log_level level,
                     void (*fn)(void *ctx, int level, const char *line),
                     void *ctx);
/* Another level, the same receiver. */
void hearth_log_level_set(enum hearth_log_level level);
/* Errors only, to stderr: as before the first open. */
void hearth_log_close(void);
/* Is anybody listening? For messages that are costly to make. */
bool hearth_log_wanted(enum hearth_log_level level);
/* "tag=HEARTH0007 " and the text, which is key=value, values with spaces in
 * double quotes. Control characters become '?'. */
void hearth_log(enum hearth_log_level level, int tag, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "error" */
const char *hearth_log_level_name(enum hearth_log_level level);
/* False when it is none of the four. */
bool hearth_log_level_parse(const char *text, int *level);

/* For a message that may repeat with every request: static, zeroed. */
struct hearth_log_limit {
    int64_t last_us;   /* atomic */
    uint32_t left_out; /* atomic */
};
/* True once in <every_us> of <clock>; <*left_out> is how many were not since
 * the last time. */
bool hearth_log_allow(struct hearth_log_limit *limit,
                      const struct hearth_clock *clock, int64_t every_us,
                      uint32_t *left_out);

#endif
