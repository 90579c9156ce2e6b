/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.h: what the files of the `hearth` command share. One thread. A command
 * prints its result on stdout and what went wrong on stderr, and returns the
 * process's exit code.
 */
#ifndef HEARTH_TOOL_TOOL_H
#define HEARTH_TOOL_TOOL_H

#include "base/base.h"

enum hearth_tool_exit {
    HEARTH_TOOL_OK = 0,
    HEARTH_TOOL_FAILED = 1, /* the input, the model, a device */
    HEARTH_TOOL_USAGE = 2
};

struct hearth_tool_command {
    const char *name;
    const char *arguments; /* "FILE.onnx" */
    const char *summary;   /* one line, without a full stop */
    const struct hearth_tool_option *options;
    /* <values> as the options' rows; <args> are the operands. */
    int (*run)(const char *const *values, int argc, char *const *argv);
    int min_operands, max_operands;
};
struct hearth_tool_option {
    const char *name;     /* without the dashes; NULL ends the list */
    const char *argument; /* "SPEC"; NULL: a switch, whose value is "" */
    const char *summary;
};
#define HEARTH_TOOL_OPTIONS_MAX 16

extern const struct hearth_tool_command hearth__tool_fit;
extern const struct hearth_tool_command hearth__tool_import;
extern const struct hearth_tool_command hearth__tool_index;
extern const struct hearth_tool_command hearth__tool_infer;
extern const struct hearth_tool_command hearth__tool_inspect;
extern const struct hearth_tool_command hearth__tool_load;
extern const struct hearth_tool_command hearth__tool_models;
extern const struct hearth_tool_command hearth__tool_pin;
extern const struct hearth_tool_command hearth__tool_status;
extern const struct hearth_tool_command hearth__tool_top;
extern const struct hearth_tool_command hearth__tool_try;
extern const struct hearth_tool_command hearth__tool_unload;
/* NULL ends it. */
extern const struct hearth_tool_command *const hearth__tool_commands[];

/* "hearth: <err>" on stderr; returns HEARTH_TOOL_FAILED. */
int hearth__tool_failed(const struct hearth_error *err);
/* "hearth NAME: ..." and how to get help, on stderr; returns
 * HEARTH_TOOL_USAGE. */
int hearth__tool_usage(const struct hearth_tool_command *command,
                       const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
