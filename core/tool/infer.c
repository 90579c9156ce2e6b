/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer.c: `hearth infer MODEL FILE`: one inference by hearthd. The file is a
 * request of the Open Inference Protocol, a JSON array for the one input, a
 * .npy array, a picture (for a model with a hearth.yaml), or raw numbers.
 */
#include "tool/remote.h"

#include "codec/codec.h"
#include "tool/npy.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN 8 /* numbers of an output */

enum {
    OPT_JSON,
    OPT_SOCKET,
    OPT_TOP = HEARTH_REMOTE_OPTION_COUNT + 1,
    OPT_VERSION
};

static const struct hearth_tool_option options[] = {
    {"json", NULL, "print the answer as it came and nothing else"},
    HEARTH_REMOTE_OPTIONS,
    {"top", "K", "show the K best classes of each output"},
    {"version", "N", "of the model (the newest)"},
    {NULL, NULL, NULL},
};

struct job {
    struct hearth_remote remote;
    const char *model, *version;
    int64_t top;
    char *file;
    size_t file_bytes;
    json_t *metadata;
    struct hearth_remote_request request;
    char *body, target[900], json_bytes[24];
    struct hearth_error err;
};

/* ---- The request ---- */

/* The model's one input: name and type. NULL: it has more. */
static const json_t *only_input(struct job *j)
{
    const json_t *inputs = json_object_get(j->metadata, "inputs");

    if (json_array_size(inputs) == 1)
        return json_array_get(inputs, 0);
    hearth_fail(&j->err, HEARTH_EINVAL,
                "the model has %zu inputs: write a request of the Open "
                "Inference Protocol as JSON",
                json_array_size(inputs));
    return NULL;
}

static json_t *outputs_json(const struct job *j)
{
    const json_t *outputs = json_object_get(j->metadata, "outputs");
    json_t *list = json_array();
    size_t i;
    json_t *output;

    json_array_foreach(outputs, i, output)
    {
        json_t *wanted =
            json_pack("{s:s}", "name", hearth__json_text(output, "name"));

        if (j->top > 0)
            json_object_set_new(
                wanted, "parameters",
                json_pack("{s:I}", "classification", (json_int_t)j->top));
        json_array_append_new(list, wanted);
    }
    return list;
}

/* <data> NULL: binary, and <binary> follows. Takes <data> over. */
static int make_body(struct job *j, const struct hearth_shape *shape,
                     const char *type, json_t *data, const void *binary,
                     uint64_t bytes)
{
    const json_t *input = only_input(j);
    json_t *dims = json_array(), *in, *root;
    char *text;
    size_t length;

    for (int32_t i = 0; i < shape->rank; i++)
        json_array_append_new(dims, json_integer(shape->dims[i]));
    in = json_pack("{s:s, s:s, s:o}", "name", hearth__json_text(input, "name"),
                   "datatype", type, "shape", dims);
    if (data)
        json_object_set_new(in, "data", data);
    else
        json_object_set_new(
            in, "parameters",
            json_pack("{s:I}", "binary_data_size", (json_int_t)bytes));
    root = json_pack("{s:[o], s:o}", "inputs", in, "outputs", outputs_json(j));
    text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (input == NULL || text == NULL) {
        free(text); /* Jansson's */
        return input ? hearth_fail(&j->err, HEARTH_ENOMEM, "no memory")
                     : j->err.status;
    }
    length = strlen(text);
    j->body = hearth_malloc(length + bytes);
    if (j->body) {
        memcpy(j->body, text, length);
        if (bytes > 0)
            memcpy(j->body + length, binary, bytes);
    }
    free(text); /* Jansson's */
    if (j->body == NULL)
        return hearth_fail(&j->err, HEARTH_ENOMEM, "no memory");
    if (data == NULL) {
        snprintf(j->json_bytes, sizeof(j->json_bytes), "%zu", length);
        j->request.oip_json_bytes = j->json_bytes;
    }
    j->request.body = j->body;
    j->request.body_bytes = length + bytes;
    return HEARTH_OK;
}

static int from_array(struct job *j)
{
    const json_t *input = only_input(j);
    json_t *data = json_loadb(j->file, j->file_bytes, 0, NULL), *at = data;
    struct hearth_shape shape = {.rank = 0};

    if (input == NULL || !json_is_array(data)) {
        json_decref(data);
        return input ? hearth_fail(&j->err, HEARTH_EPROTO,
                                   "the file is no JSON array of numbers")
                     : j->err.status;
    }
    while (json_is_array(at) && shape.rank < HEARTH_RANK_MAX) {
        shape.dims[shape.rank++] = (int64_t)json_array_size(at);
        at = json_array_get(at, 0);
    }
    return make_body(j, &shape, hearth__json_text(input, "datatype"), data,
                     NULL, 0);
}

static int prepare(struct job *j)
{
    const char *p = j->file;
    struct hearth_npy npy;
    size_t blank = strspn(p, " \t\r\n");
    int status;

    if (hearth_image_known(p, j->file_bytes)) {
        j->request.content_type =
            (unsigned char)p[0] == 0xff ? "image/jpeg" : "image/png";
    } else if (hearth__npy_known(p, j->file_bytes)) {
        status = hearth__npy_read(&npy, p, j->file_bytes, &j->err);
        return status == HEARTH_OK
                   ? make_body(j, &npy.shape, hearth_dtype_oip(npy.dtype), NULL,
                               npy.data, npy.bytes)
                   : status;
    } else if (p[blank] == '[') {
        return from_array(j);
    } else if (p[blank] != '{') {
        j->request.content_type = "application/octet-stream";
        j->request.oip_json_bytes = "0";
    }
    j->request.body = p;
    j->request.body_bytes = j->file_bytes;
    return HEARTH_OK;
}

/* ---- The answer ---- */

static void print_data(const json_t *data)
{
    size_t count = json_array_size(data);

    for (size_t i = 0; i < count && i < SHOWN; i++) {
        const json_t *value = json_array_get(data, i);

        if (json_is_string(value))
            printf("\n    %s", json_string_value(value));
        else if (json_is_boolean(value))
            printf(" %s", json_is_true(value) ? "true" : "false");
        else
            printf(" %.7g", json_number_value(value));
    }
    printf(count > SHOWN ? " ... %zu in all\n" : "\n", count);
}

static int print_answer(const struct hearth_remote_answer *answer)
{
    size_t bytes =
        answer->oip_json_bytes ? answer->oip_json_bytes : answer->bytes;
    json_t *root =
        json_loadb(answer->body ? answer->body : "",
                   bytes < answer->bytes ? bytes : answer->bytes, 0, NULL);
    const json_t *outputs = json_object_get(root, "outputs");
    size_t i;
    json_t *output;

    if (answer->status != 200)
        fprintf(stderr, "hearth: HTTP status %d: %s\n", answer->status,
                json_object_get(root, "error")
                    ? hearth__json_text(root, "error")
                : answer->body ? answer->body
                               : "");
    else if (outputs == NULL) /* a hearth.yaml's own form */
        printf("%.*s\n", (int)answer->bytes, answer->body);
    json_array_foreach(outputs, i, output)
    {
        char *shape =
            json_dumps(json_object_get(output, "shape"), JSON_COMPACT);

        printf("%s %s %s:", hearth__json_text(output, "name"),
               hearth__json_text(output, "datatype"), shape ? shape : "?");
        free(shape); /* Jansson's */
        if (json_object_get(output, "data"))
            print_data(json_object_get(output, "data"));
        else
            printf(
                " %lld bytes; --json prints them\n",
                (long long)hearth__json_int(
                    json_object_get(output, "parameters"), "binary_data_size"));
    }
    json_decref(root);
    return answer->status == 200 ? HEARTH_TOOL_OK : HEARTH_TOOL_FAILED;
}

static int ask(struct job *j, bool json)
{
    struct hearth_remote_answer answer = {0};
    char target[900];
    int code = HEARTH_TOOL_FAILED, status;

    hearth__remote_target(target, sizeof(target), "/v2/models/", j->model,
                          j->version, "");
    status = hearth__remote_json(&j->remote, "GET", target, NULL, &j->metadata,
                                 &j->err);
    if (status == HEARTH_OK)
        status = prepare(j);
    hearth__remote_target(j->target, sizeof(j->target), "/v2/models/", j->model,
                          j->version, "/infer");
    j->request.method = "POST";
    j->request.target = j->target;
    if (status == HEARTH_OK)
        status = hearth__remote_ask(&j->remote, &j->request, &answer, &j->err);
    if (status != HEARTH_OK) {
        hearth__tool_failed(&j->err);
    } else if (json) {
        fwrite(answer.body ? answer.body : "", 1, answer.bytes, stdout);
        code = answer.status == 200 ? HEARTH_TOOL_OK : HEARTH_TOOL_FAILED;
    } else {
        code = print_answer(&answer);
    }
    hearth_free(answer.body);
    return code;
}

static int run(const char *const *values, int argc, char *const *argv)
{
    struct job *j = hearth_calloc(1, sizeof(*j));
    int code = HEARTH_TOOL_FAILED;

    (void)argc;
    if (j == NULL)
        return HEARTH_TOOL_FAILED;
    j->model = argv[0];
    j->version = values[OPT_VERSION];
    j->top = values[OPT_TOP] ? strtoll(values[OPT_TOP], NULL, 10) : 0;
    if (hearth_read_file(argv[1], UINT64_C(1) << 31, &j->file, &j->file_bytes,
                         &j->err) != HEARTH_OK ||
        hearth__remote_open(&j->remote, values + OPT_SOCKET, &j->err) !=
            HEARTH_OK)
        hearth__tool_failed(&j->err);
    else
        code = ask(j, values[OPT_JSON] != NULL);
    hearth__remote_close(&j->remote);
    json_decref(j->metadata);
    hearth_free(j->file);
    hearth_free(j->body);
    hearth_free(j);
    return code;
}

const struct hearth_tool_command hearth__tool_infer = {
    .name = "infer",
    .arguments = "MODEL FILE",
    .summary = "Has hearthd run a model on a file: JSON, .npy, a picture, or "
               "raw numbers",
    .options = options,
    .run = run,
    .min_operands = 2,
    .max_operands = 2,
};
