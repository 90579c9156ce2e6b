/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c: the table of paths. A pattern is compared segment by segment: '*' is
 * a name (taken out of its percent-encoding), '#' a version; segments in
 * brackets may both be absent.
 */
#include "serve/serve_priv.h"

#include <stdlib.h>
#include <string.h>

#define SMALL (64u << 10)

static const struct hearth__route routes[] = {
    {.method = "GET",
     .pattern = "/v2",
     .kind = HEARTH__ROUTE_NOW,
     .now = hearth__server_metadata},
    {.method = "GET",
     .pattern = "/v2/health/live",
     .kind = HEARTH__ROUTE_NOW,
     .now = hearth__health_live},
    {.method = "GET",
     .pattern = "/v2/health/ready",
     .kind = HEARTH__ROUTE_NOW,
     .now = hearth__health_ready},
    {.method = "GET",
     .pattern = "/v2/models/stats",
     .kind = HEARTH__ROUTE_WORK,
     .work = hearth__model_stats},
    {.method = "POST",
     .pattern = "/v2/models/*[/versions/#]/infer",
     .kind = HEARTH__ROUTE_INFER},
    {.method = "GET",
     .pattern = "/v2/models/*[/versions/#]/ready",
     .kind = HEARTH__ROUTE_MODEL,
     .now = hearth__model_ready},
    {.method = "GET",
     .pattern = "/v2/models/*[/versions/#]/config",
     .kind = HEARTH__ROUTE_MODEL,
     .now = hearth__model_config},
    {.method = "GET",
     .pattern = "/v2/models/*[/versions/#]/stats",
     .kind = HEARTH__ROUTE_WORK,
     .work = hearth__model_stats},
    {.method = "GET",
     .pattern = "/v2/models/*[/versions/#]",
     .kind = HEARTH__ROUTE_MODEL,
     .now = hearth__model_metadata},
    {.method = "POST",
     .pattern = "/v2/repository/index",
     .kind = HEARTH__ROUTE_WORK,
     .work = hearth__repository_index,
     .body_limit = SMALL},
    {.method = "POST",
     .pattern = "/v2/repository/models/*/load",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_LOAD,
     .work = hearth__repository_load,
     .body_limit = SMALL},
    {.method = "POST",
     .pattern = "/v2/repository/models/*/unload",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_LOAD,
     .work = hearth__repository_unload,
     .body_limit = SMALL},
    {.method = "PUT",
     .pattern = "/v2/hearth/blobs/*",
     .kind = HEARTH__ROUTE_BLOB,
     .right = HEARTH__RIGHT_LOAD},
    {.method = "PUT",
     .pattern = "/v2/hearth/functions/*",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_LOAD,
     .work = hearth__function_put,
     .body_limit = 1u << 20},
    {.method = "GET",
     .pattern = "/v2/hearth/functions/*",
     .kind = HEARTH__ROUTE_NOW,
     .now = hearth__function_state},
    {.method = "POST",
     .pattern = "/v2/hearth/functions/*",
     .kind = HEARTH__ROUTE_INVOKE,
     .now = hearth__function_invoke},
    {.method = "GET",
     .pattern = "/v2/hearth/status",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_OPERATOR,
     .work = hearth__status},
    {.method = "GET",
     .pattern = "/v2/hearth/models",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_OPERATOR,
     .work = hearth__models},
    {.method = "POST",
     .pattern = "/v2/hearth/models/*[/versions/#]/pin",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_OPERATOR,
     .work = hearth__pin,
     .body_limit = SMALL},
    {.method = "GET",
     .pattern = "/v2/hearth/models/*[/versions/#]/fit",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_OPERATOR,
     .work = hearth__fit},
    {.method = "POST",
     .pattern = "/v2/hearth/import",
     .kind = HEARTH__ROUTE_IMPORT,
     .right = HEARTH__RIGHT_OPERATOR,
     .body_limit = SMALL},
    {.method = "POST",
     .pattern = "/v2/hearth/reload",
     .kind = HEARTH__ROUTE_WORK,
     .right = HEARTH__RIGHT_OPERATOR,
     .work = hearth__reload,
     .body_limit = SMALL},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(*routes))

/* ---- Segments ---- */

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The segment at <path> out of its percent-encoding; false: no name. */
static bool take_name(const char *path, size_t bytes,
                      char name[HEARTH__NAME_BYTES])
{
    size_t used = 0;

    for (size_t i = 0; i < bytes; i++) {
        int c = (unsigned char)path[i];

        if (c == '%') {
            if (i + 2 >= bytes || hex(path[i + 1]) < 0 || hex(path[i + 2]) < 0)
                return false;
            c = hex(path[i + 1]) * 16 + hex(path[i + 2]);
            i += 2;
        }
        if (c < ' ' || c == 0x7f || used + 1 >= HEARTH__NAME_BYTES)
            return false;
        name[used++] = (char)c;
    }
    name[used] = '\0';
    return used > 0;
}

static bool take_version(const char *path, size_t bytes, int64_t *version)
{
    *version = 0;
    if (bytes == 0 || bytes > 18 || strspn(path, "0123456789") < bytes)
        return false;
    *version = strtoll(path, NULL, 10);
    return *version > 0;
}

/* Does <path> match from here on? */
static bool match(const char *pattern, const char *path,
                  struct hearth__visit *v)
{
    while (*pattern) {
        size_t bytes;

        if (*pattern == '[') {
            const char *close = strchr(pattern, ']');
            size_t words = strspn(pattern + 1, "/abcdefghijklmnopqrstuvwxyz");

            if (strncmp(path, pattern + 1, words) != 0) {
                pattern = close + 1;
                continue;
            }
            pattern++;
        }
        if (*pattern == ']') {
            pattern++;
            continue;
        }
        bytes = strcspn(path, "/");
        if (*pattern == '*') {
            if (!take_name(path, bytes, v->name))
                return false;
            path += bytes;
            pattern++;
        } else if (*pattern == '#') {
            if (!take_version(path, bytes, &v->version))
                return false;
            path += bytes;
            pattern++;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

int hearth__route_find(const char *method, const char *path,
                       struct hearth__visit *v,
                       const struct hearth__route **route)
{
    bool path_is_known = false;
    size_t bytes = strlen(path);
    char trimmed[4096];

    *route = NULL;
    if (bytes > 1 && path[bytes - 1] == '/' && bytes < sizeof(trimmed)) {
        memcpy(trimmed, path, bytes - 1);
        trimmed[bytes - 1] = '\0';
        path = trimmed;
    }
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        v->name[0] = '\0';
        v->version = 0;
        if (!match(routes[i].pattern, path, v))
            continue;
        path_is_known = true;
        if (strcmp(routes[i].method, method) != 0 &&
            !(strcmp(method, "HEAD") == 0 &&
              strcmp(routes[i].method, "GET") == 0))
            continue;
        *route = &routes[i];
        return 0;
    }
    return path_is_known ? 405 : 404;
}
