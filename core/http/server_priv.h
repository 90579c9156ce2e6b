/* SPDX-License-Identifier: Apache-2.0 */
/* server_priv.h: a server and its connections: server.c, conn.c, reply.c. */
#ifndef HEARTH_HTTP_SERVER_PRIV_H
#define HEARTH_HTTP_SERVER_PRIV_H

#include "http/http_priv.h"

#define HEARTH_MAGIC_HTTP_SERVER 0x48545356u  /* "HTSV" */
#define HEARTH_MAGIC_HTTP_REQUEST 0x48545251u /* "HTRQ" */
#define HEARTH__HTTP_LISTENERS 4

/* Where the input of a connection stands. */
enum hearth__http_in_state {
    HEARTH__IN_IDLE = 0, /* no byte of a request */
    HEARTH__IN_HEAD,     /* some */
    HEARTH__IN_HELD,     /* announced; the handler has not accepted */
    HEARTH__IN_BODY,     /* accepted */
    HEARTH__IN_DROP,     /* answered before its end: the rest is dropped */
    HEARTH__IN_DONE,     /* the request is complete */
    HEARTH__IN_LINGER    /* closing: what still comes is thrown away */
};
enum hearth__http_out_state {
    HEARTH__OUT_NONE = 0,
    HEARTH__OUT_BEGUN,   /* streamed: more is to come */
    HEARTH__OUT_FINISHED /* all of it is sent or queued */
};

/* One connection, and the one request that it may have; the two states tell
 * all. A handler's calls only change state and output, and have `conn_run`
 * posted, unless it is running (<busy>); it alone calls back and closes. */
struct hearth_http_request {
    uint32_t magic;
    hearth_http_server_t *server;
    struct hearth_http_request *next, *prev;           /* all */
    struct hearth_http_request *idle_next, *idle_prev; /* longest idle first */
    bool listed_idle;

    struct hearth_loop_fd watch;
    struct hearth_loop_timer timer; /* lazy: may be due before <deadline_us> */
    int64_t deadline_us;            /* INT64_MAX: none */
    struct hearth_loop_work work;
    bool busy, readable;
    bool hung_up; /* the peer sends no more, but bytes may be unread */
    bool eof;     /* and none is unread */
    bool shut;    /* we send no more */

    enum hearth__http_in_state in_state;
    struct hearth__http_in in;
    int64_t head_start_us; /* first byte of this request */
    int64_t input_us;      /* idle since, last piece of body or beyond */
    int64_t linger_us;     /* since */
    uint64_t body_limit, body_received; /* of this request */
    uint64_t received_bytes;
    bool paused;

    enum hearth__http_out_state out_state;
    struct hearth__http_out out;
    int64_t output_us;  /* of the last progress, while bytes are unsent */
    int64_t reply_left; /* announced bytes not written yet; -1: unknown */
    bool chunked, no_body, want_writable;

    bool announced; /* on_request was called, on_end was not */
    bool keep_alive;
    bool failed; /* <end> is why; conn_run finishes */
    bool peer_known;
    struct hearth_http_peer peer;
    enum hearth_http_end end;
    void *context;
};

struct hearth__http_listener {
    struct hearth_loop_fd watch;
    hearth_http_server_t *server;
};

struct hearth_http_server {
    uint32_t magic;
    hearth_loop_t *loop;
    struct hearth_http_limits limits;
    struct hearth_http_handler handler;
    struct hearth__http_listener listeners[HEARTH__HTTP_LISTENERS];
    unsigned listener_count;
    struct hearth_loop_timer retry; /* accept again after EMFILE */
    struct hearth_http_request *conns, *idle_first, *idle_last;
    struct hearth_http_server_stats stats;
    bool draining, drained;
    struct hearth_loop_timer drain_timer;
    struct hearth_loop_work drain_work;
    void (*on_drained)(void *ctx);
    void *drained_ctx;
};

/* conn.c. <fd> is taken over, also on failure. */
apr_status_t hearth__http_conn_open(hearth_http_server_t *server, int fd);
/* Closes at once; on_end with <end> if a request was announced. */
void hearth__http_conn_close(hearth_http_request_t *conn,
                             enum hearth_http_end end);
void hearth__http_conn_wake(hearth_http_request_t *conn);
void hearth__http_conn_fail(hearth_http_request_t *conn,
                            enum hearth_http_end end);
/* May the connection live on after the answer that begins now? */
bool hearth__http_conn_may_keep(const hearth_http_request_t *conn);
/* Sends bytes of the answer; a broken connection fails it. */
apr_status_t hearth__http_conn_send(hearth_http_request_t *conn,
                                    struct iovec *iov, int count);
/* server.c: after a connection was unlinked. */
void hearth__http_server_left(hearth_http_server_t *server);
void hearth__http_idle_add(hearth_http_request_t *conn);
void hearth__http_idle_remove(hearth_http_request_t *conn);

#endif
