# SPDX-License-Identifier: Apache-2.0
libhearth_core_la_SOURCES += core/tensor/tensor.h core/tensor/tensor.c
