/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onnx.c: ONNX's messages (onnx.proto), read by hand: the fields that Hearth
 * needs, each checked for its wire type; others are skipped. Nothing recurses:
 * a message inside a message is a slice that the caller reads when it wants to,
 * so that depth costs nothing, and a subgraph that nobody supports is not even
 * looked at.
 *
 * Of a number or text that stands twice the last one counts, as protobuf says;
 * a message that stands twice would have to be merged, and is refused.
 */
#include <inttypes.h>
#include <string.h>

#include "model/model_priv.h"

int hearth__onnx_want(const struct hearth__wire_field *field,
                      enum hearth__wire_type type, const char *what,
                      struct hearth_error *err)
{
    if (field->type == type)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_EMODEL,
                       "%s has wire type %d, it must be %d; is this an ONNX "
                       "file, and complete?",
                       what, (int)field->type, (int)type);
}

static int want_text(const struct hearth__wire_field *f,
                     struct hearth__slice *text, const char *what,
                     struct hearth_error *err)
{
    *text = f->bytes;
    return hearth__onnx_want(f, HEARTH__WIRE_BYTES, what, err);
}

static int want_once(const struct hearth__wire_field *f,
                     struct hearth__slice *message, const char *what,
                     struct hearth_error *err)
{
    if (message->at != NULL)
        return hearth_fail(err, HEARTH_EMODEL,
                           "%s stands twice; export the model again", what);
    return want_text(f, message, what, err);
}

static int want_int(const struct hearth__wire_field *f, int64_t *value,
                    const char *what, struct hearth_error *err)
{
    *value = (int64_t)f->value;
    return hearth__onnx_want(f, HEARTH__WIRE_VARINT, what, err);
}

/* ---- ModelProto ---- */

/* OperatorSetIdProto. */
static int read_opset(struct hearth__slice message, int64_t *opset,
                      struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice domain = {0};
    int64_t version = 0;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number == 1)
            rc = want_text(&f, &domain, "opset's domain", err);
        else if (f.number == 2)
            rc = want_int(&f, &version, "opset's version", err);
        if (rc != HEARTH_OK)
            return rc;
    }
    if (rc == HEARTH_OK &&
        (domain.bytes == 0 || hearth__slice_is(domain, "ai.onnx")))
        *opset = version;
    return rc;
}

int hearth__onnx_read_model(struct hearth__slice message,
                            struct hearth__onnx_model *model,
                            struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice opset;
    int rc;
    memset(model, 0, sizeof *model);
    while (hearth__wire_next(&message, &f, &rc, err)) {
        switch (f.number) {
        case 1:
            rc = want_int(&f, &model->ir_version, "ir_version", err);
            break;
        case 2:
            rc = want_text(&f, &model->producer, "producer_name", err);
            break;
        case 3:
            rc = want_text(&f, &model->producer_version, "producer_version",
                           err);
            break;
        case 7:
            rc = want_once(&f, &model->graph, "graph", err);
            break;
        case 8:
            rc = want_text(&f, &opset, "opset_import", err);
            if (rc == HEARTH_OK)
                rc = read_opset(opset, &model->opset, err);
            break;
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    if (rc == HEARTH_OK && model->graph.at == NULL)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "it has no graph; is this an ONNX file?");
    return rc;
}

/* ---- TensorProto ---- */

static bool parse_decimal(struct hearth__slice text, uint64_t *value)
{
    uint64_t v = 0;
    for (uint64_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' ||
            __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, text.at[i] - '0', &v))
            return false;
    }
    *value = v;
    return text.bytes > 0;
}

/* StringStringEntryProto of external_data. */
static int read_external(struct hearth__slice message,
                         struct hearth__onnx_tensor *t,
                         struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice key = {0}, value = {0};
    int rc;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number == 1)
            rc = want_text(&f, &key, "external_data's key", err);
        else if (f.number == 2)
            rc = want_text(&f, &value, "external_data's value", err);
        if (rc != HEARTH_OK)
            return rc;
    }
    bool ok = true;
    if (hearth__slice_is(key, "location"))
        t->location = value;
    else if (hearth__slice_is(key, "offset"))
        ok = parse_decimal(value, &t->offset);
    else if (hearth__slice_is(key, "length"))
        ok = t->has_length = parse_decimal(value, &t->length);
    if (rc == HEARTH_OK && !ok)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "%.*s of external data is not a number of bytes; "
                         "export the model again",
                         hearth__slice_cut(key, 20), (const char *)key.at);
    return rc;
}

static int read_dims(struct hearth__slice message,
                     struct hearth__onnx_tensor *t, struct hearth_error *err)
{
    uint64_t rank;
    int rc = hearth__onnx_numbers(message, 1, false, t->dims, HEARTH_RANK_MAX,
                                  &rank, err);
    if (rc == HEARTH_OK && rank > HEARTH_RANK_MAX)
        rc = hearth_fail(err, HEARTH_EUNSUPPORTED,
                         "tensor '%.*s' has rank %" PRIu64 ", the most is %d",
                         hearth__slice_cut(t->name, 60),
                         (const char *)t->name.at, rank, HEARTH_RANK_MAX);
    t->rank = (uint32_t)rank;
    return rc;
}

int hearth__onnx_read_tensor(struct hearth__slice message,
                             struct hearth__onnx_tensor *t,
                             struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice entry;
    int64_t location = 0, dtype = 0;
    int rc;
    memset(t, 0, sizeof *t);
    t->message = message;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        switch (f.number) {
        case 2:
            rc = want_int(&f, &dtype, "tensor's data_type", err);
            break;
        case 3:
            rc = hearth_fail(err, HEARTH_EUNSUPPORTED,
                             "a tensor is stored in segments; export the model "
                             "with whole tensors");
            break;
        case 4:
        case 5:
        case 7:
        case 10:
        case 11:
            if (t->typed_field != 0 && t->typed_field != f.number)
                rc = hearth_fail(err, HEARTH_EMODEL,
                                 "a tensor has data of two types; export the "
                                 "model again");
            if (t->typed_runs++ == 0) {
                t->typed_field = f.number;
                t->typed = f.bytes;
            }
            break;
        case 8:
            rc = want_text(&f, &t->name, "tensor's name", err);
            break;
        case 9:
            t->has_raw = true;
            rc = want_text(&f, &t->raw, "tensor's raw_data", err);
            break;
        case 13:
            rc = want_text(&f, &entry, "tensor's external_data", err);
            if (rc == HEARTH_OK)
                rc = read_external(entry, t, err);
            break;
        case 14:
            rc = want_int(&f, &location, "tensor's data_location", err);
            break;
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    t->external = location == 1;
    t->dtype = (uint64_t)dtype;
    return rc == HEARTH_OK ? read_dims(t->message, t, err) : rc;
}

/* ---- ValueInfoProto ---- */

static int read_dim(struct hearth__slice message, struct hearth__onnx_dim *dim,
                    struct hearth_error *err)
{
    struct hearth__wire_field f;
    int rc;
    memset(dim, 0, sizeof *dim);
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number == 1) {
            rc = want_int(&f, &dim->value, "dimension's dim_value", err);
            dim->has_value = true;
        } else if (f.number == 2) {
            rc = want_text(&f, &dim->param, "dimension's dim_param", err);
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

static int read_shape(struct hearth__slice message,
                      struct hearth__onnx_port *port, struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice dim;
    int rc;
    port->has_shape = true;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number == 1 && port->rank == HEARTH_RANK_MAX)
            rc = hearth_fail(err, HEARTH_EUNSUPPORTED,
                             "'%.*s' has more than %d dimensions",
                             hearth__slice_cut(port->name, 60),
                             (const char *)port->name.at, HEARTH_RANK_MAX);
        else if (f.number == 1) {
            rc = want_text(&f, &dim, "shape's dim", err);
            if (rc == HEARTH_OK)
                rc = read_dim(dim, &port->dims[port->rank++], err);
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

/* TypeProto, and TypeProto.Tensor inside it. */
static int read_type(struct hearth__slice message, bool tensor,
                     struct hearth__onnx_port *port, struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice inner = {0};
    int64_t dtype = 0;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (tensor && f.number == 1)
            rc = want_int(&f, &dtype, "type's elem_type", err);
        else if (tensor && f.number == 2)
            rc = want_once(&f, &inner, "type's shape", err);
        else if (!tensor && f.number == 1)
            rc = want_once(&f, &inner, "type's tensor_type", err);
        if (rc != HEARTH_OK)
            return rc;
    }
    if (rc != HEARTH_OK)
        return rc;
    if (tensor) {
        port->dtype = (uint64_t)dtype;
        return inner.at == NULL ? HEARTH_OK : read_shape(inner, port, err);
    }
    if (inner.at == NULL)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "'%.*s' is not a tensor; only tensors are supported",
                           hearth__slice_cut(port->name, 60),
                           (const char *)port->name.at);
    /* One level only: a tensor's type holds no type. */
    return read_type(inner, true, port, err);
}

int hearth__onnx_read_port(struct hearth__slice message,
                           struct hearth__onnx_port *port,
                           struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice type = {0};
    int rc;
    memset(port, 0, sizeof *port);
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number == 1)
            rc = want_text(&f, &port->name, "an input's or output's name", err);
        else if (f.number == 2)
            rc = want_once(&f, &type, "an input's or output's type", err);
        if (rc != HEARTH_OK)
            return rc;
    }
    /* Absent or empty: an output whose type nobody wrote down. */
    if (rc == HEARTH_OK && type.bytes > 0)
        rc = read_type(type, false, port, err);
    return rc;
}

/* ---- AttributeProto ---- */

int hearth__onnx_read_attr(struct hearth__slice message,
                           struct hearth__onnx_attr *attr,
                           struct hearth_error *err)
{
    struct hearth__wire_field f;
    struct hearth__slice ref = {0};
    uint32_t bits;
    int64_t type = 0;
    int rc;
    memset(attr, 0, sizeof *attr);
    attr->message = message;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        switch (f.number) {
        case 1:
            rc = want_text(&f, &attr->name, "attribute's name", err);
            break;
        case 2:
            rc = hearth__onnx_want(&f, HEARTH__WIRE_FIXED32, "attribute's f",
                                   err);
            bits = (uint32_t)f.value;
            memcpy(&attr->f, &bits, sizeof bits);
            break;
        case 3:
            rc = want_int(&f, &attr->i, "attribute's i", err);
            break;
        case 4:
            rc = want_text(&f, &attr->s, "attribute's s", err);
            break;
        case 5:
            rc = want_once(&f, &attr->t, "attribute's t", err);
            break;
        case 20:
            rc = want_int(&f, &type, "attribute's type", err);
            break;
        case 21:
            rc = want_text(&f, &ref, "attribute's ref_attr_name", err);
            break;
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    attr->type = (uint64_t)type;
    if (rc == HEARTH_OK && ref.bytes > 0)
        rc = hearth_fail(
            err, HEARTH_EUNSUPPORTED,
            "attribute '%.*s' refers to a function's, where there is none; "
            "export the model again",
            hearth__slice_cut(attr->name, 40), (const char *)attr->name.at);
    return rc;
}

/* ---- Repeated numbers ---- */

static void store(bool floats, void *dst, uint64_t at, uint64_t most,
                  uint64_t bits)
{
    if (at >= most)
        return;
    if (floats) {
        float f;
        uint32_t low = (uint32_t)bits;
        memcpy(&f, &low, sizeof f);
        ((double *)dst)[at] = (double)f;
    } else {
        ((int64_t *)dst)[at] = (int64_t)bits;
    }
}

int hearth__onnx_numbers(struct hearth__slice message, uint32_t number,
                         bool floats, void *dst, uint64_t most, uint64_t *count,
                         struct hearth_error *err)
{
    struct hearth__wire_field f;
    enum hearth__wire_type single =
        floats ? HEARTH__WIRE_FIXED32 : HEARTH__WIRE_VARINT;
    int rc;
    *count = 0;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number != number)
            continue;
        if (f.type == single) {
            store(floats, dst, (*count)++, most, f.value);
            continue;
        }
        rc =
            hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a list of numbers", err);
        while (rc == HEARTH_OK && f.bytes.bytes > 0) {
            uint64_t bits = 0;
            bool ok = floats ? f.bytes.bytes >= 4
                             : hearth__wire_varint(&f.bytes, &bits);
            if (ok && floats) {
                bits = hearth__wire_u32(f.bytes.at);
                f.bytes.at += 4;
                f.bytes.bytes -= 4;
            }
            if (ok)
                store(floats, dst, (*count)++, most, bits);
            else
                rc = hearth_fail(err, HEARTH_EMODEL,
                                 "a list of numbers is cut; is the file "
                                 "complete?");
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}
