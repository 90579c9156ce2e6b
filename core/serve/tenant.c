/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tenant.c: who may do what. The table is replaced as a whole by a reload;
 * visits hold a reference to the table that they began with. A tenant that is
 * in both tables keeps its state, so that its requests in flight stay counted.
 */
#include "serve/serve_priv.h"

#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 4096

struct hearth__tenant_state *
hearth__tenant_state_ref(struct hearth__tenant_state *state)
{
    atomic_fetch_add(&state->refs, 1);
    return state;
}

void hearth__tenant_state_unref(struct hearth__tenant_state *state)
{
    if (state == NULL || atomic_fetch_sub(&state->refs, 1) != 1)
        return;
    hearth_free(state->blobs);
    hearth_free(state);
}

struct hearth__tenant *hearth__tenant_ref(struct hearth__tenant *tenant)
{
    atomic_fetch_add(&tenant->refs, 1);
    return tenant;
}

void hearth__tenant_unref(struct hearth__tenant *tenant)
{
    if (tenant == NULL || atomic_fetch_sub(&tenant->refs, 1) != 1)
        return;
    hearth_free(tenant->name);
    hearth_free(tenant->users);
    hearth_free(tenant->groups);
    hearth_free(tenant->models);
    hearth_free(tenant->token);
    hearth__tenant_state_unref(tenant->state);
    hearth_free(tenant);
}

bool hearth__tenant_sees(const struct hearth__tenant *tenant, const char *name)
{
    const char *p = tenant->models;

    while (*p) {
        size_t bytes = strcspn(p, " ,");
        char pattern[HEARTH__NAME_BYTES];

        if (bytes > 0 && bytes < sizeof(pattern)) {
            memcpy(pattern, p, bytes);
            pattern[bytes] = '\0';
            if (fnmatch(pattern, name, 0) == 0)
                return true;
        }
        p += bytes;
        p += *p != '\0';
    }
    return false;
}

static struct hearth__tenant *find(const struct hearth__tenants *tenants,
                                   const char *name)
{
    for (uint32_t i = 0; tenants && i < tenants->count; i++)
        if (strcmp(tenants->list[i]->name, name) == 0)
            return tenants->list[i];
    return NULL;
}

/* The file's first line. */
static int read_token(const char *path, char **token, struct hearth_error *err)
{
    size_t bytes;
    int status;

    *token = NULL;
    if (path == NULL || *path == '\0')
        return HEARTH_OK;
    status = hearth_read_file(path, TOKEN_MAX, token, &bytes, err);
    if (status != HEARTH_OK) {
        hearth_fail_prefix(err, "token_file");
        return status;
    }
    (*token)[strcspn(*token, "\r\n")] = '\0';
    if (**token)
        return HEARTH_OK;
    hearth_free(*token);
    *token = NULL;
    return hearth_fail(err, HEARTH_ECONFIG,
                       "token_file %.100s is empty: write a token on its first "
                       "line",
                       path);
}

static bool user_number(const char *name, uint32_t *number)
{
    char buf[4096];
    struct passwd entry, *found = NULL;

    if (getpwnam_r(name, &entry, buf, sizeof(buf), &found) != 0 || !found)
        return false;
    *number = found->pw_uid;
    return true;
}

static bool group_number(const char *name, uint32_t *number)
{
    char buf[16384];
    struct group entry, *found = NULL;

    if (getgrnam_r(name, &entry, buf, sizeof(buf), &found) != 0 || !found)
        return false;
    *number = found->gr_gid;
    return true;
}

static bool plain_number(const char *text, uint32_t *number)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 &&
           value < UINT32_MAX;
}

/* "1000 alice" as numbers. */
static int read_numbers(const char *list,
                        bool (*look_up)(const char *name, uint32_t *number),
                        const char *what, uint32_t **numbers, uint32_t *count,
                        struct hearth_error *err)
{
    char *copy = hearth_strdup(list ? list : ""), *rest = copy, *word;
    int status = HEARTH_OK;

    *numbers = copy ? hearth_calloc(strlen(copy) + 1, sizeof(**numbers)) : NULL;
    if (*numbers == NULL)
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory for a tenant");
    while (status == HEARTH_OK && (word = strsep(&rest, " ,"))) {
        if (*word == '\0')
            continue;
        if (plain_number(word, &(*numbers)[*count]) ||
            look_up(word, &(*numbers)[*count]))
            (*count)++;
        else
            status = hearth_fail(err, HEARTH_ECONFIG,
                                 "there is no %s '%.60s': correct the tenant",
                                 what, word);
    }
    hearth_free(copy);
    return status;
}

static bool has(const uint32_t *numbers, uint32_t count, uint32_t number)
{
    for (uint32_t i = 0; i < count; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

struct hearth__tenant *hearth__tenant_of(const struct hearth__tenants *tenants,
                                         uint32_t uid, const uint32_t *groups,
                                         uint32_t group_count)
{
    for (uint32_t i = 0; i < tenants->count; i++)
        if (has(tenants->list[i]->users, tenants->list[i]->user_count, uid))
            return tenants->list[i];
    for (uint32_t i = 0; i < tenants->count; i++)
        for (uint32_t k = 0; k < group_count; k++)
            if (has(tenants->list[i]->groups, tenants->list[i]->group_count,
                    groups[k]))
                return tenants->list[i];
    return tenants->rest;
}

/* The state that <before> has for the name, or a new one. NULL: no memory. */
static struct hearth__tenant_state *
take_state(const char *name, const struct hearth__tenants *before,
           uint32_t *numbers)
{
    const struct hearth__tenant *old = find(before, name);
    struct hearth__tenant_state *state =
        old ? old->state : hearth_calloc(1, sizeof(*state));

    if (state && !old && *numbers + 1 < HEARTH_FLOW_TENANTS_MAX)
        state->number = ++*numbers;
    if (state)
        atomic_fetch_add(&state->refs, 1);
    return state;
}

static int make(struct hearth__tenant **out,
                const struct hearth_node_tenant *from,
                const struct hearth__tenants *before, uint32_t *numbers,
                struct hearth_error *err)
{
    struct hearth__tenant *t = hearth_calloc(1, sizeof(*t));
    int status = HEARTH_OK;

    *out = NULL;
    if (from->name == NULL || *from->name == '\0') {
        hearth_free(t);
        return hearth_fail(err, HEARTH_ECONFIG,
                           "a tenant has no name: give it one");
    }
    if (t) {
        t->refs = 1;
        t->name = hearth_strdup(from->name);
        t->models = hearth_strdup(from->models ? from->models : "*");
        t->quota_bytes = from->quota_bytes;
        t->max_in_flight =
            from->max_in_flight > 0 ? (uint32_t)from->max_in_flight : 0;
        t->may_load = from->may_load;
        t->state = take_state(from->name, before, numbers);
    }
    if (t == NULL || !t->state || !t->name || !t->models)
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory for a tenant");
    if (status == HEARTH_OK && t->state->number == 0 && from->quota_bytes > 0)
        status = hearth_fail(err, HEARTH_ECONFIG,
                             "there were more than 255 tenants since the "
                             "start: restart hearthd");
    if (status == HEARTH_OK)
        status = read_numbers(from->users, user_number, "user", &t->users,
                              &t->user_count, err);
    if (status == HEARTH_OK)
        status = read_numbers(from->groups, group_number, "group", &t->groups,
                              &t->group_count, err);
    if (status == HEARTH_OK)
        status = read_token(from->token_file, &t->token, err);
    if (status != HEARTH_OK) {
        hearth__tenant_unref(t);
        return status;
    }
    *out = t;
    return HEARTH_OK;
}

void hearth__tenants_unref(struct hearth__tenants *tenants)
{
    if (tenants == NULL || atomic_fetch_sub(&tenants->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < tenants->count; i++)
        hearth__tenant_unref(tenants->list[i]);
    hearth_free(tenants->list);
    hearth_free(tenants->operator_token);
    hearth_free(tenants);
}

struct hearth__tenants *hearth__tenants_ref(struct hearth__tenants *tenants)
{
    atomic_fetch_add(&tenants->refs, 1);
    return tenants;
}

int hearth__tenants_create(struct hearth__tenants **out,
                           const struct hearth_node_config *config,
                           const struct hearth__tenants *before,
                           struct hearth_error *err)
{
    static const struct hearth_node_tenant anybody = {.name = "default",
                                                      .models = "*"};
    struct hearth__tenants *t = hearth_calloc(1, sizeof(*t));
    int status;

    *out = NULL;
    if (t == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for tenants");
    t->refs = 1;
    t->numbers = before ? before->numbers : 0;
    t->list = hearth_calloc(config->tenant_count + 1, sizeof(*t->list));
    status = t->list ? read_token(config->token_file, &t->operator_token, err)
                     : hearth_fail(err, HEARTH_ENOMEM, "no memory for tenants");
    for (uint32_t i = 0; status == HEARTH_OK && i < config->tenant_count; i++) {
        status = make(&t->list[t->count], &config->tenants[i], before,
                      &t->numbers, err);
        if (status != HEARTH_OK)
            break;
        if (find(t, t->list[t->count]->name)) {
            status = hearth_fail(err, HEARTH_ECONFIG,
                                 "tenant '%.60s' is here a second time",
                                 t->list[t->count]->name);
            hearth__tenant_unref(t->list[t->count]);
            break;
        }
        t->count++;
    }
    if (status == HEARTH_OK && find(t, "default") == NULL) {
        status = make(&t->list[t->count], &anybody, before, &t->numbers, err);
        if (status == HEARTH_OK)
            t->count++;
    }
    if (status == HEARTH_OK) {
        const char *tcp = config->tcp_tenant && *config->tcp_tenant
                              ? config->tcp_tenant
                              : "default";

        t->rest = find(t, "default");
        t->tcp = find(t, tcp);
        if (t->tcp == NULL)
            status = hearth_fail(err, HEARTH_ECONFIG,
                                 "tcp_tenant '%.60s' is no tenant: add it to "
                                 "tenants",
                                 tcp);
    }
    if (status != HEARTH_OK) {
        hearth__tenants_unref(t);
        return status;
    }
    *out = t;
    return HEARTH_OK;
}
