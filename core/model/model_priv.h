/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_priv.h: what the files of core/model share: the mapped files, the
 * graph while it is worked on, and the steps from one to the other:
 *
 *   wire -> onnx (messages) -> import (names, order) -> canon (one form) ->
 *   emit (shapes, folding) -> passes -> block
 *
 * One thread imports a model. Memory of the work is an arena with a limit in
 * proportion to the file (hearth__model_ir), freed whole. Invariant: a value is
 * emitted before a node that uses it; so nodes stand in topological order.
 */
#ifndef HEARTH_MODEL_MODEL_PRIV_H
#define HEARTH_MODEL_MODEL_PRIV_H

#include <sys/stat.h>

#include "model/model.h"
#include "model/wire.h"
#include "ops/ops.h"
#include "pack/pack.h"

/* ---- files.c: segments ---- */

struct hearth__segment {
    const uint8_t *base; /* NULL: derived */
    uint64_t bytes;
    int fd; /* -1: memory of the caller */
    struct stat stat;
    char *name; /* as in errors; of an external file its location */
};
/* Weights that import computed: [offset, offset + bytes) of the last segment.
 */
struct hearth__derived {
    uint64_t offset, bytes;
    void *data;
};
struct hearth__files {
    struct hearth__segment *segments;
    uint32_t count, capacity;
    int directory; /* of the model's file, -1: none */
    struct hearth__derived *derived;
    uint32_t derived_count;
    uint64_t derived_bytes;
};

/* The end of a long path: what tells it from others, in a text of 256. */
const char *hearth__files_short(const char *path);
int hearth__files_open(struct hearth__files *files, const char *path,
                       struct hearth_error *err);
/* Only what hearth_model_is_current, external and path ask for: the model's
 * file, looked at but not read, and the directory. */
int hearth__files_look(struct hearth__files *files, const char *path,
                       struct hearth_error *err);
/* The same of an external file; false: it is not there. */
bool hearth__files_look_external(struct hearth__files *files, const char *name);
/* All but the first <keep>, which were only looked at. */
void hearth__files_forget(struct hearth__files *files, uint32_t keep);
int hearth__files_memory(struct hearth__files *files, const void *data,
                         uint64_t bytes, const char *name,
                         struct hearth_error *err);
void hearth__files_close(struct hearth__files *files);
/* The segment of the external file <location>, opened on first use. */
int hearth__files_external(struct hearth__files *files,
                           struct hearth__slice location, uint32_t *segment,
                           struct hearth_error *err);
/* struct hearth_weights' functions; <ctx> is the files. */
int hearth__files_map(void *ctx, uint32_t segment, uint64_t offset,
                      uint64_t bytes, const void **data,
                      struct hearth_error *err);
int hearth__files_read(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err);
/* As hearth_model_is_current. */
bool hearth__files_current(const struct hearth__files *files, const char *path);
void hearth__files_id(const struct stat *stat, struct hearth_model_file_id *id);
int hearth__files_digest(struct hearth__files *files,
                         struct hearth_digest *digest,
                         struct hearth_error *err);

/* ---- onnx.c: messages. Slices point into the file. ---- */

struct hearth__onnx_model {
    int64_t ir_version, opset;
    struct hearth__slice producer, producer_version, graph;
};
struct hearth__onnx_node {
    struct hearth__slice op, domain, name;
};
struct hearth__onnx_tensor {
    struct hearth__slice name;
    int64_t dims[HEARTH_RANK_MAX];
    uint32_t rank;
    uint64_t dtype;
    bool external;
    bool has_raw;
    struct hearth__slice raw;
    /* Typed data: <typed> is the first run; <typed_field> its number, 0 none;
     * <typed_runs> how many there are; message: to walk them again. */
    uint32_t typed_field, typed_runs;
    struct hearth__slice typed, message;
    struct hearth__slice location;
    uint64_t offset, length; /* of external data */
    bool has_length;
};
struct hearth__onnx_port {
    struct hearth__slice name;
    uint64_t dtype;
    bool has_shape;
    uint32_t rank;
    struct hearth__onnx_dim {
        bool has_value;
        int64_t value;
        struct hearth__slice param;
    } dims[HEARTH_RANK_MAX];
};
/* AttributeProto.AttributeType */
enum hearth__onnx_attr_type {
    HEARTH__ONNX_NONE = 0,
    HEARTH__ONNX_FLOAT = 1,
    HEARTH__ONNX_INT = 2,
    HEARTH__ONNX_STRING = 3,
    HEARTH__ONNX_TENSOR = 4,
    HEARTH__ONNX_FLOATS = 6,
    HEARTH__ONNX_INTS = 7
};
struct hearth__onnx_attr {
    struct hearth__slice name;
    uint64_t type; /* one of the above, or another that is not supported */
    int64_t i;
    float f;
    struct hearth__slice s, t, message;
};

int hearth__onnx_read_model(struct hearth__slice message,
                            struct hearth__onnx_model *model,
                            struct hearth_error *err);
int hearth__onnx_read_tensor(struct hearth__slice message,
                             struct hearth__onnx_tensor *tensor,
                             struct hearth_error *err);
int hearth__onnx_read_port(struct hearth__slice message,
                           struct hearth__onnx_port *port,
                           struct hearth_error *err);
int hearth__onnx_read_attr(struct hearth__slice message,
                           struct hearth__onnx_attr *attr,
                           struct hearth_error *err);
/* Repeated numbers, packed or not, of field <number> of <message>: fills at
 * most <most> of <dst>, 8 bytes each (int64_t, or double for <floats>); *count
 * is how many there are. */
int hearth__onnx_numbers(struct hearth__slice message, uint32_t number,
                         bool floats, void *dst, uint64_t most, uint64_t *count,
                         struct hearth_error *err);
/* HEARTH_EMODEL unless the field has that wire type. */
int hearth__onnx_want(const struct hearth__wire_field *field,
                      enum hearth__wire_type type, const char *what,
                      struct hearth_error *err);

/* ---- ir.c: the graph while it is worked on ---- */

#define HEARTH__SEGMENT_ARENA UINT32_MAX /* small: info.data only */
#define HEARTH__SEGMENT_DERIVED                                                \
    (UINT32_MAX - 1) /* files->derived, <offset>                               \
                      */

struct hearth__ir_value {
    struct hearth__slice name;
    uint8_t kind; /* INPUT, WEIGHT (any constant), ACTIVATION; NONE: to come */
    bool is_output;
    uint32_t outer;    /* in a nested graph: a constant of the one around it,
                          its number and 1 */
    uint32_t producer; /* ACTIVATION: node; NONE: node of the file */
    uint32_t uses;     /* inputs of nodes, and outputs of the graph */
    /* WEIGHT: where it lies, or one of the two below. info.data is its bytes
     * in any case, perhaps unaligned. */
    uint32_t segment;
    uint64_t offset, bytes;
    struct hearth_value_info info;
};
struct hearth__ir_attr {
    uint16_t key, type;
    uint32_t count;
    const void *data; /* int64_t[], double[], or characters */
};
struct hearth__ir_node {
    uint32_t op;     /* HEARTH_OP_NONE: removed */
    uint32_t source; /* node of the file */
    struct hearth__slice name;
    uint32_t input_count, output_count, attr_count;
    uint32_t *inputs;
    uint32_t outputs[HEARTH_OP_OUTPUTS_MAX]; /* NO_VALUE: left out */
    struct hearth__ir_attr *attrs;
};
/* A node of the file, names resolved. */
struct hearth__ir_source {
    struct hearth__onnx_node head;
    struct hearth__slice message; /* for its attributes */
    uint32_t input_count, output_count;
    uint32_t formal_count; /* of the inputs; behind them are what its graphs
                              take from around it */
    uint32_t *inputs, *outputs; /* HEARTH_NO_VALUE: left out */
};

/* An array that grows in the arena. */
struct hearth__vec {
    void *items;
    uint32_t count, capacity;
};
/* Names to numbers; open addressing, seeded per process. */
struct hearth__names {
    struct hearth__name {
        struct hearth__slice text;
        uint32_t number;
        bool used;
    } * slots;
    uint64_t capacity, count;
};

struct hearth__ir {
    struct hearth__files *files;
    struct hearth_error *err; /* never NULL */
    /* A nested graph's: the outermost one, whose arena it uses, and how many
     * are around it. NULL, 0. */
    struct hearth__ir *root;
    uint32_t depth;
    uint32_t passes;
    struct hearth__onnx_model head;
    struct hearth__vec values, nodes, sources, symbols, inputs, outputs;
    struct hearth__names value_names, symbol_names;
    uint64_t parameter_count;
    /* inline.c: functions of the model, calls so far, fields read for them. */
    struct hearth__vec functions;
    struct hearth__names function_names;
    uint32_t inline_calls;
    uint64_t inline_fields;
    /* The arena. */
    struct hearth__ir_chunk *chunks;
    uint64_t arena_bytes, arena_limit, content_bytes, derived_limit;
    /* One node as a graph block, for the rows of ops: see emit.c. */
    void *scratch;
    uint64_t scratch_bytes;
    bool failed; /* a callback of a row ran out of memory; err is filled */
};

/* Limits as model.h documents them, from the sizes of the files. */
void hearth__ir_init(struct hearth__ir *ir, struct hearth__files *files,
                     uint32_t passes, struct hearth_error *err);
void hearth__ir_fini(struct hearth__ir *ir);
/* An empty graph inside <outer>, in the same arena: no fini. */
void hearth__ir_nest(struct hearth__ir *outer, struct hearth__ir *ir);
/* Zeroed, 16-byte aligned; NULL with ir->err filled. */
void *hearth__ir_alloc(struct hearth__ir *ir, uint64_t count, uint64_t bytes);
/* A zeroed new last item of <bytes>; NULL with ir->err filled. */
void *hearth__ir_push(struct hearth__ir *ir, struct hearth__vec *vec,
                      uint64_t bytes);
/* A new value; HEARTH_NO_VALUE with ir->err filled. */
uint32_t hearth__ir_value_new(struct hearth__ir *ir, struct hearth__slice name);
/* Finds <text>, or puts it in with <number> when that is not HEARTH_NO_VALUE.
 * *found: the number that it has. *found NO_VALUE: there is none. */
int hearth__names_find(struct hearth__ir *ir, struct hearth__names *names,
                       struct hearth__slice text, uint32_t number,
                       uint32_t *found);
/* A symbol's dimension; an empty name makes an anonymous one. */
int hearth__ir_symbol(struct hearth__ir *ir, struct hearth__slice name,
                      int64_t *dim);
/* A constant of <count> elements in arena memory; a scalar when <rank> is 0,
 * else a vector. Copies <data>. HEARTH_NO_VALUE with ir->err filled. */
uint32_t hearth__ir_const(struct hearth__ir *ir, enum hearth_dtype dtype,
                          int32_t rank, uint32_t count, const void *data);
/* Room for a constant that import computes; owned by the files. NULL with
 * *rc HEARTH_OK: over the limit, the caller leaves things as they are. */
void *hearth__ir_derive(struct hearth__ir *ir, uint32_t value, uint64_t bytes,
                        int *rc);

static inline struct hearth__ir_value *hearth__ir_value(struct hearth__ir *ir,
                                                        uint32_t i)
{
    return (struct hearth__ir_value *)ir->values.items + i;
}
static inline struct hearth__ir_node *hearth__ir_node(struct hearth__ir *ir,
                                                      uint32_t i)
{
    return (struct hearth__ir_node *)ir->nodes.items + i;
}
static inline uint32_t hearth__ir_in(const struct hearth__ir_node *n,
                                     uint32_t k)
{
    return k < n->input_count ? n->inputs[k] : HEARTH_NO_VALUE;
}
static inline bool hearth__ir_is_const(struct hearth__ir *ir, uint32_t i)
{
    return i != HEARTH_NO_VALUE &&
           hearth__ir_value(ir, i)->kind == HEARTH_VALUE_WEIGHT;
}

/* ---- initializer.c: a TensorProto becomes a constant ---- */
int hearth__ir_tensor(struct hearth__ir *ir,
                      const struct hearth__onnx_tensor *tensor, uint32_t value);

/* ---- import.c ---- */
int hearth__import(struct hearth__ir *ir);
/* The nested graph at ir->head.graph, whose captures have their names already.
 * <formals>: what is known of its inputs, of which it must have so many. */
int hearth__import_graph(struct hearth__ir *ir,
                         const struct hearth_value_info *formals,
                         uint32_t formal_count);
/* A node of the file becomes one of ir->sources. */
int hearth__import_node(struct hearth__ir *ir, struct hearth__slice message);

/* ---- inline.c: functions that the model defines ---- */
struct hearth__inline_call;
int hearth__functions_read(struct hearth__ir *ir, struct hearth__slice model);
/* hearth__import_node for <node>, or for the nodes of the body that it calls.
 * <parent> NULL: a node of the file. */
int hearth__inline_node(struct hearth__ir *ir, struct hearth__slice node,
                        const struct hearth__inline_call *parent);

/* ---- canon.c: one form for every opset's spelling; calls emit ---- */
int hearth__canon(struct hearth__ir *ir, uint32_t source);
/* Has the operator a spelling here, in any opset? */
bool hearth__canon_knows(const struct hearth__onnx_node *head);

/* ---- emit.c: a canonical node: shapes, contents, folding ---- */
struct hearth__draft {
    uint32_t op, source, input_count, output_count, attr_count;
    uint32_t *inputs;
    uint32_t outputs[HEARTH_OP_OUTPUTS_MAX]; /* NO_VALUE: left out */
    struct hearth__ir_attr attrs[16];
};
/* Infers, and appends a node or makes the outputs constants. */
int hearth__emit(struct hearth__ir *ir, struct hearth__draft *draft);
/* Adds or replaces an attribute; <data> is copied. */
int hearth__draft_set(struct hearth__ir *ir, struct hearth__draft *draft,
                      enum hearth_attr key, enum hearth_attr_type type,
                      uint32_t count, const void *data);
int hearth__draft_set_int(struct hearth__ir *ir, struct hearth__draft *draft,
                          enum hearth_attr key, int64_t value);
void hearth__draft_unset(struct hearth__draft *draft, enum hearth_attr key);
const struct hearth__ir_attr *
hearth__draft_get(const struct hearth__draft *draft, enum hearth_attr key);

/* A node as the rows of ops see it; valid until the next one. */
struct hearth__call {
    struct hearth_op_call call;
    struct hearth_value_info out[HEARTH_OP_OUTPUTS_MAX];
};
int hearth__call_make(struct hearth__ir *ir, uint32_t op, uint32_t input_count,
                      const uint32_t *inputs, uint32_t output_count,
                      uint32_t attr_count, const struct hearth__ir_attr *attrs,
                      struct hearth__call *call);
/* Fills call->out; the row's failure, or the callbacks'. */
int hearth__call_infer(struct hearth__ir *ir, struct hearth__call *call);

/* ---- passes.c and pass_*.c ---- */
struct hearth__pass {
    uint32_t bit; /* enum hearth_model_pass */
    const char *name;
    int (*run)(struct hearth__ir *ir);
};
int hearth__passes_run(struct hearth__ir *ir);
/* Counts uses anew; each pass leaves them right. */
void hearth__ir_count_uses(struct hearth__ir *ir);
/* The node that alone makes and feeds <value>: <value> is its output 0, has one
 * use and is no output of the graph. NULL otherwise. */
struct hearth__ir_node *hearth__ir_sole(struct hearth__ir *ir, uint32_t value);
/* The attribute, or NULL. */
const struct hearth__ir_attr *
hearth__ir_attr(const struct hearth__ir_node *node, enum hearth_attr key);
/* Moves <node>, the maker of an input of node <at>, to the place of node <at>
 * and gives it that one's output: the two are one now. */
void hearth__ir_fuse(struct hearth__ir *ir, struct hearth__ir_node *node,
                     uint32_t at);
int hearth__pass_identity(struct hearth__ir *ir);
int hearth__pass_compose(struct hearth__ir *ir);
int hearth__pass_batchnorm(struct hearth__ir *ir);
int hearth__pass_bias(struct hearth__ir *ir);
int hearth__pass_residual(struct hearth__ir *ir);
int hearth__pass_activation(struct hearth__ir *ir);
int hearth__pass_dead(struct hearth__ir *ir);
int hearth__pass_common(struct hearth__ir *ir);
/* Does axis 0 of every input and output prove to be one batch? */
int hearth__prove_batch(struct hearth__ir *ir, bool *proved);

/* ---- model.c: the handle ---- */

#define HEARTH__MAGIC_MODEL 0x4d4f444cu /* "MODL" */

struct hearth_model {
    uint32_t magic;
    uint32_t passes; /* that import had */
    struct hearth__files files;
    struct hearth_weights weights;
    struct hearth_graph *graph;
    hearth_pack_t *pack; /* NULL: <files> has the weights */
    struct hearth_model_totals totals;
    struct hearth_digest digest;
    uint32_t has_digest; /* atomic; the digest is written before */
};
struct hearth_model *hearth__model_new(uint32_t passes); /* NULL: no memory */
/* Its digest is known already. Before anybody else has it. */
void hearth__model_know(struct hearth_model *m,
                        const struct hearth_digest *digest);

/* ---- packed.c, packed_write.c, packed_source.c ---- */

/* Sections of a model's pack. */
enum hearth__packed_section {
    HEARTH__PACKED_GRAPH = 1, /* a block whose weights are all in segment 0 */
    HEARTH__PACKED_TOTALS,    /* struct hearth_model_totals */
    HEARTH__PACKED_WEIGHTS,   /* in the order of their first use */
    HEARTH__PACKED_SOURCE     /* of a source's: which model it is */
};
#define HEARTH__PACKED_ALIGNMENT 64 /* of a weight */

/* Bytes of the weight of a packed graph, in the order in which they lie. Fills
 * offsets[value_count], UINT64_MAX for what is no weight; *bytes: of them all.
 * False: they overflow. */
bool hearth__packed_place(const struct hearth_graph *graph, uint64_t *offsets,
                          uint64_t *bytes);
void hearth__packed_key(const struct hearth_digest *digest, uint32_t passes,
                        char key[HEARTH_PACK_KEY_MAX]);
/* Takes *pack over, and NULLs it, on success; m->files is the caller's.
 * HEARTH_EMODEL, HEARTH_ENOMEM. */
int hearth__packed_read(struct hearth_model *m, hearth_pack_t **pack,
                        struct hearth_error *err);

/* Which model the file of <files> (looked at) was, when it was seen last;
 * external files are looked at too. False: it is not known, or changed. */
bool hearth__packed_source_find(hearth_packs_t *packs,
                                struct hearth__files *files,
                                struct hearth_digest *digest);
extern int64_t hearth__packed_settled_ns; /* for tests */
/* Remembers it, unless the file is so young that a change of it might not
 * show. */
void hearth__packed_source_put(hearth_packs_t *packs,
                               const struct hearth__files *files,
                               const struct hearth_digest *digest);

/* ---- block.c ---- */
/* May the constant stand in a block itself? Else it is a weight. */
bool hearth__block_holds(const struct hearth__ir_value *v);
int hearth__block_write(struct hearth__ir *ir, bool batch_axis0,
                        struct hearth_graph **block);

#endif
