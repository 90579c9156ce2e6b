/* SPDX-License-Identifier: Apache-2.0 */
/* address.c: addresses as users write them, and listening sockets. */
#include "config.h"

#include "http/http_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static apr_status_t resolve_unix(const char *path,
                                 struct hearth__http_address *address,
                                 struct hearth_error *err)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&address->sa;
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof(sun->sun_path))
        return hearth_fail(err, HEARTH_EINVAL,
                           "unix:%s: a path of 1 to %zu bytes is needed: "
                           "choose a shorter one",
                           path, sizeof(sun->sun_path) - 1);
    memset(sun, 0, sizeof(*sun));
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path, bytes + 1);
    address->bytes = sizeof(*sun);
    return 0;
}

/* Splits at the last colon; takes the brackets of IPv6 away. */
static bool split(const char *text, char *host, size_t size, const char **port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] == '\0')
        return false;
    size_t bytes = (size_t)(colon - text);
    if (bytes >= 2 && text[0] == '[' && colon[-1] == ']') {
        text++;
        bytes -= 2;
    } else if (memchr(text, ':', bytes) != NULL) {
        return false;
    }
    if (bytes >= size)
        return false;
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    *port = colon + 1;
    /* getaddrinfo would take a larger number modulo 2^16. */
    return strspn(*port, "0123456789") == strlen(*port) && strlen(*port) <= 5 &&
           strtoul(*port, NULL, 10) <= UINT16_MAX;
}

apr_status_t
hearth__http_resolve(const char *text, bool listening,
                     struct hearth__http_address list[HEARTH__HTTP_ADDRESSES],
                     int *count, struct hearth_error *err)
{
    *count = 0;
    if (strncmp(text, "unix:", 5) == 0) {
        *count = 1;
        return resolve_unix(text + 5, &list[0], err);
    }
    char host[256];
    const char *port;
    if (!split(text, host, sizeof(host), &port) ||
        (!listening && host[0] == '\0'))
        return hearth_fail(err, HEARTH_EINVAL,
                           "address '%s' is not understood: write HOST:PORT, "
                           "[IPV6]:PORT or unix:/PATH",
                           text);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV};
    if (host[0] == '\0') { /* both families on one socket */
        hints.ai_family = AF_INET6;
        hints.ai_flags |= AI_PASSIVE;
    }
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return hearth_fail(err, HEARTH_EINVAL,
                           "address '%s': %s: check the name and the port",
                           text, gai_strerror(rc));
    for (struct addrinfo *ai = found;
         ai != NULL && *count < HEARTH__HTTP_ADDRESSES; ai = ai->ai_next) {
        struct hearth__http_address *address = &list[(*count)++];
        memcpy(&address->sa, ai->ai_addr, ai->ai_addrlen);
        address->bytes = ai->ai_addrlen;
    }
    freeaddrinfo(found);
    return 0;
}

/* Removes a socket file on which nobody listens; leaves any other file. */
static void remove_stale(const struct hearth__http_address *address)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->sa;
    struct stat st;
    if (lstat(sun->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)sun, address->bytes) != 0 &&
        errno == ECONNREFUSED)
        unlink(sun->sun_path);
    close(fd);
}

static int open_listener(const struct hearth__http_address *address)
{
    int family = address->sa.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    if (family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (const struct sockaddr *)&address->sa, address->bytes) != 0 ||
        listen(fd, 1024) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

apr_status_t hearth_http_listen(int *fd, const char *address,
                                struct hearth_error *err)
{
    *fd = -1;
    struct hearth__http_address list[HEARTH__HTTP_ADDRESSES];
    int count;
    apr_status_t status =
        hearth__http_resolve(address, true, list, &count, err);
    if (status != 0)
        return status;
    int saved = 0;
    for (int i = 0; i < count && *fd < 0; i++) {
        if (list[i].sa.ss_family == AF_UNIX)
            remove_stale(&list[i]);
        *fd = open_listener(&list[i]);
        saved = errno;
    }
    /* A machine without IPv6: every interface of IPv4. */
    if (*fd < 0 && address[0] == ':' &&
        (saved == EAFNOSUPPORT || saved == EADDRNOTAVAIL)) {
        struct sockaddr_in *sin = (struct sockaddr_in *)&list[0].sa;
        in_port_t port = ((struct sockaddr_in6 *)&list[0].sa)->sin6_port;
        memset(sin, 0, sizeof(*sin));
        sin->sin_family = AF_INET;
        sin->sin_port = port;
        list[0].bytes = sizeof(*sin);
        *fd = open_listener(&list[0]);
        saved = errno;
    }
    if (*fd >= 0)
        return 0;
    char text[128];
    return hearth_fail(err, saved, "cannot listen on '%s': %s: %s", address,
                       apr_strerror(saved, text, sizeof(text)),
                       saved == EADDRINUSE
                           ? "another program has it; stop that or choose "
                             "another port"
                           : "check the address and the permissions");
}

uint16_t hearth_http_listen_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t bytes = sizeof(sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &bytes) != 0)
        return 0;
    if (sa.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&sa)->sin_port);
    if (sa.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    return 0;
}
