/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h: what every module of the core stands on: statuses as APR sees them,
 * asserts, the injected clock, ranked locks, hashes, counted memory and byte
 * budgets. Knows nothing of models, requests or devices. Any thread, unless a
 * function says otherwise.
 */
#ifndef HEARTH_BASE_BASE_H
#define HEARTH_BASE_BASE_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <stdio.h>

#include "hearth_types.h"

/* ---- Statuses ----
 * Core functions return apr_status_t: 0, one of HEARTH_STATUS_MAP, or APR's. */

/* As hearth_status_text for ours, apr_strerror for the rest. Returns <buf>. */
const char *hearth_strerror(apr_status_t status, char *buf, size_t size);
/* Turns any apr_status_t into one of ours, for the class and the HTTP code:
 * ENOENT and EACCES become HEARTH_ENOENT and HEARTH_EIO, timeouts
 * HEARTH_ETIMEOUT, ENOMEM HEARTH_ENOMEM, the rest HEARTH_EIO. */
int hearth_status_from_apr(apr_status_t status);

/* ---- Asserts: for our own bugs only, never for input; always compiled in. */
#define HEARTH_ASSERT(cond)                                                    \
    ((cond) ? (void)0 : hearth_assert_failed(#cond, __FILE__, __LINE__))
void hearth_assert_failed(const char *cond, const char *file, int line)
    __attribute__((noreturn));
/* Long-lived structs begin with `uint32_t magic`. Magics are unique: a test
 * greps the tree for HEARTH_MAGIC_ definitions. */
#define HEARTH_CHECK(p, m) HEARTH_ASSERT((p) != NULL && (p)->magic == (m))
/* The struct around <member> that <ptr> points to. */
#define HEARTH_CONTAINER(ptr, type, member)                                    \
    ((type *)((char *)(ptr)-offsetof(type, member)))

/* ---- Clock: injected wherever time matters, so that tests need no sleep. */
struct hearth_clock {
    void *ctx;
    int64_t (*now_us)(void *ctx); /* monotonic microseconds, any origin */
};
/* CLOCK_MONOTONIC; static, never freed. */
const struct hearth_clock *hearth_clock_real(void);
static inline int64_t hearth_now_us(const struct hearth_clock *clock)
{
    return clock->now_us(clock->ctx);
}
/* A clock that a test or a replay moves by hand. <clock> points into the
 * struct; the value may be read from any thread. */
struct hearth_manual_clock {
    struct hearth_clock clock;
    int64_t us; /* use hearth_manual_clock_set; read through the clock */
};
void hearth_manual_clock_init(struct hearth_manual_clock *clock,
                              int64_t start_us);
void hearth_manual_clock_set(struct hearth_manual_clock *clock, int64_t us);
void hearth_manual_clock_advance(struct hearth_manual_clock *clock, int64_t us);

/* ---- Locks. Each has a name and a rank; a thread may only take a lock of a
 * higher rank than every lock that it holds; checked with HEARTH_ASSERT in
 * every build (one thread-local word). No callback, Lua, device call, I/O or
 * disk logging while a lock is held. All ranks of the program, lowest first: */
enum hearth_lock_rank {
    HEARTH_LOCK_NONE = 0,
    HEARTH_LOCK_NODE = 3,      /* serve: models, functions, tenants */
    HEARTH_LOCK_ENGINE = 5,    /* flow: services, models, counts */
    HEARTH_LOCK_REGISTRY = 10, /* device: the list of plugins */
    HEARTH_LOCK_STORE = 20,    /* store: the table of open models */
    HEARTH_LOCK_QUEUE = 30,    /* exec: a device's or loader's work queue */
    HEARTH_LOCK_HOST = 31,     /* exec: copies of weights in host memory */
    HEARTH_LOCK_WORKERS = 32,  /* serve: what its threads have to do */
    HEARTH_LOCK_LOOP = 40,     /* loop: posted work */
    HEARTH_LOCK_STAT = 50,     /* stat: label sets */
    HEARTH_LOCK_LOG = 60,      /* log: the sink */
    HEARTH_LOCK_WAIT = 70      /* flow: a thread that waits for an answer */
};
#include <pthread.h>
struct hearth_lock {
    const char *name;
    enum hearth_lock_rank rank;
    pthread_mutex_t mutex;
};
void hearth_lock_init(struct hearth_lock *lock, const char *name,
                      enum hearth_lock_rank rank);
void hearth_lock_fini(struct hearth_lock *lock);
void hearth_lock_acquire(struct hearth_lock *lock);
void hearth_lock_release(struct hearth_lock *lock);
struct hearth_cond {
    pthread_cond_t cond; /* CLOCK_MONOTONIC */
};
void hearth_cond_init(struct hearth_cond *cond);
void hearth_cond_fini(struct hearth_cond *cond);
/* <lock> is held. True when signalled (or spuriously), false after <timeout_us>
 * microseconds; a negative timeout waits for ever. */
bool hearth_cond_wait(struct hearth_cond *cond, struct hearth_lock *lock,
                      int64_t timeout_us);
void hearth_cond_signal(struct hearth_cond *cond);
void hearth_cond_broadcast(struct hearth_cond *cond);

/* ---- Hashes ---- */
/* 64 bits, not for hostile keys across processes: seeded once a process. */
uint64_t hearth_hash64(const void *data, size_t bytes, uint64_t seed);
#define HEARTH_DIGEST_BYTES 32
#define HEARTH_DIGEST_TEXT 65 /* hex and the terminator */
struct hearth_digest {
    uint8_t bytes[HEARTH_DIGEST_BYTES];
};
/* SHA-256, through libcrypto. */
void hearth_sha256(const void *data, size_t bytes,
                   struct hearth_digest *digest);
/* In pieces. NULL: no memory; <hash> NULL is allowed in drop. end frees it. */
struct hearth_sha256;
struct hearth_sha256 *hearth_sha256_begin(void);
void hearth_sha256_add(struct hearth_sha256 *hash, const void *data,
                       size_t bytes);
void hearth_sha256_end(struct hearth_sha256 *hash,
                       struct hearth_digest *digest);
void hearth_sha256_drop(struct hearth_sha256 *hash);
const char *hearth_digest_text(const struct hearth_digest *digest,
                               char text[HEARTH_DIGEST_TEXT]);
bool hearth_digest_parse(const char *text, struct hearth_digest *digest);

/* ---- Counted memory. The only malloc of the core outside APR pools, so that a
 * test can fail the n-th allocation. Aligned to 16 bytes. */
void *hearth_malloc(size_t bytes);               /* NULL when out of memory */
void *hearth_calloc(size_t count, size_t bytes); /* overflow checked */
void *hearth_realloc(void *ptr, size_t bytes);   /* NULL leaves <ptr> as is */
char *hearth_strdup(const char *text);
void hearth_free(void *ptr); /* NULL is allowed */
/* Page-aligned, MADV_HUGEPAGE when large; for tensors and arenas. */
void *hearth_pages_alloc(uint64_t bytes);
void hearth_pages_free(void *ptr, uint64_t bytes);
/* Bytes that live allocations asked for, both kinds. */
uint64_t hearth_mem_used_bytes(void);
/* The <n>-th allocation from now (1 = the next) fails, and every one after it
 * when <sticky>; 0 switches failing off. For tests. */
void hearth_mem_fail_at(int64_t n, bool sticky);

/* ---- Byte budget: a limit and what is taken of it, by atomic operations. */
struct hearth_budget {
    uint64_t limit_bytes; /* UINT64_MAX: none */
    uint64_t used_bytes;  /* atomic */
    uint64_t peak_bytes;  /* atomic */
};
void hearth_budget_init(struct hearth_budget *budget, uint64_t limit_bytes);
/* False, and nothing is taken, when it would pass the limit or overflow. */
bool hearth_budget_take(struct hearth_budget *budget, uint64_t bytes);
/* Asserts that so much had been taken. */
void hearth_budget_give(struct hearth_budget *budget, uint64_t bytes);
uint64_t hearth_budget_used(const struct hearth_budget *budget);

/* ---- Text that users write: "64MiB", "1.5GB", "4096" -> bytes; "250ms",
 * "1m30s", "30" (seconds) -> microseconds. False for anything else, also for
 * what does not fit. */
bool hearth_parse_bytes(const char *text, uint64_t *bytes);
bool hearth_parse_duration_us(const char *text, int64_t *us);
/* The last <bytes> of a path or less, "..." before them when it was cut, for
 * messages: its end tells more than its start. Returns <buf>. */
const char *hearth_path_end(const char *path, char *buf, size_t bytes);
/* "1.5 GiB"; returns <buf>. */
const char *hearth_format_bytes(uint64_t bytes, char *buf, size_t size);

/* How many letters must change for <a> to become <b>: for "did you mean".
 * UINT32_MAX when either is longer than 32. */
unsigned hearth_text_distance(const char *a, const char *b);
/* A whole file of at most <most> bytes, with a terminator that is not counted;
 * the caller's, for hearth_free. Blocks. HEARTH_ENOENT, HEARTH_EIO,
 * HEARTH_ETOOBIG, HEARTH_ENOMEM. */
int hearth_read_file(const char *path, uint64_t most, char **text,
                     size_t *bytes, struct hearth_error *err);

/* Library start: APR, the hash seed. Idempotent, never undone. */
apr_status_t hearth_base_init(void);

#endif
