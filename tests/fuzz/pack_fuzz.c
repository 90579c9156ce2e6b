/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as a pack, and as what is in a model's. The first byte
 * says what the rest is: a file; a file whose head gets its checksum; a graph
 * block in a pack that is right otherwise, with as many pages of weights as the
 * second byte says. A model that is taken must have its weights in the pack and
 * be such that a plugin can specialise it.
 */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"
#include "pack/pack_priv.h"

#define PAGE HEARTH_PACK_ALIGNMENT
#define FILE_MAX (UINT64_C(1) << 20)
#define INPUTS_MAX 16
#define KEY "key"

enum { RAW = 0, SEALED, GRAPH, MODES };

static uint64_t pages(uint64_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void specialise(const struct hearth_graph *g,
                       const struct hearth_weights *w, int64_t size)
{
    struct hearth_shape shapes[INPUTS_MAX];
    struct hearth_error err;
    struct hearth_spec spec;
    if (g->input_count > INPUTS_MAX)
        return;
    for (uint32_t i = 0; i < g->input_count; i++) {
        shapes[i] = hearth_graph_shape(
            hearth_graph_value(g, hearth_graph_inputs(g)[i]));
        if (shapes[i].rank < 0)
            shapes[i] = (struct hearth_shape){.rank = 2};
        for (int k = 0; k < shapes[i].rank; k++)
            if (shapes[i].dims[k] < 0)
                shapes[i].dims[k] = size;
    }
    if (hearth_spec_create(&spec, g, w, shapes, &err) == HEARTH_OK)
        hearth_spec_destroy(&spec);
}

/* Everything that may be asked of a pack that was taken. */
static void use_pack(const hearth_pack_t *pack, const char *file,
                     uint64_t bytes)
{
    struct hearth_error err;
    for (uint32_t kind = 0; kind < 5; kind++) {
        uint64_t n;
        const char *at = hearth_pack_section(pack, kind, &n);
        if (at != NULL && (at < file || n > bytes - (uint64_t)(at - file)))
            abort();
        (void)hearth_pack_verify(pack, kind, NULL, NULL, &err);
        hearth_pack_warm(pack, kind, NULL, NULL);
    }
}

static void use_model(hearth_pack_t **pack)
{
    struct hearth_error err = {0};
    struct hearth_model *m = hearth__model_new(HEARTH_MODEL_PASS_ALL);
    if (m == NULL)
        abort();
    if (hearth__packed_read(m, pack, &err) == HEARTH_OK) {
        const struct hearth_graph *g = hearth_model_graph(m);
        const struct hearth_weights *w = hearth_model_weights(m);
        struct hearth_model_totals totals;
        hearth_model_totals(m, &totals);
        for (uint32_t i = 0; i < g->value_count; i++) {
            const struct hearth_graph_value *v = hearth_graph_value(g, i);
            const void *at;
            if (v->kind == HEARTH_VALUE_WEIGHT &&
                w->map(w->ctx, v->segment, v->offset, v->bytes, &at, &err) !=
                    HEARTH_OK)
                abort();
        }
        specialise(g, w, 1);
        specialise(g, w, 3);
    }
    hearth_model_close(&m);
}

static void add_section(struct hearth__pack_head *head, char *file,
                        uint32_t kind, const void *data, uint64_t bytes)
{
    struct hearth__pack_section *s = &head->sections[head->section_count++];
    s->kind = kind;
    s->offset = head->file_bytes;
    s->bytes = bytes;
    if (data != NULL && bytes > 0)
        memcpy(file + s->offset, data, bytes);
    hearth_sha256(file + s->offset, bytes, &s->sum);
    head->file_bytes += pages(bytes);
}

/* A pack of that graph. */
static uint64_t make_pack(char *file, const uint8_t *graph, uint64_t bytes,
                          uint64_t weights)
{
    static const struct hearth_model_totals totals;
    struct hearth__pack_head *head = (struct hearth__pack_head *)file;
    memcpy(head->magic, HEARTH__PACK_MAGIC, sizeof head->magic);
    head->version = HEARTH__PACK_VERSION;
    head->file_bytes = sizeof *head;
    memcpy(head->key, KEY, sizeof KEY);
    add_section(head, file, HEARTH__PACKED_GRAPH, graph, bytes);
    add_section(head, file, HEARTH__PACKED_TOTALS, &totals, sizeof totals);
    add_section(head, file, HEARTH__PACKED_WEIGHTS, NULL, weights);
    return head->file_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static _Alignas(PAGE) char file[2 * FILE_MAX];
    struct hearth__pack_head *head = (struct hearth__pack_head *)file;
    struct hearth_error err;
    hearth_pack_t *pack;
    if (bytes < 2 || bytes > FILE_MAX / 2 || hearth_base_init() != HEARTH_OK)
        return 0;
    uint64_t used = hearth_mem_used_bytes(), file_bytes = bytes - 2;
    int mode = data[0] % MODES;
    memset(file, 0, sizeof file);
    if (mode == GRAPH)
        file_bytes =
            make_pack(file, data + 2, bytes - 2, (uint64_t)data[1] * 16);
    else
        memcpy(file, data + 2, bytes - 2);
    if (mode != RAW && file_bytes >= sizeof *head)
        hearth__pack_seal(head, &head->sum);
    int rc = hearth_pack_open_memory(&pack, file, file_bytes, KEY, &err);
    if ((rc == HEARTH_OK) != (pack != NULL) ||
        (mode == GRAPH && rc != HEARTH_OK))
        abort();
    if (pack != NULL) {
        use_pack(pack, file, file_bytes);
        use_model(&pack);
        hearth_pack_close(&pack);
    }
    if (hearth_mem_used_bytes() != used)
        abort();
    return 0;
}
