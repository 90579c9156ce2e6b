/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the `hearth` command: finds the subcommand, reads its options from
 * its table, and prints help from the same table.
 */
#include "tool/tool.h"

#include "hearth.h"

#include <stdarg.h>
#include <string.h>

const struct hearth_tool_command *const hearth__tool_commands[] = {
    &hearth__tool_try,
    &hearth__tool_inspect,
    &hearth__tool_status,
    &hearth__tool_models,
    &hearth__tool_load,
    &hearth__tool_unload,
    &hearth__tool_pin,
    &hearth__tool_infer,
    &hearth__tool_import,
    &hearth__tool_index,
    &hearth__tool_fit,
    &hearth__tool_top,
    NULL};

int hearth__tool_failed(const struct hearth_error *err)
{
    fprintf(stderr, "hearth: %s\n", err->text);
    return HEARTH_TOOL_FAILED;
}

int hearth__tool_usage(const struct hearth_tool_command *command,
                       const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "hearth%s%s: ", command ? " " : "",
            command ? command->name : "");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry: hearth %s%s--help\n", command ? command->name : "",
            command ? " " : "");
    return HEARTH_TOOL_USAGE;
}

static void print_overview(void)
{
    printf("Usage: hearth COMMAND [OPTION...] ARGUMENT...\n"
           "       hearth COMMAND --help\n"
           "       hearth --version [-v]\n\n"
           "Runs and examines models and functions, and asks and orders "
           "hearthd.\n\n");
    for (size_t i = 0; hearth__tool_commands[i]; i++)
        printf("  %-10s %s\n", hearth__tool_commands[i]->name,
               hearth__tool_commands[i]->summary);
    printf("\nExit status: 0 success, 1 failure, 2 wrong usage.\n");
}

static void print_help(const struct hearth_tool_command *command)
{
    printf("Usage: hearth %s [OPTION...] %s\n\n%s.\n\n", command->name,
           command->arguments, command->summary);
    for (const struct hearth_tool_option *o = command->options; o->name; o++) {
        char left[48];

        snprintf(left, sizeof(left), "--%s%s%s", o->name,
                 o->argument ? "=" : "", o->argument ? o->argument : "");
        printf("  %-24s %s\n", left, o->summary);
    }
    printf("  %-24s %s\n", "--help", "print this text");
}

static int print_version(bool verbose)
{
    if (verbose)
        fputs(hearth_build_summary(), stdout);
    else
        printf("hearth %s\n", hearth_version());
    return HEARTH_TOOL_OK;
}

/* The row of "--name" or "--name=value"; its number in <*index>. */
static const struct hearth_tool_option *
find_option(const struct hearth_tool_command *command, const char *text,
            size_t bytes, size_t *index)
{
    for (size_t i = 0; command->options[i].name; i++)
        if (strlen(command->options[i].name) == bytes &&
            memcmp(command->options[i].name, text, bytes) == 0) {
            *index = i;
            return &command->options[i];
        }
    return NULL;
}

/* Takes one option at argv[*i]; -1, or the exit code. */
static int take_option(const struct hearth_tool_command *command,
                       const char **values, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    size_t bytes = equals ? (size_t)(equals - name) : strlen(name);
    size_t index = 0;
    const struct hearth_tool_option *row;

    if (strncmp(argv[*i], "--", 2) != 0)
        return hearth__tool_usage(command, "unknown option %s", argv[*i]);
    row = find_option(command, name, bytes, &index);
    if (row == NULL)
        return hearth__tool_usage(command, "unknown option --%.*s", (int)bytes,
                                  name);
    if (row->argument == NULL) {
        if (equals)
            return hearth__tool_usage(command, "--%s takes no value",
                                      row->name);
        values[index] = "";
    } else if (equals) {
        values[index] = equals + 1;
    } else if (*i + 1 < argc) {
        values[index] = argv[++*i];
    } else {
        return hearth__tool_usage(command, "--%s needs a value: --%s=%s",
                                  row->name, row->name, row->argument);
    }
    return -1;
}

static int run_command(const struct hearth_tool_command *command, int argc,
                       char **argv)
{
    const char *values[HEARTH_TOOL_OPTIONS_MAX] = {NULL};
    int operands = 0;
    bool options = true;

    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && (strcmp(argv[i], "--help") == 0 ||
                               strcmp(argv[i], "-h") == 0)) {
            print_help(command);
            return HEARTH_TOOL_OK;
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            int code = take_option(command, values, argc, argv, &i);

            if (code >= 0)
                return code;
        } else {
            argv[operands++] = argv[i]; /* never ahead of <i> */
        }
    }
    if (operands < command->min_operands)
        return hearth__tool_usage(command, "missing argument: it takes %s",
                                  command->arguments);
    if (operands > command->max_operands)
        return hearth__tool_usage(command, "unexpected argument %s",
                                  argv[command->max_operands]);
    return command->run(values, operands, argv);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return hearth__tool_usage(NULL, "missing command");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_overview();
        return HEARTH_TOOL_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return print_version(argc > 2 && (strcmp(argv[2], "-v") == 0 ||
                                          strcmp(argv[2], "--verbose") == 0));
    if (hearth_base_init() != APR_SUCCESS) {
        fprintf(stderr, "hearth: the Apache Portable Runtime does not start\n");
        return HEARTH_TOOL_FAILED;
    }
    for (size_t i = 0; hearth__tool_commands[i]; i++)
        if (strcmp(argv[1], hearth__tool_commands[i]->name) == 0) {
            int code =
                run_command(hearth__tool_commands[i], argc - 2, argv + 2);

            if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "hearth: cannot write the result\n");
                return HEARTH_TOOL_FAILED;
            }
            return code;
        }
    return hearth__tool_usage(NULL, "unknown command %s", argv[1]);
}
