/* SPDX-License-Identifier: Apache-2.0 */
/*
 * function.c: a function's beginning and end: its file, its labels, and how it
 * fits its model.
 */
#include <stdlib.h>
#include <string.h>

#include "function/function_priv.h"
#include "ops/ops.h"

#define FILE_MAX (UINT64_C(256) << 10)
#define LABELS_MAX (UINT64_C(16) << 20)
#define BODY_DEFAULT (UINT64_C(16) << 20)
#define TOP_DEFAULT 5

const char *hearth_function_kind_name(enum hearth_function_kind kind)
{
    static const char *const names[] = {"image", "labels", "json", "raw",
                                        "oip"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

/* ---- Files ---- */

/* <path> as seen from the file's directory. */
static char *beside(const hearth_function_t *f, const char *path)
{
    size_t bytes = strlen(f->directory) + strlen(path) + 2;
    char *joined = hearth_malloc(bytes);
    if (joined != NULL && path[0] == '/')
        snprintf(joined, bytes, "%s", path);
    else if (joined != NULL)
        snprintf(joined, bytes, "%s/%s", f->directory, path);
    return joined;
}

/* A line is a label; the last one need not end. */
static int read_labels(hearth_function_t *f, struct hearth_error *err)
{
    size_t bytes;
    char *path = beside(f, f->labels_path);
    if (path == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for labels");
    int rc = hearth_read_file(path, LABELS_MAX, &f->label_bytes, &bytes, err);
    hearth_free(path);
    if (rc != HEARTH_OK) {
        hearth_fail_prefix(err, "%.60s: output.labels", f->shown);
        return rc == HEARTH_ENOMEM ? rc : HEARTH_ECONFIG;
    }
    uint32_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += f->label_bytes[i] == '\n' || i + 1 == bytes;
    if (count == 0 || count > HEARTH__FUNCTION_LABELS_MAX ||
        memchr(f->label_bytes, '\0', bytes) != NULL)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "%.80s: output.labels: %.60s is no list of labels; "
                           "write one a line",
                           f->shown, f->labels_path);
    f->labels = hearth_calloc(count, sizeof *f->labels);
    if (f->labels == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for labels");
    for (char *p = f->label_bytes; p < f->label_bytes + bytes;) {
        size_t length = strcspn(p, "\n");
        f->labels[f->label_count++] = p;
        if (length > 0 && p[length - 1] == '\r')
            p[length - 1] = '\0';
        p[length] = '\0';
        p += length + 1;
    }
    return HEARTH_OK;
}

/* ---- open, close ---- */

/* The directory of the file, and from that the name if none is given. */
static bool split_path(hearth_function_t *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    f->path = hearth_strdup(path);
    f->directory = hearth_strdup(slash != NULL ? path : ".");
    if (f->path == NULL || f->directory == NULL)
        return false;
    hearth_path_end(path, f->shown, sizeof f->shown);
    if (slash != NULL)
        f->directory[slash == path ? 1 : slash - path] = '\0';
    return true;
}

static bool default_name(hearth_function_t *f)
{
    char real[4096];
    if (f->name != NULL)
        return true;
    const char *base = NULL;
    if (strlen(f->directory) < sizeof real - 1 &&
        realpath(f->directory, real) != NULL)
        base = strrchr(real, '/');
    f->name =
        hearth_strdup(base != NULL && base[1] != '\0' ? base + 1 : "function");
    return f->name != NULL;
}

static int finish_open(hearth_function_t *f, struct hearth_error *err)
{
    char *model = beside(f, f->model_path);
    if (model == NULL || !default_name(f)) {
        hearth_free(model);
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", f->shown);
    }
    f->model_name = f->model_path;
    f->model_path = model;
    f->info.name = f->name;
    f->info.model_name = f->model_name;
    f->info.labels_name = f->labels_path;
    f->info.path = f->path;
    f->info.model_path = f->model_path;
    if (f->labels_path != NULL && f->info.output != HEARTH_KIND_LABELS &&
        f->info.output != HEARTH_KIND_OIP)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "%.80s: output.labels is given, and output.kind is "
                           "%s; expected kind: labels",
                           f->shown, hearth_function_kind_name(f->info.output));
    if (f->image.crop == HEARTH_CROP_CENTER && f->image.resize_short == 0 &&
        f->image.resize_width == 0 && f->image.width == 0)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "%.80s: input.crop needs input.size: what to crop "
                           "to",
                           f->shown);
    return f->labels_path != NULL ? read_labels(f, err) : HEARTH_OK;
}

/* A function with the defaults of a file without keys; <path> is the file's, or
 * the model's. NULL: no memory. */
static hearth_function_t *start(const char *path, struct hearth_error *err)
{
    hearth_function_t *f = hearth_calloc(1, sizeof *f);
    if (f == NULL || !split_path(f, path)) {
        hearth_function_close(&f);
        hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", path);
        return NULL;
    }
    f->magic = HEARTH_MAGIC_FUNCTION;
    f->info.input = f->info.output = HEARTH_KIND_JSON;
    f->info.max_body_bytes = BODY_DEFAULT;
    f->info.warm = true;
    f->info.version = "1";
    f->top = TOP_DEFAULT;
    hearth_image_spec_init(&f->image);
    f->image.channels = 0; /* the model's, unless the file says */
    return f;
}

int hearth_function_create(hearth_function_t **out,
                           const struct hearth_function_plain *plain,
                           struct hearth_error *err)
{
    hearth_function_t *f = start(plain->model_path, err);
    *out = NULL;
    if (f == NULL)
        return HEARTH_ENOMEM;
    f->info.input = f->info.output = HEARTH_KIND_OIP;
    f->info.warm = f->info.warm_asked = plain->warm;
    f->info.max_batch = plain->max_batch;
    if (plain->max_body_bytes > 0)
        f->info.max_body_bytes = plain->max_body_bytes;
    f->name = hearth_strdup(plain->name);
    f->version = hearth_strdup(plain->version);
    f->model_path = hearth_strdup(plain->model_path);
    if (plain->labels_path != NULL)
        f->labels_path = hearth_strdup(plain->labels_path);
    int rc = HEARTH_OK;
    if (f->name == NULL || f->version == NULL || f->model_path == NULL ||
        (plain->labels_path != NULL && f->labels_path == NULL))
        rc = hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", f->shown);
    f->info.name = f->name;
    f->info.version = f->version;
    f->info.path = f->info.model_path = f->info.model_name = f->model_path;
    f->info.labels_name = f->labels_path;
    if (rc == HEARTH_OK && f->labels_path != NULL)
        rc = read_labels(f, err);
    if (rc != HEARTH_OK)
        hearth_function_close(&f);
    *out = f;
    return rc;
}

/* Relative, and not out of the directory. */
static bool is_inside(const char *path)
{
    if (path == NULL)
        return true;
    if (path[0] == '/')
        return false;
    for (const char *p = path; *p != '\0'; p += *p == '/') {
        size_t part = strcspn(p, "/");
        if (part == 2 && p[0] == '.' && p[1] == '.')
            return false;
        p += part;
    }
    return true;
}

static int open_file(hearth_function_t **out, const char *path, bool confined,
                     const char *name, struct hearth_error *err)
{
    char *text = NULL;
    size_t bytes;
    hearth_function_t *f = start(path, err);
    *out = NULL;
    if (f == NULL)
        return HEARTH_ENOMEM;
    int rc = hearth_read_file(path, FILE_MAX, &text, &bytes, err);
    if (rc == HEARTH_OK)
        rc = hearth__function_parse(f, text, bytes, err);
    if (rc == HEARTH_OK && confined &&
        (!is_inside(f->model_path) || !is_inside(f->labels_path)))
        rc = hearth_fail(err, HEARTH_ECONFIG,
                         "%.80s: model and output.labels must lie beside the "
                         "file or below",
                         f->shown);
    if (rc == HEARTH_OK && name != NULL) {
        hearth_free(f->name);
        f->name = hearth_strdup(name);
        if (f->name == NULL)
            rc = hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", name);
    }
    if (rc == HEARTH_OK)
        rc = finish_open(f, err);
    hearth_free(text);
    if (rc != HEARTH_OK)
        hearth_function_close(&f);
    *out = f;
    return rc;
}

int hearth_function_open(hearth_function_t **function, const char *path,
                         struct hearth_error *err)
{
    return open_file(function, path, false, NULL, err);
}

int hearth_function_open_confined(hearth_function_t **function,
                                  const char *path, const char *name,
                                  struct hearth_error *err)
{
    return open_file(function, path, true, name, err);
}

void hearth_function_close(hearth_function_t **out)
{
    hearth_function_t *f = *out;
    if (f == NULL)
        return;
    for (uint32_t i = 0; f->input_names != NULL && i < f->input_count; i++)
        hearth_free(f->input_names[i]);
    hearth_free(f->input_names);
    hearth_free(f->inputs);
    hearth_free(f->chosen_name);
    hearth_free(f->name);
    hearth_free(f->version);
    hearth_free(f->path);
    hearth_free(f->directory);
    hearth_free(f->model_path);
    hearth_free(f->model_name);
    hearth_free(f->labels_path);
    hearth_free(f->output_name);
    hearth_free(f->label_bytes);
    hearth_free(f->labels);
    f->magic = 0;
    hearth_free(f);
    *out = NULL;
}

const struct hearth_function_info *
hearth_function_info(const hearth_function_t *function)
{
    HEARTH_CHECK(function, HEARTH_MAGIC_FUNCTION);
    return &function->info;
}

/* ---- bind ---- */

static int misfit(const hearth_function_t *f, struct hearth_error *err,
                  const char *what)
{
    return hearth_fail(err, HEARTH_ECONFIG, "%.80s: %s", f->shown, what);
}

/* The model's own copy of a dimension, or what the file says. */
static bool fit_dim(int64_t dim, uint32_t *mine)
{
    if (HEARTH_DIM_IS_SYMBOL(dim))
        return *mine > 0;
    if (*mine == 0 && dim > 0 && dim <= 65536)
        *mine = (uint32_t)dim;
    return *mine == dim;
}

static int bind_image(hearth_function_t *f, const hearth_model_t *model,
                      struct hearth_error *err)
{
    struct hearth_image_spec *i = &f->image;
    const struct hearth_model_port *port = &f->inputs[0];
    const int64_t *d = port->shape.dims;
    char shape[128], text[320];
    hearth_model_shape_text(model, &port->shape, shape, sizeof shape);
    if (port->shape.rank != 4 ||
        (port->dtype != HEARTH_F32 && port->dtype != HEARTH_U8)) {
        snprintf(text, sizeof text,
                 "input.kind is image, but the model takes %s %s; use json, "
                 "raw or oip",
                 hearth_dtype_name(port->dtype), shape);
        return misfit(f, err, text);
    }
    if (!f->has_layout && (d[3] == 1 || d[3] == 3) && d[1] != 1 && d[1] != 3)
        i->layout = HEARTH_LAYOUT_NHWC;
    bool first = i->layout == HEARTH_LAYOUT_NCHW;
    i->dtype = port->dtype;
    if (HEARTH_DIM_IS_SYMBOL(first ? d[1] : d[3]) && i->channels == 0)
        i->channels = 3;
    if (!fit_dim(first ? d[1] : d[3], &i->channels) ||
        (i->channels != 1 && i->channels != 3) ||
        !fit_dim(first ? d[2] : d[1], &i->height) ||
        !fit_dim(first ? d[3] : d[2], &i->width)) {
        snprintf(text, sizeof text,
                 "the model takes pictures as %s, and input.size is %ux%u, "
                 "channels %u, layout %s; make them agree",
                 shape, i->width, i->height, i->channels,
                 first ? "NCHW" : "NHWC");
        return misfit(f, err, text);
    }
    if (!HEARTH_DIM_IS_SYMBOL(d[0]) && d[0] != 1)
        return misfit(f, err,
                      "the model takes a fixed number of pictures at once, and "
                      "a request brings one; export it with batch size 1, or "
                      "a dynamic one");
    for (int c = 1; c < 3; c++) { /* one number is for every channel */
        if (f->mean_count == 1)
            i->mean[c] = i->mean[0];
        if (f->deviation_count == 1)
            i->deviation[c] = i->deviation[0];
    }
    if ((f->mean_count == 3 || f->deviation_count == 3) && i->channels == 1)
        return misfit(f, err,
                      "input.mean or input.deviation has three numbers, and "
                      "the picture one channel; give one number");
    return HEARTH_OK;
}

static bool ends_in_softmax(const hearth_model_t *model, uint32_t output)
{
    const struct hearth_graph *g = hearth_model_graph(model);
    const struct hearth_graph_value *v =
        hearth_graph_value(g, hearth_graph_outputs(g)[output]);
    return v->kind == HEARTH_VALUE_ACTIVATION &&
           hearth_graph_node(g, v->producer)->op == HEARTH_OP_SOFTMAX;
}

static int bind_output(hearth_function_t *f, const hearth_model_t *model,
                       struct hearth_error *err)
{
    struct hearth_model_port port;
    char text[200];
    if (f->output_name != NULL)
        f->output = hearth_model_find_output(model, f->output_name);
    if (!hearth_model_output(model, f->output, &port)) {
        snprintf(text, sizeof text,
                 "output.name is '%.60s', which the model does not have; see "
                 "hearth inspect",
                 f->output_name != NULL ? f->output_name : "");
        return misfit(f, err, text);
    }
    f->chosen_name = hearth_strdup(port.name);
    if (f->chosen_name == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again");
    f->batched = hearth_model_graph(model)->batch_axis0 != 0;
    if (f->info.output != HEARTH_KIND_LABELS)
        return HEARTH_OK;
    if (port.dtype != HEARTH_F32 || port.shape.rank == 0) {
        snprintf(text, sizeof text,
                 "output.kind is labels, but output '%.60s' is %s; use json",
                 port.name, hearth_dtype_name(port.dtype));
        return misfit(f, err, text);
    }
    int64_t classes = port.shape.rank > 0 ? port.shape.dims[port.shape.rank - 1]
                                          : HEARTH_DIM_SYMBOL(0);
    if (f->label_count > 0 && !HEARTH_DIM_IS_SYMBOL(classes) &&
        classes != f->label_count) {
        snprintf(text, sizeof text,
                 "output.labels has %u labels, and the model %lld classes; "
                 "give each class a line",
                 f->label_count, (long long)classes);
        return misfit(f, err, text);
    }
    if (f->softmax == HEARTH__OPEN)
        f->softmax =
            ends_in_softmax(model, f->output) ? HEARTH__NO : HEARTH__YES;
    return HEARTH_OK;
}

/* Copies the signature, so that the function outlives the model. */
static bool copy_inputs(hearth_function_t *f, const hearth_model_t *model)
{
    struct hearth_model_port port;
    uint32_t count = 0;
    while (hearth_model_input(model, count, &port))
        count++;
    f->inputs = hearth_calloc((size_t)count + 1, sizeof *f->inputs);
    f->input_names = hearth_calloc((size_t)count + 1, sizeof *f->input_names);
    if (f->inputs == NULL || f->input_names == NULL)
        return false;
    for (; f->input_count < count; f->input_count++) {
        struct hearth_model_port *p = &f->inputs[f->input_count];
        (void)hearth_model_input(model, f->input_count, p);
        p->name = f->input_names[f->input_count] = hearth_strdup(p->name);
        if (p->name == NULL)
            return false;
    }
    return true;
}

int hearth_function_bind(hearth_function_t *f, const hearth_model_t *model,
                         struct hearth_error *err)
{
    HEARTH_CHECK(f, HEARTH_MAGIC_FUNCTION);
    HEARTH_ASSERT(!f->bound);
    if (!copy_inputs(f, model))
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again");
    if (f->info.input != HEARTH_KIND_OIP && f->input_count != 1) {
        char text[160];
        snprintf(text, sizeof text,
                 "the model has %u inputs, and input.kind is %s, which brings "
                 "one; use oip",
                 f->input_count, hearth_function_kind_name(f->info.input));
        return misfit(f, err, text);
    }
    int rc = HEARTH_OK;
    if (f->info.input == HEARTH_KIND_IMAGE)
        rc = bind_image(f, model, err);
    if (rc == HEARTH_OK)
        rc = bind_output(f, model, err);
    f->bound = rc == HEARTH_OK;
    return rc;
}
