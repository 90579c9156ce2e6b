/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c: the node's table of versions, replaced by what a scan found: what is
 * the same stays as it is, open or not; what takes the place of an open one is
 * opened at once.
 */
#include "serve/serve_priv.h"

#include "log/log.h"

#include <string.h>

void hearth__served_drop(struct hearth__served *s)
{
    hearth__remote_let_go(s->node, s);
    hearth__remote_free(&s->remote);
    hearth__pbtxt_free(&s->config);
    hearth_free(s->labels_path);
    hearth_free(s->name);
    hearth_free(s->path);
    hearth_free(s);
}

/* Newest first. */
static int by_version(const void *a, const void *b)
{
    const struct hearth__served *x = *(struct hearth__served *const *)a;
    const struct hearth__served *y = *(struct hearth__served *const *)b;

    return (x->version < y->version) - (x->version > y->version);
}

int hearth__served_order(const void *a, const void *b)
{
    const struct hearth__served *x = *(struct hearth__served *const *)a;
    const struct hearth__served *y = *(struct hearth__served *const *)b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : by_version(a, b);
}

static bool same(const struct hearth__served *a, const struct hearth__served *b)
{
    return (a->remote && b->remote ? memcmp(&a->remote->id, &b->remote->id,
                                            sizeof(a->remote->id)) == 0
                                   : strcmp(a->path, b->path) == 0) &&
           memcmp(&a->config_id, &b->config_id, sizeof(a->config_id)) == 0;
}

/* What merge has to do after the lock. */
struct after {
    struct hearth__served **gone, **again;
    uint32_t gone_count, again_count;
};

/* Puts what was found in the place of the table, or of its part named <only>.
 * Those that are in it no more, or came a second time, are let go; those that
 * take an open one's place are opened. Under the lock. */
static void merge(hearth_node_t *node, const char *only,
                  struct hearth__served **found, uint32_t found_count,
                  struct hearth__served **table, struct after *after)
{
    uint32_t i = 0, k = 0, count = 0;

    while (i < node->served_count || k < found_count) {
        struct hearth__served *old =
            i < node->served_count ? node->served[i] : NULL;
        struct hearth__served *new = k < found_count ? found[k] : NULL;
        int order = old && new ? hearth__served_order(&old, &new)
                    : old      ? -1
                               : 1;

        i += order <= 0;
        k += order >= 0;
        if (order < 0 && only && strcmp(old->name, only) != 0) {
            table[count++] = old;
        } else if (order < 0) {
            after->gone[after->gone_count++] = old;
        } else if (order == 0 && (new->stays || same(old, new))) {
            table[count++] = old;
            after->gone[after->gone_count++] = new;
        } else {
            if (order == 0) {
                new->pinned = old->pinned;
                new->loaded = old->loaded;
                after->gone[after->gone_count++] = old;
            }
            if (order == 0 && old->state == HEARTH__OPEN) {
                hearth__served_begin(new);
                after->again[after->again_count++] = new;
            }
            table[count++] = new;
        }
    }
    hearth_free(node->served);
    node->served = table;
    node->served_count = count;
}

/* The new files of what is open come before it is replaced: its callers do not
 * wait for a network. When they do not come, the old one stays. */
static void bring_new(hearth_node_t *node, struct hearth__served **found,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct hearth__served *s = found[i], *old;
        struct hearth_error err = {0};
        bool replaces;

        if (s->remote == NULL)
            continue;
        old = hearth__served_find(node, NULL, s->name, s->version, &err);
        hearth_lock_acquire(&node->lock);
        replaces = old && old->state == HEARTH__OPEN && !same(old, s);
        hearth_lock_release(&node->lock);
        hearth__served_unref(node, old);
        s->stays = replaces && hearth__remote_bring(node, s->name, s->remote,
                                                    &err) != HEARTH_OK;
        if (s->stays)
            hearth_log(HEARTH_LOG_ERROR, 26,
                       "event=\"the old one stays\" model=\"%s\" "
                       "version=%lld text=\"%s\"",
                       s->name, (long long)s->version, err.text);
    }
}

int hearth__table_put(hearth_node_t *node, const char *only,
                      struct hearth__served **found, uint32_t count,
                      struct hearth_error *err)
{
    struct hearth__served **table;
    struct after after = {0};
    uint32_t most;
    int status = HEARTH_OK;

    bring_new(node, found, count);
    hearth_lock_acquire(&node->lock);
    most = node->served_count + count + 1;
    table = hearth_calloc(most, sizeof(*table));
    after.gone = hearth_calloc(most, sizeof(*table));
    after.again = hearth_calloc(most, sizeof(*table));
    if (table == NULL || after.gone == NULL || after.again == NULL) {
        status = hearth_fail(err, HEARTH_ENOMEM,
                             "no memory for the repository: free some");
        hearth_free(table);
    } else {
        merge(node, only, found, count, table, &after);
        count = 0;
    }
    hearth_lock_release(&node->lock);
    for (uint32_t i = 0; i < after.again_count; i++)
        hearth__workers_do(node->workers, &after.again[i]->work);
    for (uint32_t i = 0; i < after.gone_count; i++)
        hearth__served_unref(node, after.gone[i]);
    for (uint32_t i = 0; i < count; i++)
        hearth__served_drop(found[i]);
    hearth_free(after.gone);
    hearth_free(after.again);
    return status;
}
