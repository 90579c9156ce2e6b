# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/cache/cache.h core/cache/cache.c
