# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/log/log.h core/log/log.c
