/* SPDX-License-Identifier: Apache-2.0 */
/* Counted buffers and lists of tensors: references, budgets, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/tensor.h"

static void a_buffer_is_charged_aligned_and_given_back(void **state)
{
    (void)state;
    struct hearth_budget budget;
    uint64_t before = hearth_mem_used_bytes();
    const uint64_t sizes[] = {0, 1, 1000, 1 << 20};
    hearth_budget_init(&budget, 2 << 20);
    for (size_t i = 0; i < 4; i++) {
        hearth_buffer_t *buffer;
        assert_int_equal(hearth_buffer_create(sizes[i], &budget, &buffer), 0);
        assert_int_equal((uintptr_t)hearth_buffer_data(buffer) % 64, 0);
        assert_int_equal(hearth_buffer_bytes(buffer), sizes[i]);
        assert_int_equal(hearth_budget_used(&budget), sizes[i]);
        memset(hearth_buffer_data(buffer), 1, sizes[i]);
        hearth_buffer_unref(buffer);
        assert_int_equal(hearth_budget_used(&budget), 0);
    }
    hearth_buffer_t *buffer;
    assert_int_equal(hearth_buffer_create(3 << 20, &budget, &buffer),
                     HEARTH_ENOMEM);
    assert_null(buffer);
    assert_int_equal(hearth_buffer_create(UINT64_MAX - 3, NULL, &buffer),
                     HEARTH_ENOMEM);
    hearth_buffer_unref(NULL);
    for (int n = 1; n <= 2; n++) {
        hearth_mem_fail_at(n, false);
        apr_status_t rc = hearth_buffer_create(1 << 20, &budget, &buffer);
        hearth_mem_fail_at(0, false);
        assert_int_equal(rc, HEARTH_ENOMEM);
        assert_int_equal(hearth_budget_used(&budget), 0);
    }
    assert_int_equal(hearth_mem_used_bytes(), before);
}

static int released;

static void release(void *ctx, void *data)
{
    assert_ptr_equal(ctx, &released);
    assert_string_equal(data, "0123456789");
    released++;
}

static void a_slice_keeps_its_parent(void **state)
{
    (void)state;
    char text[] = "0123456789";
    hearth_buffer_t *whole, *part, *deeper, *none;
    released = 0;
    assert_int_equal(hearth_buffer_wrap(text, 10, release, &released, &whole),
                     0);
    assert_int_equal(hearth_buffer_slice(whole, 2, 5, &part), 0);
    assert_int_equal(hearth_buffer_slice(part, 1, 4, &deeper), 0);
    assert_int_equal(hearth_buffer_slice(part, 1, 5, &none), HEARTH_EINVAL);
    assert_int_equal(hearth_buffer_slice(part, 6, 0, &none), HEARTH_EINVAL);
    assert_int_equal(*(char *)hearth_buffer_data(deeper), '3');
    hearth_buffer_unref(whole);
    hearth_buffer_unref(part);
    assert_int_equal(released, 0);
    hearth_buffer_unref(hearth_buffer_ref(deeper));
    hearth_buffer_unref(deeper);
    assert_int_equal(released, 1);
}

static void a_list_checks_what_is_added(void **state)
{
    (void)state;
    struct hearth_tensor_list list = {0};
    struct hearth_shape shape = {.rank = 2, .dims = {2, 3}};
    struct hearth_shape symbolic = {.rank = 1, .dims = {HEARTH_DIM_SYMBOL(0)}};
    struct hearth_shape huge = {.rank = 2, .dims = {INT64_MAX, 2}};
    hearth_buffer_t *buffer;
    uint64_t before = hearth_mem_used_bytes();
    assert_int_equal(hearth_buffer_create(24, NULL, &buffer), 0);
    assert_int_equal(
        hearth_tensor_list_add(&list, "x", HEARTH_F32, &shape, buffer, 0), 0);
    assert_int_equal(
        hearth_tensor_list_add(&list, "y", HEARTH_F32, &shape, buffer, 4),
        HEARTH_EINVAL);
    assert_int_equal(
        hearth_tensor_list_add(&list, "y", HEARTH_F64, &shape, buffer, 0),
        HEARTH_EINVAL);
    assert_int_equal(
        hearth_tensor_list_add(&list, "y", HEARTH_F32, &symbolic, buffer, 0),
        HEARTH_ESHAPE);
    assert_int_equal(
        hearth_tensor_list_add(&list, "y", HEARTH_F32, &huge, buffer, 0),
        HEARTH_ESHAPE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hearth_tensor_list_add(&list, i == 4 ? "last" : "u",
                                                HEARTH_U8, &shape, buffer, 18),
                         0);
    hearth_mem_fail_at(1, true);
    assert_int_equal(
        hearth_tensor_list_add(&list, "y", HEARTH_U8, &shape, buffer, 0),
        HEARTH_ENOMEM);
    hearth_mem_fail_at(0, false);
    assert_int_equal(list.count, 6);
    assert_null(hearth_tensor_list_find(&list, "y"));
    assert_ptr_equal(
        hearth_tensor_view(hearth_tensor_list_find(&list, "last")).data,
        (char *)hearth_buffer_data(buffer) + 18);
    hearth_buffer_unref(buffer);
    hearth_tensor_list_clear(&list);
    assert_int_equal(list.count, 0);
    assert_int_equal(hearth_mem_used_bytes(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_is_charged_aligned_and_given_back),
        cmocka_unit_test(a_slice_keeps_its_parent),
        cmocka_unit_test(a_list_checks_what_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
