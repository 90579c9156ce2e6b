#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/ops_vectors_function.bin: functions of one number,
bits and remainders; see ops_vectors.py.

    python3 tests/unit/ops_vectors_function.py
"""
import sys

import numpy as np

import ops_vectors as v
from ops_vectors import FLOATS, INTS, NUMBERS, case, emit, rand

OPSET = 28
v.OP_NAME.update({"HEARTH_OP_IS_NAN": "IsNaN", "HEARTH_OP_IS_INF": "IsInf",
                  "HEARTH_OP_PRELU": "PRelu"})
# ONNX's evaluator computes some of these in the tensor's own type.
LOOSE = {np.dtype(np.float64): (1e-6, 1e-6)}


def functions():
    for dtype in FLOATS:
        for op, low, high in (
                ("SIN", -4, 4), ("COS", -4, 4), ("TAN", -1.2, 1.2),
                ("ASIN", -1, 1), ("ACOS", -1, 1), ("ATAN", -4, 4),
                ("SINH", -3, 3), ("COSH", -3, 3), ("ASINH", -4, 4),
                ("ACOSH", 1, 4), ("ATANH", -.9, .9), ("ROUND", -4, 4),
                ("SIGN", -2, 2), ("SOFTPLUS", -4, 4), ("SOFTSIGN", -4, 4),
                ("MISH", -4, 4), ("ELU", -3, 3), ("CELU", -3, 3),
                ("SELU", -3, 3), ("SWISH", -4, 4),
                ("THRESHOLDED_RELU", -3, 3), ("SHRINK", -2, 2)):
            case(op, {}, [rand((3, 5), dtype, low, high)], opset=OPSET,
                 tol=LOOSE.get(np.dtype(dtype)))
        x = rand((2, 3, 4), dtype, -4, 4)
        tol = LOOSE.get(np.dtype(dtype))
        for op in ("ELU", "CELU", "SWISH", "THRESHOLDED_RELU"):
            case(op, {"ALPHA": 0.6}, [x], opset=OPSET, tol=tol)
        case("SELU", {"ALPHA": 1.5, "BETA": 2.0}, [x], tol=tol,
             onnx_attrs={"alpha": 1.5, "gamma": 2.0})
        case("SHRINK", {"ALPHA": 1.5, "BETA": 0.25}, [x],
             onnx_attrs={"lambd": 1.5, "bias": 0.25}, tol=tol)
        halves = np.array([-2.5, -1.5, -.5, .5, 1.5, 2.5, np.inf], dtype)
        case("ROUND", {}, [halves])
        odd = np.array([np.nan, np.inf, -np.inf, 0, 3, -0.0], dtype)
        emit("HEARTH_OP_IS_NAN", {}, [odd], [np.isnan(odd)])
        emit("HEARTH_OP_IS_INF", {}, [odd], [np.isinf(odd)])
        emit("HEARTH_OP_IS_INF", {"DETECT_NEGATIVE": 0}, [odd],
             [np.isposinf(odd)])
        emit("HEARTH_OP_IS_INF", {"DETECT_POSITIVE": 0}, [odd],
             [np.isneginf(odd)])
        emit("HEARTH_OP_SIGN", {}, [odd[1:]], [np.sign(odd[1:])])
        # Far out nothing may overflow on the way.
        far = np.array([-80, 80], dtype)
        emit("HEARTH_OP_SOFTPLUS", {}, [far], [np.maximum(far, 0)])
        emit("HEARTH_OP_MISH", {}, [far], [np.maximum(far, 0)])
    for dtype in INTS:
        x = rand((3, 4), dtype)
        emit("HEARTH_OP_SIGN", {}, [x], [np.sign(x).astype(dtype)])
        y = np.where(x > 20, x - 5, np.where(x.astype(np.float64) < -20,
                                             x + 5, 0))
        emit("HEARTH_OP_SHRINK", {"ALPHA": 20.0, "BETA": 5.0}, [x],
             [y.astype(dtype)])


def two():
    for dtype in NUMBERS:
        for fmod in (0, 1):
            x, y = rand((2, 3, 4), dtype), rand((3, 1), dtype)
            y = np.where(y == 0, np.ones_like(y), y)
            f = np.fmod if fmod else np.mod
            wide = [a.astype(np.float64) if dtype in FLOATS else a
                    for a in (x, y)]
            emit("HEARTH_OP_MOD", {"FMOD": fmod}, [x, y],
                 [f(*wide).astype(dtype)])
        if dtype in FLOATS or np.dtype(dtype).itemsize >= 4:
            x, y = rand((2, 3, 4), dtype), rand((3, 1), dtype)
            emit("HEARTH_OP_PRELU", {}, [x, y],
                 [np.where(x < 0, x * y, x).astype(dtype)])
    edge = np.array([0, -0.0, 3, -3, 1, np.inf], np.float32)
    by = np.array([-2, 2, np.inf, np.inf, 0, 3], np.float32)
    emit("HEARTH_OP_MOD", {}, [edge, by], [np.array(
        [-0.0, 0, 3, np.inf, np.nan, np.nan], np.float32)])
    emit("HEARTH_OP_MOD", {"FMOD": 1}, [edge, by], [np.array(
        [0, -0.0, 3, -3, np.nan, np.nan], np.float32)])
    low = np.iinfo(np.int64).min
    emit("HEARTH_OP_MOD", {}, [v.i64(low, 7), v.i64(-1, -1)], [v.i64(0, 0)])


def bits():
    for dtype in INTS:
        x, y = rand((2, 3, 4), dtype), rand((3, 4), dtype)
        for op, f in (("AND", np.bitwise_and), ("OR", np.bitwise_or),
                      ("XOR", np.bitwise_xor)):
            emit("HEARTH_OP_BITWISE_" + op, {}, [x, y], [f(x, y)])
        emit("HEARTH_OP_BITWISE_NOT", {}, [x], [np.bitwise_not(x)])
        width = np.dtype(dtype).itemsize * 8
        by = np.array([0, 1, 3, width - 1], dtype)
        for way, f in (("LEFT", np.left_shift), ("RIGHT", np.right_shift)):
            emit("HEARTH_OP_BIT_SHIFT", {"DIRECTION": way}, [x, by],
                 [f(x, by)])
        out = np.array([width, 100], dtype)
        x = np.array([5, 77], dtype)
        for way in ("LEFT", "RIGHT"):
            emit("HEARTH_OP_BIT_SHIFT", {"DIRECTION": way}, [x, out],
                 [np.zeros(2, dtype)])
        if np.dtype(dtype).kind == "i":
            emit("HEARTH_OP_BIT_SHIFT", {"DIRECTION": "RIGHT"},
                 [np.array([-5, -5, -5, 5], dtype),
                  np.array([1, width, -1, -1], dtype)],
                 [np.array([-3, -1, -1, 0], dtype)])
    t, u = rand((3, 4), np.bool_), rand((4,), np.bool_)
    emit("HEARTH_OP_BITWISE_XOR", {}, [t, u], [np.logical_xor(t, u)])


def main():
    for part in (functions, two, bits):
        part()
    v.write("ops_vectors_function.bin")


if __name__ == "__main__":
    sys.exit(main())
