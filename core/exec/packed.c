/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed.c: weights as a device wants them, kept in packs.
 *
 * A load that finds them maps them and hands them over; where the device's
 * memory is the host's they are used in place, and stay mapped until the
 * unload: they are read from the disk while the first run goes on. After a load
 * from the source the thread that loads writes two packs, of the model and of
 * what the device made of it, but only while it has nothing else to do: a load
 * or an unload that comes meanwhile ends the writing, and it begins anew when
 * that is done. Nothing waits for a pack.
 *
 * What was mapped is compared with its checksum in the same way, a while later
 * and slowly, for its first requests want the cores.
 */
#include "exec/exec_priv.h"
#include "log/log.h"

#include <string.h>

#define LOWERED 1             /* the section */
#define FOOTPRINT 2           /* likewise: struct footprint */
#define CHECK_AFTER_US 500000 /* of a load */
#define CHECK_REST_US 4000    /* after each piece of a megabyte */
#define LOG_EVERY_US 100000

struct footprint {
    uint64_t model_bytes, load_bytes, arena_bytes;
};

static const struct hearth_model_calls *calls(const struct hearth__unit *u)
{
    return u->device->plugin->model;
}

static bool can_lower(const struct hearth__unit *u)
{
    const struct hearth_model_calls *model = calls(u);
    return model->struct_bytes >=
               offsetof(struct hearth_model_calls, load_lowered) +
                   sizeof model->load_lowered &&
           model->lowered_key != NULL && model->export_lowered != NULL &&
           model->load_lowered != NULL;
}

static int key_of(const struct hearth__unit *u, hearth_model_t *model,
                  char key[HEARTH_PACK_KEY_MAX], struct hearth_error *err)
{
    char own[HEARTH_PACK_KEY_MAX / 2], what[HEARTH_PACK_KEY_MAX];
    const struct hearth_plugin *plugin = u->device->plugin;
    int rc = calls(u)->lowered_key(u->device->dev, own, sizeof own);
    if (rc != HEARTH_OK)
        return hearth_fail(err, rc, "the device has no name for its weights");
    own[sizeof own - 1] = '\0';
    snprintf(what, sizeof what, "lowered %s build %s: %s", plugin->name,
             plugin->build, own);
    return hearth_model_pack_key(model, what, key, err);
}

/* ---- Footprint ---- */

bool hearth_exec_footprint(hearth_exec_t *exec, uint32_t device,
                           hearth_model_t *model, struct hearth_footprint *out)
{
    char key[HEARTH_PACK_KEY_MAX];
    struct footprint known;
    hearth_pack_t *pack;
    uint64_t bytes;
    HEARTH_CHECK(exec, HEARTH__MAGIC_EXEC);
    HEARTH_ASSERT(device < exec->unit_count);
    const struct hearth__unit *u = &exec->units[device];
    if (exec->packs == NULL || !can_lower(u) ||
        key_of(u, model, key, NULL) != HEARTH_OK ||
        hearth_pack_open(&pack, exec->packs, key, NULL) != HEARTH_OK)
        return false;
    const void *data = hearth_pack_section(pack, FOOTPRINT, &bytes);
    bool ok =
        bytes == sizeof known &&
        hearth_pack_verify(pack, FOOTPRINT, NULL, NULL, NULL) == HEARTH_OK;
    if (ok) {
        memcpy(&known, data, sizeof known);
        out->model_bytes = known.model_bytes;
        out->load_bytes = known.load_bytes;
        out->arena_bytes = known.arena_bytes;
    }
    hearth_pack_close(&pack);
    return ok;
}

static void put_footprint(const struct hearth__unit *u, hearth_model_t *model,
                          hearth_pack_put_t *put)
{
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    if (calls(u)->footprint(u->device->dev, hearth_model_graph(model),
                            hearth_model_weights(model), NULL, &fp,
                            NULL) != HEARTH_OK)
        return; /* it is asked each time */
    const struct footprint known = {.model_bytes = fp.model_bytes,
                                    .load_bytes = fp.load_bytes,
                                    .arena_bytes = fp.arena_bytes};
    (void)hearth_pack_put_section(put, FOOTPRINT);
    (void)hearth_pack_put_write(put, &known, sizeof known);
}

/* ---- Load ---- */

static void warn(const struct hearth__unit *u, const hearth_model_t *model,
                 const char *what, const struct hearth_error *err)
{
    static struct hearth_log_limit limit;
    uint32_t left_out;
    if (hearth_log_allow(&limit, u->exec->clock, LOG_EVERY_US, &left_out))
        hearth_log(HEARTH_LOG_WARN, 28,
                   "event=\"%s\" device=%s model=\"%s\" status=%s left_out=%u "
                   "text=\"%s\"",
                   what, u->device->name, hearth_model_path(model),
                   hearth_status_name(err->status), left_out, err->text);
}

static bool never(void *ctx)
{
    const struct hearth_load *load = ctx;
    return load->cancelled != NULL && load->cancelled(load->ctx);
}

static struct hearth__held *hold(struct hearth__unit *u, hearth_model_t *model)
{
    struct hearth__held *held = hearth_calloc(1, sizeof *held);
    if (held == NULL)
        return NULL;
    held->model = model;
    held->next = u->held;
    u->held = held;
    return held;
}

static void drop(struct hearth__unit *u, struct hearth__held *held)
{
    struct hearth__held **at = &u->held;
    while (*at != held)
        at = &(*at)->next;
    *at = held->next;
    hearth_pack_close(&held->pack);
    hearth_free(held);
}

/* Nothing is copied, and runs go on beside this thread: a first run need not
 * wait until all is read, it follows the reading. */
static bool is_used_in_place(const struct hearth__unit *u)
{
    return u->loads_beside &&
           hearth_device_can(u->device, HEARTH_CAP_HOST_MEMORY);
}

int hearth__packed_load(struct hearth__unit *u, struct hearth_exec_task *task,
                        const struct hearth_load *load)
{
    char key[HEARTH_PACK_KEY_MAX];
    struct hearth_error err = {0};
    struct hearth_load with = *load;
    hearth_pack_t *pack;
    uint64_t bytes;
    task->packed = false;
    if (u->exec->packs == NULL || task->model == NULL || !can_lower(u) ||
        key_of(u, task->model, key, NULL) != HEARTH_OK)
        return HEARTH_ENOENT;
    int rc = hearth_pack_open(&pack, u->exec->packs, key, &err);
    if (rc != HEARTH_OK) {
        if (rc != HEARTH_ENOENT)
            warn(u, task->model, "packed weights are not used", &err);
        return HEARTH_ENOENT;
    }
    struct hearth__held *held = hold(u, task->model);
    if (held == NULL) {
        hearth_pack_close(&pack);
        return HEARTH_ENOENT;
    }
    held->pack = pack;
    held->to_warm = is_used_in_place(u);
    if (!held->to_warm)
        (void)hearth_pack_warm(pack, LOWERED, never, &with);
    const void *data = hearth_pack_section(pack, LOWERED, &bytes);
    with.lowered_stays = true;
    rc = data == NULL ? hearth_fail(&err, HEARTH_EMODEL, "they are not there")
                      : calls(u)->load_lowered(u->device->dev, u->copies, &with,
                                               data, bytes, &task->handle,
                                               &task->model_bytes, &err);
    if (rc == HEARTH_OK) {
        held->handle = task->handle;
        held->to_check = true;
        task->packed = true;
        return HEARTH_OK;
    }
    drop(u, held);
    if (rc != HEARTH_EMODEL) {
        task->error = err;
        return rc == HEARTH_ENOENT ? HEARTH_EIO : rc;
    }
    hearth_packs_discard(u->exec->packs, key);
    warn(u, task->model, "packed weights are not used", &err);
    return HEARTH_ENOENT;
}

void hearth__packed_loaded(struct hearth__unit *u,
                           struct hearth_exec_task *task)
{
    static struct hearth_log_limit limit;
    uint32_t left_out;
    if (task->packed)
        __atomic_add_fetch(&u->packed_loads, 1, __ATOMIC_RELAXED);
    if (task->model == NULL)
        return;
    if (hearth_log_allow(&limit, u->exec->clock, LOG_EVERY_US, &left_out))
        hearth_log(HEARTH_LOG_INFO, 29,
                   "event=loaded device=%s model=\"%s\" graph=%s weights=%s "
                   "bytes=%llu us=%lld left_out=%u",
                   u->device->name, hearth_model_path(task->model),
                   hearth_model_is_packed(task->model) ? "packed" : "source",
                   task->packed ? "packed" : "source",
                   (unsigned long long)task->model_bytes,
                   (long long)(task->ended_us - task->began_us), left_out);
    if (u->exec->packs == NULL || task->packed)
        return;
    struct hearth__held *held = hold(u, task->model);
    if (held == NULL)
        return; /* next time */
    held->handle = task->handle;
    held->to_pack = !hearth_model_is_packed(task->model);
    held->to_lower = can_lower(u);
}

void hearth__packed_forget(struct hearth__unit *u,
                           const hearth_dev_model_t *handle)
{
    for (struct hearth__held *h = u->held; h != NULL; h = h->next)
        if (h->handle == handle) {
            drop(u, h);
            return;
        }
}

void hearth__packed_forget_all(struct hearth__unit *u)
{
    while (u->held != NULL)
        drop(u, u->held);
}

uint64_t hearth_exec_packed_loads(const hearth_exec_t *exec, uint32_t device)
{
    HEARTH_CHECK(exec, HEARTH__MAGIC_EXEC);
    HEARTH_ASSERT(device < exec->unit_count);
    return __atomic_load_n(&exec->units[device].packed_loads, __ATOMIC_RELAXED);
}

/* ---- While there is nothing else to do ---- */

static bool has_work(void *ctx)
{
    struct hearth__lane *lane = ctx;
    hearth_lock_acquire(&lane->lock);
    bool has = lane->first != NULL || lane->closing;
    hearth_lock_release(&lane->lock);
    return has;
}

/* Is there nothing to do for a while? */
static bool is_idle(struct hearth__lane *lane, int64_t us)
{
    hearth_lock_acquire(&lane->lock);
    bool idle = lane->first == NULL && !lane->closing;
    if (idle) {
        (void)hearth_cond_wait(&lane->cond, &lane->lock, us);
        idle = lane->first == NULL && !lane->closing;
    }
    hearth_lock_release(&lane->lock);
    return idle;
}

/* As has_work, after a rest. */
static bool rested_has_work(void *ctx)
{
    return !is_idle(ctx, CHECK_REST_US);
}

static int sink_write(void *ctx, const void *data, uint64_t bytes)
{
    return hearth_pack_put_write(ctx, data, bytes);
}

static int lower(struct hearth__unit *u, struct hearth__held *held,
                 struct hearth__lane *lane, struct hearth_error *err)
{
    char key[HEARTH_PACK_KEY_MAX];
    hearth_pack_put_t *put;
    hearth_pack_t *there;
    int rc = key_of(u, held->model, key, err);
    if (rc != HEARTH_OK)
        return rc;
    /* Another device of this kind may have been first. */
    rc = hearth_pack_open(&there, u->exec->packs, key, NULL);
    hearth_pack_close(&there);
    if (rc == HEARTH_OK)
        return rc;
    const struct hearth_pack_put_config config = {
        .key = key,
        .expected_bytes = hearth_model_graph(held->model)->weight_bytes,
        .durable = true,
        .stop = has_work,
        .ctx = lane};
    rc = hearth_pack_put_begin(&put, u->exec->packs, &config, err);
    if (rc != HEARTH_OK)
        return rc;
    (void)hearth_pack_put_section(put, LOWERED);
    const struct hearth_sink sink = {
        .struct_bytes = sizeof sink, .ctx = put, .write = sink_write};
    struct hearth_error own = {0};
    rc = calls(u)->export_lowered(held->handle, &sink, &own);
    /* What the put says is nearer to the cause. */
    int put_rc = hearth_pack_put_write(put, "", 0);
    if (rc == HEARTH_OK && put_rc == HEARTH_OK)
        put_footprint(u, held->model, put);
    if (rc == HEARTH_OK || put_rc != HEARTH_OK)
        return hearth_pack_put_end(&put, err);
    hearth_pack_put_abort(&put);
    return hearth_fail(err, rc, "%s", own.text);
}

struct damaged_work {
    struct hearth_loop_work work;
    void (*damaged)(void *ctx, const hearth_model_t *model);
    void *ctx;
    const hearth_model_t *model;
};

static void tell_damaged(struct hearth_loop_work *work)
{
    struct damaged_work *w = HEARTH_CONTAINER(work, struct damaged_work, work);
    w->damaged(w->ctx, w->model);
    hearth_free(w);
}

static void damaged(struct hearth__unit *u, const struct hearth__held *held,
                    const struct hearth_error *err)
{
    char key[HEARTH_PACK_KEY_MAX];
    struct damaged_work *w = hearth_calloc(1, sizeof *w);
    hearth_log(HEARTH_LOG_ERROR, 30,
               "event=\"packed weights are damaged\" device=%s model=\"%s\" "
               "text=\"%s; answers since its load may be wrong, it is loaded "
               "from its source; check the disk\"",
               u->device->name, hearth_model_path(held->model), err->text);
    if (key_of(u, held->model, key, NULL) == HEARTH_OK)
        hearth_packs_discard(u->exec->packs, key);
    if (w == NULL || u->exec->damaged == NULL) {
        hearth_free(w);
        return;
    }
    w->damaged = u->exec->damaged;
    w->ctx = u->exec->damaged_ctx;
    w->model = held->model;
    (void)hearth_loop_post(u->exec->loop, &w->work, tell_damaged);
}

static bool wants(const struct hearth__held *h)
{
    return h->to_warm || h->to_pack || h->to_lower || h->to_check;
}

bool hearth__packed_wants(const struct hearth__unit *u)
{
    for (const struct hearth__held *h = u->held; h != NULL; h = h->next)
        if (wants(h))
            return true;
    return false;
}

/* The first run waits for it. True: there was one to warm. */
static bool warm(struct hearth__unit *u, struct hearth__lane *lane)
{
    struct hearth__held *h = u->held;
    while (h != NULL && !h->to_warm)
        h = h->next;
    if (h != NULL)
        h->to_warm = !hearth_pack_warm(h->pack, LOWERED, has_work, lane);
    return h != NULL;
}

void hearth__packed_work(struct hearth__unit *u, struct hearth__lane *lane)
{
    struct hearth_error err = {0};
    struct hearth__held *h = u->held;
    bool *what;
    int rc;
    if (warm(u, lane))
        return;
    while (!wants(h))
        h = h->next;
    if (h->to_lower) {
        what = &h->to_lower;
        rc = lower(u, h, lane, &err);
    } else if (h->to_pack) {
        what = &h->to_pack;
        rc = hearth_model_pack(h->model, u->exec->packs, has_work, lane, &err);
    } else if (!is_idle(lane, CHECK_AFTER_US)) {
        return;
    } else {
        what = &h->to_check;
        rc = hearth_pack_verify(h->pack, LOWERED, rested_has_work, lane, &err);
        if (rc == HEARTH_EMODEL)
            damaged(u, h, &err);
    }
    /* A failure, or another process that writes: with the next load. What is
     * damaged is told of again until it is unloaded. */
    if (rc != HEARTH_ECANCELED && (what != &h->to_check || rc == HEARTH_OK))
        *what = false;
    if (rc != HEARTH_OK && rc != HEARTH_ECANCELED && rc != HEARTH_EBUSY &&
        what != &h->to_check)
        warn(u, h->model, "a packed model is not written", &err);
}
