/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed.c: opens a model out of its pack: its graph block, checked, and its
 * weights where they are mapped. No tensor is allocated, copied or looked at.
 *
 * Whose pack it is comes from the digest, and the digest from the file's
 * identity (packed_source.c), so that the model's own file is not read. A file
 * that nobody has seen is hashed, and may still be the copy of one that was
 * packed.
 *
 * The graph is copied out of the mapping before it is checked: what is checked
 * is what is used. It is the plugins' to bear wrong weights, and they do: these
 * are numbers, never offsets.
 */
#include <inttypes.h>
#include <string.h>

#include "config.h"
#include "log/log.h"
#include "model/model_priv.h"

/* To be raised when import makes another graph of the same file. */
#define IMPORT_GENERATION 1

#define FIX "; it is made anew"

/* ---- Keys ---- */

/* What the graph depends on beside the file. */
static int key_text(const struct hearth_digest *digest, uint32_t passes,
                    const char *what, char key[HEARTH_PACK_KEY_MAX])
{
    char text[HEARTH_DIGEST_TEXT];
    int n = snprintf(key, HEARTH_PACK_KEY_MAX,
                     "%s " PACKAGE_VERSION " import %d passes %" PRIx32
                     " graph %d operators %d attributes %d model %s",
                     what, IMPORT_GENERATION, passes, HEARTH_GRAPH_VERSION,
                     HEARTH_OP_COUNT, HEARTH_ATTR_KEY_COUNT,
                     hearth_digest_text(digest, text));
    return n > 0 && n < HEARTH_PACK_KEY_MAX ? HEARTH_OK : HEARTH_ETOOBIG;
}

void hearth__packed_key(const struct hearth_digest *digest, uint32_t passes,
                        char key[HEARTH_PACK_KEY_MAX])
{
    (void)key_text(digest, passes, "packed", key);
}

int hearth_model_pack_key(hearth_model_t *model, const char *what, char *key,
                          struct hearth_error *err)
{
    struct hearth_digest digest;
    int rc = hearth_model_digest(model, &digest, err);
    if (rc == HEARTH_OK &&
        (rc = key_text(&digest, model->passes, what, key)) != HEARTH_OK)
        hearth_fail(err, rc, "a device's name for its weights is too long");
    return rc;
}

/* ---- struct hearth_weights ---- */

static int map_weight(void *ctx, uint32_t segment, uint64_t offset,
                      uint64_t bytes, const void **data,
                      struct hearth_error *err)
{
    const struct hearth_model *m = ctx;
    uint64_t all;
    const char *at = hearth_pack_section(m->pack, HEARTH__PACKED_WEIGHTS, &all);
    *data = NULL;
    if (segment != 0 || offset > all || bytes > all - offset)
        return hearth_fail(err, HEARTH_EIO,
                           "a weight lies outside of the packed ones; import "
                           "the model again");
    *data = at + offset;
    return HEARTH_OK;
}

static int read_weight(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    const void *data;
    int rc = map_weight(ctx, segment, offset, bytes, &data, err);
    if (rc == HEARTH_OK && bytes > 0)
        memcpy(dst, data, (size_t)bytes);
    return rc;
}

/* ---- The pack ---- */

bool hearth__packed_place(const struct hearth_graph *g, uint64_t *offsets,
                          uint64_t *bytes)
{
    const uint32_t *indexes = hearth_graph_at(g, g->indexes);
    uint64_t end = 0;
    memset(offsets, 0xff, g->value_count * sizeof *offsets);
    /* Nodes are in the order of their run, and so are their inputs; then what
     * no node uses. */
    for (uint64_t i = 0; i < (uint64_t)g->index_count + g->value_count; i++) {
        uint32_t v =
            i < g->index_count ? indexes[i] : (uint32_t)(i - g->index_count);
        if (v == HEARTH_NO_VALUE || offsets[v] != UINT64_MAX)
            continue;
        const struct hearth_graph_value *value = hearth_graph_value(g, v);
        if (value->kind != HEARTH_VALUE_WEIGHT)
            continue;
        offsets[v] = end;
        if (__builtin_add_overflow(end, value->bytes, &end) ||
            __builtin_add_overflow(end, HEARTH__PACKED_ALIGNMENT - 1, &end))
            return false;
        end &= ~(uint64_t)(HEARTH__PACKED_ALIGNMENT - 1);
    }
    *bytes = end;
    return end <= INT64_MAX;
}

static int check_weights(const struct hearth_model *m, struct hearth_error *err)
{
    uint64_t all;
    if (hearth_pack_section(m->pack, HEARTH__PACKED_WEIGHTS, &all) == NULL ||
        m->graph->segment_count != 1)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the packed model has no weights" FIX);
    for (uint32_t i = 0; i < m->graph->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(m->graph, i);
        if (v->kind == HEARTH_VALUE_WEIGHT &&
            (v->offset > all || v->bytes > all - v->offset))
            return hearth_fail(
                err, HEARTH_EMODEL,
                "weight %" PRIu32 " lies outside of the packed ones" FIX, i);
    }
    return HEARTH_OK;
}

static int read_graph(struct hearth_model *m, struct hearth_error *err)
{
    uint64_t bytes;
    int rc = hearth_pack_verify(m->pack, HEARTH__PACKED_GRAPH, NULL, NULL, err);
    if (rc != HEARTH_OK)
        return rc;
    const void *block =
        hearth_pack_section(m->pack, HEARTH__PACKED_GRAPH, &bytes);
    m->graph = hearth_malloc((size_t)bytes + 1);
    if (m->graph == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory for the graph; try again later");
    memcpy(m->graph, block, (size_t)bytes);
    rc = hearth_graph_check(m->graph, bytes, err);
    return rc == HEARTH_OK ? check_weights(m, err) : rc;
}

static int read_totals(struct hearth_model *m, struct hearth_error *err)
{
    struct hearth_model_totals *t = &m->totals;
    uint64_t bytes;
    int rc =
        hearth_pack_verify(m->pack, HEARTH__PACKED_TOTALS, NULL, NULL, err);
    if (rc != HEARTH_OK)
        return rc;
    const void *data =
        hearth_pack_section(m->pack, HEARTH__PACKED_TOTALS, &bytes);
    if (bytes != sizeof *t)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the packed model's totals are of another "
                           "version" FIX);
    memcpy(t, data, sizeof *t);
    t->producer[sizeof t->producer - 1] = '\0';
    for (char *c = t->producer; *c != '\0'; c++)
        *c = *c < 0x20 || *c > 0x7e ? '?' : *c;
    t->file_bytes = 0;
    for (uint32_t i = 0; i < m->files.count; i++)
        t->file_bytes += m->files.segments[i].bytes;
    t->mapped_bytes = hearth_pack_bytes(m->pack);
    t->derived_bytes = 0;
    t->heap_bytes = sizeof *m + m->graph->bytes;
    t->weight_bytes = m->graph->weight_bytes;
    t->parameter_count = m->graph->parameter_count;
    t->nodes = m->graph->node_count;
    t->opset = m->graph->opset;
    return HEARTH_OK;
}

int hearth__packed_read(struct hearth_model *m, hearth_pack_t **pack,
                        struct hearth_error *err)
{
    m->pack = *pack;
    m->weights = (struct hearth_weights){.struct_bytes = sizeof m->weights,
                                         .ctx = m,
                                         .map = map_weight,
                                         .read = read_weight};
    int rc = read_graph(m, err);
    if (rc == HEARTH_OK)
        rc = read_totals(m, err);
    if (rc == HEARTH_OK)
        *pack = NULL;
    else
        m->pack = NULL;
    return rc;
}

/* ---- Open ---- */

/* Out of the pack of m->digest. HEARTH_ENOENT: there is no good one. */
static int open_pack(struct hearth_model *m, hearth_packs_t *packs)
{
    char key[HEARTH_PACK_KEY_MAX];
    struct hearth_error why = {0};
    hearth_pack_t *pack;
    hearth__packed_key(&m->digest, m->passes, key);
    int rc = hearth_pack_open(&pack, packs, key, &why);
    if (rc == HEARTH_OK) {
        rc = hearth__packed_read(m, &pack, &why);
        if (rc == HEARTH_EMODEL)
            hearth_packs_discard(packs, key);
        hearth_pack_close(&pack);
    }
    if (rc != HEARTH_OK && rc != HEARTH_ENOENT)
        hearth_log(HEARTH_LOG_WARN, 27,
                   "msg=\"a packed model is not used\" model=\"%s\" "
                   "reason=\"%s\"",
                   hearth__files_short(m->files.segments[0].name), why.text);
    return rc == HEARTH_OK ? HEARTH_OK : HEARTH_ENOENT;
}

/* The digest of the file alone, for one that nobody has seen. With external
 * data it is no model's. Notes the file's state. */
static int look_inside(struct hearth_model *m, const char *path,
                       struct hearth_error *err)
{
    struct hearth__files files;
    int rc = hearth__files_open(&files, path, err);
    if (rc == HEARTH_OK)
        rc = hearth__files_digest(&files, &m->digest, err);
    if (rc == HEARTH_OK)
        m->files.segments[0].stat = files.segments[0].stat;
    hearth__files_close(&files);
    return rc;
}

/* HEARTH_ENOENT with m->files.count > 0: to be imported; <digest> is the
 * file's. */
static int find_pack(struct hearth_model *m, const char *path,
                     hearth_packs_t *packs, struct hearth_error *err)
{
    int rc = hearth__files_look(&m->files, path, err);
    if (rc != HEARTH_OK)
        return rc;
    bool known = hearth__packed_source_find(packs, &m->files, &m->digest);
    if (!known)
        rc = look_inside(m, path, err);
    if (rc != HEARTH_OK)
        return rc;
    rc = open_pack(m, packs);
    if (rc == HEARTH_OK && !known)
        hearth__packed_source_put(packs, &m->files, &m->digest);
    return rc;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    struct hearth_model_file_id x, y;
    hearth__files_id(a, &x);
    hearth__files_id(b, &y);
    return memcmp(&x, &y, sizeof x) == 0;
}

/* <m> was imported. <seen> is what find_pack learned of its file. */
static void learn_digest(struct hearth_model *m,
                         const struct hearth_model *seen, hearth_packs_t *packs)
{
    char key[HEARTH_PACK_KEY_MAX];
    struct hearth_digest digest;
    hearth_pack_t *pack;
    if (m->files.count == 1) {
        if (seen->files.count == 1 && same_file(&m->files.segments[0].stat,
                                                &seen->files.segments[0].stat))
            hearth__model_know(m, &seen->digest);
        return;
    }
    /* With external data only import tells whose pack it is: for next time. */
    if (hearth_model_digest(m, &digest, NULL) != HEARTH_OK)
        return;
    hearth__packed_key(&digest, m->passes, key);
    if (hearth_pack_open(&pack, packs, key, NULL) == HEARTH_OK)
        hearth__packed_source_put(packs, &m->files, &digest);
    hearth_pack_close(&pack);
}

apr_status_t
hearth_model_open_packed(hearth_model_t **model, const char *path,
                         const struct hearth_model_options *options,
                         hearth_packs_t *packs, struct hearth_error *err)
{
    if (packs == NULL)
        return hearth_model_open(model, path, options, err);
    *model = NULL;
    struct hearth_model *m = hearth__model_new(
        options == NULL ? HEARTH_MODEL_PASS_ALL : options->passes);
    if (m == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory to open a model; try again later");
    int rc = find_pack(m, path, packs, err);
    if (rc == HEARTH_OK) {
        hearth__model_know(m, &m->digest);
        *model = m;
        return rc;
    }
    if (rc == HEARTH_ENOENT && m->files.directory >= 0) {
        rc = hearth_model_open(model, path, options, err);
        if (rc == HEARTH_OK)
            learn_digest(*model, m, packs);
    }
    hearth_model_close(&m);
    return rc;
}

bool hearth_model_is_packed(const hearth_model_t *model)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return model->pack != NULL;
}
