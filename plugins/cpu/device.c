/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c: the CPU as a device: its cores, its memory, a queue on which
 * everything is over at once, and the plugin's descriptor.
 *
 * OpenMP's team belongs to the thread that runs a region, so each thread that
 * drives the device sets its team's size once, and its own cores before that:
 * the team's threads inherit them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* sched_setaffinity */
#endif
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "config.h"
#include "cpu.h"

#define CORES_MAX 1024

const struct hearth_host *cpu_host;

/* Of the process, before a device's thread was bound to some of them. */
static cpu_set_t allowed_cores;

/* ---- Threads ---- */

static bool core_is_set(const uint64_t *cores, int i)
{
    return cores[i / 64] >> (i % 64) & 1;
}

void cpu_bind_thread(hearth_dev_t *dev)
{
    static __thread uint64_t bound; /* a device's number, not its address */
    static __thread bool narrowed;
    if (bound == dev->number)
        return;
    bound = dev->number;
    if (dev->pinned || narrowed) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (int i = 0; i < CORES_MAX; i++)
            if (core_is_set(dev->cores, i))
                CPU_SET(i, &set);
        (void)sched_setaffinity(0, sizeof set, &set); /* checked at open */
        narrowed = dev->pinned;
    }
#ifdef _OPENMP
    omp_set_num_threads(dev->threads);
#endif
}

int cpu_team_begin_of(int threads)
{
#ifdef _OPENMP
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
#else
    (void)threads;
    return 1;
#endif
}

int cpu_team_begin(const hearth_dev_t *dev)
{
    return cpu_team_begin_of(dev->threads);
}

void cpu_team_end(int before)
{
#ifdef _OPENMP
    omp_set_num_threads(before);
#else
    (void)before;
#endif
}

/* ---- The spec: a core list, switches ---- */

static bool parse_core(const char **text, long *core)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *core = strtol(*text, &end, 10);
    *text = end;
    return *core < CORES_MAX;
}

/* "0-3" or "6" */
static bool parse_range(const char *text, uint64_t *cores)
{
    long first, last;
    if (!parse_core(&text, &first))
        return false;
    last = first;
    if (*text == '-' && (text++, !parse_core(&text, &last)))
        return false;
    if (*text != '\0' || last < first)
        return false;
    for (long i = first; i <= last; i++)
        cores[i / 64] |= UINT64_C(1) << (i % 64);
    return true;
}

/* Digits and a binary or decimal unit. */
static bool parse_bytes(const char *text, uint64_t *bytes)
{
    static const struct {
        const char *name;
        uint64_t value;
    } units[] = {{"", 1},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"MiB", UINT64_C(1) << 20},
                 {"GiB", UINT64_C(1) << 30}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    for (size_t i = 0; errno == 0 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].name) == 0)
            return !__builtin_mul_overflow(n, units[i].value, bytes) &&
                   *bytes > 0;
    return false;
}

static bool parse_switch(const char *text, bool *on)
{
    *on = strcmp(text, "on") == 0;
    return *on || strcmp(text, "off") == 0;
}

static int parse_spec(hearth_dev_t *dev, const char *spec,
                      struct hearth_error *err)
{
    char item[64];
    while (*spec != '\0') {
        size_t length = strcspn(spec, ",");
        snprintf(item, sizeof item, "%.*s", (int)length, spec);
        spec += length + (spec[length] == ',');
        bool ok = length < sizeof item;
        if (ok && strncmp(item, "mem=", 4) == 0)
            ok = parse_bytes(item + 4, &dev->limit);
        else if (ok && strncmp(item, "winograd=", 9) == 0)
            ok = parse_switch(item + 9, &dev->winograd);
        else if (ok && strncmp(item, "chains=", 7) == 0)
            ok = parse_switch(item + 7, &dev->chains);
        else if (ok && strncmp(item, "tune=", 5) == 0)
            ok = parse_switch(item + 5, &dev->tune);
        else if (ok && strncmp(item, "profile=", 8) == 0)
            ok = parse_switch(item + 8, &dev->profile);
        else if (ok)
            ok = dev->pinned = parse_range(item, dev->cores);
        if (!ok)
            return hearth_fail(err, HEARTH_ECONFIG,
                               "cpu: '%.60s' is neither a core list "
                               "(\"0-3\"), mem=SIZE (\"mem=2GiB\") nor "
                               "winograd=, chains=, tune= or profile= with on "
                               "or off",
                               item);
    }
    return HEARTH_OK;
}

int cpu_quota_cores(const char *text)
{
    long long quota, period;
    if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 ||
        period <= 0 || (quota - 1) / period >= CORES_MAX)
        return CORES_MAX;
    return (int)((quota - 1) / period) + 1;
}

/* A container may see every core and have the time of one: more threads than
 * that only wait for each other until the next period. */
static int quota_of_container(void)
{
    static const char *const files[][2] = {
        {"/sys/fs/cgroup/cpu.max", NULL},
        {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
         "/sys/fs/cgroup/cpu/cpu.cfs_period_us"}};
    char text[96] = "";
    for (int i = 0; i < 2 && text[0] == '\0'; i++)
        for (int k = 0; k < 2 && files[i][k] != NULL; k++) {
            size_t at = strlen(text);
            FILE *f = fopen(files[i][k], "re");
            if (f == NULL)
                continue;
            if (fgets(text + at, 48, f) != NULL)
                text[strcspn(text, "\n")] = ' ';
            fclose(f);
        }
    return cpu_quota_cores(text);
}

/* Of the cores that this process may use those that were asked for; all when
 * none was. */
static int choose_cores(hearth_dev_t *dev, struct hearth_error *err)
{
    for (int i = 0; i < CORES_MAX; i++) {
        bool allowed = CPU_ISSET(i, &allowed_cores);
        if (!dev->pinned && allowed)
            dev->cores[i / 64] |= UINT64_C(1) << (i % 64);
        if (!core_is_set(dev->cores, i))
            continue;
        if (!allowed)
            return hearth_fail(err, HEARTH_ECONFIG,
                               "cpu: core %d is not there, or not allowed to "
                               "this process; choose others",
                               i);
        dev->threads++;
    }
    int quota = dev->pinned ? CORES_MAX : quota_of_container();
    if (dev->threads > quota)
        dev->threads = quota;
#ifndef _OPENMP
    dev->threads = 1;
#endif
    return HEARTH_OK;
}

/* ---- plugin ---- */

static int plugin_init(const struct hearth_host *host, struct hearth_error *err)
{
    CPU_ZERO(&allowed_cores);
    if (sched_getaffinity(0, sizeof allowed_cores, &allowed_cores) != 0)
        return hearth_fail(err, HEARTH_EDEVICE,
                           "cpu: the allowed cores cannot be read: %s; have "
                           "at most %d",
                           strerror(errno), CORES_MAX);
    cpu_host = host;
    cpu_kernels_forget();
    return HEARTH_OK;
}

static const char *isa(int *block)
{
    const unsigned now = dnnl_get_effective_cpu_isa();
    const unsigned avx512 = dnnl_cpu_isa_avx512_core, avx2 = dnnl_cpu_isa_avx2;
    *block = (now & avx512) == avx512 ? 16 : 8;
    return *block == 16 ? "avx512" : (now & avx2) == avx2 ? "avx2" : "generic";
}

static int plugin_probe(struct hearth_probe *probe, struct hearth_error *err)
{
    (void)err;
    int block;
    const dnnl_version_t *v = dnnl_version();
    probe->device_count = 1;
    probe->score = 10;
    snprintf(probe->sentence, sizeof probe->sentence, "%s, oneDNN %d.%d.%d",
             isa(&block), v->major, v->minor, v->patch);
    return HEARTH_OK;
}

static void read_name(char *name, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(name, size, "CPU");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && value != NULL) {
            value[strcspn(value, "\n")] = '\0';
            snprintf(name, size, "%.60s", value + 2);
            break;
        }
    }
    if (f != NULL)
        fclose(f);
}

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL || fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (f != NULL)
        fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What all memory of the host, or of this container, is. */
static uint64_t host_bytes(void)
{
    static const char *const limits[] = {
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t bytes =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 2; i++) {
        unsigned long long limit;
        FILE *f = fopen(limits[i], "re");
        if (f != NULL && fscanf(f, "%llu", &limit) == 1 && limit < bytes)
            bytes = limit;
        if (f != NULL)
            fclose(f);
    }
    return bytes;
}

static void plugin_close(hearth_dev_t *dev)
{
    if (dev->stream != NULL)
        dnnl_stream_destroy(dev->stream);
    if (dev->load_stream != NULL)
        dnnl_stream_destroy(dev->load_stream);
    if (dev->engine != NULL)
        dnnl_engine_destroy(dev->engine);
    pthread_mutex_destroy(&dev->tuning);
    free(dev->tuned);
    free(dev);
}

static int plugin_open(const struct hearth_open_config *config,
                       hearth_dev_t **out, struct hearth_error *err)
{
    static uint64_t numbers;
    hearth_dev_t *dev = cpu_calloc(1, sizeof *dev);
    if (dev == NULL)
        return cpu_no_memory(err);
    dev->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
    dev->winograd = dev->chains = true;
    dev->tune = config->struct_bytes >
                    offsetof(struct hearth_open_config, keeps_lowered) &&
                config->keeps_lowered;
    pthread_mutex_init(&dev->tuning, NULL);
    int rc = parse_spec(dev, config->spec, err);
    if (rc == HEARTH_OK)
        rc = choose_cores(dev, err);
    if (rc == HEARTH_OK) {
        /* What the first start takes, the libraries keep for good. */
        static uint64_t library_bytes;
        uint64_t before = resident_bytes(), none = 0;
        dnnl_status_t status = dnnl_engine_create(&dev->engine, dnnl_cpu, 0);
        if (status == dnnl_success)
            status = dnnl_stream_create(&dev->stream, dev->engine,
                                        dnnl_stream_default_flags);
        if (status == dnnl_success)
            status = dnnl_stream_create(&dev->load_stream, dev->engine,
                                        dnnl_stream_default_flags);
        if (status != dnnl_success)
            rc = cpu_dnnl_failed(status, "its start", err);
        uint64_t after = resident_bytes();
        after = after > before ? after - before : 1;
        (void)__atomic_compare_exchange_n(&library_bytes, &none, after, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        dev->overhead = __atomic_load_n(&library_bytes, __ATOMIC_ACQUIRE);
    }
    if (rc != HEARTH_OK) {
        plugin_close(dev);
        return rc;
    }
    uint64_t all = host_bytes();
    if (dev->limit == 0 || dev->limit > all)
        dev->limit = all;
    if (config->memory_limit > 0 && config->memory_limit < dev->limit)
        dev->limit = config->memory_limit;
    dev->used = dev->overhead;
    read_name(dev->name, sizeof dev->name);
    snprintf(dev->arch, sizeof dev->arch, "%s", isa(&dev->block));
    *out = dev;
    return HEARTH_OK;
}

static const struct hearth_plugin_calls plugin_calls = {
    .struct_bytes = sizeof plugin_calls,
    .init = plugin_init,
    .probe = plugin_probe,
    .open = plugin_open,
    .close = plugin_close,
};

/* ---- device ---- */

static int device_properties(hearth_dev_t *dev,
                             struct hearth_device_properties *out,
                             struct hearth_error *err)
{
    (void)err;
    uint64_t used = __atomic_load_n(&dev->used, __ATOMIC_ACQUIRE);
    out->caps = HEARTH_CAP_HOST_MEMORY | HEARTH_CAP_LOAD_BESIDE_RUN;
    memcpy(out->name, dev->name, sizeof out->name);
    memcpy(out->arch, dev->arch, sizeof out->arch);
    snprintf(out->uuid, sizeof out->uuid, "cpu");
    out->bytes_total = dev->limit;
    out->bytes_free = used < dev->limit ? dev->limit - used : 0;
    out->overhead_bytes = dev->overhead;
    out->alignment = CPU_ALIGNMENT;
    out->units = (uint32_t)dev->threads;
    return HEARTH_OK;
}

static int device_health(hearth_dev_t *dev, struct hearth_error *err)
{
    (void)dev;
    (void)err;
    return HEARTH_OK;
}

static const struct hearth_device_calls device_calls = {
    .struct_bytes = sizeof device_calls,
    .properties = device_properties,
    .health = device_health,
};

/* ---- queue: everything is over when it returns ---- */

struct hearth_queue {
    hearth_dev_t *dev;
};
struct hearth_event {
    char unused;
};

static int queue_create(hearth_dev_t *dev, enum hearth_queue_kind kind,
                        hearth_queue_t **queue, struct hearth_error *err)
{
    (void)kind;
    *queue = cpu_calloc(1, sizeof **queue);
    if (*queue == NULL)
        return cpu_no_memory(err);
    (*queue)->dev = dev;
    return HEARTH_OK;
}

static void queue_destroy(hearth_queue_t *queue)
{
    free(queue);
}

static int queue_copy(hearth_queue_t *queue, void *dst, const void *src,
                      uint64_t bytes, enum hearth_copy_kind kind,
                      struct hearth_error *err)
{
    (void)queue;
    (void)kind;
    (void)err;
    memcpy(dst, src, bytes);
    return HEARTH_OK;
}

static int queue_fill(hearth_queue_t *queue, void *dst, int value,
                      uint64_t bytes, struct hearth_error *err)
{
    (void)queue;
    (void)err;
    memset(dst, value, bytes);
    return HEARTH_OK;
}

static int event_create(hearth_dev_t *dev, hearth_event_t **event,
                        struct hearth_error *err)
{
    (void)dev;
    *event = cpu_calloc(1, sizeof **event);
    return *event != NULL ? HEARTH_OK : cpu_no_memory(err);
}

static void event_destroy(hearth_event_t *event)
{
    free(event);
}

static int event_mark(hearth_queue_t *queue, hearth_event_t *event,
                      struct hearth_error *err)
{
    (void)queue;
    (void)event;
    (void)err;
    return HEARTH_OK;
}

static int event_query(hearth_event_t *event, struct hearth_error *err)
{
    (void)event;
    (void)err;
    return HEARTH_OK;
}

static int queue_poll(hearth_queue_t *queue, int64_t *next_us,
                      struct hearth_error *err)
{
    (void)queue;
    (void)err;
    *next_us = INT64_MAX;
    return HEARTH_OK;
}

static int queue_synchronise(hearth_queue_t *queue, int64_t deadline_us,
                             struct hearth_error *err)
{
    (void)queue;
    (void)deadline_us;
    (void)err;
    return HEARTH_OK;
}

static const struct hearth_queue_calls queue_calls = {
    .struct_bytes = sizeof queue_calls,
    .create = queue_create,
    .destroy = queue_destroy,
    .copy = queue_copy,
    .fill = queue_fill,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_mark,
    .event_wait = event_mark,
    .event_query = event_query,
    .poll = queue_poll,
    .synchronise = queue_synchronise,
};

/* ---- The descriptor ---- */

__attribute__((visibility("default"))) const struct hearth_plugin *
hearth_plugin_v1(void)
{
    static const struct hearth_plugin plugin = {
        .magic = HEARTH_PLUGIN_MAGIC,
        .abi_major = HEARTH_PLUGIN_ABI_MAJOR,
        .abi_minor = HEARTH_PLUGIN_ABI_MINOR,
        .struct_bytes = sizeof plugin,
        .build = PACKAGE_VERSION,
        .name = "cpu",
        .plugin = &plugin_calls,
        .device = &device_calls,
        .memory = &cpu_memory_calls,
        .queue = &queue_calls,
        .model = &cpu_model_calls,
    };
    return &plugin;
}
