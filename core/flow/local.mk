# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/flow/flow.h core/flow/flow_priv.h \
	core/flow/ask.c core/flow/tally.c core/flow/call.c core/flow/engine.c core/flow/io.c core/flow/meter.c \
	core/flow/models.c core/flow/report.c core/flow/request.c \
	core/flow/service.c core/flow/status.c core/flow/step_answer.c \
	core/flow/step_body.c core/flow/step_head.c core/flow/step_job.c \
	core/flow/steps.c core/flow/version.c
