/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs: what is written is read, and nothing else is: damage at every byte,
 * cuts at every length, other keys, other owners' modes, links; the limit and
 * the order of eviction; two writers; a full and a read-only disk; no memory.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pack/pack_priv.h"

static char dir[64];
static hearth_packs_t *packs;
static struct hearth_error err;

static const char *in_dir(const char *name)
{
    static char path[2][160];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void open_dir(uint64_t limit)
{
    hearth_packs_destroy(&packs);
    assert_int_equal(hearth_packs_create(&packs, dir, limit, &err), HEARTH_OK);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hearth-pack-XXXXXX");
    if (mkdtemp(dir) == NULL || hearth_base_init() != HEARTH_OK)
        return -1;
    return hearth_packs_create(&packs, dir, 0, &err);
}

static int teardown(void **state)
{
    char line[128];
    (void)state;
    hearth_packs_destroy(&packs);
    (void)chmod(dir, 0700);
    struct hearth__pack_list list;
    int rc = hearth_packs_create(&packs, dir, 0, &err);
    if (rc == HEARTH_OK &&
        hearth__packs_list(packs, true, &list, &err) == HEARTH_OK) {
        for (uint32_t i = 0; i < list.count; i++)
            (void)remove(in_dir(list.files[i].name));
        hearth__packs_list_free(&list);
    }
    hearth_packs_destroy(&packs);
    (void)remove(in_dir("lock"));
    snprintf(line, sizeof line, "%s", dir);
    return rmdir(line);
}

/* Two sections: "small" and <bytes> of <fill>. */
static int put(const char *key, uint64_t bytes, char fill)
{
    hearth_pack_put_t *p;
    char *data = malloc(bytes + 1);
    assert_non_null(data);
    memset(data, fill, bytes);
    const struct hearth_pack_put_config config = {
        .key = key, .expected_bytes = bytes, .durable = true};
    int rc = hearth_pack_put_begin(&p, packs, &config, &err);
    if (rc == HEARTH_OK) {
        (void)hearth_pack_put_section(p, 7);
        (void)hearth_pack_put_write(p, "small", 5);
        (void)hearth_pack_put_section(p, 9);
        (void)hearth_pack_put_write(p, data, bytes);
        rc = hearth_pack_put_end(&p, &err);
        assert_null(p);
    }
    free(data);
    return rc;
}

static int get(const char *key)
{
    hearth_pack_t *p;
    int rc = hearth_pack_open(&p, packs, key, &err);
    assert_true((rc == HEARTH_OK) == (p != NULL));
    hearth_pack_close(&p);
    assert_null(p);
    return rc;
}

static const char *file_of(const char *key)
{
    static char name[HEARTH__PACK_NAME];
    hearth__pack_name(key, name);
    return in_dir(name);
}

/* ---- Round trip ---- */

static void what_is_written_is_mapped_aligned_and_verifies(void **state)
{
    hearth_pack_t *p;
    uint64_t bytes;
    (void)state;
    assert_int_equal(get("one"), HEARTH_ENOENT);
    assert_int_equal(put("one", 3 << 20, 'x'), HEARTH_OK);
    assert_int_equal(hearth_pack_open(&p, packs, "one", &err), HEARTH_OK);
    const char *small = hearth_pack_section(p, 7, &bytes);
    assert_int_equal(bytes, 5);
    assert_memory_equal(small, "small", 5);
    const char *large = hearth_pack_section(p, 9, &bytes);
    assert_int_equal(bytes, 3 << 20);
    assert_int_equal((uintptr_t)large % HEARTH_PACK_ALIGNMENT, 0);
    assert_int_equal(large[0], 'x');
    assert_int_equal(large[bytes - 1], 'x');
    assert_int_equal(hearth_pack_verify(p, 7, NULL, NULL, &err), HEARTH_OK);
    assert_int_equal(hearth_pack_verify(p, 9, NULL, NULL, &err), HEARTH_OK);
    assert_int_equal(hearth_pack_verify(p, 8, NULL, NULL, &err), HEARTH_EMODEL);
    assert_null(hearth_pack_section(p, 8, &bytes));
    assert_int_equal(bytes, 0);
    /* Removed or written anew, it stays what it is for who has it. */
    hearth_packs_discard(packs, "one");
    assert_int_equal(put("one", 1 << 20, 'y'), HEARTH_OK);
    assert_int_equal(large[2 << 20], 'x');
    assert_int_equal(hearth_pack_verify(p, 9, NULL, NULL, &err), HEARTH_OK);
    hearth_pack_close(&p);
    assert_int_equal(get("two"), HEARTH_ENOENT);
}

/* Is every page of it in memory, and mapped? */
static bool is_mapped(const char *at, uint64_t bytes)
{
    FILE *f = fopen("/proc/self/pagemap", "rbe");
    bool all = f != NULL;
    for (uint64_t i = 0; all && i < bytes; i += 4096) {
        uint64_t entry = 0;
        off_t where = (off_t)((uintptr_t)(at + i) / 4096 * sizeof entry);
        all = fseeko(f, where, SEEK_SET) == 0 &&
              fread(&entry, sizeof entry, 1, f) == 1 && entry >> 63 == 1;
    }
    if (f != NULL)
        fclose(f);
    return all;
}

static bool stop_third(void *ctx)
{
    int *left = ctx;
    return --*left < 0;
}

static void what_is_warmed_is_read_and_mapped(void **state)
{
    hearth_pack_t *p;
    uint64_t bytes, piece = UINT64_C(4) << 20;
    int left = 2;
    (void)state;
    assert_int_equal(put("one", 11 << 20, 'x'), HEARTH_OK);
    int fd = open(file_of("one"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    assert_int_equal(hearth_pack_open(&p, packs, "one", &err), HEARTH_OK);
    const char *data = hearth_pack_section(p, 9, &bytes);
    assert_false(is_mapped(data, bytes));
    /* Given up before its third piece, and gone on with. */
    assert_false(hearth_pack_warm(p, 9, stop_third, &left));
#ifdef MADV_POPULATE_READ
    assert_true(is_mapped(data, 2 * piece));
    assert_false(is_mapped(data, bytes));
#endif
    assert_true(hearth_pack_warm(p, 9, NULL, NULL));
#ifdef MADV_POPULATE_READ
    assert_true(is_mapped(data, bytes));
#endif
    assert_true(hearth_pack_warm(p, 8, NULL, NULL)); /* there is none */
    hearth_pack_close(&p);
}

static void padding_is_counted_from_the_section(void **state)
{
    hearth_pack_put_t *p;
    hearth_pack_t *pack;
    uint64_t at, bytes;
    (void)state;
    const struct hearth_pack_put_config config = {.key = "k"};
    assert_int_equal(hearth_pack_put_begin(&p, packs, &config, &err),
                     HEARTH_OK);
    assert_int_equal(hearth_pack_put_section(p, 1), HEARTH_OK);
    assert_int_equal(hearth_pack_put_align(p, 64, &at), HEARTH_OK);
    assert_int_equal(at, 0);
    assert_int_equal(hearth_pack_put_write(p, "abc", 3), HEARTH_OK);
    assert_int_equal(hearth_pack_put_align(p, 64, &at), HEARTH_OK);
    assert_int_equal(at, 64);
    assert_int_equal(hearth_pack_put_write(p, "d", 1), HEARTH_OK);
    assert_int_equal(hearth_pack_put_end(&p, &err), HEARTH_OK);
    assert_int_equal(hearth_pack_open(&pack, packs, "k", &err), HEARTH_OK);
    const char *data = hearth_pack_section(pack, 1, &bytes);
    assert_int_equal(bytes, 65);
    assert_memory_equal(data, "abc\0", 4);
    assert_int_equal(data[64], 'd');
    assert_int_equal(hearth_pack_verify(pack, 1, NULL, NULL, &err), HEARTH_OK);
    hearth_pack_close(&pack);
}

/* ---- Damage ---- */

static void change_byte(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x41;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void a_change_of_any_byte_is_found(void **state)
{
    const off_t bytes = 3 * HEARTH_PACK_ALIGNMENT;
    uint32_t found = 0;
    (void)state;
    for (off_t at = 0; at < bytes; at += at < 600 ? 1 : 37) {
        hearth_pack_t *p;
        assert_int_equal(put("one", HEARTH_PACK_ALIGNMENT, 'x'), HEARTH_OK);
        change_byte(file_of("one"), at);
        int rc = hearth_pack_open(&p, packs, "one", &err);
        if (rc == HEARTH_OK) {
            bool in_small = at < HEARTH_PACK_ALIGNMENT + 5;
            bool in_gap = !in_small && at < 2 * HEARTH_PACK_ALIGNMENT;
            assert_true(at >= HEARTH_PACK_ALIGNMENT);
            assert_int_equal(hearth_pack_verify(p, 7, NULL, NULL, &err),
                             in_small ? HEARTH_EMODEL : HEARTH_OK);
            assert_int_equal(hearth_pack_verify(p, 9, NULL, NULL, &err),
                             in_small || in_gap ? HEARTH_OK : HEARTH_EMODEL);
            hearth_pack_close(&p);
        } else {
            assert_int_equal(rc, HEARTH_EMODEL);
            assert_true(at < HEARTH_PACK_ALIGNMENT);
            /* It is gone. */
            assert_int_equal(get("one"), HEARTH_ENOENT);
            found++;
        }
    }
    assert_true(found > 600);
}

static void a_file_of_any_other_length_is_refused(void **state)
{
    (void)state;
    for (off_t n = 0; n < 3 * HEARTH_PACK_ALIGNMENT + 200;
         n += n % HEARTH_PACK_ALIGNMENT < 3 ? 1 : 131) {
        if (n == 3 * HEARTH_PACK_ALIGNMENT)
            continue;
        assert_int_equal(put("one", HEARTH_PACK_ALIGNMENT, 'x'), HEARTH_OK);
        assert_int_equal(truncate(file_of("one"), n), 0);
        assert_int_equal(get("one"), HEARTH_EMODEL);
        assert_int_equal(get("one"), HEARTH_ENOENT);
    }
}

/* A head that has its checksum, and one lie. */
static int open_with(void (*lie)(struct hearth__pack_head *head))
{
    static _Alignas(HEARTH_PACK_ALIGNMENT) char file[3 * HEARTH_PACK_ALIGNMENT];
    struct hearth__pack_head *head = (struct hearth__pack_head *)file;
    hearth_pack_t *p;
    memset(file, 0, sizeof file);
    memcpy(head->magic, HEARTH__PACK_MAGIC, sizeof head->magic);
    head->version = HEARTH__PACK_VERSION;
    head->file_bytes = sizeof file;
    head->section_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        head->sections[i].kind = i;
        head->sections[i].offset = (i + 1) * (uint64_t)HEARTH_PACK_ALIGNMENT;
        head->sections[i].bytes = HEARTH_PACK_ALIGNMENT;
    }
    memcpy(head->key, "key", 4);
    lie(head);
    hearth__pack_seal(head, &head->sum);
    int rc = hearth_pack_open_memory(&p, file, sizeof file, "key", &err);
    hearth_pack_close(&p);
    return rc;
}

static void no_lie(struct hearth__pack_head *h)
{
    (void)h;
}
static void lie_count(struct hearth__pack_head *h)
{
    h->section_count = HEARTH_PACK_SECTIONS_MAX + 1;
}
static void lie_many(struct hearth__pack_head *h)
{
    h->section_count = UINT32_MAX;
}
static void lie_offset_in_head(struct hearth__pack_head *h)
{
    h->sections[0].offset = 0;
}
static void lie_offset_odd(struct hearth__pack_head *h)
{
    h->sections[0].offset += 64;
    h->sections[0].bytes = 64;
}
static void lie_offset_far(struct hearth__pack_head *h)
{
    h->sections[1].offset = UINT64_MAX & ~(uint64_t)4095;
}
static void lie_bytes(struct hearth__pack_head *h)
{
    h->sections[1].bytes++;
}
static void lie_bytes_far(struct hearth__pack_head *h)
{
    h->sections[1].bytes = UINT64_MAX - h->sections[1].offset + 1;
}
static void lie_kind(struct hearth__pack_head *h)
{
    h->sections[1].kind = h->sections[0].kind;
}
static void lie_reserved(struct hearth__pack_head *h)
{
    h->sections[1].reserved = 1;
}
static void lie_file(struct hearth__pack_head *h)
{
    h->file_bytes = UINT64_MAX;
}
static void lie_version(struct hearth__pack_head *h)
{
    h->version++;
}
static void lie_key(struct hearth__pack_head *h)
{
    memset(h->key, 'k', sizeof h->key);
}
static void lie_magic(struct hearth__pack_head *h)
{
    h->magic[7] = 0;
}

static void a_sealed_lie_is_refused(void **state)
{
    static void (*const lies[])(struct hearth__pack_head *) = {
        lie_count,    lie_many,      lie_offset_in_head, lie_offset_odd,
        lie_bytes,    lie_bytes_far, lie_offset_far,     lie_kind,
        lie_reserved, lie_file,      lie_version,        lie_key,
        lie_magic};
    (void)state;
    assert_int_equal(open_with(no_lie), HEARTH_OK);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        if (open_with(lies[i]) != HEARTH_EMODEL)
            fail_msg("lie %zu was believed", i);
}

static void a_file_that_others_may_write_or_a_link_is_refused(void **state)
{
    (void)state;
    assert_int_equal(put("one", 10, 'x'), HEARTH_OK);
    assert_int_equal(chmod(file_of("one"), 0620), 0);
    assert_int_equal(get("one"), HEARTH_EMODEL);
    assert_int_equal(put("one", 10, 'x'), HEARTH_OK);
    assert_int_equal(chmod(file_of("one"), 0602), 0);
    assert_int_equal(get("one"), HEARTH_EMODEL);
    assert_int_equal(put("two", 10, 'x'), HEARTH_OK);
    assert_int_equal(symlink(file_of("two"), file_of("one")), 0);
    assert_int_equal(get("one"), HEARTH_EMODEL);
    assert_int_equal(get("one"), HEARTH_ENOENT);
    assert_int_equal(get("two"), HEARTH_OK);
    assert_int_equal(mkfifo(file_of("one"), 0600), 0);
    assert_int_equal(get("one"), HEARTH_EMODEL);
}

static void a_file_under_anothers_name_is_refused(void **state)
{
    (void)state;
    assert_int_equal(put("one", 10, 'x'), HEARTH_OK);
    char from[160];
    snprintf(from, sizeof from, "%s", file_of("one"));
    assert_int_equal(rename(from, file_of("two")), 0);
    assert_int_equal(get("two"), HEARTH_EMODEL);
    assert_non_null(strstr(err.text, "belongs to something else"));
}

/* ---- The limit ---- */

#define SIZE (UINT64_C(64) << 10) /* and two pages */

static void use_at(const char *key, time_t s)
{
    const struct timespec times[] = {{.tv_sec = s}, {.tv_nsec = UTIME_OMIT}};
    assert_int_equal(utimensat(AT_FDCWD, file_of(key), times, 0), 0);
}

static void the_one_not_used_for_longest_makes_room(void **state)
{
    struct hearth_packs_stats stats;
    (void)state;
    open_dir(3 * SIZE + 8 * HEARTH_PACK_ALIGNMENT);
    assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
    assert_int_equal(put("two", SIZE, '2'), HEARTH_OK);
    assert_int_equal(put("three", SIZE, '3'), HEARTH_OK);
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.count, 3);
    assert_int_equal(stats.bytes, 3 * (SIZE + 2 * HEARTH_PACK_ALIGNMENT));
    use_at("one", 1000);
    use_at("two", 2000);
    use_at("three", 3000);
    assert_int_equal(get("one"), HEARTH_OK); /* now */
    assert_int_equal(put("four", SIZE, '4'), HEARTH_OK);
    assert_int_equal(get("two"), HEARTH_ENOENT);
    assert_int_equal(get("one"), HEARTH_OK);
    assert_int_equal(get("three"), HEARTH_OK);
    assert_int_equal(get("four"), HEARTH_OK);
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.evicted, 1);
    assert_true(stats.bytes <= stats.limit_bytes);
}

static void one_larger_than_the_limit_evicts_nobody(void **state)
{
    hearth_pack_put_t *p;
    char data[4096] = {0};
    (void)state;
    open_dir(4 * SIZE);
    assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
    assert_int_equal(put("large", 5 * SIZE, 'l'), HEARTH_ENOSPACE);
    assert_int_equal(get("one"), HEARTH_OK);
    /* One that did not say so ends in the middle. */
    const struct hearth_pack_put_config config = {.key = "k"};
    assert_int_equal(hearth_pack_put_begin(&p, packs, &config, &err),
                     HEARTH_OK);
    assert_int_equal(hearth_pack_put_section(p, 1), HEARTH_OK);
    int rc = HEARTH_OK;
    for (int i = 0; rc == HEARTH_OK && i < 100; i++)
        rc = hearth_pack_put_write(p, data, sizeof data);
    assert_int_equal(rc, HEARTH_ENOSPACE);
    assert_int_equal(hearth_pack_put_end(&p, &err), HEARTH_ENOSPACE);
    assert_int_equal(get("k"), HEARTH_ENOENT);
    assert_int_not_equal(access(in_dir("new-pack"), F_OK), 0);
    assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
}

static void a_limit_that_shrank_holds_from_the_next_write(void **state)
{
    struct hearth_packs_stats stats;
    (void)state;
    for (char i = 0; i < 8; i++)
        assert_int_equal(put((char[]){(char)('a' + i), '\0'}, SIZE, i),
                         HEARTH_OK);
    open_dir(3 * SIZE);
    assert_int_equal(put("z", SIZE, 'z'), HEARTH_OK);
    hearth_packs_stats(packs, &stats);
    assert_true(stats.bytes <= 3 * SIZE);
    assert_int_equal(get("z"), HEARTH_OK);
}

/* ---- Writers ---- */

static void one_writer_at_a_time_and_what_one_left_is_swept(void **state)
{
    hearth_pack_put_t *a, *b;
    hearth_packs_t *other;
    (void)state;
    assert_int_equal(hearth_packs_create(&other, dir, 0, &err), HEARTH_OK);
    const struct hearth_pack_put_config config = {.key = "k"};
    assert_int_equal(hearth_pack_put_begin(&a, packs, &config, &err),
                     HEARTH_OK);
    assert_int_equal(hearth_pack_put_begin(&b, packs, &config, &err),
                     HEARTH_EBUSY);
    assert_int_equal(hearth_pack_put_begin(&b, other, &config, &err),
                     HEARTH_EBUSY);
    assert_int_equal(hearth_pack_put_section(a, 1), HEARTH_OK);
    hearth_pack_put_abort(&a);
    assert_null(a);
    /* As a crash would leave it. */
    int fd = open(in_dir("new-pack"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(hearth_pack_put_begin(&b, other, &config, &err),
                     HEARTH_OK);
    assert_int_equal(hearth_pack_put_section(b, 1), HEARTH_OK);
    assert_int_equal(hearth_pack_put_end(&b, &err), HEARTH_OK);
    assert_int_equal(get("k"), HEARTH_OK);
    hearth_packs_destroy(&other);
}

/* Eight processes write and read the same names; each file is whole. */
static void processes_that_write_the_same_see_whole_files(void **state)
{
    pid_t pids[8];
    (void)state;
    for (int i = 0; i < 8; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        hearth_packs_t *own;
        int bad = hearth_packs_create(&own, dir, 4 * SIZE, &err) != HEARTH_OK;
        hearth_packs_destroy(&packs);
        packs = own;
        for (int k = 0; !bad && k < 20; k++) {
            const char key[] = {(char)('a' + k % 5), '\0'};
            hearth_pack_t *p;
            int rc = put(key, SIZE, key[0]);
            bad = rc != HEARTH_OK && rc != HEARTH_EBUSY;
            rc = hearth_pack_open(&p, packs, key, &err);
            bad = bad || (rc != HEARTH_OK && rc != HEARTH_ENOENT);
            if (rc == HEARTH_OK)
                bad = hearth_pack_verify(p, 9, NULL, NULL, &err) != HEARTH_OK;
            hearth_pack_close(&p);
        }
        _exit(bad);
    }
    for (int i = 0; i < 8; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

static void a_put_or_a_check_that_is_stopped_leaves_nothing(void **state)
{
    hearth_pack_put_t *p;
    hearth_pack_t *pack;
    static char data[4 << 20];
    int left = 2;
    (void)state;
    const struct hearth_pack_put_config config = {
        .key = "k", .stop = stop_third, .ctx = &left};
    assert_int_equal(hearth_pack_put_begin(&p, packs, &config, &err),
                     HEARTH_OK);
    assert_int_equal(hearth_pack_put_section(p, 1), HEARTH_OK);
    assert_int_equal(hearth_pack_put_write(p, data, sizeof data),
                     HEARTH_ECANCELED);
    assert_int_equal(hearth_pack_put_section(p, 2), HEARTH_ECANCELED);
    assert_int_equal(hearth_pack_put_end(&p, &err), HEARTH_ECANCELED);
    assert_int_equal(get("k"), HEARTH_ENOENT);
    assert_int_equal(put("k", sizeof data, 'x'), HEARTH_OK);
    assert_int_equal(hearth_pack_open(&pack, packs, "k", &err), HEARTH_OK);
    left = 2;
    assert_int_equal(hearth_pack_verify(pack, 9, stop_third, &left, &err),
                     HEARTH_ECANCELED);
    hearth_pack_close(&pack);
}

/* ---- Failures ---- */

static void a_disk_that_takes_no_more_leaves_what_was(void **state)
{
    struct rlimit before, small = {.rlim_cur = 2 * SIZE};
    struct hearth_packs_stats stats;
    (void)state;
    assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(put("two", 3 * SIZE, '2'), HEARTH_EIO);
    assert_int_equal(put("one", 3 * SIZE, '2'), HEARTH_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(get("two"), HEARTH_ENOENT);
    assert_int_equal(get("one"), HEARTH_OK);
    assert_int_not_equal(access(in_dir("new-pack"), F_OK), 0);
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.failed, 2);
    assert_int_equal(stats.written, 1);
}

static void a_directory_that_cannot_be_written_is_read(void **state)
{
    (void)state;
    if (geteuid() == 0) { /* root writes anywhere: a file in its place */
        assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
        assert_int_equal(remove(in_dir("lock")), 0);
        assert_int_equal(mkdir(in_dir("lock"), 0700), 0);
        assert_int_equal(put("two", SIZE, '2'), HEARTH_EIO);
        assert_int_equal(get("one"), HEARTH_OK);
        assert_int_equal(rmdir(in_dir("lock")), 0);
        return;
    }
    assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
    assert_int_equal(chmod(dir, 0500), 0);
    open_dir(0);
    assert_int_equal(get("one"), HEARTH_OK);
    assert_int_equal(put("two", SIZE, '2'), HEARTH_EIO);
}

static void a_directory_that_cannot_be_is_refused_with_a_text(void **state)
{
    hearth_packs_t *none;
    (void)state;
    assert_int_equal(hearth_packs_create(&none, "/dev/null/packs", 0, &err),
                     HEARTH_EIO);
    assert_null(none);
    assert_non_null(strstr(err.text, "/dev/null"));
    char key[HEARTH_PACK_KEY_MAX + 2];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_int_equal(put(key, 1, 'x'), HEARTH_ETOOBIG);
}

static void no_memory_at_any_point_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(put("one", SIZE, '1'), HEARTH_OK);
    uint64_t used = hearth_mem_used_bytes();
    for (int n = 1;; n++) {
        hearth_packs_t *own = NULL;
        hearth_mem_fail_at(n, true);
        int rc = hearth_packs_create(&own, dir, 0, &err);
        if (rc == HEARTH_OK) {
            hearth_packs_t *mine = packs;
            packs = own;
            rc = get("one");
            if (rc == HEARTH_OK)
                rc = put("two", SIZE, '2');
            packs = mine;
        }
        hearth_mem_fail_at(0, false);
        hearth_packs_destroy(&own);
        assert_int_equal(hearth_mem_used_bytes(), used);
        if (rc == HEARTH_OK) {
            assert_true(n > 3);
            break;
        }
        assert_int_equal(rc, HEARTH_ENOMEM);
    }
    assert_int_equal(get("two"), HEARTH_OK);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(what_is_written_is_mapped_aligned_and_verifies),
        CASE(what_is_warmed_is_read_and_mapped),
        CASE(padding_is_counted_from_the_section),
        CASE(a_change_of_any_byte_is_found),
        CASE(a_file_of_any_other_length_is_refused),
        CASE(a_sealed_lie_is_refused),
        CASE(a_file_that_others_may_write_or_a_link_is_refused),
        CASE(a_file_under_anothers_name_is_refused),
        CASE(the_one_not_used_for_longest_makes_room),
        CASE(one_larger_than_the_limit_evicts_nobody),
        CASE(a_limit_that_shrank_holds_from_the_next_write),
        CASE(one_writer_at_a_time_and_what_one_left_is_swept),
        CASE(processes_that_write_the_same_see_whole_files),
        CASE(a_put_or_a_check_that_is_stopped_leaves_nothing),
        CASE(a_disk_that_takes_no_more_leaves_what_was),
        CASE(a_directory_that_cannot_be_written_is_read),
        CASE(a_directory_that_cannot_be_is_refused_with_a_text),
        CASE(no_memory_at_any_point_leaves_nothing),
    };
    return cmocka_run_group_tests_name("pack", cases, NULL, NULL);
}
