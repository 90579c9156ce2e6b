/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir.c: the directory: names, the lock of the one writer, the byte limit.
 *
 * What is there is read from the directory itself whenever something is to be
 * written, not kept in memory: other processes share it, and writes are rare.
 * The order of use is the files' time of access, which reading sets itself, for
 * most file systems are mounted so that they would not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack_priv.h"

#define HEARTH_MAGIC_PACKS 0x5041434bu /* "PACK" */
#define SUFFIX ".pack"
#define UNFINISHED "new-"

void hearth__pack_name(const char *key, char name[HEARTH__PACK_NAME])
{
    struct hearth_digest digest;
    char text[HEARTH_DIGEST_TEXT];
    hearth_sha256(key, strlen(key), &digest);
    (void)hearth_digest_text(&digest, text);
    snprintf(name, HEARTH__PACK_NAME, "%.32s" SUFFIX, text);
}

int hearth__pack_failed(const hearth_packs_t *packs, const char *what,
                        struct hearth_error *err)
{
    char end[100];
    int code = errno;
    bool full = code == ENOSPC || code == EDQUOT;
    return hearth_fail(
        err, full ? HEARTH_ENOSPACE : HEARTH_EIO, "cannot %s in %s: %s; %s",
        what, hearth_path_end(packs->path, end, sizeof end), strerror(code),
        full ? "make room on that disk"
             : "make it a directory that can be written");
}

/* ---- Create, destroy ---- */

static int make_directories(const char *directory, struct hearth_error *err)
{
    char path[4096], end[100];
    size_t bytes = strlen(directory);
    if (bytes >= sizeof path)
        return hearth_fail(err, HEARTH_EIO,
                           "the path of the packed models is too long; give a "
                           "shorter one");
    for (size_t i = 1; i <= bytes; i++) {
        if (directory[i] != '/' && i != bytes)
            continue;
        memcpy(path, directory, i);
        path[i] = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return hearth_fail(
                err, HEARTH_EIO, "cannot make %s: %s; make it, or give another",
                hearth_path_end(path, end, sizeof end), strerror(errno));
    }
    return HEARTH_OK;
}

int hearth_packs_create(hearth_packs_t **out, const char *directory,
                        uint64_t limit_bytes, struct hearth_error *err)
{
    char end[100];
    hearth_packs_t *p = hearth_calloc(1, sizeof *p);
    int rc = HEARTH_ENOMEM;
    *out = NULL;
    if (p == NULL)
        return hearth_fail(err, rc, "no memory for the packed models");
    p->magic = HEARTH_MAGIC_PACKS;
    p->directory = -1;
    p->limit_bytes = limit_bytes;
    p->path = hearth_strdup(directory);
    if (p->path == NULL)
        hearth_fail(err, rc, "no memory for the packed models");
    else
        rc = make_directories(directory, err);
    if (rc == HEARTH_OK) {
        p->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (p->directory < 0)
            rc = hearth_fail(
                err, HEARTH_EIO, "cannot open %s: %s; give another directory",
                hearth_path_end(directory, end, sizeof end), strerror(errno));
    }
    *out = p;
    if (rc != HEARTH_OK)
        hearth_packs_destroy(out);
    return rc;
}

void hearth_packs_destroy(hearth_packs_t **out)
{
    hearth_packs_t *p = *out;
    if (p == NULL)
        return;
    HEARTH_CHECK(p, HEARTH_MAGIC_PACKS);
    HEARTH_ASSERT(__atomic_load_n(&p->puts, __ATOMIC_ACQUIRE) == 0);
    if (p->directory >= 0)
        close(p->directory);
    hearth_free(p->path);
    p->magic = 0;
    hearth_free(p);
    *out = NULL;
}

void hearth_packs_discard(hearth_packs_t *packs, const char *key)
{
    char name[HEARTH__PACK_NAME];
    HEARTH_CHECK(packs, HEARTH_MAGIC_PACKS);
    hearth__pack_name(key, name);
    (void)unlinkat(packs->directory, name, 0);
}

void hearth_packs_stats(hearth_packs_t *packs, struct hearth_packs_stats *out)
{
    struct hearth__pack_list list;
    HEARTH_CHECK(packs, HEARTH_MAGIC_PACKS);
    const struct hearth_packs_stats *s = &packs->stats;
    *out = (struct hearth_packs_stats){
        .limit_bytes = packs->limit_bytes,
        .opened = __atomic_load_n(&s->opened, __ATOMIC_RELAXED),
        .missed = __atomic_load_n(&s->missed, __ATOMIC_RELAXED),
        .damaged = __atomic_load_n(&s->damaged, __ATOMIC_RELAXED),
        .written = __atomic_load_n(&s->written, __ATOMIC_RELAXED),
        .failed = __atomic_load_n(&s->failed, __ATOMIC_RELAXED),
        .evicted = __atomic_load_n(&s->evicted, __ATOMIC_RELAXED)};
    if (hearth__packs_list(packs, false, &list, NULL) == HEARTH_OK) {
        out->bytes = list.bytes;
        out->count = list.count;
        hearth__packs_list_free(&list);
    }
}

/* ---- The files ---- */

int hearth__packs_lock(hearth_packs_t *packs, int *fd, struct hearth_error *err)
{
    *fd = openat(packs->directory, "lock",
                 O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return hearth__pack_failed(packs, "write packed models", err);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return HEARTH_OK;
    int rc = errno == EWOULDBLOCK
                 ? hearth_fail(err, HEARTH_EBUSY,
                               "another packed model is being written; try "
                               "again later")
                 : hearth__pack_failed(packs, "lock packed models", err);
    close(*fd);
    *fd = -1;
    return rc;
}

static bool is_pack(const char *name)
{
    size_t n = strlen(name);
    return n == HEARTH__PACK_NAME - 1 && strcmp(name + n - 5, SUFFIX) == 0;
}

static struct hearth__pack_file *add(struct hearth__pack_list *list)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        void *grown =
            hearth_realloc(list->files, capacity * sizeof *list->files);
        if (grown == NULL)
            return NULL;
        list->files = grown;
        list->capacity = capacity;
    }
    return &list->files[list->count++];
}

static int by_use(const void *a, const void *b)
{
    const struct hearth__pack_file *p = a, *q = b;
    return p->used_ns < q->used_ns ? -1 : p->used_ns > q->used_ns;
}

static int take_file(hearth_packs_t *packs, const char *name,
                     struct hearth__pack_list *list)
{
    struct stat st;
    if (fstatat(packs->directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return HEARTH_OK; /* another process removed it */
    struct hearth__pack_file *f = add(list);
    if (f == NULL)
        return HEARTH_ENOMEM;
    memcpy(f->name, name, strlen(name) + 1);
    f->bytes = (uint64_t)st.st_size;
    f->used_ns = (int64_t)st.st_atim.tv_sec * 1000000000 + st.st_atim.tv_nsec;
    list->bytes += f->bytes;
    return HEARTH_OK;
}

int hearth__packs_list(hearth_packs_t *packs, bool sweep,
                       struct hearth__pack_list *list, struct hearth_error *err)
{
    *list = (struct hearth__pack_list){0};
    int rc = HEARTH_OK;
    int fd = openat(packs->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        rc = hearth__pack_failed(packs, "list packed models", err);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (struct dirent *e; rc == HEARTH_OK && (e = readdir(dir)) != NULL;) {
        if (sweep && strncmp(e->d_name, UNFINISHED, strlen(UNFINISHED)) == 0)
            (void)unlinkat(packs->directory, e->d_name, 0);
        else if (is_pack(e->d_name))
            rc = take_file(packs, e->d_name, list);
    }
    closedir(dir);
    if (rc != HEARTH_OK) {
        hearth__packs_list_free(list);
        return hearth_fail(err, rc, "no memory to list packed models");
    }
    if (list->count > 0)
        qsort(list->files, list->count, sizeof *list->files, by_use);
    return HEARTH_OK;
}

void hearth__packs_list_free(struct hearth__pack_list *list)
{
    hearth_free(list->files);
    *list = (struct hearth__pack_list){0};
}

bool hearth__packs_make_room(hearth_packs_t *packs,
                             struct hearth__pack_list *list, uint64_t more)
{
    uint64_t limit = packs->limit_bytes;
    if (limit == 0)
        return true;
    if (more > limit)
        return false;
    while (list->bytes > limit - more) {
        if (list->gone == list->count)
            return false;
        struct hearth__pack_file *f = &list->files[list->gone++];
        if (unlinkat(packs->directory, f->name, 0) != 0 && errno != ENOENT)
            continue;
        list->bytes -= f->bytes;
        HEARTH__PACK_COUNT(packs, evicted);
    }
    return true;
}
