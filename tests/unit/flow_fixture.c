/* SPDX-License-Identifier: Apache-2.0 */
/* flow_fixture.c: see flow_fixture.h. */
#include "flow_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A protobuf message under construction; everything here is below 128 bytes, so
 * that every length is one byte. */
struct message {
    uint8_t bytes[512];
    uint8_t count;
};

static void put_int(struct message *m, int field, uint8_t value)
{
    m->bytes[m->count++] = (uint8_t)(field << 3);
    m->bytes[m->count++] = value;
}

static void put_bytes(struct message *m, int field, const void *data,
                      size_t count)
{
    assert_true(count < 128 && m->count + count < 250);
    m->bytes[m->count++] = (uint8_t)(field << 3 | 2);
    m->bytes[m->count++] = (uint8_t)count;
    memcpy(m->bytes + m->count, data, count);
    m->count = (uint8_t)(m->count + count);
}

static void put_text(struct message *m, int field, const char *text)
{
    put_bytes(m, field, text, strlen(text));
}

static void put(struct message *m, int field, const struct message *inner)
{
    put_bytes(m, field, inner->bytes, inner->count);
}

/* ValueInfoProto: f32 [batch,2] */
static struct message port(const char *name)
{
    struct message batch = {.count = 0}, two = {.count = 0};
    struct message shape = {.count = 0}, tensor = {.count = 0};
    struct message type = {.count = 0}, info = {.count = 0};

    put_text(&batch, 2, "batch");
    put_int(&two, 1, 2);
    put(&shape, 1, &batch);
    put(&shape, 1, &two);
    put_int(&tensor, 1, 1);
    put(&tensor, 2, &shape);
    put(&type, 1, &tensor);
    put_text(&info, 1, name);
    put(&info, 2, &type);
    return info;
}

static void write_file(const char *dir, const char *name, const void *data,
                       size_t bytes)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

void flow_fixture_make(struct flow_fixture *fixture, const char *name,
                       const char *extra)
{
    struct message node = {.count = 0}, graph = {.count = 0};
    struct message opset = {.count = 0}, model = {.count = 0};
    struct message x = port("x"), y = port("y");
    char yaml[512];

    put_text(&node, 1, "x");
    put_text(&node, 2, "y");
    put_text(&node, 4, "Relu");
    put(&graph, 1, &node);
    put_text(&graph, 2, name);
    put(&graph, 11, &x);
    put(&graph, 12, &y);
    put_int(&opset, 2, 17);
    put_int(&model, 1, 8);
    put(&model, 8, &opset);
    put(&model, 7, &graph);
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/hearth-flow-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->yaml, sizeof(fixture->yaml), "%s/hearth.yaml",
             fixture->dir);
    write_file(fixture->dir, "model.onnx", model.bytes, model.count);
    snprintf(yaml, sizeof(yaml),
             "name: %s\nmodel: model.onnx\n"
             "input:\n  kind: json\noutput:\n  kind: json\n%s",
             name, extra);
    write_file(fixture->dir, "hearth.yaml", yaml, strlen(yaml));
}

void flow_fixture_remove(struct flow_fixture *fixture)
{
    static const char *const names[] = {"model.onnx", "hearth.yaml"};
    char path[128];

    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", fixture->dir, names[i]);
        unlink(path);
    }
    rmdir(fixture->dir);
}
