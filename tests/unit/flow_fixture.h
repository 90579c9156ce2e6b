/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_fixture.h: a function in a directory of its own, for tests of the flow:
 * y = relu(x A B), x and y f32 [batch,2], A [2,n] ones and B [n,2] of 1/n, or
 * y = relu(x) when n is 0; and its hearth.yaml. For f32 x: each y is the sum of
 * the two x.
 */
#ifndef HEARTH_TESTS_FLOW_FIXTURE_H
#define HEARTH_TESTS_FLOW_FIXTURE_H

#include <stdint.h>

struct flow_fixture {
    char dir[64];
    char yaml[96]; /* path */
};
/* <extra> lines are appended to the hearth.yaml. Asserts on failure. <name>
 * goes into the model too, so that two names are two models. The weights are
 * 16 * <n> bytes. */
void flow_fixture_make(struct flow_fixture *fixture, const char *name,
                       uint32_t n, const char *extra);
void flow_fixture_remove(struct flow_fixture *fixture);

#endif
