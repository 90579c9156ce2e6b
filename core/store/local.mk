# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/store/store.h core/store/blobs.h core/store/blobs.c \
	core/store/fetch.h core/store/fetch.c core/store/store.c \
	core/store/resolve.c
