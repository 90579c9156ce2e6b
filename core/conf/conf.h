/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h: a program's parameters, from a YAML file, from the environment and
 * from flags, by one table: a row has the name, the type, the default and the
 * help, and --help and the manual page are printed from it. Not for a
 * function's hearth.yaml. One thread.
 *
 * The values land in a struct of the program's own, at the rows' offsets; texts
 * are not copied, they point into the file's record, the environment, the
 * arguments or the table. What is read later overrides: file, environment,
 * flags is the usual order.
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
/* <env> has environ's form; of two equal names the last one counts. <prefix>
 * NULL: a variable has the row's name, else <prefix> and the name in capitals
 * ("HEARTHD_" and "HTTP_ADDRESS"). <warn> (NULL: nobody) is told of a lenient
 * row's bad value. HEARTH_ECONFIG: "port=abc: expected a whole number". */
int hearth_conf_env(const struct hearth_conf_row *rows, uint32_t count,
                    void *config, const char *prefix, const char *const *env,
                    void (*warn)(const char *text), struct hearth_error *err);
/* Takes the flag at argv[*i], and its value, over which *i is moved:
 * "--name=v",
 * "--name v", with one dash or two, '-' or '_' inside. HEARTH_ENOENT: it is
 * none of the table's, <err> is not filled. HEARTH_EINVAL: a bad or missing
 * value. */
int hearth_conf_flag(const struct hearth_conf_row *rows, uint32_t count,
                     void *config, int argc, const char *const *argv, int *i,
                     struct hearth_error *err);

/* ---- A file ---- */

/* A part of a file that repeats: under the key <name> is a list of mappings,
 * each of which becomes a struct with the values of <rows>. */
struct hearth_conf_list {
    const char *name;
    const struct hearth_conf_row *rows;
    uint32_t row_count;
    size_t item_bytes;
    size_t items_offset; /* in the config: a pointer to the first struct */
    size_t count_offset; /* in the config: a uint32_t */
    const char *help;
};
typedef struct hearth_conf_file hearth_conf_file_t;

/* Reads the YAML file at <path>: a mapping from rows' names to values (a TEXT
 * may be a list, which becomes one text with spaces between) and from lists'
 * names to lists. An empty file is fine. *file owns every text and struct that
 * went into <config>; NULL on failure, and <config> is then not to be used.
 * HEARTH_ENOENT, HEARTH_EIO, HEARTH_ENOMEM; HEARTH_ECONFIG: "hearthd.yaml:7:
 * unknown key 'prot'; did you mean 'port'?" Blocks on the disk. */
int hearth_conf_file_read(hearth_conf_file_t **file, const char *path,
                          const struct hearth_conf_row *rows, uint32_t count,
                          const struct hearth_conf_list *lists,
                          uint32_t list_count, void *config,
                          struct hearth_error *err);
/* NULLs the pointer; *file NULL is allowed. */
void hearth_conf_file_free(hearth_conf_file_t **file);

void hearth_conf_help(const struct hearth_conf_row *rows, uint32_t count,
                      FILE *out);
/* The same for a manual page: .TP paragraphs. */
void hearth_conf_manual(const struct hearth_conf_row *rows, uint32_t count,
                        FILE *out);

#endif
