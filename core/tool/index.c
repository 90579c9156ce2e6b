/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c: `hearth index DIRECTORY`: writes the index.json with which any
 * server of files is a model repository (serve/remote.c reads it). One entry a
 * version, each file with its SHA-256; a model that Hearth cannot read is left
 * out, and said so.
 */
#include "base/base.h"
#include "model/model.h"
#include "tool/remote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (1u << 20)
#define PATH_BYTES 4096
#define CONFIG_MAX (UINT64_C(1) << 20)

enum { OPT_JSON };

static const struct hearth_tool_option options[] = {
    {"json", NULL, "print the index instead of writing it"},
    {NULL, NULL, NULL},
};

struct index {
    const char *top;
    json_t *models; /* array */
    bool quiet;
    uint32_t left_out;
};

/* ---- Files ---- */

static int hash_file(const char *path, char text[HEARTH_DIGEST_TEXT],
                     int64_t *bytes, struct hearth_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct hearth_sha256 *hash = hearth_sha256_begin();
    char *piece = hearth_malloc(PIECE);
    struct hearth_digest digest;
    ssize_t n = 1;

    *bytes = 0;
    if (hash == NULL || piece == NULL) {
        hearth_fail(err, HEARTH_ENOMEM, "no memory to read %.120s", path);
        n = -1;
    } else if (fd < 0) {
        hearth_fail(err, HEARTH_EIO, "cannot read %.120s: %s", path,
                    strerror(errno));
        n = -1;
    }
    while (n > 0) {
        n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n < 0) {
            hearth_fail(err, HEARTH_EIO, "cannot read %.120s: %s", path,
                        strerror(errno));
        } else {
            hearth_sha256_add(hash, piece, (size_t)n);
            *bytes += n;
        }
    }
    if (n == 0) {
        hearth_sha256_end(hash, &digest);
        hearth_digest_text(&digest, text);
    } else {
        hearth_sha256_drop(hash);
    }
    if (fd >= 0)
        close(fd);
    hearth_free(piece);
    return n == 0 ? HEARTH_OK : err->status;
}

/* As a URL's path has it. */
static void escape(const char *path, char *out, size_t size)
{
    static const char plain[] = "-._~/abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t used = 0;

    for (const char *p = path; *p && used + 4 < size; p++)
        if (strchr(plain, *p))
            out[used++] = *p;
        else
            used += (size_t)snprintf(out + used, size - used, "%%%02X",
                                     (unsigned char)*p);
    out[used] = '\0';
}

static int add_file(struct index *x, json_t *files, const char *relative,
                    struct hearth_error *err)
{
    const char *slash = strrchr(relative, '/');
    char path[PATH_BYTES], url[3 * PATH_BYTES], text[HEARTH_DIGEST_TEXT];
    int64_t bytes;
    int status;

    snprintf(path, sizeof(path), "%s/%s", x->top, relative);
    status = hash_file(path, text, &bytes, err);
    if (status != HEARTH_OK)
        return status;
    escape(relative, url, sizeof(url));
    if (json_array_append_new(
            files, json_pack("{s:s, s:s, s:s, s:I}", "name",
                             slash ? slash + 1 : relative, "url", url, "sha256",
                             text, "bytes", (json_int_t)bytes)) != 0)
        return hearth_fail(err, HEARTH_EINVAL, "its name is not UTF-8");
    return HEARTH_OK;
}

/* What a model or its hearth.yaml may name lies beside it. */
static int add_directory(struct index *x, json_t *files, const char *relative,
                         struct hearth_error *err)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    struct stat st;
    int status = HEARTH_OK;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", x->top, relative);
    dir = opendir(path);
    if (dir == NULL)
        return hearth_fail(err, HEARTH_EIO, "cannot read %.120s: %s", path,
                           strerror(errno));
    while (status == HEARTH_OK && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' ||
            strcmp(entry->d_name, "config.pbtxt") == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", x->top, relative,
                 entry->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            status = add_file(x, files, path + strlen(x->top) + 1, err);
        else if (S_ISDIR(st.st_mode))
            status = hearth_fail(err, HEARTH_EUNSUPPORTED,
                                 "%.80s is a directory: a model's files lie "
                                 "beside each other",
                                 entry->d_name);
    }
    closedir(dir);
    return status;
}

/* ---- Versions ---- */

static bool is_file(const struct index *x, const char *relative,
                    const char *name)
{
    char path[2 * PATH_BYTES];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s/%s", x->top, relative, name);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int check_model(const struct index *x, const char *relative,
                       struct hearth_error *err)
{
    hearth_model_t *model;
    char path[PATH_BYTES];
    int status;

    if (!is_file(x, relative, "model.onnx"))
        return HEARTH_OK; /* then hearth.yaml says which */
    snprintf(path, sizeof(path), "%s/%s/model.onnx", x->top, relative);
    status = hearth_model_open(&model, path, NULL, err);
    if (status == HEARTH_OK)
        hearth_model_close(&model);
    return status;
}

static void report(struct index *x, const char *name, int64_t version,
                   const json_t *files, const struct hearth_error *err)
{
    uint64_t bytes = 0;
    char text[32];

    if (err->status != HEARTH_OK) {
        x->left_out++;
        fprintf(stderr, "hearth: %s, version %lld, is left out: %s\n", name,
                (long long)version, err->text);
        return;
    }
    for (size_t i = 0; i < json_array_size(files); i++)
        bytes += (uint64_t)json_integer_value(
            json_object_get(json_array_get(files, i), "bytes"));
    if (!x->quiet)
        printf("%-32s %4lld  %zu file%s  %s\n", name, (long long)version,
               json_array_size(files), json_array_size(files) == 1 ? "" : "s",
               hearth_format_bytes(bytes, text, sizeof(text)));
}

/* The files of the model's own directory, such as labels, are its version's
 * too. */
static void add_version(struct index *x, const char *name, int64_t version,
                        const char *relative)
{
    char path[PATH_BYTES], *config = NULL;
    struct hearth_error err = {0};
    json_t *files = json_array(), *entry;
    size_t bytes;
    int status = check_model(x, relative, &err);

    if (status == HEARTH_OK)
        status = add_directory(x, files, relative, &err);
    if (status == HEARTH_OK && is_file(x, name, "config.pbtxt")) {
        snprintf(path, sizeof(path), "%s/%s/config.pbtxt", x->top, name);
        status = hearth_read_file(path, CONFIG_MAX, &config, &bytes, &err);
    }
    if (status == HEARTH_OK && strcmp(name, relative) != 0) {
        DIR *dir;
        struct dirent *of;

        snprintf(path, sizeof(path), "%s/%s", x->top, name);
        dir = opendir(path);
        while (dir && status == HEARTH_OK && (of = readdir(dir)))
            if (of->d_name[0] != '.' && strcmp(of->d_name, "config.pbtxt") &&
                is_file(x, name, of->d_name)) {
                snprintf(path, sizeof(path), "%s/%s", name, of->d_name);
                status = add_file(x, files, path, &err);
            }
        if (dir)
            closedir(dir);
    }
    if (status == HEARTH_OK) {
        entry = json_pack("{s:s, s:I, s:O}", "name", name, "version",
                          (json_int_t)version, "files", files);
        if (entry && config)
            json_object_set_new(entry, "config", json_string(config));
        if (entry == NULL || json_array_append_new(x->models, entry) != 0)
            hearth_fail(&err, HEARTH_EINVAL, "its name is not UTF-8");
    }
    report(x, name, version, files, &err);
    json_decref(files);
    hearth_free(config);
}

static int64_t version_of(const char *text)
{
    size_t bytes = strlen(text);

    if (bytes == 0 || bytes > 18 || text[0] == '0' ||
        strspn(text, "0123456789") != bytes)
        return 0;
    return strtoll(text, NULL, 10);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dot(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void add_model(struct index *x, const char *name)
{
    char path[PATH_BYTES];
    struct dirent **list = NULL;
    int count;

    if (is_file(x, name, "model.onnx") || is_file(x, name, "hearth.yaml")) {
        add_version(x, name, 1, name);
        return;
    }
    snprintf(path, sizeof(path), "%s/%s", x->top, name);
    count = scandir(path, &list, no_dot, by_name);
    for (int i = 0; i < count; i++) {
        int64_t version = version_of(list[i]->d_name);

        snprintf(path, sizeof(path), "%s/%s", name, list[i]->d_name);
        if (version > 0 &&
            (is_file(x, path, "model.onnx") || is_file(x, path, "hearth.yaml")))
            add_version(x, name, version, path);
        free(list[i]); /* scandir's */
    }
    free(list); /* likewise */
}

/* ---- The index ---- */

/* A reader sees the old one or the new one. */
static int write_index(const struct index *x, const json_t *root,
                       struct hearth_error *err)
{
    char path[PATH_BYTES], coming[PATH_BYTES];
    int status = HEARTH_OK;

    snprintf(path, sizeof(path), "%s/index.json", x->top);
    snprintf(coming, sizeof(coming), "%s/.index.json", x->top);
    if (json_dump_file(root, coming, JSON_INDENT(1)) != 0 ||
        rename(coming, path) != 0)
        status = hearth_fail(err, HEARTH_EIO, "cannot write %.120s: %s", path,
                             strerror(errno));
    if (status != HEARTH_OK)
        (void)unlink(coming);
    return status;
}

static int run(const char *const *values, int argc, char *const *argv)
{
    struct index x = {.top = argv[0], .quiet = values[OPT_JSON] != NULL};
    struct hearth_error err = {0};
    struct dirent **list = NULL;
    json_t *root;
    int count = scandir(x.top, &list, no_dot, by_name), status = HEARTH_OK;

    (void)argc;
    if (count < 0) {
        hearth_fail(&err, HEARTH_ENOENT, "cannot read %.120s: %s", x.top,
                    strerror(errno));
        return hearth__tool_failed(&err);
    }
    x.models = json_array();
    root = json_pack("{s:O}", "models", x.models);
    for (int i = 0; i < count; i++) {
        add_model(&x, list[i]->d_name);
        free(list[i]); /* scandir's */
    }
    free(list); /* likewise */
    if (root == NULL)
        status = hearth_fail(&err, HEARTH_ENOMEM, "no memory for the index");
    else if (x.quiet)
        hearth__print_json(root);
    else
        status = write_index(&x, root, &err);
    if (status == HEARTH_OK && !x.quiet)
        printf("%s/index.json: %zu version%s\n", x.top,
               json_array_size(x.models),
               json_array_size(x.models) == 1 ? "" : "s");
    json_decref(x.models);
    json_decref(root);
    if (status != HEARTH_OK)
        return hearth__tool_failed(&err);
    return x.left_out > 0 ? HEARTH_TOOL_FAILED : HEARTH_TOOL_OK;
}

const struct hearth_tool_command hearth__tool_index = {
    .name = "index",
    .arguments = "DIRECTORY",
    .summary = "Makes a directory of models a repository for any file server",
    .options = options,
    .run = run,
    .min_operands = 1,
    .max_operands = 1,
};
