# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += docs/api.md docs/design.md docs/hearth-yaml.md \
	docs/operators.md docs/performance.md
include docs/man/local.mk
