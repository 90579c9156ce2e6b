/* SPDX-License-Identifier: Apache-2.0 */
/* conf_priv.h: between the files of core/conf. */
#ifndef HEARTH_CONF_CONF_PRIV_H
#define HEARTH_CONF_CONF_PRIV_H

#include "conf/conf.h"

/* Reads <text> into the row's field; false, and the field is as it was, when it
 * is no such value. */
bool hearth__conf_set(const struct hearth_conf_row *row, void *config,
                      const char *text);
/* "port=abc: expected a whole number" */
int hearth__conf_bad_value(const struct hearth_conf_row *row, int status,
                           const char *text, struct hearth_error *err);

#endif
