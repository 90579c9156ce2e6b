/* SPDX-License-Identifier: Apache-2.0 */
/*
 * npy.c: the header is a Python dictionary as text: {'descr': '<f4',
 * 'fortran_order': False, 'shape': (1, 8, 8), }. numpy writes it in this form
 * only, so its keys are looked for by name.
 */
#include "tool/npy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "\x93NUMPY";

bool hearth__npy_known(const void *data, uint64_t bytes)
{
    return bytes >= 10 && memcmp(data, magic, 6) == 0;
}

static enum hearth_dtype dtype_of(const char *text)
{
    static const struct {
        const char *name;
        enum hearth_dtype dtype;
    } types[] = {
        {"<f4", HEARTH_F32}, {"<f8", HEARTH_F64}, {"<f2", HEARTH_F16},
        {"|u1", HEARTH_U8},  {"|i1", HEARTH_I8},  {"<u2", HEARTH_U16},
        {"<i2", HEARTH_I16}, {"<u4", HEARTH_U32}, {"<i4", HEARTH_I32},
        {"<u8", HEARTH_U64}, {"<i8", HEARTH_I64}, {"|b1", HEARTH_BOOL},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (strncmp(text, types[i].name, 3) == 0)
            return types[i].dtype;
    return HEARTH_DTYPE_NONE;
}

/* What stands behind "'KEY':". */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);

    if (at == NULL)
        return "";
    at += strlen(key);
    return at + strspn(at, " :");
}

static bool read_shape(const char *text, struct hearth_shape *shape)
{
    shape->rank = 0;
    if (*text++ != '(')
        return false;
    for (;;) {
        char *end;

        text += strspn(text, " ,");
        if (*text == ')')
            return true;
        errno = 0;
        if (shape->rank == HEARTH_RANK_MAX || *text < '0' || *text > '9')
            return false;
        shape->dims[shape->rank++] = strtoll(text, &end, 10);
        if (errno != 0)
            return false;
        text = end;
    }
}

int hearth__npy_read(struct hearth_npy *npy, const void *data, uint64_t bytes,
                     struct hearth_error *err)
{
    const unsigned char *p = data;
    char header[4096];
    uint64_t start, length, want;

    if (!hearth__npy_known(data, bytes))
        return hearth_fail(err, HEARTH_EPROTO, "not a .npy file");
    start = p[6] == 1 ? 10 : 12;
    if (bytes < start)
        return hearth_fail(err, HEARTH_EPROTO, "the .npy file ends early");
    length = p[8] | (uint64_t)p[9] << 8;
    if (start == 12)
        length |= (uint64_t)p[10] << 16 | (uint64_t)p[11] << 24;
    if (length >= sizeof(header) || length > bytes - start)
        return hearth_fail(err, HEARTH_EPROTO,
                           "the .npy file's header is "
                           "longer than it may be");
    memcpy(header, p + start, length);
    header[length] = '\0';
    npy->dtype = dtype_of(value_of(header, "'descr'") + 1);
    if (*value_of(header, "'descr'") != '\'' || npy->dtype == HEARTH_DTYPE_NONE)
        return hearth_fail(err, HEARTH_ETYPE,
                           "the .npy file's type is none that a model takes: "
                           "save plain little-endian numbers");
    if (strncmp(value_of(header, "'fortran_order'"), "False", 5) != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the .npy file is in column order: save "
                           "numpy.ascontiguousarray(x)");
    if (!read_shape(value_of(header, "'shape'"), &npy->shape) ||
        !hearth_shape_bytes(&npy->shape, npy->dtype, &want))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the .npy file's shape is not understood");
    npy->data = p + start + length;
    npy->bytes = bytes - start - length;
    if (want != npy->bytes)
        return hearth_fail(err, HEARTH_EPROTO,
                           "the .npy file has %llu bytes of numbers, its shape "
                           "says %llu",
                           (unsigned long long)npy->bytes,
                           (unsigned long long)want);
    return HEARTH_OK;
}
