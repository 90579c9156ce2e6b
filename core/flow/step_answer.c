/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step_answer.c: FAIL, ENCODE, SEND. ENCODE makes an answer of a failure too,
 * and that cannot fail: without memory the answer is the error record itself.
 */
#include "flow/flow_priv.h"

#include <string.h>

/* Why it ended early, where nobody has said it better. */
static void explain_stop(hearth_request_t *req)
{
    switch (req->stop) {
    case HEARTH_ETIMEOUT:
        hearth_fail(&req->err, HEARTH_ETIMEOUT,
                    "the deadline passed after %lld ms, in step %s: try again "
                    "later, or allow more time",
                    (long long)(req->deadline_us - req->began_us) / 1000,
                    hearth_step_name(req->failed_in));
        break;
    case HEARTH_ECLOSING:
        hearth_fail(&req->err, HEARTH_ECLOSING,
                    "shutting down: ask another instance");
        break;
    default:
        hearth_fail(&req->err, req->stop, "%s in step %s",
                    hearth_status_text(req->stop),
                    hearth_step_name(req->failed_in));
    }
}

enum hearth_step hearth__step_fail(hearth_request_t *req)
{
    req->failed = true;
    hearth_buffer_unref(req->answer_buffer);
    req->answer_buffer = NULL;
    if (req->stop != HEARTH_OK) {
        req->status = req->stop;
        explain_stop(req);
    }
    HEARTH_ASSERT(req->status != HEARTH_OK);
    if (req->err.text[0] == '\0')
        hearth_fail(&req->err, req->status, "%s: try again later",
                    hearth_status_text(req->status));
    if (req->retry_after_s == 0 && req->stop == HEARTH_OK &&
        hearth_status_class(req->status) == HEARTH_CLASS_AGAIN)
        req->retry_after_s = 1;
    return HEARTH_STEP_ENCODE;
}

/* ---- ENCODE ---- */

static void fill_times(hearth_request_t *req)
{
    struct hearth_times *times = &req->answer.times;

    times->receive_us = req->step_us[HEARTH_STEP_RECV_BODY];
    times->decode_us = req->step_us[HEARTH_STEP_DECODE];
    times->queue_us = req->job.queue_us;
    times->load_us = req->job.load_us;
    times->run_us = req->job.run_us;
}

static void encode_error(hearth_request_t *req)
{
    const hearth_function_t *function = req->service->function;
    struct hearth_answer *answer = &req->answer;

    answer->status = req->status;
    answer->http_status = hearth_status_http(req->status);
    answer->retry_after_s = req->retry_after_s;
    if (hearth_function_error_body(function, &req->context, req->err.text,
                                   &req->answer_buffer) == HEARTH_OK) {
        answer->content_type =
            hearth_function_error_type(function, &req->context);
        answer->body = hearth_buffer_data(req->answer_buffer);
        answer->body_bytes = hearth_buffer_bytes(req->answer_buffer);
    } else {
        req->answer_buffer = NULL;
        answer->content_type = "text/plain";
        answer->body = req->err.text;
        answer->body_bytes = strlen(req->err.text);
    }
}

enum hearth_step hearth__step_encode(hearth_request_t *req)
{
    struct hearth_function_answer made = {.body = NULL};
    struct hearth_answer *answer = &req->answer;

    hearth__flow_drop_inputs(req);
    if (!req->failed) {
        req->status = hearth_function_encode(
            req->service->function, &req->context, &req->outputs,
            &req->service->engine->request_budget, &made, &req->err);
        if (req->status != HEARTH_OK)
            return HEARTH_STEP_FAIL;
    }
    hearth_tensor_list_clear(&req->outputs);
    *answer = (struct hearth_answer){
        .struct_bytes = sizeof(*answer),
        .request_id = req->id,
    };
    fill_times(req);
    if (req->failed) {
        encode_error(req);
        return HEARTH_STEP_SEND;
    }
    req->answer_buffer = made.body;
    answer->http_status = 200;
    answer->content_type = made.content_type;
    answer->body = hearth_buffer_data(made.body);
    answer->body_bytes = hearth_buffer_bytes(made.body);
    answer->oip_json_bytes = made.oip_json_bytes;
    return HEARTH_STEP_SEND;
}

/* ---- SEND ---- */

enum hearth_step hearth__step_send(hearth_request_t *req)
{
    struct hearth_times *times = &req->answer.times;

    hearth_loop_timer_stop(&req->deadline);
    times->encode_us = req->step_us[HEARTH_STEP_ENCODE];
    times->total_us = hearth_now_us(req->clock) - req->began_us;
    hearth__request_log(req);
    hearth__tally_request(req);
    /* Before the answer goes out: a client that asks again as soon as it has
     * it, on another connection, must not be told that its place is taken. */
    hearth__service_give_place(req);
    if (!req->failed)
        hearth__service_answered(req->service, NULL);
    else if (req->warming)
        hearth__service_answered(req->service, &req->err);
    if (req->adapter == NULL)
        return HEARTH_STEP_NONE;
    req->adapter->send(req->adapter_ctx, req, &req->answer);
    return HEARTH__STEP_PARK;
}

enum hearth_step hearth__step_send_resume(hearth_request_t *req)
{
    return req->adapter ? HEARTH__STEP_PARK : HEARTH_STEP_NONE;
}
