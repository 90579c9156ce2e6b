# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/serve/serve.h core/serve/serve_priv.h \
	core/serve/admin.c core/serve/blob.c core/serve/describe.c core/serve/functions.c core/serve/import.c core/serve/infer.c core/serve/manage.c \
	core/serve/models.c core/serve/node.c core/serve/pbtxt.h \
	core/serve/pbtxt.c core/serve/remote.c core/serve/remote_index.c core/serve/route.c core/serve/scan.c core/serve/table.c \
	core/serve/stats.c core/serve/tenant.c core/serve/visit.c \
	core/serve/work.h core/serve/work.c
