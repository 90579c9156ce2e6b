/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: see config.h. The rows' order is that of --help. */
#include "openfaas/config.h"

#include <stddef.h>
#include <string.h>

#define AT(field) offsetof(struct hearth_watchdog_config, field)

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

static const struct hearth_conf_row rows[] = {
    {.name = "mode",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(mode),
     .fallback = "",
     .help = "model; by default model, unless fprocess is set"},
    {.name = "hearth_yaml",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(hearth_yaml),
     .fallback = "hearth.yaml",
     .help = "the function: its model, how a body is read, what is answered"},
    {.name = "devices",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(devices),
     .fallback = "cpu",
     .help = "devices to run on, as cpu:0-1"},
    {.name = "hearth_url",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(hearth_url),
     .fallback = "",
     .help = "hearthd that runs the function, as unix:/run/hearth/hearth.sock "
             "or http://node:8000; empty: this process does"},
    {.name = "hearth_wait",
     .kind = HEARTH_CONF_DURATION,
     .offset = AT(hearth_wait_us),
     .fallback = "1s",
     .help = "for which a request waits for a hearthd that is away"},
    {.name = "hearth_token_file",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(hearth_token_file),
     .fallback = "",
     .help = "its first line is sent to hearthd as a bearer token"},
    {.name = "hearth_pack_dir",
     .kind = HEARTH_CONF_TEXT,
     .offset = AT(pack_dir),
     .fallback = "",
     .help = "a directory that outlives the process, for packed models: later "
             "starts take milliseconds; empty: none are kept"},
    {.name = "hearth_pack_bytes",
     .kind = HEARTH_CONF_BYTES,
     .offset = AT(pack_bytes),
     .fallback = "16GiB",
     .help = "what these may take on the disk"},
    {.name = "memory",
     .kind = HEARTH_CONF_BYTES,
     .offset = AT(memory_bytes),
     .fallback = "0",
     .help = "memory that models may take on a device; 0: what it has"},
    {.name = "port",
     .kind = HEARTH_CONF_INTEGER,
     .offset = AT(port),
     .fallback = "8080",
     .max = 65535,
     .help = "of the function; 0: any free one"},
    {.name = "metrics_port",
     .kind = HEARTH_CONF_INTEGER,
     .offset = AT(metrics_port),
     .fallback = "8081",
     .min = -1,
     .max = 65535,
     .help = "of /metrics; -1: none"},
    {.name = "read_timeout",
     .kind = HEARTH_CONF_DURATION,
     .flags = HEARTH_CONF_LENIENT,
     .offset = AT(read_us),
     .fallback = "30s",
     .help = "for a whole request to arrive, and between two; 0: none"},
    {.name = "write_timeout",
     .kind = HEARTH_CONF_DURATION,
     .flags = HEARTH_CONF_LENIENT,
     .offset = AT(write_us),
     .fallback = "30s",
     .help = "for an answer to be taken, and for the drain at the end"},
    {.name = "exec_timeout",
     .kind = HEARTH_CONF_DURATION,
     .flags = HEARTH_CONF_LENIENT,
     .offset = AT(exec_us),
     .fallback = "30s",
     .help = "from a request's head to its answer; 0: none"},
    {.name = "healthcheck_interval",
     .kind = HEARTH_CONF_DURATION,
     .flags = HEARTH_CONF_LENIENT,
     .offset = AT(healthcheck_us),
     .help = "between SIGTERM and the closing of the port (write_timeout)"},
    {.name = "max_inflight",
     .kind = HEARTH_CONF_INTEGER,
     .offset = AT(max_in_flight),
     .fallback = "0",
     .help = "requests at a time; more are answered 429; 0: any number"},
    {.name = "io_threads",
     .kind = HEARTH_CONF_INTEGER,
     .offset = AT(io_threads),
     .fallback = "0",
     .max = 256,
     .help = "for sockets and codecs; 0: one a core, at most 4"},
    {.name = "suppress_lock",
     .kind = HEARTH_CONF_SWITCH,
     .offset = AT(suppress_lock),
     .fallback = "false",
     .help = "write no lock file"},
    {.name = "log_callid",
     .alias = "log_call_id",
     .kind = HEARTH_CONF_SWITCH,
     .offset = AT(log_call_id),
     .fallback = "false",
     .help = "end access lines with the request's X-Call-Id"},
    {.name = "log_level",
     .kind = HEARTH_CONF_CHOICE,
     .offset = AT(log_level),
     .fallback = "info",
     .choices = levels,
     .help = "of the engine: error, warn, info, debug"},
    {.name = "jwt_auth",
     .kind = HEARTH_CONF_SWITCH,
     .offset = AT(jwt_auth),
     .fallback = "false",
     .help = "not in this version: true is refused"},
    {.name = "function_process",
     .alias = "fprocess",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(function_process),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "ready_path",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "content_type",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "http_upstream_url",
     .alias = "upstream_url",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "http_buffer_req_body",
     .alias = "buffer_http",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "static_path",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "prefix_logs",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
    {.name = "log_buffer_size",
     .kind = HEARTH_CONF_TEXT,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = AT(ignored),
     .help = "of-watchdog's; not used in mode=model"},
};
#define ROW_COUNT (sizeof(rows) / sizeof(*rows))

/* ---- The command line ---- */

static bool take_action(const char *name, enum hearth_watchdog_action *action)
{
    static const struct {
        const char *name;
        enum hearth_watchdog_action action;
    } actions[] = {
        {"version", HEARTH_WATCHDOG_VERSION},
        {"help", HEARTH_WATCHDOG_HELP},
        {"h", HEARTH_WATCHDOG_HELP},
        {"help-man", HEARTH_WATCHDOG_MANUAL},
        {"run-healthcheck", HEARTH_WATCHDOG_HEALTHCHECK},
    };

    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
        if (strcmp(name, actions[i].name) == 0) {
            *action = actions[i].action;
            return true;
        }
    if (strcmp(name, "v") == 0 && *action == HEARTH_WATCHDOG_VERSION) {
        *action = HEARTH_WATCHDOG_BUILD;
        return true;
    }
    return false;
}

static int read_flags(struct hearth_watchdog_config *config,
                      enum hearth_watchdog_action *action, int argc,
                      const char *const *argv, struct hearth_error *err)
{
    for (int i = 1; i < argc; i++) {
        int status;

        if (argv[i][0] != '-' ||
            take_action(argv[i] + strspn(argv[i], "-"), action))
            continue; /* of-watchdog ignores operands */
        status = hearth_conf_flag(rows, ROW_COUNT, config, argc, argv, &i, err);
        if (status == HEARTH_ENOENT)
            return hearth_fail(err, HEARTH_EINVAL,
                               "unknown flag %s: see --help", argv[i]);
        if (status != HEARTH_OK)
            return status;
    }
    return HEARTH_OK;
}

/* ---- The whole ---- */

/* A drop-in must start where the original did. */
static void warn(const char *text)
{
    hearth_watchdog_log("Warning: %s", text);
}

static int check(const struct hearth_watchdog_config *config,
                 struct hearth_error *err)
{
    if (config->write_us == 0)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "HTTP write timeout must be over 0s: set "
                           "write_timeout");
    if (config->jwt_auth)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "jwt_auth is not in this version, and a function "
                           "must not be open by mistake: unset jwt_auth");
    return HEARTH_OK;
}

int hearth__watchdog_configure(struct hearth_watchdog_config *config,
                               enum hearth_watchdog_action *action, int argc,
                               const char *const *argv, const char *const *env,
                               struct hearth_error *err)
{
    int status;

    *action = HEARTH_WATCHDOG_SERVE;
    memset(config, 0, sizeof(*config));
    config->healthcheck_us = INT64_MIN; /* not set */
    hearth_conf_defaults(rows, ROW_COUNT, config);
    status = hearth_conf_env(rows, ROW_COUNT, config, NULL, env, warn, err);
    if (status == HEARTH_OK)
        status = read_flags(config, action, argc, argv, err);
    if (status != HEARTH_OK)
        return status;
    if (config->healthcheck_us == INT64_MIN)
        config->healthcheck_us = config->write_us;
    if (config->exec_us < 0)
        config->exec_us = 0;
    if (config->read_us < 0)
        config->read_us = 0;
    if (*config->mode == '\0')
        config->mode = config->function_process ? "streaming" : "model";
    return *action == HEARTH_WATCHDOG_SERVE ? check(config, err) : HEARTH_OK;
}

void hearth__watchdog_help(void)
{
    printf("Usage: hearth-watchdog [OPTION...]\n"
           "       hearth-watchdog -run-healthcheck\n"
           "       hearth-watchdog --version [-v]\n\n"
           "Serves a model as an OpenFaaS function, in of-watchdog's place.\n"
           "A parameter is read from the environment variable of its name and "
           "from the flag.\n\n");
    hearth_conf_help(rows, ROW_COUNT, stdout);
    printf("\nA flag is spelled with dashes: --read-timeout=10s.\n"
           "Exit status: 0 ended in order, 1 failure, 2 unknown flag or "
           "mode.\n");
}

void hearth__watchdog_manual(FILE *out)
{
    hearth_conf_manual(rows, ROW_COUNT, out);
}
