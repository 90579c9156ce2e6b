# SPDX-License-Identifier: Apache-2.0
if PLUGIN_CPU
# All of it but the export, for the plugin and for its own tests.
noinst_LTLIBRARIES += libhearth_cpu.la
libhearth_cpu_la_SOURCES = plugins/cpu/cpu.h plugins/cpu/lower.h \
	plugins/cpu/nodes.h plugins/cpu/activate.c plugins/cpu/activate.h \
	plugins/cpu/activate_kernel.h plugins/cpu/attention.c \
	plugins/cpu/attention.h plugins/cpu/chain.c plugins/cpu/chain.h \
	plugins/cpu/concat.c plugins/cpu/view.c plugins/cpu/device.c plugins/cpu/dnnl.c \
	plugins/cpu/elementwise.c plugins/cpu/interp.c plugins/cpu/gemm.c plugins/cpu/gemm.h \
	plugins/cpu/gemm_kernel.h plugins/cpu/winograd.c \
	plugins/cpu/winograd.h plugins/cpu/winograd_kernel.h \
	plugins/cpu/kernels.c \
	plugins/cpu/kernels.h plugins/cpu/lower.c plugins/cpu/lower_move.c \
	plugins/cpu/lower_rows.c plugins/cpu/lowered.c plugins/cpu/math.c \
	plugins/cpu/matmul.c plugins/cpu/memory.c plugins/cpu/model.c \
	plugins/cpu/move.c plugins/cpu/nodes.c \
	plugins/cpu/patches.c plugins/cpu/patches.h \
	plugins/cpu/profile.c plugins/cpu/tune.c plugins/cpu/weights.c \
	plugins/cpu/work.c
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
