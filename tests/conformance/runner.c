/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner.c: runs cases of tests/conformance/run on a device, in process, and
 * says of each whether it passed. `runner DEVICE LIST`: LIST has a line
 * "ID<TAB>DIRECTORY" a case; the answer is a line
 * "passed|failed|unsupported<TAB>ID<TAB>why" a case, in that order.
 *
 * A child does the cases and writes a line as each ends; its parent starts
 * another one behind a case that killed it or took too long. A device is opened
 * once a child, and everything taken from it for a case is given back.
 */
#include "conformance/case.h"

#include "exec/exec.h"
#include "model/model.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 60000 /* a case, under the sanitizers too */

struct item {
    const char *id, *directory;
};

/* ---- The child: one device, case after case ---- */

struct bench {
    hearth_device_t **devices;
    uint32_t count;
    hearth_loop_t *loop;
    hearth_exec_t *exec;
    uint64_t idle_bytes;
};

static hearth_loop_t *the_loop;

static void on_done(struct hearth_exec_task *task)
{
    *(bool *)task->owner = true;
    hearth_loop_stop(the_loop);
}

static int perform(struct bench *b, struct hearth_exec_task *task,
                   enum hearth_exec_kind kind)
{
    bool over = false;
    task->kind = kind;
    task->done = on_done;
    task->owner = &over;
    hearth_exec_submit(b->exec, task);
    while (!over)
        (void)hearth_loop_run(b->loop);
    return task->status;
}

static int bench_open(struct bench *b, const char *list,
                      struct hearth_error *err)
{
    memset(b, 0, sizeof *b);
    int rc = hearth_loop_create(&b->loop, NULL);
    the_loop = b->loop;
    if (rc == HEARTH_OK)
        rc = hearth_devices_open(list, NULL, 0, false, &b->devices, &b->count,
                                 err);
    if (rc == HEARTH_OK)
        rc = hearth_exec_create(&b->exec, b->devices, b->count, b->loop,
                                hearth_clock_real(), err);
    if (rc == HEARTH_OK)
        b->idle_bytes =
            b->devices[0]->plugin->memory->used_bytes(b->devices[0]->dev);
    return rc;
}

static void bench_close(struct bench *b)
{
    hearth_exec_destroy(&b->exec);
    if (b->devices != NULL)
        hearth_devices_close(&b->devices, b->count);
    hearth_loop_destroy(&b->loop);
}

static enum verdict judge(int status, const struct hearth_error *err,
                          const char *what, char *why, size_t size)
{
    snprintf(why, size, "%s: %s: %s", what, hearth_status_name(status),
             err->text);
    return status == HEARTH_EUNSUPPORTED ? UNSUPPORTED : FAILED;
}

static int run_once(struct bench *b, struct hearth_exec_task *task)
{
    int rc = perform(b, task, HEARTH_EXEC_RUN);
    while (rc == HEARTH_EAGAIN && task->need_arena_bytes > 0) {
        struct hearth_exec_task arena = {.arena_bytes = task->need_arena_bytes};
        rc = perform(b, &arena, HEARTH_EXEC_ARENA);
        if (rc != HEARTH_OK)
            task->error = arena.error;
        else
            rc = perform(b, task, HEARTH_EXEC_RUN);
    }
    return rc;
}

static enum verdict run_sets(struct bench *b, struct hearth_exec_task *task,
                             const struct test_case *c, char *why, size_t size)
{
    for (uint32_t i = 0; i < c->set_count; i++) {
        struct hearth_tensor_list outputs = {0};
        task->inputs = &c->sets[i].inputs;
        task->outputs = &outputs;
        task->deadline_us = INT64_MAX;
        int rc = run_once(b, task);
        bool same = rc == HEARTH_OK &&
                    case_compare(c, &c->sets[i].outputs, &outputs, why, size);
        hearth_tensor_list_clear(&outputs);
        if (rc != HEARTH_OK)
            return judge(rc, &task->error, "run", why, size);
        if (!same)
            return FAILED;
    }
    return PASSED;
}

static enum verdict run_model(struct bench *b, const hearth_model_t *model,
                              const struct test_case *c, char *why, size_t size)
{
    const hearth_device_t *d = b->devices[0];
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    struct hearth_error err = {0};
    struct hearth_exec_task task = {.graph = hearth_model_graph(model),
                                    .weights = hearth_model_weights(model)};
    struct hearth_exec_task none = {.arena_bytes = 0};
    int rc = d->plugin->model->footprint(d->dev, task.graph, task.weights, NULL,
                                         &fp, &err);
    if (rc != HEARTH_OK)
        return judge(rc, &err, "footprint", why, size);
    rc = perform(b, &task, HEARTH_EXEC_LOAD);
    if (rc != HEARTH_OK)
        return judge(rc, &task.error, "load", why, size);
    enum verdict verdict = run_sets(b, &task, c, why, size);
    (void)perform(b, &task, HEARTH_EXEC_UNLOAD);
    (void)perform(b, &none, HEARTH_EXEC_ARENA);
    uint64_t used = d->plugin->memory->used_bytes(d->dev);
    if (verdict == PASSED && used != b->idle_bytes) {
        snprintf(why, size, "%llu bytes of the device were not given back",
                 (unsigned long long)(used - b->idle_bytes));
        verdict = FAILED;
    }
    return verdict;
}

static enum verdict run_case(struct bench *b, const struct item *item,
                             char *why, size_t size)
{
    struct hearth_error err = {0};
    hearth_model_t *model;
    struct test_case c;
    char path[1024];
    why[0] = '\0';
    if (!case_read(&c, item->directory, why, size))
        return FAILED;
    snprintf(path, sizeof path, "%s/model.onnx", item->directory);
    int rc = hearth_model_open(&model, path, NULL, &err);
    enum verdict verdict;
    if (rc != HEARTH_OK) {
        /* The path is a temporary one: of no use to who reads the line. */
        const char *text = strstr(err.text, "model.onnx: ");
        hearth_fail(&err, rc, "%s", text != NULL ? text + 12 : err.text);
        verdict = judge(rc, &err, "import", why, size);
    } else if (c.set_count == 0) {
        snprintf(why, size, "import: its data has a type that Hearth lacks");
        verdict = UNSUPPORTED;
    } else {
        verdict = run_model(b, model, &c, why, size);
    }
    if (rc == HEARTH_OK)
        hearth_model_close(&model);
    case_free(&c);
    return verdict;
}

static const char *const verdicts[] = {
    [PASSED] = "passed", [FAILED] = "failed", [UNSUPPORTED] = "unsupported"};

static bool say(int fd, enum verdict verdict, const char *id, const char *why)
{
    char line[1024];
    int bytes = snprintf(line, sizeof line, "%s\t%.200s\t%.700s\n",
                         verdicts[verdict], id, why);
    return write(fd, line, (size_t)bytes) == bytes;
}

/* Exits. 3: the device does not open. */
static void child(const char *device, const struct item *items, uint32_t first,
                  uint32_t count, int fd)
{
    struct hearth_error err = {0};
    struct bench b;
    char why[640];
    if (hearth_base_init() != 0 || bench_open(&b, device, &err) != HEARTH_OK) {
        fprintf(stderr, "runner: %s: %s\n", device, err.text);
        exit(3);
    }
    for (uint32_t i = first; i < count; i++) {
        enum verdict verdict = run_case(&b, &items[i], why, sizeof why);
        if (!say(fd, verdict, items[i].id, why))
            exit(1);
    }
    bench_close(&b);
    exit(0);
}

/* ---- The parent ---- */

/* Copies lines from <fd> to the standard output, counting them. False: nothing
 * came for too long. */
static bool copy_lines(int fd, uint32_t *done)
{
    char buf[65536];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, LIMIT_MS);
        if (n == 0)
            return false;
        ssize_t got = n > 0 ? read(fd, buf, sizeof buf) : 0;
        if (got <= 0)
            return true;
        for (ssize_t i = 0; i < got; i++)
            *done += buf[i] == '\n';
        fwrite(buf, 1, (size_t)got, stdout);
        fflush(stdout);
    }
}

/* False: the device does not open. */
static bool run_some(const char *device, const struct item *items,
                     uint32_t *first, uint32_t count)
{
    char why[64];
    int fds[2], status = 0;
    fflush(stdout);
    if (pipe(fds) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(device, items, *first, count, fds[1]);
    }
    close(fds[1]);
    if (pid < 0)
        return false;
    bool in_time = copy_lines(fds[0], first);
    if (!in_time)
        kill(pid, SIGKILL);
    close(fds[0]);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
        return false;
    if (*first == count)
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!in_time)
        snprintf(why, sizeof why, "took longer than %d s", LIMIT_MS / 1000);
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "crashed: signal %d", WTERMSIG(status));
    else
        snprintf(why, sizeof why, "crashed: exit status %d",
                 WEXITSTATUS(status));
    printf("%s\t%s\t%s\n", verdicts[FAILED], items[*first].id, why);
    ++*first;
    return true;
}

static struct item *read_list(const char *path, uint32_t *count)
{
    struct item *items = NULL;
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(path, "r");
    *count = 0;
    while (f != NULL && getline(&line, &room, f) > 0) {
        char *tab = strchr(line, '\t');
        struct item *more =
            realloc(items, ((size_t)*count + 1) * sizeof *items);
        if (tab == NULL || more == NULL)
            break;
        items = more;
        *tab = '\0';
        tab[1 + strcspn(tab + 1, "\n")] = '\0';
        items[(*count)++] = (struct item){strdup(line), strdup(tab + 1)};
    }
    free(line);
    if (f != NULL)
        fclose(f);
    return items;
}

int main(int argc, char **argv)
{
    uint32_t count, first = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: runner DEVICE LIST\n");
        return 2;
    }
    struct item *items = read_list(argv[2], &count);
    bool ok = items != NULL;
    if (!ok)
        fprintf(stderr, "runner: %s: no cases\n", argv[2]);
    while (ok && first < count)
        ok = run_some(argv[1], items, &first, count);
    for (uint32_t i = 0; i < count; i++) {
        free((char *)items[i].id);
        free((char *)items[i].directory);
    }
    free(items);
    return ok ? 0 : 1;
}
