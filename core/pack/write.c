/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c: makes a pack: a file of another name, written from front to back,
 * its head last, synced, and renamed. So whoever opens it by its name finds all
 * of it or none; what a crash leaves is swept by the next writer.
 *
 * Room is made as the file grows, never more than it takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack_priv.h"

#define HEARTH_MAGIC_PACK_PUT 0x50505554u
#define PIECE (UINT64_C(1) << 20)
#define TEMPORARY "new-pack" /* one writer, so one name is enough */

struct hearth_pack_put {
    uint32_t magic;
    int rc;
    struct hearth_error err; /* of rc */
    hearth_packs_t *packs;
    struct hearth_pack_put_config config;
    struct hearth__pack_list list;
    int lock, fd;
    uint64_t bytes;             /* written */
    struct hearth_sha256 *hash; /* of the section that is open */
    struct hearth__pack_head head;
};

static int fail(struct hearth_pack_put *put, int rc)
{
    if (put->rc == HEARTH_OK)
        put->rc = rc;
    return put->rc;
}

static void put_free(struct hearth_pack_put *put)
{
    if (put->fd >= 0)
        close(put->fd);
    if (put->lock >= 0)
        close(put->lock);
    hearth__packs_list_free(&put->list);
    hearth_sha256_drop(put->hash);
    __atomic_sub_fetch(&put->packs->puts, 1, __ATOMIC_RELEASE);
    put->magic = 0;
    hearth_free(put);
}

static int begin(struct hearth_pack_put *put, struct hearth_error *err)
{
    hearth_packs_t *packs = put->packs;
    int rc = hearth__packs_lock(packs, &put->lock, err);
    if (rc == HEARTH_OK)
        rc = hearth__packs_list(packs, true, &put->list, err);
    if (rc != HEARTH_OK)
        return rc;
    put->fd = openat(packs->directory, TEMPORARY,
                     O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (put->fd < 0)
        return hearth__pack_failed(packs, "write a packed model", err);
    return HEARTH_OK;
}

int hearth_pack_put_begin(hearth_pack_put_t **out, hearth_packs_t *packs,
                          const struct hearth_pack_put_config *config,
                          struct hearth_error *err)
{
    *out = NULL;
    if (strlen(config->key) > HEARTH_PACK_KEY_MAX)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "the key of a packed model is too long");
    if (packs->limit_bytes > 0 && config->expected_bytes > packs->limit_bytes)
        return hearth_fail(err, HEARTH_ENOSPACE,
                           "the packed model is larger than all of them may "
                           "be; raise the limit");
    struct hearth_pack_put *put = hearth_calloc(1, sizeof *put);
    if (put == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory to write a packed model");
    put->magic = HEARTH_MAGIC_PACK_PUT;
    put->packs = packs;
    put->config = *config;
    put->config.key = NULL; /* the head has it */
    put->lock = put->fd = -1;
    put->bytes = sizeof put->head;
    memcpy(put->head.magic, HEARTH__PACK_MAGIC, sizeof put->head.magic);
    put->head.version = HEARTH__PACK_VERSION;
    memcpy(put->head.key, config->key, strlen(config->key));
    __atomic_add_fetch(&packs->puts, 1, __ATOMIC_ACQUIRE);
    int rc = begin(put, err);
    if (rc == HEARTH_OK) {
        *out = put;
    } else {
        if (rc != HEARTH_EBUSY)
            HEARTH__PACK_COUNT(packs, failed);
        put_free(put);
    }
    return rc;
}

/* ---- Bytes ---- */

static int write_at(struct hearth_pack_put *put, const char *data,
                    uint64_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t n = pwrite(put->fd, data, (size_t)bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return fail(put,
                        hearth__pack_failed(put->packs, "write a packed model",
                                            &put->err));
        }
        data += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return HEARTH_OK;
}

/* Up to a PIECE at the end of the file. */
static int append(struct hearth_pack_put *put, const char *data, uint64_t bytes)
{
    uint64_t end;
    if (put->config.stop != NULL && put->config.stop(put->config.ctx))
        return fail(put, hearth_fail(&put->err, HEARTH_ECANCELED,
                                     "the writing of a packed model was given "
                                     "up"));
    if (__builtin_add_overflow(put->bytes, bytes, &end) || end > INT64_MAX ||
        !hearth__packs_make_room(put->packs, &put->list, end))
        return fail(put, hearth_fail(&put->err, HEARTH_ENOSPACE,
                                     "the packed model is larger than all of "
                                     "them may be; raise the limit"));
    if (write_at(put, data, bytes, put->bytes) == HEARTH_OK)
        put->bytes = end;
    return put->rc;
}

int hearth_pack_put_write(hearth_pack_put_t *put, const void *data,
                          uint64_t bytes)
{
    HEARTH_CHECK(put, HEARTH_MAGIC_PACK_PUT);
    HEARTH_ASSERT(put->rc != HEARTH_OK || put->hash != NULL);
    const char *at = data;
    while (bytes > 0 && put->rc == HEARTH_OK) {
        uint64_t n = bytes < PIECE ? bytes : PIECE;
        if (append(put, at, n) == HEARTH_OK) {
            hearth_sha256_add(put->hash, at, (size_t)n);
            put->head.sections[put->head.section_count - 1].bytes += n;
        }
        at += n;
        bytes -= n;
    }
    return put->rc;
}

int hearth_pack_put_align(hearth_pack_put_t *put, uint32_t alignment,
                          uint64_t *offset)
{
    static const char zeros[HEARTH_PACK_ALIGNMENT];
    HEARTH_ASSERT(alignment > 0 && alignment <= HEARTH_PACK_ALIGNMENT &&
                  put->head.section_count > 0);
    const struct hearth__pack_section *s =
        &put->head.sections[put->head.section_count - 1];
    uint64_t over = s->bytes & (alignment - 1);
    if (over > 0)
        (void)hearth_pack_put_write(put, zeros, alignment - over);
    if (offset != NULL)
        *offset = s->bytes;
    return put->rc;
}

/* ---- Sections ---- */

static void end_section(struct hearth_pack_put *put)
{
    static const char zeros[HEARTH_PACK_ALIGNMENT];
    if (put->hash == NULL)
        return;
    hearth_sha256_end(put->hash,
                      &put->head.sections[put->head.section_count - 1].sum);
    put->hash = NULL;
    uint64_t over = put->bytes % HEARTH_PACK_ALIGNMENT;
    if (over > 0 && put->rc == HEARTH_OK)
        (void)append(put, zeros, HEARTH_PACK_ALIGNMENT - over);
}

int hearth_pack_put_section(hearth_pack_put_t *put, uint32_t kind)
{
    HEARTH_CHECK(put, HEARTH_MAGIC_PACK_PUT);
    end_section(put);
    if (put->rc != HEARTH_OK)
        return put->rc;
    HEARTH_ASSERT(put->head.section_count < HEARTH_PACK_SECTIONS_MAX);
    put->hash = hearth_sha256_begin();
    if (put->hash == NULL)
        return fail(put, hearth_fail(&put->err, HEARTH_ENOMEM,
                                     "no memory to write a packed model"));
    struct hearth__pack_section *s =
        &put->head.sections[put->head.section_count++];
    s->kind = kind;
    s->offset = put->bytes;
    return HEARTH_OK;
}

/* ---- End ---- */

static int publish(struct hearth_pack_put *put)
{
    char name[HEARTH__PACK_NAME];
    hearth_packs_t *packs = put->packs;
    end_section(put);
    put->head.file_bytes = put->bytes;
    hearth__pack_seal(&put->head, &put->head.sum);
    if (put->rc == HEARTH_OK)
        (void)write_at(put, (const char *)&put->head, sizeof put->head, 0);
    if (put->rc != HEARTH_OK)
        return put->rc;
    hearth__pack_name(put->head.key, name);
    if ((put->config.durable && fsync(put->fd) != 0) ||
        renameat(packs->directory, TEMPORARY, packs->directory, name) != 0)
        return fail(
            put, hearth__pack_failed(packs, "write a packed model", &put->err));
    if (put->config.durable)
        (void)fsync(packs->directory);
    return HEARTH_OK;
}

int hearth_pack_put_end(hearth_pack_put_t **out, struct hearth_error *err)
{
    struct hearth_pack_put *put = *out;
    HEARTH_CHECK(put, HEARTH_MAGIC_PACK_PUT);
    int rc = publish(put);
    if (rc == HEARTH_OK) {
        HEARTH__PACK_COUNT(put->packs, written);
        put_free(put);
    } else {
        if (err != NULL)
            *err = put->err;
        hearth_pack_put_abort(out);
    }
    *out = NULL;
    return rc;
}

void hearth_pack_put_abort(hearth_pack_put_t **out)
{
    struct hearth_pack_put *put = *out;
    if (put == NULL)
        return;
    HEARTH_CHECK(put, HEARTH_MAGIC_PACK_PUT);
    if (put->rc != HEARTH_OK && put->rc != HEARTH_ECANCELED)
        HEARTH__PACK_COUNT(put->packs, failed);
    (void)unlinkat(put->packs->directory, TEMPORARY, 0);
    put_free(put);
    *out = NULL;
}
