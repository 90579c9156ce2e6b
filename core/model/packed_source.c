/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed_source.c: which model a file is, without reading it: a small pack
 * under the identity of the file (device, inode, size, times) that holds the
 * model's digest and the identities of its external files.
 *
 * A file that is written in place within the clock's step of being seen keeps
 * its times. So nothing is remembered of a file that changed less than two
 * seconds ago; it is hashed until it has settled.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "model/model_priv.h"

#define SOURCE_VERSION 1
#define BYTES_MAX (UINT64_C(4) << 20)

int64_t hearth__packed_settled_ns = 2000000000;

struct identity {
    uint64_t device, inode, bytes;
    int64_t changed_ns, status_ns;
};
struct head {
    uint32_t version, external_count;
    struct hearth_digest digest;
};
/* Then <name_bytes> of its name, the terminator and zeros up to a multiple of
 * 8 counted. */
struct external {
    struct identity id;
    uint64_t name_bytes;
};

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct identity identity_of(const struct stat *st)
{
    return (struct identity){.device = (uint64_t)st->st_dev,
                             .inode = (uint64_t)st->st_ino,
                             .bytes = (uint64_t)st->st_size,
                             .changed_ns = ns_of(st->st_mtim),
                             .status_ns = ns_of(st->st_ctim)};
}

static void key_of(const struct stat *st, char key[HEARTH_PACK_KEY_MAX])
{
    struct identity id = identity_of(st);
    snprintf(key, HEARTH_PACK_KEY_MAX,
             "source %d device %" PRIu64 " inode %" PRIu64 " bytes %" PRIu64
             " changed %" PRId64 " status %" PRId64,
             SOURCE_VERSION, id.device, id.inode, id.bytes, id.changed_ns,
             id.status_ns);
}

/* ---- Find ---- */

/* One external file of the list at <*at>, which ends at <end>. */
static bool take_external(const char **at, const char *end,
                          struct hearth__files *files)
{
    struct external e;
    if ((uint64_t)(end - *at) < sizeof e)
        return false;
    memcpy(&e, *at, sizeof e);
    const char *name = *at + sizeof e;
    if (e.name_bytes % 8 != 0 || e.name_bytes > (uint64_t)(end - name) ||
        memchr(name, '\0', (size_t)e.name_bytes) == NULL)
        return false;
    *at = name + e.name_bytes;
    if (!hearth__files_look_external(files, name))
        return false;
    const struct identity now =
        identity_of(&files->segments[files->count - 1].stat);
    return memcmp(&now, &e.id, sizeof now) == 0;
}

static bool read_list(const char *at, uint64_t bytes,
                      struct hearth__files *files, struct hearth_digest *digest)
{
    const char *end = at + bytes;
    struct head head;
    if (bytes < sizeof head || bytes > BYTES_MAX)
        return false;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    bool ok = head.version == SOURCE_VERSION;
    for (uint32_t i = 0; ok && i < head.external_count; i++)
        ok = take_external(&at, end, files);
    *digest = head.digest;
    return ok && at == end;
}

bool hearth__packed_source_find(hearth_packs_t *packs,
                                struct hearth__files *files,
                                struct hearth_digest *digest)
{
    char key[HEARTH_PACK_KEY_MAX];
    hearth_pack_t *pack;
    uint64_t bytes;
    key_of(&files->segments[0].stat, key);
    if (hearth_pack_open(&pack, packs, key, NULL) != HEARTH_OK)
        return false;
    const void *list = hearth_pack_section(pack, HEARTH__PACKED_SOURCE, &bytes);
    bool ok = hearth_pack_verify(pack, HEARTH__PACKED_SOURCE, NULL, NULL,
                                 NULL) == HEARTH_OK &&
              read_list(list, bytes, files, digest);
    hearth_pack_close(&pack);
    if (!ok) {
        hearth_packs_discard(packs, key);
        hearth__files_forget(files, 1);
    }
    return ok;
}

/* ---- Put ---- */

static bool is_settled(const struct hearth__files *files)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (uint32_t i = 0; i < files->count; i++) {
        const struct stat *st = &files->segments[i].stat;
        if (ns_of(now) - ns_of(st->st_ctim) < hearth__packed_settled_ns ||
            ns_of(now) - ns_of(st->st_mtim) < hearth__packed_settled_ns)
            return false;
    }
    return true;
}

static void put_external(hearth_pack_put_t *put,
                         const struct hearth__segment *s)
{
    static const char zeros[8];
    uint64_t bytes = strlen(s->name) + 1, round = (bytes + 7) / 8 * 8;
    const struct external e = {.id = identity_of(&s->stat),
                               .name_bytes = round};
    (void)hearth_pack_put_write(put, &e, sizeof e);
    (void)hearth_pack_put_write(put, s->name, bytes);
    (void)hearth_pack_put_write(put, zeros, round - bytes);
}

void hearth__packed_source_put(hearth_packs_t *packs,
                               const struct hearth__files *files,
                               const struct hearth_digest *digest)
{
    char key[HEARTH_PACK_KEY_MAX];
    hearth_pack_put_t *put;
    const struct head head = {.version = SOURCE_VERSION,
                              .external_count = files->count - 1,
                              .digest = *digest};
    if (!is_settled(files))
        return;
    key_of(&files->segments[0].stat, key);
    /* One that a crash empties is seen to be damaged, and made anew. */
    const struct hearth_pack_put_config config = {.key = key};
    if (hearth_pack_put_begin(&put, packs, &config, NULL) != HEARTH_OK)
        return; /* next time */
    (void)hearth_pack_put_section(put, HEARTH__PACKED_SOURCE);
    (void)hearth_pack_put_write(put, &head, sizeof head);
    for (uint32_t i = 1; i < files->count; i++)
        put_external(put, &files->segments[i]);
    (void)hearth_pack_put_end(&put, NULL);
}
