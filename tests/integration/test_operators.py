# SPDX-License-Identifier: Apache-2.0
"""Operators in every spelling over the opsets, through hearthd, against
onnxruntime."""
import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.http as triton
from conftest import close
from onnx import TensorProto, helper, numpy_helper

F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
rng = np.random.default_rng(5)


def const(name, *values, dtype=np.int64):
    return numpy_helper.from_array(np.array(values, dtype), name)


def scalar(name, value, dtype=np.float32):
    return numpy_helper.from_array(np.array(value, dtype), name)


def case(opset, op, inputs, constants=(), outputs=1, shape=("N", 4, 6), dtype=F, out=F, more=(),
         **attributes):
    """One node of input x (and <more> inputs like it), constants by name."""
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, inputs, names, **attributes)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(n, dtype, shape) for n in ("x", *more)],
        [helper.make_tensor_value_info(n, out, None) for n in names], list(constants))
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def sums():
    """Opset 8's Scan: running sums along axis 1 of each element of a batch, backwards, and a
    second sequence in the sum."""
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "a"], ["t"]), helper.make_node("Add", ["t", "b"], ["s_out"]),
         helper.make_node("Identity", ["s_out"], ["row"])], "body",
        [helper.make_tensor_value_info(n, F, [6]) for n in ("s", "a", "b")],
        [helper.make_tensor_value_info(n, F, [6]) for n in ("s_out", "row")])
    nodes = [helper.make_node("ReduceSum", ["x"], ["first"], axes=[1], keepdims=0),
             helper.make_node("Scan", ["", "first", "x", "x"], ["y0", "y1"], body=body,
                              num_scan_inputs=2, directions=[1, 0])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", F, ("N", 4, 6))],
        [helper.make_tensor_value_info(n, F, None) for n in ("y0", "y1")])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 8)])


PICTURE = ("N", 2, 5, 4)
CASES = {
    "scan-8": sums(),
    "split-attribute": case(11, "Split", ["x"], outputs=3, axis=-1, split=[1, 2, 3]),
    "split-equal": case(11, "Split", ["x"], outputs=2, axis=1),
    "split-input": case(13, "Split", ["x", "s"], [const("s", 4, 2)], outputs=2, axis=2),
    "split-uneven": case(18, "Split", ["x"], outputs=4, axis=2, num_outputs=4),
    "reducesum-11": case(11, "ReduceSum", ["x"], axes=[1], keepdims=0),
    "reducesum-13": case(13, "ReduceSum", ["x", "a"], [const("a", -1, 1)]),
    "reducesum-all": case(13, "ReduceSum", ["x"], keepdims=1),
    "resize-10": case(10, "Resize", ["x", "s"], [const("s", 1, 1, 2, 1.5, dtype=np.float32)],
                      shape=PICTURE, mode="linear"),
    "upsample-9": case(9, "Upsample", ["x", "s"], [const("s", 1, 1, 2, 3, dtype=np.float32)],
                       shape=PICTURE, mode="nearest"),
    "resize-11-sizes": case(11, "Resize", ["x", "e", "e", "z"],
                            [const("z", 3, 2, 7, 9), const("e", dtype=np.float32)],
                            shape=(3, 2, 5, 4), mode="cubic"),
    "resize-13-scales": case(13, "Resize", ["x", "", "s"], [const("s", 1, 1, 3, 3, dtype=np.float32)],
                             shape=PICTURE, mode="linear",
                             coordinate_transformation_mode="pytorch_half_pixel"),
    "resize-18-nearest": case(18, "Resize", ["x", "", "s"],
                              [const("s", 1, 1, .5, .5, dtype=np.float32)], shape=PICTURE,
                              coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "layernorm-17": case(17, "LayerNormalization", ["x", "g", "b"],
                         [const("g", *rng.random(6), dtype=np.float32),
                          const("b", *rng.random(6), dtype=np.float32)], axis=-1),
    "gelu-20": case(20, "Gelu", ["x"], approximate="tanh"),
    "hardswish-14": case(14, "HardSwish", ["x"]),
    "hardsigmoid": case(7, "HardSigmoid", ["x"], alpha=0.3, beta=0.4),
    "leakyrelu": case(7, "LeakyRelu", ["x"], alpha=0.2),
    "lrn": case(7, "LRN", ["x"], shape=PICTURE, size=3, alpha=0.1),
    "erf": case(9, "Erf", ["x"]), "exp": case(7, "Exp", ["x"]), "neg": case(7, "Neg", ["x"]),
    "pow-scalar": case(13, "Pow", ["x", "e"], [scalar("e", 3)]),
    "min-of-three": case(8, "Min", ["x", "z", "one"], [scalar("one", .5)], more=("z",)),
    "max-of-two": case(12, "Max", ["x", "z"], more=("z",)),
    "equal-int": case(11, "Equal", ["x", "two"], [scalar("two", 2, np.int64)], dtype=I, out=B),
    "greater": case(9, "Greater", ["x", "z"], more=("z",), out=B),
    "tile": case(7, "Tile", ["x", "t"], [const("t", 1, 2, 3)]),
    "expand": case(8, "Expand", ["x", "s"], [const("s", 2, 1, 4, 6)], shape=("N", 1, 6)),
    "neg-int": case(13, "Neg", ["x"], dtype=I, out=I),
    "reciprocal": case(13, "Reciprocal", ["x"]), "floor": case(13, "Floor", ["x"]),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    from conftest import Hearthd
    directory = tmp_path_factory.mktemp("operators")
    models = {}
    for name, model in CASES.items():
        onnx.save(model, directory / f"{name}.onnx")
        models[name] = directory / f"{name}.onnx"
    d = Hearthd(directory / "hearthd", models)
    yield d
    d.stop()


@pytest.mark.parametrize("name", CASES)
def test_operator_answers_as_onnxruntime(daemon, name):
    model = CASES[name]
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    c = triton.InferenceServerClient(daemon.address)
    for batch in (1, 3):
        feed, inputs = {}, []
        for i in session.get_inputs():
            shape = [batch if isinstance(d, str) else d for d in i.shape]
            x = (rng.integers(0, 4, shape) if "int64" in i.type
                 else rng.uniform(0.5, 2, shape) * rng.choice([1, 1, 1, -1] if "pow" not in name
                                                              else [1], shape))
            x = x.astype(np.int64 if "int64" in i.type else np.float32)
            feed[i.name] = x
            inputs.append(triton.InferInput(i.name, x.shape, triton.np_to_triton_dtype(x.dtype))
                          .set_data_from_numpy(x))
        answer = c.infer(name, inputs)
        for o, want in zip(session.get_outputs(), session.run(None, feed)):
            got = answer.as_numpy(o.name)
            assert got.dtype == want.dtype and close(got, want), (o.name, got, want)


@pytest.mark.parametrize("model, said", [
    (case(13, "Split", ["x", "s"], [const("s", 4, 4)], outputs=2, axis=2), "8 of 6"),
    (case(11, "Split", ["x"], outputs=2, axis=2, split=[-1, 7]), "has the size -1"),
    (case(11, "Split", ["x"], outputs=2, axis=5), "along axis 5"),
    (case(13, "Resize", ["x", "", "s"], [const("s", 1, 1, -1, 1, dtype=np.float32)], shape=PICTURE),
     "a scale is not over 0"),
    (case(13, "Resize", ["x", "", "s"], [const("s", 1, 1, np.nan, 1, dtype=np.float32)], shape=PICTURE),
     "a scale is not over 0"),
    (case(13, "Resize", ["x", "", "s"], [const("s", 1, 1, 1e30, 1, dtype=np.float32)], shape=PICTURE),
     "a scale is not over 0, or over a million"),
    (case(18, "Resize", ["x", "", "s"], [const("s", 1, 1, 2, 2, dtype=np.float32)], shape=PICTURE,
          mode="spline"), "mode 'spline'"),
    (case(7, "Tile", ["x", "t"], [const("t", 1, -2, 3)]), "number -2"),
    (case(7, "Tile", ["x", "t"], [const("t", 1, 2**62, 2**62)]), ""),
    (case(8, "Expand", ["x", "s"], [const("s", -1, 4, 6)]), "size -1"),
    (case(7, "LRN", ["x"], shape=PICTURE, size=0), "size must be 1 or more"),
    (case(17, "LayerNormalization", ["x", "g"], [const("g", 1, 2, dtype=np.float32)], axis=-1),
     "does not suit"),
])
def test_a_hostile_operator_is_refused_and_the_process_lives(serve, tmp_path, model, said):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    d = serve({"m": path})
    status, body, _ = d.get("/v2/models/m")
    assert status >= 400 and said in body["error"], body
    assert d.get("/v2/health/live")[0] == 200
