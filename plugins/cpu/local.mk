# SPDX-License-Identifier: Apache-2.0
if PLUGIN_CPU
# All of it but the export, for the plugin and for its own tests.
noinst_LTLIBRARIES += libhearth_cpu.la
libhearth_cpu_la_SOURCES = plugins/cpu/cpu.h plugins/cpu/lower.h \
	plugins/cpu/nodes.h plugins/cpu/device.c plugins/cpu/dnnl.c \
	plugins/cpu/elementwise.c plugins/cpu/kernels.c plugins/cpu/lower.c plugins/cpu/lowered.c \
	plugins/cpu/matmul.c plugins/cpu/memory.c plugins/cpu/model.c \
	plugins/cpu/nodes.c plugins/cpu/weights.c
libhearth_cpu_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/plugins/cpu \
	$(DNNL_CFLAGS)
libhearth_cpu_la_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)

plugin_LTLIBRARIES += hearth_cpu.la
hearth_cpu_la_SOURCES =
hearth_cpu_la_CFLAGS = $(AM_CFLAGS) $(OPENMP_CFLAGS)
hearth_cpu_la_LDFLAGS = $(PLUGIN_LDFLAGS)
hearth_cpu_la_LIBADD = libhearth_cpu.la libhearth_ops.la $(DNNL_LIBS)
EXTRA_hearth_cpu_la_DEPENDENCIES = $(top_srcdir)/plugins/plugin.map
endif
