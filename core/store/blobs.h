/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blobs.h: files on the local disk by their SHA-256, within a budget: what
 * functions hand over and what is fetched. Not for the operator's own
 * repositories, which stay where they are.
 *
 *     DIRECTORY/ab/abcdef...   a blob
 *     DIRECTORY/put-*          one that comes
 *
 * A blob is a copy: nobody outside can change or cut what has been mapped. Any
 * thread; everything that touches a file blocks on the disk. Invariants: a file
 * under a digest's name has been written whole, synced, and hashed as it was
 * written; the bytes counted are those of the files there and of those that
 * come.
 */
#ifndef HEARTH_STORE_BLOBS_H
#define HEARTH_STORE_BLOBS_H

#include "base/base.h"

typedef struct hearth_blobs hearth_blobs_t;
typedef struct hearth_blob_put hearth_blob_put_t;

/* Makes the directory where it is missing (0700), takes up what an earlier
 * process left, removes what it did not finish. <limit_bytes> 0: none.
 * HEARTH_EIO, HEARTH_ENOMEM. */
int hearth_blobs_create(hearth_blobs_t **blobs, const char *directory,
                        uint64_t limit_bytes, struct hearth_error *err);
/* No put is under way (asserted). The files stay. NULLs the pointer. */
void hearth_blobs_destroy(hearth_blobs_t **blobs);

/* Each put that succeeds pins the blob once. <expected> may be NULL.
 * HEARTH_EPROTO: the bytes have another digest;
 * HEARTH_ENOSPACE: the budget or the disk has no room; HEARTH_EIO;
 * HEARTH_ENOMEM. After a failure nothing is left behind. */

/* Copies the regular file <fd>, from its start, whatever its position; it stays
 * the caller's. One that is there already is only hashed. HEARTH_EINVAL: no
 * regular file; HEARTH_ETOOBIG: over <most>. */
int hearth_blobs_put_fd(hearth_blobs_t *blobs, int fd, uint64_t most,
                        const struct hearth_digest *expected,
                        struct hearth_digest *digest, uint64_t *bytes,
                        struct hearth_error *err);
/* In pieces. end and abort NULL the pointer. */
int hearth_blob_put_begin(hearth_blob_put_t **put, hearth_blobs_t *blobs,
                          struct hearth_error *err);
int hearth_blob_put_write(hearth_blob_put_t *put, const void *data,
                          size_t bytes, struct hearth_error *err);
int hearth_blob_put_end(hearth_blob_put_t **put,
                        const struct hearth_digest *expected,
                        struct hearth_digest *digest, uint64_t *bytes,
                        struct hearth_error *err);
void hearth_blob_put_abort(hearth_blob_put_t **put); /* *put NULL: fine */
/* A file that comes by other ways: room for it, which counts as its bytes until
 * it is adopted or the room is given back. HEARTH_ENOSPACE. */
int hearth_blobs_reserve(hearth_blobs_t *blobs, uint64_t bytes,
                         struct hearth_error *err);
void hearth_blobs_give_back(hearth_blobs_t *blobs, uint64_t bytes);
/* Takes the file <path>, on the same disk, over by renaming it, pinned: it has
 * <bytes> bytes, as reserved, and its digest was computed as it was written.
 * The room is used up or given back, also on failure; then the file stays. */
int hearth_blobs_adopt(hearth_blobs_t *blobs, const char *path,
                       const struct hearth_digest *digest, uint64_t bytes,
                       struct hearth_error *err);

/* Keeps it from being evicted, once more; false: there is none, or its file is
 * gone. */
bool hearth_blobs_pin(hearth_blobs_t *blobs,
                      const struct hearth_digest *digest);
void hearth_blobs_unpin(hearth_blobs_t *blobs,
                        const struct hearth_digest *digest);
/* Where it is, as long as it is pinned. Returns <buf>. */
const char *hearth_blobs_path(const hearth_blobs_t *blobs,
                              const struct hearth_digest *digest, char *buf,
                              size_t size);

struct hearth_blobs_stats {
    uint64_t bytes, limit_bytes, count, evictions;
};
void hearth_blobs_stats(hearth_blobs_t *blobs,
                        struct hearth_blobs_stats *stats);

#endif
