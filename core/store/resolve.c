/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c: which file a path means. Versions are Triton's: directories named
 * by a number without a leading zero; others are ignored, and so is one without
 * a model.onnx, which somebody may be copying right now.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store.h"

#define MODEL_FILE "model.onnx"

/* 0: not a version. */
static int64_t version_of(const char *name)
{
    int64_t v = 0;
    if (*name == '0')
        return 0;
    for (; *name != '\0'; name++)
        if (*name < '0' || *name > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *name - '0', &v))
            return 0;
    return v;
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* "<path>/<version>/model.onnx", or without a version when that is 0. */
static int compose(const char *path, int64_t version, char *file, size_t size,
                   struct hearth_error *err)
{
    int n = version > 0 ? snprintf(file, size, "%s/%" PRId64 "/" MODEL_FILE,
                                   path, version)
                        : snprintf(file, size, "%s/" MODEL_FILE, path);
    if (n < 0 || (size_t)n >= size)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "%.80s...: the path is too long; use a shorter one",
                           path);
    return HEARTH_OK;
}

static int newest(const char *path, char *file, size_t size,
                  struct hearth_error *err)
{
    int64_t best = 0;
    int rc = HEARTH_OK;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return hearth_fail(err, HEARTH_EIO,
                           "%.150s: %s; check the directory and its mode", path,
                           strerror(errno));
    for (struct dirent *e = readdir(dir); rc == HEARTH_OK && e != NULL;
         e = readdir(dir)) {
        int64_t v = version_of(e->d_name);
        if (v <= best)
            continue;
        rc = compose(path, v, file, size, err);
        if (rc == HEARTH_OK && is_file(file))
            best = v;
    }
    closedir(dir);
    if (rc == HEARTH_OK && best == 0)
        rc = hearth_fail(err, HEARTH_ENOENT,
                         "%.120s: neither " MODEL_FILE
                         " nor a version's (1/" MODEL_FILE
                         ") is there; put the model's file at one of the two",
                         path);
    return rc == HEARTH_OK ? compose(path, best, file, size, err) : rc;
}

apr_status_t hearth_store_resolve(const char *path, int64_t version, char *file,
                                  size_t size, struct hearth_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? hearth_fail(err, HEARTH_ENOENT,
                                 "%.150s: no such file or directory; check the "
                                 "path",
                                 path)
                   : hearth_fail(err, HEARTH_EIO, "%.150s: %s; check the path",
                                 path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        int n = snprintf(file, size, "%s", path);
        if (version > 0)
            return hearth_fail(err, HEARTH_ENOENT,
                               "%.120s is a file and has no versions; name its "
                               "directory, or no version",
                               path);
        return n < 0 || (size_t)n >= size
                   ? hearth_fail(err, HEARTH_ETOOBIG,
                                 "%.80s...: the path is too long; use a "
                                 "shorter one",
                                 path)
                   : HEARTH_OK;
    }
    int rc = compose(path, version, file, size, err);
    if (rc != HEARTH_OK || is_file(file))
        return rc;
    if (version > 0)
        return hearth_fail(err, HEARTH_ENOENT,
                           "%.150s: no such file; that version is not there",
                           file);
    return newest(path, file, size, err);
}
