/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c: a body to the model's inputs, the model's outputs to an answer. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "function/function_priv.h"

static int no_memory(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ENOMEM,
                       "no memory for the request now; try again later");
}

/* Adds a tensor and drops the caller's reference. */
static int add(struct hearth_tensor_list *list, const char *name,
               enum hearth_dtype dtype, const struct hearth_shape *shape,
               hearth_buffer_t *buffer, struct hearth_error *err)
{
    int rc = hearth_tensor_list_add(list, name, dtype, shape, buffer, 0);
    hearth_buffer_unref(buffer);
    return rc == 0 ? HEARTH_OK : no_memory(err);
}

/* ---- decode ---- */

static struct hearth_shape image_shape(const struct hearth_image_spec *i)
{
    struct hearth_shape s = {.rank = 4, .dims = {1}};
    bool first = i->layout == HEARTH_LAYOUT_NCHW;
    s.dims[1] = first ? i->channels : i->height;
    s.dims[2] = first ? i->height : i->width;
    s.dims[3] = first ? i->width : i->channels;
    return s;
}

static int decode_image(const hearth_function_t *f, const void *data,
                        uint64_t bytes, struct hearth_budget *budget,
                        struct hearth_tensor_list *inputs,
                        struct hearth_error *err)
{
    struct hearth_shape shape = image_shape(&f->image);
    hearth_buffer_t *buffer;
    uint64_t need;
    if (!hearth_shape_bytes(&shape, f->image.dtype, &need) ||
        hearth_buffer_create(need, budget, &buffer) != 0)
        return no_memory(err);
    int rc = hearth_image_decode(&f->image, data, bytes, budget,
                                 hearth_buffer_data(buffer), err);
    if (rc != HEARTH_OK) {
        hearth_buffer_unref(buffer);
        return rc;
    }
    return add(inputs, f->inputs[0].name, f->image.dtype, &shape, buffer, err);
}

static int decode_json(const hearth_function_t *f, const char *text,
                       uint64_t bytes, struct hearth_budget *budget,
                       struct hearth_tensor_list *inputs,
                       struct hearth_error *err)
{
    const struct hearth_model_port *port = &f->inputs[0];
    struct hearth_shape shape;
    hearth_buffer_t *buffer;
    const char *end;
    int rc = hearth_json_tensor_read(text, bytes, port->dtype, budget, &buffer,
                                     &shape, &end, err);
    if (rc != HEARTH_OK)
        return rc;
    while (end < text + bytes && strchr(" \t\r\n", *end) != NULL &&
           *end != '\0')
        end++;
    if (end < text + bytes) {
        hearth_buffer_unref(buffer);
        return hearth_fail(err, HEARTH_EPROTO,
                           "JSON, byte %llu: something follows the array",
                           (unsigned long long)(end - text));
    }
    /* One item may come without the batch's brackets. */
    if (port->shape.rank >= 1 && shape.rank == port->shape.rank - 1) {
        memmove(&shape.dims[1], &shape.dims[0],
                (size_t)shape.rank * sizeof shape.dims[0]);
        shape.dims[0] = 1;
        shape.rank++;
    }
    return add(inputs, port->name, port->dtype, &shape, buffer, err);
}

/* The one size that the body tells; all others the model knows. */
static int raw_shape(const struct hearth_model_port *port, uint64_t bytes,
                     struct hearth_shape *shape, struct hearth_error *err)
{
    int unknown = -1;
    uint64_t item;
    char text[160];
    *shape = port->shape;
    for (int i = 0; i < shape->rank; i++) {
        if (!HEARTH_DIM_IS_SYMBOL(shape->dims[i]))
            continue;
        if (unknown >= 0)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "raw bytes do not tell a shape of several "
                               "unknown sizes; send them as oip");
        unknown = i;
        shape->dims[i] = 1;
    }
    bool ok = hearth_shape_bytes(shape, port->dtype, &item) && item > 0;
    if (ok && unknown >= 0) {
        shape->dims[unknown] = (int64_t)(bytes / item);
        ok = bytes % item == 0 && bytes > 0;
    } else if (ok) {
        ok = bytes == item;
    }
    if (ok)
        return HEARTH_OK;
    return hearth_fail(
        err, HEARTH_ESHAPE, "%llu bytes are no %s %s; send %s%llu",
        (unsigned long long)bytes, hearth_dtype_name(port->dtype),
        hearth_shape_text(&port->shape, text, sizeof text),
        unknown >= 0 ? "a multiple of " : "", (unsigned long long)item);
}

static int decode_raw(const hearth_function_t *f, hearth_buffer_t *body,
                      uint64_t bytes, struct hearth_budget *budget,
                      struct hearth_tensor_list *inputs,
                      struct hearth_error *err)
{
    const struct hearth_model_port *port = &f->inputs[0];
    struct hearth_shape shape;
    hearth_buffer_t *buffer;
    int rc = raw_shape(port, bytes, &shape, err);
    if (rc != HEARTH_OK)
        return rc;
    if ((uintptr_t)hearth_buffer_data(body) % hearth_dtype_bytes(port->dtype) ==
        0)
        return add(inputs, port->name, port->dtype, &shape,
                   hearth_buffer_ref(body), err);
    if (hearth_buffer_create(bytes, budget, &buffer) != 0)
        return no_memory(err);
    memcpy(hearth_buffer_data(buffer), hearth_buffer_data(body), bytes);
    return add(inputs, port->name, port->dtype, &shape, buffer, err);
}

static int decode_oip(const hearth_function_t *f, hearth_buffer_t *body,
                      uint64_t bytes, uint64_t json_bytes,
                      struct hearth_budget *budget,
                      struct hearth_function_context *context,
                      struct hearth_tensor_list *inputs,
                      struct hearth_error *err)
{
    context->speaks_oip = true;
    if (json_bytes != HEARTH_OIP_RAW)
        return hearth_oip_read(body, bytes, json_bytes, budget, &context->oip,
                               inputs, err);
    context->oip.binary_default = true;
    if (f->input_count == 1)
        return decode_raw(f, body, bytes, budget, inputs, err);
    return hearth_fail(err, HEARTH_EINVAL,
                       "Raw request must only have 1 input (found 1) to be "
                       "deduced but got %u inputs in '%.60s' model "
                       "configuration",
                       f->input_count, f->name);
}

/* A picture sent to a function that takes numbers is a mistake that the numbers
 * would explain badly. */
static int check_type(const hearth_function_t *f,
                      enum hearth_function_kind kind, const char *content_type,
                      struct hearth_error *err)
{
    if (content_type == NULL || kind == HEARTH_KIND_IMAGE ||
        kind == HEARTH_KIND_RAW || strncasecmp(content_type, "image/", 6) != 0)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_EMEDIA,
                       "this function takes %s, not %.60s; see input.kind in "
                       "its hearth.yaml",
                       hearth_function_kind_name(f->info.input), content_type);
}

int hearth_function_decode(const hearth_function_t *f, const char *content_type,
                           hearth_buffer_t *body, uint64_t bytes,
                           uint64_t oip_json_bytes,
                           struct hearth_budget *budget,
                           struct hearth_function_context *context,
                           struct hearth_tensor_list *inputs,
                           struct hearth_error *err)
{
    HEARTH_CHECK(f, HEARTH_MAGIC_FUNCTION);
    HEARTH_ASSERT(f->bound);
    enum hearth_function_kind kind =
        context->as_oip ? HEARTH_KIND_OIP : f->info.input;
    context->batch = 1;
    int rc = check_type(f, kind, content_type, err);
    if (rc != HEARTH_OK)
        return rc;
    if (bytes == 0 || body == NULL)
        return hearth_fail(err, HEARTH_EINVAL, "the body is empty; send %s%s",
                           f->info.input == HEARTH_KIND_IMAGE ? "an " : "",
                           hearth_function_kind_name(f->info.input));
    switch (kind) {
    case HEARTH_KIND_IMAGE:
        rc = decode_image(f, hearth_buffer_data(body), bytes, budget, inputs,
                          err);
        break;
    case HEARTH_KIND_RAW:
        rc = decode_raw(f, body, bytes, budget, inputs, err);
        break;
    case HEARTH_KIND_OIP:
        rc = decode_oip(f, body, bytes, oip_json_bytes, budget, context, inputs,
                        err);
        break;
    default:
        rc = decode_json(f, hearth_buffer_data(body), bytes, budget, inputs,
                         err);
    }
    if (rc == HEARTH_OK)
        rc = hearth__function_check(f, inputs, context, err);
    if (rc != HEARTH_OK) {
        hearth_tensor_list_clear(inputs);
        hearth_function_context_clear(context);
    }
    return rc;
}

void hearth_function_context_clear(struct hearth_function_context *context)
{
    hearth_oip_request_clear(&context->oip);
}

int hearth_function_zeros(const hearth_function_t *f,
                          struct hearth_budget *budget,
                          struct hearth_tensor_list *inputs,
                          struct hearth_error *err)
{
    HEARTH_ASSERT(f->bound);
    for (uint32_t k = 0; k < f->input_count; k++) {
        const struct hearth_model_port *port = &f->inputs[k];
        struct hearth_shape shape = port->shape;
        hearth_buffer_t *buffer;
        uint64_t bytes;
        if (f->info.input == HEARTH_KIND_IMAGE)
            shape = image_shape(&f->image);
        if (shape.rank < 0)
            shape.rank = 0;
        for (int i = 0; i < shape.rank; i++)
            if (HEARTH_DIM_IS_SYMBOL(shape.dims[i]))
                shape.dims[i] = 1;
        if (!hearth_shape_bytes(&shape, port->dtype, &bytes) ||
            hearth_buffer_create(bytes, budget, &buffer) != 0) {
            hearth_tensor_list_clear(inputs);
            return no_memory(err);
        }
        memset(hearth_buffer_data(buffer), 0, bytes);
        int rc = add(inputs, port->name, port->dtype, &shape, buffer, err);
        if (rc != HEARTH_OK) {
            hearth_tensor_list_clear(inputs);
            return rc;
        }
    }
    return HEARTH_OK;
}

/* ---- encode ---- */

/* Probabilities of the <count> classes of a row, for those that are shown. */
static void to_probabilities(const float *row, uint32_t count,
                             struct hearth_ranked *best, uint32_t k)
{
    double sum = 0, largest = (double)best[0].value;
    for (uint32_t i = 0; i < count; i++)
        sum += exp((double)row[i] - largest);
    for (uint32_t i = 0; i < k; i++)
        best[i].value = (float)(exp((double)best[i].value - largest) / sum);
}

static void put_row(const hearth_function_t *f, struct hearth_text *text,
                    const float *row, uint32_t count,
                    struct hearth_ranked *best)
{
    uint32_t k = hearth_top_k(row, count, best, f->top);
    if (f->softmax == HEARTH__YES && k > 0)
        to_probabilities(row, count, best, k);
    hearth_text_puts(text, "[");
    for (uint32_t i = 0; i < k; i++) {
        char number[16];
        snprintf(number, sizeof number, "%u", best[i].index);
        hearth_text_puts(text, i > 0 ? ",{\"label\":" : "{\"label\":");
        hearth_text_put_json(text, best[i].index < f->label_count
                                       ? f->labels[best[i].index]
                                       : number);
        hearth_text_puts(text, ",\"probability\":");
        hearth_text_put_float(text, best[i].value);
        hearth_text_puts(text, "}");
    }
    hearth_text_puts(text, "]");
}

static int encode_labels(const hearth_function_t *f,
                         const struct hearth_tensor *tensor,
                         struct hearth_text *text, struct hearth_error *err)
{
    const struct hearth_shape *s = &tensor->shape;
    int64_t count, classes = s->rank > 0 ? s->dims[s->rank - 1] : 0;
    if (tensor->dtype != HEARTH_F32 || classes < 1 || classes > UINT32_MAX ||
        !hearth_shape_count(s, &count))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the model's answer has no classes; use "
                           "output.kind: json");
    struct hearth_ranked *best = hearth_calloc(f->top, sizeof *best);
    if (best == NULL)
        return no_memory(err);
    const float *row = hearth_tensor_view(tensor).data;
    int64_t rows = count / classes;
    hearth_text_puts(text, "{\"predictions\":");
    if (rows != 1)
        hearth_text_puts(text, "[");
    for (int64_t r = 0; r < rows; r++, row += classes) {
        if (r > 0)
            hearth_text_puts(text, ",");
        put_row(f, text, row, (uint32_t)classes, best);
    }
    hearth_text_puts(text, rows != 1 ? "]}" : "}");
    hearth_free(best);
    return HEARTH_OK;
}

/* One output as its numbers, several as an object of them. */
static void encode_json(const struct hearth_tensor_list *outputs,
                        const struct hearth_tensor *chosen,
                        struct hearth_text *text)
{
    if (chosen != NULL) {
        hearth_text_put_tensor(text, chosen, false);
        return;
    }
    for (uint32_t i = 0; i < outputs->count; i++) {
        hearth_text_puts(text, i > 0 ? "," : "{");
        hearth_text_put_json(text, outputs->items[i].name);
        hearth_text_puts(text, ":");
        hearth_text_put_tensor(text, &outputs->items[i], false);
    }
    hearth_text_puts(text, "}");
}

static int encode_raw(const struct hearth_tensor *tensor,
                      struct hearth_function_answer *answer,
                      struct hearth_error *err)
{
    uint64_t bytes = 0;
    (void)hearth_shape_bytes(&tensor->shape, tensor->dtype, &bytes);
    answer->content_type = "application/octet-stream";
    return hearth_buffer_slice(tensor->buffer, tensor->offset, bytes,
                               &answer->body) == 0
               ? HEARTH_OK
               : no_memory(err);
}

int hearth_function_encode(const hearth_function_t *f,
                           const struct hearth_function_context *context,
                           const struct hearth_tensor_list *outputs,
                           struct hearth_budget *budget,
                           struct hearth_function_answer *answer,
                           struct hearth_error *err)
{
    HEARTH_CHECK(f, HEARTH_MAGIC_FUNCTION);
    const struct hearth_tensor *chosen =
        hearth_tensor_list_find(outputs, f->chosen_name);
    struct hearth_text text = {.budget = budget};
    int rc = HEARTH_OK;
    *answer =
        (struct hearth_function_answer){.content_type = "application/json"};
    if (chosen == NULL)
        return hearth_fail(err, HEARTH_EBUG, "output '%.60s' did not come",
                           f->chosen_name);
    if (context->as_oip || f->info.output == HEARTH_KIND_OIP) {
        rc = hearth_oip_write(f->name, f->info.version, &context->oip, outputs,
                              f->labels, f->label_count, budget, &answer->body,
                              &answer->oip_json_bytes, err);
        if (answer->oip_json_bytes > 0)
            answer->content_type = "application/octet-stream";
        return rc;
    }
    if (f->info.output == HEARTH_KIND_RAW)
        return encode_raw(chosen, answer, err);
    if (f->info.output == HEARTH_KIND_LABELS)
        rc = encode_labels(f, chosen, &text, err);
    else
        encode_json(outputs,
                    f->output_name != NULL || outputs->count == 1 ? chosen
                                                                  : NULL,
                    &text);
    if (rc != HEARTH_OK) {
        hearth_text_clear(&text);
        return rc;
    }
    hearth_text_puts(&text, "\n");
    return hearth_text_finish(&text, &answer->body) == HEARTH_OK
               ? HEARTH_OK
               : no_memory(err);
}

/* ---- Failures ---- */

static bool speaks_oip(const hearth_function_t *f,
                       const struct hearth_function_context *context)
{
    return context->as_oip || f->info.output == HEARTH_KIND_OIP ||
           f->info.input == HEARTH_KIND_OIP;
}

const char *
hearth_function_error_type(const hearth_function_t *function,
                           const struct hearth_function_context *context)
{
    return speaks_oip(function, context) ? "application/json" : "text/plain";
}

int hearth_function_error_body(const hearth_function_t *function,
                               const struct hearth_function_context *context,
                               const char *message, hearth_buffer_t **body)
{
    struct hearth_text text = {.budget = NULL};
    if (speaks_oip(function, context)) {
        hearth_text_puts(&text, "{\"error\":");
        hearth_text_put_json(&text, message);
        hearth_text_puts(&text, "}");
    } else {
        hearth_text_puts(&text, message);
        hearth_text_puts(&text, "\n");
    }
    return hearth_text_finish(&text, body);
}
