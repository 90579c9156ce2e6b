/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.c: what the server and a model are: health, metadata, Triton's model
 * configuration. On the I/O thread: nothing here asks anybody.
 */
#include "serve/serve_priv.h"

#include <string.h>

static const char *const extensions[] = {"classification",
                                         "model_repository",
                                         "model_repository(unload_dependents)",
                                         "schedule_policy",
                                         "model_configuration",
                                         "binary_tensor_data",
                                         "parameters",
                                         "statistics"};

void hearth__server_metadata(struct hearth__visit *v)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++)
        json_array_append_new(list, json_string(extensions[i]));
    hearth__visit_json(v, 200,
                       json_pack("{s:s, s:s, s:o}", "name",
                                 hearth__node_config(v->node).name, "version",
                                 hearth_version(), "extensions", list));
}

void hearth__health_live(struct hearth__visit *v)
{
    hearth__visit_json(v, 200, json_pack("{s:b}", "live", 1));
}

/* One answer for every client: Triton's look at the status only, KServe's reads
 * "ready", the specification says "live". */
void hearth__health_ready(struct hearth__visit *v)
{
    bool ready = !atomic_load(&v->node->quiet);

    hearth__visit_json(v, ready ? 200 : 503,
                       json_pack("{s:b, s:b}", "live", 1, "ready", (int)ready));
}

void hearth__model_ready(struct hearth__visit *v)
{
    hearth__visit_json(v, 200,
                       json_pack("{s:s, s:b}", "name", v->name, "ready", 1));
}

/* ---- Ports ---- */

static json_t *dims_json(const struct hearth_shape *shape, int32_t from)
{
    json_t *dims = json_array();

    for (int32_t i = from; i < shape->rank; i++)
        json_array_append_new(dims,
                              json_integer(HEARTH_DIM_IS_SYMBOL(shape->dims[i])
                                               ? -1
                                               : shape->dims[i]));
    return dims;
}

static bool port_of(const hearth_model_t *model, bool input, uint32_t i,
                    struct hearth_model_port *port)
{
    return input ? hearth_model_input(model, i, port)
                 : hearth_model_output(model, i, port);
}

static json_t *metadata_ports(const hearth_model_t *model, bool input)
{
    json_t *list = json_array();
    struct hearth_model_port port;

    for (uint32_t i = 0; port_of(model, input, i, &port); i++) {
        const char *type = hearth_dtype_oip(port.dtype);

        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o}", "name", port.name,
                                        "datatype", type ? type : "?", "shape",
                                        dims_json(&port.shape, 0)));
    }
    return list;
}

/* Every version that the caller may ask for. */
static json_t *versions_json(struct hearth__visit *v)
{
    json_t *list = json_array();
    struct hearth__served **all;
    uint32_t count;

    if (hearth__served_list(v->node, NULL, v->name, &all, &count) != HEARTH_OK)
        return list;
    for (uint32_t i = count; i-- > 0;) {
        json_array_append_new(list, json_string(all[i]->version_text));
        hearth__served_unref(v->node, all[i]);
    }
    hearth_free(all);
    return list;
}

void hearth__model_metadata(struct hearth__visit *v)
{
    const hearth_model_t *model = hearth_flow_service_model(v->service);

    hearth__visit_json(v, 200,
                       json_pack("{s:s, s:o, s:s, s:o, s:o}", "name", v->name,
                                 "versions", versions_json(v), "platform",
                                 "onnxruntime_onnx", "inputs",
                                 metadata_ports(model, true), "outputs",
                                 metadata_ports(model, false)));
}

/* ---- Triton's model configuration ---- */

static json_t *config_ports(const hearth_model_t *model, bool input,
                            bool batched)
{
    json_t *list = json_array();
    struct hearth_model_port port;
    char type[24];

    for (uint32_t i = 0; port_of(model, input, i, &port); i++) {
        const char *oip = hearth_dtype_oip(port.dtype);

        snprintf(type, sizeof(type), "TYPE_%s",
                 oip == NULL                 ? "INVALID"
                 : strcmp(oip, "BYTES") == 0 ? "STRING"
                                             : oip);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o}", "name", port.name, "data_type",
                            type, "dims", dims_json(&port.shape, batched)));
    }
    return list;
}

static json_t *policy_json(const struct hearth__pbtxt *c)
{
    json_t *list;

    if (c == NULL || c->policy == HEARTH__VERSIONS_LATEST)
        return json_pack("{s:{s:I}}", "latest", "num_versions",
                         (json_int_t)(c ? c->latest : 1));
    if (c->policy == HEARTH__VERSIONS_ALL)
        return json_pack("{s:{}}", "all");
    list = json_array();
    for (uint32_t i = 0; i < c->specific_count; i++)
        json_array_append_new(list, json_integer(c->specific[i]));
    return json_pack("{s:{s:o}}", "specific", "versions", list);
}

void hearth__model_config(struct hearth__visit *v)
{
    const hearth_model_t *model = hearth_flow_service_model(v->service);
    struct hearth_error err;
    struct hearth__served *s =
        hearth__served_find(v->node, NULL, v->name, v->version, &err);
    const struct hearth__pbtxt *c = s ? s->config : NULL;
    bool batched = c && c->max_batch_size > 0;
    json_t *config = json_pack(
        "{s:s, s:s, s:s, s:o, s:I, s:o, s:o, s:{s:b}, s:{s:b}}", "name",
        v->name, "platform", "onnxruntime_onnx", "backend", "onnxruntime",
        "version_policy", policy_json(c), "max_batch_size",
        (json_int_t)(c ? c->max_batch_size : 0), "input",
        config_ports(model, true, batched), "output",
        config_ports(model, false, batched), "model_transaction_policy",
        "decoupled", 0, "response_cache", "enable", 0);

    if (config && c && c->instances > 0)
        json_object_set_new(config, "instance_group",
                            json_pack("[{s:s, s:i, s:s}]", "name", v->name,
                                      "count", (int)c->instances, "kind",
                                      "KIND_AUTO"));
    if (config && c && c->batching)
        json_object_set_new(config, "dynamic_batching",
                            json_pack("{s:I}", "max_queue_delay_microseconds",
                                      (json_int_t)c->max_queue_delay_us));
    hearth__served_unref(v->node, s);
    hearth__visit_json(v, 200, config);
}
