/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c: `hearth import FILE|URL`: brings a model into hearthd's repository.
 * hearthd fetches a URL by itself; a file is passed as an open descriptor, or,
 * over TCP, sent as a blob first. A bar shows how far it is, on a terminal.
 */
#include "tool/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OPT_JSON,
    OPT_SOCKET,
    OPT_NAME = HEARTH_REMOTE_OPTION_COUNT + 1,
    OPT_VERSION
};

static const struct hearth_tool_option options[] = {
    {"json", NULL, "print hearthd's last answer and nothing else"},
    HEARTH_REMOTE_OPTIONS,
    {"name", "NAME", "of the model (the file's, without .onnx)"},
    {"version", "N", "of the model (1)"},
    {NULL, NULL, NULL},
};

/* Lines as they come; the last one decides. */
struct lines {
    char text[4096];
    size_t used;
    bool bar, json;
    json_t *last;
};

static void show_bar(int64_t bytes, int64_t total)
{
    char done[32], all[32];
    int full = total > 0 ? (int)(bytes * 30 / total) : 0;

    hearth_format_bytes((uint64_t)bytes, done, sizeof(done));
    if (total <= 0) {
        fprintf(stderr, "\r%s", done);
    } else {
        fprintf(stderr, "\r[%.*s%*s] %3d %%  %s of %s ", full,
                "##############################", 30 - full, "",
                (int)(bytes * 100 / total), done,
                hearth_format_bytes((uint64_t)total, all, sizeof(all)));
    }
    fflush(stderr);
}

static void take_line(struct lines *lines, const char *text, size_t bytes)
{
    json_t *root = json_loadb(text, bytes, 0, NULL);

    if (json_object_get(root, "bytes")) {
        if (lines->bar)
            show_bar(hearth__json_int(root, "bytes"),
                     hearth__json_int(root, "total"));
        json_decref(root);
    } else if (root) {
        json_decref(lines->last);
        lines->last = root;
    }
}

static bool take_piece(void *ctx, const char *data, size_t bytes)
{
    struct lines *lines = ctx;

    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == '\n') {
            take_line(lines, lines->text, lines->used);
            lines->used = 0;
        } else if (lines->used < sizeof(lines->text)) {
            lines->text[lines->used++] = data[i];
        }
    }
    return true;
}

/* "resnet" of ".../resnet.onnx?x#y"; the directory's for model.onnx. */
static void default_name(const char *source, char *name, size_t size)
{
    size_t bytes = strcspn(source, "?#"), start;

    for (int part = 0; part < 3; part++) {
        while (bytes > 0 && source[bytes - 1] == '/')
            bytes--;
        start = bytes;
        while (start > 0 && source[start - 1] != '/')
            start--;
        snprintf(name, size, "%.*s", (int)(bytes - start), source + start);
        if (strlen(name) > 5 && strcmp(name + strlen(name) - 5, ".onnx") == 0)
            name[strlen(name) - 5] = '\0';
        if (strcmp(name, "model") != 0 &&
            name[strspn(name, "0123456789")] != '\0')
            return;
        bytes = start;
    }
}

/* Over TCP: the file's bytes as a blob; its digest into <hex>. */
static int send_blob(struct hearth_remote *remote, const char *path,
                     char hex[HEARTH_DIGEST_TEXT], struct hearth_error *err)
{
    struct hearth_digest digest;
    struct hearth_remote_answer answer;
    struct hearth_remote_request request = {
        .method = "PUT", .content_type = "application/octet-stream"};
    char target[128], *text;
    size_t bytes;
    int status = hearth_read_file(path, INT64_MAX / 2, &text, &bytes, err);

    if (status != HEARTH_OK)
        return status;
    hearth_sha256(text, bytes, &digest);
    hearth_digest_text(&digest, hex);
    snprintf(target, sizeof(target), "/v2/hearth/blobs/%s", hex);
    request.target = target;
    request.body = text;
    request.body_bytes = bytes;
    status = hearth__remote_ask(remote, &request, &answer, err);
    hearth_free(text);
    if (status == HEARTH_OK && answer.status != 200)
        status = hearth_fail(err, HEARTH_EINVAL, "hearthd does not take it: %s",
                             answer.body ? answer.body : "no reason is given");
    hearth_free(answer.body);
    return status;
}

static int import(struct hearth_remote *remote, const char *source,
                  json_t *root, struct lines *lines, struct hearth_error *err)
{
    bool is_url = strstr(source, "://") != NULL;
    struct hearth_remote_request request = {.method = "POST",
                                            .target = "/v2/hearth/import",
                                            .piece = take_piece,
                                            .ctx = lines};
    struct hearth_remote_answer answer = {0};
    char hex[HEARTH_DIGEST_TEXT], *body;
    int fd = -1, status = HEARTH_OK;

    if (is_url) {
        json_object_set_new(root, "url", json_string(source));
    } else if (remote->is_unix) {
        fd = open(source, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return hearth_fail(err, HEARTH_ENOENT, "cannot read %.120s: %s",
                               source, strerror(errno));
        request.descriptor = &fd;
    } else {
        status = send_blob(remote, source, hex, err);
        json_object_set_new(root, "sha256", json_string(hex));
    }
    body = json_dumps(root, JSON_COMPACT);
    request.body = body;
    request.body_bytes = body ? strlen(body) : 0;
    if (status == HEARTH_OK)
        status = hearth__remote_ask(remote, &request, &answer, err);
    if (status == HEARTH_OK && answer.status != 200) {
        json_decref(lines->last);
        lines->last =
            json_loadb(answer.body ? answer.body : "", answer.bytes, 0, NULL);
    }
    hearth_free(answer.body);
    free(body); /* Jansson's */
    if (fd >= 0)
        close(fd);
    return status;
}

static int finish(const struct lines *lines)
{
    const json_t *done = json_object_get(lines->last, "imported");
    char bytes[32];

    if (lines->json && lines->last)
        hearth__print_json(lines->last);
    if (done && !lines->json)
        printf("%s, version %lld: %s, sha256 %.16s...\n",
               hearth__json_text(done, "name"),
               (long long)hearth__json_int(done, "version"),
               hearth_format_bytes((uint64_t)hearth__json_int(done, "bytes"),
                                   bytes, sizeof(bytes)),
               hearth__json_text(done, "sha256"));
    if (!done && !lines->json)
        fprintf(stderr, "hearth: %s\n",
                lines->last ? hearth__json_text(lines->last, "error")
                            : "hearthd broke off: import it again");
    return done ? HEARTH_TOOL_OK : HEARTH_TOOL_FAILED;
}

static int run(const char *const *values, int argc, char *const *argv)
{
    struct lines lines = {.json = values[OPT_JSON] != NULL};
    struct hearth_remote remote;
    struct hearth_error err = {0};
    char name[256], *end;
    long long version = 1;
    json_t *root;
    int code = HEARTH_TOOL_FAILED;

    (void)argc;
    if (values[OPT_VERSION]) {
        version = strtoll(values[OPT_VERSION], &end, 10);
        if (*end || version < 1)
            return hearth__tool_usage(&hearth__tool_import,
                                      "--version=%s is no number from 1 on",
                                      values[OPT_VERSION]);
    }
    default_name(argv[0], name, sizeof(name));
    lines.bar = !lines.json && isatty(STDERR_FILENO);
    root = json_pack("{s:s, s:I}", "name",
                     values[OPT_NAME] ? values[OPT_NAME] : name, "version",
                     (json_int_t)version);
    if (hearth__remote_open(&remote, values + OPT_SOCKET, &err) != HEARTH_OK ||
        import(&remote, argv[0], root, &lines, &err) != HEARTH_OK) {
        if (lines.bar)
            fputc('\n', stderr);
        hearth__tool_failed(&err);
    } else {
        if (lines.bar)
            fputc('\n', stderr);
        code = finish(&lines);
    }
    hearth__remote_close(&remote);
    json_decref(lines.last);
    json_decref(root);
    return code;
}

const struct hearth_tool_command hearth__tool_import = {
    .name = "import",
    .arguments = "FILE.onnx|URL",
    .summary = "Brings a model into hearthd's repository",
    .options = options,
    .run = run,
    .min_operands = 1,
    .max_operands = 1,
};
