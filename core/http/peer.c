/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c: who is at the other end of a unix socket, as the kernel knows
 * it, and what they pass.
 */
#include "http/server_priv.h"

#include <errno.h>
#include <sys/socket.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#define GROUPS_MAX 1024

apr_status_t hearth_http_peer_credentials(hearth_http_request_t *req,
                                          struct hearth_http_peer *peer)
{
    struct ucred cred;
    struct sockaddr_storage own;
    socklen_t bytes = sizeof(own);

    HEARTH_CHECK(req, HEARTH_MAGIC_HTTP_REQUEST);
    if (!req->peer_known) {
        /* Other families answer SO_PEERCRED with nonsense. */
        if (getsockname(req->watch.fd, (struct sockaddr *)&own, &bytes) != 0 ||
            own.ss_family != AF_UNIX)
            return HEARTH_EUNSUPPORTED;
        bytes = sizeof(cred);
        if (getsockopt(req->watch.fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) !=
            0)
            return APR_FROM_OS_ERROR(errno);
        req->peer = (struct hearth_http_peer){
            .uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
        req->peer_known = true;
    }
    *peer = req->peer;
    return HEARTH_OK;
}

int hearth_http_take_descriptor(hearth_http_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_HTTP_REQUEST);
    if (!req->in.has_descriptor)
        return -1;
    req->in.has_descriptor = false;
    return req->in.descriptor;
}

uint32_t hearth_http_peer_groups(hearth_http_request_t *req, uint32_t *groups,
                                 uint32_t most)
{
    gid_t all[GROUPS_MAX];
    socklen_t bytes = sizeof(all);
    uint32_t count;

    HEARTH_CHECK(req, HEARTH_MAGIC_HTTP_REQUEST);
    if (getsockopt(req->watch.fd, SOL_SOCKET, SO_PEERGROUPS, all, &bytes) != 0)
        return 0;
    count = (uint32_t)(bytes / sizeof(*all));
    if (count > most)
        count = most;
    for (uint32_t i = 0; i < count; i++)
        groups[i] = all[i];
    return count;
}
