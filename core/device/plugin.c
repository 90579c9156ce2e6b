/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin.c: the ABI check, and the process's table of loaded plugins.
 *
 * A plugin is never unloaded, so the table only grows. Loading reads a disk and
 * runs foreign code, which is not done under a lock: an entry is put into the
 * table as LOADING first, and whoever else wants it waits for its end. A
 * plugin that was refused leaves no entry, so that it can be mended and tried
 * again.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "device/device.h"

#define NAME_MAX_BYTES 32
#define PLUGINS_MAX 16

/* ---- The host services that plugins get ---- */

static struct hearth_device_host current;

static void host_log(void *ctx, enum hearth_log_level level, const char *text)
{
    (void)ctx;
    if (current.log != NULL)
        current.log(current.ctx, level, text);
}

static int64_t host_now_us(void *ctx)
{
    (void)ctx;
    return hearth_now_us(current.clock != NULL ? current.clock
                                               : hearth_clock_real());
}

static void host_wait_until_us(void *ctx, int64_t us)
{
    (void)ctx;
    if (current.wait_until_us != NULL) {
        current.wait_until_us(current.ctx, us);
        return;
    }
    for (int64_t left; (left = us - host_now_us(NULL)) > 0;) {
        struct timespec t = {left / 1000000, left % 1000000 * 1000};
        nanosleep(&t, NULL);
    }
}

static const struct hearth_host host = {
    .struct_bytes = sizeof host,
    .log = host_log,
    .now_us = host_now_us,
    .wait_until_us = host_wait_until_us,
};

void hearth_device_host_set(const struct hearth_device_host *h)
{
    static const struct hearth_device_host defaults;
    current = h != NULL ? *h : defaults;
}

/* ---- The ABI check ---- */

/* Every function that ABI 1.0 has. Those appended later are optional. */
#define CALL(table, member)                                                    \
    {                                                                          \
#table, #member, offsetof(struct hearth_plugin, table),                \
            offsetof(struct hearth_##table##_calls, member)                    \
    }
static const struct required {
    const char *table, *member;
    size_t table_at, member_at;
} required[] = {
    CALL(plugin, init),         CALL(plugin, probe),
    CALL(plugin, open),         CALL(plugin, close),
    CALL(device, properties),   CALL(device, health),
    CALL(memory, alloc),        CALL(memory, free),
    CALL(memory, host_alloc),   CALL(memory, host_free),
    CALL(memory, used_bytes),   CALL(queue, create),
    CALL(queue, destroy),       CALL(queue, copy),
    CALL(queue, fill),          CALL(queue, event_create),
    CALL(queue, event_destroy), CALL(queue, event_record),
    CALL(queue, event_wait),    CALL(queue, event_query),
    CALL(queue, poll),          CALL(queue, synchronise),
    CALL(model, footprint),     CALL(model, load),
    CALL(model, unload),        CALL(model, plan),
    CALL(model, execute),
};
#undef CALL

/* The <r>-th function is there: its table exists, reaches so far, and has it.
 */
static bool has_call(const struct hearth_plugin *plugin,
                     const struct required *r)
{
    const char *table;
    uint32_t bytes;
    void *fn;
    memcpy(&table, (const char *)plugin + r->table_at, sizeof table);
    if (table == NULL)
        return false;
    memcpy(&bytes, table, sizeof bytes); /* struct_bytes comes first */
    if (bytes < r->member_at + sizeof fn)
        return false;
    memcpy(&fn, table + r->member_at, sizeof fn);
    return fn != NULL;
}

static int check_fixed_fields(const struct hearth_plugin *plugin,
                              const char *file, struct hearth_error *err)
{
    if (plugin->magic != HEARTH_PLUGIN_MAGIC)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: magic is %08x, not %08x: this is no "
                           "hearth plugin; remove the file",
                           file, plugin->magic, HEARTH_PLUGIN_MAGIC);
    if (plugin->abi_major != HEARTH_PLUGIN_ABI_MAJOR)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: built for plugin ABI %u.%u, this "
                           "hearth has %u.%u; install the plugin of this "
                           "version",
                           file, plugin->abi_major, plugin->abi_minor,
                           HEARTH_PLUGIN_ABI_MAJOR, HEARTH_PLUGIN_ABI_MINOR);
    if (plugin->struct_bytes < sizeof *plugin)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: its descriptor has %u bytes, ABI "
                           "%u.%u has %zu; rebuild the plugin",
                           file, plugin->struct_bytes, plugin->abi_major,
                           plugin->abi_minor, sizeof *plugin);
    return HEARTH_OK;
}

int hearth_plugin_check(const struct hearth_plugin *plugin, const char *file,
                        struct hearth_error *err)
{
    if (plugin == NULL)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: %s gave no descriptor; rebuild the "
                           "plugin",
                           file, HEARTH_PLUGIN_SYMBOL);
    int rc = check_fixed_fields(plugin, file, err);
    if (rc != HEARTH_OK)
        return rc;
    if (plugin->build == NULL || plugin->name == NULL)
        return hearth_fail(
            err, HEARTH_EABI,
            "plugin %.100s: it lacks a name or build id; rebuild "
            "the plugin",
            file);
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (!has_call(plugin, &required[i]))
            return hearth_fail(err, HEARTH_EABI,
                               "plugin %.100s: it lacks %s.%s of plugin ABI "
                               "%u.%u; rebuild the plugin",
                               file, required[i].table, required[i].member,
                               HEARTH_PLUGIN_ABI_MAJOR,
                               HEARTH_PLUGIN_ABI_MINOR);
    return HEARTH_OK;
}

/* ---- Files ---- */

/* Opens <file>. It stays open also when it is refused: its code may have left
 * traces (thread-local destructors, atexit) that an unload would leave behind
 * dangling. */
static int open_file(const char *file, const struct hearth_plugin **plugin,
                     struct hearth_error *err)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: cannot be loaded: %.100s; install "
                           "what it needs",
                           file, dlerror());
    hearth_plugin_fn fn;
    void *symbol = dlsym(handle, HEARTH_PLUGIN_SYMBOL);
    if (symbol == NULL)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: exports no %s: this is no hearth "
                           "plugin; remove the file",
                           file, HEARTH_PLUGIN_SYMBOL);
    memcpy(&fn, &symbol, sizeof fn); /* ISO C has no cast between the two */
    *plugin = fn();
    return hearth_plugin_check(*plugin, file, err);
}

/* The first of <path>'s directories that has hearth_<name>.so. */
static bool find_file(const char *path, const char *name, char *file,
                      size_t size)
{
    for (const char *p = path; *p != '\0';) {
        size_t length = strcspn(p, ":");
        int n = snprintf(file, size, "%.*s/hearth_%s.so", (int)length, p, name);
        if (length > 0 && n > 0 && (size_t)n < size && access(file, F_OK) == 0)
            return true;
        p += length;
        p += *p == ':';
    }
    return false;
}

static bool name_ok(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length < NAME_MAX_BYTES && name[length] == '\0';
}

static int load(const char *path, const char *name,
                const struct hearth_plugin **plugin, struct hearth_error *err)
{
    char file[1024];
    if (path == NULL)
        path = getenv("HEARTH_PLUGIN_DIR");
    if (path == NULL)
        path = HEARTH_PLUGIN_DIR_DEFAULT;
    if (!find_file(path, name, file, sizeof file))
        return hearth_fail(err, HEARTH_ENOENT,
                           "no plugin '%.32s': hearth_%.32s.so is not in "
                           "%.120s; install it, or set HEARTH_PLUGIN_DIR",
                           name, name, path);
    int rc = open_file(file, plugin, err);
    if (rc != HEARTH_OK)
        return rc;
    if (strcmp((*plugin)->name, name) != 0)
        return hearth_fail(err, HEARTH_EABI,
                           "plugin %.100s: calls itself '%.32s'; rename the "
                           "file",
                           file, (*plugin)->name);
    return (*plugin)->plugin->init(&host, err);
}

/* ---- The table ---- */

struct entry {
    char name[NAME_MAX_BYTES];
    const struct hearth_plugin *plugin; /* NULL while it is loading */
};

static struct {
    pthread_once_t once;
    struct hearth_lock lock;
    struct hearth_cond changed;
    struct entry entries[PLUGINS_MAX];
    uint32_t count;
} table = {.once = PTHREAD_ONCE_INIT};

static void table_start(void)
{
    hearth_lock_init(&table.lock, "plugins", HEARTH_LOCK_REGISTRY);
    hearth_cond_init(&table.changed);
}

static struct entry *find_entry(const char *name)
{
    for (uint32_t i = 0; i < table.count; i++)
        if (strcmp(table.entries[i].name, name) == 0)
            return &table.entries[i];
    return NULL;
}

/* True: it is loaded. False: it is the caller's to load, an entry marks it; or
 * the table is full, and *full says so. */
static bool find_or_claim(const char *name, const struct hearth_plugin **plugin,
                          bool *full)
{
    struct entry *entry;
    hearth_lock_acquire(&table.lock);
    while ((entry = find_entry(name)) != NULL && entry->plugin == NULL)
        hearth_cond_wait(&table.changed, &table.lock, -1);
    *plugin = entry != NULL ? entry->plugin : NULL;
    *full = entry == NULL && table.count == PLUGINS_MAX;
    if (entry == NULL && !*full) {
        entry = &table.entries[table.count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->plugin = NULL;
    }
    hearth_lock_release(&table.lock);
    return *plugin != NULL;
}

static void settle(const char *name, const struct hearth_plugin *plugin)
{
    hearth_lock_acquire(&table.lock);
    struct entry *entry = find_entry(name);
    if (plugin != NULL)
        entry->plugin = plugin;
    else
        *entry = table.entries[--table.count];
    hearth_lock_release(&table.lock);
    hearth_cond_broadcast(&table.changed);
}

int hearth_plugin_load(const char *path, const char *name,
                       const struct hearth_plugin **plugin,
                       struct hearth_error *err)
{
    bool full;
    *plugin = NULL;
    if (!name_ok(name))
        return hearth_fail(err, HEARTH_ECONFIG,
                           "'%.40s' is no plugin's name: lower case letters, "
                           "digits and _",
                           name);
    pthread_once(&table.once, table_start);
    if (find_or_claim(name, plugin, &full))
        return HEARTH_OK;
    if (full)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "%d plugins are loaded, no more can be",
                           PLUGINS_MAX);
    int rc = load(path, name, plugin, err);
    if (rc != HEARTH_OK)
        *plugin = NULL;
    settle(name, *plugin);
    return rc;
}
