# SPDX-License-Identifier: Apache-2.0
# libhearth_ops: types and operators, C library only; plugins link it too.
# libhearth_core: every module, for the programs and the unit tests.
# libhearth: the same, exporting hearth.h only.
CORE_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(YAML_CFLAGS) $(JANSSON_CFLAGS) \
	$(PNG_CFLAGS) $(JPEG_CFLAGS) $(CRYPTO_CFLAGS) $(ZLIB_CFLAGS) $(HTTP_PARSER_CFLAGS)
CORE_LIBS = $(CURL_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) $(PNG_LIBS) \
	$(JPEG_LIBS) $(CRYPTO_LIBS) $(ZLIB_LIBS) $(HTTP_PARSER_LIBS) $(APR_LIBS)

noinst_LTLIBRARIES += libhearth_ops.la libhearth_core.la
libhearth_ops_la_SOURCES =
libhearth_ops_la_CFLAGS = $(AM_CFLAGS)
libhearth_core_la_SOURCES =
libhearth_core_la_CFLAGS = $(CORE_CFLAGS)
libhearth_core_la_CPPFLAGS = $(AM_CPPFLAGS) \
	-DHEARTH_PLUGIN_DIR_DEFAULT='"$(plugindir)"'
libhearth_core_la_LIBADD = libhearth_ops.la $(CORE_LIBS)

lib_LTLIBRARIES += libhearth.la
libhearth_la_SOURCES =
libhearth_la_LIBADD = libhearth_core.la
libhearth_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info 0:0:0 \
	-Wl,--version-script=$(top_srcdir)/core/hearth.map
EXTRA_libhearth_la_DEPENDENCIES = $(top_srcdir)/core/hearth.map
EXTRA_DIST += core/hearth.map

include_HEADERS += core/include/hearth_types.h core/include/hearth_graph.h \
	core/include/hearth_plugin.h core/include/hearth.h

include core/ops/local.mk
include core/base/local.mk
include core/loop/local.mk
include core/log/local.mk
include core/stat/local.mk
include core/conf/local.mk
include core/tensor/local.mk
include core/http/local.mk
include core/codec/local.mk
include core/pack/local.mk
include core/model/local.mk
include core/store/local.mk
include core/device/local.mk
include core/policy/local.mk
include core/cache/local.mk
include core/exec/local.mk
include core/sched/local.mk
include core/function/local.mk
include core/flow/local.mk
include core/serve/local.mk
include core/client/local.mk
include core/hearthd/local.mk
include core/tool/local.mk
