/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop, mostly on a clock moved by hand. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

static struct hearth_manual_clock hand;
static hearth_loop_t *loop;
static char trace[64];

static int setup(void **state)
{
    (void)state;
    hearth_manual_clock_init(&hand, 1000);
    trace[0] = '\0';
    return hearth_loop_create(&loop, &hand.clock);
}

static int teardown(void **state)
{
    (void)state;
    hearth_loop_destroy(&loop);
    return loop != NULL;
}

static void note(char c)
{
    size_t n = strlen(trace);
    assert_true(n + 1 < sizeof trace);
    trace[n] = c;
    trace[n + 1] = '\0';
}

static void turn(void)
{
    assert_int_equal(hearth_loop_run_once(loop, 0), 0);
}

/* ---- Timers ---- */

struct named_timer {
    struct hearth_loop_timer timer; /* first */
    char name;
    struct named_timer *stops;
};

static void on_timer(struct hearth_loop_timer *timer)
{
    struct named_timer *t = (struct named_timer *)timer;
    note(t->name);
    if (t->stops != NULL)
        hearth_loop_timer_stop(&t->stops->timer);
}

static void timers_fire_in_order_of_time(void **state)
{
    (void)state;
    struct named_timer t[4] = {
        {.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};
    hearth_loop_timer_start(loop, &t[0].timer, 300, 0, on_timer);
    hearth_loop_timer_start(loop, &t[1].timer, 100, 0, on_timer);
    hearth_loop_timer_start(loop, &t[2].timer, 200, 0, on_timer);
    hearth_loop_timer_start(loop, &t[3].timer, -5, 0, on_timer);
    turn();
    assert_string_equal(trace, "d");
    hearth_manual_clock_advance(&hand, 99);
    turn();
    assert_string_equal(trace, "d");
    hearth_manual_clock_advance(&hand, 1);
    turn();
    assert_string_equal(trace, "db");
    hearth_manual_clock_advance(&hand, 500);
    turn();
    assert_string_equal(trace, "dbca");
    turn();
    assert_string_equal(trace, "dbca");
}

static void a_repeating_timer_does_not_make_up_for_missed_turns(void **state)
{
    (void)state;
    struct named_timer t = {.name = 'r'};
    hearth_loop_timer_start(loop, &t.timer, 10, 10, on_timer);
    hearth_manual_clock_advance(&hand, 35);
    turn();
    turn();
    assert_string_equal(trace, "r");
    hearth_manual_clock_advance(&hand, 10);
    turn();
    assert_string_equal(trace, "rr");
    hearth_loop_timer_stop(&t.timer);
    hearth_manual_clock_advance(&hand, 100);
    turn();
    assert_string_equal(trace, "rr");
}

static void
a_timer_stopped_by_another_of_the_same_turn_does_not_fire(void **state)
{
    (void)state;
    struct named_timer b = {.name = 'b'}, a = {.name = 'a', .stops = &b};
    hearth_loop_timer_start(loop, &a.timer, 1, 0, on_timer);
    hearth_loop_timer_start(loop, &b.timer, 2, 0, on_timer);
    hearth_manual_clock_advance(&hand, 5);
    turn();
    assert_string_equal(trace, "a");
    hearth_loop_timer_stop(&b.timer); /* allowed when it is not started */
}

static void many_timers_come_in_order(void **state)
{
    (void)state;
    enum { N = 2000 };
    static struct hearth_loop_timer timers[N];
    uint64_t x = 42;
    int64_t last = 0;
    memset(timers, 0, sizeof timers);
    for (int i = 0; i < N; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        hearth_loop_timer_start(loop, &timers[i], (int64_t)(x >> 50), 0, NULL);
    }
    for (int i = 0; i < N; i += 3)
        hearth_loop_timer_stop(&timers[i]);
    /* A callback would need a context: walk by time instead. */
    for (int i = 0; i < N; i++) {
        if (i % 3 == 0)
            assert_null(timers[i].loop);
        else
            assert_true(timers[i].at_us >= 1000);
        last = timers[i].at_us > last ? timers[i].at_us : last;
    }
    for (int i = 0; i < N; i++)
        hearth_loop_timer_stop(&timers[i]);
    assert_true(last > 1000);
}

/* ---- Posted work ---- */

struct named_work {
    struct hearth_loop_work work; /* first */
    char name;
    bool again;
};

static void on_work(struct hearth_loop_work *work)
{
    struct named_work *w = (struct named_work *)work;
    note(w->name);
    if (w->again) {
        w->again = false;
        assert_true(hearth_loop_post(loop, &w->work, on_work));
    }
}

static void work_runs_once_in_order_and_never_inside_the_post(void **state)
{
    (void)state;
    struct named_work a = {.name = 'a', .again = true}, b = {.name = 'b'};
    assert_true(hearth_loop_post(loop, &a.work, on_work));
    assert_true(hearth_loop_post(loop, &b.work, on_work));
    assert_false(hearth_loop_post(loop, &a.work, on_work));
    assert_string_equal(trace, "");
    turn();
    turn();
    assert_string_equal(trace, "aba");
    turn();
    assert_string_equal(trace, "aba");
}

static void work_that_is_taken_back_does_not_run(void **state)
{
    (void)state;
    struct named_work a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    hearth_loop_post(loop, &a.work, on_work);
    hearth_loop_post(loop, &b.work, on_work);
    hearth_loop_post(loop, &c.work, on_work);
    assert_true(hearth_loop_cancel(loop, &b.work));
    assert_false(hearth_loop_cancel(loop, &b.work));
    turn();
    assert_string_equal(trace, "ac");
}

enum { POSTS = 2000 };
struct counter {
    struct hearth_loop_work work; /* first */
    int *left;
};

static void count_down(struct hearth_loop_work *work)
{
    struct counter *c = (struct counter *)work;
    if (--*c->left == 0)
        hearth_loop_stop(loop);
}

static void *post_all(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < POSTS; i++)
        assert_true(hearth_loop_post(loop, &c[i].work, count_down));
    return NULL;
}

static void posts_of_two_threads_wake_a_waiting_loop(void **state)
{
    (void)state;
    static struct counter counters[2][POSTS];
    int left = 2 * POSTS;
    pthread_t threads[2];
    memset(counters, 0, sizeof counters);
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < POSTS; i++)
            counters[t][i].left = &left;
        assert_int_equal(
            pthread_create(&threads[t], NULL, post_all, counters[t]), 0);
    }
    assert_int_equal(hearth_loop_run(loop), 0);
    for (int t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(left, 0);
}

/* ---- Descriptors ---- */

static void on_fd(struct hearth_loop_fd *fd, unsigned events)
{
    char c;
    if (events & HEARTH_LOOP_READ && read(fd->fd, &c, 1) == 1)
        note(c);
    if (events & HEARTH_LOOP_WRITE)
        note('w');
    if (events & HEARTH_LOOP_HUP)
        note('h');
}

static void a_descriptor_tells_what_it_is_asked_for(void **state)
{
    (void)state;
    int pair[2];
    struct hearth_loop_fd watch = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(
        hearth_loop_fd_start(loop, &watch, pair[0], HEARTH_LOOP_READ, on_fd),
        0);
    turn();
    assert_string_equal(trace, "");
    assert_int_equal(write(pair[1], "xy", 2), 2);
    turn();
    assert_string_equal(trace, "x");
    turn(); /* level triggered */
    assert_string_equal(trace, "xy");
    hearth_loop_fd_interest(&watch, HEARTH_LOOP_WRITE);
    turn();
    assert_string_equal(trace, "xyw");
    hearth_loop_fd_interest(&watch, HEARTH_LOOP_HUP);
    turn();
    assert_string_equal(trace, "xyw");
    shutdown(pair[1], SHUT_WR);
    turn();
    assert_string_equal(trace, "xywh");
    hearth_loop_fd_stop(&watch);
    hearth_loop_fd_stop(&watch);
    turn();
    assert_string_equal(trace, "xywh");
    close(pair[0]);
    close(pair[1]);
}

struct pair_watch {
    struct hearth_loop_fd watch; /* first */
    struct pair_watch *other;
};

static void stop_both(struct hearth_loop_fd *fd, unsigned events)
{
    struct pair_watch *p = (struct pair_watch *)fd;
    (void)events;
    note('s');
    hearth_loop_fd_stop(&p->other->watch);
    hearth_loop_fd_stop(&p->watch);
}

static void a_descriptor_stopped_in_the_same_turn_is_not_called(void **state)
{
    (void)state;
    int a[2], b[2];
    struct pair_watch wa = {0}, wb = {0};
    wa.other = &wb;
    wb.other = &wa;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    hearth_loop_fd_start(loop, &wa.watch, a[0], HEARTH_LOOP_READ, stop_both);
    hearth_loop_fd_start(loop, &wb.watch, b[0], HEARTH_LOOP_READ, stop_both);
    turn();
    assert_string_equal(trace, "s");
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

/* ---- Signals and children ---- */

static void on_signal(void *ctx, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    note(*(char *)ctx);
}

static void a_signal_comes_as_a_callback(void **state)
{
    (void)state;
    char name = 'u';
    assert_int_equal(hearth_loop_signal(loop, SIGUSR1, on_signal, &name), 0);
    kill(getpid(), SIGUSR1);
    turn();
    assert_string_equal(trace, "u");
    assert_int_equal(hearth_loop_signal(loop, SIGUSR1, NULL, NULL), 0);
    kill(getpid(), SIGUSR1);
    turn();
    assert_string_equal(trace, "u");
}

static void stop_at_timer(struct hearth_loop_timer *timer)
{
    note('t');
    (void)timer;
    hearth_loop_stop(loop);
}

static int ended_status;

static void on_child(struct hearth_loop_child *child, int wait_status)
{
    (void)child;
    ended_status = wait_status;
    note('c');
    hearth_loop_stop(loop);
}

static void a_child_is_reaped_and_its_status_told(void **state)
{
    (void)state;
    struct hearth_loop_child child = {0};
    struct hearth_loop_child_spec spec = {
        .argv = (const char *const[]){"sh", "-c", "exit 7", NULL},
        .stdio = {-1, -1, -1}};
    assert_int_equal(hearth_loop_child_start(loop, &child, &spec, on_child), 0);
    assert_int_equal(hearth_loop_run(loop), 0);
    assert_true(WIFEXITED(ended_status));
    assert_int_equal(WEXITSTATUS(ended_status), 7);
    assert_int_equal(hearth_loop_child_kill(&child, SIGTERM), HEARTH_ENOENT);

    spec.argv = (const char *const[]){"sleep", "1000", NULL};
    assert_int_equal(hearth_loop_child_start(loop, &child, &spec, on_child), 0);
    assert_int_equal(hearth_loop_child_kill(&child, SIGTERM), 0);
    assert_int_equal(hearth_loop_run(loop), 0);
    assert_true(WIFSIGNALED(ended_status));
    assert_int_equal(WTERMSIG(ended_status), SIGTERM);

    spec.argv = (const char *const[]){"/no/such/program", NULL};
    assert_true(APR_STATUS_IS_ENOENT(
        hearth_loop_child_start(loop, &child, &spec, on_child)));
    assert_string_equal(trace, "cc");
}

static void a_child_gets_its_descriptors_directory_and_environment(void **state)
{
    (void)state;
    int in[2], out[2];
    char text[64] = "";
    struct hearth_loop_child child = {0};
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct hearth_loop_child_spec spec = {
        .argv =
            (const char *const[]){"/bin/sh", "-c",
                                  "read x; pwd; echo $x $NAME >&2; echo $HOME",
                                  NULL},
        .envp = (const char *const[]){"NAME=value", NULL},
        .directory = "/",
        .stdio = {in[0], out[1], out[1]}};
    assert_int_equal(write(in[1], "said\n", 5), 5);
    assert_int_equal(hearth_loop_child_start(loop, &child, &spec, on_child), 0);
    close(in[0]);
    close(in[1]);
    close(out[1]);
    assert_int_equal(hearth_loop_run(loop), 0);
    assert_true(WIFEXITED(ended_status));
    size_t bytes = 0;
    for (ssize_t n;
         (n = read(out[0], text + bytes, sizeof text - 1 - bytes)) > 0;)
        bytes += (size_t)n;
    assert_string_equal(text, "/\nsaid value\n\n");
    close(out[0]);
}

static void killing_a_child_kills_its_whole_group(void **state)
{
    (void)state;
    int out[2];
    char c;
    struct hearth_loop_child child = {0};
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct hearth_loop_child_spec spec = {
        .argv =
            (const char *const[]){"sh", "-c", "sleep 1000 & echo; wait", NULL},
        .stdio = {-1, out[1], -1}};
    assert_int_equal(hearth_loop_child_start(loop, &child, &spec, on_child), 0);
    close(out[1]);
    assert_int_equal(read(out[0], &c, 1), 1); /* both are there */
    assert_int_equal(hearth_loop_child_kill(&child, SIGKILL), 0);
    assert_int_equal(hearth_loop_run(loop), 0);
    assert_true(WIFSIGNALED(ended_status));
    assert_int_equal(read(out[0], &c, 1), 0); /* nobody holds it open */
    close(out[0]);
}

static void a_stop_before_the_run_ends_that_run_only(void **state)
{
    (void)state;
    struct hearth_loop_timer timer = {0};
    hearth_loop_stop(loop);
    assert_int_equal(hearth_loop_run(loop), 0);
    hearth_loop_timer_start(loop, &timer, 0, 0, stop_at_timer);
    assert_int_equal(hearth_loop_run(loop), 0);
    assert_string_equal(trace, "t");
}

static void a_loop_without_memory_is_not_made(void **state)
{
    (void)state;
    uint64_t start = hearth_mem_used_bytes();
    hearth_loop_t *other = NULL;
    hearth_mem_fail_at(1, true);
    apr_status_t rc = hearth_loop_create(&other, NULL);
    hearth_mem_fail_at(0, false);
    assert_int_equal(rc, HEARTH_ENOMEM);
    assert_null(other);
    assert_int_equal(hearth_mem_used_bytes(), start);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_order_of_time),
        TEST(a_repeating_timer_does_not_make_up_for_missed_turns),
        TEST(a_timer_stopped_by_another_of_the_same_turn_does_not_fire),
        TEST(many_timers_come_in_order),
        TEST(work_runs_once_in_order_and_never_inside_the_post),
        TEST(work_that_is_taken_back_does_not_run),
        TEST(posts_of_two_threads_wake_a_waiting_loop),
        TEST(a_descriptor_tells_what_it_is_asked_for),
        TEST(a_descriptor_stopped_in_the_same_turn_is_not_called),
        TEST(a_signal_comes_as_a_callback),
        TEST(a_child_is_reaped_and_its_status_told),
        TEST(a_child_gets_its_descriptors_directory_and_environment),
        TEST(killing_a_child_kills_its_whole_group),
        TEST(a_stop_before_the_run_ends_that_run_only),
        TEST(a_loop_without_memory_is_not_made),
    };
    return hearth_base_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
