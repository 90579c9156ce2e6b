# SPDX-License-Identifier: Apache-2.0
plugin_LTLIBRARIES += hearth_sim.la
hearth_sim_la_SOURCES = plugins/sim/sim.h plugins/sim/device.c \
	plugins/sim/model.c plugins/sim/spec.c
hearth_sim_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/plugins/sim
hearth_sim_la_CFLAGS = $(AM_CFLAGS)
hearth_sim_la_LDFLAGS = $(PLUGIN_LDFLAGS)
hearth_sim_la_LIBADD = libhearth_ops.la
EXTRA_hearth_sim_la_DEPENDENCIES = $(top_srcdir)/plugins/plugin.map
