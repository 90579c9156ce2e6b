#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes resnet18.onnx: torchvision's ResNet-18 with seeded random weights.

The graph is what PyTorch exports: BatchNormalization on its own, residual Adds,
a dynamic batch. It knows nothing of pictures; it is for speed and for comparing
answers. For a model that sees, export torchvision's and keep hearth.yaml:

    torch.onnx.export(torchvision.models.resnet18(weights="DEFAULT").eval(),
                      torch.zeros(1, 3, 224, 224), "resnet18.onnx",
                      dynamic_axes={"input": {0: "N"}})

Usage: make_resnet18.py [FILE]. Needs numpy and onnx.
"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv_bn(self, x, name, c_in, c_out, kernel, stride, pad):
        scale = np.sqrt(2 / (c_in * kernel * kernel))
        w = self.weight(name + ".weight",
                        self.rng.standard_normal((c_out, c_in, kernel, kernel)) * scale)
        x = self.node("Conv", [x, w], name + ".conv", kernel_shape=[kernel] * 2,
                      strides=[stride] * 2, pads=[pad] * 4)
        bn = [self.weight(name + ".gamma", self.rng.uniform(0.5, 1, c_out)),
              self.weight(name + ".beta", self.rng.standard_normal(c_out) * 0.1),
              self.weight(name + ".mean", self.rng.standard_normal(c_out) * 0.1),
              self.weight(name + ".var", self.rng.uniform(0.8, 1.2, c_out))]
        return self.node("BatchNormalization", [x] + bn, name + ".bn", epsilon=1e-5)

    def block(self, x, name, c_in, c_out, stride):
        y = self.conv_bn(x, name + ".1", c_in, c_out, 3, stride, 1)
        y = self.node("Relu", [y], name + ".relu1")
        y = self.conv_bn(y, name + ".2", c_out, c_out, 3, 1, 1)
        if stride != 1 or c_in != c_out:
            x = self.conv_bn(x, name + ".down", c_in, c_out, 1, stride, 0)
        y = self.node("Add", [y, x], name + ".add")
        return self.node("Relu", [y], name + ".relu2")


def resnet18(seed=18):
    b = Builder(seed)
    x = b.conv_bn("input", "stem", 3, 64, 7, 2, 3)
    x = b.node("Relu", [x], "stem.relu")
    x = b.node("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    c_in = 64
    for stage, c_out in enumerate((64, 128, 256, 512)):
        for i in range(2):
            x = b.block(x, f"layer{stage + 1}.{i}", c_in, c_out, 2 if stage > 0 and i == 0 else 1)
            c_in = c_out
    x = b.node("GlobalAveragePool", [x], "pool")
    x = b.node("Flatten", [x], "flatten", axis=1)
    w = b.weight("fc.weight", b.rng.standard_normal((1000, 512)) * 0.02)
    bias = b.weight("fc.bias", b.rng.standard_normal(1000) * 0.1)
    b.node("Gemm", [x, w, bias], "output", transB=1)
    graph = helper.make_graph(
        b.nodes, "resnet18",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 1000])], b.weights)
    model = helper.make_model(graph, producer_name="hearth-examples-imagenet", ir_version=8,
                              opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "resnet18.onnx")
    onnx.save(resnet18(), path)
    print(f"{path}: {os.path.getsize(path) / 1e6:.1f} MB")
