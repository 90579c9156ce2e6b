/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c: the modelled device: its descriptor, memory, queues and events.
 *
 * Memory is the host's, counted against the spec's. A queue is a list of runs
 * with ascending end times, all by the host's clock; copies are done at once,
 * so that an event is reached when the runs before it are over.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "sim.h"

#define ALIGNMENT 64

const struct hearth_host *sim_host;

/* ---- Faults and the count of bytes ---- */

int sim_call(hearth_dev_t *dev, enum sim_call call, struct hearth_error *err)
{
    if (__atomic_load_n(&dev->lost, __ATOMIC_ACQUIRE))
        return hearth_fail(err, HEARTH_EDEVICE,
                           "sim: the device was lost, as its spec says");
    uint64_t n = __atomic_add_fetch(&dev->calls[call], 1, __ATOMIC_ACQ_REL);
    for (uint32_t i = 0; i < dev->spec.fault_count; i++) {
        const struct sim_fault *f = &dev->spec.faults[i];
        if (f->call != call || n < f->first || n - f->first >= f->count)
            continue;
        if (f->status == HEARTH_EDEVICE)
            __atomic_store_n(&dev->lost, 1, __ATOMIC_RELEASE);
        return hearth_fail(err, f->status,
                           "sim: call %" PRIu64 " fails, as its spec says", n);
    }
    return HEARTH_OK;
}

int sim_take(hearth_dev_t *dev, uint64_t bytes, struct hearth_error *err)
{
    uint64_t used = __atomic_load_n(&dev->used, __ATOMIC_ACQUIRE), sum;
    do {
        if (__builtin_add_overflow(used, bytes, &sum) || sum > dev->spec.mem)
            return hearth_fail(err, HEARTH_ENOMEM,
                               "sim: %" PRIu64 " bytes are wanted, %" PRIu64
                               " of %" PRIu64 " are free; evict or give more "
                               "mem",
                               bytes, dev->spec.mem - used, dev->spec.mem);
    } while (!__atomic_compare_exchange_n(&dev->used, &used, sum, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return HEARTH_OK;
}

void sim_give(hearth_dev_t *dev, uint64_t bytes)
{
    __atomic_sub_fetch(&dev->used, bytes, __ATOMIC_ACQ_REL);
}

/* ---- plugin ---- */

static int plugin_init(const struct hearth_host *host, struct hearth_error *err)
{
    (void)err;
    sim_host = host;
    return HEARTH_OK;
}

static int plugin_probe(struct hearth_probe *probe, struct hearth_error *err)
{
    (void)err;
    probe->device_count = 1;
    probe->score = 1;
    snprintf(probe->sentence, sizeof probe->sentence,
             "modelled devices, as many as are named");
    return HEARTH_OK;
}

static int plugin_open(const struct hearth_open_config *config,
                       hearth_dev_t **out, struct hearth_error *err)
{
    static uint32_t number;
    struct sim_spec spec;
    int rc = sim_spec_parse(config->spec, &spec, err);
    if (rc != HEARTH_OK)
        return rc;
    hearth_dev_t *dev = calloc(1, sizeof *dev);
    if (dev == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "sim: no memory; try again");
    dev->spec = spec;
    dev->used = spec.overhead;
    dev->number = __atomic_fetch_add(&number, 1, __ATOMIC_RELAXED);
    *out = dev;
    return HEARTH_OK;
}

static void plugin_close(hearth_dev_t *dev)
{
    free(dev);
}

const struct hearth_plugin_calls sim_plugin_calls = {
    .struct_bytes = sizeof sim_plugin_calls,
    .init = plugin_init,
    .probe = plugin_probe,
    .open = plugin_open,
    .close = plugin_close,
};

/* ---- device ---- */

static int device_properties(hearth_dev_t *dev,
                             struct hearth_device_properties *out,
                             struct hearth_error *err)
{
    (void)err;
    uint64_t used = __atomic_load_n(&dev->used, __ATOMIC_ACQUIRE);
    out->caps = HEARTH_CAP_ASYNC_RUN |
                (dev->spec.beside ? HEARTH_CAP_LOAD_BESIDE_RUN : 0) |
                (dev->spec.host_memory ? HEARTH_CAP_HOST_MEMORY : 0);
    snprintf(out->name, sizeof out->name, "modelled device");
    snprintf(out->uuid, sizeof out->uuid, "sim-%" PRIu32, dev->number);
    snprintf(out->arch, sizeof out->arch, "sim");
    out->bytes_total = dev->spec.mem;
    out->bytes_free = dev->spec.mem - used;
    out->overhead_bytes = dev->spec.overhead;
    out->alignment = ALIGNMENT;
    out->units = 1;
    return HEARTH_OK;
}

static int device_health(hearth_dev_t *dev, struct hearth_error *err)
{
    if (__atomic_load_n(&dev->lost, __ATOMIC_ACQUIRE))
        return hearth_fail(err, HEARTH_EDEVICE,
                           "sim: the device was lost, as its spec says");
    return HEARTH_OK;
}

const struct hearth_device_calls sim_device_calls = {
    .struct_bytes = sizeof sim_device_calls,
    .properties = device_properties,
    .health = device_health,
};

/* ---- memory ---- */

static int host_alloc(hearth_dev_t *dev, uint64_t bytes, void **ptr,
                      struct hearth_error *err)
{
    (void)dev;
    uint64_t whole;
    *ptr = NULL;
    if (!__builtin_add_overflow(bytes, ALIGNMENT - 1, &whole))
        *ptr = aligned_alloc(ALIGNMENT, whole / ALIGNMENT * ALIGNMENT);
    if (*ptr == NULL)
        return hearth_fail(
            err, HEARTH_ENOMEM,
            "sim: no host memory for %" PRIu64 " bytes; try again", bytes);
    return HEARTH_OK;
}

static void host_free(hearth_dev_t *dev, void *ptr, uint64_t bytes)
{
    (void)dev;
    (void)bytes;
    free(ptr);
}

static int memory_alloc(hearth_dev_t *dev, uint64_t bytes, void **ptr,
                        struct hearth_error *err)
{
    int rc = sim_call(dev, SIM_ALLOC, err);
    if (rc == HEARTH_OK)
        rc = sim_take(dev, bytes, err);
    if (rc != HEARTH_OK)
        return rc;
    rc = host_alloc(dev, bytes, ptr, err);
    if (rc != HEARTH_OK)
        sim_give(dev, bytes);
    return rc;
}

static void memory_free(hearth_dev_t *dev, void *ptr, uint64_t bytes)
{
    if (ptr == NULL)
        return;
    free(ptr);
    sim_give(dev, bytes);
}

static uint64_t memory_used(hearth_dev_t *dev)
{
    return __atomic_load_n(&dev->used, __ATOMIC_ACQUIRE);
}

const struct hearth_memory_calls sim_memory_calls = {
    .struct_bytes = sizeof sim_memory_calls,
    .alloc = memory_alloc,
    .free = memory_free,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .used_bytes = memory_used,
};

/* ---- queue ---- */

struct hearth_queue {
    hearth_dev_t *dev;
    struct sim_run *first, *last;
    int64_t not_before_us; /* what event_wait demands of later runs */
};

struct hearth_event {
    int64_t at_us;
};

hearth_dev_t *sim_queue_dev(hearth_queue_t *queue)
{
    return queue->dev;
}

/* When a run that is added now may begin. */
static int64_t free_at_us(const hearth_queue_t *queue)
{
    int64_t at = sim_host->now_us(sim_host->ctx);
    if (queue->last != NULL && queue->last->end_us > at)
        at = queue->last->end_us;
    return queue->not_before_us > at ? queue->not_before_us : at;
}

void sim_queue_add(hearth_queue_t *queue, struct sim_run *run, int64_t us)
{
    run->end_us = free_at_us(queue) + us;
    run->next = NULL;
    if (queue->last != NULL)
        queue->last->next = run;
    else
        queue->first = run;
    queue->last = run;
}

static int queue_create(hearth_dev_t *dev, enum hearth_queue_kind kind,
                        hearth_queue_t **queue, struct hearth_error *err)
{
    (void)kind;
    *queue = calloc(1, sizeof **queue);
    if (*queue == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "sim: no memory; try again");
    (*queue)->dev = dev;
    (*queue)->not_before_us = INT64_MIN;
    return HEARTH_OK;
}

static void queue_destroy(hearth_queue_t *queue)
{
    free(queue);
}

static int queue_copy(hearth_queue_t *queue, void *dst, const void *src,
                      uint64_t bytes, enum hearth_copy_kind kind,
                      struct hearth_error *err)
{
    (void)kind;
    int rc = sim_call(queue->dev, SIM_COPY, err);
    if (rc == HEARTH_OK)
        memcpy(dst, src, bytes);
    return rc;
}

static int queue_fill(hearth_queue_t *queue, void *dst, int value,
                      uint64_t bytes, struct hearth_error *err)
{
    int rc = sim_call(queue->dev, SIM_COPY, err);
    if (rc == HEARTH_OK)
        memset(dst, value, bytes);
    return rc;
}

static int event_create(hearth_dev_t *dev, hearth_event_t **event,
                        struct hearth_error *err)
{
    (void)dev;
    *event = calloc(1, sizeof **event);
    return *event != NULL
               ? HEARTH_OK
               : hearth_fail(err, HEARTH_ENOMEM, "sim: no memory; try again");
}

static void event_destroy(hearth_event_t *event)
{
    free(event);
}

static int event_record(hearth_queue_t *queue, hearth_event_t *event,
                        struct hearth_error *err)
{
    (void)err;
    event->at_us = free_at_us(queue);
    return HEARTH_OK;
}

static int event_wait(hearth_queue_t *queue, hearth_event_t *event,
                      struct hearth_error *err)
{
    (void)err;
    if (event->at_us > queue->not_before_us)
        queue->not_before_us = event->at_us;
    return HEARTH_OK;
}

static int event_query(hearth_event_t *event, struct hearth_error *err)
{
    (void)err;
    return sim_host->now_us(sim_host->ctx) >= event->at_us ? HEARTH_OK
                                                           : HEARTH_EAGAIN;
}

static int queue_poll(hearth_queue_t *queue, int64_t *next_us,
                      struct hearth_error *err)
{
    (void)err;
    while (queue->first != NULL &&
           queue->first->end_us <= sim_host->now_us(sim_host->ctx)) {
        struct sim_run *run = queue->first;
        queue->first = run->next;
        if (queue->first == NULL)
            queue->last = NULL;
        run->finish(run);
    }
    *next_us = queue->first != NULL ? queue->first->end_us : INT64_MAX;
    return HEARTH_OK;
}

static int queue_synchronise(hearth_queue_t *queue, int64_t deadline_us,
                             struct hearth_error *err)
{
    int64_t next_us;
    for (;;) {
        queue_poll(queue, &next_us, err);
        if (next_us == INT64_MAX)
            return HEARTH_OK;
        if (sim_host->now_us(sim_host->ctx) >= deadline_us)
            return hearth_fail(err, HEARTH_ETIMEOUT,
                               "sim: a run is not over yet; ask again");
        sim_host->wait_until_us(sim_host->ctx,
                                next_us < deadline_us ? next_us : deadline_us);
    }
}

const struct hearth_queue_calls sim_queue_calls = {
    .struct_bytes = sizeof sim_queue_calls,
    .create = queue_create,
    .destroy = queue_destroy,
    .copy = queue_copy,
    .fill = queue_fill,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_query = event_query,
    .poll = queue_poll,
    .synchronise = queue_synchronise,
};

/* ---- The descriptor ---- */

__attribute__((visibility("default"))) const struct hearth_plugin *
hearth_plugin_v1(void)
{
    static const struct hearth_plugin plugin = {
        .magic = HEARTH_PLUGIN_MAGIC,
        .abi_major = HEARTH_PLUGIN_ABI_MAJOR,
        .abi_minor = HEARTH_PLUGIN_ABI_MINOR,
        .struct_bytes = sizeof plugin,
        .build = PACKAGE_VERSION,
        .name = "sim",
        .plugin = &sim_plugin_calls,
        .device = &sim_device_calls,
        .memory = &sim_memory_calls,
        .queue = &sim_queue_calls,
        .model = &sim_model_calls,
    };
    return &plugin;
}
