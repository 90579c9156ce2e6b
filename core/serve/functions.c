/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions.c: functions that watchdogs and wrappers hand over: a manifest
 * names their hearth.yaml and their files by digest. A tenant may name a blob
 * only after it has put it, for a digest proves nothing.
 *
 * A function's files become a directory of hard links to blobs, under the
 * node's state directory, which is emptied at the start: clients put their
 * functions again when they are told that one is unknown.
 */
#include "serve/serve_priv.h"

#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 64
#define PATH_BYTES 4096
#define TENANT_FUNCTIONS_MAX 4096
#define TENANT_BLOBS_MAX 65536

struct hearth__function {
    struct hearth_digest digest;
    struct hearth__tenant_state *owner; /* a reference */
    hearth_service_t *service;
    struct hearth_digest *blobs; /* pinned */
    uint32_t blob_count;
    int64_t used_us; /* under the lock */
    struct hearth__function *next;
    char directory[PATH_BYTES];
};

/* ---- Directories ---- */

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st;
    (void)kind;
    return ftw->level > 0 || kind == FTW_DP ? remove(path) : 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int hearth__functions_open(hearth_node_t *node, struct hearth_error *err)
{
    const char *dir = node->config.state_dir;
    char path[PATH_BYTES];
    int status;

    if (dir == NULL || *dir == '\0' || strcmp(dir, "none") == 0)
        return HEARTH_OK;
    snprintf(path, sizeof(path), "%s/blobs", dir);
    status =
        hearth_blobs_create(&node->blobs, path, node->config.blob_bytes, err);
    if (status != HEARTH_OK)
        return status;
    snprintf(path, sizeof(path), "%s/functions", dir);
    remove_tree(path);
    if (mkdir(path, 0700) != 0)
        return hearth_fail(err, HEARTH_EIO,
                           "cannot make %.120s: %s; give hearthd a state_dir "
                           "of its own",
                           path, strerror(errno));
    return HEARTH_OK;
}

static void free_function(hearth_node_t *node, struct hearth__function *f)
{
    hearth_service_close(&f->service);
    for (uint32_t i = 0; i < f->blob_count; i++)
        hearth_blobs_unpin(node->blobs, &f->blobs[i]);
    if (f->directory[0])
        remove_tree(f->directory);
    hearth__tenant_state_unref(f->owner);
    hearth_free(f->blobs);
    hearth_free(f);
}

void hearth__functions_close(hearth_node_t *node)
{
    while (node->functions) {
        struct hearth__function *f = node->functions;

        node->functions = f->next;
        free_function(node, f);
    }
    hearth_blobs_destroy(&node->blobs);
}

/* ---- What a tenant has put. Under the lock. ---- */

static bool has_put(const struct hearth__tenant_state *t,
                    const struct hearth_digest *digest)
{
    for (uint32_t i = 0; i < t->blob_count; i++)
        if (memcmp(&t->blobs[i], digest, sizeof(*digest)) == 0)
            return true;
    return false;
}

int hearth__tenant_has_put(hearth_node_t *node, struct hearth__tenant_state *t,
                           const struct hearth_digest *digest)
{
    int status = HEARTH_OK;

    hearth_lock_acquire(&node->lock);
    if (!has_put(t, digest)) {
        if (t->blob_count == TENANT_BLOBS_MAX) {
            status = HEARTH_EBUSY;
        } else if ((t->blob_count & (t->blob_count - 1)) == 0) {
            uint32_t room = t->blob_count ? t->blob_count * 2 : 8;
            struct hearth_digest *grown =
                hearth_realloc(t->blobs, room * sizeof(*grown));

            if (grown)
                t->blobs = grown;
            else
                status = HEARTH_ENOMEM;
        }
        if (status == HEARTH_OK)
            t->blobs[t->blob_count++] = *digest;
    }
    hearth_lock_release(&node->lock);
    return status;
}

/* ---- Finding. Under the lock. ---- */

static struct hearth__function *find(hearth_node_t *node,
                                     const struct hearth__tenant_state *owner,
                                     const struct hearth_digest *digest)
{
    struct hearth__function *f = node->functions;

    while (f && (f->owner != owner ||
                 memcmp(&f->digest, digest, sizeof(*digest)) != 0))
        f = f->next;
    return f;
}

static hearth_service_t *service_of(struct hearth__visit *v,
                                    const struct hearth_digest *digest)
{
    hearth_node_t *node = v->node;
    hearth_service_t *service = NULL;
    struct hearth__function *f;

    hearth_lock_acquire(&node->lock);
    f = find(node, v->tenant->state, digest);
    if (f) {
        f->used_us = hearth_now_us(node->clock);
        service = hearth_flow_service_ref(f->service);
    }
    hearth_lock_release(&node->lock);
    return service;
}

/* ---- State, invocation ---- */

static json_t *state_json(hearth_service_t *service, int *status)
{
    static const char *const names[] = {"warming", "warming", "ready",
                                        "failed"};
    struct hearth_error err = {0};
    enum hearth_service_state state = hearth_service_state(service, &err);
    json_t *object =
        json_pack("{s:s, s:s}", "name", hearth_service_name(service), "state",
                  names[state]);

    *status = 200;
    if (state == HEARTH_SERVICE_FAILED)
        json_object_set_new(object, "reason", json_string(err.text));
    return object;
}

static void unknown(struct hearth__visit *v)
{
    struct hearth__reply reply = {.header = "Hearth-Unknown",
                                  .header_value = "function"};

    hearth__reply_error(&reply, 404,
                        "this function is not known here: put it first");
    hearth__visit_reply(v, &reply);
}

/* The path's digest, and its function. False: refused, and answered. */
static bool take_function(struct hearth__visit *v)
{
    struct hearth_digest digest;

    if (!hearth_digest_parse(v->name, &digest)) {
        hearth__visit_error(v, 400, "a function is named by its SHA-256");
        return false;
    }
    v->service = service_of(v, &digest);
    if (v->service == NULL)
        unknown(v);
    return v->service != NULL;
}

void hearth__function_state(struct hearth__visit *v)
{
    json_t *object;
    int status;

    if (!take_function(v))
        return;
    object = state_json(v->service, &status);
    hearth__visit_json(v, status, object);
}

void hearth__function_invoke(struct hearth__visit *v)
{
    if (!take_function(v))
        return;
    v->as_function = true;
    hearth__infer_begin(v);
}

/* ---- Registration: on a worker ---- */

struct manifest {
    json_t *root;
    const char *name, *yaml;
    json_t *files;
    struct hearth_error err;
};

/* Relative, inside, plain. */
static bool good_path(const char *path)
{
    size_t bytes = strlen(path);

    if (bytes == 0 || bytes > 255 || path[0] == '/' || path[bytes - 1] == '/')
        return false;
    for (const char *p = path; *p;) {
        size_t part = strcspn(p, "/");

        if (part == 0 || (part == 1 && p[0] == '.') ||
            (part == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += part;
        p += *p == '/';
    }
    return strcmp(path, "hearth.yaml") != 0;
}

static int read_manifest(struct manifest *m, const char *text, size_t bytes)
{
    json_error_t why;
    const char *path;
    json_t *digest;
    struct hearth_digest parsed;

    m->root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    m->name = json_string_value(json_object_get(m->root, "name"));
    m->yaml = json_string_value(json_object_get(m->root, "hearth_yaml"));
    m->files = json_object_get(m->root, "files");
    if (m->name == NULL || m->yaml == NULL || !json_is_object(m->files) ||
        json_object_size(m->files) > FILES_MAX)
        return hearth_fail(&m->err, HEARTH_EPROTO,
                           "a manifest is an object with name, hearth_yaml and "
                           "files, 64 at most");
    json_object_foreach(m->files, path, digest)
    {
        if (!good_path(path))
            return hearth_fail(&m->err, HEARTH_EPROTO,
                               "'%.80s' is no path of a function's file: it "
                               "must lie beside its hearth.yaml or below",
                               path);
        if (!json_is_string(digest) ||
            !hearth_digest_parse(json_string_value(digest), &parsed))
            return hearth_fail(&m->err, HEARTH_EPROTO,
                               "the digest of '%.80s' is no SHA-256", path);
    }
    return HEARTH_OK;
}

/* Pins every blob that the tenant may name. The others' digests; NULL: there
 * are none. */
static json_t *pin_blobs(hearth_node_t *node, struct manifest *m,
                         struct hearth__function *f)
{
    json_t *missing = json_array();
    const char *path;
    json_t *value;

    json_object_foreach(m->files, path, value)
    {
        struct hearth_digest digest;
        bool may;

        (void)hearth_digest_parse(json_string_value(value), &digest);
        hearth_lock_acquire(&node->lock);
        may = has_put(f->owner, &digest);
        hearth_lock_release(&node->lock);
        if (may && hearth_blobs_pin(node->blobs, &digest))
            f->blobs[f->blob_count++] = digest;
        else
            json_array_append(missing, value);
    }
    if (json_array_size(missing) > 0)
        return missing;
    json_decref(missing);
    return NULL;
}

static int write_text(const char *path, const char *text,
                      struct hearth_error *err)
{
    FILE *out = fopen(path, "we");
    bool good = out && fputs(text, out) >= 0;

    if (out && fclose(out) != 0)
        good = false;
    return good ? HEARTH_OK
                : hearth_fail(err,
                              errno == ENOSPC ? HEARTH_ENOSPACE : HEARTH_EIO,
                              "cannot write a function's file: %s; look at the "
                              "disk of state_dir",
                              strerror(errno));
}

static int link_blob(hearth_node_t *node, const char *directory,
                     const char *path, const struct hearth_digest *digest,
                     struct hearth_error *err)
{
    char from[PATH_BYTES], to[PATH_BYTES + 256];
    size_t base = strlen(directory) + 1;

    snprintf(to, sizeof(to), "%s/%s", directory, path);
    for (char *p = to + base; (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdir(to, 0700) != 0 && errno != EEXIST)
            return hearth_fail(err, HEARTH_EIO, "cannot make %.100s: %s", to,
                               strerror(errno));
        *p = '/';
    }
    if (link(hearth_blobs_path(node->blobs, digest, from, sizeof(from)), to) !=
        0)
        return hearth_fail(err, HEARTH_EIO, "cannot link a blob: %s",
                           strerror(errno));
    return HEARTH_OK;
}

/* The directory with its files. */
static int lay_out(hearth_node_t *node, struct manifest *m,
                   struct hearth__function *f)
{
    char path[PATH_BYTES + 16];
    const char *name;
    json_t *value;
    int status;

    snprintf(f->directory, sizeof(f->directory), "%s/functions/f-XXXXXX",
             hearth__node_config(node).state_dir);
    if (mkdtemp(f->directory) == NULL) {
        f->directory[0] = '\0';
        return hearth_fail(&m->err, HEARTH_EIO,
                           "cannot make a function's directory: %s; look at "
                           "the disk of state_dir",
                           strerror(errno));
    }
    snprintf(path, sizeof(path), "%s/hearth.yaml", f->directory);
    status = write_text(path, m->yaml, &m->err);
    json_object_foreach(m->files, name, value)
    {
        struct hearth_digest digest;

        (void)hearth_digest_parse(json_string_value(value), &digest);
        if (status == HEARTH_OK)
            status = link_blob(node, f->directory, name, &digest, &m->err);
    }
    return status;
}

static int open_function(hearth_node_t *node, struct manifest *m,
                         struct hearth__function *f)
{
    struct hearth_service_config config;
    char path[PATH_BYTES + 16];
    int status = lay_out(node, m, f);

    if (status != HEARTH_OK)
        return status;
    snprintf(path, sizeof(path), "%s/hearth.yaml", f->directory);
    hearth_service_config_init(&config);
    config.timeout_us = hearth__node_config(node).timeout_us;
    config.cold = 2;
    return hearth_flow_open_confined(&f->service, node->engine, path, m->name,
                                     &config, &m->err);
}

/* Into the table, unless somebody was faster. The tenant's longest unused one
 * goes when it has too many. What is to be freed. */
static struct hearth__function *enlist(hearth_node_t *node,
                                       struct hearth__function *f)
{
    struct hearth__function **link, **oldest = NULL, *out = NULL;

    hearth_lock_acquire(&node->lock);
    if (find(node, f->owner, &f->digest)) {
        out = f;
    } else {
        if (f->owner->functions >= TENANT_FUNCTIONS_MAX) {
            for (link = &node->functions; *link; link = &(*link)->next)
                if ((*link)->owner == f->owner &&
                    (!oldest || (*link)->used_us < (*oldest)->used_us))
                    oldest = link;
            out = *oldest;
            *oldest = out->next;
            f->owner->functions--;
        }
        f->used_us = hearth_now_us(node->clock);
        f->next = node->functions;
        node->functions = f;
        f->owner->functions++;
    }
    hearth_lock_release(&node->lock);
    return out;
}

static void reply_state(struct hearth__reply *reply, hearth_service_t *service)
{
    int status;
    json_t *object = state_json(service, &status);

    hearth__reply_json(reply, status, object);
}

static void put_function(struct hearth__visit *v, struct manifest *m,
                         const struct hearth_digest *digest,
                         struct hearth__reply *reply)
{
    hearth_node_t *node = v->node;
    struct hearth__function *f = hearth_calloc(1, sizeof(*f)), *out;
    json_t *missing;

    if (f)
        f->blobs = hearth_calloc(FILES_MAX, sizeof(*f->blobs));
    if (f == NULL || f->blobs == NULL) {
        hearth_free(f);
        hearth__reply_error(reply, 503, "no memory for the function");
        return;
    }
    f->digest = *digest;
    f->owner = hearth__tenant_state_ref(v->tenant->state);
    missing = pin_blobs(node, m, f);
    if (missing) {
        hearth__reply_json(reply, 404,
                           json_pack("{s:s, s:o}", "error",
                                     "put the missing blobs first", "missing",
                                     missing));
        free_function(node, f);
        return;
    }
    if (open_function(node, m, f) != HEARTH_OK) {
        hearth__reply_fail(reply, &m->err);
        if (m->err.status == HEARTH_ECONFIG || m->err.status == HEARTH_EMODEL)
            reply->status = 400; /* whose fault it is */
        hearth_log(HEARTH_LOG_WARN, 17,
                   "event=\"function refused\" function=\"%s\" tenant=\"%s\" "
                   "text=\"%s\"",
                   m->name, v->tenant->name, m->err.text);
        free_function(node, f);
        return;
    }
    reply_state(reply, f->service);
    hearth_log(HEARTH_LOG_INFO, 18,
               "event=function function=\"%s\" tenant=\"%s\"", m->name,
               v->tenant->name);
    out = enlist(node, f);
    if (out)
        free_function(node, out);
}

void hearth__function_put(struct hearth__visit *v, struct hearth__reply *reply)
{
    struct manifest m = {.root = NULL};
    struct hearth_digest said, is;
    hearth_service_t *service;

    if (v->node->blobs == NULL) {
        hearth__reply_error(reply, 501,
                            "functions are not taken here: set state_dir");
        return;
    }
    hearth_sha256(v->body ? v->body : "", v->body_bytes, &is);
    if (!hearth_digest_parse(v->name, &said) ||
        memcmp(&said, &is, sizeof(is)) != 0) {
        hearth__reply_error(reply, 409,
                            "the path must have the manifest's SHA-256");
        return;
    }
    service = service_of(v, &is);
    if (service) {
        reply_state(reply, service);
        hearth_service_close(&service);
        return;
    }
    if (read_manifest(&m, v->body ? v->body : "", v->body_bytes) != HEARTH_OK)
        hearth__reply_fail(reply, &m.err);
    else
        put_function(v, &m, &is, reply);
    json_decref(m.root);
}
