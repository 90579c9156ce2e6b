/* SPDX-License-Identifier: Apache-2.0 */
/* blobs.c: the table of blobs, and how one gets there. */
#include "store/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEARTH_MAGIC_BLOBS 0x424c4f42u /* "BLOB" */
#define BUCKETS 1024
#define PIECE (1u << 20)

struct blob {
    struct hearth_digest digest;
    uint64_t bytes;
    uint32_t pins;
    struct blob *next;          /* in its bucket */
    struct blob *older, *newer; /* all, by their last use */
};

struct hearth_blobs {
    uint32_t magic;
    char *directory;
    struct hearth_lock lock; /* of everything below */
    struct blob *buckets[BUCKETS];
    struct blob *oldest, *newest;
    uint32_t puts;
    struct hearth_blobs_stats stats;
};

struct hearth_blob_put {
    hearth_blobs_t *blobs;
    int fd;
    char *path;
    uint64_t bytes; /* taken of the budget */
    struct hearth_sha256 *hash;
};

/* ---- The table. Under the lock. ---- */

static struct blob **bucket_of(hearth_blobs_t *b, const struct hearth_digest *d)
{
    return &b->buckets[(d->bytes[0] << 8 | d->bytes[1]) % BUCKETS];
}

static struct blob *find(hearth_blobs_t *b, const struct hearth_digest *digest)
{
    struct blob *blob = *bucket_of(b, digest);

    while (blob && memcmp(&blob->digest, digest, sizeof(*digest)) != 0)
        blob = blob->next;
    return blob;
}

static void unlink_use(hearth_blobs_t *b, struct blob *blob)
{
    *(blob->older ? &blob->older->newer : &b->oldest) = blob->newer;
    *(blob->newer ? &blob->newer->older : &b->newest) = blob->older;
}

static void link_newest(hearth_blobs_t *b, struct blob *blob)
{
    blob->newer = NULL;
    blob->older = b->newest;
    *(b->newest ? &b->newest->newer : &b->oldest) = blob;
    b->newest = blob;
}

static void add(hearth_blobs_t *b, struct blob *blob)
{
    struct blob **bucket = bucket_of(b, &blob->digest);

    blob->next = *bucket;
    *bucket = blob;
    link_newest(b, blob);
    b->stats.count++;
}

/* The file's bytes stay counted: the caller gives or passes them on. */
static void take_out(hearth_blobs_t *b, struct blob *blob)
{
    struct blob **link = bucket_of(b, &blob->digest);

    while (*link != blob)
        link = &(*link)->next;
    *link = blob->next;
    unlink_use(b, blob);
    b->stats.count--;
    hearth_free(blob);
}

const char *hearth_blobs_path(const hearth_blobs_t *b,
                              const struct hearth_digest *digest, char *buf,
                              size_t size)
{
    char text[HEARTH_DIGEST_TEXT];

    hearth_digest_text(digest, text);
    snprintf(buf, size, "%s/%.2s/%s", b->directory, text, text);
    return buf;
}

/* Makes room for <bytes> more, and counts them. An unlink under the lock: rare,
 * and a second put must not count what is about to go. */
static bool take_room(hearth_blobs_t *b, uint64_t bytes)
{
    struct blob *blob = b->oldest;
    char path[4096];

    while (b->stats.limit_bytes > 0 && blob &&
           (bytes > b->stats.limit_bytes ||
            b->stats.bytes > b->stats.limit_bytes - bytes)) {
        struct blob *newer = blob->newer;

        if (blob->pins == 0 && bytes <= b->stats.limit_bytes) {
            hearth_blobs_path(b, &blob->digest, path, sizeof(path));
            (void)unlink(path);
            b->stats.bytes -= blob->bytes;
            b->stats.evictions++;
            take_out(b, blob);
        }
        blob = newer;
    }
    if (b->stats.limit_bytes > 0 &&
        (bytes > b->stats.limit_bytes ||
         b->stats.bytes > b->stats.limit_bytes - bytes))
        return false;
    b->stats.bytes += bytes;
    return true;
}

static void give_room(hearth_blobs_t *b, uint64_t bytes)
{
    hearth_lock_acquire(&b->lock);
    HEARTH_ASSERT(b->stats.bytes >= bytes);
    b->stats.bytes -= bytes;
    hearth_lock_release(&b->lock);
}

/* ---- What an earlier process left ---- */

static int take_up(hearth_blobs_t *b, const char *sub, const char *name)
{
    struct hearth_digest digest;
    struct stat st;
    struct blob *blob;
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s/%s", b->directory, sub, name);
    if (!hearth_digest_parse(name, &digest) || strncmp(name, sub, 2) != 0 ||
        lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return HEARTH_OK; /* not ours */
    blob = hearth_calloc(1, sizeof(*blob));
    if (blob == NULL)
        return HEARTH_ENOMEM;
    blob->digest = digest;
    blob->bytes = (uint64_t)st.st_size;
    b->stats.bytes += blob->bytes;
    add(b, blob);
    return HEARTH_OK;
}

static int take_up_all(hearth_blobs_t *b, const char *sub)
{
    char path[4096];
    struct dirent *entry;
    int status = HEARTH_OK;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", b->directory, sub);
    dir = opendir(path);
    while (dir && status == HEARTH_OK && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            status = take_up(b, sub, entry->d_name);
    if (dir)
        closedir(dir);
    return status;
}

static int read_directory(hearth_blobs_t *b, struct hearth_error *err)
{
    DIR *dir = opendir(b->directory);
    struct dirent *entry;
    char path[4096];
    int status = HEARTH_OK;

    if (dir == NULL)
        return hearth_fail(err, HEARTH_EIO,
                           "cannot read %.120s: %s; give hearthd a directory "
                           "of its own",
                           b->directory, strerror(errno));
    while (status == HEARTH_OK && (entry = readdir(dir))) {
        size_t bytes = strlen(entry->d_name);

        if (bytes == 2 && entry->d_name[0] != '.') {
            status = take_up_all(b, entry->d_name);
        } else if (strncmp(entry->d_name, "put-", 4) == 0) {
            snprintf(path, sizeof(path), "%s/%s", b->directory, entry->d_name);
            (void)unlink(path);
        }
    }
    closedir(dir);
    if (status != HEARTH_OK)
        return hearth_fail(err, status, "no memory for the blobs: free some");
    return HEARTH_OK;
}

/* mkdir -p */
static int make_directories(const char *directory, struct hearth_error *err)
{
    char path[4096];
    size_t bytes = strlen(directory);

    if (bytes >= sizeof(path))
        return hearth_fail(err, HEARTH_ECONFIG, "the path is too long");
    for (size_t i = 1; i <= bytes; i++)
        if (directory[i] == '/' || i == bytes) {
            memcpy(path, directory, i);
            path[i] = '\0';
            if (mkdir(path, 0700) != 0 && errno != EEXIST)
                return hearth_fail(err, HEARTH_EIO,
                                   "cannot make %.120s: %s; make it, or give "
                                   "another",
                                   path, strerror(errno));
        }
    return HEARTH_OK;
}

int hearth_blobs_create(hearth_blobs_t **out, const char *directory,
                        uint64_t limit_bytes, struct hearth_error *err)
{
    hearth_blobs_t *b = hearth_calloc(1, sizeof(*b));
    int status;

    *out = NULL;
    if (b == NULL || (b->directory = hearth_strdup(directory)) == NULL) {
        hearth_free(b);
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for the blobs");
    }
    b->magic = HEARTH_MAGIC_BLOBS;
    b->stats.limit_bytes = limit_bytes;
    hearth_lock_init(&b->lock, "blobs", HEARTH_LOCK_STORE);
    status = make_directories(directory, err);
    if (status == HEARTH_OK)
        status = read_directory(b, err);
    if (status != HEARTH_OK) {
        hearth_blobs_destroy(&b);
        return status;
    }
    (void)take_room(b, 0); /* the limit may be less than it was */
    *out = b;
    return HEARTH_OK;
}

void hearth_blobs_destroy(hearth_blobs_t **out)
{
    hearth_blobs_t *b = *out;

    if (b == NULL)
        return;
    HEARTH_CHECK(b, HEARTH_MAGIC_BLOBS);
    HEARTH_ASSERT(b->puts == 0);
    while (b->oldest)
        take_out(b, b->oldest);
    hearth_lock_fini(&b->lock);
    hearth_free(b->directory);
    b->magic = 0;
    hearth_free(b);
    *out = NULL;
}

/* ---- Putting ---- */

static int disk_error(struct hearth_error *err, const char *what)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return hearth_fail(err, full ? HEARTH_ENOSPACE : HEARTH_EIO,
                       "cannot %s: %s; %s", what, strerror(errno),
                       full ? "make room on the disk of state_dir"
                            : "look at the disk of state_dir");
}

int hearth_blob_put_begin(hearth_blob_put_t **out, hearth_blobs_t *b,
                          struct hearth_error *err)
{
    hearth_blob_put_t *put = hearth_calloc(1, sizeof(*put));
    size_t bytes = strlen(b->directory) + 24;
    int status = HEARTH_ENOMEM;

    *out = NULL;
    HEARTH_CHECK(b, HEARTH_MAGIC_BLOBS);
    if (put == NULL)
        goto nomem;
    put->blobs = b;
    put->fd = -1;
    put->path = hearth_malloc(bytes);
    put->hash = hearth_sha256_begin();
    if (put->path == NULL || put->hash == NULL)
        goto nomem;
    snprintf(put->path, bytes, "%s/put-XXXXXX", b->directory);
    put->fd = mkostemp(put->path, O_CLOEXEC);
    if (put->fd < 0) {
        status = disk_error(err, "make a file for the blob");
        goto fail;
    }
    hearth_lock_acquire(&b->lock);
    b->puts++;
    hearth_lock_release(&b->lock);
    *out = put;
    return HEARTH_OK;

nomem:
    hearth_fail(err, HEARTH_ENOMEM, "no memory for the blob: free some");
fail:
    if (put) {
        hearth_sha256_drop(put->hash);
        hearth_free(put->path);
    }
    hearth_free(put);
    return status;
}

int hearth_blob_put_write(hearth_blob_put_t *put, const void *data,
                          size_t bytes, struct hearth_error *err)
{
    hearth_blobs_t *b = put->blobs;
    const char *p = data;
    bool room;

    hearth_lock_acquire(&b->lock);
    room = take_room(b, bytes);
    hearth_lock_release(&b->lock);
    if (!room)
        return hearth_fail(err, HEARTH_ENOSPACE,
                           "blob_bytes has no room for it: raise it, or close "
                           "functions");
    put->bytes += bytes;
    hearth_sha256_add(put->hash, data, bytes);
    while (bytes > 0) {
        ssize_t n = write(put->fd, p, bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_error(err, "write the blob");
        p += n;
        bytes -= (size_t)n;
    }
    return HEARTH_OK;
}

/* Frees the put; its bytes are given back, unless <keep>. */
static void finish(hearth_blob_put_t **out, bool keep)
{
    hearth_blob_put_t *put = *out;
    hearth_blobs_t *b = put->blobs;

    *out = NULL;
    if (!keep) {
        (void)unlink(put->path);
        give_room(b, put->bytes);
    }
    close(put->fd);
    hearth_sha256_drop(put->hash);
    hearth_free(put->path);
    hearth_free(put);
    hearth_lock_acquire(&b->lock);
    b->puts--;
    hearth_lock_release(&b->lock);
}

void hearth_blob_put_abort(hearth_blob_put_t **put)
{
    if (*put)
        finish(put, false);
}

static int wrong_digest(const struct hearth_digest *expected,
                        const struct hearth_digest *got,
                        struct hearth_error *err)
{
    char a[HEARTH_DIGEST_TEXT], b[HEARTH_DIGEST_TEXT];

    return hearth_fail(err, HEARTH_EPROTO,
                       "the bytes' SHA-256 is %s, not %s: send the file again",
                       hearth_digest_text(got, a),
                       hearth_digest_text(expected, b));
}

/* The file <from>, open as <fd>, on the disk for good, and into the table under
 * its name, pinned: both at once under the lock, for an eviction of the same
 * digest removes the name. *kept: the file is the table's now; else somebody
 * else put the same meanwhile. Takes <blob> over. */
static int settle(hearth_blobs_t *b, int fd, const char *from,
                  struct blob *blob, bool *kept, struct hearth_error *err)
{
    char path[4096], sub[4096];
    char text[HEARTH_DIGEST_TEXT];
    struct blob *there;
    int status = HEARTH_OK;

    hearth_digest_text(&blob->digest, text);
    snprintf(sub, sizeof(sub), "%s/%.2s", b->directory, text);
    hearth_blobs_path(b, &blob->digest, path, sizeof(path));
    *kept = false;
    if (fchmod(fd, 0400) != 0 || fsync(fd) != 0)
        status = disk_error(err, "write the blob");
    else if (mkdir(sub, 0700) != 0 && errno != EEXIST)
        status = disk_error(err, "name the blob");
    hearth_lock_acquire(&b->lock);
    there = status == HEARTH_OK ? find(b, &blob->digest) : NULL;
    if (there) {
        there->pins++;
    } else if (status == HEARTH_OK) {
        *kept = rename(from, path) == 0;
        if (*kept)
            add(b, blob);
        else
            status = disk_error(err, "name the blob");
    }
    hearth_lock_release(&b->lock);
    if (!*kept)
        hearth_free(blob);
    return status;
}

int hearth_blob_put_end(hearth_blob_put_t **out,
                        const struct hearth_digest *expected,
                        struct hearth_digest *digest, uint64_t *bytes,
                        struct hearth_error *err)
{
    hearth_blob_put_t *put = *out;
    hearth_blobs_t *b = put->blobs;
    struct blob *blob;
    bool kept = false;
    int status = HEARTH_OK;

    hearth_sha256_end(put->hash, digest);
    put->hash = NULL;
    *bytes = put->bytes;
    if (expected && memcmp(expected, digest, sizeof(*digest)) != 0) {
        status = wrong_digest(expected, digest, err);
    } else if (!hearth_blobs_pin(b, digest)) { /* else somebody else put it */
        blob = hearth_calloc(1, sizeof(*blob));
        if (blob) {
            *blob = (struct blob){
                .digest = *digest, .bytes = put->bytes, .pins = 1};
            status = settle(b, put->fd, put->path, blob, &kept, err);
        } else {
            status = hearth_fail(err, HEARTH_ENOMEM, "no memory for the blob");
        }
    }
    finish(out, kept);
    return status;
}

/* ---- Adopting ---- */

int hearth_blobs_reserve(hearth_blobs_t *b, uint64_t bytes,
                         struct hearth_error *err)
{
    char text[32];
    bool room;

    hearth_lock_acquire(&b->lock);
    room = take_room(b, bytes);
    hearth_lock_release(&b->lock);
    return room ? HEARTH_OK
                : hearth_fail(err, HEARTH_ENOSPACE,
                              "blob_bytes has no room for %s: raise it, or "
                              "unload models and close functions",
                              hearth_format_bytes(bytes, text, sizeof(text)));
}

void hearth_blobs_give_back(hearth_blobs_t *b, uint64_t bytes)
{
    give_room(b, bytes);
}

int hearth_blobs_adopt(hearth_blobs_t *b, const char *path,
                       const struct hearth_digest *digest, uint64_t bytes,
                       struct hearth_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct blob *blob = hearth_calloc(1, sizeof(*blob));
    bool kept = false;
    int status;

    if (fd < 0)
        status = disk_error(err, "open what was fetched");
    else if (blob == NULL)
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory for the blob");
    else
        status = HEARTH_OK;
    if (status == HEARTH_OK) {
        *blob = (struct blob){.digest = *digest, .bytes = bytes, .pins = 1};
        status = settle(b, fd, path, blob, &kept, err);
    } else {
        hearth_free(blob);
    }
    if (fd >= 0)
        close(fd);
    if (!kept)
        give_room(b, bytes);
    if (!kept && status == HEARTH_OK)
        (void)unlink(path); /* the same is there already */
    return status;
}

/* The file goes into <put>; NULL: it is only hashed. */
static int read_all(int fd, uint64_t most, hearth_blob_put_t *put,
                    struct hearth_digest *digest, uint64_t *bytes,
                    struct hearth_error *err)
{
    struct hearth_sha256 *hash = put ? NULL : hearth_sha256_begin();
    char *piece = hearth_malloc(PIECE);
    int status = HEARTH_OK;

    *bytes = 0;
    if (piece == NULL || (put == NULL && hash == NULL))
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory for the blob");
    while (status == HEARTH_OK) {
        ssize_t n = pread(fd, piece, PIECE, (off_t)*bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = hearth_fail(err, HEARTH_EIO, "cannot read the file: %s",
                                 strerror(errno));
        if (n <= 0)
            break;
        *bytes += (uint64_t)n;
        if (*bytes > most) /* it grows under us */
            status = hearth_fail(err, HEARTH_ETOOBIG,
                                 "the file has more than %llu bytes",
                                 (unsigned long long)most);
        else if (put)
            status = hearth_blob_put_write(put, piece, (size_t)n, err);
        else
            hearth_sha256_add(hash, piece, (size_t)n);
    }
    if (hash)
        hearth_sha256_end(hash, digest);
    hearth_free(piece);
    return status;
}

int hearth_blobs_put_fd(hearth_blobs_t *b, int fd, uint64_t most,
                        const struct hearth_digest *expected,
                        struct hearth_digest *digest, uint64_t *bytes,
                        struct hearth_error *err)
{
    hearth_blob_put_t *put;
    struct stat st;
    int status;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return hearth_fail(err, HEARTH_EINVAL,
                           "what was passed is no regular file");
    if ((uint64_t)st.st_size > most)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "the file has more than %llu bytes",
                           (unsigned long long)most);
    if (expected && hearth_blobs_pin(b, expected)) {
        status = read_all(fd, most, NULL, digest, bytes, err);
        if (status == HEARTH_OK &&
            memcmp(expected, digest, sizeof(*digest)) != 0)
            status = wrong_digest(expected, digest, err);
        if (status != HEARTH_OK)
            hearth_blobs_unpin(b, expected);
        return status;
    }
    status = hearth_blob_put_begin(&put, b, err);
    if (status != HEARTH_OK)
        return status;
    status = read_all(fd, most, put, digest, bytes, err);
    if (status == HEARTH_OK)
        return hearth_blob_put_end(&put, expected, digest, bytes, err);
    hearth_blob_put_abort(&put);
    return status;
}

/* ---- Using ---- */

bool hearth_blobs_pin(hearth_blobs_t *b, const struct hearth_digest *digest)
{
    char path[4096];
    struct blob *blob;

    hearth_blobs_path(b, digest, path, sizeof(path));
    hearth_lock_acquire(&b->lock);
    blob = find(b, digest);
    /* Somebody cleaned up by hand: it comes again. */
    if (blob && blob->pins == 0 && access(path, F_OK) != 0) {
        b->stats.bytes -= blob->bytes;
        take_out(b, blob);
        blob = NULL;
    }
    if (blob) {
        blob->pins++;
        unlink_use(b, blob);
        link_newest(b, blob);
    }
    hearth_lock_release(&b->lock);
    return blob != NULL;
}

void hearth_blobs_unpin(hearth_blobs_t *b, const struct hearth_digest *digest)
{
    struct blob *blob;

    hearth_lock_acquire(&b->lock);
    blob = find(b, digest);
    HEARTH_ASSERT(blob && blob->pins > 0);
    blob->pins--;
    hearth_lock_release(&b->lock);
}

void hearth_blobs_stats(hearth_blobs_t *b, struct hearth_blobs_stats *stats)
{
    hearth_lock_acquire(&b->lock);
    *stats = b->stats;
    hearth_lock_release(&b->lock);
}
