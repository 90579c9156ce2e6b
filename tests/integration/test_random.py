# SPDX-License-Identifier: Apache-2.0
"""Random operators, whose answers no other program can tell: their ranges and
means, other numbers at every run without a seed and the same ones with it."""
import numpy as np
import pytest
import tritonclient.http as triton
from onnx import TensorProto, helper, numpy_helper

F, D, I32, I64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64


def infer(d, name, x):
    t = triton.InferInput("x", x.shape, "FP32")
    t.set_data_from_numpy(x)
    return triton.InferenceServerClient(d.address).infer(name, [t]).as_numpy("y")


@pytest.fixture
def ask(serve, tmp_path):
    """ask(nodes, x, type) -> the answers of two runs."""
    def run(nodes, x, kind=F, initializers=()):
        d = serve()
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", F, ["n"] + list(x.shape[1:]))],
            [helper.make_tensor_value_info("y", kind, None)], list(initializers))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
        model.ir_version = 8
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        d.add("m", tmp_path / "m.onnx")
        assert d.post("/v2/hearth/reload", door="admin")[0] == 200
        return infer(d, "m", x), infer(d, "m", x)
    return run


X = np.zeros((100, 500), np.float32)


def test_uniform_and_normal_numbers_are_others_at_every_run(ask):
    a, b = ask([helper.make_node("RandomUniformLike", ["x"], ["y"], low=2.0, high=5.0)], X)
    assert a.shape == X.shape and a.min() >= 2 and a.max() < 5 and not np.array_equal(a, b)
    assert abs(a.mean() - 3.5) < 0.03 and abs(a.std() - 3 / 12 ** 0.5) < 0.03
    a, b = ask([helper.make_node("RandomNormalLike", ["x"], ["y"], mean=1.0, scale=2.0, dtype=D)],
               X, D)
    assert a.dtype == np.float64 and not np.array_equal(a, b)
    assert abs(a.mean() - 1) < 0.06 and abs(a.std() - 2) < 0.06
    assert abs(np.mean(np.abs(a - 1) < 2) - 0.6827) < 0.02
    # Rows are not each other's.
    assert abs(np.corrcoef(a[:-1].ravel(), a[1:].ravel())[0, 1]) < 0.03


def test_a_seed_gives_the_same_numbers(ask):
    nodes = [helper.make_node("RandomUniform", [], ["a"], shape=[100, 500], seed=7.0),
             helper.make_node("RandomUniform", [], ["b"], shape=[100, 500], seed=8.0),
             helper.make_node("Sub", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    a, b = ask(nodes, X)
    assert np.array_equal(a, b) and 0.3 < a.std() < 0.5 and abs(a.mean()) < 0.02


def test_two_nodes_are_two_draws_and_nothing_is_drawn_ahead(ask):
    nodes = [helper.make_node("RandomNormal", [], ["a"], shape=[100, 500]),
             helper.make_node("RandomNormal", [], ["b"], shape=[100, 500]),
             helper.make_node("Sub", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    a, b = ask(nodes, X)
    assert abs(a.std() - 2 ** 0.5) < 0.05 and not np.array_equal(a, b)


def test_bernoulli_and_multinomial_draw_what_is_likely(ask):
    p = np.tile(np.float32([0, 0.25, 0.75, 1]), (20000, 1))
    a, b = ask([helper.make_node("Bernoulli", ["x"], ["y"], dtype=I32)], p, I32)
    assert set(np.unique(a)) == {0, 1} and not np.array_equal(a, b)
    assert np.allclose(a.mean(0), [0, 0.25, 0.75, 1], atol=0.02)
    with np.errstate(divide="ignore"):
        logs = np.log(np.float32([[1, 3, 0, 4], [2, 0, 2, 0]]))
    a, b = ask([helper.make_node("Multinomial", ["x"], ["y"], sample_size=20000, dtype=I64)],
               logs, I64)
    assert a.shape == (2, 20000) and not np.array_equal(a, b)
    assert np.allclose(np.bincount(a[0], minlength=4) / 20000, [0.125, 0.375, 0, 0.5], atol=0.02)
    assert np.allclose(np.bincount(a[1], minlength=4) / 20000, [0.5, 0, 0.5, 0], atol=0.02)
