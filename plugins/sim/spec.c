/* SPDX-License-Identifier: Apache-2.0 */
/* spec.c: "mem=64MiB,bandwidth=12GiB,run=2ms,fail=load:3:AGAIN". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct unit {
    const char *name;
    double value;
};

static const struct unit byte_units[] = {
    {"", 1},           {"B", 1},
    {"kB", 1e3},       {"MB", 1e6},
    {"GB", 1e9},       {"KiB", 1024},
    {"MiB", 1048576.}, {"GiB", 1073741824.},
    {"TB", 1e12},      {"TiB", 1099511627776.},
};
static const struct unit time_units[] = {
    {"", 1}, {"us", 1}, {"ms", 1e3}, {"s", 1e6}};

/* A number with one of <units>, in all at most 2^53. */
static bool parse_number(const char *text, const struct unit *units, size_t n,
                         uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    double value = strtod(text, &end);
    for (size_t i = 0; i < n; i++)
        if (errno == 0 && strcmp(end, units[i].name) == 0 &&
            value * units[i].value <= 9007199254740992.) {
            *out = (uint64_t)(value * units[i].value);
            return true;
        }
    return false;
}

#define BYTES byte_units, sizeof byte_units / sizeof byte_units[0]
#define TIMES time_units, sizeof time_units / sizeof time_units[0]

static bool parse_bool(const char *text, bool *out)
{
    *out = text[0] == '1';
    return (text[0] == '0' || text[0] == '1') && text[1] == '\0';
}

/* ---- fail=CALL:N[:COUNT]:STATUS ---- */

static const char *const call_names[SIM_CALL_COUNT] = {
    "alloc", "footprint", "load", "plan", "execute", "run", "copy"};
static const struct {
    const char *name;
    int status;
} fault_names[] = {
    {"AGAIN", HEARTH_ENOMEM},
    {"NEVER", HEARTH_ENOSPACE},
    {"CLIENT", HEARTH_EINVAL},
    {"LOST", HEARTH_EDEVICE},
    {"UNSUPPORTED", HEARTH_EUNSUPPORTED},
    {"IO", HEARTH_EIO},
};

static bool parse_fault(char *text, struct sim_spec *spec)
{
    char *parts[4];
    int n = 0;
    for (char *p = text; n < 4; p = strchr(p, ':') + 1) {
        parts[n++] = p;
        if (strchr(p, ':') == NULL)
            break;
    }
    if (n < 3 || spec->fault_count == SIM_FAULTS_MAX)
        return false;
    for (char *p = text; *p != '\0'; p++)
        if (*p == ':')
            *p = '\0';
    struct sim_fault *fault = &spec->faults[spec->fault_count];
    bool call = false, status = false;
    for (int i = 0; i < SIM_CALL_COUNT; i++)
        if (strcmp(parts[0], call_names[i]) == 0) {
            fault->call = (enum sim_call)i;
            call = true;
        }
    for (size_t i = 0; i < sizeof fault_names / sizeof fault_names[0]; i++)
        if (strcmp(parts[n - 1], fault_names[i].name) == 0) {
            fault->status = fault_names[i].status;
            status = true;
        }
    fault->count = 1;
    spec->fault_count++;
    return call && status &&
           parse_number(parts[1], byte_units, 1, &fault->first) &&
           fault->first > 0 &&
           (n == 3 || parse_number(parts[2], byte_units, 1, &fault->count));
}

/* ---- The whole ---- */

static bool parse_item(const char *key, char *value, struct sim_spec *spec,
                       bool *known)
{
    uint64_t us;
    *known = true;
    if (strcmp(key, "mem") == 0)
        return parse_number(value, BYTES, &spec->mem);
    if (strcmp(key, "bandwidth") == 0)
        return parse_number(value, BYTES, &spec->bandwidth);
    if (strcmp(key, "overhead") == 0)
        return parse_number(value, BYTES, &spec->overhead);
    if (strcmp(key, "load") == 0 || strcmp(key, "run") == 0) {
        bool ok = parse_number(value, TIMES, &us);
        *(key[0] == 'l' ? &spec->load_us : &spec->run_us) =
            ok ? (int64_t)us : 0;
        return ok;
    }
    if (strcmp(key, "beside") == 0)
        return parse_bool(value, &spec->beside);
    if (strcmp(key, "host") == 0)
        return parse_bool(value, &spec->host_memory);
    if (strcmp(key, "compute") == 0)
        return parse_bool(value, &spec->compute);
    if (strcmp(key, "fail") == 0)
        return parse_fault(value, spec);
    *known = false;
    return false;
}

int sim_spec_parse(const char *text, struct sim_spec *spec,
                   struct hearth_error *err)
{
    char item[128], shown[128];
    *spec = (struct sim_spec){
        .mem = UINT64_C(1) << 30, .beside = true, .compute = true};
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        snprintf(item, sizeof item, "%.*s", (int)length, text);
        memcpy(shown, item, sizeof shown);
        text += length + (text[length] == ',');
        char *value = strchr(item, '=');
        bool known = false, ok = false;
        if (value != NULL && length < sizeof item) {
            *value++ = '\0';
            ok = parse_item(item, value, spec, &known);
        }
        if (!ok)
            return hearth_fail(err, HEARTH_ECONFIG,
                               "sim: '%.60s': %s; known are " SIM_KEYS, shown,
                               known ? "no such value" : "no such key");
    }
    if (spec->overhead > spec->mem)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "sim: overhead is more than mem; give more mem");
    return HEARTH_OK;
}
