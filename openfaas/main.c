/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: hearth-watchdog: reads the configuration, picks the mode. */
#include "openfaas/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The modes of of-watchdog; those that a later version brings are refused by
 * name, for serving something else in their place would be worse. */
static int run_mode(struct hearth_watchdog *watchdog)
{
    static const char *const later[] = {"http",   "streaming", "serializing",
                                        "static", "inproc",    "afterburn"};
    const char *mode = watchdog->config.mode;

    if (strcmp(mode, "model") == 0)
        return hearth__watchdog_run(watchdog);
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
        if (strcmp(mode, later[i]) == 0) {
            hearth_watchdog_log(
                "Error: mode=%s comes with a later version of "
                "hearth-watchdog; this one has mode=model only: set "
                "mode=model and hearth_yaml, or use of-watchdog",
                mode);
            return HEARTH_WATCHDOG_USAGE;
        }
    hearth_watchdog_log("Error: unknown watchdog mode: %s: set mode=model",
                        mode);
    return HEARTH_WATCHDOG_USAGE;
}

static int run_healthcheck(void)
{
    const char *dir = getenv("TMPDIR");
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/.lock", dir && *dir ? dir : "/tmp");
    if (access(path, F_OK) == 0)
        return HEARTH_WATCHDOG_OK;
    fprintf(stderr, "unable to find lock file.\n");
    return HEARTH_WATCHDOG_FAILED;
}

extern char **environ;

int main(int argc, char **argv)
{
    static struct hearth_watchdog watchdog;
    enum hearth_watchdog_action action;
    struct hearth_error err = {0};
    int status = hearth__watchdog_configure(&watchdog.config, &action, argc,
                                            (const char *const *)argv,
                                            (const char *const *)environ, &err);

    if (status == HEARTH_EINVAL) {
        fprintf(stderr, "hearth-watchdog: %s\n", err.text);
        return HEARTH_WATCHDOG_USAGE;
    }
    if (status == HEARTH_OK && action == HEARTH_WATCHDOG_HELP) {
        hearth__watchdog_help();
        return HEARTH_WATCHDOG_OK;
    }
    if (status == HEARTH_OK && action == HEARTH_WATCHDOG_MANUAL) {
        hearth__watchdog_manual(stdout);
        return HEARTH_WATCHDOG_OK;
    }
    if (status == HEARTH_OK && action == HEARTH_WATCHDOG_BUILD) {
        fputs(hearth_build_summary(), stdout);
        return HEARTH_WATCHDOG_OK;
    }
    hearth_watchdog_log("Version: %s\tSHA: unknown", hearth_version());
    if (status == HEARTH_OK && action == HEARTH_WATCHDOG_VERSION)
        return HEARTH_WATCHDOG_OK;
    if (status != HEARTH_OK) {
        hearth_watchdog_log("Error loading config: %s", err.text);
        return HEARTH_WATCHDOG_FAILED;
    }
    if (action == HEARTH_WATCHDOG_HEALTHCHECK)
        return run_healthcheck();
    if (hearth_base_init() != APR_SUCCESS) {
        hearth_watchdog_log("Error: the Apache Portable Runtime does not "
                            "start");
        return HEARTH_WATCHDOG_FAILED;
    }
    return run_mode(&watchdog);
}
