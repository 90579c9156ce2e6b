/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.c: the keys of a hearth.yaml, as tables: a name, what takes its value,
 * and what is expected. Every error says file, line, what was found, what was
 * expected and, for an unknown key, which known one is nearest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "function/function_priv.h"

struct parse {
    hearth_function_t *f;
    yaml_document_t doc;
    struct hearth_error *err;
    bool no_memory;
};

struct key {
    const char *name;
    /* False: the value is not what <expected> says. */
    bool (*take)(struct parse *p, const yaml_node_t *value);
    const char *expected;
};

/* ---- Values ---- */

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE
               ? (const char *)node->data.scalar.value
               : NULL;
}

static bool parse_u32(const char *text, const char **end, uint32_t *out)
{
    char *e;
    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long v = strtoul(text, &e, 10);
    *end = e;
    *out = (uint32_t)v;
    return errno == 0 && v <= 65536;
}

/* "224x224" */
static bool parse_size(const char *text, uint32_t *width, uint32_t *height)
{
    const char *end;
    return parse_u32(text, &end, width) && (*end == 'x' || *end == 'X') &&
           parse_u32(end + 1, &end, height) && *end == '\0' && *width > 0 &&
           *height > 0;
}

static bool parse_plain_number(const char *text, size_t bytes, double *value)
{
    char copy[64], *end;
    if (bytes == 0 || bytes >= sizeof copy)
        return false;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    if (strspn(copy, "0123456789+-.eE") != bytes)
        return false;
    *value = strtod(copy, &end);
    return *end == '\0';
}

/* "0.5" or "1/255" */
static bool parse_number(const char *text, float *out)
{
    double value, divisor = 1;
    if (text == NULL)
        return false;
    size_t length = strlen(text), slash = strcspn(text, "/");
    if (!parse_plain_number(text, slash, &value))
        return false;
    if (slash < length &&
        (!parse_plain_number(text + slash + 1, length - slash - 1, &divisor) ||
         divisor == 0))
        return false;
    *out = (float)(value / divisor);
    return *out - *out == 0; /* finite */
}

/* A number, or a list of one or three. */
static bool parse_numbers(struct parse *p, const yaml_node_t *node,
                          float out[3], int *count)
{
    *count = 1;
    if (node->type == YAML_SCALAR_NODE)
        return parse_number(scalar(node), &out[0]);
    if (node->type != YAML_SEQUENCE_NODE)
        return false;
    *count = 0;
    for (yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&p->doc, *i);
        if (*count == 3 || item->type != YAML_SCALAR_NODE ||
            !parse_number(scalar(item), &out[(*count)++]))
            return false;
    }
    return *count == 1 || *count == 3;
}

static bool parse_bool(const char *text, bool *out)
{
    if (text == NULL)
        return false;
    *out = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;
    return *out || strcmp(text, "false") == 0 || strcmp(text, "no") == 0;
}

/* A text that is not empty. */
static bool take_text(struct parse *p, const yaml_node_t *node, char **out)
{
    const char *text = scalar(node);
    if (text == NULL || *text == '\0' ||
        strlen(text) != node->data.scalar.length)
        return false;
    *out = hearth_strdup(text);
    p->no_memory |= *out == NULL;
    return true;
}

/* ---- input ---- */

static bool take_input_kind(struct parse *p, const yaml_node_t *value)
{
    const char *text = scalar(value);
    for (int k = HEARTH_KIND_IMAGE; text != NULL && k <= HEARTH_KIND_OIP; k++)
        if (k != HEARTH_KIND_LABELS &&
            strcmp(text, hearth_function_kind_name(k)) == 0) {
            p->f->info.input = (enum hearth_function_kind)k;
            return true;
        }
    return false;
}

static bool take_size(struct parse *p, const yaml_node_t *value)
{
    return parse_size(scalar(value), &p->f->image.width, &p->f->image.height);
}

static bool take_channels(struct parse *p, const yaml_node_t *value)
{
    const char *end;
    return parse_u32(scalar(value), &end, &p->f->image.channels) &&
           *end == '\0' &&
           (p->f->image.channels == 1 || p->f->image.channels == 3);
}

static bool take_resize(struct parse *p, const yaml_node_t *value)
{
    struct hearth_image_spec *i = &p->f->image;
    const char *end;
    if (parse_size(scalar(value), &i->resize_width, &i->resize_height))
        return true;
    i->resize_width = i->resize_height = 0;
    return parse_u32(scalar(value), &end, &i->resize_short) && *end == '\0' &&
           i->resize_short > 0;
}

static bool take_crop(struct parse *p, const yaml_node_t *value)
{
    const char *text = scalar(value);
    if (text == NULL)
        return false;
    p->f->image.crop =
        strcmp(text, "center") == 0 ? HEARTH_CROP_CENTER : HEARTH_CROP_NONE;
    return p->f->image.crop == HEARTH_CROP_CENTER || strcmp(text, "none") == 0;
}

static bool take_scale(struct parse *p, const yaml_node_t *value)
{
    return parse_number(scalar(value), &p->f->image.scale);
}

static bool take_mean(struct parse *p, const yaml_node_t *value)
{
    return parse_numbers(p, value, p->f->image.mean, &p->f->mean_count);
}

static bool take_deviation(struct parse *p, const yaml_node_t *value)
{
    float *d = p->f->image.deviation;
    if (!parse_numbers(p, value, d, &p->f->deviation_count))
        return false;
    for (int i = 0; i < p->f->deviation_count; i++)
        if (d[i] == 0)
            return false;
    return true;
}

static bool take_layout(struct parse *p, const yaml_node_t *value)
{
    const char *text = scalar(value);
    if (text == NULL)
        return false;
    p->f->has_layout = true;
    p->f->image.layout =
        strcmp(text, "NHWC") == 0 ? HEARTH_LAYOUT_NHWC : HEARTH_LAYOUT_NCHW;
    return strcmp(text, "NHWC") == 0 || strcmp(text, "NCHW") == 0;
}

static const struct key input_keys[] = {
    {"kind", take_input_kind, "image, json, raw or oip"},
    {"size", take_size, "WIDTHxHEIGHT, such as 224x224"},
    {"channels", take_channels, "1 (grey) or 3 (red, green, blue)"},
    {"resize", take_resize,
     "the short side's pixels, such as 256, or WIDTHxHEIGHT"},
    {"crop", take_crop, "center or none"},
    {"scale", take_scale, "a number, such as 0.5 or 1/255"},
    {"mean", take_mean, "a number, or one a channel: [0.485, 0.456, 0.406]"},
    {"deviation", take_deviation,
     "a number that is not 0, or one a channel: [0.229, 0.224, 0.225]"},
    {"layout", take_layout, "NCHW or NHWC"},
    {NULL, NULL, NULL},
};

/* ---- output ---- */

static bool take_output_kind(struct parse *p, const yaml_node_t *value)
{
    const char *text = scalar(value);
    for (int k = HEARTH_KIND_LABELS; text != NULL && k <= HEARTH_KIND_OIP; k++)
        if (strcmp(text, hearth_function_kind_name(k)) == 0) {
            p->f->info.output = (enum hearth_function_kind)k;
            return true;
        }
    return false;
}

static bool take_labels(struct parse *p, const yaml_node_t *value)
{
    return take_text(p, value, &p->f->labels_path);
}

static bool take_top(struct parse *p, const yaml_node_t *value)
{
    const char *end;
    return parse_u32(scalar(value), &end, &p->f->top) && *end == '\0' &&
           p->f->top > 0;
}

static bool take_softmax(struct parse *p, const yaml_node_t *value)
{
    bool yes;
    if (!parse_bool(scalar(value), &yes))
        return false;
    p->f->softmax = yes ? HEARTH__YES : HEARTH__NO;
    return true;
}

static bool take_output_name(struct parse *p, const yaml_node_t *value)
{
    return take_text(p, value, &p->f->output_name);
}

static const struct key output_keys[] = {
    {"kind", take_output_kind, "labels, json, raw or oip"},
    {"labels", take_labels, "a file with a label a line"},
    {"top", take_top, "how many labels to answer, such as 5"},
    {"softmax", take_softmax, "true or false"},
    {"name", take_output_name, "the name of one of the model's outputs"},
    {NULL, NULL, NULL},
};

/* ---- The file ---- */

static int parse_mapping(struct parse *p, const yaml_node_t *map,
                         const char *where, const struct key *keys);

static bool take_model(struct parse *p, const yaml_node_t *value)
{
    return take_text(p, value, &p->f->model_path);
}

static bool take_name(struct parse *p, const yaml_node_t *value)
{
    return take_text(p, value, &p->f->name);
}

static bool take_timeout(struct parse *p, const yaml_node_t *value)
{
    return scalar(value) != NULL &&
           hearth_parse_duration_us(scalar(value), &p->f->info.timeout_us);
}

static bool take_max_body(struct parse *p, const yaml_node_t *value)
{
    return scalar(value) != NULL &&
           hearth_parse_bytes(scalar(value), &p->f->info.max_body_bytes) &&
           p->f->info.max_body_bytes > 0;
}

static bool take_warm(struct parse *p, const yaml_node_t *value)
{
    struct hearth_function_info *info = &p->f->info;
    if (!parse_bool(scalar(value), &info->warm))
        return false;
    info->warm_asked = info->warm;
    return true;
}

/* Sections: parse_mapping goes into them by itself. */
static bool take_section(struct parse *p, const yaml_node_t *value)
{
    (void)p;
    return value->type == YAML_MAPPING_NODE;
}

static const struct key file_keys[] = {
    {"model", take_model, "the path of an .onnx file"},
    {"name", take_name, "a name"},
    {"input", take_section, "keys such as kind: image"},
    {"output", take_section, "keys such as kind: labels"},
    {"timeout", take_timeout, "a duration, such as 30s or 500ms"},
    {"warm", take_warm, "true or false"},
    {"max_body", take_max_body, "a size, such as 10MiB"},
    {NULL, NULL, NULL},
};

static int fail_at(struct parse *p, const yaml_node_t *node, const char *text)
{
    return hearth_fail(p->err, HEARTH_ECONFIG, "%.80s:%zu: %s", p->f->shown,
                       node->start_mark.line + 1, text);
}

static int unknown_key(struct parse *p, const yaml_node_t *node,
                       const char *name, const char *where,
                       const struct key *keys)
{
    const char *nearest = NULL;
    unsigned best = 4;
    char text[200];
    for (const struct key *k = keys; k->name != NULL; k++)
        if (hearth_text_distance(name, k->name) < best) {
            best = hearth_text_distance(name, k->name);
            nearest = k->name;
        }
    int n =
        snprintf(text, sizeof text, "unknown key '%.40s%.40s'; ", where, name);
    if (nearest != NULL)
        snprintf(text + n, sizeof text - (size_t)n, "did you mean '%s%s'?",
                 where, nearest);
    else {
        n += snprintf(text + n, sizeof text - (size_t)n, "known are");
        for (const struct key *k = keys;
             k->name != NULL && (size_t)n < sizeof text; k++)
            n += snprintf(text + n, sizeof text - (size_t)n, " %s", k->name);
    }
    return fail_at(p, node, text);
}

static int wrong_value(struct parse *p, const yaml_node_t *node,
                       const char *where, const struct key *key)
{
    char text[220];
    const char *found = scalar(node);
    snprintf(text, sizeof text, "%s%s is %s%.40s%s; expected %s", where,
             key->name, found != NULL ? "'" : "",
             found != NULL                      ? found
             : node->type == YAML_SEQUENCE_NODE ? "a list that does not fit"
                                                : "a section",
             found != NULL ? "'" : "", key->expected);
    return fail_at(p, node, text);
}

static int parse_pair(struct parse *p, const yaml_node_t *name_node,
                      const yaml_node_t *value, const char *where,
                      const struct key *keys, uint32_t *seen)
{
    const char *name = scalar(name_node);
    char text[100];
    if (name == NULL)
        return fail_at(p, name_node, "a key must be a word");
    uint32_t i = 0;
    while (keys[i].name != NULL && strcmp(keys[i].name, name) != 0)
        i++;
    if (keys[i].name == NULL)
        return unknown_key(p, name_node, name, where, keys);
    if (*seen & 1u << i) {
        snprintf(text, sizeof text, "'%s%s' is here a second time", where,
                 name);
        return fail_at(p, name_node, text);
    }
    *seen |= 1u << i;
    if (!keys[i].take(p, value))
        return wrong_value(p, value, where, &keys[i]);
    if (keys[i].take == take_section)
        return parse_mapping(
            p, value, strcmp(name, "input") == 0 ? "input." : "output.",
            strcmp(name, "input") == 0 ? input_keys : output_keys);
    return HEARTH_OK;
}

static int parse_mapping(struct parse *p, const yaml_node_t *map,
                         const char *where, const struct key *keys)
{
    uint32_t seen = 0;
    int rc = HEARTH_OK;
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         rc == HEARTH_OK && pair < map->data.mapping.pairs.top; pair++)
        rc = parse_pair(p, yaml_document_get_node(&p->doc, pair->key),
                        yaml_document_get_node(&p->doc, pair->value), where,
                        keys, &seen);
    return rc;
}

static int broken(hearth_function_t *f, const yaml_parser_t *parser,
                  struct hearth_error *err)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", f->shown);
    return hearth_fail(err, HEARTH_ECONFIG, "%.80s:%zu: not YAML: %.100s",
                       f->shown, parser->problem_mark.line + 1,
                       parser->problem != NULL ? parser->problem
                                               : "it cannot be read");
}

int hearth__function_parse(hearth_function_t *f, const char *text, size_t bytes,
                           struct hearth_error *err)
{
    struct parse p = {.f = f, .err = err};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", f->shown);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (!yaml_parser_load(&parser, &p.doc)) {
        int rc = broken(f, &parser, err);
        yaml_parser_delete(&parser);
        return rc;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&p.doc);
    int rc;
    if (root == NULL || root->type != YAML_MAPPING_NODE)
        rc = hearth_fail(err, HEARTH_ECONFIG,
                         "%.80s:1: expected keys, such as model: model.onnx",
                         f->shown);
    else
        rc = parse_mapping(&p, root, "", file_keys);
    if (rc == HEARTH_OK && p.no_memory)
        rc = hearth_fail(err, HEARTH_ENOMEM, "no memory for %.80s", f->shown);
    if (rc == HEARTH_OK && f->model_path == NULL)
        rc = hearth_fail(err, HEARTH_ECONFIG,
                         "%.80s:1: the key 'model' is missing; expected the "
                         "path of an .onnx file",
                         f->shown);
    yaml_document_delete(&p.doc);
    yaml_parser_delete(&parser);
    return rc;
}
