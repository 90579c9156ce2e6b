#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/ops_vectors_reduce.bin: reductions, and operators
along one axis; see ops_vectors.py.

    python3 tests/unit/ops_vectors_reduce.py
"""
import sys

import numpy as np

import ops_vectors as v
from ops_vectors import FLOATS, NUMBERS, WIDE, case, emit, i64, rand

OPSET = 28
LOOSE = {np.dtype(np.float64): (1e-6, 1e-6)}


def wide(x):
    return x.astype(np.float64) if x.dtype in (
        np.dtype(t) for t in FLOATS) else x


def folds(x, axes, keep):
    """ONNX's evaluator folds f16 in f16: the operators' text is computed here."""
    kw = {"axis": axes, "keepdims": keep}
    f = x.astype(np.float64)
    whole = x.dtype.kind in "iu"
    w = wide(x)
    yield "L1", np.abs(w).sum(**kw) if not whole else np.abs(
        x.astype(np.int64)).sum(**kw)
    yield "L2", np.sqrt((f * f).sum(**kw))
    yield "SUM_SQUARE", (w * w).sum(**kw, dtype=x.dtype) if whole else \
        (w * w).sum(**kw)
    yield "PROD", w.prod(**kw, dtype=x.dtype) if whole else w.prod(**kw)
    yield "LOG_SUM", np.log(np.abs(f).sum(**kw))
    yield "LOG_SUM_EXP", np.log(np.exp(f / 50).sum(**kw)) if whole else \
        np.log(np.exp(f).sum(**kw))
    yield "MAX", x.max(**kw)
    yield "MIN", x.min(**kw)


def reductions():
    for dtype in FLOATS + WIDE:
        for axes, keep in (((1,), True), ((0, -1), False), (None, True)):
            x = rand((2, 3, 4), dtype)
            for op, want in folds(x, axes, keep):
                given = x
                if op == "LOG_SUM":
                    given = np.abs(x)
                if op == "LOG_SUM_EXP" and x.dtype.kind in "iu":
                    given = (x // 20).astype(dtype)
                    want = np.log(np.exp(given.astype(np.float64)).sum(
                        axis=axes, keepdims=keep))
                emit("HEARTH_OP_REDUCE_" + op, {"KEEPDIMS": int(keep)},
                     [given] + ([i64(*axes)] if axes else []),
                     [np.asarray(want).astype(dtype)])
    for dtype in (np.int8, np.uint8, np.bool_):
        x = rand((2, 5, 3), dtype)
        for op, f in (("MAX", np.max), ("MIN", np.min)):
            emit("HEARTH_OP_REDUCE_" + op, {}, [x, i64(1)],
                 [f(x, axis=1, keepdims=True)])
    # Nothing to fold, no axis to fold, large numbers, NaN.
    inf = np.inf
    for op, want in (("L1", 0), ("L2", 0), ("SUM_SQUARE", 0), ("PROD", 1),
                     ("LOG_SUM", -inf), ("LOG_SUM_EXP", -inf), ("MAX", -inf),
                     ("MIN", inf)):
        emit("HEARTH_OP_REDUCE_" + op, {}, [np.zeros((2, 0, 3), np.float32),
                                            i64(1)],
             [np.full((2, 1, 3), want, np.float32)])
    for dtype in (np.int32, np.uint64, np.int8):
        for op, want in (("MAX", np.iinfo(dtype).min),
                         ("MIN", np.iinfo(dtype).max)):
            emit("HEARTH_OP_REDUCE_" + op, {"KEEPDIMS": 0},
                 [np.zeros((0, 2), dtype), i64(0)], [np.full(2, want, dtype)])
    x = rand((2, 3))
    for op, want in (("L1", np.abs(x)), ("L2", np.abs(x)), ("SUM_SQUARE",
                                                            x * x), ("PROD", x),
                     ("LOG_SUM", np.log(x)), ("LOG_SUM_EXP", x), ("MAX", x)):
        emit("HEARTH_OP_REDUCE_" + op, {"NOOP_WITH_EMPTY_AXES": 1},
             [x, i64()], [want])
    big = np.array([[1000, 1001, 999], [-inf, -inf, 5], [inf, 1, inf],
                    [-inf, -inf, -inf]], np.float32)
    m = big.max(axis=1)
    emit("HEARTH_OP_REDUCE_LOG_SUM_EXP", {"KEEPDIMS": 0}, [big, i64(1)],
         [np.array([m[0] + np.log(1 + np.exp(-1) + np.exp(-2)), 5, inf, -inf],
                   np.float32)])
    nan = np.array([[1, np.nan, 2], [3, 2, 1]], np.float32)
    emit("HEARTH_OP_REDUCE_MAX", {"KEEPDIMS": 0}, [nan, i64(1)],
         [np.array([np.nan, 3], np.float32)])
    emit("HEARTH_OP_REDUCE_MIN", {"KEEPDIMS": 0}, [nan, i64(1)],
         [np.array([np.nan, 1], np.float32)])


def softmaxes():
    for dtype in FLOATS:
        for axis in (-1, 0, 1):
            x = rand((2, 3, 4), dtype)
            f = x.astype(np.float64)
            e = f - f.max(axis=axis, keepdims=True)
            emit("HEARTH_OP_LOG_SOFTMAX", {"AXIS": axis}, [x],
                 [(e - np.log(np.exp(e).sum(axis=axis, keepdims=True)))
                  .astype(dtype)])
            case("HARDMAX", {"AXIS": axis}, [x])
    x = np.array([[3, 3, 1], [0, 2, 2]], np.float32)
    emit("HEARTH_OP_HARDMAX", {}, [x], [np.array([[1, 0, 0], [0, 1, 0]],
                                                 np.float32)])


def args():
    for dtype in NUMBERS:
        for op, f in (("ARG_MAX", np.argmax), ("ARG_MIN", np.argmin)):
            for axis, keep, last in ((0, 1, 0), (1, 0, 0), (-1, 1, 1)):
                x = (rand((3, 4, 5), dtype).astype(np.float64) // 2 * 2
                     ).astype(dtype)
                y = f(x, axis=axis)
                if last:
                    y = x.shape[axis] - 1 - f(np.flip(x, axis), axis=axis)
                if keep:
                    y = np.expand_dims(y, axis)
                emit("HEARTH_OP_" + op, {"AXIS": axis, "KEEPDIMS": keep,
                                         "SELECT_LAST_INDEX": last}, [x],
                     [y.astype(np.int64)])
    x = np.array([1, np.nan, 5, np.nan, 2], np.float32)
    for op in ("ARG_MAX", "ARG_MIN"):
        emit("HEARTH_OP_" + op, {}, [x], [i64(1)])
        emit("HEARTH_OP_" + op, {"SELECT_LAST_INDEX": 1}, [x], [i64(3)])
    emit("HEARTH_OP_ARG_MAX", {}, [rand((700,)) * 0 + np.arange(
        700, dtype=np.float32)], [i64(699)])


def running():
    for dtype in FLOATS + WIDE:
        for op, f in (("CUM_SUM", np.cumsum), ("CUM_PROD", np.cumprod)):
            for axis in (0, -1):
                for exclusive in (0, 1):
                    for reverse in (0, 1):
                        x = rand((2, 3, 4), dtype)
                        w = np.flip(wide(x), axis) if reverse else wide(x)
                        y = f(w, axis=axis, dtype=w.dtype)
                        if exclusive:
                            fill = np.ones if op == "CUM_PROD" else np.zeros
                            y = np.moveaxis(y, axis, 0)
                            y = np.concatenate([fill((1,) + y.shape[1:],
                                                     y.dtype), y[:-1]])
                            y = np.moveaxis(y, 0, axis)
                        y = np.flip(y, axis) if reverse else y
                        emit("HEARTH_OP_" + op, {"EXCLUSIVE": exclusive,
                                                 "REVERSE": reverse},
                             [x, np.array(axis, np.int32)], [y.astype(dtype)])


def tops():
    for dtype in NUMBERS:
        for axis in (0, 1, -1):
            for largest in (0, 1):
                for k in (1, 2):
                    x = (rand((3, 4, 6), dtype).astype(np.float64) // 2 * 2
                         ).astype(dtype)
                    key = wide(x).astype(np.float64)
                    order = np.argsort(-key if largest else key, axis=axis,
                                       kind="stable")
                    at = np.take(order, range(k), axis=axis)
                    emit("HEARTH_OP_TOP_K", {"AXIS": axis, "LARGEST": largest},
                         [x, i64(k)], [np.take_along_axis(x, at, axis),
                                       at.astype(np.int64)])
    x = rand((50,))
    at = np.argsort(-x, kind="stable")
    emit("HEARTH_OP_TOP_K", {}, [x, i64(50)], [x[at], at.astype(np.int64)])
    emit("HEARTH_OP_TOP_K", {}, [x, i64(0)], [x[:0], at[:0].astype(np.int64)])


def losses():
    for dtype in FLOATS:
        for shape in ((4, 3), (2, 5, 3), (2, 3, 2, 2)):
            x = rand(shape, dtype)
            weight = np.abs(rand((shape[1],), dtype))
            target = v.rng.integers(0, shape[1], shape[:1] + shape[2:])
            target.flat[0] = 0
            for how in ("none", "sum", "mean"):
                for ignored in (None, 0):
                    for w in (None, weight):
                        each = np.ones(shape[1]) if w is None else w
                        each = each.astype(np.float64)[target]
                        if ignored is not None:
                            each = np.where(target == ignored, 0, each)
                        at = np.expand_dims(target, 1)
                        y = -each * np.take_along_axis(
                            x.astype(np.float64), at, 1).squeeze(1)
                        if how != "none":
                            y = y.sum()
                        if how == "mean":
                            y = y / each.sum()
                        kind = np.int32 if ignored is None else np.int64
                        attrs = {"REDUCTION": how}
                        if ignored is not None:
                            attrs["IGNORE_INDEX"] = ignored
                        emit("HEARTH_OP_NEGATIVE_LOG_LIKELIHOOD_LOSS", attrs,
                             [x, target.astype(kind)] +
                             ([] if w is None else [w]),
                             [np.asarray(y).astype(dtype)])


def main():
    for part in (reductions, softmaxes, args, running, tops, losses):
        part()
    v.write("ops_vectors_reduce.bin")


if __name__ == "__main__":
    sys.exit(main())
