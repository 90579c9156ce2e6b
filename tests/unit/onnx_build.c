/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unit/onnx_build.h"

void pb_free(struct pb *pb)
{
    free(pb->data);
    memset(pb, 0, sizeof *pb);
}

void pb_raw(struct pb *pb, const void *data, size_t bytes)
{
    if (pb->bytes + bytes > pb->capacity) {
        pb->capacity = (pb->bytes + bytes) * 2 + 64;
        pb->data = realloc(pb->data, pb->capacity);
        assert_non_null(pb->data);
    }
    if (bytes > 0)
        memcpy(pb->data + pb->bytes, data, bytes);
    pb->bytes += bytes;
}

void pb_varint(struct pb *pb, uint64_t value)
{
    do {
        uint8_t b = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        pb_raw(pb, &b, 1);
        value >>= 7;
    } while (value > 0);
}

void pb_tag(struct pb *pb, uint32_t number, uint32_t wire_type)
{
    pb_varint(pb, (uint64_t)number << 3 | wire_type);
}

void pb_int(struct pb *pb, uint32_t number, int64_t value)
{
    pb_tag(pb, number, 0);
    pb_varint(pb, (uint64_t)value);
}

void pb_bytes(struct pb *pb, uint32_t number, const void *data, size_t bytes)
{
    pb_tag(pb, number, 2);
    pb_varint(pb, bytes);
    pb_raw(pb, data, bytes);
}

void pb_text(struct pb *pb, uint32_t number, const char *text)
{
    pb_bytes(pb, number, text, strlen(text));
}

void pb_sub(struct pb *pb, uint32_t number, struct pb *sub)
{
    pb_bytes(pb, number, sub->data, sub->bytes);
    pb_free(sub);
}

static void names(struct pb *node, uint32_t number, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (n == 1 && *text == '-')
            pb_bytes(node, number, "", 0);
        else
            pb_bytes(node, number, text, n);
        text += n + (text[n] == ' ');
    }
}

struct pb onnx_node(const char *op, const char *inputs, const char *outputs)
{
    struct pb node = {0};
    names(&node, 1, inputs);
    names(&node, 2, outputs);
    pb_text(&node, 3, "the_node");
    pb_text(&node, 4, op);
    return node;
}

void onnx_attr_int(struct pb *node, const char *name, int64_t value)
{
    struct pb attr = {0};
    pb_text(&attr, 1, name);
    pb_int(&attr, 3, value);
    pb_int(&attr, 20, 2);
    pb_sub(node, 5, &attr);
}

void onnx_attr_ints(struct pb *node, const char *name, int count,
                    const int64_t *values)
{
    struct pb attr = {0};
    pb_text(&attr, 1, name);
    for (int i = 0; i < count; i++)
        pb_int(&attr, 8, values[i]);
    pb_int(&attr, 20, 7);
    pb_sub(node, 5, &attr);
}

void onnx_attr_float(struct pb *node, const char *name, float value)
{
    struct pb attr = {0};
    pb_text(&attr, 1, name);
    pb_tag(&attr, 2, 5);
    pb_raw(&attr, &value, sizeof value);
    pb_int(&attr, 20, 1);
    pb_sub(node, 5, &attr);
}

void onnx_attr_text(struct pb *node, const char *name, const char *text)
{
    struct pb attr = {0};
    pb_text(&attr, 1, name);
    pb_text(&attr, 4, text);
    pb_int(&attr, 20, 3);
    pb_sub(node, 5, &attr);
}

void onnx_add_node(struct pb *graph, const char *op, const char *inputs,
                   const char *outputs)
{
    struct pb node = onnx_node(op, inputs, outputs);
    pb_sub(graph, 1, &node);
}

void onnx_input(struct pb *graph, const char *name, int dtype, int rank,
                const int64_t *dims)
{
    struct pb shape = {0}, tensor = {0}, type = {0}, port = {0};
    for (int i = 0; i < rank; i++) {
        struct pb dim = {0};
        if (dims[i] < 0)
            pb_text(&dim, 2, dims[i] == ONNX_UNKNOWN ? "?" : "n");
        else
            pb_int(&dim, 1, dims[i]);
        pb_sub(&shape, 1, &dim);
    }
    pb_int(&tensor, 1, dtype);
    pb_sub(&tensor, 2, &shape);
    pb_sub(&type, 1, &tensor);
    pb_text(&port, 1, name);
    pb_sub(&port, 2, &type);
    pb_sub(graph, 11, &port);
}

void onnx_output(struct pb *graph, const char *name)
{
    struct pb port = {0};
    pb_text(&port, 1, name);
    pb_sub(graph, 12, &port);
}

struct pb onnx_tensor(const char *name, int dtype, int rank,
                      const int64_t *dims, const void *data, size_t bytes)
{
    struct pb t = {0};
    for (int i = 0; i < rank; i++)
        pb_int(&t, 1, dims[i]);
    pb_int(&t, 2, dtype);
    pb_text(&t, 8, name);
    if (data != NULL)
        pb_bytes(&t, 9, data, bytes);
    return t;
}

struct pb onnx_model(struct pb *graph, int64_t opset)
{
    struct pb model = {0}, set = {0};
    pb_int(&model, 1, 8);
    pb_text(&model, 2, "by hand");
    pb_sub(&model, 7, graph);
    pb_text(&set, 1, "");
    pb_int(&set, 2, opset);
    pb_sub(&model, 8, &set);
    return model;
}
