# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/policy/policy.h core/policy/policy.c
