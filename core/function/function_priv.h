/* SPDX-License-Identifier: Apache-2.0 */
/* function_priv.h: between the files of core/function. */
#ifndef HEARTH_FUNCTION_FUNCTION_PRIV_H
#define HEARTH_FUNCTION_FUNCTION_PRIV_H

#include "function/function.h"

#define HEARTH_MAGIC_FUNCTION 0x4846554eu
#define HEARTH__FUNCTION_LABELS_MAX 1000000u

/* What the file may leave open, until bind. */
enum hearth__choice { HEARTH__OPEN = 0, HEARTH__NO, HEARTH__YES };

struct hearth_function {
    uint32_t magic;
    struct hearth_function_info info;
    char *name, *path, *directory, *model_path, *model_name, *version;
    char shown[72]; /* the end of <path>, for messages */

    /* input */
    struct hearth_image_spec image; /* 0: open until bind */
    bool has_layout;
    int mean_count, deviation_count;
    /* output */
    char *labels_path, *output_name;
    char *label_bytes;   /* the file, cut into lines */
    const char **labels; /* in it */
    uint32_t label_count;
    uint32_t top;
    enum hearth__choice softmax;

    /* From the model, at bind. */
    bool bound;
    uint32_t input_count, output; /* the chosen output's number */
    bool batched; /* axis 0 of every input and output is a batch */
    struct hearth_model_port *inputs;
    char **input_names, *chosen_name;
};

/* check.c: do the tensors fit the model? Sets the context's batch.
 * HEARTH_EINVAL, ETYPE, ESHAPE. */
int hearth__function_check(const hearth_function_t *f,
                           const struct hearth_tensor_list *inputs,
                           struct hearth_function_context *context,
                           struct hearth_error *err);

/* yaml.c: fills the function in from the text of its file. */
int hearth__function_parse(hearth_function_t *f, const char *text, size_t bytes,
                           struct hearth_error *err);

#endif
