/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack_priv.h: the file's format, and what the files of core/pack share.
 *
 * A pack is a head of one page and then sections, each at a multiple of the
 * page. Numbers are little-endian. Between sections are zeros.
 */
#ifndef HEARTH_PACK_PACK_PRIV_H
#define HEARTH_PACK_PACK_PRIV_H

#include "pack/pack.h"

#define HEARTH__PACK_MAGIC "HEARTHPK" /* 8 characters, no terminator */
#define HEARTH__PACK_VERSION 1
#define HEARTH__PACK_NAME 38 /* "0123456789abcdef0123456789abcdef.pack" */

struct hearth__pack_section {
    uint32_t kind, reserved; /* no two of one kind */
    uint64_t offset, bytes;
    struct hearth_digest sum;
};
struct hearth__pack_head {
    char magic[8];
    uint32_t version, section_count;
    uint64_t file_bytes;
    struct hearth_digest sum; /* of the head, with zeros here */
    struct hearth__pack_section sections[HEARTH_PACK_SECTIONS_MAX];
    char key[HEARTH_PACK_ALIGNMENT - 56 - 56 * HEARTH_PACK_SECTIONS_MAX];
};

struct hearth_packs {
    uint32_t magic;
    int directory;
    char *path;
    uint64_t limit_bytes;
    uint32_t puts;                   /* atomic */
    struct hearth_packs_stats stats; /* atomic, what this process did */
};

/* The file of a key. */
void hearth__pack_name(const char *key, char name[HEARTH__PACK_NAME]);
/* The head's checksum as it should be. */
void hearth__pack_seal(const struct hearth__pack_head *head,
                       struct hearth_digest *sum);
/* HEARTH_ENOSPACE or HEARTH_EIO, from errno. */
int hearth__pack_failed(const hearth_packs_t *packs, const char *what,
                        struct hearth_error *err);

/* ---- dir.c: the files there, for the one writer ---- */

struct hearth__pack_file {
    char name[HEARTH__PACK_NAME];
    uint64_t bytes;
    int64_t used_ns;
};
struct hearth__pack_list {
    struct hearth__pack_file *files; /* the one used last comes last */
    uint32_t count, capacity, gone;  /* the first <gone> were evicted */
    uint64_t bytes;                  /* of those that are there */
};
/* *fd is a lock that nobody else holds, for close. HEARTH_EBUSY. */
int hearth__packs_lock(hearth_packs_t *packs, int *fd,
                       struct hearth_error *err);
/* <sweep>: files that nobody finished are removed (under the lock). */
int hearth__packs_list(hearth_packs_t *packs, bool sweep,
                       struct hearth__pack_list *list,
                       struct hearth_error *err);
void hearth__packs_list_free(struct hearth__pack_list *list);
/* Removes the oldest until <more> bytes fit beside the others; false: they do
 * not even then. */
bool hearth__packs_make_room(hearth_packs_t *packs,
                             struct hearth__pack_list *list, uint64_t more);

#define HEARTH__PACK_COUNT(packs, what)                                        \
    ((void)__atomic_add_fetch(&(packs)->stats.what, 1, __ATOMIC_RELAXED))

#endif
