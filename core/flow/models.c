/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.c: the models of an engine's services. Two services with one digest
 * share one model, and so one copy on a device. Adding a model asks devices and
 * the scheduler, so no lock is held meanwhile; a second service waits for it
 * instead, for it may be the same model. Removing never blocks.
 */
#include "flow/flow_priv.h"

#include <string.h>

static struct hearth__model *find(hearth_engine_t *engine,
                                  const struct hearth_digest *digest)
{
    for (struct hearth__model *m = engine->models; m; m = m->next)
        if (memcmp(&m->digest, digest, sizeof(*digest)) == 0)
            return m;
    return NULL;
}

/* What each device says to the model; [device_count], NULL: no memory. */
static struct hearth_sched_fit *ask_devices(hearth_engine_t *engine,
                                            hearth_model_t *model)
{
    struct hearth_sched_fit *fits =
        hearth_calloc(engine->device_count, sizeof(*fits));

    for (uint32_t i = 0; fits && i < engine->device_count; i++) {
        hearth_device_t *device = engine->devices[i];
        struct hearth_footprint fp = {.struct_bytes = sizeof(fp)};

        if (!hearth_exec_footprint(engine->exec, i, model, &fp)) {
            fits[i].status = device->plugin->model->footprint(
                device->dev, hearth_model_graph(model),
                hearth_model_weights(model), NULL, &fp, &fits[i].error);
            hearth_device_note(device, fits[i].status, &fits[i].error);
        }
        fits[i].model_bytes = fp.model_bytes;
        fits[i].load_bytes = fp.load_bytes;
        fits[i].arena_bytes = fp.arena_bytes;
    }
    return fits;
}

struct addition {
    struct hearth__model *model;
    struct hearth_sched_model_config config;
    struct hearth_error *err;
    int status;
};

static void add_on_sched(void *ctx, uint32_t i)
{
    struct addition *a = ctx;

    (void)i;
    a->status = hearth_sched_model_add(a->model->engine->sched, &a->config,
                                       &a->model->sched, a->err);
}

static int add(struct hearth__model *model, const char *name,
               struct hearth_error *err)
{
    hearth_model_t *onnx = hearth_store_model(model->entry);
    struct hearth_sched_fit *fits = ask_devices(model->engine, onnx);
    struct addition a = {
        .model = model,
        .config = {.name = name,
                   .graph = hearth_model_graph(onnx),
                   .weights = hearth_model_weights(onnx),
                   .model = onnx,
                   .fits = fits},
        .err = err,
    };

    if (fits == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory to open the model: free some");
    hearth__on_loop(model->engine->sched_loop, add_on_sched, &a, 0);
    hearth_free(fits);
    return a.status;
}

int hearth__model_acquire(struct hearth__model **out, hearth_engine_t *engine,
                          hearth_store_entry_t *entry, const char *name,
                          struct hearth_error *err)
{
    const struct hearth_digest *digest = hearth_store_digest(entry);
    struct hearth__model *model;
    int status;

    *out = NULL;
    hearth_lock_acquire(&engine->lock);
    while (engine->acquiring)
        hearth_cond_wait(&engine->changed, &engine->lock, -1);
    model = find(engine, digest);
    if (model)
        model->refs++;
    else
        engine->acquiring = true;
    hearth_lock_release(&engine->lock);
    if (model) {
        hearth_store_unref(&entry);
        *out = model;
        return HEARTH_OK;
    }

    model = hearth_calloc(1, sizeof(*model));
    if (model) {
        model->engine = engine;
        model->digest = *digest;
        model->refs = 1;
        model->entry = entry;
        status = add(model, name, err);
    } else {
        status = hearth_fail(err, HEARTH_ENOMEM,
                             "no memory to open the model: free some");
    }
    if (status != HEARTH_OK) {
        hearth_free(model);
        hearth_store_unref(&entry);
    }
    hearth_lock_acquire(&engine->lock);
    engine->acquiring = false;
    if (status == HEARTH_OK) {
        model->next = engine->models;
        engine->models = model;
        engine->model_count++;
        *out = model;
    }
    hearth_cond_broadcast(&engine->changed);
    hearth_lock_release(&engine->lock);
    return status;
}

/* On the scheduler's thread: what a device has of it is not to be trusted. The
 * next request loads it again. */
void hearth__model_distrust(void *ctx, const hearth_model_t *onnx)
{
    hearth_engine_t *engine = ctx;
    struct hearth__model *model;

    hearth_lock_acquire(&engine->lock);
    for (model = engine->models; model; model = model->next)
        if (hearth_store_model(model->entry) == onnx)
            break;
    hearth_lock_release(&engine->lock);
    /* Its removal comes on this thread too. */
    if (model)
        hearth_sched_model_unload(engine->sched, model->sched);
}

/* ---- Removal ---- */

/* On the scheduler's thread: no device holds it any more. */
static void removed(void *ctx)
{
    struct hearth__model *model = ctx;
    hearth_engine_t *engine = model->engine;

    hearth_store_unref(&model->entry);
    hearth_free(model);
    hearth_lock_acquire(&engine->lock);
    engine->model_count--;
    hearth_cond_broadcast(&engine->changed);
    hearth_lock_release(&engine->lock);
}

static void remove_on_sched(struct hearth_loop_work *work)
{
    struct hearth__model *model =
        HEARTH_CONTAINER(work, struct hearth__model, remove);

    hearth_sched_model_remove(model->engine->sched, model->sched, removed,
                              model);
}

void hearth__model_release(struct hearth__model *model)
{
    hearth_engine_t *engine = model->engine;
    bool last;

    hearth_lock_acquire(&engine->lock);
    last = --model->refs == 0;
    if (last) {
        struct hearth__model **link = &engine->models;

        while (*link != model)
            link = &(*link)->next;
        *link = model->next;
    }
    hearth_lock_release(&engine->lock);
    if (last)
        hearth_loop_post(engine->sched_loop, &model->remove, remove_on_sched);
}
