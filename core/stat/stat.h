/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat.h: what is counted: counters, gauges and histograms, each a row of a
 * table with its name, labels and help, written out as Prometheus' text format.
 * Not a log. Any thread; adding to a series is one or two atomic additions,
 * finding one takes a lock, so keep what is found.
 *
 * Invariant: a row has at most HEARTH_STAT_SERIES_MAX series; what would be one
 * more is counted in a last one whose labels are "other", so that no client can
 * make a set grow without end.
 */
#ifndef HEARTH_STAT_STAT_H
#define HEARTH_STAT_STAT_H

#include "base/base.h"

#define HEARTH_STAT_SERIES_MAX 64
#define HEARTH_STAT_LABELS_MAX 2
#define HEARTH_STAT_BOUNDS_MAX 16
#define HEARTH_STAT_LABEL_BYTES 48 /* longer values are cut */

enum hearth_stat_type {
    HEARTH_STAT_COUNTER = 0,
    HEARTH_STAT_GAUGE,
    HEARTH_STAT_HISTOGRAM /* of microseconds, written as seconds */
};

struct hearth_stat_row {
    const char *name; /* with its unit: "hearth_step_duration_seconds" */
    enum hearth_stat_type type;
    const char *help;
    const char *labels[HEARTH_STAT_LABELS_MAX]; /* names; NULL: no more */
    const double *bounds; /* HISTOGRAM: seconds, ascending */
    uint32_t bound_count; /* <= HEARTH_STAT_BOUNDS_MAX */
};

typedef struct hearth_stat hearth_stat_t;
typedef struct hearth_stat_series hearth_stat_series_t;

/* <rows> outlive the set. HEARTH_ENOMEM. */
apr_status_t hearth_stat_create(hearth_stat_t **stat,
                                const struct hearth_stat_row *rows,
                                uint32_t row_count);
/* Nobody uses its series any more. NULLs the pointer. */
void hearth_stat_destroy(hearth_stat_t **stat);

/* The series of a row with these label values (NULL where the row has no such
 * label), made when it is new; the same for the same values. Lives as long as
 * the set. NULL only when out of memory: the functions below take that. */
hearth_stat_series_t *hearth_stat_series(hearth_stat_t *stat, uint32_t row,
                                         const char *first, const char *second);
void hearth_stat_add(hearth_stat_series_t *series, int64_t n);
void hearth_stat_set(hearth_stat_series_t *series, int64_t value);
void hearth_stat_observe_us(hearth_stat_series_t *series, int64_t us);
/* Sets every series of a row to 0. */
void hearth_stat_clear(hearth_stat_t *stat, uint32_t row);
int64_t hearth_stat_value(const hearth_stat_series_t *series);

/* Text under construction. */
struct hearth_stat_text {
    char *data; /* hearth_free; terminated */
    size_t bytes, room;
    bool failed; /* out of memory: the text is not to be used */
};
void hearth_stat_put(struct hearth_stat_text *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Rows in the table's order, series in the order of their making; a row with
 * labels and no series is left out, as Prometheus' clients do. */
void hearth_stat_write(hearth_stat_t *stat, struct hearth_stat_text *text);
/* process_cpu_seconds_total and its sisters, from /proc. */
void hearth_stat_write_process(struct hearth_stat_text *text);

#endif
