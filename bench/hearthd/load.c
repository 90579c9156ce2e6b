/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c: so many clients that ask one after the other, each on its own
 * connection, for so long: requests a second and latencies. Speaks TCP and unix
 * sockets alike, which wrk does not.
 *
 * Usage: load ADDRESS TARGET CONNECTIONS SECONDS BODY-FILE [HEADER VALUE]...
 * Prints "rps=N p50_us=N p99_us=N failed=N".
 */
#include "http/http.h"

#include <stdlib.h>
#include <string.h>

struct load {
    hearth_loop_t *loop;
    hearth_http_client_t *client;
    struct hearth_http_call_spec spec;
    int64_t until_us;
    uint32_t running;
    int64_t *taken_us;
    size_t count, room, failed;
};
struct one {
    struct load *load;
    int64_t began_us;
    int status;
};

static void start(struct one *one);

static void on_response(void *ctx, hearth_http_call_t *call, int status)
{
    struct one *one = ctx;

    (void)call;
    one->status = status;
}

static void on_end(void *ctx, hearth_http_call_t *call, apr_status_t status)
{
    struct one *one = ctx;
    struct load *load = one->load;
    int64_t now = hearth_now_us(hearth_clock_real());

    (void)call;
    if (status != HEARTH_OK || one->status != 200)
        load->failed++;
    if (load->count == load->room) {
        load->room = load->room ? load->room * 2 : 65536;
        load->taken_us = hearth_realloc(load->taken_us,
                                        load->room * sizeof(*load->taken_us));
        HEARTH_ASSERT(load->taken_us != NULL);
    }
    load->taken_us[load->count++] = now - one->began_us;
    if (now < load->until_us && load->failed < 1000)
        start(one);
    else if (--load->running == 0)
        hearth_loop_stop(load->loop);
}

static void start(struct one *one)
{
    const struct hearth_http_call_handler handler = {
        .ctx = one, .on_response = on_response, .on_end = on_end};
    hearth_http_call_t *call;

    one->status = 0;
    one->began_us = hearth_now_us(hearth_clock_real());
    if (hearth_http_call_start(&call, one->load->client, &one->load->spec,
                               &handler) != HEARTH_OK)
        exit(1);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    struct load load = {.spec = {.method = "POST"}};
    struct hearth_http_client_config config;
    struct hearth_http_header headers[8];
    struct hearth_error err;
    struct one *all;
    char *body;
    size_t bytes;
    int64_t began_us;
    double seconds;

    if (argc < 6 || hearth_base_init() != 0 ||
        hearth_read_file(argv[5], 1 << 26, &body, &bytes, &err) != HEARTH_OK) {
        fprintf(stderr, "usage: load ADDRESS TARGET CONNECTIONS SECONDS FILE "
                        "[HEADER VALUE]...\n");
        return 2;
    }
    load.running = (uint32_t)strtoul(argv[3], NULL, 10);
    load.spec.target = argv[2];
    load.spec.body = body;
    load.spec.body_bytes = (int64_t)bytes;
    load.spec.headers = headers;
    for (int i = 6; i + 1 < argc && load.spec.header_count < 8; i += 2)
        headers[load.spec.header_count++] =
            HEARTH_HTTP_HEADER(argv[i], argv[i + 1]);
    hearth_http_client_config_init(&config);
    config.address = argv[1];
    config.connections = load.running;
    hearth_loop_create(&load.loop, NULL);
    if (hearth_http_client_create(&load.client, load.loop, &config, &err) !=
        HEARTH_OK) {
        fprintf(stderr, "load: %s\n", err.text);
        return 1;
    }
    all = hearth_calloc(load.running, sizeof(*all));
    began_us = hearth_now_us(hearth_clock_real());
    load.until_us = began_us + (int64_t)(strtod(argv[4], NULL) * 1e6);
    for (uint32_t i = 0, n = load.running; i < n; i++) {
        all[i].load = &load;
        start(&all[i]);
    }
    hearth_loop_run(load.loop);
    seconds = (double)(hearth_now_us(hearth_clock_real()) - began_us) / 1e6;
    qsort(load.taken_us, load.count, sizeof(*load.taken_us), by_time);
    printf("rps=%.0f p50_us=%lld p99_us=%lld failed=%zu\n",
           (double)load.count / seconds,
           (long long)load.taken_us[load.count / 2],
           (long long)load.taken_us[load.count * 99 / 100], load.failed);
    hearth_http_client_destroy(&load.client);
    hearth_loop_destroy(&load.loop);
    hearth_free(load.taken_us);
    hearth_free(all);
    hearth_free(body);
    return load.failed > 0;
}
