# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/device_plugin_test
tests_unit_device_plugin_test_SOURCES = tests/unit/device_plugin_test.c
tests_unit_device_plugin_test_CPPFLAGS = $(AM_CPPFLAGS) \
	-DBAD_PLUGIN_DIR='"$(abs_top_builddir)/tests/unit/plugins/.libs"'
tests_unit_device_plugin_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_device_plugin_test_LDADD = $(TEST_LIBS)

# Plugins with one defect each. -rpath makes libtool build a shared object of
# a library that is not installed.
check_LTLIBRARIES += tests/unit/plugins/hearth_nosymbol.la \
	tests/unit/plugins/hearth_nodescriptor.la \
	tests/unit/plugins/hearth_othername.la \
	tests/unit/plugins/hearth_initfails.la
tests_unit_plugins_hearth_nosymbol_la_SOURCES = tests/unit/plugins/bad_plugin.c
tests_unit_plugins_hearth_nosymbol_la_CPPFLAGS = $(AM_CPPFLAGS) -DDEFECT=1
tests_unit_plugins_hearth_nosymbol_la_CFLAGS = $(AM_CFLAGS)
tests_unit_plugins_hearth_nosymbol_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_unit_plugins_hearth_nosymbol_la_LIBADD = libhearth_ops.la
tests_unit_plugins_hearth_nodescriptor_la_SOURCES = tests/unit/plugins/bad_plugin.c
tests_unit_plugins_hearth_nodescriptor_la_CPPFLAGS = $(AM_CPPFLAGS) -DDEFECT=2
tests_unit_plugins_hearth_nodescriptor_la_CFLAGS = $(AM_CFLAGS)
tests_unit_plugins_hearth_nodescriptor_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_unit_plugins_hearth_nodescriptor_la_LIBADD = libhearth_ops.la
tests_unit_plugins_hearth_othername_la_SOURCES = tests/unit/plugins/bad_plugin.c
tests_unit_plugins_hearth_othername_la_CPPFLAGS = $(AM_CPPFLAGS) -DDEFECT=3
tests_unit_plugins_hearth_othername_la_CFLAGS = $(AM_CFLAGS)
tests_unit_plugins_hearth_othername_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_unit_plugins_hearth_othername_la_LIBADD = libhearth_ops.la
tests_unit_plugins_hearth_initfails_la_SOURCES = tests/unit/plugins/bad_plugin.c
tests_unit_plugins_hearth_initfails_la_CPPFLAGS = $(AM_CPPFLAGS) -DDEFECT=4
tests_unit_plugins_hearth_initfails_la_CFLAGS = $(AM_CFLAGS)
tests_unit_plugins_hearth_initfails_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_unit_plugins_hearth_initfails_la_LIBADD = libhearth_ops.la

DEVICE_RUN = tests/unit/device_run.c tests/unit/device_run.h
check_PROGRAMS += tests/unit/device_ops_test
tests_unit_device_ops_test_SOURCES = tests/unit/device_ops_test.c \
	$(DEVICE_RUN) $(OPS_SAMPLES)
tests_unit_device_ops_test_CFLAGS = $(TEST_CFLAGS)
tests_unit_device_ops_test_LDADD = $(TEST_LIBS)
