/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c: what a handler reads of a request, and how it answers. */
#include "config.h"

#include "http/server_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* ---- The request ---- */

const char *hearth_http_method(const hearth_http_request_t *req)
{
    return req->in.method;
}

const char *hearth_http_target(const hearth_http_request_t *req)
{
    return req->in.target;
}

const char *hearth_http_path(const hearth_http_request_t *req)
{
    return req->in.path;
}

const char *hearth_http_query(const hearth_http_request_t *req)
{
    return req->in.query;
}

int hearth_http_version(const hearth_http_request_t *req)
{
    return req->in.parser.minor == 0 ? 10 : 11;
}

const char *hearth_http_header(const hearth_http_request_t *req,
                               const char *name)
{
    return hearth__http_find(req->in.headers, req->in.header_count, name);
}

uint32_t hearth_http_headers(const hearth_http_request_t *req,
                             const struct hearth_http_header **headers)
{
    *headers = req->in.headers;
    return req->in.header_count;
}

int64_t hearth_http_body_bytes(const hearth_http_request_t *req)
{
    return req->in.body_bytes;
}

const char *hearth_http_peer(const hearth_http_request_t *req, char *buf,
                             size_t size)
{
    struct sockaddr_storage sa;
    socklen_t bytes = sizeof(sa);
    char host[INET6_ADDRSTRLEN] = "?";
    if (getpeername(req->watch.fd, (struct sockaddr *)&sa, &bytes) != 0) {
        snprintf(buf, size, "?");
    } else if (sa.ss_family == AF_INET) {
        const struct sockaddr_in *sin = (struct sockaddr_in *)&sa;
        inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host));
        snprintf(buf, size, "%s:%u", host, ntohs(sin->sin_port));
    } else if (sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&sa;
        unsigned port = ntohs(sin6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            inet_ntop(AF_INET, &sin6->sin6_addr.s6_addr[12], host,
                      sizeof(host));
            snprintf(buf, size, "%s:%u", host, port);
        } else {
            inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host));
            snprintf(buf, size, "[%s]:%u", host, port);
        }
    } else {
        snprintf(buf, size, "unix");
    }
    return buf;
}

hearth_loop_t *hearth_http_loop(const hearth_http_request_t *req)
{
    return req->server->loop;
}

void hearth_http_set_context(hearth_http_request_t *req, void *context)
{
    req->context = context;
}

void *hearth_http_context(const hearth_http_request_t *req)
{
    return req->context;
}

static void check(const hearth_http_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_HTTP_REQUEST);
    HEARTH_LOOP_ASSERT_OWNER(req->server->loop);
}

apr_status_t hearth_http_accept(hearth_http_request_t *req,
                                uint64_t limit_bytes)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    check(req);
    if (req->failed)
        return HEARTH_ECANCELED;
    if (req->in_state != HEARTH__IN_HELD)
        return HEARTH_EINVAL;
    if (limit_bytes != 0)
        req->body_limit = limit_bytes;
    if (req->in.body_bytes > 0 &&
        (uint64_t)req->in.body_bytes > req->body_limit)
        return HEARTH_ETOOBIG;
    req->in_state = HEARTH__IN_BODY;
    req->input_us = hearth_loop_now_us(req->server->loop);
    /* Not when the body has begun to come all the same. */
    if (req->in.expect_continue && req->in.body_bytes != 0 &&
        req->in.len <= req->in.floor) {
        struct iovec iov = {(char *)(uintptr_t)text, sizeof(text) - 1};
        hearth__http_conn_send(req, &iov, 1);
    }
    hearth__http_conn_wake(req);
    return 0;
}

void hearth_http_pause(hearth_http_request_t *req)
{
    check(req);
    req->paused = true;
}

void hearth_http_resume(hearth_http_request_t *req)
{
    check(req);
    if (!req->paused)
        return;
    req->paused = false;
    req->input_us = hearth_loop_now_us(req->server->loop);
    hearth__http_conn_wake(req);
}

/* ---- The answer ---- */

static apr_status_t check_reply(const hearth_http_request_t *req, int status,
                                const struct hearth_http_header *headers,
                                uint32_t count)
{
    check(req);
    if (req->out_state != HEARTH__OUT_NONE || status < 200 || status > 599 ||
        !hearth__http_headers_valid(headers, count))
        return HEARTH_EINVAL;
    return 0;
}

static void put_status(struct hearth__http_text *text, int minor, int status)
{
    if (minor == 1 && status == 200) {
        hearth__http_puts(text, "HTTP/1.1 200 OK\r\n");
        return;
    }
    hearth__http_puts(text, minor == 1 ? "HTTP/1.1 " : "HTTP/1.0 ");
    hearth__http_put_u64(text, (uint64_t)status);
    hearth__http_puts(text, " ");
    hearth__http_puts(text, hearth_http_reason(status));
    hearth__http_puts(text, "\r\n");
}

/* Writes the head, and decides what becomes of the connection and of the rest
 * of the request's body. */
static void put_head(hearth_http_request_t *req, struct hearth__http_text *text,
                     int status, const struct hearth_http_header *headers,
                     uint32_t count, int64_t body_bytes)
{
    int minor = req->in.parser.minor;
    put_status(text, minor, status);
    bool close = hearth__http_put_headers(text, headers, count);
    hearth__http_put_date(text);
    bool bodiless = status == 204 || status == 304;
    req->no_body = bodiless || strcmp(req->in.method, "HEAD") == 0;
    req->chunked = false;
    if (bodiless) {
        body_bytes = 0;
    } else if (body_bytes >= 0) {
        hearth__http_puts(text, "Content-Length: ");
        hearth__http_put_u64(text, (uint64_t)body_bytes);
        hearth__http_puts(text, "\r\n");
    } else if (minor == 1) {
        hearth__http_puts(text, "Transfer-Encoding: chunked\r\n");
        req->chunked = !req->no_body;
    } else if (!req->no_body) {
        close = true;
    }
    req->keep_alive = !close && hearth__http_conn_may_keep(req);
    if (!req->keep_alive)
        hearth__http_puts(text, "Connection: close\r\n");
    else if (minor == 0)
        hearth__http_puts(text, "Connection: keep-alive\r\n");
    hearth__http_puts(text, "\r\n");
    if (req->in_state == HEARTH__IN_HELD || req->in_state == HEARTH__IN_BODY)
        req->in_state = HEARTH__IN_DROP;
    req->reply_left = body_bytes;
}

#define HEAD_BYTES 2048 /* on the stack; larger heads are rare */
#define HEAD_OWN_BYTES 256

static apr_status_t reserve_head(struct hearth__http_text *text,
                                 char buf[HEAD_BYTES],
                                 const struct hearth_http_header *headers,
                                 uint32_t count)
{
    size_t bytes = HEAD_OWN_BYTES + hearth__http_headers_bytes(headers, count);
    *text = (struct hearth__http_text){buf, HEAD_BYTES, 0};
    if (bytes <= HEAD_BYTES)
        return 0;
    text->buf = hearth_malloc(bytes);
    text->cap = bytes;
    return text->buf != NULL ? 0 : HEARTH_ENOMEM;
}

static void finish_reply(hearth_http_request_t *req, apr_status_t status,
                         struct hearth__http_text *text, char buf[HEAD_BYTES])
{
    if (text->buf != buf)
        hearth_free(text->buf);
    if (status == HEARTH_ENOMEM)
        hearth__http_conn_fail(req, HEARTH_HTTP_ABORTED);
    hearth__http_conn_wake(req);
}

apr_status_t hearth_http_reply(hearth_http_request_t *req, int status,
                               const struct hearth_http_header *headers,
                               uint32_t header_count, const void *body,
                               size_t body_bytes)
{
    apr_status_t rc = check_reply(req, status, headers, header_count);
    if (rc != 0 || req->failed)
        return rc;
    char buf[HEAD_BYTES];
    struct hearth__http_text text;
    rc = reserve_head(&text, buf, headers, header_count);
    if (rc == 0) {
        put_head(req, &text, status, headers, header_count,
                 (int64_t)body_bytes);
        struct iovec iov[2] = {{text.buf, text.len},
                               {(void *)(uintptr_t)body, body_bytes}};
        req->out_state = HEARTH__OUT_FINISHED;
        rc = hearth__http_conn_send(req, iov,
                                    req->no_body || body_bytes == 0 ? 1 : 2);
    }
    finish_reply(req, rc, &text, buf);
    return rc;
}

apr_status_t hearth_http_reply_ref(hearth_http_request_t *req, int status,
                                   const struct hearth_http_header *headers,
                                   uint32_t header_count, const void *body,
                                   size_t body_bytes,
                                   void (*release)(void *release_ctx),
                                   void *release_ctx)
{
    apr_status_t rc = check_reply(req, status, headers, header_count);
    if (rc != 0 || req->failed) {
        release(release_ctx);
        return rc;
    }
    char buf[HEAD_BYTES];
    struct hearth__http_text text;
    rc = reserve_head(&text, buf, headers, header_count);
    if (rc == 0) {
        put_head(req, &text, status, headers, header_count,
                 (int64_t)body_bytes);
        struct iovec head = {text.buf, text.len};
        req->out_state = HEARTH__OUT_FINISHED;
        req->output_us = hearth_loop_now_us(req->server->loop);
        rc = hearth__http_out_send_ref(&req->out, req->watch.fd, &head, body,
                                       req->no_body ? 0 : body_bytes, release,
                                       release_ctx);
        if (rc != 0 && rc != HEARTH_ENOMEM) {
            hearth__http_conn_fail(req, HEARTH_HTTP_LEFT);
            rc = 0;
        }
    } else {
        release(release_ctx);
    }
    finish_reply(req, rc, &text, buf);
    return rc;
}

apr_status_t hearth_http_reply_begin(hearth_http_request_t *req, int status,
                                     const struct hearth_http_header *headers,
                                     uint32_t header_count, int64_t body_bytes)
{
    apr_status_t rc = check_reply(req, status, headers, header_count);
    if (rc == 0 && body_bytes < -1)
        rc = HEARTH_EINVAL;
    if (rc != 0 || req->failed)
        return rc;
    char buf[HEAD_BYTES];
    struct hearth__http_text text;
    rc = reserve_head(&text, buf, headers, header_count);
    if (rc == 0) {
        put_head(req, &text, status, headers, header_count, body_bytes);
        struct iovec iov = {text.buf, text.len};
        req->out_state = HEARTH__OUT_BEGUN;
        rc = hearth__http_conn_send(req, &iov, 1);
    }
    finish_reply(req, rc, &text, buf);
    return rc;
}

apr_status_t hearth_http_write(hearth_http_request_t *req, const void *data,
                               size_t bytes)
{
    check(req);
    if (req->out_state != HEARTH__OUT_BEGUN)
        return HEARTH_EINVAL;
    if (req->failed || bytes == 0)
        return 0;
    if (req->reply_left >= 0 && bytes > (uint64_t)req->reply_left)
        return HEARTH_EINVAL;
    if (req->out.bytes > 0 &&
        bytes + req->out.bytes > req->server->limits.write_high_bytes) {
        req->want_writable = true;
        return HEARTH_EAGAIN;
    }
    if (req->reply_left >= 0)
        req->reply_left -= (int64_t)bytes;
    if (req->no_body)
        return 0;
    char line[24];
    int line_bytes = 0;
    if (req->chunked)
        line_bytes = snprintf(line, sizeof(line), "%zx\r\n", bytes);
    struct iovec iov[3] = {{line, (size_t)line_bytes},
                           {(void *)(uintptr_t)data, bytes},
                           {(char *)(uintptr_t) "\r\n", 2}};
    apr_status_t rc = req->chunked ? hearth__http_conn_send(req, iov, 3)
                                   : hearth__http_conn_send(req, iov + 1, 1);
    hearth__http_conn_wake(req);
    return rc;
}

apr_status_t hearth_http_reply_end(hearth_http_request_t *req)
{
    check(req);
    if (req->out_state != HEARTH__OUT_BEGUN)
        return HEARTH_EINVAL;
    if (req->failed)
        return 0;
    if (req->reply_left > 0 && !req->no_body) {
        hearth__http_conn_fail(req, HEARTH_HTTP_ABORTED);
        return HEARTH_EINVAL;
    }
    req->out_state = HEARTH__OUT_FINISHED;
    apr_status_t rc = 0;
    if (req->chunked) {
        struct iovec iov = {(char *)(uintptr_t) "0\r\n\r\n", 5};
        rc = hearth__http_conn_send(req, &iov, 1);
    }
    hearth__http_conn_wake(req);
    return rc;
}

void hearth_http_abort(hearth_http_request_t *req)
{
    check(req);
    hearth__http_conn_fail(req, HEARTH_HTTP_ABORTED);
}

bool hearth_http_replied(const hearth_http_request_t *req)
{
    return req->out_state != HEARTH__OUT_NONE;
}
