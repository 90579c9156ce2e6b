/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c: opens a pack. Nothing in the file is believed: the head is read into
 * memory of our own first, so that what was checked is what is used, and must
 * have its checksum; then each section must lie in the file, past the head, at
 * a multiple of the page. Without the checksum a head from a disk that lies
 * would do no more than be refused or name other bytes of the same file.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack_priv.h"

#define HEARTH_MAGIC_PACK 0x4f504b31u
#define HASH_PIECE (UINT64_C(1) << 20)
#define WARM_PIECE (UINT64_C(4) << 20)
#define WARM_SAMPLES 8

struct hearth_pack {
    uint32_t magic;
    int fd; /* -1: memory */
    const uint8_t *base;
    struct hearth__pack_head head;
};

_Static_assert(sizeof(struct hearth__pack_section) == 56, "the file's format");
_Static_assert(sizeof(struct hearth__pack_head) == HEARTH_PACK_ALIGNMENT,
               "the file's format");

void hearth__pack_seal(const struct hearth__pack_head *head,
                       struct hearth_digest *sum)
{
    struct hearth__pack_head copy = *head;
    memset(&copy.sum, 0, sizeof copy.sum);
    hearth_sha256(&copy, sizeof copy, sum);
}

/* ---- Checks ---- */

/* NULL, or what is wrong. */
static const char *head_fault(const struct hearth__pack_head *h,
                              uint64_t file_bytes, const char *key)
{
    struct hearth_digest sum;
    if (memcmp(h->magic, HEARTH__PACK_MAGIC, sizeof h->magic) != 0)
        return "is no packed model";
    if (h->version != HEARTH__PACK_VERSION)
        return "is of another version";
    hearth__pack_seal(h, &sum);
    if (memcmp(&sum, &h->sum, sizeof sum) != 0)
        return "has a damaged head";
    if (h->file_bytes != file_bytes)
        return "was cut";
    if (h->section_count > HEARTH_PACK_SECTIONS_MAX)
        return "has too many sections";
    if (memchr(h->key, '\0', sizeof h->key) == NULL || strcmp(h->key, key) != 0)
        return "belongs to something else";
    for (uint32_t i = 0; i < h->section_count; i++) {
        const struct hearth__pack_section *s = &h->sections[i];
        if (s->offset < sizeof *h || s->offset % HEARTH_PACK_ALIGNMENT != 0 ||
            s->reserved != 0 || s->offset > file_bytes ||
            s->bytes > file_bytes - s->offset)
            return "has a section outside of it";
        for (uint32_t k = 0; k < i; k++)
            if (h->sections[k].kind == s->kind)
                return "has a section twice";
    }
    return NULL;
}

static int check_head(const struct hearth__pack_head *h, uint64_t file_bytes,
                      const char *key, struct hearth_error *err)
{
    const char *fault = head_fault(h, file_bytes, key);
    return fault == NULL
               ? HEARTH_OK
               : hearth_fail(err, HEARTH_EMODEL,
                             "the packed file %s; it is made anew", fault);
}

/* Could somebody else cut it or write to it while it is mapped? */
static bool is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
           (st->st_uid == geteuid() || st->st_uid == 0);
}

/* ---- Open ---- */

static int read_head(int fd, struct hearth__pack_head *head)
{
    size_t done = 0;
    while (done < sizeof *head) {
        ssize_t n =
            pread(fd, (char *)head + done, sizeof *head - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? HEARTH_EIO : HEARTH_EMODEL;
        done += (size_t)n;
    }
    return HEARTH_OK;
}

static int open_file(struct hearth_pack *p, int fd, const char *key,
                     struct hearth_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !is_ours(&st))
        return hearth_fail(err, HEARTH_EMODEL,
                           "the packed file may be written by others; it is "
                           "made anew");
    if (st.st_size < (off_t)sizeof p->head ||
        read_head(fd, &p->head) != HEARTH_OK)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the packed file was cut; it is made anew");
    int rc = check_head(&p->head, (uint64_t)st.st_size, key, err);
    if (rc != HEARTH_OK)
        return rc;
    void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return hearth_fail(err, errno == ENOMEM ? HEARTH_ENOMEM : HEARTH_EIO,
                           "the packed file cannot be mapped: %s; the model's "
                           "own file is read",
                           strerror(errno));
    p->base = base;
    p->fd = fd;
    /* The order of eviction; on a read-only disk nothing is evicted. */
    (void)futimens(fd, (const struct timespec[]){{.tv_nsec = UTIME_NOW},
                                                 {.tv_nsec = UTIME_OMIT}});
    return HEARTH_OK;
}

static struct hearth_pack *pack_new(struct hearth_error *err)
{
    struct hearth_pack *p = hearth_calloc(1, sizeof *p);
    if (p == NULL) {
        hearth_fail(err, HEARTH_ENOMEM, "no memory to open a packed model");
        return NULL;
    }
    p->magic = HEARTH_MAGIC_PACK;
    p->fd = -1;
    return p;
}

int hearth_pack_open(hearth_pack_t **out, hearth_packs_t *packs,
                     const char *key, struct hearth_error *err)
{
    char name[HEARTH__PACK_NAME];
    *out = NULL;
    hearth__pack_name(key, name);
    /* O_NONBLOCK: a pipe must not hold us. */
    int fd = openat(packs->directory, name,
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        HEARTH__PACK_COUNT(packs, missed);
        return hearth_fail(err, HEARTH_ENOENT, "no packed file; one is made");
    }
    if (fd < 0 && errno != ELOOP)
        return hearth__pack_failed(packs, "open a packed model", err);
    struct hearth_pack *p = pack_new(err);
    int rc = p == NULL ? HEARTH_ENOMEM
             : fd < 0  ? hearth_fail(err, HEARTH_EMODEL,
                                     "the packed file is a link; it is made "
                                      "anew")
                       : open_file(p, fd, key, err);
    if (fd >= 0 && rc != HEARTH_OK)
        close(fd);
    if (rc == HEARTH_EMODEL) {
        HEARTH__PACK_COUNT(packs, damaged);
        hearth_packs_discard(packs, key);
    }
    if (rc == HEARTH_OK) {
        HEARTH__PACK_COUNT(packs, opened);
        *out = p;
    } else {
        hearth_free(p);
    }
    return rc;
}

int hearth_pack_open_memory(hearth_pack_t **out, const void *data,
                            uint64_t bytes, const char *key,
                            struct hearth_error *err)
{
    *out = NULL;
    if (bytes < sizeof(struct hearth__pack_head) ||
        (uintptr_t)data % HEARTH_PACK_ALIGNMENT != 0)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the packed model is cut, or not aligned; make it "
                           "anew");
    struct hearth_pack *p = pack_new(err);
    if (p == NULL)
        return HEARTH_ENOMEM;
    memcpy(&p->head, data, sizeof p->head);
    p->base = data;
    int rc = check_head(&p->head, bytes, key, err);
    if (rc == HEARTH_OK)
        *out = p;
    else
        hearth_free(p);
    return rc;
}

void hearth_pack_close(hearth_pack_t **pack)
{
    struct hearth_pack *p = *pack;
    if (p == NULL)
        return;
    HEARTH_CHECK(p, HEARTH_MAGIC_PACK);
    if (p->fd >= 0) {
        munmap((void *)(uintptr_t)p->base, (size_t)p->head.file_bytes);
        close(p->fd);
    }
    p->magic = 0;
    hearth_free(p);
    *pack = NULL;
}

/* ---- Sections ---- */

static const struct hearth__pack_section *find(const struct hearth_pack *p,
                                               uint32_t kind)
{
    HEARTH_CHECK(p, HEARTH_MAGIC_PACK);
    for (uint32_t i = 0; i < p->head.section_count; i++)
        if (p->head.sections[i].kind == kind)
            return &p->head.sections[i];
    return NULL;
}

const void *hearth_pack_section(const hearth_pack_t *pack, uint32_t kind,
                                uint64_t *bytes)
{
    const struct hearth__pack_section *s = find(pack, kind);
    *bytes = s != NULL ? s->bytes : 0;
    return s != NULL ? pack->base + s->offset : NULL;
}

int hearth_pack_verify(const hearth_pack_t *pack, uint32_t kind,
                       bool (*stop)(void *ctx), void *ctx,
                       struct hearth_error *err)
{
    struct hearth_digest sum;
    const struct hearth__pack_section *s = find(pack, kind);
    if (s == NULL)
        return hearth_fail(
            err, HEARTH_EMODEL,
            "the packed file lacks section %" PRIu32 "; it is made anew", kind);
    struct hearth_sha256 *hash = hearth_sha256_begin();
    if (hash == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for a checksum");
    for (uint64_t at = 0; at < s->bytes; at += HASH_PIECE) {
        uint64_t n = s->bytes - at < HASH_PIECE ? s->bytes - at : HASH_PIECE;
        if (stop != NULL && stop(ctx)) {
            hearth_sha256_drop(hash);
            return hearth_fail(err, HEARTH_ECANCELED, "given up");
        }
        hearth_sha256_add(hash, pack->base + s->offset + at, (size_t)n);
    }
    hearth_sha256_end(hash, &sum);
    if (memcmp(&sum, &s->sum, sizeof sum) != 0)
        return hearth_fail(err, HEARTH_EMODEL,
                           "section %" PRIu32
                           " of the packed file is damaged; it is made anew",
                           kind);
    return HEARTH_OK;
}

/* Some pages of a piece stand for all of it: what was read in one go is dropped
 * in one go, about. */
static bool is_cold(const char *at, uint64_t bytes)
{
    const uint64_t step = WARM_PIECE / WARM_SAMPLES;
    unsigned char there[1];
    for (uint64_t i = 0; i < bytes; i += step)
        if (mincore((void *)(uintptr_t)(at + i), 1, there) != 0 ||
            (there[0] & 1) == 0)
            return true;
    return false;
}

/* Faults of a mapping are served a few pages at a time; a read asks the disk
 * for a whole piece. What it reads into is thrown away: it is the page cache
 * that is filled. */
static bool fill_cache(const struct hearth_pack *p, uint64_t offset, uint64_t n,
                       char **scratch)
{
    if (*scratch == NULL)
        *scratch = hearth_malloc(WARM_PIECE);
    return *scratch != NULL &&
           pread(p->fd, *scratch, (size_t)n, (off_t)offset) >= 0;
}

bool hearth_pack_warm(const hearth_pack_t *p, uint32_t kind,
                      bool (*stop)(void *ctx), void *ctx)
{
    const struct hearth__pack_section *s = find(p, kind);
    char *scratch = NULL;
    bool stopped = false;
    if (s == NULL || p->fd < 0)
        return true;
    for (uint64_t at = 0; at < s->bytes; at += WARM_PIECE) {
        uint64_t n = s->bytes - at < WARM_PIECE ? s->bytes - at : WARM_PIECE;
        const char *data = (const char *)p->base + s->offset + at;
        if ((stopped = stop != NULL && stop(ctx)))
            break;
        if (is_cold(data, n) && !fill_cache(p, s->offset + at, n, &scratch))
            break;
#ifdef MADV_POPULATE_READ /* Linux 5.14; before it, faults map the pages */
        (void)madvise((void *)(uintptr_t)data, (size_t)n, MADV_POPULATE_READ);
#endif
    }
    hearth_free(scratch);
    return !stopped;
}

uint64_t hearth_pack_bytes(const hearth_pack_t *pack)
{
    HEARTH_CHECK(pack, HEARTH_MAGIC_PACK);
    return pack->head.file_bytes;
}
