/* SPDX-License-Identifier: Apache-2.0 */
/* parser.c: see parser.h. Every callback notes its event and pauses. */
#include "http/parser.h"

#include <string.h>

#ifndef HAVE_LLHTTP
#include <pthread.h>
#endif

static int pause_with(struct hearth__http_parser *parser,
                      enum hearth__http_event event)
{
    parser->event = event;
#ifdef HAVE_LLHTTP
    return HPE_PAUSED;
#else
    http_parser_pause(&parser->raw, 1);
    return 0;
#endif
}

static struct hearth__http_parser *self(hearth__http_raw_parser *raw)
{
    return raw->data;
}

static void extend(const struct hearth__http_parser *parser,
                   struct hearth__http_span *span, const char *at, size_t bytes)
{
    if (span->bytes == 0)
        span->at = (uint32_t)(at - parser->base);
    span->bytes = (uint32_t)(at - parser->base) + (uint32_t)bytes - span->at;
}

static int on_target(hearth__http_raw_parser *raw, const char *at, size_t bytes)
{
    extend(self(raw), &self(raw)->target, at, bytes);
    return 0;
}

static bool grow_fields(struct hearth__http_parser *parser)
{
    uint32_t capacity =
        parser->field_capacity == 0 ? 16 : parser->field_capacity * 2;
    void *fields =
        hearth_realloc(parser->fields, capacity * sizeof(*parser->fields));
    if (fields == NULL)
        return false;
    parser->fields = fields;
    parser->field_capacity = capacity;
    return true;
}

static int on_field(hearth__http_raw_parser *raw, const char *at, size_t bytes)
{
    struct hearth__http_parser *parser = self(raw);
    if (parser->head_done)
        return 0; /* trailers are ignored */
    if (parser->field_count == 0 || parser->in_value) {
        if (parser->field_count == parser->field_limit)
            return pause_with(parser, HEARTH__HTTP_TOO_MANY);
        if (parser->field_count == parser->field_capacity &&
            !grow_fields(parser)) {
            parser->no_memory = true;
            return pause_with(parser, HEARTH__HTTP_BAD);
        }
        parser->fields[parser->field_count++] = (struct hearth__http_field){0};
        parser->in_value = false;
    }
    extend(parser, &parser->fields[parser->field_count - 1].name, at, bytes);
    return 0;
}

static int on_value(hearth__http_raw_parser *raw, const char *at, size_t bytes)
{
    struct hearth__http_parser *parser = self(raw);
    if (parser->head_done || parser->field_count == 0)
        return 0;
    parser->in_value = true;
    extend(parser, &parser->fields[parser->field_count - 1].value, at, bytes);
    return 0;
}

static int on_head(hearth__http_raw_parser *raw)
{
    struct hearth__http_parser *parser = self(raw);
    parser->head_done = true;
    /* An upgrade is not for us: what follows is an ordinary message. */
    raw->upgrade = 0;
    /* http-parser believes a Content-Length here, which tells of another
     * answer's body. */
    unsigned status = raw->status_code;
    if (parser->skip_body || status / 100 == 1 || status == 204 ||
        status == 304)
        raw->flags |= F_SKIPBODY;
    parser->major = (uint8_t)raw->http_major;
    parser->minor = (uint8_t)raw->http_minor;
    parser->status = (uint16_t)status;
#ifdef HAVE_LLHTTP
    parser->keep_alive = llhttp_should_keep_alive(raw) != 0;
#else
    parser->keep_alive = http_should_keep_alive(raw) != 0;
#endif
    return pause_with(parser, HEARTH__HTTP_HEAD);
}

static int on_body(hearth__http_raw_parser *raw, const char *at, size_t bytes)
{
    if (bytes == 0)
        return 0;
    self(raw)->body_data = at;
    self(raw)->body_bytes = bytes;
    return pause_with(self(raw), HEARTH__HTTP_BODY);
}

static int on_end(hearth__http_raw_parser *raw)
{
    return pause_with(self(raw), HEARTH__HTTP_END);
}

#ifdef HAVE_LLHTTP

/* llhttp stops behind the byte that made the event, so that the next event
 * may need no further byte. */
#define UNREAD_AT_HEAD 0
#define PENDING_WITHOUT_BYTES(p)                                               \
    ((p)->event == HEARTH__HTTP_HEAD || (p)->event == HEARTH__HTTP_BODY)

static int on_field_complete(hearth__http_raw_parser *raw)
{
    self(raw)->in_value = true; /* also when the value is empty */
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_end,
};

static void raw_init(hearth__http_raw_parser *raw, bool request)
{
    llhttp_init(raw, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
}

/* True: an event is noted, or all was consumed. */
static bool raw_execute(struct hearth__http_parser *parser, const char *data,
                        size_t bytes, size_t *consumed)
{
    llhttp_t *raw = &parser->raw;
    llhttp_errno_t rc = llhttp_execute(raw, data, bytes);
    *consumed = bytes;
    if (rc == HPE_OK)
        return true;
    const char *stop = llhttp_get_error_pos(raw);
    *consumed = stop != NULL ? (size_t)(stop - data) : 0;
    if (rc == HPE_PAUSED) {
        llhttp_resume(raw);
        return true;
    }
    if (rc == HPE_PAUSED_UPGRADE) {
        llhttp_resume_after_upgrade(raw);
        return true;
    }
    parser->error_text = llhttp_get_error_reason(raw);
    return false;
}

static bool raw_eof(struct hearth__http_parser *parser)
{
    llhttp_errno_t rc = llhttp_finish(&parser->raw);
    return rc == HPE_OK || rc == HPE_PAUSED;
}

#else

static const http_parser_settings settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_end,
};

/* http-parser stops before the last byte of the head, and of the body. */
#define UNREAD_AT_HEAD 1
#define PENDING_WITHOUT_BYTES(p) false

static pthread_once_t limit_once = PTHREAD_ONCE_INIT;

/* The library's own limit is one for the process; ours is the buffer's size,
 * so that each server has its own. */
static void lift_limit(void)
{
    http_parser_set_max_header_size(UINT32_MAX / 2);
}

static void raw_init(hearth__http_raw_parser *raw, bool request)
{
    pthread_once(&limit_once, lift_limit);
    http_parser_init(raw, request ? HTTP_REQUEST : HTTP_RESPONSE);
}

static bool raw_execute(struct hearth__http_parser *parser, const char *data,
                        size_t bytes, size_t *consumed)
{
    http_parser *raw = &parser->raw;
    *consumed = http_parser_execute(raw, &settings, data, bytes);
    if (HTTP_PARSER_ERRNO(raw) == HPE_PAUSED) {
        http_parser_pause(raw, 0);
        return true;
    }
    if (HTTP_PARSER_ERRNO(raw) == HPE_OK && *consumed == bytes)
        return true;
    parser->error_text = http_errno_description(HTTP_PARSER_ERRNO(raw));
    return false;
}

static bool raw_eof(struct hearth__http_parser *parser)
{
    size_t consumed;
    return raw_execute(parser, "", 0, &consumed);
}

#endif

void hearth__http_parser_begin(struct hearth__http_parser *parser, bool request,
                               uint32_t field_limit)
{
    raw_init(&parser->raw, request);
    parser->raw.data = parser;
    parser->event = HEARTH__HTTP_MORE;
    parser->error_text = NULL;
    parser->head_done = parser->in_value = false;
    parser->skip_body = parser->keep_alive = parser->no_memory = false;
    parser->target = (struct hearth__http_span){0};
    parser->field_count = 0;
    parser->field_limit = field_limit;
}

void hearth__http_parser_fini(struct hearth__http_parser *parser)
{
    hearth_free(parser->fields);
    parser->fields = NULL;
    parser->field_capacity = 0;
}

enum hearth__http_event
hearth__http_parser_next(struct hearth__http_parser *parser, const char *base,
                         uint32_t *pos, uint32_t end)
{
    if (*pos == end && !PENDING_WITHOUT_BYTES(parser))
        return HEARTH__HTTP_MORE;
    parser->event = HEARTH__HTTP_MORE;
    parser->base = base;
    size_t consumed = 0;
    bool ok = raw_execute(parser, base + *pos, end - *pos, &consumed);
    *pos += (uint32_t)consumed;
    if (!ok)
        return HEARTH__HTTP_BAD;
    if (parser->event == HEARTH__HTTP_HEAD)
        parser->head_end = *pos + UNREAD_AT_HEAD;
    return parser->event;
}

enum hearth__http_event
hearth__http_parser_eof(struct hearth__http_parser *parser)
{
    parser->event = HEARTH__HTTP_MORE;
    parser->base = "";
    if (!raw_eof(parser) || parser->event != HEARTH__HTTP_END)
        return HEARTH__HTTP_BAD;
    return HEARTH__HTTP_END;
}
