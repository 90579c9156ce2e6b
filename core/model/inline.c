/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inline.c: a call of a function that the model itself defines becomes the
 * nodes of its body, before names are resolved. An operator that has a row of
 * ours is not looked at: the row is the faster one.
 *
 * A body's nodes are written anew as messages of their own, in which formal
 * names are the caller's, other names get the prefix of their call, and an
 * attribute that refers to one of the function's is that one: as the call gives
 * it, else its default, else left out. So nothing behind this file knows of
 * functions, and a graph inside a body needs no care of its own.
 *
 * A file can say little and mean much, by functions that call each other twice:
 * what is written comes from the arena, which has its limit; a function that
 * calls itself and a deep nesting are refused, and fields are counted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/model_priv.h"

#define CALLS_DEEP 64
#define GRAPHS_DEEP 16
#define FIELDS_MAX (1u << 26) /* read for all calls together */
#define LENGTH_BYTES 5        /* a length, written before it is known */

struct hearth__function {
    struct hearth__slice name, domain, overload, message;
    uint32_t next; /* of the same name */
    uint32_t inputs, outputs;
    struct hearth__names formals; /* inputs, then outputs */
    bool ready;
};

struct hearth__inline_call {
    const struct hearth__inline_call *parent;
    struct hearth__function *function;
    struct hearth__slice message;  /* the calling node */
    struct hearth__slice *actuals; /* of inputs, then of outputs */
    uint32_t number;
};

/* What is being written. */
struct writer {
    struct hearth__ir *ir;
    const struct hearth__inline_call *call;
    uint8_t *at;
    uint64_t bytes, room;
};

/* ---- Reading ---- */

/* The next field, counted. */
static bool next(struct hearth__ir *ir, struct hearth__slice *message,
                 struct hearth__wire_field *f, int *rc)
{
    if (!hearth__wire_next(message, f, rc, ir->err))
        return false;
    if (++ir->inline_fields <= FIELDS_MAX)
        return true;
    *rc = hearth_fail(ir->err, HEARTH_EMODEL,
                      "its functions call each other too often; export the "
                      "model without functions");
    return false;
}

/* Field <number> of <message>, a text; empty when there is none. */
static int text_of(struct hearth__ir *ir, struct hearth__slice message,
                   uint32_t number, struct hearth__slice *text)
{
    struct hearth__wire_field f;
    int rc;
    *text = (struct hearth__slice){(const uint8_t *)"", 0};
    while (next(ir, &message, &f, &rc)) {
        if (f.number != number)
            continue;
        rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a text", ir->err);
        if (rc != HEARTH_OK)
            return rc;
        *text = f.bytes;
    }
    return rc;
}

static bool is_default(struct hearth__slice domain)
{
    return domain.bytes == 0 || hearth__slice_is(domain, "ai.onnx");
}

static bool same_domain(struct hearth__slice a, struct hearth__slice b)
{
    return (is_default(a) && is_default(b)) || hearth__slice_equal(a, b);
}

static int read_function(struct hearth__ir *ir, struct hearth__slice message)
{
    struct hearth__function *fn =
        hearth__ir_push(ir, &ir->functions, sizeof *fn);
    if (fn == NULL)
        return ir->err->status;
    fn->message = message;
    uint32_t first;
    int rc = text_of(ir, message, 1, &fn->name);
    if (rc == HEARTH_OK)
        rc = text_of(ir, message, 10, &fn->domain);
    if (rc == HEARTH_OK)
        rc = text_of(ir, message, 13, &fn->overload);
    uint32_t number = ir->functions.count - 1;
    fn->next = HEARTH_NO_VALUE;
    if (rc == HEARTH_OK)
        rc = hearth__names_find(ir, &ir->function_names, fn->name, number,
                                &first);
    if (rc == HEARTH_OK && first != number) {
        struct hearth__function *other =
            (struct hearth__function *)ir->functions.items + first;
        fn->next = other->next;
        other->next = number;
    }
    return rc;
}

int hearth__functions_read(struct hearth__ir *ir, struct hearth__slice model)
{
    struct hearth__wire_field f;
    int rc;
    while (hearth__wire_next(&model, &f, &rc, ir->err)) {
        if (f.number != 25)
            continue;
        rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a function", ir->err);
        if (rc == HEARTH_OK)
            rc = read_function(ir, f.bytes);
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

/* Puts the formal names of field <field> into <fn>'s table. */
static int read_formals(struct hearth__ir *ir, struct hearth__function *fn,
                        uint32_t field, uint32_t *count)
{
    struct hearth__slice message = fn->message;
    struct hearth__wire_field f;
    uint32_t first = fn->inputs, found;
    int rc;
    while (next(ir, &message, &f, &rc)) {
        if (f.number != field)
            continue;
        rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a function's name",
                               ir->err);
        if (rc == HEARTH_OK && f.bytes.bytes > 0)
            rc = hearth__names_find(ir, &fn->formals, f.bytes, first + *count,
                                    &found);
        if (rc != HEARTH_OK)
            return rc;
        ++*count;
    }
    return rc;
}

static int prepare(struct hearth__ir *ir, struct hearth__function *fn)
{
    if (fn->ready)
        return HEARTH_OK;
    uint32_t inputs = 0, outputs = 0;
    int rc = read_formals(ir, fn, 4, &inputs);
    fn->inputs = inputs;
    if (rc == HEARTH_OK)
        rc = read_formals(ir, fn, 5, &outputs);
    fn->outputs = outputs;
    fn->ready = rc == HEARTH_OK;
    return rc;
}

/* ---- Writing ---- */

static int put(struct writer *w, const void *data, uint64_t bytes)
{
    if (bytes > w->room - w->bytes) {
        uint64_t room = (w->bytes + bytes) * 2 + 256;
        uint8_t *grown = room > w->ir->arena_limit * 2
                             ? NULL
                             : hearth_realloc(w->at, (size_t)room);
        if (grown == NULL)
            return hearth_fail(w->ir->err, HEARTH_ENOMEM,
                               "no memory to read a function of the model; try "
                               "again later");
        w->at = grown;
        w->room = room;
    }
    if (bytes > 0)
        memcpy(w->at + w->bytes, data, (size_t)bytes);
    w->bytes += bytes;
    return HEARTH_OK;
}

static int put_varint(struct writer *w, uint64_t value)
{
    uint8_t text[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        text[n++] = (uint8_t)(value | 0x80);
    text[n++] = (uint8_t)value;
    return put(w, text, n);
}

/* Tag and length of a field of bytes; the bytes are to follow. */
static int put_head(struct writer *w, uint32_t number, uint64_t bytes)
{
    int rc = put_varint(w, (uint64_t)number << 3 | HEARTH__WIRE_BYTES);
    return rc == HEARTH_OK ? put_varint(w, bytes) : rc;
}

static int put_text(struct writer *w, uint32_t number,
                    struct hearth__slice text)
{
    int rc = put_head(w, number, text.bytes);
    return rc == HEARTH_OK ? put(w, text.at, text.bytes) : rc;
}

/* A field of bytes whose length is not known yet: *at is for close_field. */
static int open_field(struct writer *w, uint32_t number, uint64_t *at)
{
    static const uint8_t none[LENGTH_BYTES];
    int rc = put_varint(w, (uint64_t)number << 3 | HEARTH__WIRE_BYTES);
    *at = w->bytes;
    return rc == HEARTH_OK ? put(w, none, sizeof none) : rc;
}

static void close_field(struct writer *w, uint64_t at)
{
    uint64_t bytes = w->bytes - at - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++, bytes >>= 7)
        w->at[at + (uint64_t)i] =
            (uint8_t)((bytes & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
}

/* A name of the body as field <number>: the caller's, or one of this call. */
static int put_name(struct writer *w, uint32_t number,
                    struct hearth__slice name)
{
    const struct hearth__inline_call *c = w->call;
    char prefix[32];
    uint32_t formal;
    if (name.bytes == 0)
        return put_text(w, number, name);
    int rc = hearth__names_find(w->ir, &c->function->formals, name,
                                HEARTH_NO_VALUE, &formal);
    if (rc != HEARTH_OK)
        return rc;
    /* An output that the call leaves out still has a name in the body. */
    if (formal != HEARTH_NO_VALUE &&
        (formal < c->function->inputs || c->actuals[formal].bytes > 0))
        return put_text(w, number, c->actuals[formal]);
    int n = snprintf(prefix, sizeof prefix, "function %" PRIu32 "/", c->number);
    rc = put_head(w, number, (uint64_t)n + name.bytes);
    if (rc == HEARTH_OK)
        rc = put(w, prefix, (uint64_t)n);
    return rc == HEARTH_OK ? put(w, name.at, name.bytes) : rc;
}

static int put_node(struct writer *w, struct hearth__slice message, int depth);

/* A message whose field <name_field> is a name of the body. */
static int put_named(struct writer *w, uint32_t number,
                     struct hearth__slice message, uint32_t name_field)
{
    struct hearth__wire_field f;
    uint64_t at = 0;
    const uint8_t *from = message.at;
    int rc, next_rc;
    rc = open_field(w, number, &at);
    while (rc == HEARTH_OK && next(w->ir, &message, &f, &next_rc)) {
        if (f.number == name_field && f.type == HEARTH__WIRE_BYTES)
            rc = put_name(w, name_field, f.bytes);
        else
            rc = put(w, from, (uint64_t)(message.at - from));
        from = message.at;
    }
    if (rc == HEARTH_OK)
        rc = next_rc;
    if (rc == HEARTH_OK)
        close_field(w, at);
    return rc;
}

static int put_graph(struct writer *w, uint32_t number,
                     struct hearth__slice message, int depth)
{
    struct hearth__wire_field f;
    uint64_t at = 0, node;
    const uint8_t *from = message.at;
    int rc, next_rc;
    if (depth > GRAPHS_DEEP)
        return hearth_fail(w->ir->err, HEARTH_EUNSUPPORTED,
                           "graphs are nested deeper than %d; export the model "
                           "without functions",
                           GRAPHS_DEEP);
    rc = open_field(w, number, &at);
    while (rc == HEARTH_OK && next(w->ir, &message, &f, &next_rc)) {
        bool bytes = f.type == HEARTH__WIRE_BYTES;
        if (bytes && f.number == 1) {
            rc = open_field(w, 1, &node);
            if (rc == HEARTH_OK)
                rc = put_node(w, f.bytes, depth + 1);
            if (rc == HEARTH_OK)
                close_field(w, node);
        } else if (bytes && f.number == 5) {
            rc = put_named(w, 5, f.bytes, 8);
        } else if (bytes && f.number >= 11 && f.number <= 13) {
            rc = put_named(w, f.number, f.bytes, 1);
        } else {
            rc = put(w, from, (uint64_t)(message.at - from));
        }
        from = message.at;
    }
    if (rc == HEARTH_OK)
        rc = next_rc;
    if (rc == HEARTH_OK)
        close_field(w, at);
    return rc;
}

/* The attribute called <name> among fields <field> of <message>. */
static int find_attr(struct writer *w, struct hearth__slice message,
                     uint32_t field, struct hearth__slice name,
                     struct hearth__slice *found)
{
    struct hearth__wire_field f;
    struct hearth__slice text;
    int rc;
    found->at = NULL;
    while (next(w->ir, &message, &f, &rc)) {
        if (f.number != field || f.type != HEARTH__WIRE_BYTES)
            continue;
        rc = text_of(w->ir, f.bytes, 1, &text);
        if (rc != HEARTH_OK)
            return rc;
        if (hearth__slice_equal(text, name))
            *found = f.bytes;
    }
    return rc;
}

/* The function's attribute <ref>, under the name <name>. */
static int put_ref(struct writer *w, struct hearth__slice ref,
                   struct hearth__slice name)
{
    struct hearth__slice found;
    struct hearth__wire_field f;
    uint64_t at = 0;
    int next_rc = HEARTH_OK;
    int rc = find_attr(w, w->call->message, 5, ref, &found);
    if (rc == HEARTH_OK && found.at == NULL)
        rc = find_attr(w, w->call->function->message, 11, ref, &found);
    if (rc != HEARTH_OK || found.at == NULL)
        return rc;
    const uint8_t *from = found.at;
    rc = open_field(w, 5, &at);
    if (rc == HEARTH_OK)
        rc = put_text(w, 1, name);
    while (rc == HEARTH_OK && next(w->ir, &found, &f, &next_rc)) {
        if (f.number != 1)
            rc = put(w, from, (uint64_t)(found.at - from));
        from = found.at;
    }
    if (rc == HEARTH_OK)
        rc = next_rc;
    if (rc == HEARTH_OK)
        close_field(w, at);
    return rc;
}

static int put_attr(struct writer *w, struct hearth__slice message, int depth)
{
    struct hearth__slice ref, name;
    struct hearth__wire_field f;
    uint64_t at = 0;
    const uint8_t *from = message.at;
    int next_rc = HEARTH_OK;
    int rc = text_of(w->ir, message, 21, &ref);
    if (rc == HEARTH_OK && ref.bytes > 0) {
        rc = text_of(w->ir, message, 1, &name);
        return rc == HEARTH_OK ? put_ref(w, ref, name) : rc;
    }
    if (rc == HEARTH_OK)
        rc = open_field(w, 5, &at);
    while (rc == HEARTH_OK && next(w->ir, &message, &f, &next_rc)) {
        if ((f.number == 6 || f.number == 11) && f.type == HEARTH__WIRE_BYTES)
            rc = put_graph(w, f.number, f.bytes, depth);
        else
            rc = put(w, from, (uint64_t)(message.at - from));
        from = message.at;
    }
    if (rc == HEARTH_OK)
        rc = next_rc;
    if (rc == HEARTH_OK)
        close_field(w, at);
    return rc;
}

static int put_node(struct writer *w, struct hearth__slice message, int depth)
{
    struct hearth__wire_field f;
    const uint8_t *from = message.at;
    int rc = HEARTH_OK, next_rc = HEARTH_OK;
    while (rc == HEARTH_OK && next(w->ir, &message, &f, &next_rc)) {
        bool bytes = f.type == HEARTH__WIRE_BYTES;
        if (bytes && (f.number == 1 || f.number == 2))
            rc = put_name(w, f.number, f.bytes);
        else if (bytes && f.number == 5)
            rc = put_attr(w, f.bytes, depth);
        else
            rc = put(w, from, (uint64_t)(message.at - from));
        from = message.at;
    }
    return rc == HEARTH_OK ? next_rc : rc;
}

/* What was written, kept in the arena. */
static int keep(struct writer *w, struct hearth__slice *message)
{
    uint8_t *copy = hearth__ir_alloc(w->ir, 1, w->bytes);
    if (copy == NULL)
        return w->ir->err->status;
    if (w->bytes > 0)
        memcpy(copy, w->at, (size_t)w->bytes);
    *message = (struct hearth__slice){copy, w->bytes};
    w->bytes = 0;
    return HEARTH_OK;
}

/* ---- Calls ---- */

static int read_actuals(struct hearth__ir *ir, struct hearth__inline_call *c)
{
    struct hearth__function *fn = c->function;
    struct hearth__slice message = c->message;
    struct hearth__wire_field f;
    uint32_t inputs = 0, outputs = 0;
    int rc;
    c->actuals = hearth__ir_alloc(ir, (uint64_t)fn->inputs + fn->outputs,
                                  sizeof *c->actuals);
    if (c->actuals == NULL)
        return ir->err->status;
    for (uint32_t i = 0; i < fn->inputs + fn->outputs; i++)
        c->actuals[i].at = (const uint8_t *)"";
    while (next(ir, &message, &f, &rc)) {
        if (f.number == 1 && inputs++ < fn->inputs)
            c->actuals[inputs - 1] = f.bytes;
        else if (f.number == 2 && outputs++ < fn->outputs)
            c->actuals[fn->inputs + outputs - 1] = f.bytes;
    }
    if (rc == HEARTH_OK && (inputs > fn->inputs || outputs > fn->outputs))
        rc = hearth_fail(ir->err, HEARTH_EMODEL,
                         "it has %" PRIu32 " inputs and %" PRIu32
                         " outputs, its function %" PRIu32 " and %" PRIu32
                         "; export the model again",
                         inputs, outputs, fn->inputs, fn->outputs);
    return rc;
}

/* An output of the function that is an input of it, as it stands. */
static int pass_through(struct writer *w,
                        const struct hearth__inline_call *parent)
{
    struct hearth__slice message = w->call->function->message, node;
    struct hearth__wire_field f;
    uint32_t k = w->call->function->inputs, formal;
    int rc;
    while (next(w->ir, &message, &f, &rc)) {
        if (f.number != 5)
            continue;
        struct hearth__slice to = w->call->actuals[k++];
        rc = hearth__names_find(w->ir, &w->call->function->formals, f.bytes,
                                HEARTH_NO_VALUE, &formal);
        if (rc != HEARTH_OK)
            return rc;
        if (formal >= w->call->function->inputs || to.bytes == 0)
            continue;
        rc = put_text(w, 1, w->call->actuals[formal]);
        if (rc == HEARTH_OK)
            rc = put_text(w, 2, to);
        if (rc == HEARTH_OK)
            rc = put_text(
                w, 4, (struct hearth__slice){(const uint8_t *)"Identity", 8});
        if (rc == HEARTH_OK)
            rc = keep(w, &node);
        if (rc == HEARTH_OK)
            rc = hearth__inline_node(w->ir, node, parent);
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

static int check_depth(struct hearth__ir *ir,
                       const struct hearth__inline_call *c)
{
    int depth = 0;
    for (const struct hearth__inline_call *p = c->parent; p != NULL;
         p = p->parent, depth++)
        if (p->function == c->function || depth == CALLS_DEEP)
            return hearth_fail(ir->err, HEARTH_EMODEL,
                               "function '%.*s' calls itself, or functions "
                               "are nested deeper than %d; export the model "
                               "again",
                               hearth__slice_cut(c->function->name, 60),
                               (const char *)c->function->name.at, CALLS_DEEP);
    return HEARTH_OK;
}

static int expand(struct hearth__ir *ir, struct hearth__function *fn,
                  struct hearth__slice node,
                  const struct hearth__inline_call *parent)
{
    struct hearth__inline_call c = {.parent = parent,
                                    .function = fn,
                                    .message = node,
                                    .number = ir->inline_calls++};
    struct writer w = {.ir = ir, .call = &c};
    struct hearth__slice body = fn->message, made;
    struct hearth__wire_field f;
    int rc = check_depth(ir, &c), next_rc = HEARTH_OK;
    if (rc == HEARTH_OK)
        rc = prepare(ir, fn);
    if (rc == HEARTH_OK)
        rc = read_actuals(ir, &c);
    while (rc == HEARTH_OK && next(ir, &body, &f, &next_rc)) {
        if (f.number != 7)
            continue;
        rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a function's node",
                               ir->err);
        if (rc == HEARTH_OK)
            rc = put_node(&w, f.bytes, 0);
        if (rc == HEARTH_OK)
            rc = keep(&w, &made);
        if (rc == HEARTH_OK)
            rc = hearth__inline_node(ir, made, &c);
    }
    if (rc == HEARTH_OK)
        rc = next_rc;
    if (rc == HEARTH_OK)
        rc = pass_through(&w, parent);
    hearth_free(w.at);
    return rc;
}

/* The function that <node> calls, or NULL: it is an operator. */
static int find_function(struct hearth__ir *ir, struct hearth__slice node,
                         struct hearth__function **found)
{
    struct hearth__onnx_node head = {0};
    struct hearth__slice overload;
    uint32_t i;
    *found = NULL;
    int rc = text_of(ir, node, 4, &head.op);
    if (rc == HEARTH_OK)
        rc = text_of(ir, node, 7, &head.domain);
    if (rc == HEARTH_OK)
        rc = text_of(ir, node, 8, &overload);
    if (rc == HEARTH_OK)
        rc = hearth__names_find(ir, &ir->function_names, head.op,
                                HEARTH_NO_VALUE, &i);
    if (rc != HEARTH_OK || hearth__canon_knows(&head))
        return rc;
    while (i != HEARTH_NO_VALUE) {
        struct hearth__function *fn =
            (struct hearth__function *)ir->functions.items + i;
        if (same_domain(fn->domain, head.domain) &&
            hearth__slice_equal(fn->overload, overload))
            *found = fn;
        i = fn->next;
        ir->inline_fields++;
    }
    return rc;
}

int hearth__inline_node(struct hearth__ir *ir, struct hearth__slice node,
                        const struct hearth__inline_call *parent)
{
    struct hearth__function *fn = NULL;
    int rc = ir->functions.count > 0 ? find_function(ir, node, &fn) : HEARTH_OK;
    if (rc != HEARTH_OK)
        return rc;
    return fn != NULL ? expand(ir, fn, node, parent)
                      : hearth__import_node(ir, node);
}
