/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.c: unsent bytes of a connection. Most answers go out in the first
 * system call and never come here; what does is copied once, or referenced.
 */
#include "config.h"

#include "http/http_priv.h"

#include <errno.h>
#include <string.h>

struct hearth__http_segment {
    struct hearth__http_segment *next;
    const char *data;
    size_t bytes, sent; /* data[sent, bytes) is unsent */
    size_t room;        /* of an own segment: bytes that still fit behind */
    void (*release)(void *ctx);
    void *ctx;
    char own[];
};

#define SEGMENT_BYTES 16384u
#define GATHER 16

static void append(struct hearth__http_out *out,
                   struct hearth__http_segment *segment)
{
    segment->next = NULL;
    if (out->tail != NULL)
        out->tail->next = segment;
    else
        out->head = segment;
    out->tail = segment;
}

static apr_status_t queue_copy(struct hearth__http_out *out, const char *data,
                               size_t bytes)
{
    struct hearth__http_segment *tail = out->tail;
    if (tail != NULL && tail->room > 0) {
        size_t part = bytes < tail->room ? bytes : tail->room;
        memcpy(tail->own + tail->bytes, data, part);
        tail->bytes += part;
        tail->room -= part;
        out->bytes += part;
        data += part;
        bytes -= part;
    }
    if (bytes == 0)
        return 0;
    size_t size = bytes > SEGMENT_BYTES ? bytes : SEGMENT_BYTES;
    struct hearth__http_segment *segment =
        hearth_malloc(sizeof(*segment) + size);
    if (segment == NULL)
        return HEARTH_ENOMEM;
    memcpy(segment->own, data, bytes);
    segment->data = segment->own;
    segment->bytes = bytes;
    segment->sent = 0;
    segment->room = size - bytes;
    segment->release = NULL;
    out->bytes += bytes;
    append(out, segment);
    return 0;
}

/* The count that was sent, 0 when the kernel takes none now. */
static apr_status_t send_now(int fd, struct iovec *iov, int count, size_t *sent)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *sent = n > 0 ? (size_t)n : 0;
    return n < 0 && errno != EAGAIN && errno != EWOULDBLOCK ? errno : 0;
}

apr_status_t hearth__http_out_pass(struct hearth__http_out *out, int fd,
                                   const char *byte, int descriptor)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.buf = {0}};
    struct iovec iov = {(void *)(uintptr_t)byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.buf,
                             .msg_controllen = sizeof(control.buf)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    ssize_t n;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &descriptor, sizeof(int));
    HEARTH_ASSERT(out->head == NULL);
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        out->sent_bytes++;
    return n == 1 ? 0 : errno;
}

apr_status_t hearth__http_out_send(struct hearth__http_out *out, int fd,
                                   struct iovec *iov, int count)
{
    size_t sent = 0;
    if (out->head == NULL && fd >= 0) {
        apr_status_t status = send_now(fd, iov, count, &sent);
        if (status != 0)
            return status;
        out->sent_bytes += sent;
    }
    for (int i = 0; i < count; i++) {
        size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        sent -= skip;
        apr_status_t status = queue_copy(
            out, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
        if (status != 0)
            return status;
    }
    return 0;
}

static apr_status_t queue_ref(struct hearth__http_out *out, const void *data,
                              size_t bytes, size_t sent,
                              void (*release)(void *ctx), void *ctx)
{
    struct hearth__http_segment *segment = hearth_malloc(sizeof(*segment));
    if (segment == NULL)
        return HEARTH_ENOMEM;
    segment->data = data;
    segment->bytes = bytes;
    segment->sent = sent;
    segment->room = 0;
    segment->release = release;
    segment->ctx = ctx;
    out->bytes += bytes - sent;
    append(out, segment);
    return 0;
}

apr_status_t hearth__http_out_send_ref(struct hearth__http_out *out, int fd,
                                       const struct iovec *head,
                                       const void *body, size_t body_bytes,
                                       void (*release)(void *ctx), void *ctx)
{
    struct iovec iov[2] = {*head, {(void *)(uintptr_t)body, body_bytes}};
    size_t sent = 0;
    apr_status_t status = 0;
    if (out->head == NULL)
        status = send_now(fd, iov, 2, &sent);
    out->sent_bytes += sent;
    if (status == 0 && sent < head->iov_len) {
        status = queue_copy(out, (const char *)head->iov_base + sent,
                            head->iov_len - sent);
        sent = head->iov_len;
    }
    sent -= status == 0 ? head->iov_len : 0;
    if (status == 0 && sent < body_bytes) {
        status = queue_ref(out, body, body_bytes, sent, release, ctx);
        if (status == 0)
            return 0;
    }
    release(ctx);
    return status;
}

static void pop(struct hearth__http_out *out)
{
    struct hearth__http_segment *segment = out->head;
    out->head = segment->next;
    if (out->head == NULL)
        out->tail = NULL;
    if (segment->release != NULL)
        segment->release(segment->ctx);
    hearth_free(segment);
}

static void take_sent(struct hearth__http_out *out, size_t sent)
{
    out->bytes -= sent;
    out->sent_bytes += sent;
    while (out->head != NULL) {
        struct hearth__http_segment *segment = out->head;
        size_t part = segment->bytes - segment->sent;
        if (part > sent) {
            segment->sent += sent;
            return;
        }
        sent -= part;
        pop(out);
    }
}

apr_status_t hearth__http_out_flush(struct hearth__http_out *out, int fd)
{
    while (out->head != NULL) {
        struct iovec iov[GATHER];
        int count = 0;
        for (struct hearth__http_segment *s = out->head;
             s != NULL && count < GATHER; s = s->next)
            iov[count++] = (struct iovec){(char *)(uintptr_t)s->data + s->sent,
                                          s->bytes - s->sent};
        size_t sent;
        apr_status_t status = send_now(fd, iov, count, &sent);
        if (status != 0)
            return status;
        if (sent == 0)
            return 0;
        take_sent(out, sent);
    }
    return 0;
}

void hearth__http_out_append(struct hearth__http_out *out,
                             struct hearth__http_out *from)
{
    if (from->head == NULL)
        return;
    if (out->tail != NULL)
        out->tail->next = from->head;
    else
        out->head = from->head;
    out->tail = from->tail;
    out->bytes += from->bytes;
    *from = (struct hearth__http_out){0};
}

void hearth__http_out_clear(struct hearth__http_out *out)
{
    while (out->head != NULL)
        pop(out);
    out->bytes = 0;
}
