/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oip_fuzz.c: any bytes as a request of the Open Inference Protocol, and the
 * answer to it. The first two bytes tell how much of it is JSON.
 */
#include <string.h>

#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(const struct hearth_oip_request *request,
                   const struct hearth_tensor_list *tensors,
                   struct hearth_budget *budget)
{
    static const char *const labels[] = {"a", "b"};
    hearth_buffer_t *body;
    uint64_t json_bytes;
    if (hearth_oip_write("m", "1", request, tensors, labels, 2, budget, &body,
                         &json_bytes, NULL) == 0) {
        HEARTH_ASSERT(json_bytes <= hearth_buffer_bytes(body));
        hearth_buffer_unref(body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hearth_oip_request request;
    struct hearth_tensor_list inputs = {0};
    struct hearth_budget budget;
    struct hearth_error err;
    hearth_buffer_t *body;
    if (size < 2)
        return 0;
    uint64_t json_bytes = data[0] | (uint64_t)data[1] << 8;
    hearth_budget_init(&budget, 32 << 20);
    if (hearth_buffer_create(size - 2, &budget, &body) != 0)
        return 0;
    memcpy(hearth_buffer_data(body), data + 2, size - 2);
    if (hearth_oip_read(body, size - 2, json_bytes, &budget, &request, &inputs,
                        &err) == 0) {
        answer(&request, &inputs, &budget);
        hearth_oip_request_clear(&request);
    }
    hearth_tensor_list_clear(&inputs);
    hearth_buffer_unref(body);
    HEARTH_ASSERT(hearth_budget_used(&budget) == 0);
    return 0;
}
