# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/http/http.h core/http/http_priv.h \
	core/http/parser.h core/http/server_priv.h \
	core/http/client_priv.h core/http/address.c core/http/call.c \
	core/http/call_message.c \
	core/http/client.c core/http/conn.c core/http/input.c core/http/message.c \
	core/http/output.c core/http/parser.c core/http/peer.c core/http/reply.c \
	core/http/server.c
