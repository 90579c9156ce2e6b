/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lowered.c: packed weights, to be kept beside a model and loaded without
 * packing: a head, the list of packs, zeros up to a page, and the weights as
 * they lie in memory. Where the section stays mapped they are used there: a
 * load then touches none of them.
 *
 * The list is made anew from the graph at each load, and the section must have
 * the same one, so that no offset of it is ever followed; only which way each
 * convolution goes is taken from it, where it may go that way. What is copied
 * must have the head's hash, too; of what is mapped the core keeps a checksum.
 * What does not fit is stale or damaged, and the source is loaded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "cpu.h"

#define LOWERED_MAGIC 0x4c555043u /* "CPUL" */
#define LOWERED_VERSION 3
#define PAGE 4096

struct head {
    uint32_t magic, version;
    uint64_t pack_count, weight_bytes;
    uint64_t hash; /* of the weights */
};
struct entry {
    uint32_t value, node, kind, size;
    uint64_t bytes, offset, layout_bytes;
};

int cpu_lowered_key(hearth_dev_t *dev, char *key, uint32_t size)
{
    const dnnl_version_t *v = dnnl_version();
    int n = snprintf(key, size,
                     "cpu " PACKAGE_VERSION " %s block %d threads %d "
                     "winograd %d tune %d oneDNN %d.%d.%d %s",
                     dev->arch, dev->block, dev->threads, dev->winograd,
                     dev->tune, v->major, v->minor, v->patch, v->hash);
    return n > 0 && (uint32_t)n < size ? HEARTH_OK : HEARTH_ETOOBIG;
}

/* Eight bytes a step; against accidents, not against an attacker: wrong weights
 * give wrong answers and nothing worse. */
static uint64_t hash_of(const char *data, uint64_t bytes)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ bytes, word;
    for (; bytes >= sizeof word; bytes -= sizeof word, data += sizeof word) {
        memcpy(&word, data, sizeof word);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, data, bytes);
    return (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct entry entry_of(const struct cpu_pack *pack)
{
    return (struct entry){.value = pack->value,
                          .node = pack->node,
                          .bytes = pack->bytes,
                          .offset = pack->offset,
                          .kind = (uint32_t)pack->kind,
                          .size = (uint32_t)pack->size,
                          .layout_bytes = pack->layout != NULL
                                              ? cpu_layout_bytes(pack->layout)
                                              : 0};
}

/* Where the weights begin. */
static uint64_t start_of(const hearth_dev_model_t *m)
{
    uint64_t end =
        sizeof(struct head) + (uint64_t)m->packs.count * sizeof(struct entry);
    return (end + PAGE - 1) / PAGE * PAGE;
}

void cpu_clear_gaps(hearth_dev_model_t *m)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < m->packs.count; i++) {
        const struct cpu_pack *pack = &m->packs.items[i];
        memset(m->weights + end, 0, pack->offset - end);
        end = pack->offset + pack->bytes;
    }
    memset(m->weights + end, 0, m->packs.bytes - end);
}

int cpu_export_lowered(hearth_dev_model_t *m, const struct hearth_sink *sink,
                       struct hearth_error *err)
{
    static const char zeros[PAGE];
    const struct head head = {.magic = LOWERED_MAGIC,
                              .version = LOWERED_VERSION,
                              .pack_count = m->packs.count,
                              .weight_bytes = m->packs.bytes,
                              .hash = hash_of(m->weights, m->packs.bytes)};
    int rc = sink->write(sink->ctx, &head, sizeof head);
    for (uint32_t i = 0; rc == HEARTH_OK && i < m->packs.count; i++) {
        const struct entry e = entry_of(&m->packs.items[i]);
        rc = sink->write(sink->ctx, &e, sizeof e);
    }
    uint64_t done =
        sizeof head + (uint64_t)m->packs.count * sizeof(struct entry);
    if (rc == HEARTH_OK)
        rc = sink->write(sink->ctx, zeros, start_of(m) - done);
    if (rc == HEARTH_OK)
        rc = sink->write(sink->ctx, m->weights, m->packs.bytes);
    if (rc != HEARTH_OK)
        hearth_fail(err, rc,
                    "cpu: the packed weights cannot be written; look "
                    "for room on the disk");
    return rc;
}

/* What a section says of ways: all of it, or nothing. */
static struct cpu_choices choices_of(const char *lowered, uint64_t bytes)
{
    struct cpu_choices none = {0};
    struct head head;
    if (bytes < sizeof head)
        return none;
    memcpy(&head, lowered, sizeof head);
    if (head.magic != LOWERED_MAGIC || head.version != LOWERED_VERSION ||
        head.pack_count > UINT32_MAX ||
        head.pack_count > (bytes - sizeof head) / sizeof(struct entry))
        return none;
    return (struct cpu_choices){.entries = lowered + sizeof head,
                                .count = (uint32_t)head.pack_count};
}

int cpu_lowered_choice(struct cpu_choices *c, uint32_t node)
{
    for (; c->next < c->count; c->next++) {
        struct entry e;
        memcpy(&e, c->entries + c->next * sizeof e, sizeof e);
        if (e.node < node)
            continue;
        bool winograd = e.node == node && e.kind == CPU_PACK_WINOGRAD;
        return winograd && (e.size == 4 || e.size == 2) ? (int)e.size : 0;
    }
    return 0;
}

/* Where the weights are in a section that is this model's; NULL: it is not. */
static const char *check(const hearth_dev_model_t *m, const char *lowered,
                         uint64_t bytes, bool copied)
{
    struct head head;
    uint64_t start = start_of(m);
    if (bytes < start || bytes - start != m->packs.bytes)
        return NULL;
    memcpy(&head, lowered, sizeof head);
    if (head.magic != LOWERED_MAGIC || head.version != LOWERED_VERSION ||
        head.pack_count != m->packs.count ||
        head.weight_bytes != m->packs.bytes)
        return NULL;
    const char *at = lowered + sizeof head;
    for (uint32_t i = 0; i < m->packs.count; i++, at += sizeof(struct entry)) {
        const struct entry e = entry_of(&m->packs.items[i]);
        if (memcmp(at, &e, sizeof e) != 0)
            return NULL;
    }
    while (at < lowered + start)
        if (*at++ != 0)
            return NULL;
    return !copied || hash_of(at, m->packs.bytes) == head.hash ? at : NULL;
}

static int place(hearth_dev_model_t *m, const char *weights, bool stays,
                 struct hearth_error *err)
{
    void *copy;
    int rc = stays ? cpu_charge(m->dev, m->packs.bytes, err)
                   : cpu_alloc(m->dev, m->packs.bytes, &copy, err);
    if (rc != HEARTH_OK)
        return rc;
    if (stays) {
        m->weights = (char *)(uintptr_t)weights; /* nobody writes to them */
        m->weights_stay = true;
    } else {
        m->weights = copy;
        memcpy(copy, weights, m->packs.bytes);
    }
    return HEARTH_OK;
}

int cpu_load_lowered(hearth_dev_t *dev, hearth_queue_t *copy_queue,
                     const struct hearth_load *load, const void *lowered,
                     uint64_t lowered_bytes, hearth_dev_model_t **out,
                     uint64_t *model_bytes, struct hearth_error *err)
{
    (void)copy_queue;
    hearth_dev_model_t *m;
    const bool stays =
        load->struct_bytes > offsetof(struct hearth_load, lowered_stays) &&
        load->lowered_stays && (uintptr_t)lowered % PAGE == 0;
    struct cpu_choices choices = choices_of(lowered, lowered_bytes);
    int rc = cpu_load_begin(dev, load, &choices, &m, err);
    if (rc != HEARTH_OK)
        return rc;
    const char *weights = check(m, lowered, lowered_bytes, !stays);
    if (weights == NULL)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "cpu: the packed weights are stale or damaged; load "
                         "the model from its source");
    else if (load->cancelled != NULL && load->cancelled(load->ctx))
        rc = hearth_fail(err, HEARTH_ECANCELED, "cpu: the load was given up");
    else
        rc = place(m, weights, stays, err);
    if (rc != HEARTH_OK) {
        cpu_unload(m);
        return rc;
    }
    if (load->progress != NULL)
        load->progress(load->ctx, m->packs.bytes, m->packs.bytes);
    *model_bytes = m->packs.bytes;
    *out = m;
    return HEARTH_OK;
}
