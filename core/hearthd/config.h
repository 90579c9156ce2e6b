/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: hearthd's parameters: file, environment, flags, in this order. */
#ifndef HEARTH_HEARTHD_CONFIG_H
#define HEARTH_HEARTHD_CONFIG_H

#include "conf/conf.h"
#include "serve/serve.h"

struct hearth_hearthd_config {
    const char *file;
    const char *http_address, *socket, *admin_socket, *metrics_address;
    const char *socket_mode;
    const char *devices, *plugin_dir;
    const char *pack_dir; /* "": in the state_dir */
    uint64_t pack_bytes;  /* 0: no packs */
    uint64_t memory_bytes, host_bytes, request_bytes;
    int64_t io_threads;
    int64_t drain_us;
    int log_level;
    struct hearth_node_config node;
    struct hearth_node_tenant *tenants;
    uint32_t tenant_count;
};

enum hearth_hearthd_action {
    HEARTH_HEARTHD_SERVE = 0,
    HEARTH_HEARTHD_HELP,
    HEARTH_HEARTHD_MANUAL,
    HEARTH_HEARTHD_VERSION,
    HEARTH_HEARTHD_BUILD,
    HEARTH_HEARTHD_CHECK /* read the configuration, say whether it is good */
};

/* *file owns what came from the file. HEARTH_EINVAL: wrong usage; else as
 * conf.h. */
int hearth__hearthd_configure(struct hearth_hearthd_config *config,
                              hearth_conf_file_t **file,
                              enum hearth_hearthd_action *action, int argc,
                              const char *const *argv, const char *const *env,
                              struct hearth_error *err);
void hearth__hearthd_help(void);
void hearth__hearthd_manual(FILE *out);

#endif
