# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/device/device.h core/device/device.c \
	core/device/plugin.c
