/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c: what the engine tells: its log, its state as JSON, its statistics.
 */
#include "flow/flow_priv.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void hearth__engine_log_open(hearth_engine_t *engine,
                             const struct hearth_engine_config *config,
                             const struct hearth_device_host *host)
{
    if (host)
        hearth_device_host_set(host);
    engine->log = config->log;
    engine->log_ctx = config->log_ctx;
    engine->log_level = config->log_level;
}
void hearth__engine_log_close(hearth_engine_t *engine)
{
    (void)engine;
}
void hearth__engine_tell(void *engine, const char *what, const char *device,
                         const char *model, const struct hearth_error *err)
{
    (void)engine;
    fprintf(stderr, "%s device=%s model=%s %s\n", what, device ? device : "",
            model ? model : "", err ? err->text : "");
}

int hearth_engine_metrics(hearth_engine_t *engine, char **text)
{
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    *text = hearth_strdup("");
    return *text ? HEARTH_OK : HEARTH_ENOMEM;
}
