/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.c: the receiving side of a connection: buffer, window, and the checks
 * of a head. The parser library is lenient in builds that are not ours to
 * choose, so everything that lets two readers disagree about where a message
 * ends (request smuggling) is checked here again, on the bytes.
 */
#include "config.h"

#include "http/http_priv.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void hearth__http_in_drop(struct hearth__http_in *in)
{
    if (in->has_descriptor)
        close(in->descriptor);
    in->has_descriptor = false;
}

void hearth__http_in_fini(struct hearth__http_in *in)
{
    hearth__http_in_drop(in);
    hearth__http_parser_fini(&in->parser);
    hearth_free(in->buf);
    hearth_free(in->headers);
    hearth_free(in->path_copy);
    in->buf = NULL;
    in->headers = NULL;
    in->path_copy = NULL;
    in->cap = in->len = in->pos = in->floor = 0;
    in->header_capacity = in->path_capacity = in->header_count = 0;
}

void hearth__http_in_begin(struct hearth__http_in *in, bool request)
{
    if (in->pos > 0) {
        memmove(in->buf, in->buf + in->pos, in->len - in->pos);
        in->len -= in->pos;
        in->pos = 0;
    }
    in->floor = 0;
    in->overhead_bytes = 0;
    in->framing = HEARTH__HTTP_FRAMING_LINE;
    in->header_count = 0;
    in->request = request;
    hearth__http_parser_begin(&in->parser, request, in->header_limit);
}

void hearth__http_in_idle(struct hearth__http_in *in)
{
    if (in->len == 0 && in->cap > 2 * HEARTH__HTTP_BUFFER_BYTES) {
        hearth_free(in->buf);
        in->buf = NULL;
        in->cap = 0;
    }
}

static bool reserve(struct hearth__http_in *in, uint32_t cap)
{
    if (cap <= in->cap)
        return true;
    char *buf = hearth_realloc(in->buf, cap);
    if (buf == NULL)
        return false;
    in->buf = buf;
    in->cap = cap;
    return true;
}

#define DESCRIPTORS_MAX 8 /* that one message may bring, to be closed */

/* Keeps the first one of a request; the others are closed. */
static void take_descriptors(struct hearth__http_in *in, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL;
         c = CMSG_NXTHDR(message, c)) {
        int fds[DESCRIPTORS_MAX];
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        count = count < DESCRIPTORS_MAX ? count : DESCRIPTORS_MAX;
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
            if (in->has_descriptor) {
                close(fds[i]);
                continue;
            }
            in->descriptor = fds[i];
            in->has_descriptor = true;
        }
    }
}

/* read(2), which closes what was passed beside the bytes, or recvmsg(2). */
static ssize_t receive(struct hearth__http_in *in, int fd, void *to,
                       size_t bytes)
{
    if (!in->takes_descriptor)
        return read(fd, to, bytes);
    union {
        char buf[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {to, bytes};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.buf,
                             .msg_controllen = sizeof(control.buf)};
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (n >= 0)
        take_descriptors(in, &message);
    return n;
}

ssize_t hearth__http_in_read(struct hearth__http_in *in, int fd, int *error,
                             bool *full)
{
    if (in->parser.head_done && in->pos == in->len)
        in->pos = in->len = in->floor;
    if (!in->parser.head_done && in->len >= in->head_limit) {
        *error = HEARTH_ETOOBIG;
        return -1;
    }
    if (in->len == in->cap && !in->parser.head_done) {
        uint32_t cap = in->cap == 0 ? HEARTH__HTTP_BUFFER_BYTES : in->cap * 2;
        *error = HEARTH_ENOMEM;
        if (!reserve(in, cap < in->head_limit ? cap : in->head_limit))
            return -1;
    }
    HEARTH_ASSERT(in->len < in->cap);
    ssize_t n;
    do
        n = receive(in, fd, in->buf + in->len, in->cap - in->len);
    while (n < 0 && errno == EINTR);
    *error = n < 0 ? errno : 0;
    *full = n == (ssize_t)(in->cap - in->len);
    if (n > 0)
        in->len += (uint32_t)n;
    return n;
}

/* Framing bytes are lines: CR and LF come in pairs only, and there is no other
 * control character. A reader that ends a line at a lone LF, or at CR and any
 * byte (http-parser as distributions build it does both), would find another
 * chunk there than a proxy before it did. */
static bool check_framing_bytes(struct hearth__http_in *in, const char *at,
                                const char *end)
{
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        bool lf_due = in->framing == HEARTH__HTTP_FRAMING_LF;
        bool cr_due = in->framing == HEARTH__HTTP_FRAMING_DATA;
        if (lf_due != (c == '\n') || (cr_due && c != '\r') ||
            (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return false;
        in->framing =
            c == '\r' ? HEARTH__HTTP_FRAMING_LF : HEARTH__HTTP_FRAMING_LINE;
    }
    return true;
}

/* Checks what was consumed from <before> on, but for the piece of body. */
static bool check_chunk(struct hearth__http_in *in, uint32_t before,
                        enum hearth__http_event event)
{
    const char *at = in->buf + (before > in->floor ? before : in->floor);
    const char *end = in->buf + in->pos;
    if (event != HEARTH__HTTP_BODY)
        return check_framing_bytes(in, at, end);
    const char *data = in->parser.body_data;
    if (!check_framing_bytes(in, at, data) ||
        in->framing == HEARTH__HTTP_FRAMING_LF)
        return false;
    in->framing = HEARTH__HTTP_FRAMING_DATA;
    return check_framing_bytes(in, data + in->parser.body_bytes, end);
}

enum hearth__http_event hearth__http_in_next(struct hearth__http_in *in)
{
    bool body = in->parser.head_done;
    uint32_t before = in->pos;
    enum hearth__http_event event =
        hearth__http_parser_next(&in->parser, in->buf, &in->pos, in->len);
    if (event == HEARTH__HTTP_HEAD)
        in->floor = in->parser.head_end;
    if (body && in->body_bytes == HEARTH__HTTP_CHUNKED &&
        event != HEARTH__HTTP_BAD && !check_chunk(in, before, event)) {
        in->parser.error_text = "malformed chunk";
        return HEARTH__HTTP_BAD;
    }
    if (event == HEARTH__HTTP_BODY)
        in->overhead_bytes = 0;
    else if (body)
        in->overhead_bytes += in->pos - before;
    /* Chunk extensions and trailers cost time and carry nothing. */
    if (event == HEARTH__HTTP_MORE && in->overhead_bytes > in->head_limit) {
        in->parser.error_text = "too many bytes of chunk framing";
        return HEARTH__HTTP_BAD;
    }
    return event;
}

struct hearth__http_fault
hearth__http_in_fault(const struct hearth__http_in *in,
                      enum hearth__http_event event)
{
    if (in->parser.no_memory)
        return (struct hearth__http_fault){503, "out of memory"};
    if (event == HEARTH__HTTP_TOO_MANY)
        return (struct hearth__http_fault){431, "too many header fields"};
    if (event == HEARTH__HTTP_BAD)
        return (struct hearth__http_fault){400, in->parser.error_text != NULL
                                                    ? in->parser.error_text
                                                    : "malformed message"};
    if (in->parser.field_count == 0)
        return (struct hearth__http_fault){414, "request target too long"};
    return (struct hearth__http_fault){431, "header fields too large"};
}

/* ---- The head ---- */

static bool fail(struct hearth__http_fault *fault, int status, const char *text)
{
    *fault = (struct hearth__http_fault){status, text};
    return false;
}

/* Every line ends with CRLF, and none continues the one before. */
static bool check_lines(const struct hearth__http_in *in,
                        struct hearth__http_fault *fault)
{
    const char *at = in->buf + (in->request ? in->parser.target.at : 0);
    const char *end = in->buf + in->floor;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (at == in->buf || at[-1] != '\r')
            return fail(fault, 400, "line without CR");
        at++;
        if (at < end && (*at == ' ' || *at == '\t'))
            return fail(fault, 400, "folded header line");
    }
    return true;
}

static bool grow_path(struct hearth__http_in *in, uint32_t bytes)
{
    if (bytes <= in->path_capacity)
        return true;
    char *path = hearth_realloc(in->path_copy, bytes);
    if (path == NULL)
        return false;
    in->path_copy = path;
    in->path_capacity = bytes;
    return true;
}

/* Sets path and query of <target>, whose scheme and host are skipped. */
static bool split_target(struct hearth__http_in *in,
                         struct hearth__http_fault *fault)
{
    const char *path = in->target;
    if (strncasecmp(path, "http://", 7) == 0 ||
        strncasecmp(path, "https://", 8) == 0) {
        path = strstr(path, "://") + 3;
        path += strcspn(path, "/?");
    } else if (*path != '/' &&
               !(strcmp(path, "*") == 0 && strcmp(in->method, "OPTIONS") == 0))
        return fail(fault, 400, "request target is not a path");
    const char *mark = strchr(path, '?');
    in->query = mark != NULL ? mark + 1 : "";
    in->path = *path != '\0' ? path : "/";
    if (mark == NULL)
        return true;
    size_t bytes = (size_t)(mark - path);
    if (!grow_path(in, (uint32_t)bytes + 2))
        return fail(fault, 503, "out of memory");
    memcpy(in->path_copy, bytes > 0 ? path : "/", bytes > 0 ? bytes : 1);
    in->path_copy[bytes > 0 ? bytes : 1] = '\0';
    in->path = in->path_copy;
    return true;
}

/* The line is exactly: token SP target SP "HTTP/...". */
static bool check_request_line(struct hearth__http_in *in,
                               struct hearth__http_fault *fault)
{
    struct hearth__http_span target = in->parser.target;
    if (in->parser.major != 1)
        return fail(fault, in->parser.major == 0 ? 400 : 505,
                    "HTTP/1.1 and 1.0 are served");
    if (in->parser.minor > 1)
        return fail(fault, 505, "HTTP/1.1 and 1.0 are served");
    if (target.bytes > in->target_limit)
        return fail(fault, 414, "request target too long");
    uint32_t end = target.at + target.bytes;
    if (target.at < 2 || in->buf[target.at - 1] != ' ' || in->buf[end] != ' ' ||
        in->buf[end + 1] != 'H')
        return fail(fault, 400, "malformed request line");
    uint32_t method = target.at - 1;
    while (method > 0 && hearth__http_is_token(in->buf + method - 1, 1))
        method--;
    if (method == target.at - 1)
        return fail(fault, 400, "malformed request line");
    for (uint32_t i = target.at; i < end; i++) {
        unsigned char c = (unsigned char)in->buf[i];
        if (c <= 0x20 || c == 0x7f)
            return fail(fault, 400, "control character in the request target");
    }
    in->buf[target.at - 1] = '\0';
    in->buf[end] = '\0';
    in->method = in->buf + method;
    in->target = in->buf + target.at;
    return split_target(in, fault);
}

/* Builds the public table: trimmed, terminated, checked. */
static bool check_fields(struct hearth__http_in *in,
                         struct hearth__http_fault *fault)
{
    uint32_t count = in->parser.field_count;
    if (count > in->header_capacity) {
        void *headers = hearth_realloc(in->headers, in->parser.field_capacity *
                                                        sizeof(*in->headers));
        if (headers == NULL)
            return fail(fault, 503, "out of memory");
        in->headers = headers;
        in->header_capacity = in->parser.field_capacity;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct hearth__http_field *field = &in->parser.fields[i];
        struct hearth_http_header *header = &in->headers[i];
        char *value = in->buf + field->value.at;
        uint32_t bytes = field->value.bytes;
        if (bytes == 0) /* its place is not known: the name's end serves */
            value = in->buf + field->name.at + field->name.bytes;
        while (bytes > 0 &&
               (value[bytes - 1] == ' ' || value[bytes - 1] == '\t'))
            bytes--;
        *header = (struct hearth_http_header){in->buf + field->name.at, value,
                                              field->name.bytes, bytes};
        if (in->buf[field->name.at + field->name.bytes] != ':' ||
            !hearth__http_headers_valid(header, 1))
            return fail(fault, 400, "invalid character in a header");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct hearth_http_header *header = &in->headers[i];
        in->buf[(header->name - in->buf) + header->name_bytes] = '\0';
        in->buf[(header->value - in->buf) + header->value_bytes] = '\0';
    }
    in->header_count = count;
    return true;
}

static bool parse_length(const char *text, int64_t *length)
{
    int64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text - '0', &value))
            return false;
    }
    *length = value;
    return true;
}

/* How long is the body? One answer, or a refusal. */
static bool check_framing(struct hearth__http_in *in,
                          struct hearth__http_fault *fault)
{
    const char *length = NULL, *coding = NULL;
    unsigned hosts = 0;
    in->expect_continue = false;
    for (uint32_t i = 0; i < in->header_count; i++) {
        const struct hearth_http_header *h = &in->headers[i];
        if (hearth__http_name_is(h, "Content-Length")) {
            if (length != NULL)
                return fail(fault, 400, "more than one Content-Length");
            length = h->value;
        } else if (hearth__http_name_is(h, "Transfer-Encoding")) {
            if (coding != NULL)
                return fail(fault, 400, "more than one Transfer-Encoding");
            coding = h->value;
        } else if (in->request && hearth__http_name_is(h, "Host")) {
            hosts++;
        } else if (in->request && hearth__http_name_is(h, "Expect")) {
            if (strcasecmp(h->value, "100-continue") != 0)
                return fail(fault, 417, "only 100-continue can be expected");
            in->expect_continue = in->parser.minor == 1;
        }
    }
    if (in->request && (hosts > 1 || (hosts == 0 && in->parser.minor == 1)))
        return fail(fault, 400, "exactly one Host header is required");
    if (coding != NULL && length != NULL)
        return fail(fault, 400, "both Content-Length and Transfer-Encoding");
    in->body_bytes = in->request ? 0 : HEARTH__HTTP_UNTIL_CLOSE;
    if (coding != NULL) {
        if (strcasecmp(coding, "chunked") != 0)
            return fail(fault, 501, "unsupported transfer encoding");
        if (in->parser.minor == 0)
            return fail(fault, 400, "Transfer-Encoding in HTTP/1.0");
        in->body_bytes = HEARTH__HTTP_CHUNKED;
    } else if (length != NULL && !parse_length(length, &in->body_bytes))
        return fail(fault, 400, "invalid Content-Length");
    unsigned status = in->parser.status;
    if (!in->request && (in->parser.skip_body || status / 100 == 1 ||
                         status == 204 || status == 304))
        in->body_bytes = 0;
    return true;
}

static const char *moved(const char *text, const struct hearth__http_in *in,
                         const char *buf)
{
    if (text < in->buf || text >= in->buf + in->cap)
        return text; /* a literal, or the copy of the path */
    return buf + (text - in->buf);
}

/* Moves the buffer to a larger one, and the texts of the head with it. */
static bool widen(struct hearth__http_in *in, uint32_t cap)
{
    char *buf = hearth_malloc(cap);
    if (buf == NULL)
        return false;
    memcpy(buf, in->buf, in->len);
    in->method = moved(in->method, in, buf);
    in->target = moved(in->target, in, buf);
    in->path = moved(in->path, in, buf);
    in->query = moved(in->query, in, buf);
    for (uint32_t i = 0; i < in->header_count; i++) {
        in->headers[i].name = moved(in->headers[i].name, in, buf);
        in->headers[i].value = moved(in->headers[i].value, in, buf);
    }
    hearth_free(in->buf);
    in->buf = buf;
    in->cap = cap;
    return true;
}

bool hearth__http_in_head(struct hearth__http_in *in,
                          struct hearth__http_fault *fault)
{
    const struct hearth__http_parser *parser = &in->parser;
    in->keep_alive = parser->keep_alive;
    in->method = in->target = in->path = in->query = "";
    if (in->floor > in->head_limit)
        return fail(fault, 431, "header fields too large");
    if (!check_lines(in, fault) ||
        (in->request && !check_request_line(in, fault)) ||
        !check_fields(in, fault) || !check_framing(in, fault))
        return false;
    /* The window must take the rest of a body; most bodies fit already. */
    uint64_t window = in->body_bytes >= 0 ? (uint64_t)in->body_bytes
                                          : HEARTH__HTTP_WINDOW_BYTES / 4;
    if (window > HEARTH__HTTP_WINDOW_BYTES)
        window = HEARTH__HTTP_WINDOW_BYTES;
    if (window == 0 || in->floor + window <= in->cap ||
        (in->body_bytes >= 0 &&
         in->len - in->floor >= (uint64_t)in->body_bytes))
        return true;
    if (!widen(in, in->floor + (uint32_t)window))
        return fail(fault, 503, "out of memory");
    return true;
}
