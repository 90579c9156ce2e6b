/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oip_write.c: an answer of the Open Inference Protocol v2: the JSON, then the
 * bytes of those outputs that were asked for in binary, in the JSON's order.
 */
#include <inttypes.h>
#include <string.h>

#include "codec/codec_priv.h"

struct part { /* one output of the answer */
    const struct hearth_tensor *tensor;
    bool binary;
    uint32_t classes;
};

/* ---- The classification extension: "value:index:label" ---- */

static void put_class(struct hearth_text *text, const struct hearth_ranked *c,
                      const char *const *labels, uint32_t label_count)
{
    char value[64];
    snprintf(value, sizeof value, "%f:%" PRIu32, (double)c->value, c->index);
    hearth_text_puts(text, value);
    if (c->index < label_count) {
        hearth_text_put(text, ":", 1);
        hearth_text_puts(text, labels[c->index]);
    }
}

/* Rows of the last axis, each with its <k> best: as JSON strings or as bytes
 * with their length before them. */
static int put_classes(struct hearth_text *text, const struct part *part,
                       const char *const *labels, uint32_t label_count,
                       bool binary, struct hearth_error *err)
{
    const struct hearth_shape *s = &part->tensor->shape;
    const float *values = hearth_tensor_view(part->tensor).data;
    uint32_t n = (uint32_t)s->dims[s->rank - 1];
    int64_t count;
    (void)hearth_shape_count(s, &count);
    struct hearth_ranked *best = hearth_calloc(part->classes + 1, sizeof *best);
    if (best == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again later");
    for (int64_t row = 0; n > 0 && row < count / n; row++) {
        uint32_t k = hearth_top_k(values + row * n, n, best, part->classes);
        for (uint32_t i = 0; i < k; i++) {
            struct hearth_text one = {.budget = text->budget};
            put_class(&one, &best[i], labels, label_count);
            hearth_text_put(&one, "", 1);
            uint32_t length = (uint32_t)one.bytes - 1;
            if (binary)
                hearth_text_put(text, &length, sizeof length);
            if (binary && !one.failed)
                hearth_text_put(text, one.data, length);
            if (!binary && row + i > 0)
                hearth_text_put(text, ",", 1);
            if (!binary && !one.failed)
                hearth_text_put_json(text, one.data);
            text->failed |= one.failed;
            hearth_text_clear(&one);
        }
    }
    hearth_free(best);
    return HEARTH_OK;
}

/* ---- One output ---- */

static int check_part(struct part *part, struct hearth_error *err)
{
    const struct hearth_tensor *t = part->tensor;
    const struct hearth_shape *s = &t->shape;
    if (hearth_dtype_oip(t->dtype) == NULL)
        return hearth_fail(err, HEARTH_ETYPE,
                           "output '%.60s' is %s, which the protocol does not "
                           "know",
                           t->name, hearth_dtype_name(t->dtype));
    if (part->classes > 0) {
        if (t->dtype != HEARTH_F32 || s->rank < 1 ||
            s->dims[s->rank - 1] > UINT32_MAX)
            return hearth_fail(err, HEARTH_EINVAL,
                               "output '%.60s' cannot be classified: it is %s",
                               t->name, hearth_dtype_name(t->dtype));
        if (part->classes > s->dims[s->rank - 1])
            part->classes = (uint32_t)s->dims[s->rank - 1];
    } else if (!part->binary &&
               (t->dtype == HEARTH_F16 || t->dtype == HEARTH_BF16)) {
        return hearth_fail(err, HEARTH_ETYPE,
                           "sending %s data via JSON is not supported. Please "
                           "use the binary data format for output '%.60s'",
                           hearth_dtype_oip(t->dtype), t->name);
    }
    return HEARTH_OK;
}

static void put_shape(struct hearth_text *text, const struct part *part)
{
    const struct hearth_shape *s = &part->tensor->shape;
    hearth_text_puts(text, "\"shape\":[");
    for (int i = 0; i < s->rank; i++) {
        bool last = i == s->rank - 1;
        if (i > 0)
            hearth_text_put(text, ",", 1);
        hearth_text_put_int(text, last && part->classes > 0 ? part->classes
                                                            : s->dims[i]);
    }
    hearth_text_puts(text, "]");
}

/* The JSON of one output; what goes behind is added to <binary>. */
static int put_part(struct hearth_text *text, struct hearth_text *binary,
                    const struct part *part, const char *const *labels,
                    uint32_t label_count, struct hearth_error *err)
{
    const struct hearth_tensor *t = part->tensor;
    uint64_t before = binary->bytes, bytes = 0;
    int rc = HEARTH_OK;
    hearth_text_puts(text, "{\"name\":");
    hearth_text_put_json(text, t->name);
    hearth_text_puts(text, ",\"datatype\":\"");
    hearth_text_puts(text,
                     part->classes > 0 ? "BYTES" : hearth_dtype_oip(t->dtype));
    hearth_text_puts(text, "\",");
    put_shape(text, part);
    if (part->binary) {
        (void)hearth_shape_bytes(&t->shape, t->dtype, &bytes);
        if (part->classes > 0)
            rc = put_classes(binary, part, labels, label_count, true, err);
        else
            hearth_text_put(binary, hearth_tensor_view(t).data, bytes);
        hearth_text_puts(text, ",\"parameters\":{\"binary_data_size\":");
        hearth_text_put_int(text, (int64_t)(binary->bytes - before));
        hearth_text_puts(text, "}}");
        return rc;
    }
    hearth_text_puts(text, ",\"data\":");
    if (part->classes > 0) {
        hearth_text_puts(text, "[");
        rc = put_classes(text, part, labels, label_count, false, err);
        hearth_text_puts(text, "]");
    } else {
        hearth_text_put_tensor(text, t, true);
    }
    hearth_text_puts(text, "}");
    return rc;
}

/* ---- The answer ---- */

/* The <i>-th output that is wanted; HEARTH_EINVAL: there is no such. */
static int find_part(const struct hearth_oip_request *request,
                     const struct hearth_tensor_list *outputs, uint32_t i,
                     struct part *part, struct hearth_error *err)
{
    *part = (struct part){.binary = request->binary_default};
    if (request->output_count == 0) {
        part->tensor = &outputs->items[i];
        return HEARTH_OK;
    }
    const struct hearth_oip_output *o = &request->outputs[i];
    part->tensor = hearth_tensor_list_find(outputs, o->name);
    part->binary = o->binary;
    part->classes = o->classification;
    if (part->tensor == NULL)
        return hearth_fail(err, HEARTH_EINVAL,
                           "unexpected inference output '%.60s'", o->name);
    return HEARTH_OK;
}

int hearth_oip_write(const char *model, const char *version,
                     const struct hearth_oip_request *request,
                     const struct hearth_tensor_list *outputs,
                     const char *const *labels, uint32_t label_count,
                     struct hearth_budget *budget, hearth_buffer_t **body,
                     uint64_t *json_bytes, struct hearth_error *err)
{
    struct hearth_text text = {.budget = budget}, binary = {.budget = budget};
    uint32_t count =
        request->output_count > 0 ? request->output_count : outputs->count;
    int rc = HEARTH_OK;
    *body = NULL;
    hearth_text_puts(&text, "{");
    if (request->id != NULL && request->id[0] != '\0') {
        hearth_text_puts(&text, "\"id\":");
        hearth_text_put_json(&text, request->id);
        hearth_text_puts(&text, ",");
    }
    hearth_text_puts(&text, "\"model_name\":");
    hearth_text_put_json(&text, model);
    hearth_text_puts(&text, ",\"model_version\":");
    hearth_text_put_json(&text, version);
    hearth_text_puts(&text, ",\"outputs\":[");
    for (uint32_t i = 0; rc == HEARTH_OK && i < count; i++) {
        struct part part;
        rc = find_part(request, outputs, i, &part, err);
        if (rc == HEARTH_OK)
            rc = check_part(&part, err);
        if (i > 0)
            hearth_text_put(&text, ",", 1);
        if (rc == HEARTH_OK)
            rc = put_part(&text, &binary, &part, labels, label_count, err);
    }
    hearth_text_puts(&text, "]}");
    *json_bytes = binary.bytes > 0 ? text.bytes : 0;
    hearth_text_put(&text, binary.data, binary.bytes);
    text.failed |= binary.failed;
    hearth_text_clear(&binary);
    if (rc != HEARTH_OK) {
        hearth_text_clear(&text);
        return rc;
    }
    if (hearth_text_finish(&text, body) != HEARTH_OK)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory for the answer; try again later");
    return HEARTH_OK;
}
