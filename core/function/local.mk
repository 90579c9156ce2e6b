# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/function/function.h \
	core/function/function_priv.h core/function/check.c core/function/convert.c \
	core/function/function.c core/function/yaml.c
