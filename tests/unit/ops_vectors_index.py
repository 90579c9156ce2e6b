#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/ops_vectors_index.bin: elements that indices name,
arrangements by place, windows; see ops_vectors.py.

    python3 tests/unit/ops_vectors_index.py
"""
import sys

import numpy as np

import ops_vectors as v
from ops_vectors import ALL, BF16, FLOATS, case, emit, i64, rand

OPSET = 28
v.OP_NAME.update({"HEARTH_OP_GATHER_ND": "GatherND",
                  "HEARTH_OP_SCATTER_ND": "ScatterND"})


def indices(low, high, shape, dtype=np.int64):
    return v.rng.integers(low, high, shape).astype(dtype)


def gather(x, at, axis):
    """By the operator's text: ONNX's evaluator wants other axes equal."""
    y = np.empty(at.shape, x.dtype)
    for i in np.ndindex(at.shape):
        k = list(i)
        k[axis] = at[i]
        y[i] = x[tuple(k)]
    emit("HEARTH_OP_GATHER_ELEMENTS", {"AXIS": axis}, [x, at], [y])


def elements():
    for dtype in ALL:
        for axis in (0, 1, -1):
            x = rand((3, 4, 5), dtype)
            shape = [2, 3, 4]
            shape[axis] = 6
            at = indices(-x.shape[axis], x.shape[axis], shape)
            gather(x, at, axis)
    gather(rand((4,)), indices(-4, 4, (9,), np.int32), 0)
    gather(rand((4, 2)), indices(0, 2, (0, 3)), 1)
    for dtype in ALL:
        for how in ("none", "add", "mul", "max", "min"):
            if dtype is np.bool_ and how != "none":
                continue
            x = rand((3, 4), dtype)
            # Twice the same place is an order that nobody tells.
            at = np.stack([v.rng.permutation(4)[:2] for _ in range(3)])
            if how != "none" and dtype not in (np.float16, BF16):
                at = indices(-4, 4, (3, 6))
            u = rand(at.shape, dtype, 0.5, 2)
            # numpy's own loop, as ONNX's evaluator is slow of these.
            y = x.copy()
            f = {"none": lambda a, b: b, "add": np.add, "mul": np.multiply,
                 "max": np.maximum, "min": np.minimum}[how]
            for i in np.ndindex(at.shape):
                y[i[0], at[i]] = f(y[i[0], at[i]], u[i])
            emit("HEARTH_OP_SCATTER_ELEMENTS", {"AXIS": 1, "REDUCTION": how},
                 [x, at.astype(np.int64), u], [y])
    case("SCATTER_ELEMENTS", {"AXIS": 0}, [rand((3, 3)), i64(1, 0, 2).reshape(
        1, 3), rand((1, 3))], opset=OPSET)


def tuples():
    for dtype in ALL:
        x = rand((2, 3, 4), dtype)
        for batch, shape, k in ((0, (5,), 3), (0, (2, 2), 1), (1, (2, 3), 2),
                                (2, (2, 3), 1), (1, (2,), 1)):
            if len(shape) <= batch - 1:
                continue
            at = np.stack([indices(-x.shape[batch + i], x.shape[batch + i],
                                   shape) for i in range(k)], axis=-1)
            case("GATHER_ND", {"BATCH_DIMS": batch}, [x, at], opset=OPSET)
        for how in ("none", "add", "mul", "max", "min"):
            if dtype is np.bool_ and how != "none":
                continue
            at = i64(0, 2, 1, 1, 0, -1).reshape(3, 2)
            u = rand((3, 4), dtype, 0.5, 2)
            case("SCATTER_ND", {"REDUCTION": how}, [x, at, u], opset=OPSET)
    x = rand((4, 5))
    at = i64(1, 1, 3, 2, 1, 1).reshape(3, 2)
    y = x.copy()
    u = rand((3,))
    for i in range(3):
        y[tuple(at[i])] += u[i]
    emit("HEARTH_OP_SCATTER_ND", {"REDUCTION": "add"}, [x, at, u], [y])
    emit("HEARTH_OP_GATHER_ND", {}, [x, np.zeros((2, 0), np.int64)],
         [np.stack([x, x])])
    nan = np.array([1, np.nan, 3], np.float32)
    emit("HEARTH_OP_SCATTER_ND", {"REDUCTION": "max"},
         [nan, i64(0, 1, 2).reshape(3, 1), np.array([np.nan, 5, 4],
                                                    np.float32)],
         [np.array([np.nan, np.nan, 4], np.float32)])


def one_hots():
    for dtype in ALL:
        for axis in (-1, 0, 1):
            at = indices(-5, 6, (2, 3))
            values = np.array([0, 1] if dtype is np.bool_ else [2, 7], dtype)
            y = np.full((2, 3, 4), values[0], dtype)
            for i in np.ndindex(at.shape):
                if -4 <= at[i] < 4:
                    y[i][at[i]] = values[1]
            emit("HEARTH_OP_ONE_HOT", {"AXIS": axis}, [at, i64(4), values],
                 [np.ascontiguousarray(np.moveaxis(y, -1, axis))])
    y = np.zeros((1, 3), np.float32)
    y[0, 2] = 1
    emit("HEARTH_OP_ONE_HOT", {}, [np.array([2.0], np.float32), np.array(
        3.0, np.float32), np.array([0, 1], np.float32)], [y])


def arrangements():
    for dtype in ALL:
        x = rand((2, 3, 4), dtype)
        for upper, f in ((1, np.triu), (0, np.tril)):
            emit("HEARTH_OP_TRILU", {"UPPER": upper}, [x], [f(x)])
            for k in (-2, 1, 9, -9):
                emit("HEARTH_OP_TRILU", {"UPPER": upper},
                     [x, np.array(k, np.int64)], [f(x, k)])
        for k in (0, 2, -1, 9):
            emit("HEARTH_OP_EYE_LIKE", {"K": k}, [x[0]],
                 [np.eye(3, 4, k).astype(dtype)])
        emit("HEARTH_OP_EYE_LIKE", {"TO": 11}, [x[0]], [np.eye(3, 4)])
        for batch in (0, 1):
            x = rand((3, 4, 2), dtype)
            n = i64(*((4, 2, 0) if batch == 0 else (3, 1, 2, 0)))
            y = x.copy()
            for b, count in enumerate(n):
                if batch == 0:
                    y[b, :count] = x[b, :count][::-1]
                else:
                    y[:count, b] = x[:count, b][::-1]
            emit("HEARTH_OP_REVERSE_SEQUENCE", {"BATCH_AXIS": batch,
                                                "TIME_AXIS": 1 - batch},
                 [x, n], [y])
        for mode in ("DCR", "CRD"):
            x = rand((2, 12, 2, 3), dtype)
            case("DEPTH_TO_SPACE", {"BLOCK_SIZE": 2, "MODE": mode}, [x],
                 onnx_attrs={"blocksize": 2, "mode": mode}, opset=OPSET)
            y = v.reference("HEARTH_OP_DEPTH_TO_SPACE",
                            {"blocksize": 2, "mode": mode}, [x])[0]
            emit("HEARTH_OP_SPACE_TO_DEPTH", {"BLOCK_SIZE": 2, "MODE": mode},
                 [y], [x])
        x = rand((5, 4, 3), dtype)
        for size in ((3, 6, 3), (8, 1, 4), (4, 4, 0)):
            case("CENTER_CROP_PAD", {}, [x, i64(*size)], opset=OPSET)
        case("CENTER_CROP_PAD", {"AXES": [-1, 0]}, [x, i64(2, 7)],
             opset=OPSET)
        past, new = rand((2, 3, 5, 2), dtype), rand((2, 3, 2, 2), dtype)
        case("TENSOR_SCATTER", {}, [past, new], opset=OPSET)
        case("TENSOR_SCATTER", {}, [past, new, i64(3, 1)], opset=OPSET)
        case("TENSOR_SCATTER", {"MODE": "circular"}, [past, new, i64(4, 7)],
             opset=OPSET)
        case("TENSOR_SCATTER", {"AXIS": 1}, [past, past[:, :2], i64(1, 0)],
             opset=OPSET)
    low = np.iinfo(np.int64).min
    x = rand((3, 3))
    for k in (low, -low - 1):
        k = np.array(k, np.int64)
        keep = k < 0
        emit("HEARTH_OP_TRILU", {}, [x, k], [x * keep])
        emit("HEARTH_OP_TRILU", {"UPPER": 0}, [x, k], [x * (not keep)])
    for a, b in ((np.float32, np.int32), (np.int64, np.float64), (
            np.float16, BF16), (np.uint8, np.int8), (np.bool_, np.uint8)):
        x = rand((3, 4), a)
        emit("HEARTH_OP_BIT_CAST", {"TO": v.DTYPES[np.dtype(b)]}, [x],
             [x.view(b)])


def windows():
    for op, f in (("HANN", lambda n, t: .5 - .5 * np.cos(t)),
                  ("HAMMING", lambda n, t: 25 / 46 - 21 / 46 * np.cos(t)),
                  ("BLACKMAN", lambda n, t: .42 - .5 * np.cos(t) +
                   .08 * np.cos(2 * t))):
        for n in (1, 2, 9, 400):
            for periodic in (0, 1):
                span = n if periodic else max(n - 1, 1)
                y = f(n, 2 * np.pi * np.arange(n) / span)
                if n == 1 and not periodic:
                    y = np.ones(1)
                for dtype in FLOATS if n == 9 else [np.float32]:
                    emit("HEARTH_OP_%s_WINDOW" % op, {
                        "PERIODIC": periodic, "TO": v.DTYPES[np.dtype(dtype)]},
                        [np.array(n, np.int32)], [y.astype(dtype)])
        emit("HEARTH_OP_%s_WINDOW" % op, {}, [i64(0)],
             [np.zeros(0, np.float32)])
    for bins, length, rate, low, high in ((8, 16, 8192, 0.0, 4096.0),
                                          (20, 64, 16000, 20.0, 7600.0),
                                          (3, 5, 100, 1.0, 30.0)):
        given = [np.array(bins, np.int64), np.array(length, np.int64),
                 np.array(rate, np.int64), np.array(low, np.float32),
                 np.array(high, np.float32)]
        # In f64: at an edge of a bin f32's logarithm goes to either side.
        y = v.reference("HEARTH_OP_MEL_WEIGHT_MATRIX",
                        {"output_datatype": 1},
                        given[:3] + [np.array(low), np.array(high)])
        emit("HEARTH_OP_MEL_WEIGHT_MATRIX", {}, given,
             [y[0].astype(np.float32)])


def main():
    for part in (elements, tuples, one_hots, arrangements, windows):
        part()
    v.write("ops_vectors_index.bin")


if __name__ == "__main__":
    sys.exit(main())
