/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h: HTTP/1.1 (and 1.0) on a loop: a server, and a keep-alive client for
 * one upstream. Bodies stream both ways with bounded memory. It knows no
 * routes, no content codings, no TLS, no upgrade to another protocol.
 *
 * Everything here is called on the thread of the loop that it was created on;
 * other threads post to that loop. Callbacks run on that thread too, and may
 * call every function here except the destroy functions. Nothing blocks,
 * except name resolution in hearth_http_client_create.
 * Invariant: a request or call that was announced ends with one on_end, and
 * its pointer is dead after that.
 */
#ifndef HEARTH_HTTP_HTTP_H
#define HEARTH_HTTP_HTTP_H

#include "base/base.h"
#include "loop/loop.h"

/* One header. Those of a received message are NUL-terminated; those given to a
 * reply or call need not be: the lengths count. */
struct hearth_http_header {
    const char *name;
    const char *value;
    uint32_t name_bytes;
    uint32_t value_bytes;
};
/* For literals and other C strings. */
#define HEARTH_HTTP_HEADER(n, v)                                               \
    ((struct hearth_http_header){(n), (v), (uint32_t)strlen(n),                \
                                 (uint32_t)strlen(v)})

/* Why a request is over. */
enum hearth_http_end {
    HEARTH_HTTP_DONE = 0, /* the whole answer went to the kernel */
    HEARTH_HTTP_LEFT,     /* the client closed or reset the connection; also
                           * when it only shut its sending side down and the
                           * answer was not whole: the two look alike */
    HEARTH_HTTP_TIMEOUT,  /* a body or write timeout; 408 where possible */
    HEARTH_HTTP_BAD_BODY, /* malformed body; answered with 400 */
    HEARTH_HTTP_TOO_BIG,  /* body over the limit; answered with 413 */
    HEARTH_HTTP_SHUTDOWN, /* the server's drain deadline, or its destruction */
    HEARTH_HTTP_ABORTED   /* hearth_http_abort */
};
const char *hearth_http_end_name(enum hearth_http_end end);

/* The reason phrase of a status code; "Unknown" for one without. */
const char *hearth_http_reason(int status);

/* ======================= Server ======================= */

typedef struct hearth_http_server hearth_http_server_t;
typedef struct hearth_http_request hearth_http_request_t;

/* Every timeout: microseconds, 0 is none. Every limit answers with the status
 * given here, and closes the connection. hearth_http_limits_init sets the
 * defaults in brackets. */
struct hearth_http_limits {
    uint32_t header_bytes;     /* [64 KiB] request line and headers; 431 */
    uint32_t header_count;     /* [128] 431 */
    uint32_t target_bytes;     /* [8 KiB] 414 */
    uint64_t body_bytes;       /* [64 MiB] 413; a handler may set another */
    uint64_t drain_bytes;      /* [256 KiB] a refused body up to this size is
                                * read and dropped, so that the connection
                                * lives on; over it, the connection closes */
    uint32_t write_high_bytes; /* [1 MiB] unsent bytes of a streamed answer,
                                * over which hearth_http_write says EAGAIN */
    uint32_t connections;      /* [4096] when all are taken the longest idle
                                * one is closed; if none is idle, 503 */
    bool descriptors;          /* [false] one may be passed beside a request's
                                * bytes (SCM_RIGHTS); else they are closed */
    int64_t header_us;         /* [10 s] first byte to end of headers; 408 */
    int64_t body_idle_us;      /* [30 s] between two pieces of a body; 408 */
    int64_t read_us;           /* [0] first byte to the end of the body; 408 */
    int64_t write_us;          /* [30 s] without progress in sending; closes */
    int64_t idle_us;           /* [75 s] between requests; closes */
};
void hearth_http_limits_init(struct hearth_http_limits *limits);

/* How a server's owner answers. <ctx> is the owner's; what belongs to one
 * request hangs on hearth_http_set_context. Only on_request and on_end must be
 * set. The order for one request: on_request, on_body and on_complete (only
 * after hearth_http_accept), on_end. */
struct hearth_http_handler {
    void *ctx;
    /* The head is complete, nothing of the body was read. Before returning, or
     * later, the handler either answers (which refuses the body), or calls
     * hearth_http_accept to get the body. Until then nothing is read, and no
     * timeout but the client's patience runs: put a deadline on it. */
    void (*on_request)(void *ctx, hearth_http_request_t *req);
    /* A piece of the accepted body; the bytes are gone after the return. */
    void (*on_body)(void *ctx, hearth_http_request_t *req, const char *data,
                    size_t bytes);
    /* The body is whole; called for an empty one too, after the accept. */
    void (*on_complete)(void *ctx, hearth_http_request_t *req);
    /* After hearth_http_write said HEARTH_EAGAIN: there is room again. */
    void (*on_writable)(void *ctx, hearth_http_request_t *req);
    /* Once, last. <req> is dead after the return. Not called from inside
     * another function of this header, except hearth_http_server_destroy:
     * a handler's own call never pulls the request from under it. */
    void (*on_end)(void *ctx, hearth_http_request_t *req,
                   enum hearth_http_end end);
};

/* Opens a listening socket for any number of servers. <address> is
 * "host:port", ":port" (IPv6 and IPv4), "[v6]:port" or "unix:/path"; port 0
 * takes a free one. A stale unix socket (nobody answers on it) is replaced.
 * The descriptor is the caller's to close. On failure <err> tells what to do;
 * HEARTH_EINVAL for the address, else the system's code. Any thread; resolves
 * names, so it may block. */
apr_status_t hearth_http_listen(int *fd, const char *address,
                                struct hearth_error *err);
/* The port of a listening TCP socket, 0 for any other. */
uint16_t hearth_http_listen_port(int fd);

/* <limits> and <handler> are copied; NULL limits are the defaults. */
apr_status_t hearth_http_server_create(hearth_http_server_t **server,
                                       hearth_loop_t *loop,
                                       const struct hearth_http_limits *limits,
                                       const struct hearth_http_handler *h);
/* Closes every connection at once (on_end with SHUTDOWN). Not from a callback
 * of this server. */
void hearth_http_server_destroy(hearth_http_server_t **server);
/* Accepts connections on <fd>, which is duplicated, so that several loops may
 * share one listening socket. More than one call is allowed, up to 4. */
apr_status_t hearth_http_server_listen(hearth_http_server_t *server, int fd);
/* Serves an already connected socket (tests, socket activation); takes <fd>
 * over, also on failure. HEARTH_ENOMEM, HEARTH_EBUSY at the limit. */
apr_status_t hearth_http_server_adopt(hearth_http_server_t *server, int fd);
/* Graceful close: listens no more, closes idle connections, lets requests in
 * flight finish and closes after them, and closes what is left after
 * <grace_us>. <on_drained> is called once, when the last connection is gone
 * (not from inside this call). */
void hearth_http_server_drain(hearth_http_server_t *server, int64_t grace_us,
                              void (*on_drained)(void *ctx), void *ctx);
struct hearth_http_server_stats {
    uint64_t connections; /* open now */
    uint64_t requests_in_flight;
    uint64_t accepted; /* connections, ever */
    uint64_t requests; /* announced to the handler, ever */
    uint64_t refused;  /* answered 4xx or 5xx by this module alone */
    uint64_t received_bytes, sent_bytes;
};
/* Own thread only, as all here: post to read it from another. */
void hearth_http_server_stats(const hearth_http_server_t *server,
                              struct hearth_http_server_stats *stats);

/* ---- The request: valid from on_request to the end of on_end. ---- */

/* What was asked. All texts are NUL-terminated, hold no control character,
 * and are not decoded. */
const char *hearth_http_method(const hearth_http_request_t *req);
const char *hearth_http_target(const hearth_http_request_t *req);
/* The target before '?', and after it ("" when there is none). */
const char *hearth_http_path(const hearth_http_request_t *req);
const char *hearth_http_query(const hearth_http_request_t *req);
/* 10 or 11. */
int hearth_http_version(const hearth_http_request_t *req);
/* The first header of that name, in any case; NULL when there is none. */
const char *hearth_http_header(const hearth_http_request_t *req,
                               const char *name);
uint32_t hearth_http_headers(const hearth_http_request_t *req,
                             const struct hearth_http_header **headers);
/* Content-Length; 0 without a body; -1 when it is chunked. */
int64_t hearth_http_body_bytes(const hearth_http_request_t *req);
/* "127.0.0.1:4711", "unix"; returns <buf>. */
const char *hearth_http_peer(const hearth_http_request_t *req, char *buf,
                             size_t size);
/* The descriptor that came with the request, the caller's now; -1: none. One
 * that nobody takes is closed after on_end. */
int hearth_http_take_descriptor(hearth_http_request_t *req);
/* Who the kernel says is at the other end of a unix socket (SO_PEERCRED), as it
 * was when it connected. HEARTH_EUNSUPPORTED for any other socket. */
struct hearth_http_peer {
    uint32_t uid, gid;
    int32_t pid;
};
apr_status_t hearth_http_peer_credentials(hearth_http_request_t *req,
                                          struct hearth_http_peer *peer);
/* Its supplementary groups (SO_PEERGROUPS), <most> at most: how many. */
uint32_t hearth_http_peer_groups(hearth_http_request_t *req, uint32_t *groups,
                                 uint32_t most);
hearth_loop_t *hearth_http_loop(const hearth_http_request_t *req);
void hearth_http_set_context(hearth_http_request_t *req, void *context);
void *hearth_http_context(const hearth_http_request_t *req);

/* Wants the body: sends "100 Continue" if the client waits for it, and starts
 * on_body and on_complete, never inside this call. <limit_bytes> replaces
 * limits.body_bytes, unless it is 0. HEARTH_ETOOBIG: Content-Length is over
 * the limit; nothing was done, and the handler answers (413 is usual).
 * HEARTH_ECANCELED: the client is gone, on_end comes. */
apr_status_t hearth_http_accept(hearth_http_request_t *req,
                                uint64_t limit_bytes);
/* Back-pressure: no on_body and on_complete from now until the resume, and no
 * body timeout. At most one buffer (64 KiB) is held meanwhile. */
void hearth_http_pause(hearth_http_request_t *req);
void hearth_http_resume(hearth_http_request_t *req);

/* ---- The answer. Once a request; also before the body is complete: the rest
 * of it is then not delivered any more.
 *
 * Content-Length, Transfer-Encoding, Connection, Keep-Alive and Date are this
 * module's: such headers of the caller are left out, except that "Connection:
 * close" makes the connection close. HEARTH_EINVAL, nothing sent: a status
 * outside 200..599, a control character in a header, an answer was given.
 * HEARTH_ENOMEM: nothing sent; the connection will be closed (on_end ABORTED).
 * A client that is gone is no error: on_end tells. */

/* Headers and body at once: one writev where the kernel takes it. <body> is
 * copied if it cannot be sent in this call. For HEAD the body is left out. */
apr_status_t hearth_http_reply(hearth_http_request_t *req, int status,
                               const struct hearth_http_header *headers,
                               uint32_t header_count, const void *body,
                               size_t body_bytes);
/* The same, without the copy: <body> stays valid until <release>, which is
 * called exactly once, also on failure, maybe before this returns. */
apr_status_t hearth_http_reply_ref(hearth_http_request_t *req, int status,
                                   const struct hearth_http_header *headers,
                                   uint32_t header_count, const void *body,
                                   size_t body_bytes,
                                   void (*release)(void *release_ctx),
                                   void *release_ctx);
/* A streamed answer of <body_bytes>, or of unknown length when that is -1
 * (chunked; for HTTP/1.0 ended by closing). */
apr_status_t hearth_http_reply_begin(hearth_http_request_t *req, int status,
                                     const struct hearth_http_header *headers,
                                     uint32_t header_count, int64_t body_bytes);
/* Takes all of <data> (copying what the kernel does not take) or nothing:
 * HEARTH_EAGAIN: too much is unsent, wait for on_writable. HEARTH_EINVAL: more
 * than the announced length, or no begin. HEARTH_ENOMEM. */
apr_status_t hearth_http_write(hearth_http_request_t *req, const void *data,
                               size_t bytes);
/* HEARTH_EINVAL when less than the announced length was written: the client
 * must see a broken answer, so the connection is closed (on_end ABORTED). */
apr_status_t hearth_http_reply_end(hearth_http_request_t *req);
/* Closes the connection without (the rest of) an answer; on_end comes. */
void hearth_http_abort(hearth_http_request_t *req);
/* Was an answer begun? */
bool hearth_http_replied(const hearth_http_request_t *req);

/* ======================= Client ======================= */

typedef struct hearth_http_client hearth_http_client_t;
typedef struct hearth_http_call hearth_http_call_t;

struct hearth_http_client_config {
    const char *address;       /* "host:port", "[v6]:port" or "unix:/path" */
    const char *host;          /* the Host header; NULL: from the address */
    uint32_t connections;      /* [64] more calls than this wait in line */
    uint32_t header_bytes;     /* [64 KiB] of a response */
    uint32_t header_count;     /* [128] */
    uint32_t write_high_bytes; /* [1 MiB] as in hearth_http_limits */
    int64_t connect_us;        /* [5 s] */
    int64_t idle_us;           /* [30 s] a kept connection without a call */
};
void hearth_http_client_config_init(struct hearth_http_client_config *config);

struct hearth_http_call_handler {
    void *ctx;
    /* Head of the final response (1xx are skipped). */
    void (*on_response)(void *ctx, hearth_http_call_t *call, int status);
    void (*on_body)(void *ctx, hearth_http_call_t *call, const char *data,
                    size_t bytes);
    void (*on_writable)(void *ctx, hearth_http_call_t *call);
    /* Once, last; not from inside a function of this header, except the
     * client's destruction. 0: the response is complete. HEARTH_EPEER: cannot
     * connect, or the connection broke; HEARTH_ETIMEOUT: the deadline (or the
     * connect timeout) passed; HEARTH_EPROTO: the response is malformed or
     * over a limit; HEARTH_ECANCELED: hearth_http_call_cancel;
     * HEARTH_ECLOSING: the client was destroyed; HEARTH_ENOMEM. */
    void (*on_end)(void *ctx, hearth_http_call_t *call, apr_status_t status);
};
struct hearth_http_call_spec {
    const char *method;
    const char *target;
    const struct hearth_http_header *headers; /* Host replaces the client's */
    uint32_t header_count;
    const void *body;    /* copied; NULL with body_bytes != 0: streamed */
    int64_t body_bytes;  /* -1: streamed, chunked */
    int64_t deadline_us; /* on the loop's clock, for all of it; 0: none */
    /* NULL: none. Passed beside the call's first byte, to a unix address only
     * (else HEARTH_EUNSUPPORTED); duplicated, so it may be closed. */
    const int *descriptor;
};

/* Resolves the address: may block. <err> tells what to do on failure. */
apr_status_t
hearth_http_client_create(hearth_http_client_t **client, hearth_loop_t *loop,
                          const struct hearth_http_client_config *config,
                          struct hearth_error *err);
/* Ends every call with HEARTH_ECLOSING. Not from a callback of this client. */
void hearth_http_client_destroy(hearth_http_client_t **client);

/* Starts a call; everything in <spec> is copied. A call without a streamed
 * body is sent again, once, when a kept connection turns out to be closed
 * before one byte of the call was sent, or, for an idempotent method, before
 * one byte of an answer came. HEARTH_EINVAL (also for CONNECT), HEARTH_ENOMEM,
 * HEARTH_ECLOSING (the client is being destroyed): no callback comes. */
apr_status_t hearth_http_call_start(hearth_http_call_t **call,
                                    hearth_http_client_t *client,
                                    const struct hearth_http_call_spec *spec,
                                    const struct hearth_http_call_handler *h);
/* The streamed body: as hearth_http_write and hearth_http_reply_end (a body
 * that is too short ends the call with HEARTH_ECANCELED). Bytes that come
 * before the connection stands are buffered. */
apr_status_t hearth_http_call_write(hearth_http_call_t *call, const void *data,
                                    size_t bytes);
apr_status_t hearth_http_call_finish(hearth_http_call_t *call);
/* Stops and starts reading of the response body. */
void hearth_http_call_pause(hearth_http_call_t *call);
void hearth_http_call_resume(hearth_http_call_t *call);
/* on_end comes with HEARTH_ECANCELED; the connection is closed if it was in
 * use. */
void hearth_http_call_cancel(hearth_http_call_t *call);
/* Did a byte of it go out? Also in on_end: one that did not has had no effect.
 */
bool hearth_http_call_sent(const hearth_http_call_t *call);
/* From on_response on. */
const char *hearth_http_call_header(const hearth_http_call_t *call,
                                    const char *name);
uint32_t hearth_http_call_headers(const hearth_http_call_t *call,
                                  const struct hearth_http_header **headers);
/* As hearth_http_body_bytes; -1 also for a body that ends with the
 * connection. */
int64_t hearth_http_call_body_bytes(const hearth_http_call_t *call);

#endif
