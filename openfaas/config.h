/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h: the watchdog's parameters: one table for the environment, the
 * flags,
 * --help and the manual. Main thread, at the start.
 */
#ifndef HEARTH_OPENFAAS_CONFIG_H
#define HEARTH_OPENFAAS_CONFIG_H

#include "conf/conf.h"
#include "openfaas/watchdog.h"

/* What the command line asked for. */
enum hearth_watchdog_action {
    HEARTH_WATCHDOG_SERVE = 0,
    HEARTH_WATCHDOG_VERSION,
    HEARTH_WATCHDOG_BUILD, /* --version -v */
    HEARTH_WATCHDOG_HELP,
    HEARTH_WATCHDOG_MANUAL, /* --help-man, for docs/man/update.sh */
    HEARTH_WATCHDOG_HEALTHCHECK
};

/* Environment, then flags. <env> is environ's form. Texts point into <env>,
 * <argv> or constants. HEARTH_ECONFIG for a value that of-watchdog would refuse
 * too, or an own parameter's; HEARTH_EINVAL for a flag that is not there. A bad
 * value that of-watchdog takes for its default is logged, and the default
 * taken. */
int hearth__watchdog_configure(struct hearth_watchdog_config *config,
                               enum hearth_watchdog_action *action, int argc,
                               const char *const *argv, const char *const *env,
                               struct hearth_error *err);
/* --help, on stdout. */
void hearth__watchdog_help(void);
/* The parameters as docs/man/hearth-watchdog.1 has them; a test compares. */
void hearth__watchdog_manual(FILE *out);

#endif
