# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/client/client.h core/client/client_priv.h \
	core/client/client.c core/client/package.c core/client/register.c
