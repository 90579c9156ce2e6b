/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c: looks through the repositories, in Triton's layout and simpler ones:
 *
 *     NAME/VERSION/model.onnx    NAME/VERSION/hearth.yaml
 *     NAME/model.onnx            NAME/hearth.yaml          version 1
 *     NAME/config.pbtxt
 *
 * or what the index behind a URL says (remote.c). What was found becomes the
 * node's table at once; a version that is in both the old one and the new one
 * stays as it is, open or not.
 */
#include "serve/serve_priv.h"

#include "log/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX (UINT64_C(1) << 20)

struct scan {
    hearth_node_t *node;
    struct hearth__served **found;
    uint32_t count, room, repository;
    struct hearth_error *err;
    int status;
};

static int no_memory(struct scan *scan)
{
    scan->status = hearth_fail(scan->err, HEARTH_ENOMEM,
                               "no memory for the repository: free some");
    return scan->status;
}

/* "a/b" or "a/b/c"; NULL: no memory. */
static char *join(const char *a, const char *b, const char *c)
{
    size_t bytes = strlen(a) + strlen(b) + (c ? strlen(c) + 1 : 0) + 2;
    char *path = hearth_malloc(bytes);

    if (path)
        snprintf(path, bytes, "%s/%s%s%s", a, b, c ? "/" : "", c ? c : "");
    return path;
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* ---- config.pbtxt ---- */

static int take_labels(struct hearth__served *s, const char *directory)
{
    for (uint32_t i = 0; i < s->config->output_count; i++) {
        const char *file = s->config->outputs[i].label_file;

        if (file == NULL || s->labels_path)
            continue;
        if (strchr(file, '/'))
            return hearth_fail(&s->config_error, HEARTH_ECONFIG,
                               "config.pbtxt: label_filename must be in the "
                               "model's own directory");
        s->labels_path = join(directory, file, NULL);
        if (s->labels_path == NULL)
            return hearth_fail(&s->config_error, HEARTH_ENOMEM, "no memory");
    }
    return HEARTH_OK;
}

static bool is_ours(const char *text, const char *ours)
{
    return text == NULL || *text == '\0' || strcmp(text, ours) == 0;
}

/* A broken one makes the model unavailable, and says why. */
static void take_config(struct hearth__served *s, const char *directory,
                        const char *text, size_t bytes, const char *shown)
{
    hearth__pbtxt_parse(&s->config, text, bytes, shown, &s->config_error);
    if (s->config == NULL)
        return;
    if (s->config->name && *s->config->name &&
        strcmp(s->config->name, s->name) != 0)
        hearth_fail(&s->config_error, HEARTH_ECONFIG,
                    "config.pbtxt: unexpected directory name '%.60s' for model "
                    "'%.60s', directory name must equal model name",
                    s->name, s->config->name);
    else if (!is_ours(s->config->platform, "onnxruntime_onnx") ||
             !is_ours(s->config->backend, "onnxruntime"))
        hearth_fail(&s->config_error, HEARTH_EUNSUPPORTED,
                    "config.pbtxt: platform '%.40s', backend '%.40s': Hearth "
                    "serves ONNX models: onnxruntime_onnx, onnxruntime",
                    s->config->platform ? s->config->platform : "",
                    s->config->backend ? s->config->backend : "");
    else
        take_labels(s, directory);
    if (s->config->unknown[0])
        hearth_log(HEARTH_LOG_WARN, 10,
                   "event=\"config.pbtxt has fields that mean nothing here\" "
                   "model=\"%s\" fields=\"%s\"",
                   s->name, s->config->unknown);
}

static void read_config(struct hearth__served *s, const char *directory)
{
    char *path = join(directory, "config.pbtxt", NULL), *text = NULL;
    char shown[56];
    size_t bytes;

    if (path && hearth_model_file_id(path, &s->config_id) &&
        hearth_read_file(path, CONFIG_MAX, &text, &bytes, &s->config_error) ==
            HEARTH_OK)
        take_config(s, directory, text, bytes,
                    hearth_path_end(path, shown, sizeof(shown)));
    hearth_free(text);
    hearth_free(path);
}

/* ---- What is there ---- */

/* Takes <path> over. NULL: no memory. */
static struct hearth__served *add(struct scan *scan, const char *name,
                                  int64_t version, char *path, bool yaml)
{
    struct hearth__served *s = hearth_calloc(1, sizeof(*s)), **grown;

    if (path == NULL || s == NULL)
        goto fail;
    if (scan->count == scan->room) {
        uint32_t room = scan->room ? scan->room * 2 : 16;

        grown = hearth_realloc(scan->found, room * sizeof(*grown));
        if (grown == NULL)
            goto fail;
        scan->found = grown;
        scan->room = room;
    }
    s->name = hearth_strdup(name);
    if (s->name == NULL)
        goto fail;
    s->version = version;
    snprintf(s->version_text, sizeof(s->version_text), "%lld",
             (long long)version);
    s->path = path;
    s->yaml = yaml;
    s->node = scan->node;
    s->repository = scan->repository;
    s->refs = 1;
    scan->found[scan->count++] = s;
    return s;

fail:
    hearth_free(s);
    hearth_free(path);
    no_memory(scan);
    return NULL;
}

/* A hearth.yaml goes before a model.onnx beside it, which it names. True: the
 * directory has one of them. */
static bool add_from(struct scan *scan, const char *top, const char *sub,
                     const char *name, int64_t version)
{
    static const char *const files[] = {"hearth.yaml", "model.onnx"};

    for (int i = 0; i < 2 && scan->status == HEARTH_OK; i++) {
        char *path = sub ? join(top, sub, files[i]) : join(top, files[i], NULL);
        struct hearth__served *s;

        if (path == NULL) {
            no_memory(scan);
        } else if (is_file(path)) {
            s = add(scan, name, version, path, i == 0);
            if (s)
                read_config(s, top);
            return true;
        } else {
            hearth_free(path);
        }
    }
    return false;
}

static int64_t version_of(const char *text)
{
    size_t bytes = strlen(text);

    if (bytes == 0 || bytes > 18 || text[0] == '0' ||
        strspn(text, "0123456789") != bytes)
        return 0;
    return strtoll(text, NULL, 10);
}

static bool wanted(const struct hearth__pbtxt *c, int64_t version,
                   uint32_t newer)
{
    if (c == NULL || c->policy == HEARTH__VERSIONS_LATEST)
        return newer < (c ? c->latest : 1);
    if (c->policy == HEARTH__VERSIONS_ALL)
        return true;
    for (uint32_t i = 0; i < c->specific_count; i++)
        if (c->specific[i] == version)
            return true;
    return false;
}

/* Of the versions of one model, which are together from <first> on, keeps those
 * that the policy wants, each once. Where the next model begins. */
static uint32_t apply_policy(struct scan *scan, uint32_t first)
{
    uint32_t end = first, kept = first, newer = 0;
    int64_t last = 0;

    while (end < scan->count &&
           (end == first ||
            strcmp(scan->found[end]->name, scan->found[first]->name) == 0))
        end++;
    for (uint32_t i = first; i < end; i++) {
        struct hearth__served *s = scan->found[i];

        bool twice = s->version == last;

        last = s->version;
        if (!twice && wanted(s->config, s->version, newer))
            scan->found[kept++] = s;
        else
            hearth__served_drop(s);
        newer += !twice;
    }
    memmove(scan->found + kept, scan->found + end,
            (scan->count - end) * sizeof(*scan->found));
    scan->count -= end - kept;
    return kept;
}

static void scan_model(struct scan *scan, const char *repository,
                       const char *name)
{
    char *top = join(repository, name, NULL);
    uint32_t first = scan->count;
    struct dirent *entry;
    DIR *directory;

    if (top == NULL) {
        no_memory(scan);
        return;
    }
    directory = opendir(top);
    if (directory && !add_from(scan, top, NULL, name, 1))
        while (scan->status == HEARTH_OK && (entry = readdir(directory)))
            if (version_of(entry->d_name) > 0)
                add_from(scan, top, entry->d_name, name,
                         version_of(entry->d_name));
    if (directory)
        closedir(directory);
    if (scan->count > first) {
        qsort(scan->found + first, scan->count - first, sizeof(*scan->found),
              hearth__served_order);
        apply_policy(scan, first);
    }
    hearth_free(top);
}

/* ---- Behind a URL ---- */

static bool has_file(const struct hearth__remote *r, const char *name)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (strcmp(r->files[i].name, name) == 0)
            return true;
    return false;
}

/* Takes <remote> over. */
static int add_remote(void *ctx, const char *name, int64_t version,
                      const char *config, struct hearth__remote *remote)
{
    struct scan *scan = ctx;
    bool yaml = has_file(remote, "hearth.yaml");
    struct hearth__served *s;

    if (!yaml && !has_file(remote, "model.onnx")) {
        hearth_log(HEARTH_LOG_WARN, 24,
                   "event=\"left out of a repository's index\" model=\"%s\" "
                   "text=\"it has neither model.onnx nor hearth.yaml\"",
                   name);
        hearth__remote_free(&remote);
        return HEARTH_OK;
    }
    s = add(scan, name, version,
            join(remote->directory, yaml ? "hearth.yaml" : "model.onnx", NULL),
            yaml);
    if (s == NULL) {
        hearth__remote_free(&remote);
        return scan->status;
    }
    s->remote = remote;
    if (config) {
        _Static_assert(sizeof(s->config_id) == sizeof(struct hearth_digest),
                       "a digest stands for a file's identity");
        hearth_sha256(config, strlen(config),
                      (struct hearth_digest *)&s->config_id);
        take_config(s, remote->directory, config, strlen(config),
                    "config.pbtxt");
    }
    return HEARTH_OK;
}

/* One that is away takes nothing from the others. */
static void scan_remote(struct scan *scan, const char *url, const char *only)
{
    uint32_t first = scan->count;
    struct hearth_error err = {0};
    int status =
        hearth__remote_index(scan->node, url, only, add_remote, scan, &err);

    if (status == HEARTH_ENOMEM) {
        no_memory(scan);
        return;
    }
    if (status != HEARTH_OK)
        hearth_log(HEARTH_LOG_ERROR, 25,
                   "event=\"a repository is left out\" text=\"%s\"", err.text);
    if (scan->count > first)
        qsort(scan->found + first, scan->count - first, sizeof(*scan->found),
              hearth__served_order);
    while (first < scan->count)
        first = apply_policy(scan, first);
}

/* ---- A directory ---- */

static bool usable_name(const char *name)
{
    if (name[0] == '.' || strlen(name) >= HEARTH__NAME_BYTES)
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < ' ' || *p == '/' || *p == 0x7f)
            return false;
    return name[0] != '\0';
}

static void scan_repository(struct scan *scan, const char *repository,
                            const char *only)
{
    struct dirent *entry;
    DIR *directory;

    if (hearth__is_url(repository)) {
        scan_remote(scan, repository, only);
        return;
    }
    if (only) {
        if (usable_name(only))
            scan_model(scan, repository, only);
        return;
    }
    directory = opendir(repository);
    if (directory == NULL) {
        scan->status = hearth_fail(
            scan->err, errno == ENOENT ? HEARTH_ENOENT : HEARTH_EIO,
            "cannot read the repository %.100s: %s; make the directory, or "
            "correct model_repository",
            repository, strerror(errno));
        return;
    }
    while (scan->status == HEARTH_OK && (entry = readdir(directory)))
        if (usable_name(entry->d_name) && entry->d_type != DT_REG)
            scan_model(scan, repository, entry->d_name);
    closedir(directory);
}

/* ---- The table ---- */

static int by_repository(const void *a, const void *b)
{
    const struct hearth__served *x = *(struct hearth__served *const *)a;
    const struct hearth__served *y = *(struct hearth__served *const *)b;
    int order = strcmp(x->name, y->name);

    if (order == 0)
        order =
            (x->repository > y->repository) - (x->repository < y->repository);
    return order != 0 ? order : hearth__served_order(a, b);
}

/* A name that is in two repositories is the first one's. */
static void sort_found(struct scan *scan)
{
    uint32_t kept = 0;

    if (scan->count == 0)
        return;
    qsort(scan->found, scan->count, sizeof(*scan->found), by_repository);
    for (uint32_t i = 0; i < scan->count; i++) {
        struct hearth__served *s = scan->found[i];
        const struct hearth__served *before =
            kept > 0 ? scan->found[kept - 1] : NULL;

        if (before && strcmp(before->name, s->name) == 0 &&
            before->repository != s->repository)
            hearth__served_drop(s);
        else
            scan->found[kept++] = s;
    }
    scan->count = kept;
}

int hearth__scan(hearth_node_t *node, const char *only,
                 struct hearth_error *err)
{
    struct scan scan = {.node = node, .err = err};
    char *list = hearth_strdup(hearth__node_config(node).repositories);
    char *rest = list;
    const char *one;

    if (list == NULL)
        return no_memory(&scan);
    if (only == NULL)
        atomic_store(&node->asked_us, hearth_now_us(node->clock));
    while (scan.status == HEARTH_OK && (one = strsep(&rest, " ")))
        if (*one) {
            scan_repository(&scan, one, only);
            scan.repository++;
        }
    hearth_free(list);
    if (scan.status == HEARTH_OK) {
        sort_found(&scan);
        scan.status =
            hearth__table_put(node, only, scan.found, scan.count, err);
    } else {
        for (uint32_t i = 0; i < scan.count; i++)
            hearth__served_drop(scan.found[i]);
    }
    hearth_free(scan.found);
    return scan.status;
}
