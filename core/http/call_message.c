/* SPDX-License-Identifier: Apache-2.0 */
/* call_message.c: a call's request as bytes, checked before anything is sent:
 * what a caller gives may come from its own clients. */
#include "config.h"

#include "http/client_priv.h"

#include <string.h>

static bool is_one_of(const char *method, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(method, *names) == 0)
            return true;
    return false;
}

static bool is_target(const char *text)
{
    const char *at = text;
    for (; *at != '\0'; at++)
        if ((unsigned char)*at <= 0x20 || *at == 0x7f)
            return false;
    return at != text;
}

static void put_request(hearth_http_call_t *call,
                        struct hearth__http_text *text,
                        const struct hearth_http_call_spec *spec)
{
    static const char *const with_body[] = {"POST", "PUT", "PATCH", NULL};
    hearth__http_puts(text, spec->method);
    hearth__http_puts(text, " ");
    hearth__http_puts(text, spec->target);
    hearth__http_puts(text, " HTTP/1.1\r\n");
    if (hearth__http_find(spec->headers, spec->header_count, "Host") == NULL) {
        hearth__http_puts(text, "Host: ");
        hearth__http_puts(text, call->client->host);
        hearth__http_puts(text, "\r\n");
    }
    call->close =
        hearth__http_put_headers(text, spec->headers, spec->header_count);
    if (call->close)
        hearth__http_puts(text, "Connection: close\r\n");
    if (spec->body_bytes < 0) {
        hearth__http_puts(text, "Transfer-Encoding: chunked\r\n");
    } else if (spec->body_bytes > 0 || is_one_of(spec->method, with_body)) {
        hearth__http_puts(text, "Content-Length: ");
        hearth__http_put_u64(text, (uint64_t)spec->body_bytes);
        hearth__http_puts(text, "\r\n");
    }
    hearth__http_puts(text, "\r\n");
    if (!call->streamed && spec->body_bytes > 0)
        hearth__http_put(text, spec->body, (size_t)spec->body_bytes);
}

apr_status_t hearth__http_call_build(hearth_http_call_t *call,
                                     const struct hearth_http_call_spec *spec)
{
    static const char *const idempotent[] = {
        "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", NULL};
    call->streamed = spec->body == NULL && spec->body_bytes != 0;
    call->finished = !call->streamed;
    call->body_left = spec->body_bytes;
    call->is_head = strcmp(spec->method, "HEAD") == 0;
    call->idempotent = is_one_of(spec->method, idempotent);
    size_t bytes =
        256 + strlen(spec->method) + strlen(spec->target) +
        strlen(call->client->host) +
        hearth__http_headers_bytes(spec->headers, spec->header_count);
    if (!call->streamed &&
        __builtin_add_overflow(bytes, (uint64_t)spec->body_bytes, &bytes))
        return HEARTH_ENOMEM;
    call->message = hearth_malloc(bytes);
    if (call->message == NULL)
        return HEARTH_ENOMEM;
    struct hearth__http_text text = {call->message, bytes, 0};
    put_request(call, &text, spec);
    HEARTH_ASSERT(text.len <= text.cap);
    call->message_bytes = text.len;
    return 0;
}

bool hearth__http_call_valid(const struct hearth_http_call_spec *spec)
{
    return hearth__http_is_token(spec->method, strlen(spec->method)) &&
           strcmp(spec->method, "CONNECT") != 0 && is_target(spec->target) &&
           spec->body_bytes >= -1 &&
           (spec->body == NULL || spec->body_bytes >= 0) &&
           hearth__http_headers_valid(spec->headers, spec->header_count);
}
