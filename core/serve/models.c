/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.c: the versions of the repositories' models: found, opened with the
 * first request or by hand, closed, and opened anew when their files change.
 *
 *     CLOSED -> OPENING -> OPEN -> CLOSED            FAILED -> OPENING, later
 *                       -> FAILED
 *
 * Opening reads and hashes a file, so it is a worker's; requests wait for it in
 * a list, and are told by a message to their loops. A version that is replaced
 * goes on serving the requests that have it.
 */
#include "serve/serve_priv.h"

#include "log/log.h"

#include <string.h>

#define RETRY_US 5000000

/* ---- References. Under the lock. ---- */

static void free_served(struct hearth__served *s)
{
    HEARTH_ASSERT(s->service == NULL && s->waiters == NULL);
    hearth__remote_free(&s->remote);
    hearth__pbtxt_free(&s->config);
    hearth_free(s->labels_path);
    hearth_free(s->name);
    hearth_free(s->path);
    hearth_free(s);
}

void hearth__served_unref(hearth_node_t *node, struct hearth__served *s)
{
    hearth_service_t *service = NULL;
    bool last;

    if (s == NULL)
        return;
    hearth_lock_acquire(&node->lock);
    last = --s->refs == 0;
    if (last) {
        service = s->service;
        s->service = NULL;
        s->state = HEARTH__CLOSED;
    }
    hearth_lock_release(&node->lock);
    hearth_service_close(&service);
    if (last) {
        hearth__remote_let_go(node, s);
        free_served(s);
    }
}

/* ---- Finding ---- */

/* The first of that name, or where it would stand. Under the lock. */
static uint32_t lower_bound(const hearth_node_t *node, const char *name)
{
    uint32_t low = 0, high = node->served_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (strcmp(node->served[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct hearth__served *hearth__served_find(hearth_node_t *node,
                                           const struct hearth__tenant *tenant,
                                           const char *name, int64_t version,
                                           struct hearth_error *err)
{
    struct hearth__served *found = NULL;
    bool known = false;

    if (tenant == NULL || hearth__tenant_sees(tenant, name)) {
        hearth_lock_acquire(&node->lock);
        for (uint32_t i = lower_bound(node, name);
             !found && i < node->served_count &&
             strcmp(node->served[i]->name, name) == 0;
             i++) {
            known = true;
            if (version == 0 || node->served[i]->version == version)
                found = node->served[i];
        }
        if (found)
            found->refs++;
        hearth_lock_release(&node->lock);
    }
    if (found)
        return found;
    if (known)
        hearth_fail(err, HEARTH_ENOENT,
                    "Request for unknown model: '%.80s' version %lld is not "
                    "found",
                    name, (long long)version);
    else
        hearth_fail(err, HEARTH_ENOENT,
                    "Request for unknown model: '%.80s' is not found", name);
    return NULL;
}

apr_status_t hearth__served_list(hearth_node_t *node,
                                 const struct hearth__tenant *tenant,
                                 const char *name,
                                 struct hearth__served ***list, uint32_t *count)
{
    struct hearth__served **out;

    *list = NULL;
    *count = 0;
    hearth_lock_acquire(&node->lock);
    out = hearth_calloc(node->served_count + 1, sizeof(*out));
    for (uint32_t i = name ? lower_bound(node, name) : 0;
         out && i < node->served_count; i++) {
        struct hearth__served *s = node->served[i];

        if (name && strcmp(s->name, name) != 0)
            break;
        if (tenant && !hearth__tenant_sees(tenant, s->name))
            continue;
        s->refs++;
        out[(*count)++] = s;
    }
    hearth_lock_release(&node->lock);
    *list = out;
    return out ? HEARTH_OK : HEARTH_ENOMEM;
}

/* ---- Opening ---- */

static int open_service(hearth_node_t *node, struct hearth__served *s,
                        hearth_service_t **service, struct hearth_error *err)
{
    const struct hearth_node_config of_node = hearth__node_config(node);
    struct hearth_service_config config;
    struct hearth_function_plain plain = {
        .name = s->name,
        .version = s->version_text,
        .model_path = s->path,
        .labels_path = s->labels_path,
        .max_body_bytes = of_node.body_bytes,
        .max_batch = s->config ? (uint32_t)s->config->max_batch_size : 0,
        .warm = s->config && s->config->warm_up,
    };

    *service = NULL;
    if (s->config_error.status != HEARTH_OK) {
        *err = s->config_error;
        return err->status;
    }
    hearth_service_config_init(&config);
    config.timeout_us = of_node.timeout_us;
    config.cold = 2;
    return s->yaml ? hearth_service_open(service, node->engine, s->path,
                                         &config, err)
                   : hearth_flow_open_plain(service, node->engine, &plain,
                                            &config, err);
}

/* config.pbtxt says nothing that the model denies. */
static int check_config(const struct hearth__served *s,
                        hearth_service_t *service, struct hearth_error *err);

/* Tells everyone who waits; they may be gone right after. Under the lock. */
static void tell_waiters(struct hearth__served *s)
{
    struct hearth__waiter *waiter;

    while ((waiter = s->waiters)) {
        s->waiters = waiter->next;
        if (waiter->next)
            waiter->next->link = &s->waiters;
        waiter->link = NULL;
        if (s->state == HEARTH__OPEN)
            waiter->service = hearth_flow_service_ref(s->service);
        else
            waiter->error = s->error;
        hearth_loop_post(waiter->loop, &waiter->work, waiter->over);
    }
}

/* OPENING -> OPEN or FAILED. What was open before is served until then. */
static int open_now(hearth_node_t *node, struct hearth__served *s,
                    struct hearth_error *err)
{
    hearth_service_t *service = NULL, *before;
    struct hearth_model_file_id id = {0};
    struct hearth_error why = {0};
    bool pinned = false;
    int status;

    status = s->remote ? hearth__remote_bring(node, s->name, s->remote, &why)
                       : HEARTH_OK;
    hearth_model_file_id(s->path, &id);
    if (status == HEARTH_OK)
        status = open_service(node, s, &service, &why);
    if (status == HEARTH_OK && s->config)
        status = check_config(s, service, &why);
    if (status != HEARTH_OK)
        hearth_service_close(&service);
    hearth_lock_acquire(&node->lock);
    before = s->service;
    if (status == HEARTH_OK) {
        s->service = service;
        s->state = HEARTH__OPEN;
        s->path_id = id;
        s->error.status = HEARTH_OK;
        pinned = s->pinned;
        if (pinned)
            service = hearth_flow_service_ref(service);
    } else if (before) { /* Triton's rule: the old one stays */
        before = NULL;
        s->state = HEARTH__OPEN;
        s->path_id = id; /* not tried again before it changes again */
    } else {
        s->state = HEARTH__FAILED;
        s->error = why;
        s->retry_us = hearth_now_us(node->clock) + RETRY_US;
    }
    if (s->unloaded) { /* meanwhile */
        before = s->service;
        s->service = NULL;
        s->state = HEARTH__CLOSED;
        hearth_fail(&s->error, HEARTH_ENOENT, "unloaded");
    }
    tell_waiters(s);
    hearth_cond_broadcast(&node->changed);
    hearth_lock_release(&node->lock);
    if (pinned) {
        hearth_flow_service_pin(service, true);
        hearth_service_close(&service);
    }
    hearth_service_close(&before);
    hearth__remote_let_go(node, s); /* when it is not open */
    if (status == HEARTH_OK)
        hearth_log(HEARTH_LOG_INFO, 5, "event=opened model=\"%s\" version=%lld",
                   s->name, (long long)s->version);
    else
        hearth_log(HEARTH_LOG_ERROR, 6,
                   "event=\"not opened\" model=\"%s\" version=%lld status=%s "
                   "text=\"%s\"",
                   s->name, (long long)s->version, hearth_status_name(status),
                   why.text);
    if (status != HEARTH_OK && err)
        *err = why;
    return status;
}

static bool has_changed(struct hearth__served *s, hearth_service_t *service)
{
    struct hearth_model_file_id id = {0};

    return !hearth_model_file_id(s->path, &id) ||
           memcmp(&id, &s->path_id, sizeof(id)) != 0 ||
           hearth_flow_service_current(service) != HEARTH_OK;
}

int hearth__served_open(hearth_node_t *node, struct hearth__served *s,
                        bool again, hearth_service_t **out,
                        struct hearth_error *err)
{
    hearth_service_t *service = NULL;
    int status = HEARTH_OK;

    hearth_lock_acquire(&node->lock);
    while (s->state == HEARTH__OPENING)
        hearth_cond_wait(&node->changed, &node->lock, -1);
    if (s->state == HEARTH__OPEN)
        service = hearth_flow_service_ref(s->service);
    else if (s->unloaded)
        status = hearth_fail(err, HEARTH_ENOENT,
                             "'%.80s' is unloaded: load it first", s->name);
    else
        s->state = HEARTH__OPENING;
    hearth_lock_release(&node->lock);
    if (status != HEARTH_OK) {
        if (out)
            *out = NULL;
        return status;
    }
    if (service == NULL) {
        status = open_now(node, s, err);
    } else if (again && has_changed(s, service)) {
        hearth_service_close(&service);
        hearth_lock_acquire(&node->lock);
        s->state = HEARTH__OPENING;
        hearth_lock_release(&node->lock);
        status = open_now(node, s, err);
    }
    if (status == HEARTH_OK && out && service == NULL) {
        hearth_lock_acquire(&node->lock);
        if (s->state == HEARTH__OPEN)
            service = hearth_flow_service_ref(s->service);
        else
            status = hearth_fail(err, HEARTH_ENOENT,
                                 "'%.80s' was unloaded meanwhile", s->name);
        hearth_lock_release(&node->lock);
    }
    if (out)
        *out = service;
    else
        hearth_service_close(&service);
    return status;
}

static void open_work(struct hearth__work *work)
{
    struct hearth__served *s =
        HEARTH_CONTAINER(work, struct hearth__served, work);
    hearth_node_t *node = s->node;

    open_now(node, s, NULL);
    hearth__served_unref(node, s);
}

void hearth__served_begin(struct hearth__served *s)
{
    s->state = HEARTH__OPENING;
    s->refs++;
    s->work.fn = open_work;
}

int hearth__served_want(hearth_node_t *node, struct hearth__served *s,
                        struct hearth__waiter *waiter,
                        hearth_service_t **service, struct hearth_error *err)
{
    int status = HEARTH_EAGAIN;
    bool start = false;

    *service = NULL;
    hearth_lock_acquire(&node->lock);
    if (s->state == HEARTH__OPEN) {
        *service = hearth_flow_service_ref(s->service);
        status = HEARTH_OK;
    } else if (s->unloaded || (node->config.control == HEARTH_NODE_EXPLICIT &&
                               !s->loaded && s->state == HEARTH__CLOSED)) {
        status = hearth_fail(err, HEARTH_ENOENT,
                             "Request for unknown model: '%.80s' has no "
                             "available versions",
                             s->name);
    } else if (s->state == HEARTH__FAILED &&
               hearth_now_us(node->clock) < s->retry_us) {
        *err = s->error;
        status = err->status;
    } else {
        start = s->state != HEARTH__OPENING;
        if (start)
            hearth__served_begin(s);
        waiter->next = s->waiters;
        waiter->link = &s->waiters;
        if (waiter->next)
            waiter->next->link = &waiter->next;
        s->waiters = waiter;
    }
    hearth_lock_release(&node->lock);
    if (start)
        hearth__workers_do(node->workers, &s->work);
    return status;
}

bool hearth__waiter_cancel(hearth_node_t *node, struct hearth__waiter *waiter)
{
    bool waits;

    hearth_lock_acquire(&node->lock);
    waits = waiter->link != NULL;
    if (waits) {
        *waiter->link = waiter->next;
        if (waiter->next)
            waiter->next->link = waiter->link;
        waiter->link = NULL;
    }
    hearth_lock_release(&node->lock);
    return waits;
}

/* ---- Closing ---- */

static void close_served(hearth_node_t *node, struct hearth__served *s,
                         const char *why)
{
    hearth_service_t *service;

    hearth_lock_acquire(&node->lock);
    service = s->service;
    s->service = NULL;
    if (s->state == HEARTH__OPEN || s->state == HEARTH__FAILED)
        s->state = HEARTH__CLOSED;
    hearth_fail(&s->error, HEARTH_ENOENT, "%s", why);
    hearth_lock_release(&node->lock);
    if (service)
        hearth_log(HEARTH_LOG_INFO, 7,
                   "event=closed model=\"%s\" version=%lld text=\"%s\"",
                   s->name, (long long)s->version, why);
    hearth_service_close(&service);
    hearth__remote_let_go(node, s);
}

void hearth__served_unload(hearth_node_t *node, struct hearth__served *s)
{
    hearth_service_t *service = NULL;

    hearth_lock_acquire(&node->lock);
    s->unloaded = true;
    s->loaded = false;
    s->pinned = false;
    if (s->state == HEARTH__OPEN)
        service = hearth_flow_service_ref(s->service);
    hearth_lock_release(&node->lock);
    if (s->remote)
        atomic_store(&s->remote->given_up, true);
    if (service) { /* another alias may keep the model open */
        hearth_flow_service_pin(service, false);
        hearth_flow_service_unload(service);
        hearth_service_close(&service);
    }
    close_served(node, s, "unloaded");
}

void hearth__served_close_all(hearth_node_t *node)
{
    struct hearth__served **list;
    uint32_t count;

    hearth_lock_acquire(&node->lock);
    list = node->served;
    count = node->served_count;
    node->served = NULL;
    node->served_count = 0;
    hearth_lock_release(&node->lock);
    for (uint32_t i = 0; i < count; i++) {
        close_served(node, list[i], "shutting down");
        hearth__served_unref(node, list[i]);
    }
    hearth_free(list);
}

/* ---- Files that change ---- */

static void look(hearth_node_t *node, struct hearth__served *s)
{
    hearth_service_t *service = NULL;
    struct hearth_model_file_id id = {0};
    bool changed, gone;

    hearth_lock_acquire(&node->lock);
    if (s->state == HEARTH__OPEN)
        service = hearth_flow_service_ref(s->service);
    hearth_lock_release(&node->lock);
    if (service == NULL)
        return;
    gone = !hearth_model_file_id(s->path, &id) ||
           hearth_flow_service_current(service) == HEARTH_ENOENT;
    changed = !gone && has_changed(s, service);
    hearth_service_close(&service);
    if (gone) {
        hearth_log(HEARTH_LOG_WARN, 8,
                   "event=vanished model=\"%s\" version=%lld path=\"%s\"",
                   s->name, (long long)s->version, s->path);
        close_served(node, s, "its file is gone");
    } else if (changed) {
        hearth_log(HEARTH_LOG_INFO, 9,
                   "event=changed model=\"%s\" version=%lld path=\"%s\"",
                   s->name, (long long)s->version, s->path);
        hearth__served_open(node, s, true, NULL, NULL);
    }
}

void hearth__served_poll(hearth_node_t *node)
{
    struct hearth__served **list;
    uint32_t count;

    if (hearth__served_list(node, NULL, NULL, &list, &count) != HEARTH_OK)
        return; /* the next poll will */
    for (uint32_t i = 0; i < count; i++) {
        look(node, list[i]);
        hearth__served_unref(node, list[i]);
    }
    hearth_free(list);
}

/* ---- What config.pbtxt says against what the model has ---- */

static int misfit(const struct hearth__served *s, struct hearth_error *err,
                  const char *port, const char *what)
{
    return hearth_fail(err, HEARTH_ECONFIG,
                       "config.pbtxt of model '%.60s': '%.60s' %s", s->name,
                       port, what);
}

/* The model's own shape has the batch in front when max_batch_size is set. */
static bool dims_fit(const struct hearth__pbtxt_port *port,
                     const struct hearth_shape *shape, bool batched)
{
    int32_t skip = batched ? 1 : 0;

    if (port->shape.rank < 0 || shape->rank < 0)
        return true;
    if (port->shape.rank + skip != shape->rank)
        return false;
    for (int32_t i = 0; i < port->shape.rank; i++) {
        int64_t said = port->shape.dims[i], has = shape->dims[i + skip];

        if (said >= 0 && !HEARTH_DIM_IS_SYMBOL(has) && said != has)
            return false;
    }
    return true;
}

static int check_ports(const struct hearth__served *s,
                       const hearth_model_t *model,
                       const struct hearth__pbtxt_port *ports, uint32_t count,
                       bool inputs, struct hearth_error *err)
{
    bool batched = s->config->max_batch_size > 0;

    for (uint32_t i = 0; i < count; i++) {
        struct hearth_model_port port;
        uint32_t k = inputs ? hearth_model_find_input(model, ports[i].name)
                            : hearth_model_find_output(model, ports[i].name);

        if (!(inputs ? hearth_model_input(model, k, &port)
                     : hearth_model_output(model, k, &port)))
            return misfit(s, err, ports[i].name,
                          inputs ? "is no input of the model: see hearth "
                                   "inspect"
                                 : "is no output of the model: see hearth "
                                   "inspect");
        if (ports[i].dtype != HEARTH_DTYPE_NONE && ports[i].dtype != port.dtype)
            return misfit(s, err, ports[i].name,
                          "has another data_type in the model: correct it");
        if (!dims_fit(&ports[i], &port.shape, batched))
            return misfit(s, err, ports[i].name,
                          "has other dims in the model (without the batch "
                          "when max_batch_size is set): correct them");
        if (batched && port.shape.rank > 0 &&
            !HEARTH_DIM_IS_SYMBOL(port.shape.dims[0]))
            return misfit(s, err, ports[i].name,
                          "has a fixed first dimension in the model, which "
                          "max_batch_size takes for the batch: remove it");
    }
    return HEARTH_OK;
}

static int check_config(const struct hearth__served *s,
                        hearth_service_t *service, struct hearth_error *err)
{
    const hearth_model_t *model = hearth_flow_service_model(service);
    const struct hearth__pbtxt *c = s->config;
    int status = check_ports(s, model, c->inputs, c->input_count, true, err);

    if (status != HEARTH_OK)
        return status;
    return check_ports(s, model, c->outputs, c->output_count, false, err);
}
