/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pbtxt.c: a reader of protobuf's text format, and what each field becomes.
 *
 *     message: { field }        field: NAME [:] ( value | { message } | [ list
 * ] )
 *
 * Separators (',', ';') between fields are optional, '<' '>' stand for braces,
 * adjacent strings are one, '#' begins a comment.
 */
#include "serve/pbtxt.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32
#define TEXT_MAX 1024

enum token { END, WORD, STRING, SIGN };

struct reader {
    const char *p, *end;
    int line, depth;
    enum token token;
    int sign;            /* of SIGN */
    char text[TEXT_MAX]; /* of WORD and STRING */
    const char *shown;
    struct hearth_error *err;
    int status;
    struct hearth__pbtxt *config;
};

static int fail(struct reader *r, int status, const char *what)
{
    if (r->status == HEARTH_OK)
        r->status = hearth_fail(
            r->err, status, "%.60s:%d: %s", r->shown, r->line,
            status == HEARTH_ENOMEM ? "no memory; free some" : what);
    r->token = END;
    r->p = r->end;
    return r->status;
}

/* ---- Tokens ---- */

static void skip_space(struct reader *r)
{
    while (r->p < r->end) {
        if (*r->p == '#')
            while (r->p < r->end && *r->p != '\n')
                r->p++;
        else if (!isspace((unsigned char)*r->p))
            return;
        else if (*r->p++ == '\n')
            r->line++;
    }
}

static int escaped(struct reader *r)
{
    static const char from[] = "ntr\\\"'", to[] = "\n\t\r\\\"'";
    const char *at = r->p < r->end ? strchr(from, *r->p) : NULL;

    if (at == NULL || *r->p == '\0')
        return -1;
    r->p++;
    return to[at - from];
}

/* One quoted piece, added to what is in <text>. */
static void read_quoted(struct reader *r, size_t *used)
{
    char quote = *r->p++;

    while (r->p < r->end && *r->p != quote) {
        int c = (unsigned char)*r->p++;

        if (c == '\n') {
            fail(r, HEARTH_ECONFIG, "a text does not end on its line");
            return;
        }
        if (c == '\\' && (c = escaped(r)) < 0) {
            fail(r, HEARTH_ECONFIG, "an escape in a text is not known");
            return;
        }
        if (c == 0 || *used + 1 >= sizeof(r->text)) {
            fail(r, HEARTH_ECONFIG, "a text is too long, or has a zero byte");
            return;
        }
        r->text[(*used)++] = (char)c;
    }
    if (r->p == r->end)
        fail(r, HEARTH_ECONFIG, "a text does not end");
    else
        r->p++;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || strchr("_.+-", c) != NULL;
}

static void next(struct reader *r)
{
    size_t used = 0;

    skip_space(r);
    if (r->p == r->end) {
        r->token = END;
    } else if (*r->p == '"' || *r->p == '\'') {
        r->token = STRING;
        while (r->p < r->end && (*r->p == '"' || *r->p == '\'')) {
            read_quoted(r, &used);
            skip_space(r);
        }
        r->text[used] = '\0';
    } else if (*r->p != '\0' && in_word(*r->p)) {
        r->token = WORD;
        while (r->p < r->end && *r->p != '\0' && in_word(*r->p)) {
            if (used + 1 >= sizeof(r->text)) {
                fail(r, HEARTH_ECONFIG, "a word is too long");
                return;
            }
            r->text[used++] = *r->p++;
        }
        r->text[used] = '\0';
    } else {
        r->token = SIGN;
        r->sign = *r->p++;
    }
    if (r->status != HEARTH_OK)
        r->token = END;
}

static bool at(const struct reader *r, int sign)
{
    return r->token == SIGN && r->sign == sign;
}

/* ---- Values ---- */

static int take_text(struct reader *r, char **to)
{
    if (r->token != STRING)
        return fail(r, HEARTH_ECONFIG, "expected a text in quotes");
    hearth_free(*to);
    *to = hearth_strdup(r->text);
    if (*to == NULL)
        return fail(r, HEARTH_ENOMEM, "");
    next(r);
    return r->status;
}

static int take_number(struct reader *r, int64_t *to)
{
    char *end;

    errno = 0;
    *to = r->token == WORD ? strtoll(r->text, &end, 10) : 0;
    if (r->token != WORD || errno != 0 || *end != '\0')
        return fail(r, HEARTH_ECONFIG, "expected a whole number");
    next(r);
    return r->status;
}

/* Numbers one by one, or a list of them. */
static int take_numbers(struct reader *r,
                        void (*add)(struct reader *r, void *to, int64_t n),
                        void *to)
{
    int64_t n;
    bool list = at(r, '[');

    if (list)
        next(r);
    while (r->status == HEARTH_OK && !(list && at(r, ']'))) {
        if (take_number(r, &n) != HEARTH_OK)
            return r->status;
        add(r, to, n);
        if (!list)
            return r->status;
        if (at(r, ','))
            next(r);
        else if (!at(r, ']'))
            return fail(r, HEARTH_ECONFIG, "expected ',' or ']'");
    }
    next(r);
    return r->status;
}

/* ---- Messages ---- */

typedef int (*take_field)(struct reader *r, const char *name, void *to);

/* The fields up to the closing brace (or the end, for the whole file). */
static int read_fields(struct reader *r, int close, take_field take, void *to)
{
    if (++r->depth > DEPTH_MAX)
        return fail(r, HEARTH_ECONFIG, "too many levels");
    while (r->status == HEARTH_OK) {
        char name[64];

        while (at(r, ',') || at(r, ';'))
            next(r);
        if (close ? at(r, close) : r->token == END)
            break;
        if (r->token != WORD || strlen(r->text) >= sizeof(name))
            return fail(r, HEARTH_ECONFIG,
                        r->token == END ? "a brace is not closed"
                                        : "expected a field's name");
        memcpy(name, r->text, strlen(r->text) + 1);
        next(r);
        if (at(r, ':'))
            next(r);
        take(r, name, to);
    }
    r->depth--;
    if (close && r->status == HEARTH_OK)
        next(r);
    return r->status;
}

static int take_message(struct reader *r, take_field take, void *to)
{
    int close = at(r, '{') ? '}' : '>';

    if (!at(r, '{') && !at(r, '<'))
        return fail(r, HEARTH_ECONFIG, "expected '{'");
    next(r);
    return read_fields(r, close, take, to);
}

/* One message, or a list of them. */
static int take_messages(struct reader *r,
                         int (*one)(struct reader *r, void *ctx), void *ctx)
{
    if (!at(r, '['))
        return one(r, ctx);
    next(r);
    while (r->status == HEARTH_OK && !at(r, ']')) {
        one(r, ctx);
        if (at(r, ','))
            next(r);
        else if (r->status == HEARTH_OK && !at(r, ']'))
            return fail(r, HEARTH_ECONFIG, "expected ',' or ']'");
    }
    if (r->status == HEARTH_OK)
        next(r);
    return r->status;
}

/* ---- What is not known ---- */

static int skip_field(struct reader *r, const char *name, void *to);

static int skip_one(struct reader *r, void *ctx)
{
    (void)ctx;
    if (at(r, '{') || at(r, '<'))
        return take_message(r, skip_field, NULL);
    if (r->token != WORD && r->token != STRING)
        return fail(r, HEARTH_ECONFIG, "expected a value");
    next(r);
    return r->status;
}

static int skip_field(struct reader *r, const char *name, void *to)
{
    (void)name;
    (void)to;
    return take_messages(r, skip_one, NULL);
}

static int unknown(struct reader *r, const char *where, const char *name)
{
    char *list = r->config->unknown;
    size_t used = strlen(list);
    char full[96];

    snprintf(full, sizeof(full), "%s%s", where, name);
    if (strstr(list, full) == NULL)
        snprintf(list + used, sizeof(r->config->unknown) - used, "%s%s",
                 used > 0 ? " " : "", full);
    return skip_field(r, name, NULL);
}

/* ---- Inputs and outputs ---- */

static void add_dim(struct reader *r, void *to, int64_t n)
{
    struct hearth_shape *shape = to;

    if (shape->rank < 0)
        shape->rank = 0;
    if (n < -1 || shape->rank == HEARTH_RANK_MAX)
        fail(r, HEARTH_ECONFIG, "dims are numbers from -1 on, 8 at most");
    else
        shape->dims[shape->rank++] = n;
}

static int take_type(struct reader *r, enum hearth_dtype *to)
{
    bool named = r->token == WORD && strncmp(r->text, "TYPE_", 5) == 0;

    *to = named ? hearth_dtype_parse(r->text + 5) : HEARTH_DTYPE_NONE;
    if (named && strcmp(r->text, "TYPE_STRING") == 0)
        *to = HEARTH_STRING;
    if (*to == HEARTH_DTYPE_NONE)
        return fail(r, HEARTH_ECONFIG, "expected a type, as TYPE_FP32");
    next(r);
    return r->status;
}

static int take_port_field(struct reader *r, const char *name, void *to)
{
    struct hearth__pbtxt_port *port = to;

    if (strcmp(name, "name") == 0)
        return take_text(r, &port->name);
    if (strcmp(name, "data_type") == 0)
        return take_type(r, &port->dtype);
    if (strcmp(name, "dims") == 0)
        return take_numbers(r, add_dim, &port->shape);
    if (strcmp(name, "label_filename") == 0)
        return take_text(r, &port->label_file);
    return unknown(r, "input/output.", name);
}

struct ports {
    struct hearth__pbtxt_port **list;
    uint32_t *count;
};

static int take_port(struct reader *r, void *ctx)
{
    struct ports *ports = ctx;
    struct hearth__pbtxt_port *grown;

    if (*ports->count == HEARTH__PBTXT_PORTS)
        return fail(r, HEARTH_ECONFIG, "more than 256 inputs or outputs");
    grown = hearth_realloc(*ports->list, (*ports->count + 1) * sizeof(*grown));
    if (grown == NULL)
        return fail(r, HEARTH_ENOMEM, "");
    *ports->list = grown;
    grown += (*ports->count)++;
    *grown = (struct hearth__pbtxt_port){.shape = {.rank = -1}};
    take_message(r, take_port_field, grown);
    if (r->status == HEARTH_OK && grown->name == NULL)
        fail(r, HEARTH_ECONFIG, "an input or output has no name");
    return r->status;
}

/* ---- version_policy, instance_group, dynamic_batching ---- */

static void add_version(struct reader *r, void *to, int64_t n)
{
    struct hearth__pbtxt *c = to;
    int64_t *grown =
        hearth_realloc(c->specific, (c->specific_count + 1) * sizeof(*grown));

    if (grown == NULL) {
        fail(r, HEARTH_ENOMEM, "");
        return;
    }
    c->specific = grown;
    c->specific[c->specific_count++] = n;
}

static int take_latest_field(struct reader *r, const char *name, void *to)
{
    struct hearth__pbtxt *c = to;

    if (strcmp(name, "num_versions") != 0)
        return unknown(r, "version_policy.latest.", name);
    if (take_number(r, &c->latest) == HEARTH_OK && c->latest < 1)
        fail(r, HEARTH_ECONFIG, "num_versions must be 1 or more");
    return r->status;
}

static int take_specific_field(struct reader *r, const char *name, void *to)
{
    return strcmp(name, "versions") == 0
               ? take_numbers(r, add_version, to)
               : unknown(r, "version_policy.specific.", name);
}

static int take_policy_field(struct reader *r, const char *name, void *to)
{
    struct hearth__pbtxt *c = to;

    if (strcmp(name, "latest") == 0) {
        c->policy = HEARTH__VERSIONS_LATEST;
        return take_message(r, take_latest_field, c);
    }
    if (strcmp(name, "all") == 0) {
        c->policy = HEARTH__VERSIONS_ALL;
        return take_message(r, skip_field, NULL);
    }
    if (strcmp(name, "specific") == 0) {
        c->policy = HEARTH__VERSIONS_SPECIFIC;
        return take_message(r, take_specific_field, c);
    }
    return unknown(r, "version_policy.", name);
}

static int take_group_field(struct reader *r, const char *name, void *to)
{
    int64_t *count = to;

    if (strcmp(name, "count") == 0)
        return take_number(r, count);
    /* Devices are shared and chosen by the scheduler. */
    if (strcmp(name, "kind") == 0 || strcmp(name, "gpus") == 0 ||
        strcmp(name, "name") == 0)
        return skip_field(r, name, NULL);
    return unknown(r, "instance_group.", name);
}

static int take_group(struct reader *r, void *ctx)
{
    struct hearth__pbtxt *c = ctx;
    int64_t count = 1;

    if (take_message(r, take_group_field, &count) == HEARTH_OK && count > 0 &&
        count < 1000)
        c->instances += (uint32_t)count;
    return r->status;
}

static int take_batching_field(struct reader *r, const char *name, void *to)
{
    struct hearth__pbtxt *c = to;

    if (strcmp(name, "max_queue_delay_microseconds") == 0)
        return take_number(r, &c->max_queue_delay_us);
    if (strcmp(name, "preferred_batch_size") == 0)
        return skip_field(r, name, NULL);
    return unknown(r, "dynamic_batching.", name);
}

/* ---- The whole ---- */

static int take_config_field(struct reader *r, const char *name, void *to)
{
    struct hearth__pbtxt *c = to;
    struct ports inputs = {&c->inputs, &c->input_count};
    struct ports outputs = {&c->outputs, &c->output_count};

    if (strcmp(name, "name") == 0)
        return take_text(r, &c->name);
    if (strcmp(name, "platform") == 0)
        return take_text(r, &c->platform);
    if (strcmp(name, "backend") == 0)
        return take_text(r, &c->backend);
    if (strcmp(name, "max_batch_size") == 0) {
        if (take_number(r, &c->max_batch_size) == HEARTH_OK &&
            (c->max_batch_size < 0 || c->max_batch_size > 1 << 20))
            fail(r, HEARTH_ECONFIG, "max_batch_size is out of range");
        return r->status;
    }
    if (strcmp(name, "input") == 0)
        return take_messages(r, take_port, &inputs);
    if (strcmp(name, "output") == 0)
        return take_messages(r, take_port, &outputs);
    if (strcmp(name, "version_policy") == 0)
        return take_message(r, take_policy_field, c);
    if (strcmp(name, "instance_group") == 0)
        return take_messages(r, take_group, c);
    if (strcmp(name, "dynamic_batching") == 0) {
        c->batching = true;
        return take_message(r, take_batching_field, c);
    }
    if (strcmp(name, "model_warmup") == 0) {
        c->warm_up = true; /* on zeros, whatever it asks for */
        return skip_field(r, name, NULL);
    }
    return unknown(r, "", name);
}

int hearth__pbtxt_parse(struct hearth__pbtxt **config, const char *text,
                        size_t bytes, const char *shown,
                        struct hearth_error *err)
{
    struct reader *r = hearth_calloc(1, sizeof(*r));
    int status;

    *config = hearth_calloc(1, sizeof(**config));
    if (r == NULL || *config == NULL) {
        hearth_free(r);
        hearth_free(*config);
        *config = NULL;
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for %.60s", shown);
    }
    (*config)->latest = 1;
    r->p = text;
    r->end = text + bytes;
    r->line = 1;
    r->shown = shown;
    r->err = err;
    r->config = *config;
    next(r);
    status = read_fields(r, 0, take_config_field, *config);
    hearth_free(r);
    if (status != HEARTH_OK)
        hearth__pbtxt_free(config);
    return status;
}

static void free_ports(struct hearth__pbtxt_port *ports, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        hearth_free(ports[i].name);
        hearth_free(ports[i].label_file);
    }
    hearth_free(ports);
}

void hearth__pbtxt_free(struct hearth__pbtxt **config)
{
    struct hearth__pbtxt *c = *config;

    if (c == NULL)
        return;
    *config = NULL;
    free_ports(c->inputs, c->input_count);
    free_ports(c->outputs, c->output_count);
    hearth_free(c->name);
    hearth_free(c->platform);
    hearth_free(c->backend);
    hearth_free(c->specific);
    hearth_free(c);
}
