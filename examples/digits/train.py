#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small CNN on scikit-learn's digits and writes it as ONNX.

numpy alone does the training, from a fixed seed, so that the same machine gives
the same model. Writes model.onnx, labels.txt and ten pictures, 0.png to 9.png,
of digits that it was not trained on. Needs numpy, scikit-learn, onnx, Pillow.

The network takes pictures as [N,1,8,8], grey, black 0 and white 1:
Conv 3x3 (16) - Relu - Conv 3x3 (32) - Relu - MaxPool 2x2 - Gemm (64) - Relu - Gemm (10).
"""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

SEED = 7
EPOCHS = 25
BATCH = 32
RATE = 2e-3
HERE = os.path.dirname(os.path.abspath(__file__))


def split():
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    x = (digits.images / 16.0).astype(np.float32)[:, None]
    held_out = len(order) // 5
    test, train = order[:held_out], order[held_out:]
    return x[train], digits.target[train], x[test], digits.target[test]


def columns(x):
    """3x3 windows of a picture with a border of one: [N,C*9,H*W]."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = [padded[:, :, i:i + h, j:j + w] for i in range(3) for j in range(3)]
    return np.stack(windows, 2).reshape(n, c * 9, h * w)


def scatter(cols, shape):
    """The gradient of columns."""
    n, c, h, w = shape
    out = np.zeros((n, c, h + 2, w + 2), np.float32)
    cols = cols.reshape(n, c, 9, h, w)
    for k in range(9):
        i, j = divmod(k, 3)
        out[:, :, i:i + h, j:j + w] += cols[:, :, k]
    return out[:, :, 1:-1, 1:-1]


class Net:
    def __init__(self):
        rng = np.random.default_rng(SEED)

        def weights(*shape):
            fan_in = np.prod(shape[1:])
            return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)

        self.p = {
            "conv1.weight": weights(16, 1, 3, 3), "conv1.bias": np.zeros(16, np.float32),
            "conv2.weight": weights(32, 16, 3, 3), "conv2.bias": np.zeros(32, np.float32),
            "fc1.weight": weights(64, 512), "fc1.bias": np.zeros(64, np.float32),
            "fc2.weight": weights(10, 64), "fc2.bias": np.zeros(10, np.float32),
        }
        self.moments = {k: [np.zeros_like(v), np.zeros_like(v)] for k, v in self.p.items()}
        self.step = 0

    def conv(self, x, name):
        w, b = self.p[name + ".weight"], self.p[name + ".bias"]
        cols = columns(x)
        y = w.reshape(len(w), -1) @ cols + b[:, None]
        return y.reshape(len(x), len(w), *x.shape[2:]), cols

    def forward(self, x):
        s = {"x": x}
        s["a1"], s["c1"] = self.conv(x, "conv1")
        s["r1"] = np.maximum(s["a1"], 0)
        s["a2"], s["c2"] = self.conv(s["r1"], "conv2")
        s["r2"] = np.maximum(s["a2"], 0)
        n = len(x)
        s["pool"] = s["r2"].reshape(n, 32, 4, 2, 4, 2).max((3, 5))
        s["flat"] = s["pool"].reshape(n, -1)
        s["h"] = s["flat"] @ self.p["fc1.weight"].T + self.p["fc1.bias"]
        s["hr"] = np.maximum(s["h"], 0)
        s["y"] = s["hr"] @ self.p["fc2.weight"].T + self.p["fc2.bias"]
        return s

    def backward(self, s, target):
        n = len(target)
        e = np.exp(s["y"] - s["y"].max(1, keepdims=True))
        dy = e / e.sum(1, keepdims=True)
        dy[np.arange(n), target] -= 1
        dy /= n
        g = {"fc2.weight": dy.T @ s["hr"], "fc2.bias": dy.sum(0)}
        dh = (dy @ self.p["fc2.weight"]) * (s["h"] > 0)
        g["fc1.weight"], g["fc1.bias"] = dh.T @ s["flat"], dh.sum(0)
        dpool = (dh @ self.p["fc1.weight"]).reshape(n, 32, 4, 1, 4, 1)
        r2 = s["r2"].reshape(n, 32, 4, 2, 4, 2)
        da2 = (dpool * (r2 == s["pool"].reshape(n, 32, 4, 1, 4, 1))).reshape(n, 32, 64)
        da2 = da2 * (s["a2"].reshape(n, 32, 64) > 0)
        g["conv2.weight"] = np.einsum("nop,nip->oi", da2, s["c2"]).reshape(32, 16, 3, 3)
        g["conv2.bias"] = da2.sum((0, 2))
        dc2 = self.p["conv2.weight"].reshape(32, -1).T @ da2
        da1 = (scatter(dc2, s["r1"].shape) * (s["a1"] > 0)).reshape(n, 16, 64)
        g["conv1.weight"] = np.einsum("nop,nip->oi", da1, s["c1"]).reshape(16, 1, 3, 3)
        g["conv1.bias"] = da1.sum((0, 2))
        return g

    def update(self, grads):
        self.step += 1
        for k, g in grads.items():
            m, v = self.moments[k]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            rate = RATE * np.sqrt(1 - 0.999 ** self.step) / (1 - 0.9 ** self.step)
            self.p[k] -= (rate * m / (np.sqrt(v) + 1e-8)).astype(np.float32)


def accuracy(net, x, target):
    return float((net.forward(x)["y"].argmax(1) == target).mean())


def shifted(x, rng):
    """Digits are written a little to the left, or higher."""
    dx, dy = rng.integers(-1, 2, 2)
    return np.roll(x, (dy, dx), (2, 3))


def train(x, target):
    net, rng = Net(), np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        for i in range(0, len(order), BATCH):
            pick = order[i:i + BATCH]
            net.update(net.backward(net.forward(shifted(x[pick], rng)), target[pick]))
        print(f"epoch {epoch + 1:2d} of {EPOCHS}: {accuracy(net, x, target):.3f} on what it learns")
    return net


def save(net, path):
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1",
                         kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], "conv2",
                         kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten", axis=1),
        helper.make_node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["h"], "fc1", transB=1),
        helper.make_node("Relu", ["h"], ["hr"], "relu3"),
        helper.make_node("Gemm", ["hr", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(v, k) for k, v in net.p.items()])
    model = helper.make_model(graph, producer_name="hearth-examples-digits", ir_version=8,
                              opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    x, target, test_x, test_target = split()
    net = train(x, target)
    right = accuracy(net, test_x, test_target)
    print(f"held out: {right:.4f} right of {len(test_target)}")
    assert right >= 0.97, "it must read at least 97 of 100 digits"
    save(net, os.path.join(HERE, "model.onnx"))
    with open(os.path.join(HERE, "labels.txt"), "w") as f:
        f.write("".join(f"{i}\n" for i in range(10)))
    # Pictures for people: 64x64, each pixel of the digit a square. Resized to
    # 8x8 they are a little softer than what was learned, and read all the same.
    for digit in range(10):
        pick = np.flatnonzero(test_target == digit)[0]
        pixels = np.rint(test_x[pick, 0] * 255).astype(np.uint8)
        Image.fromarray(np.kron(pixels, np.ones((8, 8), np.uint8))).save(
            os.path.join(HERE, f"{digit}.png"), optimize=True)


if __name__ == "__main__":
    main()
