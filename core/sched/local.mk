# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/sched/sched.h core/sched/sched_priv.h \
	core/sched/done.c core/sched/jobs.c core/sched/place.c \
	core/sched/sched.c
