/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix product and Winograd's convolution of plugins/cpu against sums in
 * double: sizes that fill no tile, panel or block, both layouts, sums over what
 * is there, padding of every kind.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "activate.h"
#include "gemm.h"
#include "unit/cpu_case.h"
#include "winograd.h"

static int block;

static uint64_t state_of_random = 7;

static float number(void)
{
    state_of_random =
        state_of_random * UINT64_C(6364136223846793005) + UINT64_C(1442695);
    return (float)(int32_t)(state_of_random >> 32) / 2147483648.0f;
}

static float *numbers(int64_t count)
{
    float *x = malloc((size_t)(count + 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = number();
    return x;
}

static void is_close(double a, double b)
{
    if (!(fabs(a - b) <= 1e-4 + 1e-3 * fabs(b)))
        fail_msg("%.9g is not %.9g", a, b);
}

static double activated(double x, enum hearth_activation act)
{
    switch (act) {
    case HEARTH_ACT_RELU:
        return x < 0 ? 0 : x;
    case HEARTH_ACT_CLIP:
        return x < -0.25 ? -0.25 : x > 0.5 ? 0.5 : x;
    case HEARTH_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case HEARTH_ACT_TANH:
        return tanh(x);
    case HEARTH_ACT_GELU:
        return x * (1 + erf(x * sqrt(0.5))) / 2;
    case HEARTH_ACT_GELU_TANH:
        return x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    case HEARTH_ACT_SWISH:
        return x / (1 + exp(-x));
    case HEARTH_ACT_HARD_SWISH:
        return x * fmin(1, fmax(0, x / 6 + 0.5));
    default:
        return x;
    }
}

/* ---- Products ---- */

struct product {
    int64_t m, n, k;
    bool transposed, blocked, bias, sum;
    enum hearth_activation act;
};

/* Where (row, column) lies. */
static int64_t place(const struct product *p, int64_t rows, int64_t columns,
                     int64_t r, int64_t c)
{
    return p->blocked ? c / block * rows * block + r * block + c % block
                      : r * columns + c;
}

static int64_t filled(const struct product *p, int64_t columns)
{
    return p->blocked ? (columns + block - 1) / block * block : columns;
}

static double expected(const struct product *p, const float *a, const float *b,
                       const float *bias, const float *z, int64_t r, int64_t c)
{
    double sum = p->bias ? (double)bias[c] : 0;
    for (int64_t k = 0; k < p->k; k++)
        sum += (double)a[place(p, p->m, p->k, r, k)] *
               (double)b[p->transposed ? c * p->k + k : k * p->n + c];
    if (p->sum)
        sum += (double)z[place(p, p->m, p->n, r, c)];
    return activated(sum, p->act);
}

static void check_product(const struct product *p, bool alone)
{
    int64_t a_count = p->m * filled(p, p->k), c_count = p->m * filled(p, p->n);
    float *a = numbers(a_count), *b = numbers(p->k * p->n);
    float *bias = numbers(p->n), *z = numbers(c_count), *c = numbers(c_count);
    float *packed =
        malloc((size_t)cpu_gemm_packed_bytes(filled(p, p->k), p->n, block) + 1);
    float *room = malloc((size_t)cpu_gemm_room(p->m, p->k, block));
    struct cpu_gemm g = {.m = p->m,
                         .n = p->n,
                         .k = p->k,
                         .a = a,
                         .a_row = p->blocked ? block : p->k,
                         .a_block = p->blocked ? p->m * block : block,
                         .b = packed,
                         .c = c,
                         .c_row = p->blocked ? block : p->n,
                         .c_block = p->blocked ? p->m * block : block,
                         .bias = p->bias ? bias : NULL,
                         .z = p->sum ? z : NULL,
                         .room = p->bias ? room : NULL,
                         .act = p->act,
                         .alpha = -0.25f,
                         .beta = 0.5f,
                         .filled = p->blocked};
    assert_non_null(packed);
    assert_non_null(room);
    cpu_gemm_pack(b, p->transposed ? 1 : p->n, p->transposed ? p->k : 1, p->k,
                  p->n, block, packed);
    (alone ? cpu_gemm_run_alone : cpu_gemm_run)(&g, block);
    for (int64_t r = 0; r < p->m; r++)
        for (int64_t i = 0; i < p->n; i++)
            is_close((double)c[place(p, p->m, p->n, r, i)],
                     expected(p, a, b, bias, z, r, i));
    free(a);
    free(b);
    free(bias);
    free(z);
    free(c);
    free(packed);
    free(room);
}

static void products_of_every_size_are_right(void **state)
{
    static const int64_t sizes[][3] = {
        {1, 1, 1},    {1, 40, 7},    {2, 16, 8},    {5, 17, 9},
        {6, 33, 31},  {7, 15, 64},   {13, 100, 12}, {49, 31, 300},
        {197, 40, 5}, {200, 97, 40}, {400, 9, 33},  {12, 130, 513},
        {49, 48, 20}, {25, 80, 300}, {1, 300, 70},  {131, 640, 270}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int how = 0; how < 16; how++) {
            const struct product p = {.m = sizes[i][0],
                                      .n = sizes[i][1],
                                      .k = sizes[i][2],
                                      .transposed = how & 1,
                                      .blocked = how & 2,
                                      .bias = how & 4,
                                      .sum = how & 8,
                                      .act =
                                          (enum hearth_activation)((int)i % 9)};
            check_product(&p, how % 3 == 0);
        }
}

static void a_product_of_no_rows_is_nothing(void **state)
{
    (void)state;
    const struct product p = {.m = 0, .n = 20, .k = 8, .act = HEARTH_ACT_TANH};
    check_product(&p, false);
}

/* ---- Activations ---- */

/* Of numbers of every size, in place, over rows that fill no vector. */
static void activations_are_right_everywhere(void **state)
{
    enum { N = 3 * 61 };
    float x[N], y[N];
    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = (float)(i - N / 2) * (i % 3 == 0   ? 0.01f
                                     : i % 3 == 1 ? 0.1f
                                                  : 2);
    for (int act = HEARTH_ACT_NONE; act <= HEARTH_ACT_HARD_SWISH; act++) {
        memcpy(y, x, sizeof y);
        cpu_activate_of(block)(y, y, 3, 60, 61, (enum hearth_activation)act,
                               -0.25f, 0.5f);
        for (int i = 0; i < N; i++) {
            double want = activated((double)x[i], (enum hearth_activation)act);
            if (i % 61 == 60)
                want = (double)x[i];
            if (fabs((double)y[i] - want) > 2e-6 + 1e-6 * fabs(want))
                fail_msg("act %d of %.9g: %.9g is not %.9g", act, (double)x[i],
                         (double)y[i], want);
        }
    }
}

static void no_number_stays_none(void **state)
{
    const float none[] = {NAN, 1, INFINITY, -INFINITY};
    (void)state;
    for (int act = HEARTH_ACT_NONE; act <= HEARTH_ACT_HARD_SWISH; act++) {
        float y[4];
        cpu_activate_of(block)(none, y, 1, 4, 4, (enum hearth_activation)act, 0,
                               6);
        assert_true(isnan(y[0]));
        assert_false(isnan(y[1]));
        cpu_activate_of(block)(none + 2, y, 1, 1, 1,
                               (enum hearth_activation)act, 0, INFINITY);
        assert_true(y[0] == 1 || isinf(y[0]));
    }
}

static void shares_add_up_to_one(void **state)
{
    float x[40], y[40];
    (void)state;
    for (int64_t n = 1; n <= 40; n++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            x[i] = i == 3 ? -INFINITY : 30 * number();
            sum += exp((double)x[i]);
        }
        cpu_softmax_of(block)(x, y, n, 1, NULL);
        for (int64_t i = 0; i < n; i++)
            is_close((double)y[i], exp((double)x[i]) / sum);
    }
}

/* ---- Winograd ---- */

struct picture {
    int64_t batch, in, out, height, width,
        pad[4]; /* top, left, bottom, right */
    bool bias, sum;
    enum hearth_activation act;
};

static int64_t at(int64_t channels, const int64_t size[2], int64_t n, int64_t c,
                  int64_t y, int64_t x)
{
    int64_t blocks = (channels + block - 1) / block;
    return (((n * blocks + c / block) * size[0] + y) * size[1] + x) * block +
           c % block;
}

static double convolved(const struct cpu_conv *c, const float *src,
                        const float *weights, int64_t n, int64_t o, int64_t y,
                        int64_t x)
{
    const struct hearth_window *w = &c->window;
    double sum = 0;
    for (int64_t i = 0; i < c->in_channels; i++)
        for (int64_t k = 0; k < 9; k++) {
            int64_t sy = y + k / 3 - w->pad_begin[0];
            int64_t sx = x + k % 3 - w->pad_begin[1];
            if (sy >= 0 && sx >= 0 && sy < w->in[0] && sx < w->in[1])
                sum += (double)src[at(c->in_channels, w->in, n, i, sy, sx)] *
                       (double)weights[(o * c->in_channels + i) * 9 + k];
        }
    return sum;
}

static struct cpu_conv conv_of(const struct picture *p)
{
    struct cpu_conv c = {.rank = 2,
                         .batch = p->batch,
                         .in_channels = p->in,
                         .out_channels = p->out,
                         .groups = 1,
                         .src_blocked = true,
                         .dst_blocked = true,
                         .bias = p->bias,
                         .sum = p->sum,
                         .act = p->act,
                         .alpha = -0.25f,
                         .beta = 0.5f,
                         .block = block};
    c.window.rank = 2;
    c.window.in[0] = p->height;
    c.window.in[1] = p->width;
    for (int i = 0; i < 2; i++) {
        c.window.kernel[i] = 3;
        c.window.stride[i] = c.window.dilation[i] = 1;
        c.window.pad_begin[i] = p->pad[i];
        c.window.pad_end[i] = p->pad[i + 2];
        c.window.out[i] = c.window.in[i] + p->pad[i] + p->pad[i + 2] - 2;
    }
    return c;
}

/* What fills blocks up is zero in the source, and stays so. */
static float *blocked_numbers(int64_t batch, int64_t channels,
                              const int64_t size[2])
{
    int64_t filled_up = (channels + block - 1) / block * block;
    float *x = numbers(batch * filled_up * size[0] * size[1]);
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = channels; c < filled_up; c++)
            for (int64_t i = 0; i < size[0] * size[1]; i++)
                x[at(channels, size, n, c, i / size[1], i % size[1])] = 0;
    return x;
}

static void check_picture(const struct picture *p, int size)
{
    const struct cpu_conv c = conv_of(p);
    const int64_t *out = c.window.out;
    float *src = blocked_numbers(p->batch, p->in, c.window.in);
    float *dst = blocked_numbers(p->batch, p->out, out);
    float *weights = numbers(p->out * p->in * 9), *bias = numbers(p->out);
    size_t count = (size_t)(p->batch * ((p->out + block - 1) / block * block) *
                            out[0] * out[1]);
    float *before = malloc(count * sizeof *before);
    float *packed = malloc(cpu_winograd_bytes(&c, size));
    void *scratch = malloc(cpu_winograd_scratch(&c, size, 2));
    assert_true(before != NULL && packed != NULL && scratch != NULL);
    memcpy(before, dst, count * sizeof *before);
    cpu_winograd_pack(&c, size, weights, packed);
    cpu_winograd_run(&c, size, 2, src, packed, p->bias ? bias : NULL, dst,
                     scratch);
    for (int64_t n = 0; n < p->batch; n++)
        for (int64_t o = 0; o < (p->out + block - 1) / block * block; o++)
            for (int64_t i = 0; i < out[0] * out[1]; i++) {
                int64_t k = at(p->out, out, n, o, i / out[1], i % out[1]);
                double want = 0;
                if (o < p->out) {
                    want = convolved(&c, src, weights, n, o, i / out[1],
                                     i % out[1]) +
                           (p->bias ? (double)bias[o] : 0) +
                           (p->sum ? (double)before[k] : 0);
                    want = activated(want, p->act);
                }
                is_close((double)dst[k], want);
            }
    free(src);
    free(dst);
    free(weights);
    free(bias);
    free(before);
    free(packed);
    free(scratch);
}

static void winograd_is_a_convolution(void **state)
{
    static const struct picture pictures[] = {
        {.batch = 1, .in = 8, .out = 8, .height = 3, .width = 3},
        {1, 8, 16, 6, 7, {1, 1, 1, 1}, true, false, HEARTH_ACT_RELU},
        {2, 17, 9, 5, 9, {1, 0, 0, 1}, true, true, HEARTH_ACT_NONE},
        {3, 24, 33, 9, 4, {0, 1, 1, 0}, false, true, HEARTH_ACT_RELU},
        {1, 16, 16, 8, 8, {2, 2, 2, 2}, true, true, HEARTH_ACT_CLIP},
        {1, 32, 16, 13, 6, {1, 1, 1, 1}, true, false, HEARTH_ACT_SIGMOID},
        {1, 19, 11, 29, 35, {1, 1, 1, 1}, true, false, HEARTH_ACT_TANH},
        {5, 9, 40, 31, 18, {1, 1, 1, 1}, true, true, HEARTH_ACT_RELU}};
    (void)state;
    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        check_picture(&pictures[i], 4);
        check_picture(&pictures[i], 2);
    }
}

static void winograd_is_chosen_where_it_pays(void **state)
{
    (void)state;
    struct picture p = {
        1, 64, 64, 56, 56, {1, 1, 1, 1}, true, true, HEARTH_ACT_RELU};
    struct cpu_conv c = conv_of(&p);
    assert_int_equal(cpu_winograd_choose(&c), 4);
    c.window.stride[0] = 2;
    assert_int_equal(cpu_winograd_choose(&c), 0);
    c = conv_of(&p);
    c.groups = 2;
    assert_int_equal(cpu_winograd_choose(&c), 0);
    c = conv_of(&p);
    c.dst_blocked = false;
    assert_int_equal(cpu_winograd_choose(&c), 0);
    /* 0 would not stay 0 where a block is filled up. */
    p.out = 63;
    p.act = HEARTH_ACT_SIGMOID;
    c = conv_of(&p);
    assert_int_equal(cpu_winograd_choose(&c), 0);
    p.height = p.width = 3;
    p.act = HEARTH_ACT_NONE;
    c = conv_of(&p);
    assert_int_equal(cpu_winograd_choose(&c), 0);
}

/* With the kernels of each instruction set that this processor has. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_every_size_are_right),
        cmocka_unit_test(a_product_of_no_rows_is_nothing),
        cmocka_unit_test(activations_are_right_everywhere),
        cmocka_unit_test(no_number_stays_none),
        cmocka_unit_test(shares_add_up_to_one),
        cmocka_unit_test(winograd_is_a_convolution),
        cmocka_unit_test(winograd_is_chosen_where_it_pays),
    };
    int failed = 0;
    if (!cpu_gemm_can(8))
        return 77; /* no kernel for this processor */
    for (block = 8; block <= 16; block += 8)
        if (cpu_gemm_can(block))
            failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
