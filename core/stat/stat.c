/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat.c: sets and series. A row's series are a list that only grows, so that a
 * reader needs the lock for its head only, and a series found once may be used
 * without it.
 */
#include "stat/stat.h"

#include <stdarg.h>
#include <string.h>

struct hearth_stat_series {
    const struct hearth_stat_row *row;
    hearth_stat_series_t *next; /* under the set's lock */
    char labels[HEARTH_STAT_LABELS_MAX][HEARTH_STAT_LABEL_BYTES];
    int64_t value; /* atomic; HISTOGRAM: the sum in microseconds */
    /* Atomic, not cumulative; the last one is "+Inf". */
    uint64_t counts[HEARTH_STAT_BOUNDS_MAX + 1];
};

struct hearth_stat {
    struct hearth_lock lock;
    const struct hearth_stat_row *rows;
    uint32_t row_count;
    struct list {
        hearth_stat_series_t *first, **end;
        uint32_t count;
    } * lists; /* [row_count] */
};

apr_status_t hearth_stat_create(hearth_stat_t **out,
                                const struct hearth_stat_row *rows,
                                uint32_t row_count)
{
    hearth_stat_t *stat = hearth_calloc(1, sizeof(*stat));

    *out = NULL;
    if (stat == NULL)
        return HEARTH_ENOMEM;
    stat->lists = hearth_calloc(row_count, sizeof(*stat->lists));
    if (stat->lists == NULL) {
        hearth_free(stat);
        return HEARTH_ENOMEM;
    }
    for (uint32_t i = 0; i < row_count; i++) {
        HEARTH_ASSERT(rows[i].bound_count <= HEARTH_STAT_BOUNDS_MAX);
        stat->lists[i].end = &stat->lists[i].first;
    }
    stat->rows = rows;
    stat->row_count = row_count;
    hearth_lock_init(&stat->lock, "stat", HEARTH_LOCK_STAT);
    *out = stat;
    return APR_SUCCESS;
}

void hearth_stat_destroy(hearth_stat_t **out)
{
    hearth_stat_t *stat = *out;

    if (stat == NULL)
        return;
    *out = NULL;
    for (uint32_t i = 0; i < stat->row_count; i++)
        for (hearth_stat_series_t *s = stat->lists[i].first; s;) {
            hearth_stat_series_t *next = s->next;

            hearth_free(s);
            s = next;
        }
    hearth_lock_fini(&stat->lock);
    hearth_free(stat->lists);
    hearth_free(stat);
}

/* Cut to what a series keeps, so that a long value finds itself again. */
static void keep(char to[HEARTH_STAT_LABEL_BYTES], const char *value)
{
    snprintf(to, HEARTH_STAT_LABEL_BYTES, "%s", value ? value : "");
}

static hearth_stat_series_t *find(const struct list *list,
                                  char labels[][HEARTH_STAT_LABEL_BYTES])
{
    for (hearth_stat_series_t *s = list->first; s; s = s->next)
        if (strcmp(s->labels[0], labels[0]) == 0 &&
            strcmp(s->labels[1], labels[1]) == 0)
            return s;
    return NULL;
}

hearth_stat_series_t *hearth_stat_series(hearth_stat_t *stat, uint32_t row,
                                         const char *first, const char *second)
{
    char labels[HEARTH_STAT_LABELS_MAX][HEARTH_STAT_LABEL_BYTES];
    hearth_stat_series_t *series;
    struct list *list;

    HEARTH_ASSERT(row < stat->row_count);
    list = &stat->lists[row];
    keep(labels[0], first);
    keep(labels[1], second);
    hearth_lock_acquire(&stat->lock);
    series = find(list, labels);
    if (series == NULL && list->count + 1 >= HEARTH_STAT_SERIES_MAX) {
        keep(labels[0], stat->rows[row].labels[0] ? "other" : "");
        keep(labels[1], stat->rows[row].labels[1] ? "other" : "");
        series = find(list, labels);
    }
    if (series == NULL && (series = hearth_calloc(1, sizeof(*series)))) {
        series->row = &stat->rows[row];
        memcpy(series->labels, labels, sizeof(labels));
        *list->end = series;
        list->end = &series->next;
        list->count++;
    }
    hearth_lock_release(&stat->lock);
    return series;
}

void hearth_stat_add(hearth_stat_series_t *series, int64_t n)
{
    if (series)
        __atomic_fetch_add(&series->value, n, __ATOMIC_RELAXED);
}

void hearth_stat_set(hearth_stat_series_t *series, int64_t value)
{
    if (series)
        __atomic_store_n(&series->value, value, __ATOMIC_RELAXED);
}

void hearth_stat_observe_us(hearth_stat_series_t *series, int64_t us)
{
    uint32_t b = 0;

    if (series == NULL)
        return;
    while (b < series->row->bound_count &&
           (double)us > series->row->bounds[b] * 1e6)
        b++;
    __atomic_fetch_add(&series->counts[b], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&series->value, us, __ATOMIC_RELAXED);
}

void hearth_stat_clear(hearth_stat_t *stat, uint32_t row)
{
    hearth_lock_acquire(&stat->lock);
    for (hearth_stat_series_t *s = stat->lists[row].first; s; s = s->next)
        hearth_stat_set(s, 0);
    hearth_lock_release(&stat->lock);
}

int64_t hearth_stat_value(const hearth_stat_series_t *series)
{
    return series ? __atomic_load_n(&series->value, __ATOMIC_RELAXED) : 0;
}

/* ---- Text ---- */

void hearth_stat_put(struct hearth_stat_text *text, const char *fmt, ...)
{
    for (int round = 0; round < 2 && !text->failed; round++) {
        size_t left = text->room - text->bytes;
        va_list args;
        int n;

        va_start(args, fmt);
        n = vsnprintf(text->data ? text->data + text->bytes : NULL, left, fmt,
                      args);
        va_end(args);
        if (n < 0)
            return;
        if ((size_t)n < left) {
            text->bytes += (size_t)n;
            return;
        }
        size_t room = (text->bytes + (size_t)n + 1) * 2;
        char *data = hearth_realloc(text->data, room);

        text->failed = data == NULL;
        if (data) {
            text->data = data;
            text->room = room;
        }
    }
}

/* A label value: backslash, quote and newline are escaped. */
static void put_label(struct hearth_stat_text *text, const char *name,
                      const char *value, bool first)
{
    hearth_stat_put(text, "%s%s=\"", first ? "" : ",", name);
    for (; *value; value++) {
        if (*value == '\n')
            hearth_stat_put(text, "\\n");
        else
            hearth_stat_put(text, "%s%c",
                            *value == '"' || *value == '\\' ? "\\" : "",
                            *value);
    }
    hearth_stat_put(text, "\"");
}

/* {a="1",b="2",le="0.5"}; nothing when there is none of them. */
static void put_labels(struct hearth_stat_text *text,
                       const hearth_stat_series_t *s, const char *le)
{
    bool first = true;

    if (s->row->labels[0] == NULL && le == NULL)
        return;
    hearth_stat_put(text, "{");
    for (int i = 0; i < HEARTH_STAT_LABELS_MAX && s->row->labels[i]; i++) {
        put_label(text, s->row->labels[i], s->labels[i], first);
        first = false;
    }
    if (le)
        put_label(text, "le", le, first);
    hearth_stat_put(text, "}");
}

static void put_histogram(struct hearth_stat_text *text,
                          const hearth_stat_series_t *s)
{
    const struct hearth_stat_row *row = s->row;
    uint64_t count = 0;

    for (uint32_t b = 0; b <= row->bound_count; b++) {
        char le[32] = "+Inf";

        count += __atomic_load_n(&s->counts[b], __ATOMIC_RELAXED);
        if (b < row->bound_count)
            snprintf(le, sizeof(le), "%g", row->bounds[b]);
        hearth_stat_put(text, "%s_bucket", row->name);
        put_labels(text, s, le);
        hearth_stat_put(text, " %llu\n", (unsigned long long)count);
    }
    hearth_stat_put(text, "%s_sum", row->name);
    put_labels(text, s, NULL);
    hearth_stat_put(text, " %.6f\n%s_count", (double)hearth_stat_value(s) / 1e6,
                    row->name);
    put_labels(text, s, NULL);
    hearth_stat_put(text, " %llu\n", (unsigned long long)count);
}

void hearth_stat_write(hearth_stat_t *stat, struct hearth_stat_text *text)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    for (uint32_t i = 0; i < stat->row_count; i++) {
        const struct hearth_stat_row *row = &stat->rows[i];
        const hearth_stat_series_t *s;

        if (row->labels[0] == NULL)
            hearth_stat_series(stat, i, NULL, NULL);
        hearth_lock_acquire(&stat->lock);
        s = stat->lists[i].first;
        hearth_lock_release(&stat->lock);
        if (s == NULL)
            continue;
        hearth_stat_put(text, "# HELP %s %s\n# TYPE %s %s\n", row->name,
                        row->help, row->name, types[row->type]);
        while (s) {
            const hearth_stat_series_t *next;

            if (row->type == HEARTH_STAT_HISTOGRAM) {
                put_histogram(text, s);
            } else {
                hearth_stat_put(text, "%s", row->name);
                put_labels(text, s, NULL);
                hearth_stat_put(text, " %lld\n",
                                (long long)hearth_stat_value(s));
            }
            hearth_lock_acquire(&stat->lock);
            next = s->next;
            hearth_lock_release(&stat->lock);
            s = next;
        }
    }
}
