/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c: do a request's tensors fit the model? Here, before a device is asked
 * for, so that a mistake costs its sender only. The texts are Triton's: people
 * and tests look for them.
 */
#include <string.h>

#include "function/function_priv.h"

/* "[-1,16]" */
static const char *expected_shape(const struct hearth_shape *shape, char *buf,
                                  size_t size)
{
    size_t used = (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < shape->rank && used < size; i++) {
        int64_t dim = shape->dims[i];
        used += (size_t)snprintf(
            buf + used, size - used, "%s%lld", i > 0 ? "," : "",
            HEARTH_DIM_IS_SYMBOL(dim) ? -1LL : (long long)dim);
    }
    if (used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}

static bool fits(const struct hearth_shape *expected,
                 const struct hearth_shape *got)
{
    if (expected->rank < 0)
        return true;
    if (expected->rank != got->rank)
        return false;
    for (int i = 0; i < got->rank; i++)
        if (!HEARTH_DIM_IS_SYMBOL(expected->dims[i]) &&
            expected->dims[i] != got->dims[i])
            return false;
    return true;
}

/* "['A','B']" of the model's inputs that did not come. */
static void missing_names(const hearth_function_t *f,
                          const struct hearth_tensor_list *inputs, char *buf,
                          size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (uint32_t i = 0; i < f->input_count && used < size; i++)
        if (hearth_tensor_list_find(inputs, f->inputs[i].name) == NULL)
            used += (size_t)snprintf(buf + used, size - used, "%s'%.40s'",
                                     used > 0 ? "," : "", f->inputs[i].name);
}

static int check_names(const hearth_function_t *f,
                       const struct hearth_tensor_list *inputs,
                       struct hearth_error *err)
{
    char names[100];
    for (uint32_t k = 0; k < inputs->count; k++) {
        uint32_t i = 0;
        while (i < f->input_count &&
               strcmp(f->inputs[i].name, inputs->items[k].name) != 0)
            i++;
        if (i == f->input_count)
            return hearth_fail(
                err, HEARTH_EINVAL,
                "unexpected inference input '%.60s' for model '%.60s'",
                inputs->items[k].name, f->name);
    }
    if (inputs->count == f->input_count)
        return HEARTH_OK;
    missing_names(f, inputs, names, sizeof names);
    return hearth_fail(err, HEARTH_EINVAL,
                       "expected %u inputs but got %u inputs for model "
                       "'%.40s'. Got too few, missing required input(s) [%s]. "
                       "Please provide all required input(s).",
                       f->input_count, inputs->count, f->name, names);
}

static int check_tensor(const hearth_function_t *f,
                        const struct hearth_model_port *port,
                        const struct hearth_tensor *tensor,
                        struct hearth_error *err)
{
    char want[96], got[96];
    if (tensor->dtype != port->dtype)
        return hearth_fail(
            err, HEARTH_ETYPE,
            "inference input '%.60s' data-type is '%s', but model '%.60s' "
            "expects '%s'",
            port->name, hearth_dtype_oip(tensor->dtype), f->name,
            hearth_dtype_oip(port->dtype) ? hearth_dtype_oip(port->dtype)
                                          : hearth_dtype_name(port->dtype));
    if (!fits(&port->shape, &tensor->shape))
        return hearth_fail(
            err, HEARTH_ESHAPE,
            "unexpected shape for input '%.50s' for model '%.50s'. Expected "
            "%s, got %s",
            port->name, f->name,
            expected_shape(&port->shape, want, sizeof want),
            hearth_shape_text(&tensor->shape, got, sizeof got));
    return HEARTH_OK;
}

int hearth__function_check(const hearth_function_t *f,
                           const struct hearth_tensor_list *inputs,
                           struct hearth_function_context *context,
                           struct hearth_error *err)
{
    bool batched = f->batched || f->info.max_batch > 0;
    int rc = check_names(f, inputs, err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < f->input_count; i++) {
        const struct hearth_tensor *tensor =
            hearth_tensor_list_find(inputs, f->inputs[i].name);
        int64_t batch = tensor->shape.rank > 0 ? tensor->shape.dims[0] : 1;
        rc = check_tensor(f, &f->inputs[i], tensor, err);
        if (rc == HEARTH_OK && f->info.max_batch > 0 &&
            batch > f->info.max_batch)
            rc = hearth_fail(
                err, HEARTH_EINVAL,
                "inference request batch-size must be <= %u for '%.60s'",
                f->info.max_batch, f->name);
        if (i == 0 && batched)
            context->batch = batch < UINT32_MAX ? (uint32_t)batch : UINT32_MAX;
    }
    return rc;
}
