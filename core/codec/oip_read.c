/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oip_read.c: a request of the Open Inference Protocol v2. The JSON is read
 * twice: first a scan that knows only strings and brackets copies it without
 * its "data" arrays, each replaced by where it lies; then Jansson reads what is
 * left, which is small, and the arrays go to the reader of numbers. Error texts
 * are Triton's where it has one.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec_priv.h"

#define DEPTH_MAX 100 /* Triton's */
#define ENVELOPE_MAX (UINT64_C(1) << 20)
#define INPUTS_MAX 256

/* ---- The scan ---- */

struct scan {
    const char *start, *p, *end;
    struct hearth_text envelope;
    const char *copied; /* up to here it is in the envelope */
    struct hearth_error *err;
};

static int scan_fail(const struct scan *s, const char *what)
{
    return hearth_fail(s->err, HEARTH_EPROTO,
                       "failed to parse the request JSON buffer: %s at %llu",
                       what, (unsigned long long)(s->p - s->start));
}

static int skip_string(struct scan *s)
{
    for (s->p++; s->p < s->end; s->p++) {
        if (*s->p == '\\')
            s->p++;
        else if (*s->p == '"') {
            s->p++;
            return HEARTH_OK;
        }
    }
    s->p = s->end;
    return scan_fail(s, "Missing a closing quotation mark in string");
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && strchr(" \t\r\n", *s->p) != NULL && *s->p != '\0')
        s->p++;
}

/* At '[': to behind its ']'. */
static int skip_array(struct scan *s)
{
    int depth = 0;
    while (s->p < s->end) {
        char c = *s->p;
        if (c == '"') {
            int rc = skip_string(s);
            if (rc != HEARTH_OK)
                return rc;
            continue;
        }
        s->p++;
        if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && --depth == 0)
            return HEARTH_OK;
        if (depth > DEPTH_MAX)
            return scan_fail(s, "too many levels");
    }
    return scan_fail(s, "Missing a comma or ] after an array element.");
}

/* Behind the key "data" of an object: its array is left out. */
static int cut_data(struct scan *s)
{
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return HEARTH_OK; /* a value that says "data" */
    s->p++;
    skip_space(s);
    if (s->p == s->end || *s->p != '[')
        return scan_fail(s, "'data' must be an array");
    const char *array = s->p;
    hearth_text_put(&s->envelope, s->copied, (uint64_t)(array - s->copied));
    /* Blanks keep digits that follow the array from becoming its place. */
    hearth_text_puts(&s->envelope, " ");
    hearth_text_put_int(&s->envelope, array - s->start);
    hearth_text_puts(&s->envelope, " ");
    int rc = skip_array(s);
    s->copied = s->p;
    return rc;
}

static int make_envelope(struct scan *s)
{
    int depth = 0, rc = HEARTH_OK;
    while (rc == HEARTH_OK && s->p < s->end) {
        char c = *s->p;
        if (c == '"') {
            const char *key = s->p + 1;
            rc = skip_string(s);
            if (rc == HEARTH_OK && s->p - key == 5 &&
                memcmp(key, "data", 4) == 0)
                rc = cut_data(s);
            continue;
        }
        depth += c == '[' || c == '{';
        depth -= c == ']' || c == '}';
        if (depth > DEPTH_MAX)
            return scan_fail(s, "too many levels");
        s->p++;
    }
    if (rc != HEARTH_OK)
        return rc;
    hearth_text_put(&s->envelope, s->copied, (uint64_t)(s->end - s->copied));
    if (s->envelope.failed)
        return hearth_fail(s->err, HEARTH_ENOMEM,
                           "no memory for the request; try again later");
    if (s->envelope.bytes > ENVELOPE_MAX)
        return hearth_fail(s->err, HEARTH_ETOOBIG,
                           "the request's JSON has more than 1 MiB beside its "
                           "data; send less");
    return HEARTH_OK;
}

/* ---- Inputs ---- */

struct reading {
    hearth_buffer_t *body;
    const char *text; /* of the JSON */
    uint64_t json_bytes, bytes;
    uint64_t binary_at; /* where the next binary part begins */
    struct hearth_budget *budget;
    struct hearth_tensor_list *inputs;
    struct hearth_error *err;
};

static const char *string_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int read_shape(struct reading *r, const json_t *input, const char *name,
                      struct hearth_shape *shape)
{
    const json_t *array = json_object_get(input, "shape");
    size_t rank = json_array_size(array);
    if (!json_is_array(array) || rank > HEARTH_RANK_MAX)
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "input '%.60s': 'shape' must be an array of at most "
                           "%d numbers",
                           name, HEARTH_RANK_MAX);
    shape->rank = (int32_t)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(array, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return hearth_fail(r->err, HEARTH_EPROTO,
                               "input '%.60s': 'shape' must hold numbers that "
                               "are not negative",
                               name);
        shape->dims[i] = json_integer_value(dim);
    }
    return HEARTH_OK;
}

static int wrong_size(struct reading *r, const char *name, uint64_t got,
                      uint64_t want, const char *what)
{
    return hearth_fail(r->err, HEARTH_ESHAPE,
                       "input byte size mismatch for input '%.60s': unexpected "
                       "total %s %llu for its shape, expecting %llu",
                       name, what, (unsigned long long)got,
                       (unsigned long long)want);
}

/* The next <size> bytes behind the JSON; copied only when they lie askew. */
static int read_binary(struct reading *r, const char *name,
                       enum hearth_dtype dtype,
                       const struct hearth_shape *shape, const json_t *size)
{
    uint64_t want, have = (uint64_t)json_integer_value(size);
    hearth_buffer_t *buffer;
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "input '%.60s': 'binary_data_size' must be a number "
                           "of bytes",
                           name);
    if (!hearth_shape_bytes(shape, dtype, &want) || want != have)
        return wrong_size(r, name, have, want, "byte size");
    if (have > r->bytes - r->binary_at)
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "unexpected end of the request body: input '%.60s' "
                           "needs %llu bytes, %llu are left",
                           name, (unsigned long long)have,
                           (unsigned long long)(r->bytes - r->binary_at));
    const char *data = (const char *)hearth_buffer_data(r->body) + r->binary_at;
    int rc;
    if ((uintptr_t)data % hearth_dtype_bytes(dtype) == 0) {
        rc = hearth_tensor_list_add(r->inputs, name, dtype, shape, r->body,
                                    r->binary_at);
    } else {
        rc = hearth_buffer_create(have, r->budget, &buffer);
        if (rc == 0) {
            memcpy(hearth_buffer_data(buffer), data, have);
            rc = hearth_tensor_list_add(r->inputs, name, dtype, shape, buffer,
                                        0);
            hearth_buffer_unref(buffer);
        }
    }
    r->binary_at += have;
    return rc == 0 ? HEARTH_OK
                   : hearth_fail(r->err, rc,
                                 "no memory for input '%.60s'; try again later",
                                 name);
}

static int read_data(struct reading *r, const char *name,
                     enum hearth_dtype dtype, const struct hearth_shape *shape,
                     uint64_t at)
{
    struct hearth_shape nested;
    hearth_buffer_t *buffer;
    const char *end;
    int64_t want, have;
    if (dtype == HEARTH_F16 || dtype == HEARTH_BF16)
        return hearth_fail(
            r->err, HEARTH_ETYPE,
            "receiving %s data via JSON is not supported. Please use the "
            "binary data format for input '%.60s'",
            hearth_dtype_oip(dtype), name);
    int rc = hearth_json_tensor_read(r->text + at, r->json_bytes - at, dtype,
                                     r->budget, &buffer, &nested, &end, r->err);
    if (rc != HEARTH_OK) {
        hearth_fail_prefix(r->err, "input '%.60s'", name);
        return rc;
    }
    if (!hearth_shape_count(shape, &want) ||
        !hearth_shape_count(&nested, &have) || want != have) {
        hearth_buffer_unref(buffer);
        return wrong_size(r, name, (uint64_t)have, (uint64_t)want,
                          "number of elements");
    }
    rc = hearth_tensor_list_add(r->inputs, name, dtype, shape, buffer, 0);
    hearth_buffer_unref(buffer);
    return rc == 0 ? HEARTH_OK
                   : hearth_fail(r->err, rc,
                                 "no memory for input '%.60s'; try again later",
                                 name);
}

static int read_input(struct reading *r, const json_t *input)
{
    const char *name = string_of(input, "name");
    const char *type = string_of(input, "datatype");
    const json_t *data = json_object_get(input, "data");
    const json_t *size = json_object_get(json_object_get(input, "parameters"),
                                         "binary_data_size");
    struct hearth_shape shape;
    if (name == NULL || type == NULL)
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "Unable to parse 'inputs': each needs a 'name' and "
                           "a 'datatype'");
    enum hearth_dtype dtype = hearth_dtype_parse(type);
    if (hearth_dtype_oip(dtype) == NULL || hearth_dtype_bytes(dtype) == 0)
        return hearth_fail(r->err, HEARTH_ETYPE,
                           "input '%.60s': datatype '%.40s' is not supported",
                           name, type);
    if (hearth_tensor_list_find(r->inputs, name) != NULL)
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "input '%.60s' already exists in request", name);
    int rc = read_shape(r, input, name, &shape);
    if (rc != HEARTH_OK)
        return rc;
    if ((data != NULL) == (size != NULL))
        return hearth_fail(
            r->err, HEARTH_EPROTO,
            "Input must set only one of the following fields: 'data', "
            "'binary_data_size' in 'parameters'. But %s",
            data != NULL ? "both are set" : "no field is set");
    if (size != NULL)
        return read_binary(r, name, dtype, &shape, size);
    /* The scan took arrays only, and left their places. */
    return read_data(r, name, dtype, &shape,
                     (uint64_t)json_integer_value(data));
}

static int read_inputs(struct reading *r, const json_t *root)
{
    const json_t *inputs = json_object_get(root, "inputs");
    size_t i;
    json_t *input;
    if (!json_is_array(inputs))
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "Unable to parse 'inputs': an array was expected");
    if (json_array_size(inputs) > INPUTS_MAX)
        return hearth_fail(r->err, HEARTH_ETOOBIG,
                           "a request has at most %d inputs", INPUTS_MAX);
    json_array_foreach(inputs, i, input)
    {
        int rc = read_input(r, input);
        if (rc != HEARTH_OK)
            return rc;
    }
    if (r->binary_at != r->bytes)
        return hearth_fail(r->err, HEARTH_EPROTO,
                           "unexpected additional input data: %llu bytes are "
                           "left over",
                           (unsigned long long)(r->bytes - r->binary_at));
    return HEARTH_OK;
}

/* ---- Outputs ---- */

static int read_output(struct hearth_oip_request *request, const json_t *output,
                       struct hearth_error *err)
{
    const json_t *parameters = json_object_get(output, "parameters");
    const json_t *binary = json_object_get(parameters, "binary_data");
    const json_t *classes = json_object_get(parameters, "classification");
    const char *name = string_of(output, "name");
    struct hearth_oip_output *o = &request->outputs[request->output_count];
    if (name == NULL)
        return hearth_fail(err, HEARTH_EPROTO,
                           "Unable to parse 'outputs': each needs a 'name'");
    if ((binary != NULL && !json_is_boolean(binary)) ||
        (classes != NULL &&
         (!json_is_integer(classes) || json_integer_value(classes) < 0 ||
          json_integer_value(classes) > 1000000)))
        return hearth_fail(err, HEARTH_EPROTO,
                           "output '%.60s': 'binary_data' must be true or "
                           "false, 'classification' a number",
                           name);
    o->binary = binary != NULL ? json_is_true(binary) : request->binary_default;
    o->classification = (uint32_t)json_integer_value(classes);
    o->name = hearth_strdup(name);
    if (o->name == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again later");
    request->output_count++;
    return HEARTH_OK;
}

static int read_outputs(struct hearth_oip_request *request, const json_t *root,
                        struct hearth_error *err)
{
    const json_t *outputs = json_object_get(root, "outputs");
    const json_t *id = json_object_get(root, "id");
    size_t i;
    json_t *output;
    const json_t *parameters = json_object_get(root, "parameters");
    const json_t *timeout = json_object_get(parameters, "timeout");
    request->binary_default =
        json_is_true(json_object_get(parameters, "binary_data_output"));
    if (json_is_integer(timeout) && json_integer_value(timeout) > 0)
        request->timeout_us = json_integer_value(timeout);
    if (id != NULL && !json_is_string(id))
        return hearth_fail(err, HEARTH_EPROTO,
                           "Unable to parse 'id': a string was expected");
    if (id != NULL &&
        (request->id = hearth_strdup(json_string_value(id))) == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again later");
    if (outputs == NULL)
        return HEARTH_OK;
    if (!json_is_array(outputs) || json_array_size(outputs) > INPUTS_MAX)
        return hearth_fail(err, HEARTH_EPROTO,
                           "Unable to parse 'outputs': an array of at most %d "
                           "was expected",
                           INPUTS_MAX);
    request->outputs =
        hearth_calloc(json_array_size(outputs) + 1, sizeof *request->outputs);
    if (request->outputs == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again later");
    json_array_foreach(outputs, i, output)
    {
        int rc = read_output(request, output, err);
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}

void hearth_oip_request_clear(struct hearth_oip_request *request)
{
    for (uint32_t i = 0; i < request->output_count; i++)
        hearth_free(request->outputs[i].name);
    hearth_free(request->outputs);
    hearth_free(request->id);
    *request = (struct hearth_oip_request){0};
}

int hearth_oip_read(hearth_buffer_t *body, uint64_t bytes, uint64_t json_bytes,
                    struct hearth_budget *budget,
                    struct hearth_oip_request *request,
                    struct hearth_tensor_list *inputs, struct hearth_error *err)
{
    const char *text = hearth_buffer_data(body);
    json_error_t why;
    *request = (struct hearth_oip_request){0};
    if (json_bytes > bytes)
        return hearth_fail(err, HEARTH_EPROTO,
                           "Inference-Header-Content-Length is %llu, the body "
                           "has %llu bytes",
                           (unsigned long long)json_bytes,
                           (unsigned long long)bytes);
    if (json_bytes == 0)
        json_bytes = bytes;
    struct scan scan = {.start = text,
                        .p = text,
                        .end = text + json_bytes,
                        .envelope = {.budget = budget},
                        .copied = text,
                        .err = err};
    struct reading r = {.body = body,
                        .text = text,
                        .json_bytes = json_bytes,
                        .bytes = bytes,
                        .binary_at = json_bytes,
                        .budget = budget,
                        .inputs = inputs,
                        .err = err};
    json_t *root = NULL;
    int rc = make_envelope(&scan);
    if (rc == HEARTH_OK) {
        root = json_loadb(scan.envelope.data, scan.envelope.bytes,
                          JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(root))
            rc =
                hearth_fail(err, HEARTH_EPROTO,
                            "failed to parse the request JSON buffer: %.120s",
                            root != NULL ? "an object was expected" : why.text);
    }
    if (rc == HEARTH_OK)
        rc = read_outputs(request, root, err);
    if (rc == HEARTH_OK)
        rc = read_inputs(&r, root);
    json_decref(root);
    hearth_text_clear(&scan.envelope);
    if (rc != HEARTH_OK) {
        hearth_oip_request_clear(request);
        hearth_tensor_list_clear(inputs);
    }
    return rc;
}
