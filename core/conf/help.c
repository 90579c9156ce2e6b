/* SPDX-License-Identifier: Apache-2.0 */
/* help.c: the table as --help and as a manual page show it. */
#include "conf/conf.h"

void hearth_conf_help(const struct hearth_conf_row *rows, uint32_t count,
                      FILE *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hearth_conf_row *row = &rows[i];

        fprintf(out, "  %s%s%s\n      %s", row->name, row->alias ? ", " : "",
                row->alias ? row->alias : "", row->help);
        if (row->fallback && *row->fallback)
            fprintf(out, " [%s]", row->fallback);
        fputc('\n', out);
    }
}

/* In roff a dash that is typed is "\-". */
static void put_roff(FILE *out, const char *text, bool flag)
{
    for (; *text; text++) {
        if (*text == '-' || (flag && *text == '_'))
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

void hearth_conf_manual(const struct hearth_conf_row *rows, uint32_t count,
                        FILE *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hearth_conf_row *row = &rows[i];

        fprintf(out, ".TP\n.B %s", row->name);
        if (row->alias)
            fprintf(out, ", %s", row->alias);
        if (!(row->flags & HEARTH_CONF_ENV_ONLY)) {
            fputs(", \\-\\-", out);
            put_roff(out, row->name, true);
        }
        fputc('\n', out);
        put_roff(out, row->help, false);
        if (row->fallback && *row->fallback)
            fprintf(out, "\n(default: %s)", row->fallback);
        fputc('\n', out);
    }
}
