/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ir.c: the graph while it is worked on: its arena, arrays, names and values.
 *
 * The arena is what bounds a hostile file: every byte of the work comes from
 * it, and it ends at ARENA_FACTOR times the file's size. The factor is what the
 * densest honest file needs, with room: a node of twelve bytes in the file
 * takes about 400 here, a value and its contents included.
 */
#include <inttypes.h>
#include <string.h>

#include "model/model_priv.h"

#define ARENA_FACTOR 192
#define ARENA_FLOOR (UINT64_C(8) << 20)
#define DERIVED_FACTOR 2
#define DERIVED_FLOOR (UINT64_C(64) << 20)
#define CHUNK_BYTES (UINT64_C(64) << 10)
#define ITEMS_MAX (UINT32_C(1) << 28)

struct hearth__ir_chunk {
    struct hearth__ir_chunk *next;
    uint64_t used, bytes;
    uint64_t pad; /* what follows is aligned to 16 bytes */
};

static uint64_t limit(uint64_t bytes, uint64_t factor, uint64_t floor)
{
    uint64_t most;
    if (__builtin_mul_overflow(bytes, factor, &most) ||
        __builtin_add_overflow(most, floor, &most))
        most = UINT64_MAX;
    return most;
}

void hearth__ir_init(struct hearth__ir *ir, struct hearth__files *files,
                     uint32_t passes, struct hearth_error *err)
{
    memset(ir, 0, sizeof *ir);
    ir->files = files;
    ir->passes = passes;
    ir->err = err;
    ir->arena_limit =
        limit(files->segments[0].bytes, ARENA_FACTOR, ARENA_FLOOR);
    ir->derived_limit =
        limit(files->segments[0].bytes, DERIVED_FACTOR, DERIVED_FLOOR);
}

void hearth__ir_fini(struct hearth__ir *ir)
{
    struct hearth__ir_chunk *c = ir->chunks;
    while (c != NULL) {
        struct hearth__ir_chunk *next = c->next;
        hearth_free(c);
        c = next;
    }
    ir->chunks = NULL;
}

void hearth__ir_nest(struct hearth__ir *outer, struct hearth__ir *ir)
{
    memset(ir, 0, sizeof *ir);
    ir->files = outer->files;
    ir->passes = outer->passes;
    ir->err = outer->err;
    ir->root = outer->root != NULL ? outer->root : outer;
    ir->depth = outer->depth + 1;
    ir->head = outer->head;
    ir->arena_limit = outer->arena_limit;
    ir->derived_limit = outer->derived_limit;
    ir->functions = outer->functions;
    ir->function_names = outer->function_names;
    ir->inline_calls = outer->inline_calls;
    ir->inline_fields = outer->inline_fields;
}

void *hearth__ir_alloc(struct hearth__ir *ir, uint64_t count, uint64_t bytes)
{
    uint64_t want;
    ir = ir->root != NULL ? ir->root : ir;
    if (__builtin_mul_overflow(count, bytes, &want) || want > ir->arena_limit) {
        hearth_fail(ir->err, HEARTH_EMODEL,
                    "the graph is larger than its file can tell; is the file "
                    "damaged?");
        return NULL;
    }
    want = (want + 15) / 16 * 16;
    want = want == 0 ? 16 : want;
    struct hearth__ir_chunk *c = ir->chunks;
    if (c == NULL || c->bytes - c->used < want) {
        uint64_t room = want > CHUNK_BYTES / 4 ? want : CHUNK_BYTES;
        if (ir->arena_bytes + room > ir->arena_limit) {
            hearth_fail(ir->err, HEARTH_EMODEL,
                        "the graph needs more than %" PRIu64
                        " bytes of memory, too much for its file's size; is "
                        "the file damaged?",
                        ir->arena_limit);
            return NULL;
        }
        struct hearth__ir_chunk *fresh =
            hearth_malloc((size_t)(sizeof *fresh + room));
        if (fresh == NULL) {
            hearth_fail(ir->err, HEARTH_ENOMEM,
                        "no memory to import the model; try again later");
            return NULL;
        }
        ir->arena_bytes += room;
        *fresh = (struct hearth__ir_chunk){.bytes = room};
        /* A large one of its own goes behind, to keep filling the first. */
        if (c != NULL && room != CHUNK_BYTES) {
            fresh->next = c->next;
            c->next = fresh;
        } else {
            fresh->next = c;
            ir->chunks = fresh;
        }
        c = fresh;
    }
    void *at = (char *)(c + 1) + c->used;
    c->used += want;
    memset(at, 0, (size_t)want);
    return at;
}

void *hearth__ir_push(struct hearth__ir *ir, struct hearth__vec *vec,
                      uint64_t bytes)
{
    if (vec->count == vec->capacity) {
        if (vec->count >= ITEMS_MAX) {
            hearth_fail(ir->err, HEARTH_EMODEL,
                        "the graph has more than %" PRIu32
                        " nodes or values; split the model",
                        ITEMS_MAX);
            return NULL;
        }
        uint32_t capacity = vec->capacity == 0 ? 16 : vec->capacity * 2;
        void *grown = hearth__ir_alloc(ir, capacity, bytes);
        if (grown == NULL)
            return NULL;
        if (vec->count > 0)
            memcpy(grown, vec->items, (size_t)(vec->count * bytes));
        vec->items = grown;
        vec->capacity = capacity;
    }
    void *item = (char *)vec->items + vec->count++ * bytes;
    memset(item, 0, (size_t)bytes);
    return item;
}

uint32_t hearth__ir_value_new(struct hearth__ir *ir, struct hearth__slice name)
{
    struct hearth__ir_value *v = hearth__ir_push(ir, &ir->values, sizeof *v);
    if (v == NULL)
        return HEARTH_NO_VALUE;
    v->name = name;
    v->producer = HEARTH_NO_VALUE;
    v->segment = HEARTH__SEGMENT_ARENA;
    v->info.shape.rank = -1;
    return ir->values.count - 1;
}

/* ---- Names ---- */

static struct hearth__name *slot_of(const struct hearth__names *names,
                                    struct hearth__slice text)
{
    uint64_t at = hearth_hash64(text.at, text.bytes, 0);
    for (;; at++) {
        struct hearth__name *slot = &names->slots[at & (names->capacity - 1)];
        if (!slot->used || hearth__slice_equal(slot->text, text))
            return slot;
    }
}

static int names_grow(struct hearth__ir *ir, struct hearth__names *names)
{
    struct hearth__names grown = {
        .count = names->count,
        .capacity = names->capacity == 0 ? 64 : names->capacity * 2};
    grown.slots = hearth__ir_alloc(ir, grown.capacity, sizeof *grown.slots);
    if (grown.slots == NULL)
        return ir->err->status;
    for (uint64_t i = 0; i < names->capacity; i++)
        if (names->slots[i].used)
            *slot_of(&grown, names->slots[i].text) = names->slots[i];
    *names = grown;
    return HEARTH_OK;
}

int hearth__names_find(struct hearth__ir *ir, struct hearth__names *names,
                       struct hearth__slice text, uint32_t number,
                       uint32_t *found)
{
    *found = HEARTH_NO_VALUE;
    if (names->count * 2 >= names->capacity) {
        int rc = names_grow(ir, names);
        if (rc != HEARTH_OK)
            return rc;
    }
    struct hearth__name *slot = slot_of(names, text);
    if (!slot->used && number != HEARTH_NO_VALUE) {
        *slot = (struct hearth__name){text, number, true};
        names->count++;
    }
    if (slot->used)
        *found = slot->number;
    return HEARTH_OK;
}

int hearth__ir_symbol(struct hearth__ir *ir, struct hearth__slice name,
                      int64_t *dim)
{
    uint32_t number = ir->symbols.count;
    if (name.bytes > 0) {
        int rc =
            hearth__names_find(ir, &ir->symbol_names, name, number, &number);
        if (rc != HEARTH_OK)
            return rc;
    }
    if (number == ir->symbols.count) {
        struct hearth__slice *s = hearth__ir_push(ir, &ir->symbols, sizeof *s);
        if (s == NULL)
            return ir->err->status;
        *s = name;
    }
    *dim = HEARTH_DIM_SYMBOL(number);
    return HEARTH_OK;
}

/* ---- Constants that import makes ---- */

uint32_t hearth__ir_const(struct hearth__ir *ir, enum hearth_dtype dtype,
                          int32_t rank, uint32_t count, const void *data)
{
    uint64_t bytes = (uint64_t)count * hearth_dtype_bytes(dtype);
    void *copy = hearth__ir_alloc(ir, 1, bytes);
    if (copy == NULL)
        return HEARTH_NO_VALUE;
    uint32_t number = hearth__ir_value_new(ir, (struct hearth__slice){0});
    if (number == HEARTH_NO_VALUE)
        return number;
    memcpy(copy, data, (size_t)bytes);
    struct hearth__ir_value *v = hearth__ir_value(ir, number);
    v->kind = HEARTH_VALUE_WEIGHT;
    v->bytes = bytes;
    v->info.dtype = dtype;
    v->info.shape.rank = rank;
    v->info.shape.dims[0] = rank == 0 ? 0 : count;
    v->info.data = copy;
    return number;
}

void *hearth__ir_derive(struct hearth__ir *ir, uint32_t value, uint64_t bytes,
                        int *rc)
{
    struct hearth__files *files = ir->files;
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    uint64_t room = bytes == 0 ? 64 : (bytes + 63) / 64 * 64;
    *rc = HEARTH_OK;
    if (bytes > ir->derived_limit ||
        room > ir->derived_limit - files->derived_bytes)
        return NULL;
    /* Doubled at each power of two. */
    struct hearth__derived *grown = files->derived;
    uint64_t n = files->derived_count;
    if ((n & (n - 1)) == 0)
        grown = hearth_realloc(files->derived,
                               (n == 0 ? 1 : 2 * n) * sizeof *grown);
    if (grown != NULL)
        files->derived = grown;
    void *data = grown == NULL ? NULL : hearth_malloc((size_t)room);
    if (data == NULL) {
        *rc = hearth_fail(ir->err, HEARTH_ENOMEM,
                          "no memory for derived weights; try again later");
        return NULL;
    }
    memset(data, 0, (size_t)room);
    files->derived[files->derived_count++] = (struct hearth__derived){
        .offset = files->derived_bytes, .bytes = room, .data = data};
    v->kind = HEARTH_VALUE_WEIGHT;
    v->segment = HEARTH__SEGMENT_DERIVED;
    v->offset = files->derived_bytes;
    v->bytes = bytes;
    v->info.data = data;
    files->derived_bytes += room;
    return data;
}
