#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/model_cases.bin: small ONNX models, one or more for
every spelling of every operator, with inputs and what onnxruntime answers.

Run by hand when a case is added (needs onnx, onnxruntime, numpy):
    python3 tests/unit/model_cases.py
The file's layout stands in model_run.c (model_case_next). The field "nodes" is
what the graph must look like after all passes.
"""
import os
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

F, I64, I32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
rng = np.random.default_rng(7)
cases = []


def weights(*shape):
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


def init(name, array, typed=False):
    array = np.asarray(array)
    if not typed:
        return numpy_helper.from_array(array, name)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor(name, kind, array.shape, array.flatten().tolist())


def info(name, dims, kind=F):
    return helper.make_tensor_value_info(name, kind, dims)


def node(op, inputs, outputs, **attrs):
    return helper.make_node(op, inputs, outputs, **attrs)


def case(name, opset, nodes, inputs, outputs, inits=(), feed=None, want="",
         batched=False, shuffle=False):
    """inputs: (name, dims[, kind]); outputs: names or (name, kind)."""
    ins = [info(*i) for i in inputs]
    outs = [helper.make_tensor_value_info(o, F, None) if isinstance(o, str)
            else helper.make_tensor_value_info(o[0], o[1], None)
            for o in outputs]
    graph = helper.make_graph(nodes, "g", ins, outs, list(inits))
    model = helper.make_model(graph, producer_name="cases",
                              opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10 if opset >= 13 else 8
    feed = feed or {}
    for i in inputs:
        if i[0] in feed:
            continue
        dims = [d if isinstance(d, int) else 2 for d in i[1]]
        kind = i[2] if len(i) > 2 else F
        if kind == F:
            feed[i[0]] = rng.standard_normal(dims).astype(np.float32)
        else:
            feed[i[0]] = rng.integers(
                0, 3, dims).astype(helper.tensor_dtype_to_np_dtype(kind))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    answers = session.run(None, feed)
    if shuffle:
        order = list(model.graph.node)[::-1]
        del model.graph.node[:]
        model.graph.node.extend(order)
    cases.append((name, want, batched, model.SerializeToString(),
                  [feed[i[0]] for i in inputs], answers))


def tensor(a):
    a = np.ascontiguousarray(a)
    kind = helper.np_dtype_to_tensor_dtype(a.dtype)
    return (struct.pack("<II", kind, a.ndim) +
            b"".join(struct.pack("<q", d) for d in a.shape) + a.tobytes())


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<I", len(s)) + s


# ---- Windows
X4 = ("x", ["N", 2, 4, 3])
W = weights(4, 2, 3, 3)
for opset in (7, 11, 22):
    case(f"conv_{opset}", opset, [node("Conv", ["x", "w"], ["y"])], [X4], ["y"],
         [init("w", W)], want="Conv", batched=True)
for pad in ("VALID", "SAME_UPPER", "SAME_LOWER", "NOTSET"):
    case(f"conv_auto_pad_{pad}", 13,
         [node("Conv", ["x", "w"], ["y"], auto_pad=pad, strides=[2, 2],
               kernel_shape=[3, 3])],
         [X4], ["y"], [init("w", W)], want="Conv", batched=True)
case("conv_auto_pad_unknown_size", 13,
     [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])],
     [("x", ["N", 2, "h", "w"])], ["y"], [init("w", W)],
     feed={"x": rng.standard_normal((2, 2, 5, 6)).astype(np.float32)},
     want="Conv", batched=True)
case("conv_group_dilation_pads", 11,
     [node("Conv", ["x", "w", "b"], ["y"], group=2, dilations=[2, 1],
           pads=[2, 1, 1, 0])],
     [X4], ["y"], [init("w", weights(4, 1, 2, 3)), init("b", weights(4))],
     want="Conv[bias]", batched=True)
for opset in (7, 8, 10, 12):
    case(f"max_pool_{opset}", opset,
         [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
         [X4], ["y"], want="MaxPool", batched=True)
case("max_pool_ceil_dilation", 12,
     [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2],
           ceil_mode=1, dilations=[1, 2], pads=[0, 1, 0, 1])],
     [X4], ["y"], want="MaxPool", batched=True)
case("max_pool_unused_indices", 12,
     [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])],
     [X4], ["y"], want="MaxPool", batched=True)
case("max_pool_indices", 12,
     [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])],
     [X4], ["y", ("i", I64)], want="MaxPool", batched=False)
for opset in (7, 10, 11, 19):
    case(f"average_pool_{opset}", opset,
         [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3],
               pads=[1, 1, 1, 1], count_include_pad=opset % 2)],
         [X4], ["y"], want="AveragePool", batched=True)
case("average_pool_same_lower", 11,
     [node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2],
           auto_pad="SAME_LOWER")],
     [X4], ["y"], want="AveragePool", batched=True)
case("global_average_pool", 7, [node("GlobalAveragePool", ["x"], ["y"])], [X4],
     ["y"], want="GlobalAveragePool", batched=True)

# ---- Normalisation and activations
BN = [init("s", weights(2) + 1), init("b", weights(2)), init("m", weights(2)),
      init("v", np.abs(weights(2)) + 0.5)]
for opset in (7, 9, 14, 15):
    case(f"batchnorm_{opset}", opset,
         [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"],
               epsilon=0.01)],
         [X4], ["y"], BN, want="BatchNormalization", batched=True)
for op in ("Relu", "Sigmoid", "Tanh"):
    for opset in (7, 13):
        case(f"{op.lower()}_{opset}", opset, [node(op, ["x"], ["y"])], [X4],
             ["y"], want=op, batched=True)
case("clip_6", 7, [node("Clip", ["x"], ["y"], min=-0.5, max=0.25)], [X4],
     ["y"], want="Clip", batched=True)
case("clip_6_max_only", 7, [node("Clip", ["x"], ["y"], max=0.25)], [X4], ["y"],
     want="Clip", batched=True)
case("clip_11", 11, [node("Clip", ["x", "lo", "hi"], ["y"])], [X4], ["y"],
     [init("lo", np.float32(-0.5)), init("hi", np.float32(0.25))],
     want="Clip", batched=True)
case("clip_12_no_min", 12, [node("Clip", ["x", "", "hi"], ["y"])], [X4], ["y"],
     [init("hi", np.float32(0.25))], want="Clip", batched=True)
case("softmax_13", 13, [node("Softmax", ["x"], ["y"], axis=1)], [X4], ["y"],
     want="Softmax", batched=True)
case("softmax_13_default", 13, [node("Softmax", ["x"], ["y"])], [X4], ["y"],
     want="Softmax", batched=True)
case("softmax_1_last_axis", 7, [node("Softmax", ["x"], ["y"])],
     [("x", ["N", 5])], ["y"], want="Softmax", batched=True)
case("softmax_1_flattened", 7, [node("Softmax", ["x"], ["y"])], [X4], ["y"],
     want="Flatten Softmax Reshape", batched=True)
case("softmax_1_ones_after", 7, [node("Softmax", ["x"], ["y"], axis=1)],
     [("x", ["N", 5, 1, 1])], ["y"], want="Softmax", batched=True)
case("softmax_11_negative", 11, [node("Softmax", ["x"], ["y"], axis=-2)],
     [("x", ["N", 4, 3])], ["y"], want="Flatten Softmax Reshape", batched=True)
case("softmax_11_unknown_sizes", 11, [node("Softmax", ["x"], ["y"], axis=1)],
     [("x", ["N", "a", "b"])], ["y"], want="Shape Flatten Softmax Reshape")
case("softmax_11_axis_0", 11, [node("Softmax", ["x"], ["y"], axis=0)],
     [("x", ["N", 4])], ["y"], want="Flatten Softmax Reshape")

# ---- Products and arithmetic
case("gemm_7", 7,
     [node("Gemm", ["x", "w", "c"], ["y"], alpha=0.5, beta=2.0, transB=1)],
     [("x", ["N", 4])], ["y"], [init("w", weights(3, 4)), init("c", weights(3))],
     want="Gemm[bias]", batched=True)
case("gemm_11_no_c", 11, [node("Gemm", ["x", "w"], ["y"], transA=1)],
     [("x", [4, 3])], ["y"], [init("w", weights(4, 2))], want="Gemm")
case("matmul", 9, [node("MatMul", ["x", "w"], ["y"])], [("x", ["N", 3, 4])],
     ["y"], [init("w", weights(4, 2))], want="MatMul", batched=True)
for op in ("Add", "Sub", "Mul", "Div"):
    for opset in (7, 13, 14):
        case(f"{op.lower()}_{opset}", opset, [node(op, ["x", "c"], ["y"])],
             [X4], ["y"], [init("c", np.abs(weights(2, 1, 3)) + 0.1)],
             want=op, batched=True)

case("sum_of_three", 8, [node("Sum", ["x", "c", "x"], ["y"])], [X4], ["y"],
     [init("c", weights(2, 1, 1))], want="Add Add", batched=True)
case("sum_of_one", 13, [node("Sum", ["x"], ["a"]), node("Relu", ["a"], ["y"])],
     [("x", ["N", 2])], ["y"], want="Relu", batched=True)

# ---- Moving
case("concat_4", 7, [node("Concat", ["x", "x", "c"], ["y"], axis=0)],
     [("x", [2, 3])], ["y"], [init("c", weights(1, 3))], want="Concat")
case("concat_11_negative", 11, [node("Concat", ["x", "z"], ["y"], axis=-1)],
     [("x", ["N", 3]), ("z", ["N", 2])], ["y"], want="Concat", batched=True)
case("reshape_5", 7, [node("Reshape", ["x", "s"], ["y"])], [X4], ["y"],
     [init("s", np.array([0, -1], np.int64))], want="Reshape", batched=True)
case("reshape_14_allowzero", 14,
     [node("Reshape", ["x", "s"], ["y"], allowzero=1)], [("x", [0, 3])], ["y"],
     [init("s", np.array([3, 0], np.int64))],
     feed={"x": np.zeros((0, 3), np.float32)}, want="Reshape")
case("reshape_keeps_the_batch", 13,
     [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0),
      node("Unsqueeze", ["n", "axes"], ["n1"]),
      node("Concat", ["n1", "rest"], ["t"], axis=0),
      node("Reshape", ["x", "t"], ["y"])],
     [X4], ["y"],
     [init("zero", np.int64(0)), init("axes", np.array([0], np.int64)),
      init("rest", np.array([-1], np.int64))], want="Reshape", batched=True)
case("reshape_keeps_the_batch_11", 11,
     [node("Shape", ["x"], ["s"]),
      node("Slice", ["s", "zero", "one"], ["n1"]),
      node("Cast", ["n1"], ["n2"], to=I32), node("Cast", ["n2"], ["n3"], to=I64),
      node("Concat", ["n3", "rest"], ["t"], axis=0),
      node("Reshape", ["x", "t"], ["r"]), node("Relu", ["r"], ["y"])],
     [X4], ["y"],
     [init("zero", np.array([0], np.int64)),
      init("one", np.array([1], np.int64)),
      init("rest", np.array([24], np.int64))], want="Reshape Relu",
     batched=True)
for opset, axis in ((7, 2), (9, 1), (11, -1), (13, 0)):
    case(f"flatten_{opset}", opset, [node("Flatten", ["x"], ["y"], axis=axis)],
         [X4], ["y"], want="Flatten", batched=axis == 1)
case("transpose_default", 7, [node("Transpose", ["x"], ["y"])], [X4], ["y"],
     want="Transpose")
case("transpose_13", 13, [node("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1])],
     [X4], ["y"], want="Transpose", batched=True)
ONE = ("x", [1, 3, 1, 2])
case("squeeze_1", 7, [node("Squeeze", ["x"], ["y"], axes=[0, 2])], [ONE],
     ["y"], want="Squeeze")
case("squeeze_11_negative", 11, [node("Squeeze", ["x"], ["y"], axes=[-2])],
     [ONE], ["y"], want="Squeeze")
case("squeeze_13", 13, [node("Squeeze", ["x", "a"], ["y"])], [ONE], ["y"],
     [init("a", np.array([-4], np.int64))], want="Squeeze")
case("squeeze_13_all", 13, [node("Squeeze", ["x"], ["y"])], [ONE], ["y"],
     want="Squeeze")
case("unsqueeze_1", 7, [node("Unsqueeze", ["x"], ["y"], axes=[0, 3])],
     [("x", [2, 3])], ["y"], want="Unsqueeze")
case("unsqueeze_11_negative", 11, [node("Unsqueeze", ["x"], ["y"], axes=[-1])],
     [("x", ["N", 3])], ["y"], want="Unsqueeze", batched=True)
case("unsqueeze_13", 13, [node("Unsqueeze", ["x", "a"], ["y"])],
     [("x", ["N", 3])], ["y"], [init("a", np.array([1, -1], np.int64))],
     want="Unsqueeze", batched=True)
case("shape_1", 7, [node("Shape", ["x"], ["y"])], [X4], [("y", I64)],
     want="Shape")
case("shape_15", 15, [node("Shape", ["x"], ["y"], start=1, end=-1)],
     [("x", ["N", "a", 4, 5])], [("y", I64)], want="Shape")
case("shape_of_known_sizes", 13, [node("Shape", ["x"], ["y"])],
     [("x", [2, 3])], [("y", I64)], want="Identity")
case("gather_1", 7, [node("Gather", ["x", "i"], ["y"], axis=1)], [X4], ["y"],
     [init("i", np.array([1, 0, 1], np.int64))], want="Gather", batched=True)
case("gather_11_negative", 11, [node("Gather", ["x", "i"], ["y"], axis=-1)],
     [X4], ["y"], [init("i", np.array(-1, np.int32))], want="Gather",
     batched=True)
case("gather_table", 13, [node("Gather", ["t", "x"], ["y"])],
     [("x", ["N", 2], I64)], ["y"], [init("t", weights(4, 3))], want="Gather",
     batched=True)
case("slice_1", 7,
     [node("Slice", ["x"], ["y"], starts=[1, 0], ends=[2147483647, -1],
           axes=[2, 3])],
     [X4], ["y"], want="Slice", batched=True)
case("slice_1_no_axes", 7, [node("Slice", ["x"], ["y"], starts=[0, 1],
                                 ends=[2, 2])],
     [X4], ["y"], want="Slice")
case("slice_10", 10, [node("Slice", ["x", "s", "e", "a", "p"], ["y"])], [X4],
     ["y"],
     [init("s", np.array([4, 0], np.int32)),
      init("e", np.array([-7, 4], np.int32)),
      init("a", np.array([-2, 3], np.int32)),
      init("p", np.array([-2, 2], np.int32))], want="Slice", batched=True)
for opset in (7, 13, 19):
    case(f"cast_{opset}", opset,
         [node("Cast", ["x"], ["i"], to=I64), node("Cast", ["i"], ["y"], to=F)],
         [X4], ["y"], want="Cast Cast", batched=True)
case("identity", 7, [node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["b"]),
                     node("Identity", ["b"], ["y"])],
     [X4], ["y"], want="Relu", batched=True)
case("identity_from_input_to_output", 13, [node("Identity", ["x"], ["y"])],
     [X4], ["y"], want="Identity", batched=True)
case("identity_of_an_output", 13,
     [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["b"])], [X4],
     ["a", "b"], want="Relu Identity", batched=True)
case("identity_read_before_its_output", 13,
     [node("Relu", ["x"], ["a"]), node("Tanh", ["a"], ["c"]),
      node("Identity", ["a"], ["b"])],
     [X4], ["b", "c"], want="Relu Tanh", batched=True)
case("nodes_that_change_nothing", 13,
     [node("Cast", ["x"], ["a"], to=F), node("Concat", ["a"], ["b"], axis=1),
      node("Transpose", ["b"], ["c"], perm=[0, 1, 2, 3]),
      node("Reshape", ["c", "s"], ["d"]), node("Relu", ["d"], ["y"])],
     [("x", ["N", 2, 1, 2])], ["y"],
     [init("s", np.array([0, 2, 1, 2], np.int64))], want="Relu", batched=True)
case("half_weights_are_widened_at_import", 13,
     [node("Cast", ["w"], ["v"], to=F), node("MatMul", ["x", "v"], ["y"])],
     [("x", ["N", 4])], ["y"], [init("w", np.float16(weights(4, 3)))],
     want="MatMul", batched=True)
case("dropout_7", 7, [node("Dropout", ["x"], ["a"], ratio=0.3),
                      node("Relu", ["a"], ["y"])],
     [X4], ["y"], want="Relu", batched=True)
case("dropout_10_unused_mask", 10, [node("Dropout", ["x"], ["a", "m"]),
                                    node("Relu", ["a"], ["y"])],
     [X4], ["y"], want="Relu", batched=True)
case("dropout_12", 12, [node("Dropout", ["x", "r", "t"], ["a"]),
                        node("Relu", ["a"], ["y"])],
     [X4], ["y"], [init("r", np.float32(0.5)), init("t", np.array(False))],
     want="Relu", batched=True)
case("pad_2", 7, [node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 3, 0],
                       value=1.5)],
     [X4], ["y"], want="Pad", batched=True)
case("pad_2_reflect", 7, [node("Pad", ["x"], ["y"], mode="reflect",
                               pads=[0, 0, 1, 2, 0, 0, 3, 0])],
     [X4], ["y"], want="Pad", batched=True)
PADS = init("p", np.array([1, 0, 0, 2], np.int64))
case("pad_11", 11, [node("Pad", ["x", "p", "v"], ["y"], mode="constant")],
     [("x", ["N", 4])], ["y"], [PADS, init("v", np.float32(2))], want="Pad")
case("pad_18_axes", 18, [node("Pad", ["x", "p", "", "a"], ["y"], mode="edge")],
     [X4], ["y"], [PADS, init("a", np.array([-1, 2], np.int64))], want="Pad",
     batched=True)
for opset in (7, 11, 13):
    case(f"reduce_mean_{opset}", opset,
         [node("ReduceMean", ["x"], ["y"], axes=[2, 3 if opset < 11 else -1],
               keepdims=opset % 2)],
         [X4], ["y"], want="ReduceMean", batched=True)
case("reduce_mean_18", 18, [node("ReduceMean", ["x", "a"], ["y"], keepdims=0)],
     [X4], ["y"], [init("a", np.array([-1, -2], np.int64))], want="ReduceMean",
     batched=True)
case("reduce_mean_18_noop", 18,
     [node("ReduceMean", ["x"], ["y"], noop_with_empty_axes=1)], [X4], ["y"],
     want="ReduceMean", batched=True)
case("reduce_mean_all", 13, [node("ReduceMean", ["x"], ["y"])], [X4], ["y"],
     want="ReduceMean")

# ---- Constants
for kind, value in (("value", numpy_helper.from_array(weights(2, 1, 1))),
                    ("value_float", 1.25), ("value_floats", [0.5] * 3)):
    case(f"constant_{kind}", 12 if kind != "value" else 9,
         [node("Constant", [], ["c"], **{kind: value}),
          node("Add", ["x", "c"], ["y"])], [X4], ["y"], want="Add",
         batched=True)
for kind, value in (("value_int", 24), ("value_ints", [-1, 24])):
    nodes = [node("Constant", [], ["c"], **{kind: value})]
    if kind == "value_int":
        nodes += [node("Unsqueeze", ["c"], ["d"], axes=[0]),
                  node("Concat", ["m", "d"], ["s"], axis=0)]
    nodes += [node("Reshape", ["x", "s" if kind == "value_int" else "c"],
                   ["y"])]
    case(f"constant_{kind}", 12, nodes, [X4], ["y"],
         [init("m", np.array([-1], np.int64))], want="Reshape", batched=True)
case("constant_of_shape", 9,
     [node("Shape", ["x"], ["s"]),
      node("ConstantOfShape", ["s"], ["c"],
           value=numpy_helper.from_array(np.array([2.5], np.float32))),
      node("Add", ["x", "c"], ["y"])],
     [X4], ["y"], want="Shape ConstantOfShape Add")
case("constant_of_shape_folded", 9,
     [node("ConstantOfShape", ["s"], ["c"],
           value=numpy_helper.from_array(np.array([-7], np.int32))),
      node("Cast", ["c"], ["d"], to=F), node("Add", ["x", "d"], ["y"])],
     [X4], ["y"], [init("s", np.array([2, 1, 3], np.int64))], want="Add",
     batched=True)
case("weights_in_typed_fields", 13,
     [node("Add", ["x", "f"], ["a"]), node("Cast", ["i"], ["fi"], to=F),
      node("Mul", ["a", "fi"], ["b"]), node("Cast", ["h"], ["fh"], to=F),
      node("Cast", ["d"], ["fd"], to=F), node("Cast", ["u"], ["fu"], to=F),
      node("Cast", ["c"], ["fc"], to=F), node("Sub", ["b", "fh"], ["e"]),
      node("Add", ["e", "fd"], ["g"]), node("Add", ["g", "fu"], ["k"]),
      node("Add", ["k", "fc"], ["y"])],
     [X4], ["y"],
     [init("f", weights(3), True), init("i", np.arange(-2, 1), True),
      init("h", np.float16(weights(3)), True),
      init("d", np.float64(weights(3)), True),
      init("u", np.arange(3, dtype=np.uint64), True),
      init("c", np.arange(-2, 1, dtype=np.int8), True)],
     want="Add Mul Sub Add Add Add", batched=True)
case("transposed_weight_is_folded", 13,
     [node("Transpose", ["w"], ["t"], perm=[1, 0]),
      node("MatMul", ["x", "t"], ["y"])], [("x", ["N", 4])], ["y"],
     [init("w", weights(3, 4))], want="MatMul", batched=True)
case("nodes_out_of_order", 13,
     [node("Relu", ["x"], ["a"]), node("Tanh", ["a"], ["b"]),
      node("Add", ["a", "b"], ["c"]), node("Sigmoid", ["c"], ["y"])],
     [X4], ["y"], want="Relu Tanh Add[sigmoid]", batched=True, shuffle=True)
case("dead_nodes_and_weights", 13,
     [node("Relu", ["x"], ["y"]), node("MatMul", ["x", "w"], ["z"]),
      node("Tanh", ["z"], ["zz"])],
     [("x", ["N", 4])], ["y"], [init("w", weights(4, 4)),
                                init("u", weights(2))],
     want="Relu", batched=True)

# ---- Fusing
CONV = [init("w", W), init("w2", weights(4, 4, 3, 3)), init("b", weights(4))]
BN4 = [init("s", weights(4) + 1), init("be", weights(4)), init("m", weights(4)),
       init("v", np.abs(weights(4)) + 0.5)]
SAME = dict(pads=[1, 1, 1, 1])
case("fuse_conv_batchnorm_relu", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME),
      node("BatchNormalization", ["a", "s", "be", "m", "v"], ["b1"]),
      node("Relu", ["b1"], ["y"])],
     [X4], ["y"], [CONV[0]] + BN4, want="Conv[bias,relu]", batched=True)
case("fuse_conv_bias_batchnorm", 9,
     [node("Conv", ["x", "w", "b"], ["a"], **SAME),
      node("BatchNormalization", ["a", "s", "be", "m", "v"], ["y"])],
     [X4], ["y"], [CONV[0], CONV[2]] + BN4, want="Conv[bias]", batched=True)
case("fuse_not_a_batchnorm_of_a_shared_conv", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME),
      node("BatchNormalization", ["a", "s", "be", "m", "v"], ["b1"]),
      node("Add", ["a", "b1"], ["y"])],
     [X4], ["y"], [CONV[0]] + BN4, want="Conv BatchNormalization Add",
     batched=True)
case("fuse_conv_added_bias", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME), node("Add", ["c", "a"], ["y"])],
     [X4], ["y"], [CONV[0], init("c", weights(1, 4, 1, 1))],
     want="Conv[bias]", batched=True)
case("fuse_residual_block", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME), node("Relu", ["a"], ["r"]),
      node("Conv", ["r", "w2", "b"], ["c"], **SAME),
      node("Add", ["c", "r"], ["d"]), node("Relu", ["d"], ["y"])],
     [X4], ["y"], CONV, want="Conv[relu] Conv[bias,residual,relu]",
     batched=True)
case("fuse_residual_downsample", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME),
      node("Conv", ["x", "w3"], ["s1"]),
      node("Add", ["a", "s1"], ["d"]), node("Relu", ["d"], ["y"])],
     [X4], ["y"], [CONV[0], init("w3", weights(4, 2, 1, 1))],
     want="Conv Conv[residual,relu]", batched=True)
case("fuse_residual_with_itself", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME), node("Add", ["a", "a"], ["y"])],
     [X4], ["y"], [CONV[0]], want="Conv Add", batched=True)
case("fuse_not_a_broadcast_residual", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME), node("Add", ["a", "z"], ["y"])],
     [X4, ("z", ["N", 1, 4, 3])], ["y"], [CONV[0]], want="Conv Add",
     batched=True)
case("fuse_relu6", 11,
     [node("Conv", ["x", "w"], ["a"], **SAME),
      node("Clip", ["a", "lo", "hi"], ["y"])],
     [X4], ["y"], [CONV[0], init("lo", np.float32(0)),
                   init("hi", np.float32(0.75))],
     want="Conv[clip]", batched=True)
case("fuse_not_an_output", 13,
     [node("Conv", ["x", "w"], ["a"], **SAME), node("Relu", ["a"], ["y"])],
     [X4], ["y", "a"], [CONV[0]], want="Conv Relu", batched=True)
case("fuse_gemm_sigmoid", 13,
     [node("Gemm", ["x", "w"], ["a"]), node("Add", ["a", "c"], ["b1"]),
      node("Sigmoid", ["b1"], ["y"])],
     [("x", ["N", 4])], ["y"], [init("w", weights(4, 3)),
                                init("c", weights(3))],
     want="Gemm[bias,sigmoid]", batched=True)
case("fuse_matmul_bias_residual_tanh", 13,
     [node("MatMul", ["x", "w"], ["a"]), node("Add", ["c", "a"], ["b1"]),
      node("Add", ["b1", "x"], ["d"]), node("Tanh", ["d"], ["y"])],
     [("x", ["N", 2, 4])], ["y"], [init("w", weights(4, 4)),
                                   init("c", weights(4))],
     want="MatMul[bias,residual,tanh]", batched=True)
case("fuse_add_relu", 13,
     [node("Add", ["x", "z"], ["a"]), node("Relu", ["a"], ["y"])],
     [("x", ["N", 4]), ("z", ["N", 4])], ["y"], want="Add[relu]", batched=True)

# ---- Batch
case("batch_not_over_a_mean", 13,
     [node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
      node("Sub", ["x", "m"], ["y"])], [("x", ["N", 4])], ["y"],
     want="ReduceMean Sub")
case("batch_not_fixed", 13, [node("Relu", ["x"], ["y"])], [("x", [1, 4])],
     ["y"], want="Relu")
case("batch_not_two_symbols", 13, [node("Relu", ["x"], ["y"]),
                                   node("Tanh", ["z"], ["w"])],
     [("x", ["N", 4]), ("z", ["M", 4])], ["y", "w"], want="Relu Tanh")
case("batch_not_an_output_without_it", 13,
     [node("Relu", ["x"], ["y"]), node("Tanh", ["c"], ["z"])],
     [("x", ["N", 4])], ["y", "z"], [init("c", weights(2))],
     want="Relu Identity")

# ---- A small CNN, as exporters write one
case("digits", 13,
     [node("Conv", ["x", "w", "b"], ["a"], **SAME), node("Relu", ["a"], ["r"]),
      node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
      node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "g", "c"], ["l"],
                                          transB=1),
      node("Softmax", ["l"], ["y"], axis=1)],
     [("x", ["batch", 1, 8, 8])], ["y"],
     [init("w", weights(4, 1, 3, 3)), init("b", weights(4)),
      init("g", weights(10, 64)), init("c", weights(10))],
     want="Conv[bias,relu] MaxPool Flatten Gemm[bias] Softmax", batched=True)

# ---- Composed of pieces
def layer_norm(x, y, square="Pow", axes=-1, swapped=False):
    """As exporters write it; with <swapped> operands in the other order."""
    def two(op, a, b, out):
        return node(op, [b, a] if swapped else [a, b], [out])
    return [node("ReduceMean", [x], ["m"], axes=[axes]), node("Sub", [x, "m"], ["d"]),
            node("Pow", ["d", "two"], ["q"]) if square == "Pow" else
            node("Mul", ["d", "d"], ["q"]),
            node("ReduceMean", ["q"], ["v"], axes=[axes]), two("Add", "v", "eps", "e"),
            node("Sqrt", ["e"], ["s"]), node("Div", ["d", "s"], ["n"]),
            two("Mul", "n", "gamma", "g"), two("Add", "g", "beta", y)]


def gelu(x, y, form):
    """Erf and tanh, with the factors in several orders."""
    if form.startswith("erf"):
        inner = [node("Div", [x, "root"], ["u"]) if form != "erf_mul" else
                 node("Mul", ["inverse", x], ["u"]), node("Erf", ["u"], ["t"])]
    else:
        inner = [node("Pow", [x, "three"], ["c"]) if form != "tanh_mul" else
                 node("Mul", [x, "sq"], ["c"]), node("Mul", ["c", "cubic"], ["k"]),
                 node("Add", [x, "k"], ["i"]), node("Mul", ["i", "scale"], ["u"]),
                 node("Tanh", ["u"], ["t"])]
        if form == "tanh_mul":
            inner.insert(0, node("Mul", [x, x], ["sq"]))
    inner.append(node("Add", ["t", "one"], ["a"]))
    if form in ("erf", "tanh"):
        return inner + [node("Mul", [x, "a"], ["b"]), node("Mul", ["b", "half"], [y])]
    if form == "erf_half_first":
        return inner + [node("Mul", [x, "half"], ["b"]), node("Mul", ["b", "a"], [y])]
    return inner + [node("Mul", ["half", "a"], ["b"]), node("Mul", [x, "b"], [y])]


def numbers(**values):
    return [init(k, np.array(v, np.float32)) for k, v in values.items()]


NORM = numbers(two=2, eps=1e-5) + [init("gamma", weights(6)), init("beta", weights(6))]
ACT = numbers(root=1.4142135, inverse=0.70710678, one=1, half=0.5, three=3, cubic=0.044715,
              scale=0.7978846)
ROWS = ("x", ["N", 3, 6])
case("compose_layer_norm", 13, layer_norm("x", "y"), [ROWS], ["y"], NORM,
     want="LayerNormalization", batched=True)
case("compose_layer_norm_mul", 13, layer_norm("x", "y", "Mul", 2, True), [ROWS], ["y"], NORM,
     want="LayerNormalization", batched=True)
case("compose_layer_norm_not_of_another_axis", 13, layer_norm("x", "y", "Pow", 1),
     [ROWS], ["y"], NORM,
     want="ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add", batched=True)
case("compose_layer_norm_not_when_read", 13, layer_norm("x", "y"), [ROWS], ["y", "d"], NORM,
     want="ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add", batched=True)
for form in ("erf", "erf_mul", "erf_half_first", "tanh", "tanh_mul"):
    case(f"compose_gelu_{form}", 13, gelu("x", "y", form), [ROWS], ["y"], ACT, want="Gelu",
         batched=True)
case("compose_gelu_not_of_two", 13,
     [node("Relu", ["x"], ["z"])] + gelu("x", "b2", "erf")[:-2] +
     [node("Mul", ["z", "a"], ["b"]), node("Mul", ["b", "half"], ["y"])], [ROWS], ["y"], ACT,
     want="Relu Div Erf Add Mul Mul", batched=True)
case("compose_gelu_not_another_root", 13, gelu("x", "y", "erf"), [ROWS], ["y"],
     numbers(root=1.5, one=1, half=0.5), want="Div Erf Add Mul Mul", batched=True)
case("fuse_matmul_gelu", 13,
     [node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "c9"], ["z"])] +
     gelu("z", "y", "erf"), [ROWS], ["y"],
     ACT + [init("w", weights(6, 9)), init("c9", weights(9))], want="MatMul[bias,gelu]",
     batched=True)
case("fuse_gemm_gelu_tanh", 13,
     [node("Gemm", ["x", "w", "c9"], ["z"])] + gelu("z", "y", "tanh"), [("x", ["N", 6])], ["y"],
     ACT + [init("w", weights(6, 9)), init("c9", weights(9))], want="Gemm[bias,gelu_tanh]",
     batched=True)
case("fuse_conv_swish", 13,
     [node("Conv", ["x", "w", "b"], ["a"]), node("Sigmoid", ["a"], ["s"]),
      node("Mul", ["a", "s"], ["y"])], [X4], ["y"],
     [init("w", weights(5, 2, 2, 2)), init("b", weights(5))], want="Conv[bias,swish]",
     batched=True)
case("fuse_swish_not_when_read", 13,
     [node("Conv", ["x", "w"], ["a"]), node("Sigmoid", ["a"], ["s"]),
      node("Mul", ["s", "a"], ["m"]), node("Add", ["m", "a"], ["y"])], [X4], ["y"],
     [init("w", weights(5, 2, 2, 2))], want="Conv Sigmoid Mul Add", batched=True)
case("fuse_conv_hard_swish", 14,
     [node("Conv", ["x", "w"], ["a"]), node("HardSwish", ["a"], ["y"])], [X4], ["y"],
     [init("w", weights(5, 2, 2, 2))], want="Conv[hard_swish]", batched=True)

# What is there twice.
case("common_chains", 13,
     [node("Abs", ["x"], ["a"]), node("Abs", ["x"], ["b"]), node("Exp", ["a"], ["c"]),
      node("Exp", ["b"], ["d"]), node("Mul", ["c", "d"], ["y"])], [X4], ["y"],
     want="Abs Exp Mul", batched=True)
case("common_constants", 13,
     [node("Sub", ["x", "p"], ["a"]), node("Sub", ["x", "q"], ["b"]),
      node("Mul", ["a", "b"], ["y"])], [("x", ["N", 3])], ["y"],
     [init("p", np.float32([1, 2, 3])), init("q", np.float32([1, 2, 3]))], want="Sub Mul",
     batched=True)
case("common_not_other_constants", 13,
     [node("Sub", ["x", "p"], ["a"]), node("Sub", ["x", "q"], ["b"]),
      node("Mul", ["a", "b"], ["y"])], [("x", ["N", 3])], ["y"],
     [init("p", np.float32([1, 2, 3])), init("q", np.float32([[1, 2, 4]]))],
     want="Sub Sub Mul", batched=True)
case("common_not_other_attributes", 16,
     [node("LeakyRelu", ["x"], ["a"], alpha=0.1), node("LeakyRelu", ["x"], ["b"], alpha=0.2),
      node("Mul", ["a", "b"], ["y"])], [X4], ["y"], want="LeakyRelu LeakyRelu Mul", batched=True)
case("common_not_other_order", 13,
     [node("Sub", ["x", "z"], ["a"]), node("Sub", ["z", "x"], ["b"]),
      node("Mul", ["a", "b"], ["y"])], [("x", ["N", 3]), ("z", ["N", 3])], ["y"],
     want="Sub Sub Mul", batched=True)
case("common_outputs_keep_their_names", 13,
     [node("Abs", ["x"], ["a"]), node("Abs", ["x"], ["b"]), node("Abs", ["x"], ["c"]),
      node("Neg", ["c"], ["d"])], [X4], ["a", "b", "d"], want="Abs Abs Abs Neg", batched=True)
case("common_not_other_outputs", 12,
     [node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2]),
      node("MaxPool", ["x"], ["b", "i"], kernel_shape=[2, 2]),
      node("Cast", ["i"], ["j"], to=F), node("Add", ["a", "j"], ["y"])], [X4], ["y"],
     want="MaxPool MaxPool Cast Add")
case("layer_norm_not_when_its_middle_is_read", 13,
     [node("ReduceMean", ["x"], ["m"], axes=[-1]), node("Sub", ["x", "m"], ["c"]),
      node("Pow", ["c", "two"], ["q"]), node("ReduceMean", ["q"], ["v"], axes=[-1]),
      node("Add", ["v", "eps"], ["e"]), node("Sqrt", ["e"], ["d"]), node("Div", ["c", "d"], ["n"]),
      node("Mul", ["n", "g"], ["s"]), node("Add", ["s", "b"], ["l"]), node("Max", ["c", "l"], ["y"])],
     [("x", ["N", 3])], ["y"],
     [init("two", np.float32(2)), init("eps", np.float32(1e-5)), init("g", weights(3)),
      init("b", weights(3))],
     want="ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add Max", batched=True)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data",
                    "model_cases.bin")
with open(path, "wb") as out:
    for name, want, batched, model, ins, outs in cases:
        out.write(text(name) + text(want) + struct.pack("<I", batched) +
                  text(model) + struct.pack("<I", len(ins)) +
                  b"".join(map(tensor, ins)) + struct.pack("<I", len(outs)) +
                  b"".join(map(tensor, outs)))
print(f"{len(cases)} cases, {os.path.getsize(path)} bytes")

# Seeds for the fuzz target: those that between them use everything.
SEEDS = """conv_auto_pad_SAME_UPPER clip_6 softmax_11_unknown_sizes slice_10
slice_1 reshape_keeps_the_batch_11 squeeze_1 pad_18_axes dropout_12
weights_in_typed_fields constant_value_ints constant_of_shape_folded
fuse_residual_block fuse_conv_bias_batchnorm fuse_relu6 gather_table
max_pool_indices reduce_mean_18 nodes_out_of_order""".split()
folder = os.path.join(os.path.dirname(path), "../../fuzz/corpus/onnx")
for name, _, _, model, _, _ in cases:
    if name in SEEDS:
        with open(os.path.join(folder, name + ".onnx"), "wb") as out:
            out.write(model)
