# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += plugins/plugin.map
include plugins/cpu/local.mk
include plugins/sim/local.mk
