#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A log tag stands for one message: none is used twice in the core and the
# adapters.
cd "${HEARTH_SRCDIR:-.}" || exit 99
tags=`cat core/*/*.c openfaas/*.c | tr '\n' ' ' |
    grep -o 'hearth_log( *[A-Za-z_]*, *[0-9][0-9]*,' |
    sed 's/.*, *\([0-9]*\),$/\1/'`
test -n "$tags" || { echo "no message was found: this test is broken"; exit 1; }
twice=`printf '%s\n' $tags | sort | uniq -d`
test -z "$twice" || { echo "used twice:" $twice; exit 1; }
