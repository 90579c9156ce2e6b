/* SPDX-License-Identifier: Apache-2.0 */
/*
 * package.c: what a function is made of: its hearth.yaml, its model with its
 * external data, its labels; their digests, and the manifest that names them.
 */
#include "client/client_priv.h"

#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define YAML_MAX (UINT64_C(256) << 10)
#define PIECE (1u << 20)

static int hash_file(const char *path, struct hearth_digest *digest,
                     struct hearth_error *err)
{
    struct hearth_sha256 *hash = hearth_sha256_begin();
    char *piece = hearth_malloc(PIECE);
    int fd = open(path, O_RDONLY | O_CLOEXEC), status = HEARTH_OK;
    ssize_t n = 1;

    if (hash == NULL || piece == NULL)
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory for %.120s", path);
    else if (fd < 0)
        status = hearth_fail(err, errno == ENOENT ? HEARTH_ENOENT : HEARTH_EIO,
                             "cannot read %.120s: %s", path, strerror(errno));
    while (status == HEARTH_OK && n != 0) {
        n = read(fd, piece, PIECE);
        if (n > 0)
            hearth_sha256_add(hash, piece, (size_t)n);
        else if (n < 0 && errno != EINTR)
            status = hearth_fail(err, HEARTH_EIO, "cannot read %.120s: %s",
                                 path, strerror(errno));
    }
    if (status == HEARTH_OK)
        hearth_sha256_end(hash, digest);
    else
        hearth_sha256_drop(hash);
    if (fd >= 0)
        close(fd);
    hearth_free(piece);
    return status;
}

static char *join(const char *directory, const char *name)
{
    size_t bytes = strlen(directory) + strlen(name) + 2;
    char *path = hearth_malloc(bytes);

    if (path)
        snprintf(path, bytes, "%s%s%s", directory, *directory ? "/" : "", name);
    return path;
}

/* A file by its name beside the hearth.yaml. */
static int add_file(struct hearth__client_package *p, const char *directory,
                    const char *name, struct hearth_error *err)
{
    struct hearth__client_file *file = &p->files[p->count];

    for (uint32_t i = 0; i < p->count; i++)
        if (strcmp(p->files[i].name, name) == 0)
            return HEARTH_OK;
    if (p->count == HEARTH__CLIENT_FILES)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "the function has more than %d files",
                           HEARTH__CLIENT_FILES);
    file->name = hearth_strdup(name);
    file->path = join(directory, name);
    p->count++;
    if (file->name == NULL || file->path == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for a file's name");
    return hash_file(file->path, &file->digest, err);
}

/* Relative to the hearth.yaml, or the text says what is wrong. */
static int check_name(const char *name, struct hearth_error *err)
{
    if (name[0] != '/' && strncmp(name, "../", 3) != 0 &&
        strstr(name, "/../") == NULL)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ECONFIG,
                       "%.120s: with hearth_url a function's files must lie "
                       "beside its hearth.yaml or below",
                       name);
}

/* The model's external files lie in its directory or below. */
static int add_external(struct hearth__client_package *p, const char *directory,
                        const char *model_name, struct hearth_error *err)
{
    const struct hearth_model_options no_passes = {.passes = 0};
    const char *slash = strrchr(model_name, '/'), *name;
    char *path = join(directory, model_name), *inside;
    hearth_model_t *model = NULL;
    int status = path ? hearth_model_open(&model, path, &no_passes, err)
                      : hearth_fail(err, HEARTH_ENOMEM, "no memory");

    for (uint32_t i = 0;
         status == HEARTH_OK && (name = hearth_model_external(model, i)); i++) {
        size_t bytes =
            strlen(name) + (slash ? (size_t)(slash - model_name) + 1 : 0) + 1;

        inside = hearth_malloc(bytes);
        if (inside == NULL) {
            status = hearth_fail(err, HEARTH_ENOMEM, "no memory");
            break;
        }
        snprintf(inside, bytes, "%.*s%s",
                 slash ? (int)(slash - model_name) + 1 : 0, model_name, name);
        status = add_file(p, directory, inside, err);
        hearth_free(inside);
    }
    hearth_model_close(&model);
    hearth_free(path);
    return status;
}

static int make_manifest(struct hearth__client_package *p, const char *name,
                         const char *yaml, struct hearth_error *err)
{
    json_t *files = json_object(), *root;
    char text[HEARTH_DIGEST_TEXT];
    char *dumped;
    struct hearth_digest digest;

    for (uint32_t i = 0; i < p->count; i++)
        json_object_set_new(
            files, p->files[i].name,
            json_string(hearth_digest_text(&p->files[i].digest, text)));
    root = json_pack("{s:s, s:s, s:o}", "name", name, "hearth_yaml", yaml,
                     "files", files);
    dumped = root ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(root);
    if (dumped)
        p->manifest = hearth_strdup(dumped);
    free(dumped); /* Jansson's */
    if (p->manifest == NULL)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "the hearth.yaml or a file's name is no UTF-8");
    p->manifest_bytes = strlen(p->manifest);
    hearth_sha256(p->manifest, p->manifest_bytes, &digest);
    hearth_digest_text(&digest, p->digest);
    return HEARTH_OK;
}

int hearth__package_read(struct hearth__client_package *p,
                         const char *hearth_yaml, struct hearth_error *err)
{
    const struct hearth_function_info *info;
    const char *slash = strrchr(hearth_yaml, '/');
    char *directory = hearth_strdup(hearth_yaml), *yaml = NULL;
    size_t bytes;
    int status;

    if (directory == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory");
    directory[slash ? slash - hearth_yaml + (slash == hearth_yaml) : 0] = '\0';
    status = hearth_function_open(&p->function, hearth_yaml, err);
    if (status == HEARTH_OK) {
        info = hearth_function_info(p->function);
        status = check_name(info->model_name, err);
        if (status == HEARTH_OK && info->labels_name)
            status = check_name(info->labels_name, err);
        if (status == HEARTH_OK)
            status = add_file(p, directory, info->model_name, err);
        if (status == HEARTH_OK && info->labels_name)
            status = add_file(p, directory, info->labels_name, err);
        if (status == HEARTH_OK)
            status = add_external(p, directory, info->model_name, err);
        if (status == HEARTH_OK)
            status =
                hearth_read_file(hearth_yaml, YAML_MAX, &yaml, &bytes, err);
        if (status == HEARTH_OK)
            status = make_manifest(p, info->name, yaml, err);
    }
    hearth_free(yaml);
    hearth_free(directory);
    return status;
}

void hearth__package_free(struct hearth__client_package *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        hearth_free(p->files[i].name);
        hearth_free(p->files[i].path);
    }
    hearth_free(p->manifest);
    hearth_function_close(&p->function);
}
