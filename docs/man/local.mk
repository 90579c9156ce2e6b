# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += docs/man/hearth.1 docs/man/hearth-watchdog.1 \
	docs/man/hearthd.8
EXTRA_DIST += docs/man/update.sh
