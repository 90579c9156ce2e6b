/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c: a model comes into the first repository: from a URL, from a file
 * whose descriptor is passed, or from a blob. It is fetched or copied beside
 * its place, opened once to see that it is a model that Hearth knows, and then
 * renamed, so that nobody ever sees half of it. Progress is told in lines of
 * JSON while it goes; a client that leaves ends it, and a fetch that ends goes
 * on where it was with the next import of the same URL.
 */
#include "serve/serve_priv.h"

#include "model/model.h"
#include "store/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TELL_US 100000
#define PIECE (1u << 20)

struct import {
    struct hearth__visit *visit;
    const char *url;
    char name[HEARTH__NAME_BYTES];
    int64_t version;
    char directory[4096], path[4200], coming[4300];
    int64_t told_us;
    struct hearth_digest digest;
    uint64_t bytes;
    struct hearth_error err;
};

/* ---- Lines: made here, written on the visit's thread ---- */

struct line {
    struct hearth_loop_work work;
    struct hearth__visit *visit;
    bool last;
    char *text;
};

static void write_line(struct hearth_loop_work *work)
{
    static const struct hearth_http_header type = {
        "Content-Type", "application/x-ndjson", 12, 20};
    struct line *line = HEARTH_CONTAINER(work, struct line, work);
    struct hearth__visit *v = line->visit;
    hearth_http_request_t *http = v->http;

    if (http && !hearth_http_replied(http))
        hearth_http_reply_begin(http, 200, &type, 1, -1);
    /* One that does not read misses lines, but never the last. */
    if (http && line->text)
        hearth_http_write(http, line->text, strlen(line->text));
    if (http && line->last)
        hearth_http_reply_end(http);
    if (line->last)
        hearth__visit_worked(v);
    hearth_free(line->text);
    hearth_free(line);
}

/* Takes <object> over. */
static void tell(struct import *i, json_t *object, bool last)
{
    struct line *line = hearth_calloc(1, sizeof(*line));
    char *dumped = object ? json_dumps(object, JSON_COMPACT) : NULL;
    size_t bytes = dumped ? strlen(dumped) + 2 : 0;

    json_decref(object);
    while (line == NULL && last) { /* the visit must end */
        usleep(10000);
        line = hearth_calloc(1, sizeof(*line));
    }
    if (line) {
        line->visit = i->visit;
        line->last = last;
        line->text = dumped ? hearth_malloc(bytes) : NULL;
        if (line->text)
            snprintf(line->text, bytes, "%s\n", dumped);
        hearth_loop_post(i->visit->loop, &line->work, write_line);
    }
    free(dumped); /* Jansson's */
}

static bool progress(void *ctx, int64_t bytes, int64_t total)
{
    struct import *i = ctx;
    int64_t now = hearth_now_us(i->visit->node->clock);

    if (now - i->told_us >= TELL_US) {
        i->told_us = now;
        tell(i,
             json_pack("{s:I, s:I}", "bytes", (json_int_t)bytes, "total",
                       (json_int_t)total),
             false);
    }
    return atomic_load(&i->visit->left);
}

/* ---- What is asked for ---- */

static bool usable_name(const char *name)
{
    if (name == NULL || name[0] == '.' || name[0] == '\0' ||
        strlen(name) >= HEARTH__NAME_BYTES)
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '/' || *p == 0x7f)
            return false;
    return true;
}

static int read_request(struct import *i, const json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "name"));
    const json_t *version = json_object_get(root, "version");
    const char *repository = hearth__node_config(i->visit->node).repositories;
    size_t bytes;

    i->url = json_string_value(json_object_get(root, "url"));
    i->version = version ? json_integer_value(version) : 1;
    repository += strspn(repository, " ");
    while (hearth__is_url(repository)) { /* the first that is a directory */
        repository += strcspn(repository, " ");
        repository += strspn(repository, " ");
    }
    bytes = strcspn(repository, " ");
    if (!usable_name(name))
        return hearth_fail(&i->err, HEARTH_EINVAL,
                           "name: expected a model's name without blanks and "
                           "slashes");
    if (i->version < 1)
        return hearth_fail(&i->err, HEARTH_EINVAL,
                           "version: expected a number from 1 on");
    if (bytes == 0 || bytes + strlen(name) + 40 >= sizeof(i->directory))
        return hearth_fail(&i->err, HEARTH_ECONFIG,
                           "model_repository has no directory to import "
                           "into");
    snprintf(i->name, sizeof(i->name), "%s", name);
    snprintf(i->directory, sizeof(i->directory), "%.*s/%s/%lld", (int)bytes,
             repository, name, (long long)i->version);
    snprintf(i->path, sizeof(i->path), "%s/model.onnx", i->directory);
    snprintf(i->coming, sizeof(i->coming), "%s/.model.onnx", i->directory);
    return HEARTH_OK;
}

static int make_directory(struct import *i)
{
    char *slash = strrchr(i->directory, '/');
    bool good;

    *slash = '\0';
    good = mkdir(i->directory, 0755) == 0 || errno == EEXIST;
    *slash = '/';
    if (good && (mkdir(i->directory, 0755) == 0 || errno == EEXIST))
        return HEARTH_OK;
    return hearth_fail(&i->err, HEARTH_EIO, "cannot make %.120s: %s",
                       i->directory, strerror(errno));
}

/* ---- The bytes ---- */

static int disk_error(struct import *i)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return hearth_fail(&i->err, full ? HEARTH_ENOSPACE : HEARTH_EIO,
                       "cannot write %.120s: %s; %s", i->coming,
                       strerror(errno),
                       full ? "make room on its disk" : "look at its disk");
}

/* A descriptor's file, or a blob's. */
static int copy(struct import *i, int from)
{
    int to = open(i->coming, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char *piece = hearth_malloc(PIECE);
    struct hearth_sha256 *hash = hearth_sha256_begin();
    struct stat st = {0};
    int status = HEARTH_OK;

    if (to < 0)
        status = disk_error(i);
    else if (piece == NULL || hash == NULL)
        status = hearth_fail(&i->err, HEARTH_ENOMEM, "no memory to import");
    else if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode))
        status = hearth_fail(&i->err, HEARTH_EINVAL,
                             "what was passed is no regular file");
    while (status == HEARTH_OK) {
        ssize_t n = pread(from, piece, PIECE, (off_t)i->bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = hearth_fail(&i->err, HEARTH_EIO,
                                 "cannot read the file: %s", strerror(errno));
        if (n <= 0)
            break;
        hearth_sha256_add(hash, piece, (size_t)n);
        if (write(to, piece, (size_t)n) != n)
            status = disk_error(i);
        i->bytes += (uint64_t)n;
        if (progress(i, (int64_t)i->bytes, st.st_size))
            status = hearth_fail(&i->err, HEARTH_ECANCELED, "given up");
    }
    if (status == HEARTH_OK && fsync(to) != 0)
        status = disk_error(i);
    if (status == HEARTH_OK)
        hearth_sha256_end(hash, &i->digest);
    else
        hearth_sha256_drop(hash);
    if (to >= 0)
        close(to);
    hearth_free(piece);
    return status;
}

static int take_blob(struct import *i, const char *text)
{
    hearth_blobs_t *blobs = i->visit->node->blobs;
    struct hearth_digest digest;
    char path[4096];
    int fd, status;

    if (!hearth_digest_parse(text, &digest))
        return hearth_fail(&i->err, HEARTH_EINVAL, "sha256: no SHA-256");
    if (blobs == NULL || !hearth_blobs_pin(blobs, &digest))
        return hearth_fail(&i->err, HEARTH_ENOENT,
                           "this blob is not here: put it first");
    fd = open(hearth_blobs_path(blobs, &digest, path, sizeof(path)),
              O_RDONLY | O_CLOEXEC);
    status = fd >= 0 ? copy(i, fd)
                     : hearth_fail(&i->err, HEARTH_EIO,
                                   "cannot read the blob: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    hearth_blobs_unpin(blobs, &digest);
    return status;
}

static int take_url(struct import *i)
{
    const struct hearth_fetch_options options = {.progress = progress,
                                                 .ctx = i};
    struct stat st;
    int status = hearth_fetch(i->url, i->coming, &options, &i->digest, &i->err);

    if (status == HEARTH_OK && stat(i->coming, &st) == 0)
        i->bytes = (uint64_t)st.st_size;
    return status;
}

/* ---- The whole ---- */

/* Is it a model? Devices are asked when it opens. */
static int check(struct import *i)
{
    hearth_model_t *model;
    int status = hearth_model_open(&model, i->coming, NULL, &i->err);

    if (status == HEARTH_OK)
        hearth_model_close(&model);
    return status;
}

static int run(struct import *i, const json_t *root)
{
    const char *blob = json_string_value(json_object_get(root, "sha256"));
    int status = read_request(i, root);

    if (status == HEARTH_OK)
        status = make_directory(i);
    if (status != HEARTH_OK)
        return status;
    if (i->visit->descriptor >= 0)
        status = copy(i, i->visit->descriptor);
    else if (i->url)
        status = take_url(i);
    else if (blob)
        status = take_blob(i, blob);
    else
        status = hearth_fail(&i->err, HEARTH_EINVAL,
                             "expected a url, a sha256, or a descriptor beside "
                             "the request");
    if (status == HEARTH_OK) {
        status = check(i);
        if (status == HEARTH_OK && rename(i->coming, i->path) != 0)
            status = disk_error(i);
    }
    if (status != HEARTH_OK) {
        (void)unlink(i->coming);
        /* When they are empty. */
        if (rmdir(i->directory) == 0) {
            *strrchr(i->directory, '/') = '\0';
            (void)rmdir(i->directory);
        }
        return status;
    }
    return hearth__scan(i->visit->node, i->name, &i->err);
}

void hearth__import_model(struct hearth__visit *v)
{
    struct import *i = hearth_calloc(1, sizeof(*i));
    json_t *root = json_loadb(v->body ? v->body : "", v->body_bytes, 0, NULL);
    struct import none = {.visit = v};
    char text[HEARTH_DIGEST_TEXT];

    if (i == NULL) {
        tell(&none, json_pack("{s:s}", "error", "no memory to import"), true);
    } else {
        i->visit = v;
        if (run(i, root) == HEARTH_OK)
            tell(i,
                 json_pack("{s:{s:s, s:I, s:s, s:I}}", "imported", "name",
                           i->name, "version", (json_int_t)i->version, "sha256",
                           hearth_digest_text(&i->digest, text), "bytes",
                           (json_int_t)i->bytes),
                 true);
        else
            tell(i, json_pack("{s:s}", "error", i->err.text), true);
    }
    json_decref(root);
    hearth_free(i);
}
