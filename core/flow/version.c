/* SPDX-License-Identifier: Apache-2.0 */
/* version.c: what was built, and how; the same text as configure's summary. */
#include "config.h"

#include "hearth.h"

const char *hearth_version(void)
{
    return PACKAGE_VERSION;
}

const char *hearth_build_summary(void)
{
    return "hearth " PACKAGE_VERSION "\n"
           "  compiler      " HEARTH_BUILD_COMPILER "\n"
           "  HTTP parser   " HEARTH_BUILD_HTTP_PARSER "\n"
           "  sanitizers    " HEARTH_BUILD_SANITIZERS "\n"
           "  plugins       " HEARTH_BUILD_PLUGINS "\n";
}
