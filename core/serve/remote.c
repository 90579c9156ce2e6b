/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.c: a model repository behind an http or https URL: any server of
 * files, with an index.json that `hearth index` writes:
 *
 *     {"models": [{"name": "digits", "version": 1, "config": "...", "files":
 *       [{"name": "model.onnx", "url": "digits/1/model.onnx",
 *         "sha256": "...", "bytes": 131406}]}]}
 *
 * The index is kept (STATE/repositories) for when the server is away. The files
 * of a version are fetched when it is opened, into STATE/coming, where a part
 * waits for the next try, and become blobs, which are pinned while the version
 * is open and evicted by age after. What a model sees is STATE/served/ID, hard
 * links to its blobs by the names that the index gives them.
 *
 * What a URL serves is trusted as a directory here would be; the digests see to
 * it that it is what the index says.
 */
#include "serve/serve_priv.h"

#include "log/log.h"
#include "store/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ASK_US INT64_C(60000000)
#define TELL_US INT64_C(5000000)
#define PART_AGE_S (7 * 24 * 3600) /* then nobody takes it up any more */
#define PATH_BYTES HEARTH__PATH_BYTES

void hearth__remote_free(struct hearth__remote **out)
{
    struct hearth__remote *r = *out;

    *out = NULL;
    if (r == NULL)
        return;
    HEARTH_ASSERT(!r->here);
    for (uint32_t i = 0; i < r->count; i++) {
        hearth_free(r->files[i].name);
        hearth_free(r->files[i].url);
    }
    hearth_free(r->files);
    hearth_free(r->directory);
    hearth_free(r);
}

/* ---- One at a time ---- */

void hearth__busy_begin(hearth_node_t *node, struct hearth__busy *busy,
                        const struct hearth_digest *what)
{
    bool taken = true;

    busy->what = *what;
    hearth_lock_acquire(&node->lock);
    while (taken) {
        taken = false;
        for (struct hearth__busy *b = node->busy; b && !taken; b = b->next)
            taken = memcmp(&b->what, what, sizeof(*what)) == 0;
        if (taken)
            hearth_cond_wait(&node->changed, &node->lock, -1);
    }
    busy->next = node->busy;
    node->busy = busy;
    hearth_lock_release(&node->lock);
}

void hearth__busy_end(hearth_node_t *node, struct hearth__busy *busy)
{
    hearth_lock_acquire(&node->lock);
    for (struct hearth__busy **b = &node->busy; *b; b = &(*b)->next)
        if (*b == busy) {
            *b = busy->next;
            break;
        }
    hearth_cond_broadcast(&node->changed);
    hearth_lock_release(&node->lock);
}

/* ---- Directories ---- */

const char *hearth__state_path(hearth_node_t *node, char *path, const char *sub,
                               const char *name)
{
    const char *dir = hearth__node_config(node).state_dir;

    snprintf(path, PATH_BYTES, "%s/%s%s%s", dir, sub, *name ? "/" : "", name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void remove_old_parts(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    char path[PATH_BYTES + 300];
    struct stat st;

    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.' && stat(path, &st) == 0 &&
            time(NULL) - st.st_mtime > PART_AGE_S)
            (void)unlink(path);
    }
    if (dir)
        closedir(dir);
}

int hearth__remote_open(hearth_node_t *node, struct hearth_error *err)
{
    static const char *const subs[] = {"repositories", "coming", "served"};
    char path[PATH_BYTES];

    if (node->blobs == NULL)
        return HEARTH_OK;
    (void)nftw(hearth__state_path(node, path, "served", ""), remove_one, 16,
               FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++)
        if (mkdir(hearth__state_path(node, path, subs[i], ""), 0700) != 0 &&
            errno != EEXIST)
            return hearth_fail(err, HEARTH_EIO,
                               "cannot make %.120s: %s; give hearthd a "
                               "state_dir of its own",
                               path, strerror(errno));
    remove_old_parts(hearth__state_path(node, path, "coming", ""));
    return HEARTH_OK;
}

/* ---- Bringing ---- */

bool hearth__is_over(void *ctx, int64_t bytes, int64_t total)
{
    hearth_node_t *node = ctx;

    (void)bytes;
    (void)total;
    return atomic_load(&node->ending) || atomic_load(&node->draining);
}

struct coming {
    hearth_node_t *node;
    struct hearth__remote *remote;
    const char *name;
    uint64_t before; /* bytes of the files that are here */
    int64_t told_us;
};

static bool progress(void *ctx, int64_t bytes, int64_t total)
{
    struct coming *c = ctx;
    int64_t now = hearth_now_us(c->node->clock);
    char came[32], all[32];

    (void)total;
    atomic_store(&c->remote->came, c->before + (uint64_t)bytes);
    if (now - c->told_us >= TELL_US) {
        c->told_us = now;
        hearth_log(HEARTH_LOG_INFO, 21,
                   "event=fetching model=\"%s\" came=\"%s\" of=\"%s\"", c->name,
                   hearth_format_bytes(c->before + (uint64_t)bytes, came,
                                       sizeof(came)),
                   hearth_format_bytes(c->remote->bytes, all, sizeof(all)));
    }
    return hearth__is_over(c->node, bytes, total) ||
           atomic_load(&c->remote->given_up);
}

/* Into the blobs, pinned. */
static int bring_file(struct coming *c, const struct hearth__remote_file *f,
                      struct hearth_error *err)
{
    /* 0 would be no limit at all. */
    const struct hearth_fetch_options options = {.most_bytes =
                                                     f->bytes ? f->bytes : 1,
                                                 .expected = &f->digest,
                                                 .progress = progress,
                                                 .ctx = c};
    hearth_blobs_t *blobs = c->node->blobs;
    char path[PATH_BYTES], text[HEARTH_DIGEST_TEXT];
    struct hearth__busy busy;
    int status = HEARTH_OK;

    hearth__busy_begin(c->node, &busy, &f->digest);
    if (hearth_blobs_pin(blobs, &f->digest))
        goto out;
    status = hearth_blobs_reserve(blobs, f->bytes, err);
    if (status != HEARTH_OK)
        goto out;
    hearth__state_path(c->node, path, "coming",
                       hearth_digest_text(&f->digest, text));
    status = hearth_fetch(f->url, path, &options, NULL, err);
    if (status == HEARTH_OK)
        status = hearth_blobs_adopt(blobs, path, &f->digest, f->bytes, err);
    else
        hearth_blobs_give_back(blobs, f->bytes);
    /* The caller asked for a model that is known: its server is not well. */
    if (status == HEARTH_ENOENT || status == HEARTH_EPROTO ||
        status == HEARTH_EINVAL || status == HEARTH_ETOOBIG)
        err->status = status = HEARTH_EPEER;
out:
    hearth__busy_end(c->node, &busy);
    return status;
}

static int link_files(hearth_node_t *node, const struct hearth__remote *r,
                      struct hearth_error *err)
{
    char from[PATH_BYTES], to[PATH_BYTES + HEARTH__NAME_BYTES];

    if (mkdir(r->directory, 0700) != 0 && errno != EEXIST)
        return hearth_fail(err, HEARTH_EIO, "cannot make %.120s: %s",
                           r->directory, strerror(errno));
    for (uint32_t i = 0; i < r->count; i++) {
        snprintf(to, sizeof(to), "%s/%s", r->directory, r->files[i].name);
        (void)unlink(to);
        if (link(hearth_blobs_path(node->blobs, &r->files[i].digest, from,
                                   sizeof(from)),
                 to) != 0)
            return hearth_fail(err, HEARTH_EIO,
                               "cannot link %.120s: %s; state_dir needs a file "
                               "system with hard links",
                               to, strerror(errno));
    }
    return HEARTH_OK;
}

static void drop_files(hearth_node_t *node, struct hearth__remote *r)
{
    char path[PATH_BYTES + HEARTH__NAME_BYTES];

    for (uint32_t i = 0; i < r->count; i++) {
        snprintf(path, sizeof(path), "%s/%s", r->directory, r->files[i].name);
        (void)unlink(path);
        if (r->files[i].pinned)
            hearth_blobs_unpin(node->blobs, &r->files[i].digest);
        r->files[i].pinned = false;
    }
    (void)rmdir(r->directory);
}

int hearth__remote_bring(hearth_node_t *node, const char *name,
                         struct hearth__remote *r, struct hearth_error *err)
{
    struct coming c = {.node = node,
                       .remote = r,
                       .name = name,
                       .told_us = hearth_now_us(node->clock)};
    int64_t began_us = c.told_us;
    struct hearth__busy busy;
    char text[32];
    int status = HEARTH_OK;

    hearth__busy_begin(node, &busy, &r->id);
    atomic_store(&r->given_up, false);
    atomic_store(&r->coming, !r->here);
    for (uint32_t i = 0; !r->here && status == HEARTH_OK && i < r->count; i++) {
        status = bring_file(&c, &r->files[i], err);
        r->files[i].pinned = status == HEARTH_OK;
        c.before += r->files[i].bytes;
    }
    if (!r->here && status == HEARTH_OK)
        status = link_files(node, r, err);
    if (!r->here && status == HEARTH_OK)
        hearth_log(HEARTH_LOG_INFO, 22,
                   "event=fetched model=\"%s\" bytes=\"%s\" seconds=%.2f", name,
                   hearth_format_bytes(r->bytes, text, sizeof(text)),
                   (double)(hearth_now_us(node->clock) - began_us) / 1e6);
    if (!r->here && status != HEARTH_OK)
        drop_files(node, r);
    r->here = status == HEARTH_OK;
    atomic_store(&r->coming, false);
    hearth__busy_end(node, &busy);
    return status;
}

void hearth__remote_let_go(hearth_node_t *node, struct hearth__served *s)
{
    struct hearth__busy busy;
    bool used;

    if (s->remote == NULL)
        return;
    hearth__busy_begin(node, &busy, &s->remote->id);
    hearth_lock_acquire(&node->lock);
    used = s->state == HEARTH__OPEN || s->state == HEARTH__OPENING;
    hearth_lock_release(&node->lock);
    if (!used && s->remote->here) {
        drop_files(node, s->remote);
        s->remote->here = false;
    }
    hearth__busy_end(node, &busy);
}

/* ---- Looking again ---- */

void hearth__remote_poll(hearth_node_t *node)
{
    const char *list = hearth__node_config(node).repositories;
    int64_t now = hearth_now_us(node->clock);
    struct hearth_error err = {0};

    if (strstr(list, "://") == NULL || now - node->asked_us < ASK_US)
        return;
    if (hearth__scan(node, NULL, &err) != HEARTH_OK)
        hearth_log(HEARTH_LOG_WARN, 23,
                   "event=\"repositories were not read\" text=\"%s\"",
                   err.text);
}
