/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_run.h: runs a graph on a device through the plugin ABI, with its arena
 * and its outputs, for tests. Asserts on misuse.
 */
#ifndef HEARTH_TESTS_DEVICE_RUN_H
#define HEARTH_TESTS_DEVICE_RUN_H

#include "device/device.h"

#define DEVICE_RUN_OUTPUTS 16

struct device_run {
    hearth_device_t *device;
    hearth_queue_t *queue;
    hearth_dev_model_t *model;
    uint64_t model_bytes; /* as load or the last plan said */
    bool planned;
    const struct hearth_graph *graph;
    /* Of the last run; the next one frees them. */
    struct hearth_view outputs[DEVICE_RUN_OUTPUTS];
    int status;
    struct hearth_error error;
};

/* Loads; the status of footprint or load. Asserts that a footprint took
 * nothing and that the load took what it said. */
int device_run_load(struct device_run *run, hearth_device_t *device,
                    const struct hearth_graph *graph,
                    const struct hearth_weights *weights);
/* Plans, executes, waits; run->outputs on success. */
int device_run_execute(struct device_run *run,
                       const struct hearth_view *inputs);
/* Unloads; asserts that all was given back. */
void device_run_unload(struct device_run *run);

#endif
