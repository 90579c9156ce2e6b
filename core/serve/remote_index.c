/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote_index.c: the index of a repository behind a URL: fetched, kept for
 * when its server is away, read. Whatever it says is doubted: one broken entry
 * is left out, one broken index leaves the last good one.
 */
#include "serve/serve_priv.h"

#include "log/log.h"
#include "store/fetch.h"

#include <string.h>
#include <unistd.h>

#define INDEX_MAX (UINT64_C(64) << 20)
#define FILES_MAX 64
#define PATH_BYTES HEARTH__PATH_BYTES

bool hearth__is_url(const char *repository)
{
    return strncmp(repository, "http://", 7) == 0 ||
           strncmp(repository, "https://", 8) == 0;
}

/* One component, as a directory here would have it. */
static bool is_plain_name(const char *name)
{
    size_t bytes = name ? strlen(name) : 0;

    if (bytes == 0 || bytes >= HEARTH__NAME_BYTES || name[0] == '.')
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < ' ' || *p == '/' || *p == 0x7f)
            return false;
    return true;
}

/* <relative> beside the index of <url>, whose query it keeps. NULL: no
 * memory. */
static char *url_of(const char *url, const char *relative)
{
    size_t bytes = strcspn(url, "?#"), size;
    char *made;

    if (hearth__is_url(relative))
        return hearth_strdup(relative);
    while (bytes > 0 && url[bytes - 1] == '/')
        bytes--;
    relative += strspn(relative, "/");
    size = strlen(url) + strlen(relative) + 2;
    made = hearth_malloc(size);
    if (made)
        snprintf(made, size, "%.*s/%s%s", (int)bytes, url, relative,
                 url + strcspn(url, "?"));
    return made;
}

static int read_file_entry(const json_t *entry, const char *url,
                           struct hearth__remote_file *f,
                           struct hearth_error *err)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *where = json_string_value(json_object_get(entry, "url"));
    const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
    const json_t *bytes = json_object_get(entry, "bytes");

    if (!is_plain_name(name) || where == NULL || *where == '\0' ||
        sha256 == NULL || !hearth_digest_parse(sha256, &f->digest) ||
        !json_is_integer(bytes) || json_integer_value(bytes) < 0)
        return hearth_fail(err, HEARTH_EPROTO,
                           "a file's name, url, sha256 or bytes is missing or "
                           "no such: write it anew with hearth index");
    f->bytes = (uint64_t)json_integer_value(bytes);
    f->name = hearth_strdup(name);
    f->url = url_of(url, where);
    return f->name && f->url
               ? HEARTH_OK
               : hearth_fail(err, HEARTH_ENOMEM, "no memory for the index");
}

/* Names, digests and the model's own name: equal for equal versions. The
 * directory is of this one alone: the same may go and come again. */
static bool make_id(hearth_node_t *node, struct hearth__remote *r,
                    const char *name, int64_t version)
{
    struct hearth_sha256 *hash = hearth_sha256_begin();
    char path[PATH_BYTES], text[HEARTH_DIGEST_TEXT], unique[80];

    if (hash == NULL)
        return false;
    hearth_sha256_add(hash, name, strlen(name) + 1);
    hearth_sha256_add(hash, &version, sizeof(version));
    for (uint32_t i = 0; i < r->count; i++) {
        hearth_sha256_add(hash, r->files[i].name, strlen(r->files[i].name) + 1);
        hearth_sha256_add(hash, &r->files[i].digest,
                          sizeof(r->files[i].digest));
    }
    hearth_sha256_end(hash, &r->id);
    hearth_digest_text(&r->id, text);
    snprintf(unique, sizeof(unique), "%.16s-%llu", text,
             (unsigned long long)atomic_fetch_add(&node->remotes, 1));
    r->directory =
        hearth_strdup(hearth__state_path(node, path, "served", unique));
    return r->directory != NULL;
}

static int read_version(hearth_node_t *node, const json_t *entry,
                        const char *url, const char *name, int64_t version,
                        struct hearth__remote **out, struct hearth_error *err)
{
    const json_t *files = json_object_get(entry, "files");
    size_t count = json_array_size(files);
    struct hearth__remote *r;
    int status = HEARTH_OK;

    *out = NULL;
    if (count == 0 || count > FILES_MAX)
        return hearth_fail(err, HEARTH_EPROTO,
                           "%zu files: at least one, at most %d", count,
                           FILES_MAX);
    r = hearth_calloc(1, sizeof(*r));
    if (r)
        r->files = hearth_calloc(count, sizeof(*r->files));
    if (r == NULL || r->files == NULL) {
        hearth_free(r);
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for the index");
    }
    for (size_t i = 0; status == HEARTH_OK && i < count; i++) {
        r->count++;
        status =
            read_file_entry(json_array_get(files, i), url, &r->files[i], err);
        if (__builtin_add_overflow(r->bytes, r->files[i].bytes, &r->bytes))
            status = hearth_fail(err, HEARTH_EPROTO, "too many bytes");
    }
    if (status == HEARTH_OK && !make_id(node, r, name, version))
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory for the index");
    if (status == HEARTH_OK)
        *out = r;
    else
        hearth__remote_free(&r);
    return status;
}

/* An entry that is broken is left out, and said so; the others are served. */
static int read_entry(hearth_node_t *node, const json_t *entry, const char *url,
                      const char *only,
                      int (*found)(void *ctx, const char *name, int64_t version,
                                   const char *config,
                                   struct hearth__remote *remote),
                      void *ctx, struct hearth_error *err)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const json_t *version = json_object_get(entry, "version");
    const char *config = json_string_value(json_object_get(entry, "config"));
    int64_t number = version ? json_integer_value(version) : 1;
    struct hearth_error why = {0};
    struct hearth__remote *remote;
    int status;

    if (only && (name == NULL || strcmp(name, only) != 0))
        return HEARTH_OK;
    if (!is_plain_name(name) || number < 1)
        status = hearth_fail(&why, HEARTH_EPROTO,
                             "no name, or a version that is no number from 1 "
                             "on");
    else
        status = read_version(node, entry, url, name, number, &remote, &why);
    if (status == HEARTH_ENOMEM) {
        *err = why;
        return status;
    }
    if (status == HEARTH_OK)
        return found(ctx, name, number, config, remote);
    hearth_log(HEARTH_LOG_WARN, 19,
               "event=\"left out of a repository's index\" model=\"%s\" "
               "text=\"%s\"",
               name ? name : "", why.text);
    return HEARTH_OK;
}

static int read_index(const char *path, json_t **root, struct hearth_error *err)
{
    json_error_t where;

    *root = json_load_file(path, 0, &where);
    if (json_is_array(json_object_get(*root, "models")))
        return HEARTH_OK;
    hearth_fail(err, HEARTH_EPROTO,
                "the repository's index.json is none (line %d: %.80s): write "
                "it with hearth index",
                *root ? 1 : where.line,
                *root ? "\"models\" is no array" : where.text);
    json_decref(*root);
    *root = NULL;
    return HEARTH_EPROTO;
}

/* The index of now, or the last good one. */
static int get_index(hearth_node_t *node, const char *url, json_t **root,
                     struct hearth_error *err)
{
    const struct hearth_fetch_options options = {.most_bytes = INDEX_MAX,
                                                 .tries = 1,
                                                 .progress = hearth__is_over,
                                                 .ctx = node};
    char *index = url_of(url, "index.json");
    char good[PATH_BYTES], new[PATH_BYTES + 8], text[HEARTH_DIGEST_TEXT];
    struct hearth_digest digest;
    struct hearth__busy busy;
    struct hearth_error none;
    int status;

    *root = NULL;
    if (index == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for the index");
    hearth_sha256(index, strlen(index), &digest);
    hearth__state_path(node, good, "repositories",
                       hearth_digest_text(&digest, text));
    snprintf(new, sizeof(new), "%s.new", good);
    hearth__busy_begin(node, &busy, &digest);
    status = hearth_fetch(index, new, &options, NULL, err);
    hearth_free(index);
    if (status == HEARTH_OK)
        status = read_index(new, root, err);
    if (status == HEARTH_OK)
        (void)rename(new, good);
    else if (read_index(good, root, &none) == HEARTH_OK)
        hearth_log(HEARTH_LOG_WARN, 20,
                   "event=\"a repository's last good index is used\" "
                   "text=\"%s\"",
                   err->text);
    hearth__busy_end(node, &busy);
    return *root ? HEARTH_OK : status;
}

int hearth__remote_index(hearth_node_t *node, const char *url, const char *only,
                         int (*found)(void *ctx, const char *name,
                                      int64_t version, const char *config,
                                      struct hearth__remote *remote),
                         void *ctx, struct hearth_error *err)
{
    const json_t *models;
    json_t *root;
    int status;

    if (node->blobs == NULL)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "a repository behind a URL needs a state_dir");
    status = get_index(node, url, &root, err);
    models = json_object_get(root, "models");
    for (size_t i = 0; status == HEARTH_OK && i < json_array_size(models); i++)
        status = read_entry(node, json_array_get(models, i), url, only, found,
                            ctx, err);
    json_decref(root);
    return status;
}
