/* SPDX-License-Identifier: Apache-2.0 */
/* rank.c: the largest few of many, by insertion: k is small. */
#include <string.h>

#include "codec/codec.h"

/* Does <a> stand before <b>? */
static bool before(float a, float b)
{
    return a > b || (a == a && b != b);
}

uint32_t hearth_top_k(const float *values, uint32_t count,
                      struct hearth_ranked *best, uint32_t k)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (k == 0 || (n == k && !before(values[i], best[n - 1].value)))
            continue;
        uint32_t at = n < k ? n++ : n - 1;
        for (; at > 0 && before(values[i], best[at - 1].value); at--)
            best[at] = best[at - 1];
        best[at] = (struct hearth_ranked){i, values[i]};
    }
    return n;
}
