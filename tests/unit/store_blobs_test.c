/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: what is put is there whole or not at all, within the budget, over a
 * restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blobs.h"

static char directory[] = "/tmp/hearth_blobs_XXXXXX";
static char dir[64];
static hearth_blobs_t *blobs;
static struct hearth_error err;

static void open_blobs(uint64_t limit)
{
    memset(&err, 0, sizeof(err));
    assert_int_equal(hearth_blobs_create(&blobs, dir, limit, &err), HEARTH_OK);
}

static struct hearth_digest digest_of(const char *text)
{
    struct hearth_digest digest;

    hearth_sha256(text, strlen(text), &digest);
    return digest;
}

static int put(const char *text, const struct hearth_digest *expected)
{
    hearth_blob_put_t *p;
    struct hearth_digest digest;
    uint64_t bytes;
    int status = hearth_blob_put_begin(&p, blobs, &err);

    if (status != HEARTH_OK)
        return status;
    for (const char *c = text; status == HEARTH_OK && *c; c++)
        status = hearth_blob_put_write(p, c, 1, &err);
    if (status != HEARTH_OK) {
        hearth_blob_put_abort(&p);
        assert_null(p);
        return status;
    }
    status = hearth_blob_put_end(&p, expected, &digest, &bytes, &err);
    assert_null(p);
    if (status == HEARTH_OK)
        assert_int_equal(bytes, strlen(text));
    return status;
}

static struct hearth_blobs_stats stats(void)
{
    struct hearth_blobs_stats s;

    hearth_blobs_stats(blobs, &s);
    return s;
}

static void expect_file(const char *text)
{
    struct hearth_digest digest = digest_of(text);
    char path[256], *read;
    size_t bytes;

    assert_true(hearth_blobs_pin(blobs, &digest));
    hearth_blobs_path(blobs, &digest, path, sizeof(path));
    assert_int_equal(hearth_read_file(path, 1000, &read, &bytes, &err), 0);
    assert_string_equal(read, text);
    hearth_free(read);
    hearth_blobs_unpin(blobs, &digest);
}

static void what_is_put_is_there_after_a_restart(void **state)
{
    struct hearth_digest digest = digest_of("hello");
    char path[256];

    (void)state;
    open_blobs(0);
    assert_int_equal(put("hello", &digest), HEARTH_OK);
    expect_file("hello");
    assert_int_equal(put("hello", NULL), HEARTH_OK); /* once only */
    assert_int_equal(stats().count, 1);
    assert_int_equal(stats().bytes, 5);
    hearth_blobs_destroy(&blobs);
    snprintf(path, sizeof(path), "%s/put-abc", dir); /* of a crash */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    open_blobs(0);
    assert_int_equal(stats().bytes, 5);
    expect_file("hello");
    assert_int_equal(access(path, F_OK), -1);
    hearth_blobs_destroy(&blobs);
}

static void another_digest_leaves_nothing(void **state)
{
    struct hearth_digest digest = digest_of("else");

    (void)state;
    open_blobs(0);
    uint64_t before = stats().bytes;
    assert_int_equal(put("something", &digest), HEARTH_EPROTO);
    assert_non_null(strstr(err.text, "send the file again"));
    assert_int_equal(stats().bytes, before);
    assert_false(hearth_blobs_pin(blobs, &digest));
    hearth_blobs_destroy(&blobs);
}

static void the_least_recently_used_make_room_and_pinned_ones_stay(void **state)
{
    struct hearth_digest a = digest_of("aaaa"), b = digest_of("bbbb"),
                         hello = digest_of("hello");

    (void)state;
    open_blobs(14);
    assert_int_equal(put("aaaa", NULL), HEARTH_OK); /* pinned by the put */
    assert_int_equal(put("bbbb", NULL), HEARTH_OK);
    assert_int_equal(stats().bytes, 13);
    assert_int_equal(put("cccc", NULL), HEARTH_OK); /* hello goes */
    assert_false(hearth_blobs_pin(blobs, &hello));
    assert_int_equal(stats().evictions, 1);
    assert_int_equal(put("dddddd", NULL), HEARTH_ENOSPACE);
    assert_non_null(strstr(err.text, "blob_bytes"));
    assert_int_equal(stats().bytes, 12);
    hearth_blobs_unpin(blobs, &a);
    hearth_blobs_unpin(blobs, &b);
    assert_int_equal(put("eeeeee", NULL), HEARTH_OK);
    assert_false(hearth_blobs_pin(blobs, &a));
    assert_int_equal(stats().bytes, 14);
    hearth_blobs_destroy(&blobs);
}

static void a_file_that_somebody_removed_comes_again(void **state)
{
    struct hearth_digest digest = digest_of("gone by hand");
    char path[256];

    (void)state;
    open_blobs(0);
    uint64_t before = stats().bytes;
    assert_int_equal(put("gone by hand", NULL), HEARTH_OK);
    hearth_blobs_unpin(blobs, &digest);
    hearth_blobs_path(blobs, &digest, path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    assert_false(hearth_blobs_pin(blobs, &digest));
    assert_int_equal(stats().bytes, before);
    assert_int_equal(put("gone by hand", NULL), HEARTH_OK);
    expect_file("gone by hand");
    hearth_blobs_destroy(&blobs);
}

#define RACERS 4
#define ROUNDS 300

/* Puts the same and something that pushes it out, all the time: whoever pins a
 * blob finds its file, and whole. */
static void *race(void *ctx)
{
    struct hearth_digest digest;
    struct hearth_error own = {0};
    char path[256], *text;
    size_t bytes;
    intptr_t bad = 0;

    (void)ctx;
    for (int i = 0; i < ROUNDS; i++) {
        hearth_blob_put_t *p;
        uint64_t count;
        const char *what = i % 2 ? "the same" : "another!";

        if (hearth_blob_put_begin(&p, blobs, &own) != HEARTH_OK)
            continue;
        if (hearth_blob_put_write(p, what, 8, &own) != HEARTH_OK) {
            hearth_blob_put_abort(&p);
            continue;
        }
        if (hearth_blob_put_end(&p, NULL, &digest, &count, &own) != HEARTH_OK)
            continue;
        hearth_blobs_path(blobs, &digest, path, sizeof(path));
        if (hearth_read_file(path, 100, &text, &bytes, &own) != HEARTH_OK) {
            bad++;
        } else {
            bad += strcmp(text, what) != 0;
            hearth_free(text);
        }
        hearth_blobs_unpin(blobs, &digest);
    }
    return (void *)bad;
}

static void a_put_and_an_eviction_of_the_same_do_not_meet(void **state)
{
    pthread_t threads[RACERS];
    void *bad;

    (void)state;
    open_blobs(40);
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, NULL), 0);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    assert_true(stats().bytes <= 40);
    hearth_blobs_destroy(&blobs);
}

static void a_descriptor_is_copied_from_its_start(void **state)
{
    char path[] = "/tmp/hearth_blob_fd_XXXXXX";
    struct hearth_digest digest, expected = digest_of("from a file");
    struct hearth_digest other = digest_of("other");
    uint64_t bytes;
    int fd = mkstemp(path), pipes[2];

    (void)state;
    open_blobs(0);
    assert_int_equal(write(fd, "from a file", 11), 11);
    for (int twice = 0; twice < 2; twice++) /* the second is only hashed */
        assert_int_equal(hearth_blobs_put_fd(blobs, fd, 100, &expected, &digest,
                                             &bytes, &err),
                         HEARTH_OK);
    expect_file("from a file");
    assert_int_equal(
        hearth_blobs_put_fd(blobs, fd, 100, &other, &digest, &bytes, &err),
        HEARTH_EPROTO);
    assert_int_equal(
        hearth_blobs_put_fd(blobs, fd, 5, NULL, &digest, &bytes, &err),
        HEARTH_ETOOBIG);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(
        hearth_blobs_put_fd(blobs, fd, 100, &expected, &digest, &bytes, &err),
        HEARTH_EPROTO); /* there, but this is not it */
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(
        hearth_blobs_put_fd(blobs, pipes[0], 5, NULL, &digest, &bytes, &err),
        HEARTH_EINVAL);
    close(pipes[0]);
    close(pipes[1]);
    close(fd);
    unlink(path);
    hearth_blobs_destroy(&blobs);
}

static void what_came_by_other_ways_is_adopted_or_left(void **state)
{
    struct hearth_digest digest = digest_of("12345");
    char path[96];

    (void)state;
    open_blobs(8);
    snprintf(path, sizeof(path), "%s/other-way", dir);
    for (int turn = 0; turn < 2; turn++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        assert_int_equal(write(fd, "12345", 5), 5);
        close(fd);
        if (turn == 0) /* room is taken before it comes */
            assert_int_equal(hearth_blobs_reserve(blobs, 9, &err),
                             HEARTH_ENOSPACE);
        /* The second finds the first one there, pinned. */
        if (turn == 1)
            assert_int_equal(hearth_blobs_reserve(blobs, 5, &err),
                             HEARTH_ENOSPACE);
        assert_int_equal(hearth_blobs_reserve(blobs, turn ? 3 : 5, &err),
                         HEARTH_OK);
        assert_int_equal(
            hearth_blobs_adopt(blobs, path, &digest, turn ? 3 : 5, &err),
            HEARTH_OK);
        assert_int_equal(stats().bytes, 5);
        assert_int_equal(access(path, F_OK), -1);
    }
    expect_file("12345");
    assert_int_equal(hearth_blobs_reserve(blobs, 3, &err), HEARTH_OK);
    assert_int_equal(hearth_blobs_adopt(blobs, path, &digest, 3, &err),
                     HEARTH_EIO); /* there is none */
    assert_int_equal(hearth_blobs_reserve(blobs, 3, &err), HEARTH_OK);
    hearth_blobs_give_back(blobs, 3);
    assert_int_equal(stats().bytes, 5);
    hearth_blobs_unpin(blobs, &digest);
    hearth_blobs_unpin(blobs, &digest);
    hearth_blobs_destroy(&blobs);
}

static void without_memory_nothing_is_left(void **state)
{
    uint64_t before, bytes;

    (void)state;
    open_blobs(0);
    before = hearth_mem_used_bytes();
    bytes = stats().bytes;
    for (int n = 1;; n++) {
        hearth_mem_fail_at(n, false);
        int status = put("without memory", NULL);
        hearth_mem_fail_at(0, false);
        if (status == HEARTH_OK) {
            assert_true(n > 2);
            break;
        }
        assert_int_equal(status, HEARTH_ENOMEM);
        assert_int_equal(hearth_mem_used_bytes(), before);
        assert_int_equal(stats().bytes, bytes);
    }
    hearth_blobs_destroy(&blobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_there_after_a_restart),
        cmocka_unit_test(another_digest_leaves_nothing),
        cmocka_unit_test(
            the_least_recently_used_make_room_and_pinned_ones_stay),
        cmocka_unit_test(a_file_that_somebody_removed_comes_again),
        cmocka_unit_test(a_put_and_an_eviction_of_the_same_do_not_meet),
        cmocka_unit_test(a_descriptor_is_copied_from_its_start),
        cmocka_unit_test(what_came_by_other_ways_is_adopted_or_left),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    char command[128];
    int failed;

    if (hearth_base_init() != 0 || mkdtemp(directory) == NULL)
        return 1;
    snprintf(dir, sizeof(dir), "%s/made/here", directory);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)snprintf(command, sizeof(command), "%s", directory);
    execlp("rm", "rm", "-rf", failed ? "/nonexistent" : command, (char *)NULL);
    return failed;
}
