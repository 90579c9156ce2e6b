# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/conf/conf.h core/conf/conf_priv.h \
	core/conf/conf.c core/conf/file.c core/conf/help.c
