# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/exec/exec.h core/exec/exec_priv.h \
	core/exec/exec.c core/exec/host.h core/exec/host.c core/exec/packed.c
