/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_fixture.h: a function in a directory of its own, for tests of the flow:
 * y = relu(x), x and y f32 [batch,2], as a minimal ONNX file written here byte
 * by byte, and its hearth.yaml.
 */
#ifndef HEARTH_TESTS_FLOW_FIXTURE_H
#define HEARTH_TESTS_FLOW_FIXTURE_H

#include <stdint.h>

struct flow_fixture {
    char dir[64];
    char yaml[96]; /* path */
};
/* <extra> lines are appended to the hearth.yaml. Asserts on failure. <name>
 * goes into the model too, so that two names are two models. */
void flow_fixture_make(struct flow_fixture *fixture, const char *name,
                       const char *extra);
void flow_fixture_remove(struct flow_fixture *fixture);

#endif
