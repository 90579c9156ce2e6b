/* SPDX-License-Identifier: Apache-2.0 */
/* base_priv.h: between the files of core/base. */
#ifndef HEARTH_BASE_BASE_PRIV_H
#define HEARTH_BASE_BASE_PRIV_H

#include "base/base.h"

/* Set once by hearth_base_init, before other threads start. */
extern uint64_t hearth__base_hash_seed;

#endif
