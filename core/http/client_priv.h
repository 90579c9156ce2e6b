/* SPDX-License-Identifier: Apache-2.0 */
/* client_priv.h: a client, its links and its calls: client.c, call.c. */
#ifndef HEARTH_HTTP_CLIENT_PRIV_H
#define HEARTH_HTTP_CLIENT_PRIV_H

#include "http/http_priv.h"

#define HEARTH_MAGIC_HTTP_CLIENT 0x4854434cu /* "HTCL" */
#define HEARTH_MAGIC_HTTP_CALL 0x48544341u   /* "HTCA" */

/* One connection to the upstream; it has a call, or is kept idle. */
struct hearth__http_link {
    hearth_http_client_t *client;
    hearth_http_call_t *call;              /* NULL: idle */
    struct hearth__http_link *next, *prev; /* in the idle list, newest first */
    struct hearth_loop_fd watch;           /* fd -1: none */
    struct hearth_loop_timer timer;        /* connecting, or idle */
    struct hearth__http_in in;
    struct hearth__http_out out;
    int address; /* being tried */
    bool connecting, readable, reused;
    bool hung_up; /* both directions are closed; bytes may be unread */
    bool broken;  /* nothing can be sent; an answer may still be unread */
};

enum hearth__http_call_state {
    HEARTH__CALL_WAITING = 0, /* in the client's line */
    HEARTH__CALL_RUNNING,     /* has a link */
    HEARTH__CALL_OVER         /* <status> is final; on_end is to be called */
};

struct hearth_http_call {
    uint32_t magic;
    hearth_http_client_t *client;
    struct hearth_http_call_handler handler;
    struct hearth_http_call *next, *prev; /* all calls, oldest first */
    enum hearth__http_call_state state;
    struct hearth__http_link *link; /* until on_end has returned */
    struct hearth_loop_timer deadline;
    struct hearth_loop_work work;
    apr_status_t status;

    char *message; /* head, and the body that came with the call */
    size_t message_bytes;
    uint64_t sent_before;          /* the link's count when the call began */
    struct hearth__http_out early; /* streamed before there was a link */
    int64_t body_left;             /* of a streamed body; -1: chunked */
    int descriptor;                /* to be passed; -1: none */
    bool streamed, finished;       /* the body; all of it was given */
    bool is_head, idempotent, close;
    bool was_sent;  /* a byte of it went out */
    bool answered;  /* a byte of a response came */
    bool responded; /* on_response was called */
    bool keep;      /* with OVER: the link may serve another call */
    bool paused, busy, want_writable, retried;
};

struct hearth_http_client {
    uint32_t magic;
    hearth_loop_t *loop;
    struct hearth_http_client_config config; /* without its texts */
    char *host;
    struct hearth__http_address addresses[HEARTH__HTTP_ADDRESSES];
    int address_count;
    struct hearth__http_link *idle;
    uint32_t link_count;
    struct hearth_http_call *first, *last;
    unsigned holding; /* an on_end runs: its link is about to be free */
    bool destroying;
};

/* ---- client.c ---- */

/* Gives links to the calls that wait, as far as the limit allows. */
void hearth__http_client_dispatch(hearth_http_client_t *client);
void hearth__http_link_close(struct hearth__http_link *link);
/* Keeps a link whose call has ended. */
void hearth__http_link_idle(struct hearth__http_link *link);
/* Waits for what the link's call needs. False: the system refused. */
bool hearth__http_link_watch(struct hearth__http_link *link, bool read);

/* ---- call_message.c ---- */

bool hearth__http_call_valid(const struct hearth_http_call_spec *spec);
/* Fills <message>, and what <spec> tells about the call. HEARTH_ENOMEM. */
apr_status_t hearth__http_call_build(hearth_http_call_t *call,
                                     const struct hearth_http_call_spec *spec);

/* ---- call.c ---- */

/* The call's end is fixed; on_end follows from the loop. */
void hearth__http_call_over(hearth_http_call_t *call, apr_status_t status);
void hearth__http_call_wake(hearth_http_call_t *call);
/* Calls on_end, gives the link back, frees the call. */
void hearth__http_call_end(hearth_http_call_t *call);
/* The link stands: sends what there is. The call may wait again after it. */
void hearth__http_call_send(hearth_http_call_t *call);
/* Goes on until nothing can be done; the call may be gone after it. */
void hearth__http_call_run(hearth_http_call_t *call);

#endif
