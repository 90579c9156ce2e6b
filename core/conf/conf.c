/* SPDX-License-Identifier: Apache-2.0 */
/* conf.c: values, the environment, flags. */
#include "conf/conf_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Values ---- */

static bool parse_integer(const struct hearth_conf_row *row, const char *text,
                          int64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return false;
    return (row->min == 0 && row->max == 0) ||
           (*value >= row->min && *value <= row->max);
}

/* A sign is taken before a duration with a unit; a negative bare number is
 * not, for of-watchdog takes none. */
static bool parse_duration(const char *text, int64_t *us)
{
    if (*text == '-' && hearth_parse_duration_us(text + 1, us) &&
        text[strspn(text, "-0123456789.")] != '\0') {
        *us = -*us;
        return true;
    }
    return hearth_parse_duration_us(text + (*text == '+'), us);
}

static bool parse_choice(const struct hearth_conf_row *row, const char *text,
                         int *value)
{
    for (int i = 0; row->choices[i]; i++)
        if (strcmp(row->choices[i], text) == 0) {
            *value = i;
            return true;
        }
    return false;
}

bool hearth__conf_set(const struct hearth_conf_row *row, void *config,
                      const char *text)
{
    void *field = (char *)config + row->offset;
    union {
        int64_t number;
        uint64_t bytes;
        int choice;
    } value;

    switch (row->kind) {
    case HEARTH_CONF_INTEGER:
        if (!parse_integer(row, text, &value.number))
            return false;
        *(int64_t *)field = value.number;
        return true;
    case HEARTH_CONF_DURATION:
        if (!parse_duration(text, &value.number))
            return false;
        *(int64_t *)field = value.number;
        return true;
    case HEARTH_CONF_BYTES:
        if (!hearth_parse_bytes(text, &value.bytes))
            return false;
        *(uint64_t *)field = value.bytes;
        return true;
    case HEARTH_CONF_SWITCH:
        *(bool *)field = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        return true;
    case HEARTH_CONF_CHOICE:
        if (!parse_choice(row, text, &value.choice))
            return false;
        *(int *)field = value.choice;
        return true;
    default:
        *(const char **)field = text;
        return true;
    }
}

static const char *expected(const struct hearth_conf_row *row, char *buf,
                            size_t size)
{
    size_t used = 0;

    switch (row->kind) {
    case HEARTH_CONF_INTEGER:
        if (row->min == 0 && row->max == 0)
            return "a whole number";
        snprintf(buf, size, "a whole number from %lld to %lld",
                 (long long)row->min, (long long)row->max);
        return buf;
    case HEARTH_CONF_DURATION:
        return "a duration, as 30 (seconds) or 1m30s";
    case HEARTH_CONF_BYTES:
        return "a size, as 512MiB";
    case HEARTH_CONF_CHOICE:
        buf[0] = '\0';
        for (int i = 0; row->choices[i] && used < size; i++)
            used += (size_t)snprintf(buf + used, size - used, "%s%s",
                                     i > 0 ? ", " : "one of ", row->choices[i]);
        return buf;
    default:
        return "a text";
    }
}

int hearth__conf_bad_value(const struct hearth_conf_row *row, int status,
                           const char *text, struct hearth_error *err)
{
    char buf[128];

    return hearth_fail(err, status, "%s=%s: expected %s", row->name, text,
                       expected(row, buf, sizeof(buf)));
}

void hearth_conf_defaults(const struct hearth_conf_row *rows, uint32_t count,
                          void *config)
{
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].fallback) {
            bool good = hearth__conf_set(&rows[i], config, rows[i].fallback);

            HEARTH_ASSERT(good);
        }
}

/* ---- Environment ---- */

/* Is <variable> "NAME=...", where NAME is <name>, or <prefix> and <name> in
 * capitals? Where its value begins. */
static const char *match_env(const char *variable, const char *prefix,
                             const char *name)
{
    if (prefix) {
        size_t bytes = strlen(prefix);

        if (strncmp(variable, prefix, bytes) != 0)
            return NULL;
        variable += bytes;
    }
    for (; *name; name++, variable++)
        if (*variable != (prefix ? toupper((unsigned char)*name) : *name))
            return NULL;
    return *variable == '=' ? variable + 1 : NULL;
}

static const char *find_env(const char *const *env, const char *prefix,
                            const char *name)
{
    const char *found = NULL;

    for (; env && *env; env++) {
        const char *value = match_env(*env, prefix, name);

        if (value)
            found = value;
    }
    return found;
}

int hearth_conf_env(const struct hearth_conf_row *rows, uint32_t count,
                    void *config, const char *prefix, const char *const *env,
                    void (*warn)(const char *text), struct hearth_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hearth_conf_row *row = &rows[i];
        const char *text = find_env(env, prefix, row->name);
        struct hearth_error bad;

        if (text == NULL && row->alias)
            text = find_env(env, prefix, row->alias);
        if (text == NULL || hearth__conf_set(row, config, text))
            continue;
        hearth__conf_bad_value(row, HEARTH_ECONFIG, text, &bad);
        if (!(row->flags & HEARTH_CONF_LENIENT)) {
            if (err)
                *err = bad;
            return bad.status;
        }
        hearth_fail_prefix(&bad, "the default is taken");
        if (warn)
            warn(bad.text);
    }
    return HEARTH_OK;
}

/* ---- Flags ---- */

static const struct hearth_conf_row *
find_flag(const struct hearth_conf_row *rows, uint32_t count, const char *name,
          size_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *row = rows[i].name;
        size_t k = 0;

        if (strlen(row) != bytes || (rows[i].flags & HEARTH_CONF_ENV_ONLY))
            continue;
        while (k < bytes && (name[k] == '-' ? '_' : name[k]) == row[k])
            k++;
        if (k == bytes)
            return &rows[i];
    }
    return NULL;
}

int hearth_conf_flag(const struct hearth_conf_row *rows, uint32_t count,
                     void *config, int argc, const char *const *argv, int *i,
                     struct hearth_error *err)
{
    size_t dashes = strspn(argv[*i], "-");
    const char *name = argv[*i] + dashes;
    const char *equals = strchr(name, '=');
    const struct hearth_conf_row *row;
    const char *text;

    if (dashes < 1 || dashes > 2)
        return HEARTH_ENOENT;
    row = find_flag(rows, count, name,
                    equals ? (size_t)(equals - name) : strlen(name));
    if (row == NULL)
        return HEARTH_ENOENT;
    if (equals)
        text = equals + 1;
    else if (row->kind == HEARTH_CONF_SWITCH)
        text = "true";
    else if (*i + 1 < argc)
        text = argv[++*i];
    else
        return hearth_fail(err, HEARTH_EINVAL, "flag %s needs a value",
                           argv[*i]);
    return hearth__conf_set(row, config, text)
               ? HEARTH_OK
               : hearth__conf_bad_value(row, HEARTH_EINVAL, text, err);
}
