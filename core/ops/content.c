/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c: contents of small integer tensors while shapes are inferred.
 *
 * A content value is a number or a symbol, told apart by its range. A literal
 * of a model may lie in that range too (Slice's end INT64_MIN), so that each
 * set of contents says whether all of it are numbers; and a literal that looks
 * like a symbol is never mixed with symbols: such a result is not known.
 */
#include <string.h>

#include "ops/ops_impl.h"

static bool takes_content(enum hearth_dtype dtype)
{
    return dtype == HEARTH_I32 || dtype == HEARTH_I64 || dtype == HEARTH_BOOL;
}

static void judge(struct hearth__ops_content *c)
{
    bool symbol = false;
    for (uint32_t i = 0; i < c->n; i++)
        symbol |= HEARTH_DIM_IS_SYMBOL(c->v[i]);
    c->odd = c->known && symbol;
    c->known |= !symbol;
}

bool hearth__ops_content_view(const struct hearth_view *view,
                              struct hearth__ops_content *content)
{
    int64_t count;
    content->n = 0;
    if (view == NULL || !takes_content(view->dtype) ||
        !hearth_shape_count(&view->shape, &count) || count > HEARTH_CONTENT_MAX)
        return false;
    union hearth__ops_num nums[HEARTH_CONTENT_MAX];
    struct hearth__ops_nest nest;
    hearth__ops_nest_init(&nest, &view->shape);
    hearth__ops_nest_add(&nest, view);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        hearth__ops_load(nums, view->data, view->dtype, nest.offset[0],
                         nest.step[0], nest.run);
        for (int64_t i = 0; i < nest.run; i++)
            content->v[content->n++] = nums[i].i; /* a bool is 0 or 1 */
    }
    content->known = true;
    judge(content);
    return true;
}

bool hearth__ops_content(const struct hearth_value_info *info,
                         struct hearth__ops_content *content)
{
    int64_t count;
    content->n = 0;
    if (info == NULL || !takes_content(info->dtype) ||
        !hearth_shape_count(&info->shape, &count) || count > HEARTH_CONTENT_MAX)
        return false;
    if (info->data != NULL) {
        struct hearth_view view = hearth_view_dense(
            (void *)(uintptr_t)info->data, info->dtype, &info->shape);
        return hearth__ops_content_view(&view, content);
    }
    if (info->content == NULL)
        return false;
    content->n = (uint32_t)count;
    content->known = false;
    memcpy(content->v, info->content, (size_t)count * sizeof content->v[0]);
    judge(content);
    return true;
}

void hearth__ops_set_content(const struct hearth_op_call *call,
                             struct hearth_value_info *out,
                             const int64_t *values, uint32_t n, bool known)
{
    int64_t count;
    if (!takes_content(out->dtype) || n > HEARTH_CONTENT_MAX ||
        !hearth_shape_count(&out->shape, &count) || count != n)
        return;
    bool symbol = false;
    for (uint32_t i = 0; i < n; i++)
        symbol |= HEARTH_DIM_IS_SYMBOL(values[i]);
    known |= !symbol;
    int64_t *content = call->content_alloc(call->ctx, n > 0 ? n : 1);
    if (content == NULL)
        return;
    memcpy(content, values, n * sizeof content[0]);
    if (known && out->dtype == HEARTH_I32) {
        int32_t *data = (int32_t *)call->content_alloc(call->ctx, n / 2 + 1);
        if (data == NULL)
            return;
        for (uint32_t i = 0; i < n; i++) {
            data[i] = (int32_t)values[i];
            content[i] = data[i];
        }
        out->data = data;
    } else if (known && out->dtype == HEARTH_BOOL) {
        uint8_t *data = (uint8_t *)call->content_alloc(call->ctx, n / 8 + 1);
        if (data == NULL)
            return;
        for (uint32_t i = 0; i < n; i++)
            data[i] = values[i] != 0;
        out->data = data;
    } else if (known) {
        out->data = content;
    }
    out->content = content;
}
