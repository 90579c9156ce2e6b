/* SPDX-License-Identifier: Apache-2.0 */
/* ops_samples.c: see ops_samples.h. */
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/ops_impl.h"
#include "unit/ops_samples.h"

static const unsigned char *file, *at;
static size_t file_bytes;

static void take(void *dst, size_t bytes)
{
    assert_true(bytes <= (size_t)(file + file_bytes - at));
    memcpy(dst, at, bytes);
    at += bytes;
}

static uint32_t take_u32(void)
{
    uint32_t v;
    take(&v, sizeof v);
    return v;
}

/* Adds the samples of one file to those at hand; how many. */
static uint32_t load(const char *path)
{
    uint32_t head[2];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t bytes = (size_t)ftell(f);
    rewind(f);
    assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
    assert_int_equal(head[0], 0x5653504f);
    bytes -= sizeof head;
    unsigned char *data =
        realloc((void *)(uintptr_t)file, file_bytes + bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data + file_bytes, 1, bytes, f), bytes);
    fclose(f);
    file = at = data;
    file_bytes += bytes;
    return head[1];
}

/* A file for each family of operators, ops_vectors*.bin. */
uint32_t ops_samples_open(void)
{
    char pattern[512];
    const char *dir = getenv("HEARTH_SRCDIR");
    glob_t found;
    uint32_t count = 0;
    snprintf(pattern, sizeof pattern, "%s/tests/unit/data/ops_vectors*.bin",
             dir == NULL ? "." : dir);
    file_bytes = 0;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        count += load(found.gl_pathv[i]);
    globfree(&found);
    return count;
}

static void take_tensor(struct tensor *t)
{
    uint8_t head[2];
    uint16_t rank;
    take(head, 2);
    take(&rank, 2);
    t->present = head[0];
    t->dtype = (enum hearth_dtype)head[1];
    t->data = NULL;
    if (!t->present)
        return;
    t->shape.rank = rank;
    assert_true(rank <= HEARTH_RANK_MAX);
    take(t->shape.dims, rank * sizeof(int64_t));
    assert_true(hearth_shape_bytes(&t->shape, t->dtype, &t->bytes));
    t->data = malloc(t->bytes + 1);
    take(t->data, t->bytes);
}

static void take_attr(struct ops_block *b)
{
    uint32_t key = take_u32(), type = take_u32(), count = take_u32();
    int64_t ints[32];
    double floats[32];
    char text[33] = "";
    assert_true(count <= 32);
    if (type == HEARTH_ATTR_INTS) {
        take(ints, count * sizeof ints[0]);
        ops_block_ints(b, (enum hearth_attr)key, count, ints);
    } else if (type == HEARTH_ATTR_FLOATS) {
        take(floats, count * sizeof floats[0]);
        ops_block_floats(b, (enum hearth_attr)key, count, floats);
    } else {
        take(text, count);
        ops_block_string(b, (enum hearth_attr)key, text);
    }
}

static uint32_t place_constant(struct ops_block *b, uint32_t k,
                               const struct tensor *t)
{
    (void)k;
    return ops_block_const(b, t->dtype, t->shape.rank, t->shape.dims, t->data);
}

void ops_samples_take(struct sample *s,
                      uint32_t (*place)(struct ops_block *b, uint32_t k,
                                        const struct tensor *t))
{
    if (place == NULL)
        place = place_constant;
    uint32_t len = take_u32();
    memset(s, 0, sizeof *s);
    assert_true(len < sizeof s->name);
    take(s->name, len);
    s->op = take_u32();
    s->attrs = take_u32();
    s->inputs = take_u32();
    s->outputs = take_u32();
    take(&s->rtol, sizeof s->rtol);
    take(&s->atol, sizeof s->atol);
    assert_true(s->inputs <= OPS_SAMPLE_MOST &&
                s->outputs <= OPS_SAMPLE_MOST);
    s->block = ops_block_new();
    for (uint32_t i = 0; i < s->attrs; i++)
        take_attr(s->block);
    for (uint32_t i = 0; i < s->inputs; i++) {
        take_tensor(&s->in[i]);
        s->numbers[i] = HEARTH_NO_VALUE;
        if (s->in[i].present)
            s->numbers[i] = place(s->block, i, &s->in[i]);
    }
    for (uint32_t i = 0; i < s->outputs; i++)
        take_tensor(&s->out[i]);
    ops_block_output(s->block,
                     ops_block_node(s->block, (enum hearth_op)s->op, s->inputs,
                                    s->numbers, s->outputs));
}

void ops_samples_drop(struct sample *s)
{
    for (uint32_t i = 0; i < OPS_SAMPLE_MOST; i++) {
        free(s->in[i].data);
        free(s->out[i].data);
    }
    ops_block_free(s->block);
}

void ops_samples_close(void)
{
    assert_ptr_equal(at, file + file_bytes);
    free((void *)(uintptr_t)file);
    file = at = NULL;
}

/* ---- Comparing ---- */

static double number(const struct tensor *t, const void *data, int64_t i,
                     int64_t *exact)
{
    union hearth__ops_num x;
    hearth__ops_load(&x, data, t->dtype, i, 0, 1);
    *exact = x.i;
    switch (hearth__ops_kind(t->dtype)) {
    case HEARTH__OPS_FLOAT:
        return x.f;
    case HEARTH__OPS_SIGNED:
        return (double)x.i;
    default:
        return (double)x.u;
    }
}

void ops_samples_compare(const struct sample *s, const struct tensor *want,
                         const void *got, double rtol, double atol,
                         const char *how)
{
    int64_t count;
    rtol = rtol > s->rtol ? rtol : s->rtol;
    atol = atol > s->atol ? atol : s->atol;
    assert_true(hearth_shape_count(&want->shape, &count));
    for (int64_t i = 0; i < count; i++) {
        int64_t ea, eb;
        double a = number(want, want->data, i, &ea);
        double b = number(want, got, i, &eb);
        bool real = hearth__ops_kind(want->dtype) == HEARTH__OPS_FLOAT;
        bool ok = ea == eb;
        if (real)
            ok = a == b || (isnan(a) && isnan(b)) ||
                 fabs(a - b) <= atol + rtol * fabs(a);
        if (!ok)
            fail_msg("%s, %s: element %lld is %.17g, must be %.17g", s->name,
                     how, (long long)i, b, a);
    }
}
