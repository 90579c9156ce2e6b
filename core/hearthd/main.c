/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: hearthd: the node's daemon. The main thread's loop has the signals
 * and the metrics port; everything else is the node's.
 *
 * Start fails fast: the configuration first, then the sockets, the devices
 * last, and the doors open when the repositories have been looked through.
 */
#include "device/device.h"
#include "hearthd/config.h"
#include "http/http.h"
#include "log/log.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_IN_ORDER = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Texts of an old configuration may still be read by requests under way: the
 * files are kept as long as the process lives. */
struct old_file {
    struct old_file *next;
    hearth_conf_file_t *file;
};

struct life {
    int argc;
    const char *const *argv;
    struct hearth_hearthd_config config;
    hearth_conf_file_t *file;
    struct old_file *old;
    hearth_loop_t *loop;
    hearth_engine_t *engine;
    hearth_node_t *node;
    hearth_http_server_t *metrics;
    int fds[4]; /* tcp, socket, admin, metrics; -1: none */
    bool ending;
    struct hearth_error err;
};

extern char **environ;

/* ---- Metrics ---- */

static void on_metrics(void *ctx, hearth_http_request_t *req)
{
    struct life *life = ctx;
    struct hearth_http_header type =
        HEARTH_HTTP_HEADER("Content-Type", "text/plain; version=0.0.4");
    char *text = NULL;

    if (strcmp(hearth_http_path(req), "/metrics") != 0)
        hearth_http_reply(req, 404, &type, 1, "try /metrics\n", 13);
    else if (strcmp(hearth_http_method(req), "GET") != 0 &&
             strcmp(hearth_http_method(req), "HEAD") != 0)
        hearth_http_reply(req, 405, &type, 1, "GET only\n", 9);
    else if (hearth_node_metrics(life->node, &text) != HEARTH_OK)
        hearth_http_reply(req, 503, &type, 1, "no memory\n", 10);
    else
        hearth_http_reply(req, 200, &type, 1, text, strlen(text));
    hearth_text_free(text);
}

static void on_metrics_end(void *ctx, hearth_http_request_t *req,
                           enum hearth_http_end end)
{
    (void)ctx;
    (void)req;
    (void)end;
}

/* ---- Sockets ---- */

static bool is_none(const char *address)
{
    return *address == '\0' || strcmp(address, "none") == 0;
}

/* The directory of a socket, where it is missing: /run is empty after a boot.
 */
static void make_directory(const char *path)
{
    char directory[256];
    const char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path ||
        (size_t)(slash - path) >= sizeof(directory))
        return;
    memcpy(directory, path, (size_t)(slash - path));
    directory[slash - path] = '\0';
    (void)mkdir(directory, 0755); /* the bind tells what is wrong */
}

static int listen_tcp(struct life *life, int *fd, const char *address)
{
    if (is_none(address))
        return HEARTH_OK;
    return hearth_http_listen(fd, address, &life->err) == APR_SUCCESS
               ? HEARTH_OK
               : life->err.status;
}

static int listen_unix(struct life *life, int *fd, const char *path, int mode)
{
    char address[256];
    mode_t before;
    apr_status_t rv;

    if (is_none(path))
        return HEARTH_OK;
    if (strlen(path) + 6 >= sizeof(address))
        return hearth_fail(&life->err, HEARTH_ECONFIG,
                           "the socket's path is too long: %.60s...", path);
    snprintf(address, sizeof(address), "unix:%s", path);
    make_directory(path);
    /* Nobody connects between the bind and the chmod. */
    before = umask(0177);
    rv = hearth_http_listen(fd, address, &life->err);
    umask(before);
    if (rv != APR_SUCCESS)
        return life->err.status;
    if (chmod(path, (mode_t)mode) != 0)
        return hearth_fail(&life->err, HEARTH_EIO, "cannot chmod %.120s: %s",
                           path, strerror(errno));
    return HEARTH_OK;
}

static int open_sockets(struct life *life)
{
    const struct hearth_hearthd_config *c = &life->config;
    char *end;
    long mode = strtol(c->socket_mode, &end, 8);
    int status;

    if (*end || mode < 0 || mode > 0777)
        return hearth_fail(&life->err, HEARTH_ECONFIG,
                           "socket_mode=%.20s: expected an octal number, as "
                           "0660",
                           c->socket_mode);
    status = listen_tcp(life, &life->fds[0], c->http_address);
    if (status == HEARTH_OK)
        status = listen_unix(life, &life->fds[1], c->socket, (int)mode);
    if (status == HEARTH_OK)
        status = listen_unix(life, &life->fds[2], c->admin_socket, 0600);
    if (status == HEARTH_OK)
        status = listen_tcp(life, &life->fds[3], c->metrics_address);
    return status;
}

/* Many connections need many descriptors. */
static void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- The end ---- */

static void drained(void *ctx)
{
    struct life *life = ctx;

    hearth_loop_stop(life->loop);
}

static void on_stop(void *ctx, int signum)
{
    struct life *life = ctx;

    if (life->ending) { /* somebody does not want to wait */
        hearth_loop_stop(life->loop);
        return;
    }
    life->ending = true;
    hearth_log(HEARTH_LOG_INFO, 12,
               "event=\"shutting down\" signal=%s in_flight=%llu",
               signum == SIGINT ? "SIGINT" : "SIGTERM",
               (unsigned long long)hearth_node_in_flight(life->node));
    hearth_node_drain(life->node, life->config.drain_us, drained, life);
}

/* ---- Reload ---- */

/* What was read replaces what was, as a whole; a mistake leaves everything as
 * it is. */
static int reload(void *ctx, struct hearth_error *err)
{
    struct life *life = ctx;
    struct hearth_hearthd_config *config = hearth_calloc(1, sizeof(*config));
    struct old_file *old = hearth_calloc(1, sizeof(*old));
    enum hearth_hearthd_action action;
    int status = config && old
                     ? hearth__hearthd_configure(
                           config, &old->file, &action, life->argc, life->argv,
                           (const char *const *)environ, err)
                     : hearth_fail(err, HEARTH_ENOMEM, "no memory");

    if (status == HEARTH_OK)
        status = hearth_node_configure(life->node, &config->node, err);
    if (status == HEARTH_OK) {
        hearth_log_level_set((enum hearth_log_level)config->log_level);
        life->config.drain_us = config->drain_us;
        old->next = life->old;
        life->old = old;
        old = NULL;
        hearth_log(HEARTH_LOG_INFO, 13, "event=reloaded file=\"%s\"",
                   config->file ? config->file : "-");
    } else {
        hearth_log(HEARTH_LOG_ERROR, 14, "event=\"not reloaded\" text=\"%s\"",
                   err->text);
    }
    if (old)
        hearth_conf_file_free(&old->file);
    hearth_free(old);
    hearth_free(config);
    return status;
}

static void on_hangup(void *ctx, int signum)
{
    struct hearth_error err = {0};

    (void)signum;
    (void)reload(ctx, &err);
}

/* ---- Start ---- */

/* systemd's notification, without its library: a datagram. */
static void tell_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd;

    if (path == NULL || strlen(path) >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(
        fd, "READY=1", 7, 0, (struct sockaddr *)&to,
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

/* Where models are packed; NULL: nowhere. */
static const char *pack_dir(const struct hearth_hearthd_config *config,
                            char *buf, size_t size)
{
    const char *state = config->node.state_dir;

    if (config->pack_bytes == 0 ||
        (*config->pack_dir == '\0' && *state == '\0'))
        return NULL;
    if (*config->pack_dir)
        return config->pack_dir;
    int n = snprintf(buf, size, "%s/packed", state);
    return n > 0 && (size_t)n < size ? buf : NULL;
}

static int open_engine(struct life *life)
{
    struct hearth_engine_config engine;
    char packs[PATH_MAX];

    hearth_devices_environment();
    hearth_engine_config_init(&engine);
    engine.devices = life->config.devices;
    engine.plugin_dir =
        *life->config.plugin_dir ? life->config.plugin_dir : NULL;
    engine.memory_bytes = life->config.memory_bytes;
    engine.host_bytes = life->config.host_bytes;
    engine.request_bytes = life->config.request_bytes;
    engine.pack_dir = pack_dir(&life->config, packs, sizeof(packs));
    engine.pack_bytes = life->config.pack_bytes;
    engine.io_threads = (uint32_t)life->config.io_threads;
    engine.log_level = life->config.log_level;
    return hearth_engine_create(&life->engine, &engine, &life->err);
}

static int open_doors(struct life *life)
{
    static const enum hearth_node_door doors[] = {
        HEARTH_DOOR_TCP, HEARTH_DOOR_SOCKET, HEARTH_DOOR_ADMIN};
    static const struct hearth_http_handler handler = {
        .on_request = on_metrics, .on_end = on_metrics_end};
    struct hearth_http_handler mine = handler;

    for (int i = 0; i < 3; i++)
        if (life->fds[i] >= 0 &&
            hearth_node_listen(life->node, doors[i], life->fds[i],
                               &life->err) != HEARTH_OK)
            return life->err.status;
    mine.ctx = life;
    if (life->fds[3] >= 0 &&
        (hearth_http_server_create(&life->metrics, life->loop, NULL, &mine) !=
             APR_SUCCESS ||
         hearth_http_server_listen(life->metrics, life->fds[3]) != APR_SUCCESS))
        return hearth_fail(&life->err, HEARTH_ENOMEM,
                           "no memory to serve the metrics: free some");
    return HEARTH_OK;
}

static void tell_doors(const struct life *life)
{
    hearth_log(HEARTH_LOG_INFO, 15,
               "event=ready version=%s port=%u metrics_port=%u socket=\"%s\" "
               "admin_socket=\"%s\" devices=\"%s\"",
               hearth_version(), hearth_http_listen_port(life->fds[0]),
               hearth_http_listen_port(life->fds[3]), life->config.socket,
               life->config.admin_socket, life->config.devices);
}

static int start(struct life *life)
{
    int status;

    if (hearth_loop_create(&life->loop, NULL) != APR_SUCCESS ||
        hearth_loop_signal(life->loop, SIGTERM, on_stop, life) != APR_SUCCESS ||
        hearth_loop_signal(life->loop, SIGINT, on_stop, life) != APR_SUCCESS ||
        hearth_loop_signal(life->loop, SIGHUP, on_hangup, life) != APR_SUCCESS)
        return hearth_fail(&life->err, HEARTH_ENOMEM,
                           "no memory to start: free some");
    raise_files();
    status = open_sockets(life);
    if (status == HEARTH_OK)
        status = open_engine(life);
    if (status == HEARTH_OK)
        status = hearth_node_create(&life->node, life->engine,
                                    &life->config.node, &life->err);
    if (status != HEARTH_OK)
        return status;
    hearth_node_on_reload(life->node, reload, life);
    status = open_doors(life);
    if (status == HEARTH_OK) {
        tell_doors(life);
        tell_ready();
    }
    return status;
}

static void stop(struct life *life)
{
    hearth_node_destroy(&life->node);
    hearth_engine_destroy(&life->engine);
    if (life->metrics)
        hearth_http_server_destroy(&life->metrics);
    for (int i = 0; i < 4; i++)
        if (life->fds[i] >= 0)
            close(life->fds[i]);
    if (life->fds[1] >= 0)
        (void)unlink(life->config.socket);
    if (life->fds[2] >= 0)
        (void)unlink(life->config.admin_socket);
    if (life->loop)
        hearth_loop_destroy(&life->loop);
}

static int serve(struct life *life)
{
    int code = EXIT_IN_ORDER;

    signal(SIGPIPE, SIG_IGN);
    if (start(life) == HEARTH_OK) {
        hearth_loop_run(life->loop);
        hearth_log(HEARTH_LOG_INFO, 16, "event=ended");
    } else {
        fprintf(stderr, "hearthd: %s\n", life->err.text);
        code = EXIT_FAILED;
    }
    stop(life);
    return code;
}

int main(int argc, char **argv)
{
    static struct life life = {.fds = {-1, -1, -1, -1}};
    enum hearth_hearthd_action action;
    int status, code = EXIT_IN_ORDER;

    life.argc = argc;
    life.argv = (const char *const *)argv;
    status = hearth__hearthd_configure(&life.config, &life.file, &action, argc,
                                       life.argv, (const char *const *)environ,
                                       &life.err);
    if (status != HEARTH_OK) {
        fprintf(stderr, "hearthd: %s\n", life.err.text);
        return status == HEARTH_EINVAL ? EXIT_USAGE : EXIT_FAILED;
    }
    switch (action) {
    case HEARTH_HEARTHD_HELP:
        hearth__hearthd_help();
        break;
    case HEARTH_HEARTHD_MANUAL:
        hearth__hearthd_manual(stdout);
        break;
    case HEARTH_HEARTHD_VERSION:
        printf("hearthd %s\n", hearth_version());
        break;
    case HEARTH_HEARTHD_BUILD:
        fputs(hearth_build_summary(), stdout);
        break;
    case HEARTH_HEARTHD_CHECK:
        printf("hearthd: the configuration is good\n");
        break;
    default:
        if (hearth_base_init() != APR_SUCCESS) {
            fprintf(stderr,
                    "hearthd: the Apache Portable Runtime does not start\n");
            return EXIT_FAILED;
        }
        code = serve(&life);
    }
    hearth_conf_file_free(&life.file);
    while (life.old) {
        struct old_file *old = life.old;

        life.old = old->next;
        hearth_conf_file_free(&old->file);
        hearth_free(old);
    }
    return code;
}
