/* SPDX-License-Identifier: Apache-2.0 */
/* message.c: the text of heads: reasons, tokens, headers in and out. */
#include "config.h"

#include "http/http_priv.h"

#include <string.h>
#include <strings.h>
#include <time.h>

const char *hearth_http_end_name(enum hearth_http_end end)
{
    static const char *const names[] = {"done",     "left",    "timeout",
                                        "bad_body", "too_big", "shutdown",
                                        "aborted"};
    return (unsigned)end < sizeof(names) / sizeof(names[0]) ? names[end] : "?";
}

const char *hearth_http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Request Entity Too Large"},
        {414, "Request URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Requested Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {418, "I'm a teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Entity"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {511, "Network Authentication Required"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

static bool is_tchar(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool hearth__http_is_token(const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!is_tchar((unsigned char)s[i]))
            return false;
    return bytes > 0;
}

static bool is_value(const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool hearth__http_headers_valid(const struct hearth_http_header *headers,
                                uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!hearth__http_is_token(headers[i].name, headers[i].name_bytes) ||
            !is_value(headers[i].value, headers[i].value_bytes))
            return false;
    return true;
}

bool hearth__http_name_is(const struct hearth_http_header *header,
                          const char *name)
{
    return header->name_bytes == strlen(name) &&
           strncasecmp(header->name, name, header->name_bytes) == 0;
}

const char *hearth__http_find(const struct hearth_http_header *headers,
                              uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (hearth__http_name_is(&headers[i], name))
            return headers[i].value;
    return NULL;
}

/* ---- Building ---- */

void hearth__http_put(struct hearth__http_text *text, const void *data,
                      size_t bytes)
{
    if (text->len <= text->cap && bytes <= text->cap - text->len)
        memcpy(text->buf + text->len, data, bytes);
    text->len += bytes;
}

void hearth__http_puts(struct hearth__http_text *text, const char *s)
{
    hearth__http_put(text, s, strlen(s));
}

void hearth__http_put_u64(struct hearth__http_text *text, uint64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    hearth__http_put(text, digits + n, sizeof(digits) - n);
}

void hearth__http_put_date(struct hearth__http_text *text)
{
    /* Formatted once a second and thread. */
    static _Thread_local time_t cached = (time_t)-1;
    static _Thread_local char line[64];
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    if (now != cached) {
        struct tm tm;
        gmtime_r(&now, &tm);
        snprintf(line, sizeof(line),
                 "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                 days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
                 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        cached = now;
    }
    hearth__http_puts(text, line);
}

size_t hearth__http_headers_bytes(const struct hearth_http_header *headers,
                                  uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += (size_t)headers[i].name_bytes + headers[i].value_bytes + 4;
    return bytes;
}

/* Headers that say how the message is framed are ours. */
static bool is_ours(const struct hearth_http_header *header)
{
    switch (header->name_bytes) {
    case 4:
        return strncasecmp(header->name, "Date", 4) == 0;
    case 10:
        return strncasecmp(header->name, "Connection", 10) == 0 ||
               strncasecmp(header->name, "Keep-Alive", 10) == 0;
    case 14:
        return strncasecmp(header->name, "Content-Length", 14) == 0;
    case 17:
        return strncasecmp(header->name, "Transfer-Encoding", 17) == 0;
    default:
        return false;
    }
}

bool hearth__http_put_headers(struct hearth__http_text *text,
                              const struct hearth_http_header *headers,
                              uint32_t count)
{
    bool close = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct hearth_http_header *h = &headers[i];
        if (is_ours(h)) {
            if (hearth__http_name_is(h, "Connection") && h->value_bytes == 5 &&
                strncasecmp(h->value, "close", 5) == 0)
                close = true;
            continue;
        }
        hearth__http_put(text, h->name, h->name_bytes);
        hearth__http_put(text, ": ", 2);
        hearth__http_put(text, h->value, h->value_bytes);
        hearth__http_put(text, "\r\n", 2);
    }
    return close;
}
