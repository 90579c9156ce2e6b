/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c: copies of weights. A copy is one block: the graph's weights one after
 * the other, each aligned, and a table that finds them by what a plugin asks
 * for: a segment and an offset of the source. Weights that lie in another one
 * are not stored twice.
 *
 * Blocks are freed outside the lock: to free pinned memory may wait for the
 * device.
 */
#include "exec/host.h"

#include <stdlib.h>
#include <string.h>

#define HEARTH_MAGIC_HOST 0x48484f53u
#define ALIGNMENT UINT64_C(64)
#define PIECE (UINT64_C(16) << 20) /* between two looks at <cancelled> */

struct hearth__host_piece {
    uint32_t segment;
    uint64_t offset, bytes; /* of the source */
    uint64_t at;            /* in the block */
};

struct hearth_host_tier {
    uint32_t magic;
    struct hearth_lock lock;
    struct hearth_host_copy *newest, *oldest; /* whole ones */
    struct hearth_host_report report;
};

apr_status_t hearth_host_create(hearth_host_tier_t **out, uint64_t limit_bytes)
{
    hearth_host_tier_t *host = hearth_calloc(1, sizeof *host);
    *out = host;
    if (host == NULL)
        return HEARTH_ENOMEM;
    host->magic = HEARTH_MAGIC_HOST;
    host->report.limit_bytes = limit_bytes;
    hearth_lock_init(&host->lock, "host", HEARTH_LOCK_HOST);
    return HEARTH_OK;
}

void hearth_host_destroy(hearth_host_tier_t **out)
{
    hearth_host_tier_t *host = *out;
    if (host == NULL)
        return;
    HEARTH_CHECK(host, HEARTH_MAGIC_HOST);
    HEARTH_ASSERT(host->report.bytes == 0 && host->newest == NULL);
    hearth_lock_fini(&host->lock);
    host->magic = 0;
    hearth_free(host);
    *out = NULL;
}

/* ---- Where a weight is ---- */

static int by_source(const void *a, const void *b)
{
    const struct hearth__host_piece *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static bool is_in(const struct hearth__host_piece *p, uint32_t segment,
                  uint64_t offset, uint64_t bytes)
{
    return p->segment == segment && offset >= p->offset &&
           offset - p->offset <= p->bytes &&
           bytes <= p->bytes - (offset - p->offset);
}

/* Fills the table, and <bytes> of the block. False: no memory. */
static bool lay_out(struct hearth_host_copy *copy, uint64_t *bytes)
{
    const struct hearth_graph *g = copy->graph;
    uint32_t count = 0, kept = 0;
    struct hearth__host_piece *pieces =
        hearth_calloc((size_t)g->value_count + 1, sizeof *pieces);
    if (pieces == NULL)
        return false;
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind == HEARTH_VALUE_WEIGHT && v->bytes > 0)
            pieces[count++] = (struct hearth__host_piece){
                .segment = v->segment, .offset = v->offset, .bytes = v->bytes};
    }
    qsort(pieces, count, sizeof *pieces, by_source);
    *bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct hearth__host_piece *p = &pieces[i];
        if (kept > 0 &&
            is_in(&pieces[kept - 1], p->segment, p->offset, p->bytes))
            continue;
        p->at = *bytes;
        *bytes += (p->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        pieces[kept++] = *p;
    }
    copy->pieces = pieces;
    copy->piece_count = kept;
    return true;
}

/* NULL: it is no weight of the graph. */
static const char *find(const struct hearth_host_copy *copy, uint32_t segment,
                        uint64_t offset, uint64_t bytes)
{
    uint32_t low = 0, high = copy->piece_count;
    while (low < high) { /* the first beyond */
        uint32_t middle = low + (high - low) / 2;
        const struct hearth__host_piece *p = &copy->pieces[middle];
        if (p->segment < segment ||
            (p->segment == segment && p->offset <= offset))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || !is_in(&copy->pieces[low - 1], segment, offset, bytes))
        return NULL;
    const struct hearth__host_piece *p = &copy->pieces[low - 1];
    return copy->block + p->at + (offset - p->offset);
}

static int map(void *ctx, uint32_t segment, uint64_t offset, uint64_t bytes,
               const void **data, struct hearth_error *err)
{
    const struct hearth_host_copy *copy = ctx;
    *data = find(copy, segment, offset, bytes);
    if (*data != NULL)
        return HEARTH_OK;
    return copy->source->map(copy->source->ctx, segment, offset, bytes, data,
                             err);
}

static int read_copy(void *ctx, uint32_t segment, uint64_t offset,
                     uint64_t bytes, void *dst, struct hearth_error *err)
{
    const struct hearth_host_copy *copy = ctx;
    const char *data = find(copy, segment, offset, bytes);
    if (data == NULL)
        return copy->source->read(copy->source->ctx, segment, offset, bytes,
                                  dst, err);
    memcpy(dst, data, bytes);
    return HEARTH_OK;
}

/* ---- The list of whole ones. Under the lock. ---- */

static void take_out(hearth_host_tier_t *host, struct hearth_host_copy *copy)
{
    *(copy->newer != NULL ? &copy->newer->older : &host->newest) = copy->older;
    *(copy->older != NULL ? &copy->older->newer : &host->oldest) = copy->newer;
    copy->newer = copy->older = NULL;
}

static void put_newest(hearth_host_tier_t *host, struct hearth_host_copy *copy)
{
    copy->newer = NULL;
    copy->older = host->newest;
    *(copy->older != NULL ? &copy->older->newer : &host->oldest) = copy;
    host->newest = copy;
}

/* What a copy held, to be freed after the lock. */
struct leaving {
    struct leaving *next;
    hearth_device_t *device;
    void *block;
    uint64_t bytes;
};

static bool leave(hearth_host_tier_t *host, struct hearth_host_copy *copy,
                  struct leaving **list)
{
    struct leaving *l = hearth_malloc(sizeof *l);
    if (l == NULL)
        return false;
    *l = (struct leaving){*list, copy->device, copy->block, copy->bytes};
    *list = l;
    take_out(host, copy);
    __atomic_store_n(&copy->here, 0, __ATOMIC_RELEASE);
    hearth_free(copy->pieces);
    copy->pieces = NULL;
    copy->block = NULL;
    host->report.bytes -= copy->bytes;
    host->report.copies--;
    copy->bytes = 0;
    return true;
}

static void free_block(hearth_device_t *device, void *block, uint64_t bytes)
{
    if (block != NULL)
        device->plugin->memory->host_free(device->dev, block, bytes);
}

static void free_all(struct leaving *list)
{
    while (list != NULL) {
        struct leaving *l = list;
        list = l->next;
        free_block(l->device, l->block, l->bytes);
        hearth_free(l);
    }
}

/* Charges <bytes>, the oldest make room. Nothing leaves when that does not
 * help. */
static bool take_room(hearth_host_tier_t *host, uint64_t bytes,
                      struct leaving **list)
{
    const uint64_t limit = host->report.limit_bytes;
    uint64_t idle = 0;
    for (const struct hearth_host_copy *c = host->oldest; c != NULL;
         c = c->newer)
        idle += c->refs == 0 ? c->bytes : 0;
    if (bytes > limit || host->report.bytes - idle > limit - bytes)
        return false;
    for (struct hearth_host_copy *c = host->oldest, *newer;
         c != NULL && host->report.bytes > limit - bytes; c = newer) {
        newer = c->newer;
        if (c->refs > 0)
            continue;
        if (!leave(host, c, list))
            return false;
        host->report.evictions++;
    }
    host->report.bytes += bytes;
    return true;
}

/* ---- A copy ---- */

void hearth_host_copy_init(struct hearth_host_copy *copy,
                           hearth_host_tier_t *host,
                           const struct hearth_graph *graph,
                           const struct hearth_weights *weights)
{
    *copy = (struct hearth_host_copy){
        .host = host, .graph = graph, .source = weights};
    copy->weights =
        (struct hearth_weights){.struct_bytes = sizeof copy->weights,
                                .ctx = copy,
                                .map = map,
                                .read = read_copy};
}

void hearth_host_forget(struct hearth_host_copy *copy)
{
    hearth_host_tier_t *host = copy->host;
    void *block;
    uint64_t bytes;
    if (host == NULL)
        return;
    hearth_lock_acquire(&host->lock);
    HEARTH_ASSERT(!copy->making && copy->refs == 0);
    block = copy->block;
    bytes = copy->bytes;
    if (block != NULL) {
        take_out(host, copy);
        host->report.bytes -= bytes;
        host->report.copies--;
    }
    hearth_lock_release(&host->lock);
    free_block(copy->device, block, bytes);
    hearth_free(copy->pieces);
    *copy = (struct hearth_host_copy){.host = NULL};
}

/* Reads the whole source into the block. */
static int fill(const struct hearth_host_copy *copy,
                bool (*cancelled)(void *ctx), void *ctx,
                struct hearth_error *err)
{
    const struct hearth_weights *w = copy->source;
    for (uint32_t i = 0; i < copy->piece_count; i++) {
        const struct hearth__host_piece *p = &copy->pieces[i];
        for (uint64_t done = 0; done < p->bytes;) {
            uint64_t n = p->bytes - done < PIECE ? p->bytes - done : PIECE;
            if (cancelled(ctx))
                return hearth_fail(err, HEARTH_ECANCELED,
                                   "the load was given up");
            int rc = w->read(w->ctx, p->segment, p->offset + done, n,
                             copy->block + p->at + done, err);
            if (rc != HEARTH_OK)
                return rc;
            done += n;
        }
    }
    return HEARTH_OK;
}

/* The copy is <making>, by us. HEARTH_ENOSPACE: none can be had now. */
static int make(struct hearth_host_copy *copy, hearth_device_t *device,
                bool (*cancelled)(void *ctx), void *ctx,
                struct hearth_error *err)
{
    hearth_host_tier_t *host = copy->host;
    struct leaving *leaving = NULL;
    struct hearth_error none;
    void *block = NULL;
    uint64_t bytes = 0;
    bool room = false;
    if (lay_out(copy, &bytes) && bytes > 0) {
        hearth_lock_acquire(&host->lock);
        room = take_room(host, bytes, &leaving);
        hearth_lock_release(&host->lock);
    }
    free_all(leaving);
    int rc = HEARTH_ENOSPACE;
    if (room && device->plugin->memory->host_alloc(device->dev, bytes, &block,
                                                   &none) == HEARTH_OK) {
        copy->block = block;
        rc = fill(copy, cancelled, ctx, err);
    }
    hearth_lock_acquire(&host->lock);
    copy->making = false;
    if (rc == HEARTH_OK) {
        copy->device = device;
        copy->bytes = bytes;
        copy->refs = 1;
        put_newest(host, copy);
        host->report.copies++;
        __atomic_store_n(&copy->here, 1, __ATOMIC_RELEASE);
    } else {
        host->report.bytes -= room ? bytes : 0;
        copy->block = NULL;
        hearth_free(copy->pieces);
        copy->pieces = NULL;
    }
    hearth_lock_release(&host->lock);
    if (rc != HEARTH_OK)
        free_block(device, block, bytes);
    return rc;
}

int hearth_host_acquire(struct hearth_host_copy *copy, hearth_device_t *device,
                        bool (*cancelled)(void *ctx), void *ctx,
                        const struct hearth_weights **weights,
                        enum hearth_tier *tier, struct hearth_error *err)
{
    hearth_host_tier_t *host = copy->host;
    bool wanted = false;
    *weights = copy->source;
    *tier = HEARTH_TIER_DISK;
    if (host == NULL || host->report.limit_bytes == 0 ||
        hearth_device_can(device, HEARTH_CAP_HOST_MEMORY))
        return HEARTH_OK;
    hearth_lock_acquire(&host->lock);
    if (!copy->making && copy->block != NULL) {
        copy->refs++;
        take_out(host, copy);
        put_newest(host, copy);
        host->report.hits++;
        *weights = &copy->weights;
        *tier = HEARTH_TIER_HOST;
    } else {
        host->report.misses++;
        wanted = !copy->making;
        copy->making = true;
    }
    hearth_lock_release(&host->lock);
    if (!wanted)
        return HEARTH_OK;
    int rc = make(copy, device, cancelled, ctx, err);
    if (rc == HEARTH_OK)
        *weights = &copy->weights;
    return rc == HEARTH_ENOSPACE ? HEARTH_OK : rc;
}

void hearth_host_release(struct hearth_host_copy *copy,
                         const struct hearth_weights *weights)
{
    if (weights != &copy->weights)
        return;
    hearth_lock_acquire(&copy->host->lock);
    HEARTH_ASSERT(copy->refs > 0);
    copy->refs--;
    hearth_lock_release(&copy->host->lock);
}

void hearth_host_touch(struct hearth_host_copy *copy)
{
    hearth_host_tier_t *host = copy->host;
    if (host == NULL)
        return;
    hearth_lock_acquire(&host->lock);
    if (!copy->making && copy->block != NULL) {
        take_out(host, copy);
        put_newest(host, copy);
    }
    hearth_lock_release(&host->lock);
}

void hearth_host_report(hearth_host_tier_t *host,
                        struct hearth_host_report *report)
{
    *report = (struct hearth_host_report){0};
    if (host == NULL)
        return;
    hearth_lock_acquire(&host->lock);
    *report = host->report;
    hearth_lock_release(&host->lock);
}
