/* SPDX-License-Identifier: Apache-2.0 */
/* http_priv.h: what the server's and the client's connections share. */
#ifndef HEARTH_HTTP_HTTP_PRIV_H
#define HEARTH_HTTP_HTTP_PRIV_H

#include "http/http.h"
#include "http/parser.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/* ---- Addresses (address.c) ---- */

#define HEARTH__HTTP_ADDRESSES 4
struct hearth__http_address {
    struct sockaddr_storage sa;
    socklen_t bytes;
};
/* Resolves "host:port", ":port", "[v6]:port", "unix:/path"; may block. */
apr_status_t
hearth__http_resolve(const char *text, bool listening,
                     struct hearth__http_address list[HEARTH__HTTP_ADDRESSES],
                     int *count, struct hearth_error *err);

/* ---- Input (input.c): a buffer, the parser on it, and the head's facts.
 *
 * The head stays at the start of the buffer until the message is over, so
 * that its texts need no copy; the body passes through the rest, the window.
 * buf[floor, len) is the window's content, buf[pos, len) is not parsed yet. */

#define HEARTH__HTTP_BUFFER_BYTES 8192u  /* of a new connection */
#define HEARTH__HTTP_WINDOW_BYTES 65536u /* the largest window */
#define HEARTH__HTTP_CHUNKED (-1)
#define HEARTH__HTTP_UNTIL_CLOSE (-2) /* body_bytes of some responses */

/* What may come next between the pieces of a chunked body. */
enum hearth__http_framing {
    HEARTH__HTTP_FRAMING_LINE = 0, /* within a line, or at its start */
    HEARTH__HTTP_FRAMING_LF,       /* CR was last: only LF */
    HEARTH__HTTP_FRAMING_DATA      /* data was last: more of it, or CR */
};

struct hearth__http_in {
    struct hearth__http_parser parser;
    char *buf;
    uint32_t cap, len, pos, floor;
    uint32_t head_limit, header_limit, target_limit;
    uint32_t overhead_bytes; /* framing since the last piece of body */
    enum hearth__http_framing framing;
    bool request;
    bool takes_descriptor; /* passed beside the bytes of a unix socket */
    bool has_descriptor;
    int descriptor; /* when it has one: the owner takes it, or fini closes it */

    /* The head, valid after hearth__http_in_head. */
    struct hearth_http_header *headers;
    uint32_t header_count, header_capacity;
    const char *method, *target, *path, *query;
    char *path_copy; /* of the path when the target has a query */
    uint32_t path_capacity;
    int64_t body_bytes; /* or CHUNKED, UNTIL_CLOSE */
    bool keep_alive, expect_continue;
};

/* A refusal that the peer can be told. */
struct hearth__http_fault {
    int status;
    const char *text; /* static */
};

void hearth__http_in_fini(struct hearth__http_in *in);
/* Closes a descriptor that nobody took. */
void hearth__http_in_drop(struct hearth__http_in *in);
/* Starts the next message with what is left in the buffer. */
void hearth__http_in_begin(struct hearth__http_in *in, bool request);
/* Gives memory of an unused, large buffer back. */
void hearth__http_in_idle(struct hearth__http_in *in);
/* Makes room and reads once. The count; 0: the peer closed; -1: <*error> is
 * EAGAIN, HEARTH_ETOOBIG (the head's limit), HEARTH_ENOMEM or the system's.
 * <*full> tells whether the read filled all the room. */
ssize_t hearth__http_in_read(struct hearth__http_in *in, int fd, int *error,
                             bool *full);
enum hearth__http_event hearth__http_in_next(struct hearth__http_in *in);
/* After HEAD: checks it, and sets its facts. False: <fault>. */
bool hearth__http_in_head(struct hearth__http_in *in,
                          struct hearth__http_fault *fault);
/* The refusal for a BAD or TOO_MANY event or a full buffer. */
struct hearth__http_fault
hearth__http_in_fault(const struct hearth__http_in *in,
                      enum hearth__http_event event);
const char *hearth__http_find(const struct hearth_http_header *headers,
                              uint32_t count, const char *name);

/* ---- Output (output.c): what the kernel has not taken yet. ---- */

struct hearth__http_segment;
struct hearth__http_out {
    struct hearth__http_segment *head, *tail;
    uint64_t bytes;      /* unsent */
    uint64_t sent_bytes; /* ever */
};
/* Sends what it can and queues copies of the rest, in order behind what is
 * queued. <fd> -1: queues all. HEARTH_ENOMEM: undefined what was sent; else
 * the system's code: the connection is broken. */
apr_status_t hearth__http_out_send(struct hearth__http_out *out, int fd,
                                   struct iovec *iov, int count);
/* Sends one byte with a descriptor beside it, on a unix socket with nothing
 * queued. The system's code, EAGAIN included. */
apr_status_t hearth__http_out_pass(struct hearth__http_out *out, int fd,
                                   const char *byte, int descriptor);
/* Sends a copied head and a referenced body. <release> (not NULL) is called
 * once: when the body is sent or dropped, or on failure. Statuses as above. */
apr_status_t hearth__http_out_send_ref(struct hearth__http_out *out, int fd,
                                       const struct iovec *head,
                                       const void *body, size_t body_bytes,
                                       void (*release)(void *ctx), void *ctx);
/* Sends queued bytes until the kernel takes no more. The system's code. */
apr_status_t hearth__http_out_flush(struct hearth__http_out *out, int fd);
/* Moves what is queued in <from> behind what is queued in <out>. */
void hearth__http_out_append(struct hearth__http_out *out,
                             struct hearth__http_out *from);
void hearth__http_out_clear(struct hearth__http_out *out);

/* ---- Text of a head (message.c) ---- */

struct hearth__http_text {
    char *buf;
    size_t cap, len; /* len > cap: it did not fit */
};
void hearth__http_put(struct hearth__http_text *text, const void *data,
                      size_t bytes);
void hearth__http_puts(struct hearth__http_text *text, const char *s);
void hearth__http_put_u64(struct hearth__http_text *text, uint64_t value);
/* Appends "Date: ...\r\n", the wall clock's time. */
void hearth__http_put_date(struct hearth__http_text *text);
bool hearth__http_is_token(const char *s, size_t bytes);
/* Names are tokens, values hold no control character but tab. */
bool hearth__http_headers_valid(const struct hearth_http_header *headers,
                                uint32_t count);
/* Appends all headers but those that frame the message. Returns whether one
 * was "Connection: close". */
bool hearth__http_put_headers(struct hearth__http_text *text,
                              const struct hearth_http_header *headers,
                              uint32_t count);
/* Room enough for these headers. */
size_t hearth__http_headers_bytes(const struct hearth_http_header *headers,
                                  uint32_t count);
bool hearth__http_name_is(const struct hearth_http_header *header,
                          const char *name);

#endif
