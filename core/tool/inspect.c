/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c: `hearth inspect FILE.onnx`: what a model asks for, does and costs,
 * and whether the configured devices take it. It collects one JSON object; the
 * text for people is printed from that, so that both say the same.
 */
#include "tool/tool.h"

#include "device/device.h"
#include "model/model.h"
#include "ops/ops.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum { OPT_DEVICES, OPT_RAW, OPT_JSON };

/* A model's own texts are hostile: no byte of them moves a cursor, and what is
 * no UTF-8 is shown all the same. */
static json_t *safe_text(const char *text)
{
    char *copy = hearth_strdup(text);
    json_t *value;

    if (copy == NULL)
        return json_string("?");
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    value = json_string(copy);
    if (value == NULL) {
        for (char *p = copy; *p; p++)
            if ((unsigned char)*p >= 0x80)
                *p = '?';
        value = json_string(copy);
    }
    hearth_free(copy);
    return value;
}

static json_t *ports_json(const hearth_model_t *model,
                          bool (*get)(const hearth_model_t *, uint32_t,
                                      struct hearth_model_port *))
{
    json_t *list = json_array();
    struct hearth_model_port port;

    for (uint32_t i = 0; get(model, i, &port); i++) {
        char shape[256];
        json_t *dims = json_array();

        hearth_model_shape_text(model, &port.shape, shape, sizeof(shape));
        for (int32_t k = 0; k < port.shape.rank; k++) {
            int64_t dim = port.shape.dims[k];

            json_array_append_new(
                dims, HEARTH_DIM_IS_SYMBOL(dim)
                          ? safe_text(hearth_model_symbol(model, dim))
                          : json_integer(dim));
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:s}", "name",
                                              port.name, "dtype",
                                              hearth_dtype_name(port.dtype),
                                              "dims", dims, "shape", shape));
    }
    return list;
}

/* Operators by name, the most frequent first. */
static json_t *operators_json(const struct hearth_graph *graph)
{
    uint32_t counts[HEARTH_OP_COUNT] = {0};
    json_t *object = json_object();

    for (uint32_t i = 0; i < graph->node_count; i++) {
        uint32_t op = hearth_graph_node(graph, i)->op;

        if (op < HEARTH_OP_COUNT)
            counts[op]++;
    }
    for (;;) {
        uint32_t best = 0;

        for (uint32_t op = 1; op < HEARTH_OP_COUNT; op++)
            if (counts[op] > counts[best])
                best = op;
        if (counts[best] == 0)
            return object;
        json_object_set_new(object, hearth_op_name(best),
                            json_integer(counts[best]));
        counts[best] = 0;
    }
}

static json_t *device_json(hearth_device_t *device, const hearth_model_t *model)
{
    struct hearth_footprint fp = {.struct_bytes = sizeof(fp)};
    struct hearth_error err = {0};
    int status = device->plugin->model->footprint(
        device->dev, hearth_model_graph(model), hearth_model_weights(model),
        NULL, &fp, &err);

    if (status != HEARTH_OK)
        return json_pack(
            "{s:s, s:o, s:b, s:s, s:o}", "device", device->name, "name",
            safe_text(device->properties.name), "takes", 0, "status",
            hearth_status_name(status), "reason",
            safe_text(err.text[0] ? err.text : hearth_status_text(status)));
    return json_pack("{s:s, s:o, s:b, s:I, s:I, s:I}", "device", device->name,
                     "name", safe_text(device->properties.name), "takes", 1,
                     "model_bytes", (json_int_t)fp.model_bytes, "load_bytes",
                     (json_int_t)fp.load_bytes, "arena_bytes",
                     (json_int_t)fp.arena_bytes);
}

static json_t *model_json(hearth_model_t *model, struct hearth_error *err)
{
    const struct hearth_graph *graph = hearth_model_graph(model);
    struct hearth_model_totals totals;
    struct hearth_digest digest;
    char text[HEARTH_DIGEST_TEXT];

    if (hearth_model_digest(model, &digest, err) != APR_SUCCESS)
        return NULL;
    hearth_model_totals(model, &totals);
    return json_pack(
        "{s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, "
        "s:o}",
        "file", safe_text(hearth_model_path(model)), "sha256",
        hearth_digest_text(&digest, text), "producer",
        safe_text(totals.producer), "ir_version", (json_int_t)totals.ir_version,
        "opset", (json_int_t)totals.opset, "file_bytes",
        (json_int_t)totals.file_bytes, "weight_bytes",
        (json_int_t)totals.weight_bytes, "parameters",
        (json_int_t)totals.parameter_count, "source_nodes",
        (json_int_t)totals.source_nodes, "nodes", (json_int_t)totals.nodes,
        "batch_axis0", (int)graph->batch_axis0, "inputs",
        ports_json(model, hearth_model_input), "outputs",
        ports_json(model, hearth_model_output), "operators",
        operators_json(graph));
}

/* ---- For people. ---- */

static const char *bytes_text(const json_t *object, const char *key, char *buf,
                              size_t size)
{
    return hearth_format_bytes(
        (uint64_t)json_integer_value(json_object_get(object, key)), buf, size);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_ports(const json_t *report, const char *key)
{
    size_t i;
    json_t *port;

    printf("  %s\n", key);
    json_array_foreach(json_object_get(report, key), i, port)
        printf("    %-16s %s %s\n", text_of(port, "name"),
               text_of(port, "dtype"), text_of(port, "shape"));
}

static void print_devices(const json_t *report)
{
    char model[32], load[32], arena[32];
    size_t i;
    json_t *device;

    printf("  devices\n");
    json_array_foreach(json_object_get(report, "devices"), i, device)
    {
        printf("    %-16s %s\n", text_of(device, "device"),
               text_of(device, "name"));
        if (json_is_true(json_object_get(device, "takes")))
            printf("    %-16s takes it: model %s, while loading %s more, "
                   "activations %s at batch 1\n",
                   "", bytes_text(device, "model_bytes", model, sizeof(model)),
                   bytes_text(device, "load_bytes", load, sizeof(load)),
                   bytes_text(device, "arena_bytes", arena, sizeof(arena)));
        else
            printf("    %-16s refuses it: %s\n", "", text_of(device, "reason"));
    }
}

static void print_report(const json_t *report)
{
    char file[32], weights[32];
    const char *key;
    json_t *count;

    printf("%s\n", text_of(report, "file"));
    printf("  opset            %lld (IR version %lld)%s%s\n",
           (long long)number_of(report, "opset"),
           (long long)number_of(report, "ir_version"),
           text_of(report, "producer")[0] ? ", by " : "",
           text_of(report, "producer"));
    printf("  sha256           %s\n", text_of(report, "sha256"));
    printf("  size             %s, %lld parameters, weights %s\n",
           bytes_text(report, "file_bytes", file, sizeof(file)),
           (long long)number_of(report, "parameters"),
           bytes_text(report, "weight_bytes", weights, sizeof(weights)));
    print_ports(report, "inputs");
    print_ports(report, "outputs");
    printf("  operators        %lld, of %lld nodes in the file\n",
           (long long)number_of(report, "nodes"),
           (long long)number_of(report, "source_nodes"));
    json_object_foreach(json_object_get(report, "operators"), key, count)
        printf("    %-16s %lld\n", key, (long long)json_integer_value(count));
    printf("  batch            %s\n",
           json_is_true(json_object_get(report, "batch_axis0"))
               ? "axis 0 of every input and output is proved to be one batch: "
                 "requests may run together"
               : "not proved: requests run one by one, unless hearth.yaml says "
                 "otherwise");
    if (json_object_get(report, "devices"))
        print_devices(report);
}

/* ---- The command. ---- */

/* Asks every device of the list; false when one refuses. */
static bool add_devices(json_t *report, const hearth_model_t *model,
                        hearth_device_t **devices, uint32_t count)
{
    json_t *list = json_array();
    bool all = true;

    for (uint32_t i = 0; i < count; i++) {
        json_t *device = device_json(devices[i], model);

        all = all && json_is_true(json_object_get(device, "takes"));
        json_array_append_new(list, device);
    }
    json_object_set_new(report, "devices", list);
    return all;
}

static int run(const char *const *values, int argc, char *const *argv)
{
    struct hearth_model_options options = {
        .passes = values[OPT_RAW] ? 0 : HEARTH_MODEL_PASS_ALL};
    struct hearth_error err = {0};
    hearth_model_t *model = NULL;
    hearth_device_t **devices = NULL;
    uint32_t count = 0;
    json_t *report = NULL;
    int code = HEARTH_TOOL_FAILED;

    (void)argc;
    if (hearth_model_open(&model, argv[0], &options, &err) != APR_SUCCESS ||
        (report = model_json(model, &err)) == NULL)
        goto out;
    if (hearth_devices_open(values[OPT_DEVICES] ? values[OPT_DEVICES] : "cpu",
                            NULL, 0, false, &devices, &count,
                            &err) != HEARTH_OK)
        goto out;
    code = add_devices(report, model, devices, count) ? HEARTH_TOOL_OK
                                                      : HEARTH_TOOL_FAILED;
    if (values[OPT_JSON]) {
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_report(report);
    }
out:
    if (err.status != HEARTH_OK)
        hearth__tool_failed(&err);
    json_decref(report);
    if (devices)
        hearth_devices_close(&devices, count);
    hearth_model_close(&model);
    return code;
}

static const struct hearth_tool_option options[] = {
    [OPT_DEVICES] = {"devices", "LIST",
                     "devices to ask, as \"cpu sim:mem=1GiB\" (cpu)"},
    [OPT_RAW] = {"raw", NULL, "show the graph as it is before fusing"},
    [OPT_JSON] = {"json", NULL, "print JSON"},
    {NULL, NULL, NULL},
};

const struct hearth_tool_command hearth__tool_inspect = {
    .name = "inspect",
    .arguments = "FILE.onnx",
    .summary = "Shows what a model takes, does and costs, and whether the "
               "devices take it",
    .options = options,
    .run = run,
    .min_operands = 1,
    .max_operands = 1,
};
