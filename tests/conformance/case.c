/* SPDX-License-Identifier: Apache-2.0 */
/* case.c: see case.h. */
#include "conformance/case.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

struct reader {
    const char *at, *end;
    bool bad;
};

static const char *take(struct reader *r, uint64_t bytes)
{
    const char *at = r->at;
    if (r->bad || bytes > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    r->at += bytes;
    return at;
}

static uint64_t number(struct reader *r, size_t bytes)
{
    uint64_t value = 0;
    const char *at = take(r, bytes);
    if (at != NULL)
        memcpy(&value, at, bytes);
    return value;
}

static double real(struct reader *r)
{
    uint64_t bits = number(r, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void read_tensor(struct reader *r, struct hearth_tensor_list *list)
{
    struct hearth_shape shape = {0};
    char name[256] = "";
    hearth_buffer_t *buffer;
    uint64_t name_bytes = number(r, 4), want;
    const char *text = take(r, name_bytes);
    if (text != NULL && name_bytes < sizeof name)
        memcpy(name, text, name_bytes);
    enum hearth_dtype dtype = (enum hearth_dtype)number(r, 4);
    uint64_t rank = number(r, 4);
    r->bad |= rank > HEARTH_RANK_MAX || name_bytes >= sizeof name;
    for (uint64_t i = 0; !r->bad && i < rank; i++)
        shape.dims[i] = (int64_t)number(r, 8);
    shape.rank = (int32_t)rank;
    uint64_t bytes = number(r, 8);
    const char *data = take(r, bytes);
    if (r->bad || !hearth_shape_bytes(&shape, dtype, &want) || want != bytes ||
        hearth_buffer_create(bytes, NULL, &buffer) != HEARTH_OK) {
        r->bad = true;
        return;
    }
    if (bytes > 0)
        memcpy(hearth_buffer_data(buffer), data, bytes);
    if (hearth_tensor_list_add(list, name, dtype, &shape, buffer, 0) !=
        HEARTH_OK)
        r->bad = true;
    hearth_buffer_unref(buffer);
}

static char *read_all(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    long size;
    if (f == NULL)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0) {
        rewind(f);
        data = malloc((size_t)size);
        if (data != NULL && fread(data, 1, (size_t)size, f) != (size_t)size) {
            free(data);
            data = NULL;
        }
        *bytes = (size_t)size;
    }
    fclose(f);
    return data;
}

bool case_read(struct test_case *c, const char *directory, char *why,
               size_t size)
{
    char path[1024];
    size_t bytes = 0;
    memset(c, 0, sizeof *c);
    snprintf(path, sizeof path, "%s/data", directory);
    char *data = read_all(path, &bytes);
    struct reader r = {data, data != NULL ? data + bytes : NULL, data == NULL};
    const char *magic = take(&r, 8);
    r.bad |= magic == NULL || memcmp(magic, "HCASE01\n", 8) != 0;
    c->rtol = real(&r);
    c->atol = real(&r);
    uint64_t sets = number(&r, 4);
    r.bad |= sets > 64;
    if (!r.bad)
        c->sets = calloc(sets + 1, sizeof *c->sets);
    r.bad |= c->sets == NULL;
    for (uint64_t i = 0; !r.bad && i < sets; i++) {
        uint64_t inputs = number(&r, 4), outputs = number(&r, 4);
        c->set_count++;
        for (uint64_t k = 0; !r.bad && k < inputs; k++)
            read_tensor(&r, &c->sets[i].inputs);
        for (uint64_t k = 0; !r.bad && k < outputs; k++)
            read_tensor(&r, &c->sets[i].outputs);
    }
    free(data);
    if (!r.bad)
        return true;
    snprintf(why, size, "%.400s is no case: remove the cache and run again",
             path);
    case_free(c);
    return false;
}

void case_free(struct test_case *c)
{
    for (uint32_t i = 0; i < c->set_count; i++) {
        hearth_tensor_list_clear(&c->sets[i].inputs);
        hearth_tensor_list_clear(&c->sets[i].outputs);
    }
    free(c->sets);
    memset(c, 0, sizeof *c);
}

/* ---- Comparing ---- */

/* Exact for every type: a long double has 64 bits of mantissa. */
static long double element(const void *data, enum hearth_dtype dtype, int64_t i)
{
    switch (dtype) {
    case HEARTH_F32:
        return ((const float *)data)[i];
    case HEARTH_F64:
        return ((const double *)data)[i];
    case HEARTH_F16:
        return hearth_f16_to_f32(((const uint16_t *)data)[i]);
    case HEARTH_BF16:
        return hearth_bf16_to_f32(((const uint16_t *)data)[i]);
    case HEARTH_U8:
    case HEARTH_BOOL:
        return ((const uint8_t *)data)[i];
    case HEARTH_I8:
        return ((const int8_t *)data)[i];
    case HEARTH_U16:
        return ((const uint16_t *)data)[i];
    case HEARTH_I16:
        return ((const int16_t *)data)[i];
    case HEARTH_U32:
        return ((const uint32_t *)data)[i];
    case HEARTH_I32:
        return ((const int32_t *)data)[i];
    case HEARTH_U64:
        return (long double)((const uint64_t *)data)[i];
    case HEARTH_I64:
        return (long double)((const int64_t *)data)[i];
    default:
        return NAN;
    }
}

static bool close_enough(long double got, long double want, double rtol,
                         double atol)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want))
        return got == want;
    return fabsl(got - want) <=
           (long double)atol + (long double)rtol * fabsl(want);
}

static bool compare_tensor(const struct test_case *c,
                           const struct hearth_tensor *want,
                           const struct hearth_tensor *got, char *why,
                           size_t size)
{
    char a[96], b[96];
    int64_t count = 0, wrong = 0, first = -1;
    if (got->dtype != want->dtype) {
        snprintf(why, size, "'%.60s' is %s, not %s", want->name,
                 hearth_dtype_name(got->dtype), hearth_dtype_name(want->dtype));
        return false;
    }
    if (!hearth_shape_equal(&got->shape, &want->shape)) {
        snprintf(why, size, "'%.60s' has the shape %s, not %s", want->name,
                 hearth_shape_text(&got->shape, a, sizeof a),
                 hearth_shape_text(&want->shape, b, sizeof b));
        return false;
    }
    const void *g = hearth_tensor_view(got).data;
    const void *w = hearth_tensor_view(want).data;
    double rtol = c->rtol;
    if (want->dtype == HEARTH_BF16 && rtol < 1.0 / 64)
        rtol = 1.0 / 64; /* two of its last digits, as ONNX's runner has it */
    if (want->dtype == HEARTH_F16 && rtol < 1.0 / 512)
        rtol = 1.0 / 512; /* as many: ONNX's evaluator sums f16 in f16 */
    (void)hearth_shape_count(&want->shape, &count);
    for (int64_t i = 0; i < count; i++) {
        if (close_enough(element(g, want->dtype, i), element(w, want->dtype, i),
                         rtol, c->atol))
            continue;
        if (wrong++ == 0)
            first = i;
    }
    if (wrong == 0)
        return true;
    snprintf(why, size,
             "'%.60s' %s%s: element %lld is %.9Lg, not %.9Lg; %lld of %lld "
             "differ",
             want->name, hearth_dtype_name(want->dtype),
             hearth_shape_text(&want->shape, a, sizeof a), (long long)first,
             element(g, want->dtype, first), element(w, want->dtype, first),
             (long long)wrong, (long long)count);
    return false;
}

bool case_compare(const struct test_case *c,
                  const struct hearth_tensor_list *want,
                  const struct hearth_tensor_list *got, char *why, size_t size)
{
    if (want->count != got->count) {
        snprintf(why, size, "%u outputs, not %u", got->count, want->count);
        return false;
    }
    for (uint32_t i = 0; i < want->count; i++)
        if (!compare_tensor(c, &want->items[i], &got->items[i], why, size))
            return false;
    return true;
}
