/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c: the client, its links to the upstream, and which call gets one.
 *
 * A call takes the link that was used last, because that one is the least
 * likely to have been closed for idleness, and opens a new one when none is
 * idle; over the limit it waits in line. An idle link is watched: whatever
 * comes on it (the upstream's close, an answer that nobody asked for) ends it.
 */
#include "config.h"

#include "http/client_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

void hearth_http_client_config_init(struct hearth_http_client_config *config)
{
    *config = (struct hearth_http_client_config){
        .connections = 64,
        .header_bytes = 64 << 10,
        .header_count = 128,
        .write_high_bytes = 1 << 20,
        .connect_us = INT64_C(5000000),
        .idle_us = INT64_C(30000000),
    };
}

apr_status_t
hearth_http_client_create(hearth_http_client_t **result, hearth_loop_t *loop,
                          const struct hearth_http_client_config *config,
                          struct hearth_error *err)
{
    HEARTH_LOOP_ASSERT_OWNER(loop);
    *result = NULL;
    hearth_http_client_t *client = hearth_calloc(1, sizeof(*client));
    if (client == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory for a client of '%s': free some",
                           config->address);
    client->magic = HEARTH_MAGIC_HTTP_CLIENT;
    client->loop = loop;
    client->config = *config;
    if (client->config.connections == 0)
        client->config.connections = 1;
    if (client->config.header_bytes < 1024)
        client->config.header_bytes = 1024;
    if (client->config.header_bytes > 16 << 20)
        client->config.header_bytes = 16 << 20;
    apr_status_t status = hearth__http_resolve(
        config->address, false, client->addresses, &client->address_count, err);
    if (status != 0)
        goto fail;
    const char *host = config->host;
    if (host == NULL)
        host = strncmp(config->address, "unix:", 5) == 0 ? "localhost"
                                                         : config->address;
    struct hearth_http_header header = HEARTH_HTTP_HEADER("Host", host);
    if (!hearth__http_headers_valid(&header, 1)) {
        status = hearth_fail(err, HEARTH_EINVAL,
                             "the Host header for '%s' holds a control "
                             "character: take it out",
                             config->address);
        goto fail;
    }
    client->host = hearth_strdup(host);
    if (client->host == NULL) {
        status = hearth_fail(err, HEARTH_ENOMEM,
                             "no memory for a client of '%s': free some",
                             config->address);
        goto fail;
    }
    client->config.address = client->config.host = NULL;
    *result = client;
    return 0;
fail:
    hearth_free(client);
    return status;
}

void hearth_http_client_destroy(hearth_http_client_t **client_ptr)
{
    hearth_http_client_t *client = *client_ptr;
    if (client == NULL)
        return;
    HEARTH_CHECK(client, HEARTH_MAGIC_HTTP_CLIENT);
    HEARTH_LOOP_ASSERT_OWNER(client->loop);
    HEARTH_ASSERT(client->holding == 0);
    client->destroying = true;
    while (client->first != NULL) {
        HEARTH_ASSERT(!client->first->busy);
        hearth__http_call_over(client->first, HEARTH_ECLOSING);
        hearth__http_call_end(client->first);
    }
    while (client->idle != NULL)
        hearth__http_link_close(client->idle);
    HEARTH_ASSERT(client->link_count == 0);
    hearth_free(client->host);
    client->magic = 0;
    hearth_free(client);
    *client_ptr = NULL;
}

/* ---- Links ---- */

static void idle_remove(struct hearth__http_link *link)
{
    hearth_http_client_t *client = link->client;
    if (link->prev != NULL)
        link->prev->next = link->next;
    else if (client->idle == link)
        client->idle = link->next;
    if (link->next != NULL)
        link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

static void close_socket(struct hearth__http_link *link)
{
    if (link->watch.fd < 0)
        return;
    hearth_loop_fd_stop(&link->watch);
    close(link->watch.fd);
    link->watch.fd = -1;
}

void hearth__http_link_close(struct hearth__http_link *link)
{
    idle_remove(link);
    hearth_loop_timer_stop(&link->timer);
    close_socket(link);
    hearth__http_out_clear(&link->out);
    hearth__http_in_fini(&link->in);
    link->client->link_count--;
    hearth_free(link);
}

static void on_event(struct hearth_loop_fd *watch, unsigned events);

/* Begins to connect to the first address that can be tried. */
static apr_status_t dial(struct hearth__http_link *link)
{
    hearth_http_client_t *client = link->client;
    for (; link->address < client->address_count; link->address++) {
        const struct hearth__http_address *to =
            &client->addresses[link->address];
        int fd = socket(to->sa.ss_family,
                        SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            continue;
        int on = 1; /* fails on a unix socket, which needs no such thing */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if ((connect(fd, (const struct sockaddr *)&to->sa, to->bytes) == 0 ||
             errno == EINPROGRESS) &&
            hearth_loop_fd_start(client->loop, &link->watch, fd,
                                 HEARTH_LOOP_WRITE, on_event) == 0)
            return 0;
        close(fd);
        link->watch.fd = -1;
    }
    return HEARTH_EPEER;
}

static void on_timer(struct hearth_loop_timer *timer)
{
    struct hearth__http_link *link =
        HEARTH_CONTAINER(timer, struct hearth__http_link, timer);
    if (link->call == NULL) {
        hearth__http_link_close(link);
        return;
    }
    hearth__http_call_over(link->call, HEARTH_ETIMEOUT);
    hearth__http_call_run(link->call);
}

static apr_status_t open_link(hearth_http_client_t *client,
                              struct hearth__http_link **result)
{
    struct hearth__http_link *link = hearth_calloc(1, sizeof(*link));
    if (link == NULL)
        return HEARTH_ENOMEM;
    link->client = client;
    link->watch.fd = -1;
    link->connecting = true;
    link->in.head_limit = client->config.header_bytes;
    link->in.header_limit = client->config.header_count;
    client->link_count++;
    apr_status_t status = dial(link);
    if (status != 0) {
        hearth__http_link_close(link);
        return status;
    }
    if (client->config.connect_us > 0)
        hearth_loop_timer_start(client->loop, &link->timer,
                                client->config.connect_us, 0, on_timer);
    *result = link;
    return 0;
}

void hearth__http_link_idle(struct hearth__http_link *link)
{
    hearth_http_client_t *client = link->client;
    link->call = NULL;
    link->readable = false;
    hearth__http_in_begin(&link->in, false);
    hearth__http_in_idle(&link->in);
    if (!hearth__http_link_watch(link, true)) {
        hearth__http_link_close(link);
        return;
    }
    link->next = client->idle;
    if (link->next != NULL)
        link->next->prev = link;
    client->idle = link;
    if (client->config.idle_us > 0)
        hearth_loop_timer_start(client->loop, &link->timer,
                                client->config.idle_us, 0, on_timer);
}

bool hearth__http_link_watch(struct hearth__http_link *link, bool read)
{
    unsigned interest = read ? HEARTH_LOOP_READ : HEARTH_LOOP_NONE;
    if (link->out.bytes > 0 || link->connecting)
        interest |= HEARTH_LOOP_WRITE;
    /* A full hang-up is reported whether one asks or not: who does not want
     * to read what is left must not ask at all. */
    if (link->hung_up && interest == HEARTH_LOOP_NONE) {
        hearth_loop_fd_stop(&link->watch);
        return true;
    }
    if (link->watch.loop == NULL)
        return hearth_loop_fd_start(link->client->loop, &link->watch,
                                    link->watch.fd, interest, on_event) == 0;
    return hearth_loop_fd_interest(&link->watch, interest) == 0;
}

/* ---- Events ---- */

static void on_connected(struct hearth__http_link *link)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(link->watch.fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    if (error != 0) {
        close_socket(link);
        link->address++;
        if (dial(link) != 0)
            hearth__http_call_over(link->call, HEARTH_EPEER);
        return;
    }
    link->connecting = false;
    hearth_loop_timer_stop(&link->timer);
    hearth__http_call_send(link->call);
}

static void on_event(struct hearth_loop_fd *watch, unsigned events)
{
    struct hearth__http_link *link =
        HEARTH_CONTAINER(watch, struct hearth__http_link, watch);
    hearth_http_call_t *call = link->call;
    if (call == NULL) {
        hearth__http_link_close(link);
        return;
    }
    call->busy = true;
    if (link->connecting) {
        on_connected(link);
    } else {
        if (events & HEARTH_LOOP_READ)
            link->readable = true;
        if (events & HEARTH_LOOP_HUP)
            link->hung_up = true;
        if ((events & HEARTH_LOOP_WRITE) && link->out.bytes > 0 &&
            hearth__http_out_flush(&link->out, watch->fd) != 0) {
            hearth__http_out_clear(&link->out);
            link->broken = link->readable = true;
        }
    }
    hearth__http_call_run(call);
}

/* ---- Which call gets a link ---- */

/* Nothing came on it, not even its end. */
static bool is_alive(const struct hearth__http_link *link)
{
    char byte;
    return recv(link->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static struct hearth__http_link *take_idle(hearth_http_client_t *client)
{
    struct hearth__http_link *link;
    while ((link = client->idle) != NULL) {
        idle_remove(link);
        hearth_loop_timer_stop(&link->timer);
        if (is_alive(link)) {
            link->reused = true;
            return link;
        }
        hearth__http_link_close(link);
    }
    return NULL;
}

/* False: there is no room for one more link. */
static bool assign(hearth_http_call_t *call)
{
    hearth_http_client_t *client = call->client;
    /* One kept link failed this call already; it gets a new one. */
    struct hearth__http_link *link = call->retried ? NULL : take_idle(client);
    if (link == NULL) {
        if (client->link_count >= client->config.connections) {
            if (client->idle == NULL)
                return false;
            hearth__http_link_close(client->idle);
        }
        apr_status_t status = open_link(client, &link);
        if (status != 0) {
            hearth__http_call_over(call, status);
            return true;
        }
    }
    link->call = call;
    call->link = link;
    call->state = HEARTH__CALL_RUNNING;
    if (!link->connecting)
        hearth__http_call_send(call);
    hearth__http_call_wake(call);
    return true;
}

void hearth__http_client_dispatch(hearth_http_client_t *client)
{
    if (client->holding > 0 || client->destroying)
        return;
    /* No callback runs in here, so the list keeps still. */
    for (hearth_http_call_t *call = client->first; call != NULL;
         call = call->next)
        if (call->state == HEARTH__CALL_WAITING && !assign(call))
            return;
}
