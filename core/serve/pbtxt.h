/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pbtxt.h: Triton's config.pbtxt: the text form of its ModelConfig message, as
 * far as Hearth has a use for it. What it does not know is named in <unknown>,
 * once a field, so that it can be warned of. Pure.
 */
#ifndef HEARTH_SERVE_PBTXT_H
#define HEARTH_SERVE_PBTXT_H

#include "base/base.h"

#define HEARTH__PBTXT_PORTS 256

struct hearth__pbtxt_port {
    char *name;
    char *label_file; /* output: NULL: none */
    enum hearth_dtype dtype;
    struct hearth_shape shape; /* -1: any; without the batch; rank -1: unsaid */
};

enum hearth__version_policy {
    HEARTH__VERSIONS_LATEST = 0, /* <latest> of them */
    HEARTH__VERSIONS_ALL,
    HEARTH__VERSIONS_SPECIFIC
};

struct hearth__pbtxt {
    char *name, *platform, *backend; /* NULL: unsaid */
    int64_t max_batch_size;
    struct hearth__pbtxt_port *inputs, *outputs;
    uint32_t input_count, output_count;
    enum hearth__version_policy policy;
    int64_t latest; /* [1] */
    int64_t *specific;
    uint32_t specific_count;
    bool warm_up;
    /* dynamic_batching */
    bool batching;
    int64_t max_queue_delay_us;
    uint32_t instances; /* of instance_group, together; 0: unsaid */
    char unknown[256];  /* "a b.c": fields without a meaning here */
};

/* HEARTH_ECONFIG: "config.pbtxt:3: ..."; HEARTH_ENOMEM. <shown> is the file's
 * name for texts. */
int hearth__pbtxt_parse(struct hearth__pbtxt **config, const char *text,
                        size_t bytes, const char *shown,
                        struct hearth_error *err);
void hearth__pbtxt_free(struct hearth__pbtxt **config);

#endif
