/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c: a model's files: the mapping that import walks, external data beside
 * it, and the constants that import derived, as the segments of struct
 * hearth_weights.
 *
 * External data stays in the model's directory: a location is walked one name
 * at a time with openat and O_NOFOLLOW, and "..", an absolute path and a
 * symbolic link anywhere are refused. A check of the text, or realpath first
 * and open afterwards, could be raced.
 *
 * <read> uses pread, so that a file which was cut is an error and not a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/model_priv.h"

#define EXTERNAL_MAX 1024 /* files */
#define CHANGED                                                                \
    "changed or vanished while it was open; replace model files by rename, "   \
    "and open the model again"

const char *hearth__files_short(const char *path)
{
    size_t n = strlen(path);
    return n <= 100 ? path : path + n - 100;
}

static int fail_errno(struct hearth_error *err, const char *what)
{
    int code = errno;
    what = hearth__files_short(what);
    if (code == ENOENT || code == ENOTDIR)
        return hearth_fail(err, HEARTH_ENOENT,
                           "%s: no such file; check the path", what);
    if (code == ENOMEM)
        return hearth_fail(err, HEARTH_ENOMEM, "%s: no memory to map it", what);
    return hearth_fail(err, HEARTH_EIO, "%s: %s; check the file and its mode",
                       what, strerror(code));
}

/* Takes over <fd>, also on failure. */
static int segment_map(struct hearth__segment *s, int fd, const char *name,
                       struct hearth_error *err)
{
    int rc = HEARTH_OK;
    void *base = NULL;
    if (fstat(fd, &s->stat) != 0)
        rc = fail_errno(err, name);
    else if (!S_ISREG(s->stat.st_mode))
        rc = hearth_fail(err, HEARTH_EIO,
                         "%s is not a regular file; name a model's file",
                         hearth__files_short(name));
    else if (s->stat.st_size == 0)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "%s is empty; copy or export it again",
                         hearth__files_short(name));
    if (rc != HEARTH_OK)
        goto fail;
    base = mmap(NULL, (size_t)s->stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
        rc = fail_errno(err, name);
        goto fail;
    }
    s->name = hearth_strdup(name);
    if (s->name == NULL) {
        rc = hearth_fail(err, HEARTH_ENOMEM, "no memory to open a model");
        goto fail_map;
    }
    /* All of it will be read soon: by the digest, and by whoever loads. */
    (void)madvise(base, (size_t)s->stat.st_size, MADV_WILLNEED);
    s->base = base;
    s->bytes = (uint64_t)s->stat.st_size;
    s->fd = fd;
    return HEARTH_OK;
fail_map:
    munmap(base, (size_t)s->stat.st_size);
fail:
    close(fd);
    return rc;
}

static struct hearth__segment *segment_new(struct hearth__files *files)
{
    if (files->count == files->capacity) {
        uint32_t capacity = files->capacity == 0 ? 2 : files->capacity * 2;
        void *grown =
            hearth_realloc(files->segments, capacity * sizeof *files->segments);
        if (grown == NULL)
            return NULL;
        files->segments = grown;
        files->capacity = capacity;
    }
    struct hearth__segment *s = &files->segments[files->count];
    memset(s, 0, sizeof *s);
    s->fd = -1;
    return s;
}

static int no_memory(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ENOMEM,
                       "no memory to open a model; try again later");
}

/* The directory part of <path>, opened. */
static int open_directory(const char *path, struct hearth_error *err, int *fd)
{
    char text[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (n >= sizeof text)
        return hearth_fail(err, HEARTH_EIO, "%.80s...: the path is too long",
                           path);
    memcpy(text, path, n);
    text[n] = '\0';
    *fd = open(n == 0 ? "." : text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? fail_errno(err, text) : HEARTH_OK;
}

int hearth__files_open(struct hearth__files *files, const char *path,
                       struct hearth_error *err)
{
    memset(files, 0, sizeof *files);
    files->directory = -1;
    struct hearth__segment *s = segment_new(files);
    if (s == NULL)
        return no_memory(err);
    /* O_NONBLOCK: a pipe must not hold us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(err, path);
    int rc = segment_map(s, fd, path, err);
    if (rc != HEARTH_OK)
        return rc;
    files->count = 1;
    return open_directory(path, err, &files->directory);
}

int hearth__files_look(struct hearth__files *files, const char *path,
                       struct hearth_error *err)
{
    memset(files, 0, sizeof *files);
    files->directory = -1;
    struct hearth__segment *s = segment_new(files);
    if (s == NULL || (s->name = hearth_strdup(path)) == NULL)
        return no_memory(err);
    files->count = 1;
    if (stat(path, &s->stat) != 0)
        return fail_errno(err, path);
    s->bytes = (uint64_t)s->stat.st_size;
    return open_directory(path, err, &files->directory);
}

bool hearth__files_look_external(struct hearth__files *files, const char *name)
{
    struct hearth__segment *s = segment_new(files);
    if (s == NULL ||
        fstatat(files->directory, name, &s->stat, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    s->name = hearth_strdup(name);
    s->bytes = (uint64_t)s->stat.st_size;
    files->count += s->name != NULL;
    return s->name != NULL;
}

void hearth__files_forget(struct hearth__files *files, uint32_t keep)
{
    while (files->count > keep)
        hearth_free(files->segments[--files->count].name);
}

int hearth__files_memory(struct hearth__files *files, const void *data,
                         uint64_t bytes, const char *name,
                         struct hearth_error *err)
{
    memset(files, 0, sizeof *files);
    files->directory = -1;
    struct hearth__segment *s = segment_new(files);
    if (s == NULL)
        return no_memory(err);
    if (bytes == 0)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the model is empty; send its bytes");
    s->name = hearth_strdup(name);
    if (s->name == NULL)
        return no_memory(err);
    s->base = data;
    s->bytes = bytes;
    files->count = 1;
    return HEARTH_OK;
}

void hearth__files_close(struct hearth__files *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        struct hearth__segment *s = &files->segments[i];
        if (s->fd >= 0) {
            munmap((void *)(uintptr_t)s->base, (size_t)s->bytes);
            close(s->fd);
        }
        hearth_free(s->name);
    }
    for (uint32_t i = 0; i < files->derived_count; i++)
        hearth_free(files->derived[i].data);
    hearth_free(files->derived);
    hearth_free(files->segments);
    if (files->directory >= 0)
        close(files->directory);
    memset(files, 0, sizeof *files);
    files->directory = -1;
}

/* ---- External data ---- */

/* Opens "a/b/c" below <directory>, following no link. */
static int open_below(int directory, char *location, const char *shown,
                      struct hearth_error *err, int *out)
{
    int at = directory, rc = HEARTH_OK;
    char *name = location;
    for (;;) {
        char *slash = strchr(name, '/');
        if (slash != NULL)
            *slash = '\0';
        if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            rc = hearth_fail(err, HEARTH_EMODEL,
                             "external data at '%.80s' is not a plain path "
                             "below the model's directory; export again",
                             shown);
        if (rc != HEARTH_OK)
            break;
        int fd = openat(at, name,
                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
                            (slash != NULL ? O_DIRECTORY : 0));
        if (fd < 0) {
            bool link = errno == ELOOP || errno == EMLINK;
            rc = link ? hearth_fail(err, HEARTH_EMODEL,
                                    "external data '%.80s' is behind a "
                                    "symbolic link; put the file itself there",
                                    shown)
                      : fail_errno(err, shown);
            break;
        }
        if (at != directory)
            close(at);
        at = fd;
        if (slash == NULL) {
            *out = fd;
            return HEARTH_OK;
        }
        name = slash + 1;
    }
    if (at != directory)
        close(at);
    return rc;
}

int hearth__files_external(struct hearth__files *files,
                           struct hearth__slice location, uint32_t *segment,
                           struct hearth_error *err)
{
    char walked[1024], shown[1024];
    int fd = -1;
    if (files->directory < 0)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "the model has external data but no directory; "
                           "open it by its path, or put its weights inside");
    if (location.bytes == 0 || location.bytes >= sizeof walked ||
        memchr(location.at, '\0', location.bytes) != NULL)
        return hearth_fail(err, HEARTH_EMODEL,
                           "external data has an empty or impossible location; "
                           "export the model again");
    /* Tensors of one file stand together: newest first. */
    for (uint32_t i = files->count; i-- > 1;) {
        const char *name = files->segments[i].name;
        if (strlen(name) == location.bytes &&
            memcmp(name, location.at, location.bytes) == 0) {
            *segment = i;
            return HEARTH_OK;
        }
    }
    if (files->count > EXTERNAL_MAX)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "the model has more than %d external files; export "
                           "it with its weights in one",
                           EXTERNAL_MAX);
    memcpy(walked, location.at, location.bytes);
    walked[location.bytes] = '\0';
    memcpy(shown, walked, location.bytes + 1);
    struct hearth__segment *s = segment_new(files);
    if (s == NULL)
        return no_memory(err);
    int rc = open_below(files->directory, walked, shown, err, &fd);
    if (rc == HEARTH_OK)
        rc = segment_map(s, fd, shown, err);
    if (rc == HEARTH_OK)
        *segment = files->count++;
    return rc;
}

/* ---- struct hearth_weights ---- */

static const void *derived_at(const struct hearth__files *files,
                              uint64_t offset, uint64_t bytes)
{
    uint32_t low = 0, high = files->derived_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const struct hearth__derived *d = &files->derived[mid];
        if (offset < d->offset)
            high = mid;
        else if (offset - d->offset >= d->bytes)
            low = mid + 1;
        else
            return bytes <= d->bytes - (offset - d->offset)
                       ? (const char *)d->data + (offset - d->offset)
                       : NULL;
    }
    return NULL;
}

/* Is the file what it was when it was opened? */
static bool unchanged(const struct hearth__segment *s)
{
    struct stat now;
    return s->fd < 0 ||
           (fstat(s->fd, &now) == 0 && now.st_size == s->stat.st_size &&
            now.st_mtim.tv_sec == s->stat.st_mtim.tv_sec &&
            now.st_mtim.tv_nsec == s->stat.st_mtim.tv_nsec);
}

static int outside(struct hearth_error *err, uint32_t segment)
{
    return hearth_fail(err, HEARTH_EIO,
                       "a weight lies outside of segment %" PRIu32
                       "; import the model again",
                       segment);
}

int hearth__files_map(void *ctx, uint32_t segment, uint64_t offset,
                      uint64_t bytes, const void **data,
                      struct hearth_error *err)
{
    const struct hearth__files *files = ctx;
    *data = NULL;
    if (segment == files->count)
        *data = bytes == 0 ? "" : derived_at(files, offset, bytes);
    if (segment >= files->count)
        return *data != NULL ? HEARTH_OK : outside(err, segment);
    const struct hearth__segment *s = &files->segments[segment];
    if (offset > s->bytes || bytes > s->bytes - offset)
        return outside(err, segment);
    if (!unchanged(s))
        return hearth_fail(err, HEARTH_EIO, "%s " CHANGED,
                           hearth__files_short(s->name));
    *data = s->base + offset;
    return HEARTH_OK;
}

static int read_file(const struct hearth__segment *s, uint64_t offset,
                     uint64_t bytes, char *dst, struct hearth_error *err)
{
    while (bytes > 0) {
        size_t want = bytes < SSIZE_MAX ? (size_t)bytes : (size_t)SSIZE_MAX;
        ssize_t got = pread(s->fd, dst, want, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(err, s->name);
        if (got == 0)
            return hearth_fail(err, HEARTH_EIO, "%s " CHANGED,
                               hearth__files_short(s->name));
        dst += got;
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return HEARTH_OK;
}

int hearth__files_read(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    const struct hearth__files *files = ctx;
    const void *data;
    if (segment < files->count && files->segments[segment].fd >= 0) {
        const struct hearth__segment *s = &files->segments[segment];
        if (offset > s->bytes || bytes > s->bytes - offset)
            return outside(err, segment);
        if (!unchanged(s))
            return hearth_fail(err, HEARTH_EIO, "%s " CHANGED,
                               hearth__files_short(s->name));
        return read_file(s, offset, bytes, dst, err);
    }
    int rc = hearth__files_map(ctx, segment, offset, bytes, &data, err);
    if (rc == HEARTH_OK && bytes > 0)
        memcpy(dst, data, bytes);
    return rc;
}

void hearth__files_id(const struct stat *stat, struct hearth_model_file_id *id)
{
    *id = (struct hearth_model_file_id){
        .device = (uint64_t)stat->st_dev,
        .inode = (uint64_t)stat->st_ino,
        .bytes = (uint64_t)stat->st_size,
        .changed_ns =
            (int64_t)stat->st_mtim.tv_sec * 1000000000 + stat->st_mtim.tv_nsec};
}

static bool same_id(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool hearth__files_current(const struct hearth__files *files, const char *path)
{
    struct stat now;
    if (files->directory < 0 || stat(path, &now) != 0 ||
        !same_id(&now, &files->segments[0].stat))
        return false;
    for (uint32_t i = 1; i < files->count; i++)
        if (fstatat(files->directory, files->segments[i].name, &now,
                    AT_SYMLINK_NOFOLLOW) != 0 ||
            !same_id(&now, &files->segments[i].stat))
            return false;
    return true;
}

int hearth__files_digest(struct hearth__files *files,
                         struct hearth_digest *digest, struct hearth_error *err)
{
    struct hearth_digest *all = hearth_calloc(files->count, sizeof *all);
    int rc = HEARTH_OK;
    if (all == NULL)
        return no_memory(err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < files->count; i++) {
        const struct hearth__segment *s = &files->segments[i];
        bool same = unchanged(s);
        if (same)
            hearth_sha256(s->base, s->bytes, &all[i]);
        if (!same || !unchanged(s))
            rc = hearth_fail(err, HEARTH_EIO, "%s " CHANGED,
                             hearth__files_short(s->name));
    }
    if (rc == HEARTH_OK && files->count == 1)
        *digest = all[0];
    else if (rc == HEARTH_OK)
        hearth_sha256(all, files->count * sizeof *all, digest);
    hearth_free(all);
    return rc;
}
