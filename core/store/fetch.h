/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h: an http or https URL into a local file, whole or not at all. What
 * came before a break lies beside it (<path>.part) and is taken up by the next
 * try, also of a later process, when the server says that it is still the same.
 * Blocking; any thread; several at once, but one a path.
 */
#ifndef HEARTH_STORE_FETCH_H
#define HEARTH_STORE_FETCH_H

#include "base/base.h"

struct hearth_fetch_options {
    uint64_t most_bytes; /* 0: any */
    /* NULL: whatever comes; also taken from the URL's "#sha256=HEX". */
    const struct hearth_digest *expected;
    uint32_t tries;   /* 0: 4; with pauses of 0.25 s, doubled each time */
    int64_t stall_us; /* 0: 30 s without a KiB/s ends a try */
    /* <total> -1: not known. True: give up, what came stays for later. */
    bool (*progress)(void *ctx, int64_t bytes, int64_t total);
    void *ctx;
};

/* The file is synced and renamed to <path> when it is whole; *digest (may be
 * NULL) is its SHA-256. HEARTH_EINVAL: no such URL; HEARTH_ENOENT: 404, 410;
 * HEARTH_EPEER: not reached, broken off, refused by the server, each with what
 * the server said; HEARTH_EPROTO: another digest, redirects without end;
 * HEARTH_ETOOBIG; HEARTH_ENOSPACE; HEARTH_EIO; HEARTH_ECANCELED;
 * HEARTH_ENOMEM. */
int hearth_fetch(const char *url, const char *path,
                 const struct hearth_fetch_options *options,
                 struct hearth_digest *digest, struct hearth_error *err);

#endif
