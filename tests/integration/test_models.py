# SPDX-License-Identifier: Apache-2.0
"""Whole models through hearthd against onnxruntime, by Triton's own client."""
import numpy as np
import onnxruntime
import pytest
import tritonclient.http as triton
from conftest import close

CNNS = ["resnet18", "squeezenet1.1", "mobilenet_v2", "vit",
        pytest.param("resnet50", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("vgg11", marks=pytest.mark.slow)]


def ask(client, name, inputs, outputs):
    given = []
    for key, value in inputs.items():
        i = triton.InferInput(key, value.shape, triton.np_to_triton_dtype(value.dtype))
        given.append(i.set_data_from_numpy(value))
    answer = client.infer(name, given)
    return [answer.as_numpy(o) for o in outputs]


def client_of(daemon):
    return triton.InferenceServerClient(daemon.address, network_timeout=300,
                                        connection_timeout=300)


@pytest.mark.parametrize("name", CNNS)
def test_a_picture_model_answers_as_onnxruntime(serve, bench_model, name):
    path = bench_model(name)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    daemon = serve({name: path}, timeout="300s")
    rng = np.random.default_rng(1)
    size = session.get_inputs()[0].shape[2]
    for batch in (1, 5):
        x = rng.standard_normal((batch, 3, size, size)).astype(np.float32)
        want = session.run(None, {"input": x})
        got = ask(client_of(daemon), name, {"input": x}, ["output"])
        assert close(got[0], want[0]), np.abs(got[0] - want[0]).max()
    daemon.check_books()


def test_an_encoder_answers_at_any_length(serve, bench_model):
    path = bench_model("bert4")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    daemon = serve({"bert4": path})
    rng = np.random.default_rng(2)
    outputs = [o.name for o in session.get_outputs()]
    for batch, length in ((1, 7), (5, 64), (1, 7), (5, 7), (1, 64)):
        ids = rng.integers(0, 1000, (batch, length))
        mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int64)
        feed = {"input_ids": ids, "attention_mask": mask}
        for a, b in zip(ask(client_of(daemon), "bert4", feed, outputs), session.run(None, feed)):
            assert close(a, b), (batch, length, np.abs(a - b).max())
    daemon.check_books()
