#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the programs' parameters into their manual pages, from their own
# tables. Usage: docs/man/update.sh BUILD, at the top of the source tree
set -e
build=${1:?usage: docs/man/update.sh BUILD}
update() {
    page=docs/man/$1
    "$build/$2" --help-man >"$page.rows"
    sed -e "/BEGIN PARAMETERS/r $page.rows" \
        -e '/BEGIN PARAMETERS/,/END PARAMETERS/{/PARAMETERS/!d}' "$page" >"$page.new"
    mv "$page.new" "$page"
    rm "$page.rows"
}
update hearth-watchdog.1 hearth-watchdog
update hearthd.8 hearthd
