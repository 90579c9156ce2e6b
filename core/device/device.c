/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c: the operator's list of devices, opened all or none, and the memory
 * of which are lost.
 */
#include <stdlib.h>
#include <string.h>

#include "device/device.h"

#define SEPARATORS " \t\n;"
#define ITEM_MAX_BYTES 512

/* ---- The list ---- */

/* Does a comma end the item? Specs have commas of their own ("cpu:0-3,6",
 * "sim:mem=1MiB,load=2ms"): one that stands before a name, and then a colon, a
 * separator or the end, begins another device. */
static bool ends_item(const char *comma)
{
    size_t letters = strspn(comma + 1, "abcdefghijklmnopqrstuvwxyz_");
    return letters > 0 && strchr(":," SEPARATORS, comma[1 + letters]) != NULL;
}

static size_t item_length(const char *list)
{
    size_t length = 0;
    while (list[length] != '\0' && strchr(SEPARATORS, list[length]) == NULL &&
           !(list[length] == ',' && ends_item(list + length)))
        length++;
    return length;
}

/* Copies the next item of *list into <item> and cuts it at its first colon.
 * False at the end. A too long item is cut, which its plugin will not know. */
static bool next_item(const char **list, char item[ITEM_MAX_BYTES],
                      const char **spec)
{
    *list += strspn(*list, SEPARATORS ",");
    size_t length = item_length(*list);
    if (length == 0)
        return false;
    snprintf(item, ITEM_MAX_BYTES, "%.*s", (int)length, *list);
    *list += length;
    char *colon = strchr(item, ':');
    *spec = "";
    if (colon != NULL) {
        *colon = '\0';
        *spec = colon + 1;
    }
    return true;
}

static int probe(const struct hearth_plugin *plugin, struct hearth_error *err)
{
    struct hearth_probe p = {.struct_bytes = sizeof p};
    int rc = plugin->plugin->probe(&p, err);
    if (rc == HEARTH_OK && (p.score <= 0 || p.device_count == 0))
        rc = hearth_fail(err, HEARTH_EDEVICE,
                         "plugin %.32s finds no device that it can use: %.150s",
                         plugin->name, p.sentence);
    return rc;
}

static int open_one(hearth_device_t *device, const char *name, const char *spec,
                    const char *path, uint64_t memory_limit, bool keeps_lowered,
                    struct hearth_error *err)
{
    struct hearth_open_config config = {
        .struct_bytes = sizeof config,
        .spec = spec,
        .memory_limit = memory_limit,
        .keeps_lowered = keeps_lowered,
    };
    int rc = hearth_plugin_load(path, name, &device->plugin, err);
    if (rc == HEARTH_OK)
        rc = probe(device->plugin, err);
    if (rc != HEARTH_OK)
        return rc;
    rc = device->plugin->plugin->open(&config, &device->dev, err);
    if (rc != HEARTH_OK) {
        hearth_fail_prefix(err, "device %.60s", name);
        return rc;
    }
    device->properties.struct_bytes = sizeof device->properties;
    rc = device->plugin->device->properties(device->dev, &device->properties,
                                            err);
    if (rc != HEARTH_OK) {
        device->plugin->plugin->close(device->dev);
        hearth_fail_prefix(err, "device %.60s", name);
    }
    return rc;
}

/* "sim:1": the second of its plugin in the list. */
static void name_device(hearth_device_t *const *devices, uint32_t index)
{
    hearth_device_t *device = devices[index];
    unsigned number = 0;
    for (uint32_t i = 0; i < index; i++)
        number += devices[i]->plugin == device->plugin;
    snprintf(device->name, sizeof device->name, "%.30s:%u",
             device->plugin->name, number);
}

void hearth_devices_environment(void)
{
    /* libgomp's own count of spins goes before the policy, which is for other
     * OpenMPs: some 10 us on processors of today (docs/performance.md). */
    (void)setenv("OMP_WAIT_POLICY", "passive", 0);
    (void)setenv("GOMP_SPINCOUNT", "500", 0);
}

int hearth_devices_open(const char *list, const char *path,
                        uint64_t memory_limit, bool keeps_lowered,
                        hearth_device_t ***devices, uint32_t *count,
                        struct hearth_error *err)
{
    char item[ITEM_MAX_BYTES];
    const char *spec;
    int rc = HEARTH_OK;
    *count = 0;
    *devices = hearth_calloc(HEARTH_DEVICES_MAX, sizeof **devices);
    if (*devices == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for devices");
    while (rc == HEARTH_OK && next_item(&list, item, &spec)) {
        hearth_device_t *device = NULL;
        if (*count == HEARTH_DEVICES_MAX)
            rc = hearth_fail(err, HEARTH_ECONFIG,
                             "more than %d devices in the list; name fewer",
                             HEARTH_DEVICES_MAX);
        else if ((device = hearth_calloc(1, sizeof *device)) == NULL)
            rc = hearth_fail(err, HEARTH_ENOMEM, "no memory for devices");
        else
            rc = open_one(device, item, spec, path, memory_limit, keeps_lowered,
                          err);
        if (rc != HEARTH_OK) {
            hearth_free(device);
            break;
        }
        device->magic = HEARTH_MAGIC_DEVICE;
        device->index = *count;
        (*devices)[(*count)++] = device;
        name_device(*devices, device->index);
    }
    if (rc == HEARTH_OK && *count == 0)
        rc = hearth_fail(err, HEARTH_ECONFIG,
                         "the list of devices is empty; name one, such as "
                         "\"cpu\"");
    if (rc != HEARTH_OK) {
        hearth_devices_close(devices, *count);
        *count = 0;
    }
    return rc;
}

void hearth_devices_close(hearth_device_t ***devices, uint32_t count)
{
    if (*devices == NULL)
        return;
    for (uint32_t i = count; i-- > 0;) {
        hearth_device_t *device = (*devices)[i];
        HEARTH_CHECK(device, HEARTH_MAGIC_DEVICE);
        device->plugin->plugin->close(device->dev);
        device->magic = 0;
        hearth_free(device);
    }
    hearth_free(*devices);
    *devices = NULL;
}

/* ---- Health ---- */

int hearth_device_note(hearth_device_t *device, int status,
                       const struct hearth_error *err)
{
    HEARTH_CHECK(device, HEARTH_MAGIC_DEVICE);
    if (hearth_status_class(status) != HEARTH_CLASS_DEVICE_LOST)
        return status;
    /* 0 alive, 1 being written, 2 lost: the first to notice tells why. */
    int alive = 0;
    if (__atomic_compare_exchange_n(&device->lost, &alive, 1, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        if (err != NULL)
            device->lost_error = *err;
        else
            hearth_fail(&device->lost_error, status, "device lost");
        __atomic_store_n(&device->lost, 2, __ATOMIC_RELEASE);
    }
    return status;
}

bool hearth_device_is_lost(const hearth_device_t *device)
{
    HEARTH_CHECK(device, HEARTH_MAGIC_DEVICE);
    return __atomic_load_n(&device->lost, __ATOMIC_ACQUIRE) == 2;
}

const struct hearth_error *
hearth_device_lost_error(const hearth_device_t *device)
{
    HEARTH_ASSERT(hearth_device_is_lost(device));
    return &device->lost_error;
}
