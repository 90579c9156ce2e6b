/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr.c: a node's attributes: names, the type that each key has, accessors for
 * a checked block.
 */
#include "ops/ops_impl.h"

#define INTS HEARTH_ATTR_INTS
#define FLOATS HEARTH_ATTR_FLOATS
#define STRING HEARTH_ATTR_STRING
#define BLOCK HEARTH_ATTR_BLOCK

static const struct {
    const char *name;
    enum hearth_attr_type type;
} keys[HEARTH_ATTR_KEY_COUNT] = {
    [HEARTH_ATTR_KEY_NONE] = {"?", HEARTH_ATTR_NONE},
    [HEARTH_ATTR_KERNEL_SHAPE] = {"kernel_shape", INTS},
    [HEARTH_ATTR_STRIDES] = {"strides", INTS},
    [HEARTH_ATTR_PADS] = {"pads", INTS},
    [HEARTH_ATTR_DILATIONS] = {"dilations", INTS},
    [HEARTH_ATTR_GROUP] = {"group", INTS},
    [HEARTH_ATTR_AUTO_PAD] = {"auto_pad", STRING},
    [HEARTH_ATTR_CEIL_MODE] = {"ceil_mode", INTS},
    [HEARTH_ATTR_COUNT_INCLUDE_PAD] = {"count_include_pad", INTS},
    [HEARTH_ATTR_STORAGE_ORDER] = {"storage_order", INTS},
    [HEARTH_ATTR_EPSILON] = {"epsilon", FLOATS},
    [HEARTH_ATTR_AXIS] = {"axis", INTS},
    [HEARTH_ATTR_PERM] = {"perm", INTS},
    [HEARTH_ATTR_GEMM_ALPHA] = {"alpha", FLOATS},
    [HEARTH_ATTR_GEMM_BETA] = {"beta", FLOATS},
    [HEARTH_ATTR_TRANS_A] = {"transA", INTS},
    [HEARTH_ATTR_TRANS_B] = {"transB", INTS},
    [HEARTH_ATTR_ALLOW_ZERO] = {"allowzero", INTS},
    [HEARTH_ATTR_START] = {"start", INTS},
    [HEARTH_ATTR_END] = {"end", INTS},
    [HEARTH_ATTR_TO] = {"to", INTS},
    [HEARTH_ATTR_VALUE_DTYPE] = {"value dtype", INTS},
    [HEARTH_ATTR_VALUE_INT] = {"value_int", INTS},
    [HEARTH_ATTR_VALUE_FLOAT] = {"value_float", FLOATS},
    [HEARTH_ATTR_MODE] = {"mode", STRING},
    [HEARTH_ATTR_KEEPDIMS] = {"keepdims", INTS},
    [HEARTH_ATTR_NOOP_WITH_EMPTY_AXES] = {"noop_with_empty_axes", INTS},
    [HEARTH_ATTR_ACTIVATION] = {"activation", INTS},
    [HEARTH_ATTR_ALPHA] = {"activation alpha", FLOATS},
    [HEARTH_ATTR_BETA] = {"activation beta", FLOATS},
    [HEARTH_ATTR_SIZE] = {"size", INTS},
    [HEARTH_ATTR_BIAS] = {"bias", FLOATS},
    [HEARTH_ATTR_COORDINATE] = {"coordinate_transformation_mode", STRING},
    [HEARTH_ATTR_NEAREST] = {"nearest_mode", STRING},
    [HEARTH_ATTR_AXES] = {"axes", INTS},
    [HEARTH_ATTR_ASPECT] = {"keep_aspect_ratio_policy", STRING},
    [HEARTH_ATTR_ANTIALIAS] = {"antialias", INTS},
    [HEARTH_ATTR_EXCLUDE_OUTSIDE] = {"exclude_outside", INTS},
    [HEARTH_ATTR_EXTRAPOLATION] = {"extrapolation_value", FLOATS},
    [HEARTH_ATTR_DETECT_NEGATIVE] = {"detect_negative", INTS},
    [HEARTH_ATTR_DETECT_POSITIVE] = {"detect_positive", INTS},
    [HEARTH_ATTR_FMOD] = {"fmod", INTS},
    [HEARTH_ATTR_DIRECTION] = {"direction", STRING},
    [HEARTH_ATTR_SELECT_LAST_INDEX] = {"select_last_index", INTS},
    [HEARTH_ATTR_EXCLUSIVE] = {"exclusive", INTS},
    [HEARTH_ATTR_REVERSE] = {"reverse", INTS},
    [HEARTH_ATTR_LARGEST] = {"largest", INTS},
    [HEARTH_ATTR_OUTPUT_PADDING] = {"output_padding", INTS},
    [HEARTH_ATTR_OUTPUT_SHAPE] = {"output_shape", INTS},
    [HEARTH_ATTR_NUM_GROUPS] = {"num_groups", INTS},
    [HEARTH_ATTR_P] = {"p", INTS},
    [HEARTH_ATTR_BLOCK_SIZE] = {"block_size", INTS},
    [HEARTH_ATTR_LAYOUT] = {"layout", INTS},
    [HEARTH_ATTR_HIDDEN_SIZE] = {"hidden_size", INTS},
    [HEARTH_ATTR_CELL_CLIP] = {"clip", FLOATS},
    [HEARTH_ATTR_LINEAR_BEFORE_RESET] = {"linear_before_reset", INTS},
    [HEARTH_ATTR_INPUT_FORGET] = {"input_forget", INTS},
    [HEARTH_ATTR_ACTIVATIONS] = {"activations", INTS},
    [HEARTH_ATTR_ACT_ALPHA] = {"activation_alpha", FLOATS},
    [HEARTH_ATTR_ACT_BETA] = {"activation_beta", FLOATS},
    [HEARTH_ATTR_THEN] = {"then_branch", BLOCK},
    [HEARTH_ATTR_ELSE] = {"else_branch", BLOCK},
    [HEARTH_ATTR_BODY] = {"body", BLOCK},
    [HEARTH_ATTR_STATES] = {"number of states", INTS},
    [HEARTH_ATTR_SCANS] = {"num_scan_inputs", INTS},
    [HEARTH_ATTR_SCAN_IN_AXES] = {"scan_input_axes", INTS},
    [HEARTH_ATTR_SCAN_IN_REVERSE] = {"scan_input_directions", INTS},
    [HEARTH_ATTR_SCAN_OUT_AXES] = {"scan_output_axes", INTS},
    [HEARTH_ATTR_SCAN_OUT_REVERSE] = {"scan_output_directions", INTS},
    [HEARTH_ATTR_SORTED] = {"sorted", INTS},
    [HEARTH_ATTR_CENTER_POINT_BOX] = {"center_point_box", INTS},
    [HEARTH_ATTR_Q_HEADS] = {"q_num_heads", INTS},
    [HEARTH_ATTR_KV_HEADS] = {"kv_num_heads", INTS},
    [HEARTH_ATTR_SCALE] = {"scale", FLOATS},
    [HEARTH_ATTR_SOFTCAP] = {"softcap", FLOATS},
    [HEARTH_ATTR_IS_CAUSAL] = {"is_causal", INTS},
    [HEARTH_ATTR_PRODUCT_MODE] = {"qk_matmul_output_mode", INTS},
    [HEARTH_ATTR_LEFT_WINDOW] = {"left_window_size", INTS},
    [HEARTH_ATTR_RIGHT_WINDOW] = {"right_window_size", INTS},
    [HEARTH_ATTR_ROTARY_DIM] = {"rotary_embedding_dim", INTS},
    [HEARTH_ATTR_INTERLEAVED] = {"interleaved", INTS},
    [HEARTH_ATTR_N] = {"N", INTS},
    [HEARTH_ATTR_K] = {"k", INTS},
    [HEARTH_ATTR_BITS] = {"bits", INTS},
    [HEARTH_ATTR_BATCH_DIMS] = {"batch_dims", INTS},
    [HEARTH_ATTR_REDUCTION] = {"reduction", STRING},
    [HEARTH_ATTR_UPPER] = {"upper", INTS},
    [HEARTH_ATTR_BATCH_AXIS] = {"batch_axis", INTS},
    [HEARTH_ATTR_TIME_AXIS] = {"time_axis", INTS},
    [HEARTH_ATTR_PERIODIC] = {"periodic", INTS},
    [HEARTH_ATTR_PADDING] = {"padding_mode", STRING},
    [HEARTH_ATTR_ALIGN_CORNERS] = {"align_corners", INTS},
    [HEARTH_ATTR_OUTPUT_HEIGHT] = {"output_height", INTS},
    [HEARTH_ATTR_OUTPUT_WIDTH] = {"output_width", INTS},
    [HEARTH_ATTR_SAMPLING_RATIO] = {"sampling_ratio", INTS},
    [HEARTH_ATTR_SPATIAL_SCALE] = {"spatial_scale", FLOATS},
    [HEARTH_ATTR_OFFSET_GROUP] = {"offset_group", INTS},
    [HEARTH_ATTR_EQUATION] = {"equation", STRING},
    [HEARTH_ATTR_INVERSE] = {"inverse", INTS},
    [HEARTH_ATTR_ONESIDED] = {"onesided", INTS},
    [HEARTH_ATTR_UPDATE_RULE] = {"update_rule", STRING},
    [HEARTH_ATTR_IGNORE_INDEX] = {"ignore_index", INTS},
    [HEARTH_ATTR_SEED] = {"seed", FLOATS},
    [HEARTH_ATTR_BATCHED] = {"batched", INTS},
    [HEARTH_ATTR_SAMPLE_SIZE] = {"sample_size", INTS},
};

const char *hearth_attr_name(uint32_t key)
{
    return key < HEARTH_ATTR_KEY_COUNT ? keys[key].name : "?";
}

enum hearth_attr_type hearth__ops_attr_type(uint32_t key)
{
    return key < HEARTH_ATTR_KEY_COUNT ? keys[key].type : HEARTH_ATTR_NONE;
}

static const struct hearth_graph_attr *find(const struct hearth_graph *g,
                                            const struct hearth_graph_node *n,
                                            enum hearth_attr key,
                                            enum hearth_attr_type type)
{
    const struct hearth_graph_attr *a = hearth_graph_at(g, g->attrs);
    a += n->first_attr;
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (a[i].key == key)
            return a[i].type == type ? &a[i] : NULL;
    return NULL;
}

int64_t hearth_attr_int(const struct hearth_graph *g,
                        const struct hearth_graph_node *node,
                        enum hearth_attr key, int64_t fallback)
{
    uint32_t count;
    const int64_t *v = hearth_attr_ints(g, node, key, &count);
    return count > 0 ? v[0] : fallback;
}

double hearth_attr_float(const struct hearth_graph *g,
                         const struct hearth_graph_node *node,
                         enum hearth_attr key, double fallback)
{
    const struct hearth_graph_attr *a = find(g, node, key, FLOATS);
    if (a == NULL || a->count == 0)
        return fallback;
    return *(const double *)hearth_graph_at(g, g->data + a->offset);
}

const int64_t *hearth_attr_ints(const struct hearth_graph *g,
                                const struct hearth_graph_node *node,
                                enum hearth_attr key, uint32_t *count)
{
    const struct hearth_graph_attr *a = find(g, node, key, INTS);
    *count = a == NULL ? 0 : a->count;
    return a == NULL ? NULL : hearth_graph_at(g, g->data + a->offset);
}

const double *hearth_attr_floats(const struct hearth_graph *g,
                                 const struct hearth_graph_node *node,
                                 enum hearth_attr key, uint32_t *count)
{
    const struct hearth_graph_attr *a = find(g, node, key, FLOATS);
    *count = a == NULL ? 0 : a->count;
    return a == NULL ? NULL : hearth_graph_at(g, g->data + a->offset);
}

const char *hearth_attr_string(const struct hearth_graph *g,
                               const struct hearth_graph_node *node,
                               enum hearth_attr key, const char *fallback)
{
    const struct hearth_graph_attr *a = find(g, node, key, STRING);
    return a == NULL ? fallback : hearth_graph_string(g, (uint32_t)a->offset);
}

const struct hearth_graph *
hearth_attr_block(const struct hearth_graph *g,
                  const struct hearth_graph_node *node, enum hearth_attr key)
{
    const struct hearth_graph_attr *a = find(g, node, key, BLOCK);
    return a == NULL ? NULL : hearth_graph_at(g, g->data + a->offset);
}
