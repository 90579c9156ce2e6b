/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: see config.h. The rows' order is that of --help. */
#include "openfaas/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_TEXT = 0,
    KIND_INTEGER,
    KIND_DURATION,
    KIND_BYTES,
    KIND_SWITCH, /* "true" or "1"; anything else is false, as in of-watchdog */
    KIND_LEVEL,
    KIND_IGNORED /* of-watchdog's, without a meaning here */
};

struct row {
    const char *name;  /* of the variable and, with '-' for '_', of the flag */
    const char *alias; /* another variable, which <name> overrides */
    enum kind kind;
    size_t offset;
    const char *fallback;
    const char *summary;
};
#define AT(field) offsetof(struct hearth_watchdog_config, field)

static const struct row rows[] = {
    {"mode", NULL, KIND_TEXT, AT(mode), "",
     "model; by default model, unless fprocess is set"},
    {"hearth_yaml", NULL, KIND_TEXT, AT(hearth_yaml), "hearth.yaml",
     "the function: its model, how a body is read, what is answered"},
    {"devices", NULL, KIND_TEXT, AT(devices), "cpu",
     "devices to run on: \"cpu:0-1\""},
    {"memory", NULL, KIND_BYTES, AT(memory_bytes), "0",
     "memory that models may take on a device; 0: what it has"},
    {"port", NULL, KIND_INTEGER, AT(port), "8080", "of the function"},
    {"metrics_port", NULL, KIND_INTEGER, AT(metrics_port), "8081",
     "of /metrics; -1: none"},
    {"read_timeout", NULL, KIND_DURATION, AT(read_us), "30s",
     "for a whole request to arrive, and between two; 0: none"},
    {"write_timeout", NULL, KIND_DURATION, AT(write_us), "30s",
     "for an answer to be taken, and for the drain at the end"},
    {"exec_timeout", NULL, KIND_DURATION, AT(exec_us), "30s",
     "from a request's head to its answer; 0: none"},
    {"healthcheck_interval", NULL, KIND_DURATION, AT(healthcheck_us), NULL,
     "between SIGTERM and the closing of the port (write_timeout)"},
    {"max_inflight", NULL, KIND_INTEGER, AT(max_in_flight), "0",
     "requests at a time; more are answered 429; 0: any number"},
    {"io_threads", NULL, KIND_INTEGER, AT(io_threads), "0",
     "for sockets and codecs; 0: one a core, at most 4"},
    {"suppress_lock", NULL, KIND_SWITCH, AT(suppress_lock), "false",
     "write no lock file"},
    {"log_callid", "log_call_id", KIND_SWITCH, AT(log_call_id), "false",
     "end access lines with the request's X-Call-Id"},
    {"log_level", NULL, KIND_LEVEL, AT(log_level), "info",
     "of the engine: error, warn, info, debug"},
    {"jwt_auth", NULL, KIND_SWITCH, AT(jwt_auth), "false",
     "not in this version: true is refused"},
    {"function_process", "fprocess", KIND_IGNORED, AT(function_process), NULL,
     "of-watchdog's; not used in mode=model"},
    {"ready_path", NULL, KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
    {"content_type", NULL, KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
    {"http_upstream_url", "upstream_url", KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
    {"http_buffer_req_body", "buffer_http", KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
    {"static_path", NULL, KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
    {"prefix_logs", NULL, KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
    {"log_buffer_size", NULL, KIND_IGNORED, AT(ignored), NULL,
     "of-watchdog's; not used in mode=model"},
};
#define ROW_COUNT (sizeof(rows) / sizeof(*rows))

/* ---- Values ---- */

static bool parse_integer(const char *text, int64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_level(const char *text, int *level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0) {
            *level = i;
            return true;
        }
    return false;
}

/* of-watchdog takes a sign before a duration; negative means none or at once,
 * which is what zero does here. */
static bool parse_duration(const char *text, int64_t *us)
{
    if (*text == '-' && hearth_parse_duration_us(text + 1, us) &&
        text[strspn(text, "-0123456789")] != '\0') {
        *us = -*us;
        return true;
    }
    return hearth_parse_duration_us(text + (*text == '+'), us);
}

static bool set(struct hearth_watchdog_config *config, const struct row *row,
                const char *text)
{
    void *field = (char *)config + row->offset;

    switch (row->kind) {
    case KIND_INTEGER:
        return parse_integer(text, field);
    case KIND_DURATION:
        return parse_duration(text, field);
    case KIND_BYTES:
        return hearth_parse_bytes(text, field);
    case KIND_SWITCH:
        *(bool *)field = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        return true;
    case KIND_LEVEL:
        return parse_level(text, field);
    default:
        *(const char **)field = text;
        return true;
    }
}

/* ---- Environment ---- */

static const char *find_env(const char *const *env, const char *name)
{
    size_t bytes = strlen(name);
    const char *found = NULL;

    /* The last one wins, as in of-watchdog. */
    for (; env && *env; env++)
        if (strncmp(*env, name, bytes) == 0 && (*env)[bytes] == '=')
            found = *env + bytes + 1;
    return found;
}

static int bad_value(const struct row *row, const char *text,
                     struct hearth_error *err)
{
    static const char *const expected[] = {
        [KIND_TEXT] = "a text",
        [KIND_INTEGER] = "a whole number",
        [KIND_DURATION] = "a duration, as 30 (seconds) or 1m30s",
        [KIND_BYTES] = "a size, as 512MiB",
        [KIND_SWITCH] = "true or false",
        [KIND_LEVEL] = "error, warn, info or debug",
        [KIND_IGNORED] = "a text",
    };

    return hearth_fail(err, HEARTH_ECONFIG, "%s=%s: expected %s", row->name,
                       text, expected[row->kind]);
}

static int read_env(struct hearth_watchdog_config *config,
                    const char *const *env, struct hearth_error *err)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        const char *text = find_env(env, row->name);

        if (text == NULL && row->alias)
            text = find_env(env, row->alias);
        if (text == NULL || set(config, row, text))
            continue;
        bad_value(row, text, err);
        if (row->kind != KIND_DURATION)
            return err->status;
        /* A drop-in must start where the original did. */
        hearth_watchdog_log("Warning: %s; taking %s", err->text,
                            row->fallback ? row->fallback : "write_timeout");
        if (row->fallback)
            set(config, row, row->fallback);
        err->status = HEARTH_OK;
    }
    return HEARTH_OK;
}

/* ---- Flags ---- */

/* "--read-timeout", "-read_timeout", with or without "=...". */
static const struct row *find_flag(const char *name, size_t bytes)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *row = rows[i].name;
        size_t k = 0;

        if (strlen(row) != bytes || rows[i].kind == KIND_IGNORED)
            continue;
        while (k < bytes && (name[k] == '-' ? '_' : name[k]) == row[k])
            k++;
        if (k == bytes)
            return &rows[i];
    }
    return NULL;
}

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
        const char *name = argv[i] + strspn(argv[i], "-");
        const char *equals = strchr(name, '=');
        const struct row *row;
        const char *text;

        if (argv[i][0] != '-')
            continue; /* of-watchdog ignores operands */
        if (take_action(name, action))
            continue;
        row = name - argv[i] > 2
                  ? NULL
                  : find_flag(name,
                              equals ? (size_t)(equals - name) : strlen(name));
        if (row == NULL)
            return hearth_fail(err, HEARTH_EINVAL,
                               "unknown flag %s: see --help", argv[i]);
        if (equals)
            text = equals + 1;
        else if (row->kind == KIND_SWITCH)
            text = "true";
        else if (i + 1 < argc)
            text = argv[++i];
        else
            return hearth_fail(err, HEARTH_EINVAL, "flag %s needs a value",
                               argv[i]);
        if (!set(config, row, text)) {
            bad_value(row, text, err);
            return err->status = HEARTH_EINVAL;
        }
    }
    return HEARTH_OK;
}

/* ---- The whole ---- */

static int check(const struct hearth_watchdog_config *config,
                 struct hearth_error *err)
{
    if (config->write_us == 0)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "HTTP write timeout must be over 0s: set "
                           "write_timeout");
    if (config->port < 0 || config->port > 65535 || config->metrics_port < -1 ||
        config->metrics_port > 65535)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "a port is 0 (any) to 65535: see port and "
                           "metrics_port");
    if (config->io_threads < 0 || config->io_threads > 256)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "io_threads is 0 (one a core) to 256");
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
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].fallback)
            HEARTH_ASSERT(set(config, &rows[i], rows[i].fallback));
    status = read_env(config, env, err);
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
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];

        printf("  %s%s%s\n      %s", row->name, row->alias ? ", " : "",
               row->alias ? row->alias : "", row->summary);
        if (row->fallback && *row->fallback)
            printf(" [%s]", row->fallback);
        putchar('\n');
    }
    printf("\nA flag is spelled with dashes: --read-timeout=10s.\n"
           "Exit status: 0 ended in order, 1 failure, 2 unknown flag or "
           "mode.\n");
}

/* In roff a dash that is typed is "\-". */
static void put_roff(FILE *out, const char *text, char dash)
{
    for (; *text; text++) {
        if (*text == '-' || (dash && *text == '_'))
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

void hearth__watchdog_manual(FILE *out)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];

        fprintf(out, ".TP\n.B %s", row->name);
        if (row->alias)
            fprintf(out, ", %s", row->alias);
        if (row->kind != KIND_IGNORED) {
            fputs(", \\-\\-", out);
            put_roff(out, row->name, '_');
        }
        fputc('\n', out);
        put_roff(out, row->summary, '\0');
        if (row->fallback && *row->fallback)
            fprintf(out, "\n(default: %s)", row->fallback);
        fputc('\n', out);
    }
}
