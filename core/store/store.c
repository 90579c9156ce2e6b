/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c: the table of open models.
 *
 * Files are opened, hashed and closed outside of the lock. Two threads that
 * open the same model at once both import it; the one that comes to the table
 * second finds the first one's and drops its own. To make it wait instead would
 * save a few milliseconds at start-up, and cost a state that can be cancelled.
 *
 * The table is a list: a process has tens of models, and opens are rare.
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "store/store.h"

#define HEARTH_MAGIC_STORE 0x53544f52u       /* "STOR" */
#define HEARTH_MAGIC_STORE_ENTRY 0x53454e54u /* "SENT" */

struct hearth_store_entry {
    uint32_t magic;
    uint32_t refs; /* under the store's lock */
    struct hearth_store *store;
    struct hearth_store_entry *next;
    hearth_model_t *model;
    struct hearth_digest digest;
    struct hearth_model_file_id id;
    uint64_t bytes;
};

struct hearth_store {
    uint32_t magic;
    struct hearth_lock lock; /* of everything below */
    struct hearth_budget *budget;
    hearth_packs_t *packs; /* NULL: none */
    struct hearth_store_entry *entries;
    struct hearth_store_stats stats;
};

apr_status_t hearth_store_create(hearth_store_t **store,
                                 struct hearth_budget *host_budget)
{
    struct hearth_store *s = hearth_calloc(1, sizeof *s);
    *store = s;
    if (s == NULL)
        return HEARTH_ENOMEM;
    s->magic = HEARTH_MAGIC_STORE;
    s->budget = host_budget;
    hearth_lock_init(&s->lock, "store", HEARTH_LOCK_STORE);
    return HEARTH_OK;
}

void hearth_store_use_packs(hearth_store_t *store, hearth_packs_t *packs)
{
    HEARTH_CHECK(store, HEARTH_MAGIC_STORE);
    store->packs = packs;
}

void hearth_store_destroy(hearth_store_t **store)
{
    struct hearth_store *s = *store;
    if (s == NULL)
        return;
    HEARTH_CHECK(s, HEARTH_MAGIC_STORE);
    HEARTH_ASSERT(s->entries == NULL);
    hearth_lock_fini(&s->lock);
    s->magic = 0;
    hearth_free(s);
    *store = NULL;
}

/* ---- Under the lock ---- */

static struct hearth_store_entry *
find_digest(struct hearth_store *s, const struct hearth_digest *digest)
{
    for (struct hearth_store_entry *e = s->entries; e != NULL; e = e->next)
        if (memcmp(&e->digest, digest, sizeof *digest) == 0)
            return e;
    return NULL;
}

static struct hearth_store_entry *find_id(struct hearth_store *s,
                                          const struct hearth_model_file_id *id)
{
    for (struct hearth_store_entry *e = s->entries; e != NULL; e = e->next)
        if (e->id.device == id->device && e->id.inode == id->inode &&
            e->id.bytes == id->bytes && e->id.changed_ns == id->changed_ns)
            return e;
    return NULL;
}

/* ---- Opening ---- */

/* The entry that <file> gave before, when it would give the same again. */
static struct hearth_store_entry *open_already(struct hearth_store *s,
                                               const char *file)
{
    struct hearth_model_file_id id;
    if (!hearth_model_file_id(file, &id))
        return NULL;
    hearth_lock_acquire(&s->lock);
    struct hearth_store_entry *e = find_id(s, &id);
    if (e != NULL)
        e->refs++;
    hearth_lock_release(&s->lock);
    if (e == NULL)
        return NULL;
    /* Its external data may be another's by now: looked at without the lock. */
    if (!hearth_model_is_current(e->model, file)) {
        hearth_store_unref(&e);
        return NULL;
    }
    hearth_lock_acquire(&s->lock);
    s->stats.shared_count++;
    hearth_lock_release(&s->lock);
    return e;
}

static int entry_create(struct hearth_store *s, const char *file,
                        struct hearth_store_entry **entry,
                        struct hearth_error *err)
{
    struct hearth_model_totals totals;
    struct hearth_store_entry *e = hearth_calloc(1, sizeof *e);
    if (e == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "%.100s: no memory to open a model; try again later",
                           file);
    int rc = hearth_model_open_packed(&e->model, file, NULL, s->packs, err);
    if (rc == HEARTH_OK)
        rc = hearth_model_digest(e->model, &e->digest, err);
    if (rc != HEARTH_OK) {
        hearth_model_close(&e->model);
        hearth_free(e);
        return rc;
    }
    hearth_model_totals(e->model, &totals);
    hearth_model_opened_id(e->model, &e->id);
    e->magic = HEARTH_MAGIC_STORE_ENTRY;
    e->refs = 1;
    e->store = s;
    e->bytes = totals.mapped_bytes + totals.heap_bytes;
    *entry = e;
    return HEARTH_OK;
}

static void entry_free(struct hearth_store_entry *e)
{
    hearth_model_close(&e->model);
    e->magic = 0;
    hearth_free(e);
}

static int over_budget(const struct hearth_store *s,
                       const struct hearth_store_entry *e, const char *file,
                       struct hearth_error *err)
{
    char need[32], limit[32];
    bool never = e->bytes > s->budget->limit_bytes;
    hearth_format_bytes(e->bytes, need, sizeof need);
    hearth_format_bytes(s->budget->limit_bytes, limit, sizeof limit);
    return hearth_fail(err, never ? HEARTH_ENOSPACE : HEARTH_ENOMEM,
                       "%.120s needs %s of host memory and the limit is %s; %s",
                       file, need, limit,
                       never ? "raise the limit"
                             : "close other models or raise the limit");
}

/* Puts <fresh> into the table, or gives it up for the one that is there. */
static int insert(struct hearth_store *s, struct hearth_store_entry *fresh,
                  const char *file, struct hearth_store_entry **entry,
                  struct hearth_error *err)
{
    bool taken = true;
    hearth_lock_acquire(&s->lock);
    s->stats.opened_count++;
    struct hearth_store_entry *e = find_digest(s, &fresh->digest);
    if (e != NULL) {
        e->refs++;
        s->stats.shared_count++;
    } else {
        taken =
            s->budget == NULL || hearth_budget_take(s->budget, fresh->bytes);
        if (taken) {
            fresh->next = s->entries;
            s->entries = fresh;
            s->stats.model_count++;
            s->stats.bytes += fresh->bytes;
        }
    }
    hearth_lock_release(&s->lock);
    int rc = taken ? HEARTH_OK : over_budget(s, fresh, file, err);
    if (e != NULL || !taken)
        entry_free(fresh);
    if (taken)
        *entry = e != NULL ? e : fresh;
    return rc;
}

apr_status_t hearth_store_open(hearth_store_t *store, const char *path,
                               int64_t version, hearth_store_entry_t **entry,
                               struct hearth_error *err)
{
    char file[PATH_MAX];
    struct hearth_store_entry *fresh = NULL;
    HEARTH_CHECK(store, HEARTH_MAGIC_STORE);
    *entry = NULL;
    int rc = hearth_store_resolve(path, version, file, sizeof file, err);
    if (rc != HEARTH_OK)
        return rc;
    *entry = open_already(store, file);
    if (*entry != NULL)
        return HEARTH_OK;
    rc = entry_create(store, file, &fresh, err);
    return rc == HEARTH_OK ? insert(store, fresh, file, entry, err) : rc;
}

/* ---- References ---- */

hearth_store_entry_t *hearth_store_find(hearth_store_t *store,
                                        const struct hearth_digest *digest)
{
    HEARTH_CHECK(store, HEARTH_MAGIC_STORE);
    hearth_lock_acquire(&store->lock);
    struct hearth_store_entry *e = find_digest(store, digest);
    if (e != NULL)
        e->refs++;
    hearth_lock_release(&store->lock);
    return e;
}

hearth_store_entry_t *hearth_store_ref(hearth_store_entry_t *entry)
{
    HEARTH_CHECK(entry, HEARTH_MAGIC_STORE_ENTRY);
    hearth_lock_acquire(&entry->store->lock);
    HEARTH_ASSERT(entry->refs > 0);
    entry->refs++;
    hearth_lock_release(&entry->store->lock);
    return entry;
}

void hearth_store_unref(hearth_store_entry_t **entry)
{
    struct hearth_store_entry *e = *entry;
    if (e == NULL)
        return;
    HEARTH_CHECK(e, HEARTH_MAGIC_STORE_ENTRY);
    struct hearth_store *s = e->store;
    struct hearth_budget *budget = s->budget;
    *entry = NULL;
    hearth_lock_acquire(&s->lock);
    HEARTH_ASSERT(e->refs > 0);
    bool last = --e->refs == 0;
    if (last) {
        struct hearth_store_entry **at = &s->entries;
        while (*at != e)
            at = &(*at)->next;
        *at = e->next;
        s->stats.model_count--;
        s->stats.bytes -= e->bytes;
    }
    hearth_lock_release(&s->lock);
    /* From here on the store itself may be gone. */
    if (!last)
        return;
    uint64_t bytes = e->bytes;
    entry_free(e);
    if (budget != NULL)
        hearth_budget_give(budget, bytes);
}

hearth_model_t *hearth_store_model(hearth_store_entry_t *entry)
{
    HEARTH_CHECK(entry, HEARTH_MAGIC_STORE_ENTRY);
    return entry->model;
}

const struct hearth_digest *
hearth_store_digest(const hearth_store_entry_t *entry)
{
    HEARTH_CHECK(entry, HEARTH_MAGIC_STORE_ENTRY);
    return &entry->digest;
}

uint64_t hearth_store_entry_bytes(const hearth_store_entry_t *entry)
{
    HEARTH_CHECK(entry, HEARTH_MAGIC_STORE_ENTRY);
    return entry->bytes;
}

void hearth_store_stats(hearth_store_t *store, struct hearth_store_stats *stats)
{
    HEARTH_CHECK(store, HEARTH_MAGIC_STORE);
    hearth_lock_acquire(&store->lock);
    *stats = store->stats;
    hearth_lock_release(&store->lock);
}
