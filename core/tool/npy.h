/* SPDX-License-Identifier: Apache-2.0 */
/* npy.h: numpy's .npy files: one dense, little-endian, row-major array. Pure.
 */
#ifndef HEARTH_TOOL_NPY_H
#define HEARTH_TOOL_NPY_H

#include "base/base.h"

struct hearth_npy {
    enum hearth_dtype dtype;
    struct hearth_shape shape;
    const void *data; /* in what was read */
    uint64_t bytes;
};
/* Is it one, by its first bytes? */
bool hearth__npy_known(const void *data, uint64_t bytes);
/* HEARTH_EPROTO, ETYPE, ESHAPE with what is wrong. */
int hearth__npy_read(struct hearth_npy *npy, const void *data, uint64_t bytes,
                     struct hearth_error *err);

#endif
