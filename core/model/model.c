/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c: the handle: opens, imports, answers questions, closes.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "model/model_priv.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are mapped as they lie, which is little-endian"
#endif

/* Two threads may both compute it; only one writes. */
enum { DIGEST_NONE, DIGEST_WRITING, DIGEST_WRITTEN };

const char *hearth_model_external(const hearth_model_t *m, uint32_t i)
{
    return i + 1 < m->files.count ? m->files.segments[i + 1].name : NULL;
}

static void copy_text(char *dst, size_t size, struct hearth__slice text)
{
    int n = hearth__slice_cut(text, (int)size - 1);
    for (int i = 0; i < n; i++)
        dst[i] =
            text.at[i] < 0x20 || text.at[i] > 0x7e ? '?' : (char)text.at[i];
    dst[n] = '\0';
}

static void fill_totals(struct hearth_model *m, const struct hearth__ir *ir)
{
    struct hearth_model_totals *t = &m->totals;
    char name[48], version[16];
    for (uint32_t i = 0; i < m->files.count; i++) {
        t->file_bytes += m->files.segments[i].bytes;
        if (m->files.segments[i].fd >= 0)
            t->mapped_bytes += m->files.segments[i].bytes;
    }
    t->derived_bytes = m->files.derived_bytes;
    t->heap_bytes = sizeof *m + m->graph->bytes + t->derived_bytes;
    t->weight_bytes = m->graph->weight_bytes;
    t->parameter_count = m->graph->parameter_count;
    t->source_nodes = ir->sources.count;
    t->nodes = m->graph->node_count;
    t->ir_version = ir->head.ir_version;
    t->opset = ir->head.opset;
    copy_text(name, sizeof name, ir->head.producer);
    copy_text(version, sizeof version, ir->head.producer_version);
    snprintf(t->producer, sizeof t->producer, "%s%s%s", name,
             version[0] != '\0' ? " " : "", version);
}

static int import(struct hearth_model *m, uint32_t passes,
                  struct hearth_error *err)
{
    struct hearth__ir ir;
    bool batched = false;
    hearth__ir_init(&ir, &m->files, passes, err);
    int rc = hearth__import(&ir);
    if (rc == HEARTH_OK)
        rc = hearth__passes_run(&ir);
    if (rc == HEARTH_OK)
        rc = hearth__prove_batch(&ir, &batched);
    if (rc == HEARTH_OK)
        rc = hearth__block_write(&ir, batched, &m->graph);
    if (rc == HEARTH_OK)
        fill_totals(m, &ir);
    hearth__ir_fini(&ir);
    return rc;
}

struct hearth_model *hearth__model_new(uint32_t passes)
{
    struct hearth_model *m = hearth_calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->magic = HEARTH__MAGIC_MODEL;
    m->passes = passes;
    m->files.directory = -1;
    return m;
}

void hearth__model_know(struct hearth_model *m,
                        const struct hearth_digest *digest)
{
    m->digest = *digest;
    m->has_digest = DIGEST_WRITTEN;
}

/* <path> NULL: from memory. */
static int open_any(hearth_model_t **model, const char *path, const void *data,
                    uint64_t bytes, const char *name,
                    const struct hearth_model_options *options,
                    struct hearth_error *err)
{
    struct hearth_error local = {0};
    uint32_t passes = options == NULL ? HEARTH_MODEL_PASS_ALL : options->passes;
    *model = NULL;
    err = err == NULL ? &local : err;
    struct hearth_model *m = hearth__model_new(passes);
    if (m == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "%s: no memory to open a model; try again later",
                           hearth__files_short(name));
    int rc = path != NULL
                 ? hearth__files_open(&m->files, path, err)
                 : hearth__files_memory(&m->files, data, bytes, name, err);
    if (rc == HEARTH_OK && (rc = import(m, passes, err)) != HEARTH_OK)
        hearth_fail_prefix(err, "%s", hearth__files_short(name));
    m->weights = (struct hearth_weights){.struct_bytes = sizeof m->weights,
                                         .ctx = &m->files,
                                         .map = hearth__files_map,
                                         .read = hearth__files_read};
    if (rc == HEARTH_OK)
        *model = m;
    else
        hearth_model_close(&m);
    return rc;
}

apr_status_t hearth_model_open(hearth_model_t **model, const char *path,
                               const struct hearth_model_options *options,
                               struct hearth_error *err)
{
    return open_any(model, path, NULL, 0, path, options, err);
}

apr_status_t hearth_model_open_memory(
    hearth_model_t **model, const void *data, uint64_t bytes, const char *name,
    const struct hearth_model_options *options, struct hearth_error *err)
{
    return open_any(model, NULL, data, bytes, name, options, err);
}

void hearth_model_close(hearth_model_t **model)
{
    struct hearth_model *m = *model;
    if (m == NULL)
        return;
    HEARTH_CHECK(m, HEARTH__MAGIC_MODEL);
    hearth__files_close(&m->files);
    hearth_pack_close(&m->pack);
    hearth_free(m->graph);
    m->magic = 0;
    hearth_free(m);
    *model = NULL;
}

const struct hearth_graph *hearth_model_graph(const hearth_model_t *model)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return model->graph;
}

const struct hearth_weights *hearth_model_weights(const hearth_model_t *model)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return &model->weights;
}

const char *hearth_model_path(const hearth_model_t *model)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return model->files.segments[0].name;
}

apr_status_t hearth_model_digest(hearth_model_t *model,
                                 struct hearth_digest *digest,
                                 struct hearth_error *err)
{
    uint32_t none = DIGEST_NONE;
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    if (__atomic_load_n(&model->has_digest, __ATOMIC_ACQUIRE) ==
        DIGEST_WRITTEN) {
        *digest = model->digest;
        return HEARTH_OK;
    }
    int rc = hearth__files_digest(&model->files, digest, err);
    if (rc == HEARTH_OK && __atomic_compare_exchange_n(
                               &model->has_digest, &none, DIGEST_WRITING, false,
                               __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        model->digest = *digest;
        __atomic_store_n(&model->has_digest, DIGEST_WRITTEN, __ATOMIC_RELEASE);
    }
    return rc;
}

bool hearth_model_file_id(const char *path, struct hearth_model_file_id *id)
{
    struct stat now;
    if (stat(path, &now) != 0)
        return false;
    hearth__files_id(&now, id);
    return true;
}

void hearth_model_opened_id(const hearth_model_t *model,
                            struct hearth_model_file_id *id)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    hearth__files_id(&model->files.segments[0].stat, id);
}

bool hearth_model_is_current(const hearth_model_t *model, const char *path)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return hearth__files_current(&model->files, path);
}

void hearth_model_totals(const hearth_model_t *model,
                         struct hearth_model_totals *totals)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    *totals = model->totals;
}

/* ---- Signature ---- */

static bool port(const hearth_model_t *model, const uint32_t *list,
                 uint32_t count, uint32_t i, struct hearth_model_port *out)
{
    if (i >= count)
        return false;
    const struct hearth_graph_value *v =
        hearth_graph_value(model->graph, list[i]);
    out->name = hearth_graph_string(model->graph, v->name);
    out->dtype = (enum hearth_dtype)v->dtype;
    out->shape = hearth_graph_shape(v);
    return true;
}

bool hearth_model_input(const hearth_model_t *model, uint32_t i,
                        struct hearth_model_port *out)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return port(model, hearth_graph_inputs(model->graph),
                model->graph->input_count, i, out);
}

bool hearth_model_output(const hearth_model_t *model, uint32_t i,
                         struct hearth_model_port *out)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    return port(model, hearth_graph_outputs(model->graph),
                model->graph->output_count, i, out);
}

static uint32_t find(const hearth_model_t *model,
                     bool (*get)(const hearth_model_t *model, uint32_t i,
                                 struct hearth_model_port *out),
                     const char *name)
{
    struct hearth_model_port p;
    for (uint32_t i = 0; get(model, i, &p); i++)
        if (strcmp(p.name, name) == 0)
            return i;
    return HEARTH_NO_VALUE;
}

uint32_t hearth_model_find_input(const hearth_model_t *model, const char *name)
{
    return find(model, hearth_model_input, name);
}

uint32_t hearth_model_find_output(const hearth_model_t *model, const char *name)
{
    return find(model, hearth_model_output, name);
}

const char *hearth_model_symbol(const hearth_model_t *model, int64_t dim)
{
    HEARTH_CHECK(model, HEARTH__MAGIC_MODEL);
    const struct hearth_graph *g = model->graph;
    if (!HEARTH_DIM_IS_SYMBOL(dim) ||
        HEARTH_DIM_SYMBOL_INDEX(dim) >= g->symbol_count)
        return "";
    const uint32_t *names = hearth_graph_at(g, g->symbols);
    return hearth_graph_string(g, names[HEARTH_DIM_SYMBOL_INDEX(dim)]);
}

const char *hearth_model_shape_text(const hearth_model_t *model,
                                    const struct hearth_shape *shape, char *buf,
                                    size_t size)
{
    size_t used = 0;
    if (shape->rank < 0) {
        snprintf(buf, size, "[...]");
        return buf;
    }
    for (int i = 0; i < shape->rank && used < size; i++) {
        const char *name = hearth_model_symbol(model, shape->dims[i]);
        const char *before = i == 0 ? "[" : ",";
        int n;
        if (!HEARTH_DIM_IS_SYMBOL(shape->dims[i]))
            n = snprintf(buf + used, size - used, "%s%" PRId64, before,
                         shape->dims[i]);
        else
            n = snprintf(buf + used, size - used, "%s%.40s", before,
                         name[0] == '\0' ? "?" : name);
        used += n < 0 ? 0 : (size_t)n;
    }
    if (used < size)
        snprintf(buf + used, size - used, shape->rank == 0 ? "[]" : "]");
    return buf;
}
