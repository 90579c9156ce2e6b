#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the watchdog's parameters into its manual page, from its own table.
# Usage: docs/man/update.sh BUILD/hearth-watchdog, at the top of the source tree
set -e
page=docs/man/hearth-watchdog.1
"${1:?usage: docs/man/update.sh BUILD/hearth-watchdog}" --help-man >$page.rows
sed -e '/BEGIN PARAMETERS/r '$page.rows \
    -e '/BEGIN PARAMETERS/,/END PARAMETERS/{/PARAMETERS/!d}' $page >$page.new
mv $page.new $page
rm $page.rows
