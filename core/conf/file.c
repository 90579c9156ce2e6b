/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c: the same rows from a YAML file. Every error says file, line, what was
 * found and what was expected. Texts and list items are kept in one chain, so
 * that freeing the file's record frees them.
 */
#include "conf/conf_priv.h"

#include <string.h>
#include <yaml.h>

#define FILE_MAX (UINT64_C(1) << 20)
#define ITEMS_MAX 4096u

struct piece {
    struct piece *next;
    _Alignas(16) char data[];
};

struct hearth_conf_file {
    struct piece *pieces;
};

struct parse {
    hearth_conf_file_t *file;
    yaml_document_t doc;
    char shown[72];
    struct hearth_error *err;
};

static void *keep(hearth_conf_file_t *file, size_t bytes)
{
    struct piece *piece = hearth_calloc(1, sizeof(*piece) + bytes);

    if (piece == NULL)
        return NULL;
    piece->next = file->pieces;
    file->pieces = piece;
    return piece->data;
}

static int no_memory(struct parse *p)
{
    return hearth_fail(p->err, HEARTH_ENOMEM, "no memory for %s: free some",
                       p->shown);
}

static int fail_at(struct parse *p, const yaml_node_t *node, const char *text)
{
    return hearth_fail(p->err, HEARTH_ECONFIG, "%s:%zu: %s", p->shown,
                       node->start_mark.line + 1, text);
}

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE
               ? (const char *)node->data.scalar.value
               : NULL;
}

/* A scalar's text, or a list's with blanks between. *text NULL: it is neither.
 */
static int read_text(struct parse *p, const yaml_node_t *node,
                     const char **text)
{
    const char *one = scalar(node);
    size_t bytes = 1, used = 0;
    char *all;

    *text = NULL;
    if (one) {
        all = keep(p->file, strlen(one) + 1);
        if (all == NULL)
            return no_memory(p);
        memcpy(all, one, strlen(one) + 1);
        *text = all;
        return HEARTH_OK;
    }
    if (node->type != YAML_SEQUENCE_NODE)
        return HEARTH_OK;
    for (yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        one = scalar(yaml_document_get_node(&p->doc, *i));
        if (one == NULL)
            return HEARTH_OK;
        bytes += strlen(one) + 1;
    }
    all = keep(p->file, bytes);
    if (all == NULL)
        return no_memory(p);
    for (yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        one = scalar(yaml_document_get_node(&p->doc, *i));
        used += (size_t)snprintf(all + used, bytes - used, "%s%s",
                                 used > 0 ? " " : "", one);
    }
    *text = all;
    return HEARTH_OK;
}

/* What --name=yes means in YAML. */
static const char *yaml_switch(const char *text)
{
    return strcmp(text, "yes") == 0 || strcmp(text, "on") == 0 ? "true" : text;
}

static int take_value(struct parse *p, const struct hearth_conf_row *row,
                      const yaml_node_t *node, void *config)
{
    const char *text = NULL;
    struct hearth_error bad;
    int status = HEARTH_OK;

    if (row->kind == HEARTH_CONF_TEXT)
        status = read_text(p, node, &text);
    else
        text = scalar(node);
    if (status != HEARTH_OK)
        return status;
    if (text == NULL)
        return fail_at(p, node, "expected a value, or a list of values");
    if (row->kind == HEARTH_CONF_SWITCH)
        text = yaml_switch(text);
    if (hearth__conf_set(row, config, text))
        return HEARTH_OK;
    hearth__conf_bad_value(row, HEARTH_ECONFIG, text, &bad);
    return fail_at(p, node, bad.text);
}

static int unknown_key(struct parse *p, const yaml_node_t *node,
                       const struct hearth_conf_row *rows, uint32_t count,
                       const struct hearth_conf_list *lists,
                       uint32_t list_count)
{
    const char *name = scalar(node), *nearest = NULL;
    unsigned best = 4;
    char text[160];

    for (uint32_t i = 0; i < count + list_count; i++) {
        const char *known = i < count ? rows[i].name : lists[i - count].name;
        unsigned away = hearth_text_distance(name, known);

        if (away < best) {
            best = away;
            nearest = known;
        }
    }
    snprintf(text, sizeof(text), "unknown key '%.40s'%s%.40s%s", name,
             nearest ? "; did you mean '" : "", nearest ? nearest : "",
             nearest ? "'?" : "; see --help");
    return fail_at(p, node, text);
}

static int parse_mapping(struct parse *p, const yaml_node_t *map,
                         const struct hearth_conf_row *rows, uint32_t count,
                         const struct hearth_conf_list *lists,
                         uint32_t list_count, void *config);

static int parse_list(struct parse *p, const struct hearth_conf_list *list,
                      const yaml_node_t *node, void *config)
{
    size_t count;
    char *items;
    int status = HEARTH_OK;

    if (node->type != YAML_SEQUENCE_NODE)
        return fail_at(p, node, "expected a list: lines that begin with '- '");
    count = (size_t)(node->data.sequence.items.top -
                     node->data.sequence.items.start);
    if (count > ITEMS_MAX)
        return fail_at(p, node, "expected at most 4096 items");
    items = keep(p->file, count * list->item_bytes);
    if (items == NULL)
        return no_memory(p);
    for (size_t i = 0; status == HEARTH_OK && i < count; i++) {
        const yaml_node_t *item =
            yaml_document_get_node(&p->doc, node->data.sequence.items.start[i]);
        char *to = items + i * list->item_bytes;

        if (item->type != YAML_MAPPING_NODE)
            return fail_at(p, item, "expected keys, such as - name: a");
        hearth_conf_defaults(list->rows, list->row_count, to);
        status =
            parse_mapping(p, item, list->rows, list->row_count, NULL, 0, to);
    }
    *(void **)((char *)config + list->items_offset) = items;
    *(uint32_t *)((char *)config + list->count_offset) = (uint32_t)count;
    return status;
}

static int parse_pair(struct parse *p, const yaml_node_t *key,
                      const yaml_node_t *value,
                      const struct hearth_conf_row *rows, uint32_t count,
                      const struct hearth_conf_list *lists, uint32_t list_count,
                      void *config)
{
    const char *name = scalar(key);

    if (name == NULL)
        return fail_at(p, key, "expected a key");
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0 &&
            !(rows[i].flags & HEARTH_CONF_ENV_ONLY))
            return take_value(p, &rows[i], value, config);
    for (uint32_t i = 0; i < list_count; i++)
        if (strcmp(lists[i].name, name) == 0)
            return parse_list(p, &lists[i], value, config);
    return unknown_key(p, key, rows, count, lists, list_count);
}

static int parse_mapping(struct parse *p, const yaml_node_t *map,
                         const struct hearth_conf_row *rows, uint32_t count,
                         const struct hearth_conf_list *lists,
                         uint32_t list_count, void *config)
{
    int status = HEARTH_OK;

    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         status == HEARTH_OK && pair < map->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&p->doc, pair->key);

        for (yaml_node_pair_t *q = map->data.mapping.pairs.start; q < pair;
             q++) {
            const yaml_node_t *before = yaml_document_get_node(&p->doc, q->key);

            if (scalar(key) && scalar(before) &&
                strcmp(scalar(key), scalar(before)) == 0)
                return fail_at(p, key, "this key is here a second time");
        }
        status =
            parse_pair(p, key, yaml_document_get_node(&p->doc, pair->value),
                       rows, count, lists, list_count, config);
    }
    return status;
}

static int parse_text(struct parse *p, const char *text, size_t bytes,
                      const struct hearth_conf_row *rows, uint32_t count,
                      const struct hearth_conf_list *lists, uint32_t list_count,
                      void *config)
{
    const yaml_node_t *root;
    yaml_parser_t parser;
    int status = HEARTH_OK;

    if (!yaml_parser_initialize(&parser))
        return no_memory(p);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (!yaml_parser_load(&parser, &p->doc)) {
        status = parser.error == YAML_MEMORY_ERROR
                     ? no_memory(p)
                     : hearth_fail(p->err, HEARTH_ECONFIG,
                                   "%s:%zu: not YAML: %.100s", p->shown,
                                   parser.problem_mark.line + 1,
                                   parser.problem ? parser.problem
                                                  : "it cannot be read");
        yaml_parser_delete(&parser);
        return status;
    }
    root = yaml_document_get_root_node(&p->doc);
    if (root && root->type == YAML_MAPPING_NODE)
        status = parse_mapping(p, root, rows, count, lists, list_count, config);
    else if (root)
        status = fail_at(p, root, "expected keys, such as port: 8000");
    yaml_document_delete(&p->doc);
    yaml_parser_delete(&parser);
    return status;
}

int hearth_conf_file_read(hearth_conf_file_t **file, const char *path,
                          const struct hearth_conf_row *rows, uint32_t count,
                          const struct hearth_conf_list *lists,
                          uint32_t list_count, void *config,
                          struct hearth_error *err)
{
    struct parse p = {.err = err};
    char *text;
    size_t bytes;
    int status;

    *file = NULL;
    hearth_path_end(path, p.shown, sizeof(p.shown));
    status = hearth_read_file(path, FILE_MAX, &text, &bytes, err);
    if (status != HEARTH_OK)
        return status;
    p.file = hearth_calloc(1, sizeof(*p.file));
    status = p.file ? parse_text(&p, text, bytes, rows, count, lists,
                                 list_count, config)
                    : no_memory(&p);
    hearth_free(text);
    if (status != HEARTH_OK)
        hearth_conf_file_free(&p.file);
    *file = p.file;
    return status;
}

void hearth_conf_file_free(hearth_conf_file_t **file)
{
    if (*file == NULL)
        return;
    while ((*file)->pieces) {
        struct piece *piece = (*file)->pieces;

        (*file)->pieces = piece->next;
        hearth_free(piece);
    }
    hearth_free(*file);
    *file = NULL;
}
