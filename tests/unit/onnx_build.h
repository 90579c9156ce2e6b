/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onnx_build.h: writes protobuf by hand, so that tests can say what no ONNX
 * writer would. Asserts on misuse; one thread.
 */
#ifndef HEARTH_TESTS_ONNX_BUILD_H
#define HEARTH_TESTS_ONNX_BUILD_H

#include <stddef.h>
#include <stdint.h>

struct pb {
    uint8_t *data;
    size_t bytes, capacity;
};

void pb_free(struct pb *pb);
void pb_raw(struct pb *pb, const void *data, size_t bytes);
void pb_varint(struct pb *pb, uint64_t value);
void pb_tag(struct pb *pb, uint32_t number, uint32_t wire_type);
void pb_int(struct pb *pb, uint32_t number, int64_t value);
void pb_bytes(struct pb *pb, uint32_t number, const void *data, size_t bytes);
void pb_text(struct pb *pb, uint32_t number, const char *text);
/* Puts <sub> in as a message, and frees it. */
void pb_sub(struct pb *pb, uint32_t number, struct pb *sub);

/* A graph is a pb; these append to it. Names are separated by spaces; "-" is
 * an input left out. */
struct pb onnx_node(const char *op, const char *inputs, const char *outputs);
void onnx_attr_int(struct pb *node, const char *name, int64_t value);
void onnx_attr_ints(struct pb *node, const char *name, int count,
                    const int64_t *values);
void onnx_attr_float(struct pb *node, const char *name, float value);
void onnx_attr_text(struct pb *node, const char *name, const char *text);
void onnx_add_node(struct pb *graph, const char *op, const char *inputs,
                   const char *outputs);
/* A dimension < 0 is the symbol "n", or "?" when it is ONNX_UNKNOWN. */
#define ONNX_UNKNOWN (-2)
void onnx_input(struct pb *graph, const char *name, int dtype, int rank,
                const int64_t *dims);
void onnx_output(struct pb *graph, const char *name);
/* <data> NULL: no raw_data. */
struct pb onnx_tensor(const char *name, int dtype, int rank,
                      const int64_t *dims, const void *data, size_t bytes);
/* The model around <graph>, which is freed. */
struct pb onnx_model(struct pb *graph, int64_t opset);

#endif
