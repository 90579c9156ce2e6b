/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operator on the devices cpu and sim, by the cases of ops_samples.h: the
 * first input comes with the request, the others are weights; then all come
 * with the request. Through the plugin ABI, as the core does it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/device_run.h"
#include "unit/ops_samples.h"

static const struct sample *current; /* whose inputs are the weights */
static uint32_t weights_from;        /* inputs from this number on */

static const void *weight_at(uint64_t offset, uint64_t bytes)
{
    const struct tensor *t = &current->in[offset >> 40];
    assert_true((offset & 0xffffffffff) + bytes <= t->bytes);
    return (const char *)t->data + (offset & 0xffffffffff);
}

static int map_weight(void *ctx, uint32_t segment, uint64_t offset,
                      uint64_t bytes, const void **data,
                      struct hearth_error *err)
{
    (void)ctx;
    (void)segment;
    (void)err;
    *data = weight_at(offset, bytes);
    return HEARTH_OK;
}

static int read_weight(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    (void)ctx;
    (void)segment;
    (void)err;
    memcpy(dst, weight_at(offset, bytes), bytes);
    return HEARTH_OK;
}

static const struct hearth_weights weights = {
    .struct_bytes = sizeof weights, .map = map_weight, .read = read_weight};

static uint32_t place(struct ops_block *b, uint32_t k, const struct tensor *t)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                        "i", "j", "k", "l", "m", "n", "o", "p"};
    if (k < weights_from)
        return ops_block_input(b, names[k], t->dtype, t->shape.rank,
                               t->shape.dims);
    return ops_block_weight(b, t->dtype, t->shape.rank, t->shape.dims,
                            (uint64_t)k << 40);
}

/* False: the device refuses it, which must be for a reason of the graph. */
static bool run_sample(hearth_device_t *device, struct sample *s)
{
    struct device_run run;
    struct hearth_view inputs[OPS_SAMPLE_MOST];
    const struct hearth_graph *g = ops_block_graph(s->block);
    uint32_t count = 0;
    current = s;
    for (uint32_t k = 0; k < s->inputs && k < weights_from; k++)
        if (s->in[k].present)
            inputs[count++] = hearth_view_dense(s->in[k].data, s->in[k].dtype,
                                                &s->in[k].shape);
    int rc = device_run_load(&run, device, g, &weights);
    if (rc != HEARTH_OK) {
        /* A shape that comes with the request is not known before. */
        if (rc != HEARTH_EUNSUPPORTED)
            fail_msg("%s on %s: load: %s", s->name, device->name,
                     run.error.text);
        return false;
    }
    rc = device_run_execute(&run, inputs);
    if (rc != HEARTH_OK)
        fail_msg("%s on %s: %s", s->name, device->name, run.error.text);
    for (uint32_t k = 0; k < s->outputs; k++) {
        assert_true(
            hearth_shape_equal(&run.outputs[k].shape, &s->out[k].shape));
        assert_int_equal(run.outputs[k].dtype, s->out[k].dtype);
        ops_samples_compare(s, &s->out[k], run.outputs[k].data, 1e-3, 1e-4,
                            device->name);
    }
    device_run_unload(&run);
    return true;
}

static void run_all(const char *list, uint32_t from)
{
    hearth_device_t **devices;
    uint32_t count, done = 0;
    struct hearth_error err = {0};
    hearth_device_host_set(NULL);
    if (hearth_devices_open(list, NULL, 0, false, &devices, &count, &err) != 0)
        fail_msg("%s", err.text);
    weights_from = from;
    uint32_t samples = ops_samples_open();
    for (uint32_t i = 0; i < samples; i++) {
        struct sample s;
        ops_samples_take(&s, place);
        /* Outputs beyond the first are no outputs of the sample's graph. */
        s.outputs = s.outputs > 1 ? 1 : s.outputs;
        done += run_sample(devices[0], &s);
        ops_samples_drop(&s);
    }
    ops_samples_close();
    /* With the first input alone few are shapes: ConstantOfShape's and
     * windows'. */
    assert_true(done >= (from == 1 ? samples - samples / 20 : samples / 2));
    hearth_devices_close(&devices, count);
}

static void every_operator_on_the_modelled_device(void **state)
{
    (void)state;
    run_all("sim", 1);
    run_all("sim", OPS_SAMPLE_MOST);
}

static void every_operator_on_the_cpu(void **state)
{
    (void)state;
    const struct hearth_plugin *plugin;
    if (hearth_plugin_load(NULL, "cpu", &plugin, NULL) != HEARTH_OK)
        skip(); /* built without oneDNN */
    run_all("cpu", 1);
    run_all("cpu", OPS_SAMPLE_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_on_the_modelled_device),
        cmocka_unit_test(every_operator_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
