/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: the table of hearthd's parameters, and where they come from. */
#include "hearthd/config.h"

#include <string.h>
#include <unistd.h>

#define AT(field) offsetof(struct hearth_hearthd_config, field)
#define NODE(field) offsetof(struct hearth_hearthd_config, node.field)
#define FILE_DEFAULT "/etc/hearth/hearthd.yaml"

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const controls[] = {"on_demand", "explicit", NULL};

static const struct hearth_conf_row rows[] = {
    {.name = "http_address",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(http_address),
     .fallback = "127.0.0.1:8000",
     .help = "of the Open Inference Protocol over TCP; none: no TCP"},
    {.name = "socket",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(socket),
     .fallback = "/run/hearth/hearth.sock",
     .help = "unix socket for functions of this node; none: no such"},
    {.name = "socket_mode",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(socket_mode),
     .fallback = "0666",
     .help = "of the socket's file; tenants are told apart by who connects"},
    {.name = "admin_socket",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(admin_socket),
     .fallback = "/run/hearth/admin.sock",
     .help = "unix socket of the operator, mode 0600; none: no such"},
    {.name = "metrics_address",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(metrics_address),
     .fallback = "127.0.0.1:8002",
     .help = "of /metrics; none: no such"},
    {.name = "model_repository",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(repositories),
     .fallback = "/var/lib/hearth/models",
     .help = "directories of models in Triton's layout, and http or https "
             "URLs of such with an index.json (hearth index), blanks between"},
    {.name = "model_control",
     .kind = HEARTH_CONF_CHOICE,
     .offset = NODE(control),
     .fallback = "on_demand",
     .choices = controls,
     .help = "on_demand: a model opens with its first request; explicit: by "
             "a load"},
    {.name = "repository_poll",
     .kind = HEARTH_CONF_DURATION,
     .offset = NODE(poll_us),
     .fallback = "2s",
     .help = "between looks whether open models' files changed; 0: never"},
    {.name = "load",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(load),
     .fallback = "",
     .help = "models to load at the start"},
    {.name = "pin",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(pin),
     .fallback = "",
     .help = "models to load at the start and never to evict"},
    {.name = "devices",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(devices),
     .fallback = "cpu",
     .help = "NAME or NAME:SPEC, commas or blanks between: cpu:0-3,cpu:4-7"},
    {.name = "plugin_dir",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(plugin_dir),
     .fallback = "",
     .help =
         "where the devices' plugins are; empty: where they were installed"},
    {.name = "memory",
     .kind = HEARTH_CONF_BYTES,
     .offset = AT(memory_bytes),
     .fallback = "0",
     .help = "memory that models may take on a device; 0: what it has"},
    {.name = "host_memory",
     .kind = HEARTH_CONF_BYTES,
     .offset = AT(host_bytes),
     .fallback = "4GiB",
     .help = "host memory for models that devices with memory of their own "
             "evict: they come back without the disk; 0: none"},
    {.name = "request_memory",
     .kind = HEARTH_CONF_BYTES,
     .offset = AT(request_bytes),
     .fallback = "1GiB",
     .help = "memory for bodies, tensors and answers in flight"},
    {.name = "max_body",
     .kind = HEARTH_CONF_BYTES,
     .offset = NODE(body_bytes),
     .fallback = "64MiB",
     .help = "longest inference body, unpacked; a hearth.yaml has its own"},
    {.name = "timeout",
     .kind = HEARTH_CONF_DURATION,
     .offset = NODE(timeout_us),
     .fallback = "60s",
     .help = "from a request's head to its answer, at most; 0: none"},
    {.name = "state_dir",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(state_dir),
     .fallback = "/var/lib/hearth/state",
     .help = "for models that functions hand over or that come from a URL; "
             "none: no such"},
    {.name = "blob_bytes",
     .kind = HEARTH_CONF_BYTES,
     .offset = NODE(blob_bytes),
     .fallback = "0",
     .help = "what these may take on the disk; 0: no limit"},
    {.name = "pack_dir",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(pack_dir),
     .fallback = "",
     .help = "packed models, so that later loads take milliseconds; empty: "
             "'packed' in state_dir"},
    {.name = "pack_bytes",
     .kind = HEARTH_CONF_BYTES,
     .offset = AT(pack_bytes),
     .fallback = "16GiB",
     .help = "what these may take on the disk; 0: none are kept"},
    {.name = "tcp_tenant",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(tcp_tenant),
     .fallback = "default",
     .help = "tenant of TCP callers without a token"},
    {.name = "token_file",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(token_file),
     .fallback = "",
     .help = "its first line opens everything over TCP: Authorization: Bearer"},
    {.name = "server_name",
     .kind = HEARTH_CONF_TEXT,
     .offset = NODE(name),
     .fallback = "hearth",
     .help = "in the server's metadata; some clients insist on triton"},
    {.name = "max_connections",
     .kind = HEARTH_CONF_INTEGER,
     .offset = NODE(connections),
     .fallback = "16384",
     .min = 1,
     .max = 1000000,
     .help =
         "of a door and I/O thread; the longest idle one is closed for more"},
    {.name = "io_threads",
     .kind = HEARTH_CONF_INTEGER,
     .offset = AT(io_threads),
     .fallback = "0",
     .max = 256,
     .help = "for sockets and codecs; 0: one a core, at most 4"},
    {.name = "workers",
     .kind = HEARTH_CONF_INTEGER,
     .offset = NODE(workers),
     .fallback = "4",
     .min = 1,
     .max = 64,
     .help = "threads that open models and write files"},
    {.name = "drain",
     .kind = HEARTH_CONF_DURATION,
     .offset = AT(drain_us),
     .fallback = "30s",
     .help = "after SIGTERM, for what is in flight"},
    {.name = "log_level",
     .kind = HEARTH_CONF_CHOICE,
     .offset = AT(log_level),
     .fallback = "info",
     .choices = levels,
     .help = "error, warn, info, debug"},
};
#define ROW_COUNT (sizeof(rows) / sizeof(*rows))

#define TENANT(field) offsetof(struct hearth_node_tenant, field)
static const struct hearth_conf_row tenant_rows[] = {
    {.name = "name",
     .kind = HEARTH_CONF_TEXT,
     .offset = TENANT(name),
     .help = "of the tenant; \"default\" is everybody else"},
    {.name = "users",
     .kind = HEARTH_CONF_TEXT,
     .offset = TENANT(users),
     .fallback = "",
     .help = "users whose processes are this tenant, names or numbers"},
    {.name = "groups",
     .kind = HEARTH_CONF_TEXT,
     .offset = TENANT(groups),
     .fallback = "",
     .help = "groups, likewise"},
    {.name = "token_file",
     .kind = HEARTH_CONF_TEXT,
     .offset = TENANT(token_file),
     .fallback = "",
     .help = "its first line makes a TCP caller this tenant"},
    {.name = "may_load",
     .kind = HEARTH_CONF_SWITCH,
     .offset = TENANT(may_load),
     .fallback = "false",
     .help = "that token opens load, unload, blobs and functions too"},
    {.name = "models",
     .kind = HEARTH_CONF_TEXT,
     .offset = TENANT(models),
     .fallback = "*",
     .help =
         "models of the repositories that it may use; * and ? as in a shell"},
    {.name = "memory",
     .kind = HEARTH_CONF_BYTES,
     .offset = TENANT(quota_bytes),
     .fallback = "0",
     .help = "device memory that its models may take; 0: any"},
    {.name = "max_in_flight",
     .kind = HEARTH_CONF_INTEGER,
     .offset = TENANT(max_in_flight),
     .fallback = "0",
     .max = 1000000,
     .help = "requests at a time; more are answered 429; 0: any number"},
};
static const struct hearth_conf_list lists[] = {
    {.name = "tenants",
     .rows = tenant_rows,
     .row_count = sizeof(tenant_rows) / sizeof(*tenant_rows),
     .item_bytes = sizeof(struct hearth_node_tenant),
     .items_offset = AT(tenants),
     .count_offset = AT(tenant_count),
     .help = "who may do what (in the file only); the tenant \"default\" is "
             "everybody else"},
};
#define LIST_COUNT (sizeof(lists) / sizeof(*lists))

/* ---- The command line ---- */

static bool take_action(const char *name, enum hearth_hearthd_action *action)
{
    static const struct {
        const char *name;
        enum hearth_hearthd_action action;
    } actions[] = {
        {"--version", HEARTH_HEARTHD_VERSION},
        {"-V", HEARTH_HEARTHD_VERSION},
        {"--help", HEARTH_HEARTHD_HELP},
        {"-h", HEARTH_HEARTHD_HELP},
        {"--help-man", HEARTH_HEARTHD_MANUAL},
        {"--check", HEARTH_HEARTHD_CHECK},
    };

    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
        if (strcmp(name, actions[i].name) == 0) {
            *action = actions[i].action;
            return true;
        }
    if (strcmp(name, "-v") == 0 && *action == HEARTH_HEARTHD_VERSION) {
        *action = HEARTH_HEARTHD_BUILD;
        return true;
    }
    return false;
}

/* The flags, or only what is no parameter: actions and the file. */
static int read_flags(struct hearth_hearthd_config *config, bool all,
                      enum hearth_hearthd_action *action, int argc,
                      const char *const *argv, struct hearth_error *err)
{
    static const struct hearth_conf_row file_row = {
        .name = "config",
        .kind = HEARTH_CONF_TEXT,
        .offset = AT(file),
    };
    struct hearth_hearthd_config unused = {0};

    for (int i = 1; i < argc; i++) {
        int status;

        if (take_action(argv[i], action))
            continue;
        status = hearth_conf_flag(&file_row, 1, config, argc, argv, &i, err);
        if (status == HEARTH_ENOENT)
            status = hearth_conf_flag(rows, ROW_COUNT, all ? config : &unused,
                                      argc, argv, &i, err);
        if (status == HEARTH_ENOENT)
            return hearth_fail(err, HEARTH_EINVAL, "unknown %s %s: see --help",
                               argv[i][0] == '-' ? "flag" : "argument",
                               argv[i]);
        if (status != HEARTH_OK)
            return status;
    }
    return HEARTH_OK;
}

int hearth__hearthd_configure(struct hearth_hearthd_config *config,
                              hearth_conf_file_t **file,
                              enum hearth_hearthd_action *action, int argc,
                              const char *const *argv, const char *const *env,
                              struct hearth_error *err)
{
    int status;

    *file = NULL;
    *action = HEARTH_HEARTHD_SERVE;
    memset(config, 0, sizeof(*config));
    hearth_conf_defaults(rows, ROW_COUNT, config);
    status = read_flags(config, false, action, argc, argv, err);
    if (status != HEARTH_OK ||
        (*action != HEARTH_HEARTHD_SERVE && *action != HEARTH_HEARTHD_CHECK))
        return status;
    if (config->file == NULL && access(FILE_DEFAULT, F_OK) == 0)
        config->file = FILE_DEFAULT;
    if (config->file)
        status = hearth_conf_file_read(file, config->file, rows, ROW_COUNT,
                                       lists, LIST_COUNT, config, err);
    if (status == HEARTH_OK)
        status = hearth_conf_env(rows, ROW_COUNT, config, "HEARTHD_", env, NULL,
                                 err);
    if (status == HEARTH_OK)
        status = read_flags(config, true, action, argc, argv, err);
    if (status != HEARTH_OK)
        hearth_conf_file_free(file);
    config->node.tenants = config->tenants;
    config->node.tenant_count = config->tenant_count;
    return status;
}

/* ---- Help ---- */

void hearth__hearthd_help(void)
{
    printf("Usage: hearthd [--config=FILE] [OPTION...]\n"
           "       hearthd --check [--config=FILE] [OPTION...]\n"
           "       hearthd --version [-v]\n\n"
           "Owns the devices of a node and serves models to every function on "
           "it,\n"
           "by the Open Inference Protocol v2.\n\n"
           "A parameter is read from the YAML file [" FILE_DEFAULT
           ", if it is\n"
           "there], from the environment (HEARTHD_HTTP_ADDRESS), and from the "
           "flag\n"
           "(--http-address); the later one counts.\n\n");
    hearth_conf_help(rows, ROW_COUNT, stdout);
    printf("\n  tenants\n      %s. Each has:\n\n", lists[0].help);
    hearth_conf_help(tenant_rows, lists[0].row_count, stdout);
    printf("\nSIGTERM drains, SIGHUP reads the file again: tenants, names to "
           "load and to pin,\nlimits, the repositories.\n"
           "Exit status: 0 ended in order, 1 failure, 2 wrong usage.\n");
}

void hearth__hearthd_manual(FILE *out)
{
    hearth_conf_manual(rows, ROW_COUNT, out);
    fprintf(out, ".SH TENANTS\n.B tenants\nis a list in the file: %s.\n",
            lists[0].help);
    hearth_conf_manual(tenant_rows, lists[0].row_count, out);
}
