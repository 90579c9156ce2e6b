#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libhearth exports exactly what hearth.h and hearth_types.h declare.
lib=./.libs/libhearth.so
if test ! -e $lib; then
    echo "1..0 # SKIP no shared library was built"
    exit 77
fi
src=${HEARTH_SRCDIR:-.}/core/include
declared=`sed -e '/^static/d' -e 's/^HEARTH_API //' "$src/hearth.h" \
    "$src/hearth_types.h" | grep -v '^ \*' | grep -o '\bhearth_[a-z0-9_]*(' |
    tr -d '(' | sort -u`
exported=`nm -D --defined-only $lib | sed -n 's/.* [TDB] \(hearth_.*\)/\1/p' |
    sed 's/@.*//' | sort -u`
if test "$declared" = "$exported"; then
    exit 0
fi
echo "declared but not exported, or the other way round:"
printf '%s\n' "$declared" "$exported" | sort | uniq -u
exit 1
