/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_case.h: a graph with seeded random weights, for tests of plugins/cpu, and
 * the rows of ops as the reference. The plugin is linked, not loaded, so that
 * its insides can be made to fail. Asserts on misuse; one thread.
 */
#ifndef HEARTH_TESTS_CPU_CASE_H
#define HEARTH_TESTS_CPU_CASE_H

#include "unit/device_run.h"
#include "unit/ops_block.h"

struct cpu_case {
    struct ops_block *block;
    uint64_t random; /* state */
    char *bytes;     /* of the weights; ONNX aligns nothing, so do we */
    uint64_t count, room;
    struct hearth_weights weights;
    uint64_t reads;     /* calls for weights */
    uint64_t fail_read; /* this one fails; 0: none */
};

/* The host's clock, which each look moves by <cpu_tick_us>. */
extern int64_t cpu_now_us, cpu_tick_us;

/* What the plugin logged, as much as there is room for. */
extern char cpu_log[4096];

/* Opens the CPU with that spec; asserts that it opens. */
void cpu_open(hearth_device_t *device, const char *spec);
void cpu_close(hearth_device_t *device);

/* <c> stays where it is until cpu_case_free. */
void cpu_case_init(struct cpu_case *c, uint64_t seed);
void cpu_case_free(struct cpu_case *c);
/* In [0, n). */
int64_t cpu_random(struct cpu_case *c, int64_t n);
/* In [-scale, scale). */
float cpu_random_float(struct cpu_case *c, float scale);
/* A weight of random numbers in [-scale, scale) + middle. */
uint32_t cpu_case_weight(struct cpu_case *c, int rank, const int64_t *dims,
                         float scale, float middle);
/* Dense f32 numbers of that shape in [-2, 2), for free(view.data). */
struct hearth_view cpu_case_input(struct cpu_case *c,
                                  const struct hearth_shape *shape);
/* Runs the graph with the rows of ops; outputs for free(outputs[i].data). */
void cpu_case_reference(struct cpu_case *c, const struct hearth_view *inputs,
                        struct hearth_view *outputs);
/* Asserts |a-b| <= 1e-4 + 1e-3 |b| for each output of the last run. */
void cpu_case_compare(const struct device_run *run,
                      const struct hearth_view *want, const char *what);
/* Loads, runs at these shapes of the inputs, compares, unloads. */
void cpu_case_check(struct cpu_case *c, hearth_device_t *device,
                    const struct hearth_shape *shapes, const char *what);

#endif
