/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parser.h: the HTTP/1.1 parser library behind one small interface, which is
 * pulled: each call consumes bytes up to the next event and returns, so that
 * no callback of ours runs inside the parser and a connection may be closed
 * at any event. The only files that know llhttp or http-parser are this pair.
 */
#ifndef HEARTH_HTTP_PARSER_H
#define HEARTH_HTTP_PARSER_H

#include "base/base.h"
#include "config.h"

#ifdef HAVE_LLHTTP
#include <llhttp.h>
typedef llhttp_t hearth__http_raw_parser;
#else
#include <http_parser.h>
typedef http_parser hearth__http_raw_parser;
#endif

enum hearth__http_event {
    HEARTH__HTTP_MORE = 0, /* every byte was consumed, nothing happened */
    HEARTH__HTTP_HEAD,     /* the head is complete */
    HEARTH__HTTP_BODY,     /* body_data, body_bytes */
    HEARTH__HTTP_END,      /* the message is complete */
    HEARTH__HTTP_BAD,      /* malformed: error_text */
    HEARTH__HTTP_TOO_MANY  /* more headers than allowed */
};

/* A piece of the head, as an offset, because the buffer moves as it grows. */
struct hearth__http_span {
    uint32_t at, bytes;
};
struct hearth__http_field {
    struct hearth__http_span name, value;
};

struct hearth__http_parser {
    hearth__http_raw_parser raw;
    enum hearth__http_event event;
    const char *base; /* of the buffer, during a call */
    const char *body_data;
    size_t body_bytes;
    const char *error_text;
    bool head_done, in_value;
    uint32_t head_end; /* from HEAD on: where the body starts */
    bool skip_body;    /* the response answers a HEAD request */
    bool keep_alive;   /* from HEAD on: what version and Connection say */
    bool no_memory;    /* with HEARTH__HTTP_BAD: the field table */
    uint8_t major, minor;
    uint16_t status; /* of a response */
    struct hearth__http_span target;
    struct hearth__http_field *fields; /* kept from message to message */
    uint32_t field_count, field_capacity, field_limit;
};

/* Starts a new message; keeps <fields>. */
void hearth__http_parser_begin(struct hearth__http_parser *parser, bool request,
                               uint32_t field_limit);
void hearth__http_parser_fini(struct hearth__http_parser *parser);
/* Parses base[*pos, end) and moves *pos past what was consumed. */
enum hearth__http_event
hearth__http_parser_next(struct hearth__http_parser *parser, const char *base,
                         uint32_t *pos, uint32_t end);
/* The peer closed: END when that ends the message properly, else BAD. */
enum hearth__http_event
hearth__http_parser_eof(struct hearth__http_parser *parser);

#endif
