/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h: a directory of packs: files that hold what was costly to make, to be
 * mapped instead of made again. A cache and nothing else: any file may vanish,
 * and one that is damaged, truncated or of another key is refused and removed.
 * Knows nothing of models: sections are numbers and bytes.
 *
 * Any thread; everything blocks on the disk. Several processes may share a
 * directory; one at a time writes. Invariants: a file under its name was
 * written whole; the files, the one being written too, take no more than the
 * limit. Only files that this user or root owns and nobody else may write are
 * mapped, for a file that is cut while it is mapped kills the process.
 */
#ifndef HEARTH_PACK_PACK_H
#define HEARTH_PACK_PACK_H

#include "base/base.h"

typedef struct hearth_packs hearth_packs_t;       /* the directory */
typedef struct hearth_pack hearth_pack_t;         /* one file, mapped */
typedef struct hearth_pack_put hearth_pack_put_t; /* one that is written */

#define HEARTH_PACK_SECTIONS_MAX 8
#define HEARTH_PACK_KEY_MAX 1024 /* characters */
/* What a section begins at a multiple of, in the file and in memory. */
#define HEARTH_PACK_ALIGNMENT 4096

/* ---- The directory ---- */

/* Makes <directory> where it is missing (0700). <limit_bytes> 0: none. A
 * directory that cannot be written is taken all the same, for reading.
 * HEARTH_EIO, HEARTH_ENOMEM. */
int hearth_packs_create(hearth_packs_t **packs, const char *directory,
                        uint64_t limit_bytes, struct hearth_error *err);
/* Packs that are open stay so; no put is under way (asserted). The files stay.
 * NULLs the pointer; *packs NULL is allowed. */
void hearth_packs_destroy(hearth_packs_t **packs);
/* Forgets what is under <key>, if anything is. */
void hearth_packs_discard(hearth_packs_t *packs, const char *key);

struct hearth_packs_stats {
    uint64_t bytes, count, limit_bytes; /* on the disk now */
    uint64_t opened, missed, damaged;   /* by this process */
    uint64_t written, failed, evicted;  /* likewise */
};
void hearth_packs_stats(hearth_packs_t *packs,
                        struct hearth_packs_stats *stats);

/* ---- Reading ---- */

/* Maps what is under <key> and makes it the one used last; *pack is the
 * caller's, NULL on failure. The head and the table of sections are checked,
 * the sections' bytes are not: hearth_pack_verify. HEARTH_ENOENT: there is
 * none; HEARTH_EMODEL: it was damaged, or not ours, and is removed; HEARTH_EIO;
 * HEARTH_ENOMEM. */
int hearth_pack_open(hearth_pack_t **pack, hearth_packs_t *packs,
                     const char *key, struct hearth_error *err);
/* The same of <bytes> in memory, aligned to HEARTH_PACK_ALIGNMENT, that stay
 * the caller's, unchanged, until close. */
int hearth_pack_open_memory(hearth_pack_t **pack, const void *data,
                            uint64_t bytes, const char *key,
                            struct hearth_error *err);
/* Unmaps. NULLs the pointer; *pack NULL is allowed. */
void hearth_pack_close(hearth_pack_t **pack);
/* Read-only, as long as the pack is open; NULL: there is no such section. */
const void *hearth_pack_section(const hearth_pack_t *pack, uint32_t kind,
                                uint64_t *bytes);
/* Reads all of a section and compares its checksum. <stop> (may be NULL) is
 * asked now and then. HEARTH_EMODEL: damaged, or no such section;
 * HEARTH_ECANCELED; HEARTH_ENOMEM. */
int hearth_pack_verify(const hearth_pack_t *pack, uint32_t kind,
                       bool (*stop)(void *ctx), void *ctx,
                       struct hearth_error *err);
/* Has the system read what of a section is not in memory yet, at the speed of a
 * plain read, and map it, so that who uses it, even meanwhile, meets few
 * faults. It may be in vain. <stop> as above; false: it was given up for it. */
bool hearth_pack_warm(const hearth_pack_t *pack, uint32_t kind,
                      bool (*stop)(void *ctx), void *ctx);
uint64_t hearth_pack_bytes(const hearth_pack_t *pack); /* of the file */

/* ---- Writing ---- */

struct hearth_pack_put_config {
    const char *key;
    /* About what it will take: more than the limit is refused before anything
     * else has made room for it. 0: not known. */
    uint64_t expected_bytes;
    /* Synced before it gets its name; for what is not written at once anew. */
    bool durable;
    /* Asked before each piece; true gives up with HEARTH_ECANCELED. NULL: no.
     */
    bool (*stop)(void *ctx);
    void *ctx;
};
/* HEARTH_EBUSY: another put is under way, here or in another process;
 * HEARTH_ENOSPACE: the limit or the disk has no room; HEARTH_ETOOBIG: the key
 * is too long; HEARTH_EIO; HEARTH_ENOMEM. */
int hearth_pack_put_begin(hearth_pack_put_t **put, hearth_packs_t *packs,
                          const struct hearth_pack_put_config *config,
                          struct hearth_error *err);
/* Ends the section before, and begins that of <kind>. A failure stays: later
 * calls do nothing and return it, up to end. */
int hearth_pack_put_section(hearth_pack_put_t *put, uint32_t kind);
int hearth_pack_put_write(hearth_pack_put_t *put, const void *data,
                          uint64_t bytes);
/* Zeros until the section's bytes are a multiple of <alignment>, a power of two
 * up to HEARTH_PACK_ALIGNMENT; *offset (may be NULL): how many they are. */
int hearth_pack_put_align(hearth_pack_put_t *put, uint32_t alignment,
                          uint64_t *offset);
/* The file gets its name, in place of another of that key; or, after a failure,
 * nothing is left behind. NULLs the pointer. Statuses as begin's, and
 * HEARTH_ECANCELED. */
int hearth_pack_put_end(hearth_pack_put_t **put, struct hearth_error *err);
/* Nothing is left behind. *put NULL is allowed. */
void hearth_pack_put_abort(hearth_pack_put_t **put);

#endif
