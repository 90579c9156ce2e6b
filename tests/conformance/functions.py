# SPDX-License-Identifier: Apache-2.0
"""Models that define functions of their own; what they answer is what onnxruntime
answers."""
import numpy as np
import onnxruntime
from onnx import AttributeProto, TensorProto, helper, numpy_helper

node = helper.make_node
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]


def call(op, inputs, outputs, **attributes):
    return node(op, inputs, outputs, domain="my", **attributes)


def refers(n, name, to, kind):
    """Node <n> whose attribute <name> is the function's attribute <to>."""
    n.attribute.append(AttributeProto(name=name, ref_attr_name=to, type=kind))
    return n


def function(name, inputs, outputs, nodes, attributes=(), defaults=()):
    return helper.make_function("my", name, inputs, outputs, nodes, OPSETS, attributes, defaults)


def model(nodes, functions, inputs=("x",), outputs=("y",)):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(i, TensorProto.FLOAT, ["N", 4]) for i in inputs],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs])
    return helper.make_model(graph, ir_version=10, opset_imports=OPSETS, functions=functions)


VECTOR = numpy_helper.from_array(np.arange(4, dtype=np.float32), "v")
SQUARE = function("Square", ["a"], ["b"], [node("Mul", ["a", "a"], ["b"])])
LEAKY = function("Leaky", ["a"], ["b"],
                 [refers(node("LeakyRelu", ["a"], ["t"]), "alpha", "slope", AttributeProto.FLOAT),
                  call("Square", ["t"], ["b"])], ["slope"])
OUTER = function("Outer", ["a", "c"], ["b", "u"],
                 [refers(call("Leaky", ["a"], ["t"]), "slope", "s", AttributeProto.FLOAT),
                  node("Add", ["t", "c"], ["b"]), node("Relu", ["t"], ["u"])], ["s"])
DEFAULT = function("Default", ["a"], ["b"],
                   [refers(node("LeakyRelu", ["a"], ["b"]), "alpha", "slope", AttributeProto.FLOAT)],
                   (), [helper.make_attribute("slope", 0.25)])
ABSENT = function("Absent", ["a"], ["b"],
                  [refers(node("LeakyRelu", ["a"], ["b"]), "alpha", "slope", AttributeProto.FLOAT)],
                  ["slope"])
CONSTANT = function("Constant4", ["a"], ["b"], [node("Constant", [], ["t"], value=VECTOR),
                                               node("Add", ["a", "t"], ["b"])])
TENSOR = function("Tensor", ["a"], ["b"],
                  [refers(node("Constant", [], ["t"]), "value", "which", AttributeProto.TENSOR),
                   node("Add", ["a", "t"], ["b"])], ["which"])
CLIP = function("Limit", ["a", "low", "high"], ["b"], [node("Clip", ["a", "low", "high"], ["b"])])
SHADOW = function("Shadow", ["y"], ["x"], [node("Neg", ["y"], ["t"]), node("Exp", ["t"], ["x"])])

MODELS = {
    "a_call_is_its_body": model([call("Square", ["x"], ["y"])], [SQUARE]),
    "two_calls_keep_their_names_apart": model(
        [call("Leaky", ["x"], ["t"], slope=0.5), call("Leaky", ["t"], ["y"], slope=0.25)],
        [SQUARE, LEAKY]),
    "attributes_pass_through_nested_calls": model(
        [call("Outer", ["x", "z"], ["y", "w"], s=0.7)], [OUTER, SQUARE, LEAKY], ("x", "z"), ("y", "w")),
    "an_output_left_out_is_not_missed": model(
        [call("Outer", ["x", "z"], ["", "y"], s=0.7)], [SQUARE, LEAKY, OUTER], ("x", "z")),
    "a_default_stands_in": model([call("Default", ["x"], ["y"])], [DEFAULT]),
    "a_default_gives_way": model([call("Default", ["x"], ["y"], slope=0.5)], [DEFAULT]),
    "an_absent_attribute_is_the_operators_default": model([call("Absent", ["x"], ["y"])], [ABSENT]),
    "a_body_has_constants": model(
        [call("Constant4", ["x"], ["t"]), call("Constant4", ["t"], ["y"])], [CONSTANT]),
    "a_tensor_is_an_attribute": model([call("Tensor", ["x"], ["y"], which=VECTOR)], [TENSOR]),
    "an_input_left_out_is_left_out": model(
        [node("Constant", [], ["m"], value_float=0.5), call("Limit", ["x", "", "m"], ["y"])], [CLIP]),
    "formal_names_are_the_callers": model([call("Shadow", ["x"], ["y"])], [SHADOW]),
}


def collect(out):
    rng = np.random.default_rng(0)
    for name, m in MODELS.items():
        feed = {i.name: rng.standard_normal((3, 4)).astype(np.float32) for i in m.graph.input}
        session = onnxruntime.InferenceSession(m.SerializeToString(),
                                               providers=["CPUExecutionProvider"])
        want = session.run([o.name for o in m.graph.output], feed)
        out.add("functions", "model", name, m, [(list(feed.values()), want)], 1e-5, 1e-6)
