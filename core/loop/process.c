/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c: signals through a signalfd, so that a callback is ordinary code
 * on the loop's thread; and child processes, reaped one by one by their id,
 * so that the children of a library are left to it.
 */
#include "config.h"

#include "loop/loop_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void reap_children(hearth_loop_t *loop)
{
    struct hearth_loop_child *done = NULL;
    struct hearth_loop_child **link = &loop->children;
    while (*link != NULL) {
        struct hearth_loop_child *child = *link;
        int wait_status = 0;
        pid_t rc = waitpid(child->pid, &wait_status, WNOHANG);
        if (rc == 0 || (rc < 0 && errno == EINTR)) {
            link = &child->next;
            continue;
        }
        /* ECHILD: somebody else reaped it; its end is all that is known. */
        *link = child->next;
        child->pid = 0;
        child->wait_status = rc > 0 ? wait_status : 0;
        child->next = done;
        done = child;
    }
    while (done != NULL) {
        struct hearth_loop_child *child = done;
        done = child->next;
        child->next = NULL;
        child->loop = NULL;
        child->fn(child, child->wait_status);
    }
}

static void on_signal(struct hearth_loop_fd *watch, unsigned events)
{
    (void)events;
    hearth_loop_t *loop = watch->loop;
    struct signalfd_siginfo info;
    while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int signum = (int)info.ssi_signo;
        if (signum == SIGCHLD)
            reap_children(loop);
        if (signum > 0 && signum < HEARTH_LOOP_SIGNALS &&
            loop->signals[signum].fn != NULL)
            loop->signals[signum].fn(loop->signals[signum].ctx, signum);
    }
}

/* Blocks <signum> and has it delivered to the loop. */
static apr_status_t watch_signal(hearth_loop_t *loop, int signum)
{
    if (sigismember(&loop->signal_set, signum) == 1)
        return 0;
    sigset_t set = loop->signal_set;
    sigaddset(&set, signum);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (rc != 0)
        return rc;
    bool started = loop->signal_watch.loop != NULL;
    int fd = signalfd(started ? loop->signal_watch.fd : -1, &set,
                      SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return errno;
    if (!started) {
        apr_status_t status = hearth_loop_fd_start(
            loop, &loop->signal_watch, fd, HEARTH_LOOP_READ, on_signal);
        if (status != 0) {
            close(fd);
            return status;
        }
    }
    loop->signal_set = set;
    return 0;
}

apr_status_t hearth_loop_signal(hearth_loop_t *loop, int signum,
                                void (*fn)(void *ctx, int signum), void *ctx)
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_LOOP_ASSERT_OWNER(loop);
    if (signum <= 0 || signum >= HEARTH_LOOP_SIGNALS || signum == SIGKILL ||
        signum == SIGSTOP)
        return HEARTH_EINVAL;
    apr_status_t status = watch_signal(loop, signum);
    if (status == 0)
        loop->signals[signum] = (struct hearth_loop_signal_slot){fn, ctx};
    return status;
}

void hearth__loop_signals_fini(hearth_loop_t *loop)
{
    if (loop->signal_watch.loop != NULL)
        close(loop->signal_watch.fd);
}

/* ---- Children ---- */

/* A new group, no blocked signal, default actions. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawnattr_setsigmask(attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attr, 0);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attr, (short)(POSIX_SPAWN_SETPGROUP |
                                                    POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF));
    return rc;
}

/* Makes <fds> the child's 0, 1, 2. They are moved out of that range first, so
 * that no dup2 overwrites the source of a later one; <moved> are to be closed
 * after the spawn. */
static int set_stdio(posix_spawn_file_actions_t *actions, const int fds[3],
                     int moved[3])
{
    for (int i = 0; i < 3; i++) {
        int fd = fds[i];
        if (fd < 0)
            continue;
        if (fd < 3 && fd != i) {
            moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
            if (moved[i] < 0)
                return errno;
            fd = moved[i];
        }
        int rc = posix_spawn_file_actions_adddup2(actions, fd, i);
        if (rc != 0)
            return rc;
    }
    return 0;
}

apr_status_t hearth_loop_child_start(hearth_loop_t *loop,
                                     struct hearth_loop_child *child,
                                     const struct hearth_loop_child_spec *spec,
                                     void (*fn)(struct hearth_loop_child *child,
                                                int wait_status))
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_LOOP_ASSERT_OWNER(loop);
    child->pid = 0;
    child->loop = NULL;
    apr_status_t status = watch_signal(loop, SIGCHLD);
    if (status != 0)
        return status;
    posix_spawnattr_t attr;
    status = posix_spawnattr_init(&attr);
    if (status != 0)
        return status;
    int moved[3] = {-1, -1, -1};
    posix_spawn_file_actions_t actions;
    status = posix_spawn_file_actions_init(&actions);
    if (status != 0) {
        posix_spawnattr_destroy(&attr);
        return status;
    }
    status = set_attributes(&attr);
    if (status == 0)
        status = set_stdio(&actions, spec->stdio, moved);
    if (status == 0 && spec->directory != NULL)
        status =
            posix_spawn_file_actions_addchdir_np(&actions, spec->directory);
    pid_t pid = 0;
    if (status == 0)
        status = posix_spawnp(
            &pid, spec->argv[0], &actions, &attr, (char *const *)spec->argv,
            spec->envp != NULL ? (char *const *)spec->envp : environ);
    if (status == 0) {
        child->pid = pid;
        child->fn = fn;
        child->loop = loop;
        child->next = loop->children;
        loop->children = child;
    }
    for (int i = 0; i < 3; i++)
        if (moved[i] >= 0)
            close(moved[i]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return status;
}

apr_status_t hearth_loop_child_kill(struct hearth_loop_child *child, int signum)
{
    if (child->pid <= 0)
        return HEARTH_ENOENT;
    /* Not reaped yet, so the group's id cannot have been given away. */
    return kill(-child->pid, signum) == 0 ? 0 : errno;
}
