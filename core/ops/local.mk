# SPDX-License-Identifier: Apache-2.0
libhearth_ops_la_SOURCES += core/ops/ops.h core/ops/types.c
