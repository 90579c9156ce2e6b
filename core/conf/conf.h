/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h: a program's parameters, from the environment and from flags, by one
 * table: a row has the name, the type, the default and the help, and --help and
 * the manual page are printed from it. Not for a function's hearth.yaml. One
 * thread, at the start of a program.
 *
 * The values land in a struct of the program's own, at the rows' offsets; texts
 * are not copied, they point into the environment, the arguments or the table.
 */
#ifndef HEARTH_CONF_CONF_H
#define HEARTH_CONF_CONF_H

#include "base/base.h"

enum hearth_conf_kind {
    HEARTH_CONF_TEXT = 0, /* const char * */
    HEARTH_CONF_INTEGER,  /* int64_t, min to max */
    HEARTH_CONF_DURATION, /* int64_t, microseconds; negative ones too */
    HEARTH_CONF_BYTES,    /* uint64_t */
    /* bool: "true" or "1"; anything else is false, as of-watchdog has it. A
     * flag without a value is true. */
    HEARTH_CONF_SWITCH,
    HEARTH_CONF_CHOICE /* int: which of <choices> */
};
enum hearth_conf_flags {
    HEARTH_CONF_NONE = 0,
    /* In the environment, a bad value is told and the default taken. */
    HEARTH_CONF_LENIENT = 1,
    HEARTH_CONF_ENV_ONLY = 2 /* there is no flag */
};

struct hearth_conf_row {
    /* Of the variable; the flag is spelled with dashes. */
    const char *name;
    const char *alias; /* another variable, which <name> overrides */
    enum hearth_conf_kind kind;
    unsigned flags; /* enum hearth_conf_flags, or'ed */
    size_t offset;
    const char *fallback;       /* NULL: the field is left as it is */
    int64_t min, max;           /* INTEGER; both 0: any */
    const char *const *choices; /* CHOICE; NULL ends them */
    const char *help;           /* a line without a full stop */
};

/* Asserts that the table's defaults are valid. */
void hearth_conf_defaults(const struct hearth_conf_row *rows, uint32_t count,
                          void *config);
/* <env> has environ's form; of two equal names the last one counts. <warn>
 * (NULL: nobody) is told of a lenient row's bad value. HEARTH_ECONFIG:
 * "port=abc: expected a whole number". */
int hearth_conf_env(const struct hearth_conf_row *rows, uint32_t count,
                    void *config, const char *const *env,
                    void (*warn)(const char *text), struct hearth_error *err);
/* Takes the flag at argv[*i], and its value, over which *i is moved:
 * "--name=v",
 * "--name v", with one dash or two, '-' or '_' inside. HEARTH_ENOENT: it is
 * none of the table's, <err> is not filled. HEARTH_EINVAL: a bad or missing
 * value. */
int hearth_conf_flag(const struct hearth_conf_row *rows, uint32_t count,
                     void *config, int argc, const char *const *argv, int *i,
                     struct hearth_error *err);

void hearth_conf_help(const struct hearth_conf_row *rows, uint32_t count,
                      FILE *out);
/* The same for a manual page: .TP paragraphs. */
void hearth_conf_manual(const struct hearth_conf_row *rows, uint32_t count,
                        FILE *out);

#endif
