/* SPDX-License-Identifier: Apache-2.0 */
/*
 * case.h: a case of tests/conformance as the file "data" of its directory has
 * it (tests/conformance/cases.py writes it), and the comparison of an answer
 * with what it expects.
 *
 * Little endian: "HCASE01\n", f64 rtol, f64 atol, u32 sets; a set: u32 inputs,
 * u32 outputs, then the tensors of both; a tensor: u32 n, its name of n bytes,
 * u32 ONNX type, u32 rank, i64 dimensions, u64 n, its n bytes.
 */
#ifndef HEARTH_TESTS_CONFORMANCE_CASE_H
#define HEARTH_TESTS_CONFORMANCE_CASE_H

#include "tensor/tensor.h"

enum verdict { PASSED = 0, FAILED, UNSUPPORTED };

struct case_set {
    struct hearth_tensor_list inputs, outputs;
};
struct test_case {
    double rtol, atol;
    uint32_t set_count; /* 0: its tensors are of types that Hearth lacks */
    struct case_set *sets;
};

/* False with <why> filled; the case is empty then. */
bool case_read(struct test_case *c, const char *directory, char *why,
               size_t size);
void case_free(struct test_case *c);
/* As ONNX's own runner compares: names by position, type and shape exactly,
 * |got - want| <= atol + rtol * |want|, NaN is NaN. False with <why> filled. */
bool case_compare(const struct test_case *c,
                  const struct hearth_tensor_list *want,
                  const struct hearth_tensor_list *got, char *why, size_t size);

#endif
