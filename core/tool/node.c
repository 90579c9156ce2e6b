/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c: `hearth status`, `models`, `load`, `unload`, `pin`, `fit`: what a
 * running hearthd has and does.
 */
#include "tool/remote.h"

#include <string.h>

enum { OPT_JSON, OPT_SOCKET }; /* the remote's follow */

static const struct hearth_tool_option options[] = {
    {"json", NULL, "print hearthd's answer and nothing else"},
    HEARTH_REMOTE_OPTIONS,
    {NULL, NULL, NULL},
};

/* One question, one answer. NULL: told on stderr. */
static json_t *ask(const char *const *values, const char *method,
                   const char *target, const char *body)
{
    struct hearth_remote remote;
    struct hearth_error err = {0};
    json_t *root = NULL;

    if (hearth__remote_open(&remote, values + OPT_SOCKET, &err) != HEARTH_OK ||
        hearth__remote_json(&remote, method, target, body, &root, &err) !=
            HEARTH_OK)
        hearth__tool_failed(&err);
    hearth__remote_close(&remote);
    return root;
}

static const char *bytes_text(int64_t bytes, char *buf, size_t size)
{
    return hearth_format_bytes(bytes > 0 ? (uint64_t)bytes : 0, buf, size);
}

/* ---- status ---- */

static void print_device(const json_t *d)
{
    const json_t *of = json_object_get(d, "of_them");
    char used[32], limit[32], models[32], arena[32];

    printf(
        "  %-8s %-24.24s %10s of %10s  models %s, arena %s%s\n",
        hearth__json_text(d, "device"), hearth__json_text(d, "name"),
        bytes_text(hearth__json_int(d, "used_bytes"), used, sizeof(used)),
        bytes_text(hearth__json_int(d, "limit_bytes"), limit, sizeof(limit)),
        bytes_text(hearth__json_int(of, "model_bytes"), models, sizeof(models)),
        bytes_text(hearth__json_int(of, "arena_bytes"), arena, sizeof(arena)),
        json_is_true(json_object_get(d, "lost")) ? "  LOST" : "");
    printf("  %-8s %lld loads, %lld evictions, %lld failed loads\n", "",
           (long long)hearth__json_int(d, "loads"),
           (long long)hearth__json_int(d, "evictions"),
           (long long)hearth__json_int(d, "load_failures"));
}

static void print_tenant(const json_t *t)
{
    char used[32], quota[32];
    int64_t most = hearth__json_int(t, "quota_bytes");

    printf("  %-16s %10s of %-10s  %lld in flight, %lld functions\n",
           hearth__json_text(t, "name"),
           bytes_text(hearth__json_int(t, "bytes"), used, sizeof(used)),
           most > 0 ? bytes_text(most, quota, sizeof(quota)) : "any",
           (long long)hearth__json_int(t, "in_flight"),
           (long long)hearth__json_int(t, "functions"));
}

static void print_status(const json_t *root)
{
    const json_t *h = json_object_get(root, "hearthd");
    const json_t *jobs = json_object_get(root, "jobs");
    int64_t hits = hearth__json_int(jobs, "hits");
    int64_t runs = hits + hearth__json_int(jobs, "misses");
    size_t i;
    json_t *item;

    printf("hearthd %s, process %lld, up %.0f s, %s\n",
           hearth__json_text(h, "version"),
           (long long)hearth__json_int(h, "pid"),
           json_number_value(json_object_get(h, "uptime_s")),
           json_is_true(json_object_get(h, "draining")) ? "draining"
           : json_is_true(json_object_get(h, "ready"))  ? "ready"
                                                        : "not ready");
    printf("requests  %lld answered or refused, %lld failed, %lld in flight\n",
           (long long)hearth__json_int(h, "requests"),
           (long long)hearth__json_int(h, "requests_failed"),
           (long long)hearth__json_int(h, "in_flight"));
    printf("jobs      %lld waiting, %lld running, %lld loading; %lld done, hit "
           "ratio %.3f\n",
           (long long)hearth__json_int(jobs, "waiting"),
           (long long)hearth__json_int(jobs, "running"),
           (long long)hearth__json_int(jobs, "loading"),
           (long long)hearth__json_int(jobs, "completed"),
           runs > 0 ? (double)hits / (double)runs : 0.0);
    printf("devices\n");
    json_array_foreach(json_object_get(root, "devices"), i, item)
        print_device(item);
    printf("tenants\n");
    json_array_foreach(json_object_get(root, "tenants"), i, item)
        print_tenant(item);
}

static int run_status(const char *const *values, int argc, char *const *argv)
{
    json_t *root = ask(values, "GET", "/v2/hearth/status", NULL);

    (void)argc;
    (void)argv;
    if (root == NULL)
        return HEARTH_TOOL_FAILED;
    if (values[OPT_JSON])
        hearth__print_json(root);
    else
        print_status(root);
    json_decref(root);
    return HEARTH_TOOL_OK;
}

/* ---- models ---- */

static void print_model(const json_t *m)
{
    char where[160] = "", bytes[32];
    size_t used = 0, i;
    json_t *place;

    json_array_foreach(json_object_get(m, "places"), i, place)
    {
        if (used >= sizeof(where))
            break;
        used += (size_t)snprintf(
            where + used, sizeof(where) - used, "%s%s %s%s%s",
            used > 0 ? ", " : "", hearth__json_text(place, "name"),
            bytes_text(hearth__json_int(place, "bytes"), bytes, sizeof(bytes)),
            strcmp(hearth__json_text(place, "state"), "resident") ? " " : "",
            strcmp(hearth__json_text(place, "state"), "resident")
                ? hearth__json_text(place, "state")
                : "");
    }
    printf("%-28.28s %3s %-12s %c %10lld  %s%s\n", hearth__json_text(m, "name"),
           hearth__json_text(m, "version"), hearth__json_text(m, "state"),
           json_is_true(json_object_get(m, "pinned")) ? 'P' : ' ',
           (long long)hearth__json_int(m, "inference_count"), where,
           where[0] ? "" : hearth__json_text(m, "reason"));
}

static int run_models(const char *const *values, int argc, char *const *argv)
{
    json_t *root = ask(values, "GET", "/v2/hearth/models", NULL), *item;
    size_t i;

    (void)argc;
    (void)argv;
    if (root == NULL)
        return HEARTH_TOOL_FAILED;
    if (values[OPT_JSON]) {
        hearth__print_json(root);
    } else {
        printf("%-28s %3s %-12s %c %10s  %s\n", "MODEL", "VER", "STATE", 'P',
               "SAMPLES", "WHERE");
        json_array_foreach(json_object_get(root, "models"), i, item)
            print_model(item);
    }
    json_decref(root);
    return HEARTH_TOOL_OK;
}

/* ---- load, unload, pin ---- */

static int order(const char *const *values, const char *prefix,
                 const char *name, const char *suffix, const char *body,
                 const char *done)
{
    char target[900];
    json_t *root;

    hearth__remote_target(target, sizeof(target), prefix, name, NULL, suffix);
    root = ask(values, "POST", target, body);
    if (root == NULL)
        return HEARTH_TOOL_FAILED;
    if (values[OPT_JSON])
        hearth__print_json(root);
    else
        printf("%s: %s\n", name, done);
    json_decref(root);
    return HEARTH_TOOL_OK;
}

static int run_load(const char *const *values, int argc, char *const *argv)
{
    (void)argc;
    return order(values, "/v2/repository/models/", argv[0], "/load", NULL,
                 "loaded");
}

static int run_unload(const char *const *values, int argc, char *const *argv)
{
    (void)argc;
    return order(values, "/v2/repository/models/", argv[0], "/unload", NULL,
                 "unloaded");
}

enum { PIN_OFF = HEARTH_REMOTE_OPTION_COUNT + 1 };
static const struct hearth_tool_option pin_options[] = {
    {"json", NULL, "print hearthd's answer and nothing else"},
    HEARTH_REMOTE_OPTIONS,
    {"off", NULL, "let it be evicted again"},
    {NULL, NULL, NULL},
};

static int run_pin(const char *const *values, int argc, char *const *argv)
{
    bool off = values[PIN_OFF] != NULL;

    (void)argc;
    return order(values, "/v2/hearth/models/", argv[0], "/pin",
                 off ? "{\"pinned\":false}" : "{\"pinned\":true}",
                 off ? "may be evicted" : "loaded, and stays");
}

/* ---- fit ---- */

static void print_fit(const json_t *d)
{
    char need[32], model[32], arena[32], room[32];
    size_t i;
    json_t *name;

    if (!json_is_true(json_object_get(d, "fits"))) {
        printf("  %-8s no: %s\n", hearth__json_text(d, "device"),
               hearth__json_text(d, "reason"));
        return;
    }
    printf("  %-8s %s: needs %s more (model %s, arena %s), %s free\n",
           hearth__json_text(d, "device"),
           json_is_true(json_object_get(d, "resident")) ? "is there" : "fits",
           bytes_text(hearth__json_int(d, "need_bytes"), need, sizeof(need)),
           bytes_text(hearth__json_int(d, "model_bytes"), model, sizeof(model)),
           bytes_text(hearth__json_int(d, "arena_bytes"), arena, sizeof(arena)),
           bytes_text(hearth__json_int(d, "free_bytes"), room, sizeof(room)));
    json_array_foreach(json_object_get(d, "evicts"), i, name)
        printf("  %-8s would evict %s\n", "", json_string_value(name));
}

static int run_fit(const char *const *values, int argc, char *const *argv)
{
    char target[900];
    json_t *root, *item;
    size_t i;

    (void)argc;
    hearth__remote_target(target, sizeof(target), "/v2/hearth/models/", argv[0],
                          NULL, "/fit");
    root = ask(values, "GET", target, NULL);
    if (root == NULL)
        return HEARTH_TOOL_FAILED;
    if (values[OPT_JSON]) {
        hearth__print_json(root);
    } else {
        printf("%s, version %s\n", hearth__json_text(root, "name"),
               hearth__json_text(root, "version"));
        json_array_foreach(json_object_get(root, "devices"), i, item)
            print_fit(item);
    }
    json_decref(root);
    return HEARTH_TOOL_OK;
}

#define COMMAND(n, args, text, opts, count)                                    \
    const struct hearth_tool_command hearth__tool_##n = {                      \
        .name = #n,                                                            \
        .arguments = args,                                                     \
        .summary = text,                                                       \
        .options = opts,                                                       \
        .run = run_##n,                                                        \
        .min_operands = count,                                                 \
        .max_operands = count,                                                 \
    }

COMMAND(status, "", "Shows what hearthd holds and does", options, 0);
COMMAND(models, "", "Lists hearthd's models, and where they are", options, 0);
COMMAND(load, "MODEL", "Has hearthd load a model", options, 1);
COMMAND(unload, "MODEL", "Has hearthd give a model up", options, 1);
COMMAND(pin, "MODEL", "Has hearthd load a model and never evict it",
        pin_options, 1);
COMMAND(fit, "MODEL",
        "Shows what a model would need on each device, and who would go",
        options, 1);
