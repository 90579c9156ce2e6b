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

#include "onnx_build.h"

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

static void add_weight(struct pb *graph, const char *name, int64_t rows,
                       int64_t columns, float value)
{
    const int64_t dims[] = {rows, columns};
    size_t count = (size_t)(rows * columns);
    float *data = malloc(count * sizeof(float));
    struct pb tensor;

    assert_non_null(data);
    for (size_t i = 0; i < count; i++)
        data[i] = value;
    tensor = onnx_tensor(name, 1, 2, dims, data, count * sizeof(float));
    pb_sub(graph, 5, &tensor);
    free(data);
}

static struct pb build(const char *name, uint32_t n)
{
    const int64_t dims[] = {-1, 2};
    struct pb graph = {0};

    if (n > 0) {
        onnx_add_node(&graph, "MatMul", "x A", "h");
        onnx_add_node(&graph, "MatMul", "h B", "s");
        onnx_add_node(&graph, "Relu", "s", "y");
        add_weight(&graph, "A", 2, n, 1);
        add_weight(&graph, "B", n, 2, 1 / (float)n);
    } else {
        onnx_add_node(&graph, "Relu", "x", "y");
    }
    pb_text(&graph, 2, name);
    onnx_input(&graph, "x", 1, 2, dims);
    onnx_output(&graph, "y");
    return onnx_model(&graph, 17);
}

void flow_fixture_make(struct flow_fixture *fixture, const char *name,
                       uint32_t n, const char *extra)
{
    struct pb model = build(name, n);
    char yaml[512];

    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/hearth-flow-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->yaml, sizeof(fixture->yaml), "%s/hearth.yaml",
             fixture->dir);
    write_file(fixture->dir, "model.onnx", model.data, model.bytes);
    pb_free(&model);
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
