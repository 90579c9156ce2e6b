/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed models: the same graph, weights and answers as from the source; which
 * file is which model without reading it, and when that is not believed;
 * damage, lies with good checksums, no memory.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "model/model_priv.h"
#include "pack/pack_priv.h"
#include "unit/model_run.h"
#include "unit/onnx_build.h"

#define F32 1

static char dir[64];
static hearth_packs_t *packs;
static struct hearth_error err;

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    char path[512];
    const char *top = getenv("HEARTH_SRCDIR");
    size_t bytes;
    char *text;
    (void)state;
    /* Files of a test are always young. */
    hearth__packed_settled_ns = 0;
    snprintf(dir, sizeof dir, "/tmp/hearth-packed-XXXXXX");
    snprintf(path, sizeof path, "%s/examples/digits/model.onnx",
             top == NULL ? "." : top);
    if (mkdtemp(dir) == NULL || hearth_base_init() != HEARTH_OK ||
        hearth_read_file(path, 1 << 20, &text, &bytes, &err) != HEARTH_OK)
        return -1;
    write_file("m.onnx", text, bytes);
    hearth_free(text);
    return hearth_packs_create(&packs, in_dir("packs"), 0, &err);
}

static int teardown(void **state)
{
    static const char *const files[] = {"m.onnx", "other.onnx", "w.bin",
                                        "v.bin",  "packs/lock", "packs"};
    struct hearth__pack_list list;
    (void)state;
    if (hearth__packs_list(packs, true, &list, &err) == HEARTH_OK) {
        for (uint32_t i = 0; i < list.count; i++)
            (void)unlinkat(packs->directory, list.files[i].name, 0);
        hearth__packs_list_free(&list);
    }
    hearth_packs_destroy(&packs);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        (void)remove(in_dir(files[i]));
    return rmdir(dir);
}

static hearth_model_t *open_model(const char *name, bool packed)
{
    hearth_model_t *m;
    err = (struct hearth_error){0};
    int rc = hearth_model_open_packed(&m, in_dir(name), NULL, packs, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s", err.text);
    if (hearth_model_is_packed(m) != packed)
        fail_msg("%s came out of %s", name, packed ? "its source" : "a pack");
    return m;
}

static void pack_model(const char *name)
{
    hearth_model_t *m = open_model(name, false);
    assert_int_equal(hearth_model_pack(m, packs, NULL, NULL, &err), HEARTH_OK);
    hearth_model_close(&m);
}

/* Weights too. */
static void same_graph(const hearth_model_t *a, const hearth_model_t *b)
{
    const struct hearth_graph *x = hearth_model_graph(a);
    const struct hearth_graph *y = hearth_model_graph(b);
    const struct hearth_weights *p = hearth_model_weights(a);
    const struct hearth_weights *q = hearth_model_weights(b);
    assert_int_equal(x->bytes, y->bytes);
    assert_int_equal(x->value_count, y->value_count);
    assert_memory_equal(hearth_graph_at(x, x->nodes),
                        hearth_graph_at(y, y->nodes), x->bytes - x->nodes);
    for (uint32_t i = 0; i < x->value_count; i++) {
        struct hearth_graph_value v = *hearth_graph_value(x, i);
        struct hearth_graph_value w = *hearth_graph_value(y, i);
        if (v.kind == HEARTH_VALUE_WEIGHT) {
            const void *one, *two;
            char *copy = malloc(v.bytes + 1);
            assert_int_equal(
                p->map(p->ctx, v.segment, v.offset, v.bytes, &one, &err),
                HEARTH_OK);
            assert_int_equal(
                q->map(q->ctx, w.segment, w.offset, w.bytes, &two, &err),
                HEARTH_OK);
            assert_memory_equal(one, two, v.bytes);
            assert_int_equal((uintptr_t)two % HEARTH__PACKED_ALIGNMENT, 0);
            assert_int_equal(
                q->read(q->ctx, w.segment, w.offset, w.bytes, copy, &err),
                HEARTH_OK);
            assert_memory_equal(one, copy, v.bytes);
            free(copy);
            w.segment = v.segment;
            w.offset = v.offset;
        }
        assert_memory_equal(&v, &w, sizeof v);
    }
}

/* ---- The same model ---- */

static void a_packed_model_is_the_model(void **state)
{
    struct hearth_model_totals a, b;
    struct hearth_digest d, e;
    struct hearth_model_file_id f, g;
    char one[HEARTH_PACK_KEY_MAX], two[HEARTH_PACK_KEY_MAX];
    (void)state;
    pack_model("m.onnx");
    hearth_model_t *m = open_model("m.onnx", true), *source;
    assert_int_equal(hearth_model_open(&source, in_dir("m.onnx"), NULL, &err),
                     HEARTH_OK);
    same_graph(source, m);
    hearth_model_totals(source, &a);
    hearth_model_totals(m, &b);
    assert_int_equal(a.file_bytes, b.file_bytes);
    assert_int_equal(a.weight_bytes, b.weight_bytes);
    assert_int_equal(a.parameter_count, b.parameter_count);
    assert_int_equal(a.nodes, b.nodes);
    assert_int_equal(a.source_nodes, b.source_nodes);
    assert_string_equal(a.producer, b.producer);
    assert_true(b.heap_bytes < a.heap_bytes + 4096);
    assert_int_equal(b.derived_bytes, 0);
    assert_int_equal(hearth_model_digest(source, &d, &err), HEARTH_OK);
    assert_int_equal(hearth_model_digest(m, &e, &err), HEARTH_OK);
    assert_memory_equal(&d, &e, sizeof d);
    hearth_model_opened_id(source, &f);
    hearth_model_opened_id(m, &g);
    assert_memory_equal(&f, &g, sizeof f);
    assert_string_equal(hearth_model_path(m), in_dir("m.onnx"));
    assert_true(hearth_model_is_current(m, in_dir("m.onnx")));
    assert_int_equal(hearth_model_pack_key(source, "x", one, &err), HEARTH_OK);
    assert_int_equal(hearth_model_pack_key(m, "x", two, &err), HEARTH_OK);
    assert_string_equal(one, two);
    const struct hearth_weights *w = hearth_model_weights(m);
    const void *at;
    assert_int_equal(w->map(w->ctx, 0, UINT64_MAX, 2, &at, &err), HEARTH_EIO);
    assert_int_equal(w->map(w->ctx, 0, 0, UINT64_MAX, &at, &err), HEARTH_EIO);
    assert_int_equal(w->map(w->ctx, 1, 0, 1, &at, &err), HEARTH_EIO);
    /* There is nothing to be done for one that is packed. */
    struct hearth_packs_stats before, after;
    hearth_packs_stats(packs, &before);
    assert_int_equal(hearth_model_pack(m, packs, NULL, NULL, &err), HEARTH_OK);
    hearth_packs_stats(packs, &after);
    assert_int_equal(before.written, after.written);
    hearth_model_close(&m);
    hearth_model_close(&source);
}

static void a_packed_model_answers_as_its_source(void **state)
{
    static float x[64];
    struct hearth_shape shape = {.rank = 4, .dims = {1, 1, 8, 8}};
    struct hearth_view in, a[MODEL_PORTS_MAX], b[MODEL_PORTS_MAX];
    struct hearth_model_port port;
    (void)state;
    pack_model("m.onnx");
    hearth_model_t *m = open_model("m.onnx", true), *source;
    assert_int_equal(hearth_model_open(&source, in_dir("m.onnx"), NULL, &err),
                     HEARTH_OK);
    assert_true(hearth_model_input(m, 0, &port));
    uint64_t bytes;
    shape = port.shape;
    for (int i = 0; i < shape.rank; i++)
        shape.dims[i] = shape.dims[i] < 0 ? 1 : shape.dims[i];
    assert_true(hearth_shape_bytes(&shape, port.dtype, &bytes));
    float *data = bytes <= sizeof x ? x : calloc(1, bytes);
    for (uint64_t i = 0; i < bytes / 4; i++)
        data[i] = (float)(i % 7) / 7;
    in = hearth_view_dense(data, port.dtype, &shape);
    assert_int_equal(model_run(source, &in, a, &err), HEARTH_OK);
    assert_int_equal(model_run(m, &in, b, &err), HEARTH_OK);
    assert_true(model_close(&a[0], &b[0]));
    free(a[0].data);
    free(b[0].data);
    if (data != x)
        free(data);
    hearth_model_close(&m);
    hearth_model_close(&source);
}

static void without_packs_the_source_is_opened(void **state)
{
    hearth_model_t *m;
    (void)state;
    pack_model("m.onnx");
    assert_int_equal(
        hearth_model_open_packed(&m, in_dir("m.onnx"), NULL, NULL, &err),
        HEARTH_OK);
    assert_false(hearth_model_is_packed(m));
    hearth_model_close(&m);
    assert_int_equal(
        hearth_model_open_packed(&m, in_dir("no.onnx"), NULL, packs, &err),
        HEARTH_ENOENT);
    assert_null(m);
    assert_int_equal(
        hearth_model_open_packed(&m, in_dir("packs"), NULL, packs, &err),
        HEARTH_EIO);
    /* Other passes, another graph. */
    const struct hearth_model_options raw = {0};
    assert_int_equal(
        hearth_model_open_packed(&m, in_dir("m.onnx"), &raw, packs, &err),
        HEARTH_OK);
    assert_false(hearth_model_is_packed(m));
    hearth_model_close(&m);
}

/* ---- Which file is which model ---- */

static void copy_model(const char *to, int change_at)
{
    char *text;
    size_t bytes;
    assert_int_equal(
        hearth_read_file(in_dir("m.onnx"), 1 << 20, &text, &bytes, &err),
        HEARTH_OK);
    if (change_at >= 0)
        text[change_at] ^= 1;
    write_file(to, text, bytes);
    hearth_free(text);
}

static void a_copy_is_known_by_its_digest(void **state)
{
    (void)state;
    pack_model("m.onnx");
    copy_model("other.onnx", -1);
    hearth_model_t *m = open_model("other.onnx", true);
    assert_string_equal(hearth_model_path(m), in_dir("other.onnx"));
    assert_true(hearth_model_is_current(m, in_dir("other.onnx")));
    assert_false(hearth_model_is_current(m, in_dir("m.onnx")));
    hearth_model_close(&m);
}

static void a_changed_file_is_another_model(void **state)
{
    struct stat st;
    (void)state;
    pack_model("m.onnx");
    hearth_model_t *m = open_model("m.onnx", true);
    assert_int_equal(stat(in_dir("m.onnx"), &st), 0);
    /* In place, with the size and the time of modification as they were. */
    copy_model("other.onnx", (int)st.st_size / 2);
    char *text;
    size_t bytes;
    assert_int_equal(
        hearth_read_file(in_dir("other.onnx"), 1 << 20, &text, &bytes, &err),
        HEARTH_OK);
    write_file("m.onnx", text, bytes);
    hearth_free(text);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, in_dir("m.onnx"), times, 0), 0);
    hearth_model_t *changed = open_model("m.onnx", false);
    struct hearth_digest a, b;
    assert_int_equal(hearth_model_digest(m, &a, &err), HEARTH_OK);
    assert_int_equal(hearth_model_digest(changed, &b, &err), HEARTH_OK);
    assert_memory_not_equal(&a, &b, sizeof a);
    hearth_model_close(&m);
    hearth_model_close(&changed);
}

static void a_young_file_is_hashed_until_it_has_settled(void **state)
{
    struct hearth_packs_stats stats;
    (void)state;
    hearth__packed_settled_ns = INT64_C(3600) * 1000000000;
    pack_model("m.onnx");
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.written, 1);
    hearth_model_t *m = open_model("m.onnx", true);
    hearth_model_close(&m);
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.written, 1);
    hearth__packed_settled_ns = 0;
    m = open_model("m.onnx", true);
    hearth_model_close(&m);
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.written, 2);
}

static void entry(struct pb *tensor, const char *key, const char *value)
{
    struct pb e = {0};
    pb_text(&e, 1, key);
    pb_text(&e, 2, value);
    pb_sub(tensor, 13, &e);
}

/* y = (x + w) * v; w and v, f32 [4], in w.bin and v.bin. */
static void write_external(float w)
{
    const int64_t four[] = {4};
    const char *const names[] = {"w", "v"};
    const float numbers[2][4] = {{w, w, w, w}, {2, 3, 4, 5}};
    struct pb g = {0};
    for (int i = 0; i < 2; i++) {
        char location[8];
        snprintf(location, sizeof location, "%s.bin", names[i]);
        struct pb t = onnx_tensor(names[i], F32, 1, four, NULL, 0);
        pb_int(&t, 14, 1);
        entry(&t, "location", location);
        pb_sub(&g, 5, &t);
        write_file(location, numbers[i], sizeof numbers[i]);
    }
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_add_node(&g, "Add", "x w", "s");
    onnx_add_node(&g, "Mul", "s v", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    write_file("other.onnx", m.data, m.bytes);
    pb_free(&m);
}

static void external_data_is_packed_and_its_files_are_watched(void **state)
{
    const float other[4] = {9, 9, 9, 9};
    (void)state;
    write_external(1);
    pack_model("other.onnx");
    hearth_model_t *m = open_model("other.onnx", true), *source;
    assert_int_equal(
        hearth_model_open(&source, in_dir("other.onnx"), NULL, &err),
        HEARTH_OK);
    same_graph(source, m);
    assert_string_equal(hearth_model_external(m, 0), "w.bin");
    assert_string_equal(hearth_model_external(m, 1), "v.bin");
    assert_null(hearth_model_external(m, 2));
    assert_true(hearth_model_is_current(m, in_dir("other.onnx")));
    struct hearth_model_totals a, b;
    hearth_model_totals(source, &a);
    hearth_model_totals(m, &b);
    assert_int_equal(a.file_bytes, b.file_bytes);
    hearth_model_close(&source);
    write_file("v.bin", other, sizeof other);
    assert_false(hearth_model_is_current(m, in_dir("other.onnx")));
    hearth_model_close(&m);
    m = open_model("other.onnx", false);
    hearth_model_close(&m);
    /* As it was: its pack is found once it has been imported again. */
    write_external(1);
    m = open_model("other.onnx", false);
    hearth_model_close(&m);
    m = open_model("other.onnx", true);
    hearth_model_close(&m);
    assert_int_equal(remove(in_dir("w.bin")), 0);
    assert_int_equal(
        hearth_model_open_packed(&m, in_dir("other.onnx"), NULL, packs, &err),
        HEARTH_ENOENT);
}

/* ---- Damage ---- */

/* The model's pack and its source's: whichever is larger first. */
static const char *pack_file(bool of_model)
{
    static char path[192];
    struct hearth__pack_list list;
    uint32_t best = 0;
    assert_int_equal(hearth__packs_list(packs, true, &list, &err), HEARTH_OK);
    assert_int_equal(list.count, 2);
    for (uint32_t i = 1; i < list.count; i++)
        if ((list.files[i].bytes > list.files[best].bytes) == of_model)
            best = i;
    snprintf(path, sizeof path, "%s/packs/%s", dir, list.files[best].name);
    hearth__packs_list_free(&list);
    return path;
}

static void damage(const char *path, off_t from, off_t bytes)
{
    char garbage[64];
    memset(garbage, 0xa5, sizeof garbage);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t at = from; at < from + bytes; at += 16)
        assert_int_equal(pwrite(fd, garbage, 16, at), 16);
    close(fd);
}

static void damage_anywhere_but_in_weights_brings_the_source_back(void **state)
{
    uint64_t graph, totals, weights;
    hearth_pack_t *pack;
    struct hearth_digest digest;
    char key[HEARTH_PACK_KEY_MAX];
    (void)state;
    pack_model("m.onnx");
    hearth_model_t *m = open_model("m.onnx", true);
    assert_int_equal(hearth_model_digest(m, &digest, &err), HEARTH_OK);
    hearth_model_close(&m);
    hearth__packed_key(&digest, HEARTH_MODEL_PASS_ALL, key);
    assert_int_equal(hearth_pack_open(&pack, packs, key, &err), HEARTH_OK);
    const char *g = hearth_pack_section(pack, HEARTH__PACKED_GRAPH, &graph);
    const char *t = hearth_pack_section(pack, HEARTH__PACKED_TOTALS, &totals);
    const char *w = hearth_pack_section(pack, HEARTH__PACKED_WEIGHTS, &weights);
    off_t graph_at = HEARTH_PACK_ALIGNMENT;
    off_t totals_at = graph_at + (t - g), weights_at = graph_at + (w - g);
    hearth_pack_close(&pack);
    for (off_t at = 0; at < weights_at; at += at < graph_at ? 256 : 1008) {
        bool gap = (at >= graph_at + (off_t)graph && at < totals_at) ||
                   (at >= totals_at + (off_t)totals && at < weights_at);
        damage(pack_file(true), at, 16);
        m = open_model("m.onnx", gap);
        if (!gap)
            assert_int_equal(hearth_model_pack(m, packs, NULL, NULL, &err),
                             HEARTH_OK);
        hearth_model_close(&m);
    }
    damage(pack_file(true), weights_at + 1600, 16);
    assert_int_equal(hearth_pack_open(&pack, packs, key, &err), HEARTH_OK);
    assert_int_equal(
        hearth_pack_verify(pack, HEARTH__PACKED_WEIGHTS, NULL, NULL, &err),
        HEARTH_EMODEL);
    hearth_pack_close(&pack);
    /* Which model a file is: then it is hashed again. */
    for (off_t at = 0; at < HEARTH_PACK_ALIGNMENT + 40; at += 40) {
        damage(pack_file(false), at, 16);
        m = open_model("m.onnx", true);
        hearth_model_close(&m);
    }
}

/* Good checksums around a graph with one lie in it. */
static int put_graph(const char *key, const void *graph, uint64_t bytes,
                     uint64_t totals, uint64_t weights)
{
    static const char zeros[1 << 20];
    hearth_pack_put_t *put;
    const struct hearth_pack_put_config config = {.key = key};
    int rc = hearth_pack_put_begin(&put, packs, &config, &err);
    assert_int_equal(rc, HEARTH_OK);
    (void)hearth_pack_put_section(put, HEARTH__PACKED_GRAPH);
    (void)hearth_pack_put_write(put, graph, bytes);
    (void)hearth_pack_put_section(put, HEARTH__PACKED_TOTALS);
    (void)hearth_pack_put_write(put, zeros, totals);
    (void)hearth_pack_put_section(put, HEARTH__PACKED_WEIGHTS);
    (void)hearth_pack_put_write(put, zeros, weights);
    return hearth_pack_put_end(&put, &err);
}

/* Whatever is taken may be specialised and walked. */
static void use(const hearth_model_t *m)
{
    struct hearth_shape shapes[4];
    struct hearth_spec spec;
    const struct hearth_graph *g = hearth_model_graph(m);
    const struct hearth_weights *w = hearth_model_weights(m);
    const void *at;
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind == HEARTH_VALUE_WEIGHT)
            assert_int_equal(
                w->map(w->ctx, v->segment, v->offset, v->bytes, &at, &err),
                HEARTH_OK);
    }
    if (g->input_count > 4)
        return;
    for (uint32_t i = 0; i < g->input_count; i++) {
        shapes[i] = hearth_graph_shape(
            hearth_graph_value(g, hearth_graph_inputs(g)[i]));
        for (int k = 0; k < shapes[i].rank; k++)
            shapes[i].dims[k] = shapes[i].dims[k] < 0 ? 1 : shapes[i].dims[k];
    }
    if (hearth_spec_create(&spec, g, w, shapes, &err) == HEARTH_OK)
        hearth_spec_destroy(&spec);
}

static void a_lie_with_a_good_checksum_is_refused_or_harmless(void **state)
{
    static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000, UINT32_MAX};
    struct hearth_digest digest;
    struct hearth_model_totals totals;
    char key[HEARTH_PACK_KEY_MAX];
    hearth_model_t *m;
    uint32_t refused = 0;
    (void)state;
    write_external(1);
    pack_model("other.onnx");
    m = open_model("other.onnx", true);
    const struct hearth_graph *g = hearth_model_graph(m);
    uint64_t bytes = g->bytes;
    char *graph = malloc(bytes);
    assert_non_null(graph);
    memcpy(graph, g, bytes);
    assert_int_equal(hearth_model_digest(m, &digest, &err), HEARTH_OK);
    hearth__packed_key(&digest, HEARTH_MODEL_PASS_ALL, key);
    hearth_model_close(&m);
    for (uint64_t at = 0; at + 4 <= bytes; at += 4)
        for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
            uint32_t was;
            memcpy(&was, graph + at, 4);
            memcpy(graph + at, &lies[i], 4);
            assert_int_equal(put_graph(key, graph, bytes, sizeof totals, 128),
                             HEARTH_OK);
            memcpy(graph + at, &was, 4);
            assert_int_equal(hearth_model_open_packed(&m, in_dir("other.onnx"),
                                                      NULL, packs, &err),
                             HEARTH_OK);
            if (hearth_model_is_packed(m))
                use(m);
            refused += !hearth_model_is_packed(m);
            hearth_model_close(&m);
        }
    assert_true(refused > 100);
    /* Parts that are missing or short. */
    const uint64_t short_of[][3] = {
        {bytes - 8, sizeof totals, 128}, {0, sizeof totals, 128},
        {bytes, sizeof totals - 8, 128}, {bytes, 0, 128},
        {bytes, sizeof totals, 64},      {bytes, sizeof totals, 0}};
    for (size_t i = 0; i < sizeof short_of / sizeof short_of[0]; i++) {
        assert_int_equal(put_graph(key, graph, short_of[i][0], short_of[i][1],
                                   short_of[i][2]),
                         HEARTH_OK);
        m = open_model("other.onnx", false);
        hearth_model_close(&m);
    }
    free(graph);
}

static void no_memory_at_any_point_leaves_nothing(void **state)
{
    hearth_model_t *m;
    uint64_t used = hearth_mem_used_bytes();
    (void)state;
    for (int n = 1;; n++) {
        hearth_mem_fail_at(n, true);
        int rc =
            hearth_model_open_packed(&m, in_dir("m.onnx"), NULL, packs, &err);
        if (rc == HEARTH_OK)
            rc = hearth_model_pack(m, packs, NULL, NULL, &err);
        hearth_mem_fail_at(0, false);
        hearth_model_close(&m);
        assert_int_equal(hearth_mem_used_bytes(), used);
        if (rc == HEARTH_OK)
            break;
        assert_int_equal(rc, HEARTH_ENOMEM);
    }
    int packed = 0;
    for (int n = 1; packed == 0; n++) {
        hearth_mem_fail_at(n, true);
        int rc =
            hearth_model_open_packed(&m, in_dir("m.onnx"), NULL, packs, &err);
        hearth_mem_fail_at(0, false);
        assert_int_equal(rc == HEARTH_OK, m != NULL);
        packed = m != NULL && hearth_model_is_packed(m);
        hearth_model_close(&m);
        assert_int_equal(hearth_mem_used_bytes(), used);
        assert_true(n < 100);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_packed_model_is_the_model),
        CASE(a_packed_model_answers_as_its_source),
        CASE(without_packs_the_source_is_opened),
        CASE(a_copy_is_known_by_its_digest),
        CASE(a_changed_file_is_another_model),
        CASE(a_young_file_is_hashed_until_it_has_settled),
        CASE(external_data_is_packed_and_its_files_are_watched),
        CASE(damage_anywhere_but_in_weights_brings_the_source_back),
        CASE(a_lie_with_a_good_checksum_is_refused_or_harmless),
        CASE(no_memory_at_any_point_leaves_nothing),
    };
    return cmocka_run_group_tests_name("model_packed", cases, NULL, NULL);
}
