/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed_write.c: writes a model's pack: the graph block, with each weight's
 * place in the pack instead of that in its source; the totals; the weights,
 * aligned, in the order in which a load asks for them.
 */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

struct placed {
    uint32_t value;
    uint64_t offset;
};

static int by_offset(const void *a, const void *b)
{
    const struct placed *p = a, *q = b;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

/* A copy of the graph with places in the pack, and the weights' numbers in the
 * order of their places. */
static int place(const struct hearth_graph *g, struct hearth_graph **graph,
                 struct placed **order, uint32_t *count, uint64_t *bytes,
                 struct hearth_error *err)
{
    uint64_t *offsets =
        hearth_malloc((g->value_count + (size_t)1) * sizeof *offsets);
    *graph = hearth_malloc((size_t)g->bytes);
    *order = hearth_malloc((g->value_count + (size_t)1) * sizeof **order);
    *count = 0;
    int rc =
        offsets == NULL || *graph == NULL || *order == NULL
            ? hearth_fail(err, HEARTH_ENOMEM, "no memory to pack a model")
        : !hearth__packed_place(g, offsets, bytes)
            ? hearth_fail(err, HEARTH_ENOSPACE, "its weights fit into no file")
            : HEARTH_OK;
    if (rc == HEARTH_OK) {
        memcpy(*graph, g, (size_t)g->bytes);
        (*graph)->segment_count = 1;
        struct hearth_graph_value *values =
            (struct hearth_graph_value *)((char *)*graph + g->values);
        for (uint32_t i = 0; i < g->value_count; i++) {
            if (values[i].kind != HEARTH_VALUE_WEIGHT)
                continue;
            values[i].segment = 0;
            values[i].offset = offsets[i];
            (*order)[(*count)++] =
                (struct placed){.value = i, .offset = offsets[i]};
        }
        qsort(*order, *count, sizeof **order, by_offset);
    }
    hearth_free(offsets);
    return rc;
}

static int put_weights(hearth_model_t *m, hearth_pack_put_t *put,
                       const struct placed *order, uint32_t count,
                       struct hearth_error *err)
{
    const struct hearth_weights *w = hearth_model_weights(m);
    int rc = hearth_pack_put_section(put, HEARTH__PACKED_WEIGHTS);
    for (uint32_t i = 0; rc == HEARTH_OK && i < count; i++) {
        const struct hearth_graph_value *v =
            hearth_graph_value(m->graph, order[i].value);
        uint64_t at;
        const void *data;
        rc = w->map(w->ctx, v->segment, v->offset, v->bytes, &data, err);
        if (rc != HEARTH_OK)
            return rc; /* not the put's */
        rc = hearth_pack_put_align(put, HEARTH__PACKED_ALIGNMENT, &at);
        HEARTH_ASSERT(rc != HEARTH_OK || at == order[i].offset);
        if (rc == HEARTH_OK)
            rc = hearth_pack_put_write(put, data, v->bytes);
    }
    /* The last one's padding too, so that the section is as large as placed. */
    (void)hearth_pack_put_align(put, HEARTH__PACKED_ALIGNMENT, NULL);
    return HEARTH_OK;
}

/* Another device, or another process, may have been first. */
static bool is_there(hearth_packs_t *packs, const char *key)
{
    hearth_pack_t *pack;
    int rc = hearth_pack_open(&pack, packs, key, NULL);
    hearth_pack_close(&pack);
    return rc == HEARTH_OK;
}

/* <config> but for what it will take. */
static int write_pack(hearth_model_t *model, hearth_packs_t *packs,
                      struct hearth_pack_put_config *config,
                      struct hearth_error *err)
{
    struct hearth_graph *graph = NULL;
    struct placed *order = NULL;
    hearth_pack_put_t *put = NULL;
    uint32_t count = 0;
    uint64_t bytes = 0;
    int rc = place(model->graph, &graph, &order, &count, &bytes, err);
    if (rc != HEARTH_OK)
        goto out;
    config->expected_bytes = bytes + graph->bytes;
    rc = hearth_pack_put_begin(&put, packs, config, err);
    if (rc != HEARTH_OK)
        goto out;
    (void)hearth_pack_put_section(put, HEARTH__PACKED_GRAPH);
    (void)hearth_pack_put_write(put, graph, graph->bytes);
    (void)hearth_pack_put_section(put, HEARTH__PACKED_TOTALS);
    (void)hearth_pack_put_write(put, &model->totals, sizeof model->totals);
    rc = put_weights(model, put, order, count, err);
    if (rc == HEARTH_OK)
        rc = hearth_pack_put_end(&put, err);
out:
    hearth_pack_put_abort(&put);
    hearth_free(order);
    hearth_free(graph);
    return rc;
}

int hearth_model_pack(hearth_model_t *model, hearth_packs_t *packs,
                      bool (*stop)(void *ctx), void *ctx,
                      struct hearth_error *err)
{
    char key[HEARTH_PACK_KEY_MAX];
    struct hearth_digest digest;
    struct hearth_pack_put_config config = {
        .key = key, .durable = true, .stop = stop, .ctx = ctx};
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    if (model->pack != NULL)
        return HEARTH_OK;
    int rc = hearth_model_digest(model, &digest, err);
    if (rc != HEARTH_OK)
        return rc;
    hearth__packed_key(&digest, model->passes, key);
    if (!is_there(packs, key))
        rc = write_pack(model, packs, &config, err);
    if (rc == HEARTH_OK && model->files.directory >= 0)
        hearth__packed_source_put(packs, &model->files, &digest);
    return rc;
}
