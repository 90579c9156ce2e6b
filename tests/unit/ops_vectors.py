#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/ops_vectors.bin: inputs and results of every operator,
by ONNX's own reference evaluator, for tests/unit/ops_vectors_test.c.

The file is committed; run this only to change the cases (needs onnx, numpy):
    python3 tests/unit/ops_vectors.py
Later families have a program of their own beside it, ops_vectors_FAMILY.py,
which takes what it needs from here and writes data/ops_vectors_FAMILY.bin; the
tests read all of these.
Seeded: the same onnx and numpy give the same bytes.

Layout, little endian: "OPSV", u32 cases; a case: str name, u32 op, u32 attrs,
u32 inputs, u32 outputs, f64 relative and absolute tolerance, the attrs, the
tensors. str: u32 length, bytes. attr: u32 key, u32 type (1 ints, 2 floats,
3 string), u32 count, i64s, f64s or bytes. tensor: u8 present, u8 dtype, u16
rank, i64 dims, elements.
"""
import os
import re
import struct
import sys
import warnings

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
OPSET = 21
rng = np.random.default_rng(20240601)

BF16 = ml_dtypes.bfloat16
DTYPES = {  # numpy type -> ONNX number
    np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3,
    np.dtype(np.uint16): 4, np.dtype(np.int16): 5, np.dtype(np.int32): 6,
    np.dtype(np.int64): 7, np.dtype(np.bool_): 9, np.dtype(np.float16): 10,
    np.dtype(np.float64): 11, np.dtype(np.uint32): 12,
    np.dtype(np.uint64): 13, np.dtype(BF16): 16,
}
FLOATS = [np.float32, np.float64, np.float16, BF16]
INTS = [np.int8, np.int16, np.int32, np.int64,
        np.uint8, np.uint16, np.uint32, np.uint64]
NUMBERS = FLOATS + INTS
ALL = NUMBERS + [np.bool_]
WIDE = [np.int32, np.int64, np.uint32, np.uint64]


def enum_of(name):
    """Numbers of an enum of ops.h, so that this file repeats none."""
    text = open(os.path.join(HERE, "../../core/ops/ops.h")).read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    body = re.search(r"enum %s \{(.*?)\}" % name, text, re.S).group(1)
    names = [n.split("=")[0].strip() for n in body.split(",") if n.strip()]
    return {n: i for i, n in enumerate(names)}


OPS = enum_of("hearth_op")
ATTRS = enum_of("hearth_attr")
ACTS = enum_of("hearth_activation")
OP_NAME = {
    "HEARTH_OP_CONV": "Conv", "HEARTH_OP_MATMUL": "MatMul",
    "HEARTH_OP_LRN": "LRN", "HEARTH_OP_MAX_POOL": "MaxPool", "HEARTH_OP_AVERAGE_POOL": "AveragePool",
}


def onnx_name(op):
    return OP_NAME.get(op) or "".join(
        p.capitalize() for p in op[len("HEARTH_OP_"):].split("_"))


def tolerance(dtype):
    return {np.dtype(np.float64): (1e-9, 1e-11), np.dtype(np.float32):
            (2e-5, 2e-6), np.dtype(np.float16): (4e-3, 2e-3),
            np.dtype(BF16): (3e-2, 2e-2)}.get(np.dtype(dtype), (0, 0))


def pack_str(s):
    raw = s.encode() if isinstance(s, str) else s
    return struct.pack("<I", len(raw)) + raw


def pack_attr(key, value):
    head = struct.pack("<I", ATTRS["HEARTH_ATTR_" + key])
    if isinstance(value, str):
        return head + struct.pack("<I", 3) + pack_str(value)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if values and isinstance(values[0], float):
        return head + struct.pack("<II%dd" % len(values), 2, len(values),
                                  # ONNX's attributes are f32, but a value
                                  # is a tensor's element.
                                  *[v if key == "VALUE_FLOAT" else
                                    float(np.float32(v)) for v in values])
    return head + struct.pack("<II%dq" % len(values), 1, len(values),
                              *[int(v) for v in values])


def pack_tensor(x):
    if x is None:
        return struct.pack("<BBH", 0, 0, 0)
    x = np.asarray(x)
    return struct.pack("<BBH%dq" % x.ndim, 1, DTYPES[x.dtype], x.ndim,
                       *x.shape) + np.ascontiguousarray(x).tobytes()


cases = []


def emit(op, attrs, inputs, outputs, tol=None):
    f = [o for o in outputs if o.dtype in (np.dtype(t) for t in FLOATS)]
    rtol, atol = tol or (tolerance(f[0].dtype) if f else (0, 0))
    name = "%s %d" % (op[len("HEARTH_OP_"):].lower(), len(cases))
    cases.append(pack_str(name) + struct.pack(
        "<IIIIdd", OPS[op], len(attrs), len(inputs), len(outputs), rtol, atol)
        + b"".join(pack_attr(k, v) for k, v in attrs.items())
        + b"".join(pack_tensor(x) for x in inputs)
        + b"".join(pack_tensor(x) for x in outputs))


def reference(op, onnx_attrs, inputs, n_out=1, opset=OPSET):
    names = ["" if x is None else "i%d" % k for k, x in enumerate(inputs)]
    outs = ["o%d" % k for k in range(n_out)]
    node = helper.make_node(onnx_name(op), names, outs, **onnx_attrs)
    given = [(n, np.asarray(x)) for n, x in zip(names, inputs)
             if x is not None]
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, DTYPES[x.dtype], x.shape)
         for n, x in given],
        [helper.make_tensor_value_info(o, 0, None) for o in outs])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)])
    return [np.asarray(r)
            for r in ReferenceEvaluator(model).run(None, dict(given))]


def case(op, attrs, inputs, n_out=1, onnx_attrs=None, tol=None, skip=(),
         opset=OPSET):
    """<attrs> by Hearth's keys; ONNX's are the same in lower case, unless
    <onnx_attrs> says otherwise."""
    op = "HEARTH_OP_" + op
    if onnx_attrs is None:
        special = {"TRANS_A": "transA", "TRANS_B": "transB", "GEMM_ALPHA":
                   "alpha", "GEMM_BETA": "beta", "ALLOW_ZERO": "allowzero"}
        onnx_attrs = {special.get(k, k.lower()): v for k, v in attrs.items()}
    emit(op, attrs, inputs,
         reference(op, onnx_attrs, inputs, n_out, opset), tol)


def rand(shape, dtype=np.float32, low=-3, high=3):
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype in (np.dtype(t) for t in FLOATS):
        return rng.uniform(low, high, shape).astype(dtype)
    if dtype.kind == "u":
        return rng.integers(0, 200, shape).astype(dtype)
    return rng.integers(-100, 100, shape).astype(dtype)


def pick(seq):
    return seq[int(rng.integers(len(seq)))]


def rand_shape(low=0, high=4, zero=0.06):
    return tuple(0 if rng.random() < zero else int(rng.integers(1, 5))
                 for _ in range(int(rng.integers(low, high + 1))))


def i64(*v):
    return np.array(v, np.int64)


# ---- Elementwise ----
def broadcast_pair():
    out = rand_shape(0, 4)
    def part():
        keep = out[int(rng.integers(0, len(out) + 1)):] if rng.random() < .4 \
            else out
        return tuple(1 if rng.random() < .3 else d for d in keep)
    a, b = part(), part()
    return (out, b) if rng.random() < .5 else (a, out)


def elementwise():
    for dtype in NUMBERS:
        for op in ("ADD", "SUB", "MUL", "DIV"):
            for _ in range(2):
                a, b = broadcast_pair()
                x, y = rand(a, dtype), rand(b, dtype)
                if op == "DIV":
                    y = np.where(y == 0, np.ones_like(y), y)
                    if np.dtype(dtype).kind in "iu":
                        # ONNX truncates; numpy floors: C's is computed here.
                        q = (np.abs(x.astype(np.float64)) //
                             np.abs(y.astype(np.float64)))
                        q *= np.sign(x.astype(np.float64)) * np.sign(
                            y.astype(np.float64))
                        emit("HEARTH_OP_DIV", {}, [x, y], [q.astype(dtype)])
                        continue
                # One rounding of an exact result: no tolerance.
                tol = (0, 0) if dtype is not BF16 else None
                case(op, {}, [x, y], tol=tol)
    for dtype in FLOATS:
        for op in ("RELU", "SIGMOID", "TANH"):
            case(op, {}, [rand(rand_shape(), dtype, -8, 8)])
        for axis in (-1, 0, 1):
            case("SOFTMAX", {"AXIS": axis},
                 [rand(tuple(rng.integers(1, 6, 3)), dtype)])
        c = int(rng.integers(1, 5))
        for shape in ((2, c), (3, c, 4), (2, c, 3, 2), (1, c, 2, 1, 2)):
            p = [rand((c,), dtype), rand((c,), dtype), rand((c,), dtype),
                 rand((c,), dtype, 0.5, 2)]
            case("BATCH_NORMALIZATION", {"EPSILON": 0.01},
                 [rand(shape, dtype)] + p)
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        case("RELU", {}, [rand((2, 3), dtype)])
    for dtype in NUMBERS:
        low, high = rand((), dtype), rand((), dtype)
        low, high = min(low, high), max(low, high)
        x = rand(rand_shape(), dtype)
        for bounds in ([low, high], [low], [None, high], []):
            case("CLIP", {}, [x] + [None if v is None else np.asarray(
                v, dtype) for v in bounds])


def fused():
    def act(x, which, attrs):
        y = x.astype(np.float64)
        return {"RELU": lambda: np.maximum(y, 0),
                "CLIP": lambda: np.clip(y, attrs["ALPHA"], attrs["BETA"]),
                "SIGMOID": lambda: 1 / (1 + np.exp(-y)),
                "TANH": lambda: np.tanh(y)}[which]().astype(x.dtype)
    for which in ("RELU", "CLIP", "SIGMOID", "TANH"):
        attrs = {"ACTIVATION": ACTS["HEARTH_ACT_" + which]}
        if which == "CLIP":
            attrs.update(ALPHA=-0.5, BETA=1.5)
        x, w = rand((2, 4, 4, 4)), rand((6, 2, 3, 3))
        b, z = rand((6,)), rand((2, 6, 2, 2))
        y = reference("HEARTH_OP_CONV", {"group": 2}, [x, w, b])[0]
        emit("HEARTH_OP_CONV", dict(attrs, GROUP=2), [x, w, b, z],
             [act(y + z, which, attrs)], (1e-4, 1e-4))
        emit("HEARTH_OP_CONV", dict(attrs, GROUP=2), [x, w, None, z],
             [act(y - b.reshape(1, 6, 1, 1) + z, which, attrs)], (1e-4, 1e-4))
        a, m = rand((2, 3, 4)), rand((4, 5))
        c, r = rand((5,)), rand((2, 3, 5))
        emit("HEARTH_OP_MATMUL", attrs, [a, m, c, r],
             [act(a @ m + c + r, which, attrs)], (1e-4, 1e-5))
        emit("HEARTH_OP_MATMUL", attrs, [a, m, None, r],
             [act(a @ m + r, which, attrs)], (1e-4, 1e-5))
        a, m = rand((3, 4)), rand((4, 5))
        emit("HEARTH_OP_GEMM", attrs, [a, m, c],
             [act(a @ m + c, which, attrs)], (1e-4, 1e-5))
        a, m = rand((3, 4)), rand((4,))
        emit("HEARTH_OP_ADD", attrs, [a, m], [act(a + m, which, attrs)])
    for dtype in (np.int32, np.uint8):
        a, m = rand((3, 4), dtype), rand((4,), dtype)
        attrs = {"ACTIVATION": ACTS["HEARTH_ACT_CLIP"], "ALPHA": -2.0,
                 "BETA": 90.0}
        emit("HEARTH_OP_ADD", attrs, [a, m],
             [act((a + m), "CLIP", attrs)])


# ---- Windows ----
def conv():
    for k in range(36):
        rank = 1 + k % 3
        dtype = FLOATS[k // 3 % 4]
        group = pick([1, 1, 2, 3])
        cin, cout = group * int(rng.integers(1, 3)), group * int(
            rng.integers(1, 3))
        kernel = [int(v) for v in rng.integers(1, 4, rank)]
        attrs = {"KERNEL_SHAPE": kernel, "GROUP": group,
                 "STRIDES": [int(v) for v in rng.integers(1, 4, rank)],
                 "DILATIONS": [int(v) for v in rng.integers(1, 3, rank)]}
        size = [(n - 1) * d + 1 + int(rng.integers(0, 4))
                for n, d in zip(kernel, attrs["DILATIONS"])]
        pad = pick(["explicit", "none", "SAME_UPPER", "SAME_LOWER", "VALID"])
        if pad == "explicit":
            attrs["PADS"] = [int(v) for v in rng.integers(0, 3, 2 * rank)]
        elif pad.startswith("SAME"):
            attrs["AUTO_PAD"] = pad
            # The reference mistakes SAME with dilations.
            attrs["DILATIONS"] = [1] * rank
        elif pad == "VALID":
            attrs["AUTO_PAD"] = pad
        x = rand([pick([1, 2])] + [cin] + size, dtype, -1, 1)
        w = rand([cout, cin // group] + kernel, dtype, -1, 1)
        inputs = [x, w] + ([rand((cout,), dtype, -1, 1)]
                           if rng.random() < .6 else [])
        wide = [None if v is None else v.astype(np.float64) for v in inputs]
        op_attrs = {k.lower(): v for k, v in attrs.items()}
        if pad.startswith("SAME"):
            op_attrs = same_as_pads(op_attrs, size, pad)
        y = reference("HEARTH_OP_CONV", op_attrs, wide)[0].astype(dtype)
        emit("HEARTH_OP_CONV", attrs, inputs, [y])


def same_as_pads(attrs, size, pad):
    """SAME by ONNX's text, as explicit pads."""
    attrs = dict(attrs)
    del attrs["auto_pad"]
    begin, end = [], []
    for i, n in enumerate(size):
        s = attrs["strides"][i]
        span = (attrs["kernel_shape"][i] - 1) * attrs.get(
            "dilations", [1] * len(size))[i] + 1
        total = max((-(-n // s) - 1) * s + span - n, 0)
        less, more = total // 2, total - total // 2
        begin.append(less if pad == "SAME_UPPER" else more)
        end.append(more if pad == "SAME_UPPER" else less)
    attrs["pads"] = begin + end
    return attrs


def pool_by_text(x, attrs, op):
    """The pools by ONNX's text, cell by cell: the reference evaluator is wrong
    for several combinations of ceil_mode, dilations and count_include_pad."""
    rank = x.ndim - 2
    k, s = attrs["KERNEL_SHAPE"], attrs["STRIDES"]
    d = attrs.get("DILATIONS", [1] * rank)
    size = x.shape[2:]
    pads = attrs.get("PADS", [0] * 2 * rank)
    auto = attrs.get("AUTO_PAD", "NOTSET")
    ceil = attrs.get("CEIL_MODE", 0)
    out = []
    if auto.startswith("SAME"):
        fixed = same_as_pads(
            {"auto_pad": auto, "strides": s, "kernel_shape": k,
             "dilations": d}, size, auto)
        pads, ceil = fixed["pads"], 0
    for i in range(rank):
        room = size[i] + pads[i] + pads[i + rank] - ((k[i] - 1) * d[i] + 1)
        n = room // s[i] + 1
        if ceil and room % s[i] and n * s[i] < size[i] + pads[i]:
            n += 1
        out.append(n)
    y = np.zeros(x.shape[:2] + tuple(out), np.float64)
    index = np.zeros(y.shape, np.int64)
    for at in np.ndindex(*y.shape):
        inside, cells = [], 0
        for tap in np.ndindex(*k):
            p = [at[i + 2] * s[i] - pads[i] + tap[i] * d[i]
                 for i in range(rank)]
            if all(0 <= p[i] < size[i] for i in range(rank)):
                inside.append(tuple(p))
            cells += all(p[i] < size[i] + pads[i + rank] for i in range(rank))
        values = [float(x[at[:2] + p]) for p in inside]
        plane = (at[0] * x.shape[1] + at[1]) * int(np.prod(size))
        if op == "MAX_POOL":
            best = int(np.argmax(values))
            y[at] = values[best]
            order = "F" if attrs.get("STORAGE_ORDER") else "C"
            index[at] = plane + np.ravel_multi_index(inside[best], size,
                                                     order=order)
        else:
            count = cells if attrs.get("COUNT_INCLUDE_PAD") else len(inside)
            y[at] = sum(values) / count
    return y.astype(x.dtype), index


def pools():
    for k in range(48):
        op = pick(["MAX_POOL", "AVERAGE_POOL"])
        rank = 1 + k % 3
        dtype = pick(FLOATS[:3] + ([np.int8, np.uint8] if op == "MAX_POOL"
                                   else []) + [BF16])
        kernel = [int(v) for v in rng.integers(1, 4, rank)]
        dil = [int(v) for v in rng.integers(1, 3, rank)]
        size = [(n - 1) * d + 1 + int(rng.integers(0, 4))
                for n, d in zip(kernel, dil)]
        attrs = {"KERNEL_SHAPE": kernel, "DILATIONS": dil,
                 "STRIDES": [int(v) for v in rng.integers(1, 4, rank)],
                 "CEIL_MODE": int(rng.integers(0, 2))}
        pad = pick(["explicit", "explicit", "none", "SAME_UPPER", "SAME_LOWER",
                    "VALID"])
        if pad == "explicit":
            # Below the kernel, so that no window is wholly outside.
            attrs["PADS"] = [int(rng.integers(0, n)) for n in kernel * 2]
            attrs["DILATIONS"] = [1] * rank
        elif pad != "none":
            attrs["AUTO_PAD"] = pad
            attrs["DILATIONS"] = [1] * rank
        if op == "AVERAGE_POOL":
            attrs["COUNT_INCLUDE_PAD"] = int(rng.integers(0, 2))
        else:
            attrs["STORAGE_ORDER"] = int(rng.integers(0, 2))
        x = rand([pick([1, 1, 2]), 2 if rank < 3 else 1] + size, dtype)
        y, index = pool_by_text(x, attrs, op)
        if op == "MAX_POOL" and rng.random() < .7:
            emit("HEARTH_OP_MAX_POOL", attrs, [x], [y, index])
        else:
            emit("HEARTH_OP_" + op, attrs, [x], [y])
    # And what the reference evaluator does right.
    for dtype in FLOATS[:2]:
        for rank in (1, 2, 3):
            x = rand([1, 2] + [5] * rank, dtype)
            base = {"KERNEL_SHAPE": [3] * rank, "STRIDES": [2] * rank,
                    "PADS": [1] * 2 * rank}
            case("MAX_POOL", base, [x])
            case("AVERAGE_POOL", base, [x])
            case("AVERAGE_POOL", dict(base, COUNT_INCLUDE_PAD=1), [x])
    for dtype in FLOATS:
        for rank in (1, 2, 3):
            x = rand([2, 3] + [3] * rank, dtype)
            y = reference("HEARTH_OP_GLOBAL_AVERAGE_POOL", {},
                          [x.astype(np.float64)])[0].astype(dtype)
            emit("HEARTH_OP_GLOBAL_AVERAGE_POOL", {}, [x], [y])


# ---- Products ----
def products():
    for dtype in FLOATS + WIDE:
        m, k, n = (int(v) for v in rng.integers(1, 5, 3))
        for ta in (0, 1):
            for tb in (0, 1):
                a = rand((k, m) if ta else (m, k), dtype)
                b = rand((n, k) if tb else (k, n), dtype)
                for shape in (None, (m, n), (1, n), (m, 1), (n,), (1,), ()):
                    if rng.random() < .75:
                        continue
                    attrs = {"TRANS_A": ta, "TRANS_B": tb}
                    if np.dtype(dtype).kind not in "iu":
                        attrs.update(GEMM_ALPHA=0.5, GEMM_BETA=2.0)
                    c = [] if shape is None else [rand(shape, dtype)]
                    wide = [v.astype(np.float64 if np.dtype(dtype).kind
                                     not in "iu" else dtype)
                            for v in [a, b] + c]
                    names = {"TRANS_A": "transA", "TRANS_B": "transB",
                             "GEMM_ALPHA": "alpha", "GEMM_BETA": "beta"}
                    y = reference("HEARTH_OP_GEMM", {
                        names[k2]: v for k2, v in attrs.items()}, wide)[0]
                    emit("HEARTH_OP_GEMM", attrs, [a, b] + c,
                         [y.astype(dtype)])
        for sa, sb in (((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)),
                       ((2, 3), (3, 4)), ((2, 1, 2, 3), (2, 3, 2)),
                       ((4, 2, 3), (3,)), ((3,), (4, 3, 2)),
                       ((1, 2, 3), (4, 3, 2)), ((0, 3), (3, 2)),
                       ((2, 0), (0, 3))):
            a, b = rand(sa, dtype), rand(sb, dtype)
            wide = [v.astype(np.float64 if np.dtype(dtype).kind not in "iu"
                             else dtype) for v in (a, b)]
            y = reference("HEARTH_OP_MATMUL", {}, wide)[0]
            emit("HEARTH_OP_MATMUL", {}, [a, b], [y.astype(dtype)])
    # Wider than a block of columns.
    case("MATMUL", {}, [rand((2, 3), np.int32), rand((3, 300), np.int32)])
    case("MATMUL", {}, [rand((1, 300), np.int32), rand((300, 1), np.int32)])


# ---- Moves ----
def moves():
    # Only an element's size matters here: each size twice.
    for dtype in (np.float32, np.float64, np.float16, BF16, np.int8, np.int64,
                  np.uint32, np.bool_):
        shape = list(rand_shape(1, 4))
        axis = int(rng.integers(-len(shape), len(shape)))
        parts = []
        for _ in range(int(rng.integers(1, 4))):
            s = list(shape)
            s[axis] = int(rng.integers(0, 4))
            parts.append(rand(s, dtype))
        case("CONCAT", {"AXIS": axis}, parts)
        x = rand((2, 3, 4), dtype)
        for to in ((4, 6), (-1,), (2, -1), (0, -1), (0, 0, 2, 2), (1, 24, 1)):
            if rng.random() < .5:
                case("RESHAPE", {}, [x, i64(*to)])
        for axis in (-3, -1, 0, 1, 2, 3):
            if rng.random() < .4:
                case("FLATTEN", {"AXIS": axis}, [x])
        perm = [int(v) for v in rng.permutation(4)]
        case("TRANSPOSE", {"PERM": perm}, [rand((2, 3, 1, 4), dtype)])
        case("TRANSPOSE", {}, [rand(rand_shape(), dtype)])
        x = rand((1, 3, 1, 2), dtype)
        case("SQUEEZE", {}, [x])
        case("SQUEEZE", {}, [x, i64(0, -2)])
        case("UNSQUEEZE", {}, [x, i64(0, -1, 3)])
        case("UNSQUEEZE", {}, [rand((), dtype), i64(0)])
        case("SHAPE", {}, [rand(rand_shape(), dtype)])
        case("SHAPE", {"START": -2, "END": 9}, [x])
        case("SHAPE", {"START": 1, "END": -1}, [x])
        case("IDENTITY", {}, [rand(rand_shape(), dtype)])
        x = rand((3, 4, 2), dtype)
        for axis in (-1, 0, 1):
            d = x.shape[axis]
            for s in ((), (3,), (2, 2), (0,)):
                if rng.random() < .5:
                    index = rng.integers(-d, d, s).astype(
                        pick([np.int32, np.int64]))
                    case("GATHER", {"AXIS": axis}, [x, index])
    case("RESHAPE", {"ALLOW_ZERO": 1}, [rand((0, 3)), i64(3, 0)])
    case("RESHAPE", {}, [rand((1, 1)), np.array([], np.int64)])
    slices()
    pads()
    casts()
    constants()


def slices():
    big, small = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for dtype in ALL * 3:
        shape = rand_shape(1, 4, .03)
        n = int(rng.integers(1, len(shape) + 1))
        axes = [int(v) for v in rng.permutation(len(shape))[:n]]
        starts = [pick([0, -1, 1, -5, 7, big, small, 2]) for _ in axes]
        ends = [pick([0, -1, 1, 3, 9, big, small, -9]) for _ in axes]
        steps = [pick([1, 1, 2, -1, -2, 5, -7]) for _ in axes]
        axes = [a - len(shape) if rng.random() < .3 else a for a in axes]
        x = rand(shape, dtype)
        y = x[tuple(np_slice(dict(zip([a % len(shape) for a in axes],
                                      zip(starts, ends, steps))), k)
                    for k in range(len(shape)))]
        emit("HEARTH_OP_SLICE", {}, [x, i64(*starts), i64(*ends), i64(*axes),
                                     i64(*steps)], [y])
    x = rand((4, 5, 3))
    case("SLICE", {}, [x, i64(1, 0), i64(3, -1)])
    i32 = lambda *v: np.array(v, np.int32)
    case("SLICE", {}, [x, i32(-1), i32(-100), i32(1), i32(-2)])
    case("SLICE", {}, [x, i64(0), i64(9), None, i64(2)])


def np_slice(cuts, k):
    """ONNX's bounds mean what numpy's mean."""
    if k not in cuts:
        return slice(None)
    start, end, step = cuts[k]
    return slice(start, end, step)


def pads():
    for dtype in ALL:
        for mode in ("constant", "reflect", "edge"):
            if dtype is BF16 and mode != "constant":
                continue
            shape = rand_shape(1, 3, 0)
            n = len(shape)
            p = rng.integers(0, 3, 2 * n)
            x = rand(shape, dtype)
            value = [rand((), dtype)] if mode == "constant" else []
            np_pads = list(zip(p[:n], p[n:]))
            y = np.pad(x, np_pads, mode, **(
                {"constant_values": value[0]} if value else {}))
            emit("HEARTH_OP_PAD", {"MODE": mode}, [x, p.astype(np.int64)]
                 + value, [y])
    x = rand((4, 5))
    case("PAD", {}, [x, i64(1, 2), rand(()), i64(-1)])
    case("PAD", {}, [x, i64(1, 0, 0, 2)])
    for p in ((-1, 2, 3, -2), (-2, -1, -1, -1), (-4, 0, 2, 0)):
        n = [x.shape[i] + min(p[i], 0) for i in range(2)]
        cut = x[-min(p[0], 0):x.shape[0] + min(p[2], 0),
                -min(p[1], 0):x.shape[1] + min(p[3], 0)]
        y = np.pad(cut, [(max(p[i], 0), max(p[i + 2], 0)) for i in range(2)])
        emit("HEARTH_OP_PAD", {}, [x, i64(*p)], [y])


def casts():
    for a in ALL:
        for b in ALL:
            x = rand((7,), a, -90, 90)
            if np.dtype(b).kind == "u" and np.dtype(a).kind != "u":
                x = np.abs(x)
            if np.dtype(a) == np.dtype(BF16) or np.dtype(b) == np.dtype(BF16):
                y = x.astype(np.float32).astype(b) if np.dtype(
                    a).kind in "iub" else x.astype(b)
            else:
                y = x.astype(b)
            emit("HEARTH_OP_CAST", {"TO": DTYPES[np.dtype(b)]}, [x], [y],
                 (0, 0))
    # Rounding: ties, subnormals, overflow; f64 to f16 in one step.
    odd = np.array([0, -0.0, 65504, 65519.99, 65520, 1e9, -1e9, 6e-8, 2.9e-8,
                    2.98e-8, 3e-8, 1.00048828125, 1.0004882812500001, 1.5,
                    2049, 2051, np.inf, -np.inf, 5.9604645e-08, 6.1e-5],
                   np.float64)
    for b in (np.float16, np.float32):
        emit("HEARTH_OP_CAST", {"TO": DTYPES[np.dtype(b)]}, [odd],
             [odd.astype(b)], (0, 0))
    half = rng.integers(0, 0x7c00, 150).astype(np.uint16).view(np.float16)
    emit("HEARTH_OP_CAST", {"TO": 1}, [half], [half.astype(np.float32)],
         (0, 0))
    single = rng.integers(0x30000000, 0x48000000, 150).astype(
        np.uint32).view(np.float32)
    emit("HEARTH_OP_CAST", {"TO": 10}, [single], [single.astype(np.float16)],
         (0, 0))
    emit("HEARTH_OP_CAST", {"TO": 16}, [single], [single.astype(BF16)], (0, 0))
    large = rng.integers(-2**62, 2**62, 50)
    emit("HEARTH_OP_CAST", {"TO": 1}, [large], [large.astype(np.float32)],
         (0, 0))
    emit("HEARTH_OP_CAST", {"TO": 3}, [large], [large.astype(np.int8)])


def constants():
    for dtype in ALL:
        shape = rand_shape()
        value = rand((), dtype)
        attrs = {"VALUE_DTYPE": DTYPES[np.dtype(dtype)]}
        if np.dtype(dtype).kind in "iub":
            attrs["VALUE_INT"] = int(value)
        else:
            attrs["VALUE_FLOAT"] = float(value)
        emit("HEARTH_OP_CONSTANT_OF_SHAPE", attrs, [i64(*shape)],
             [np.full(shape, value)])
    case("CONSTANT_OF_SHAPE", {}, [i64(2, 3)])
    case("CONSTANT_OF_SHAPE", {}, [np.array([], np.int64)])


def reductions():
    for dtype in FLOATS + WIDE:
        x = rand((2, 3, 2, 2), dtype)
        for axes in (None, (), (0,), (-1,), (1, 3), (0, 1, 2, 3)):
            for keep in (0, 1):
                if rng.random() < .55:
                    continue
                noop = int(rng.integers(0, 2))
                attrs = {"KEEPDIMS": keep, "NOOP_WITH_EMPTY_AXES": noop}
                over = tuple(axes) if axes else (() if noop else (0, 1, 2, 3))
                if np.dtype(dtype).kind in "iu":
                    s = x.sum(over, dtype, keepdims=bool(keep))
                    n = int(np.prod([x.shape[a] for a in over]))
                    y = (np.sign(s.astype(np.float64)) * (
                        np.abs(s.astype(np.float64)) // n)).astype(dtype)
                else:
                    y = x.astype(np.float64).mean(
                        over, keepdims=bool(keep)).astype(dtype)
                inputs = [x] + ([] if axes is None else [i64(*axes)])
                emit("HEARTH_OP_REDUCE_MEAN", attrs, inputs,
                     [np.asarray(y)])
    case("REDUCE_MEAN", {"KEEPDIMS": 0}, [rand((2, 3)), i64(1)])
    case("REDUCE_MEAN", {}, [rand((2, 3))])
    case("REDUCE_MEAN", {"NOOP_WITH_EMPTY_AXES": 1}, [rand((2, 3))])


REAL = [np.float32, np.float64, np.float16]


def functions():
    for dtype in REAL:
        for op, low, high in (
                ("LEAKY_RELU", -3, 3), ("HARD_SIGMOID", -8, 8),
                ("HARD_SWISH", -8, 8), ("ERF", -3, 3), ("GELU", -4, 4),
                ("SQRT", 0, 9), ("EXP", -4, 4), ("LOG", 0.1, 9),
                ("NEG", -3, 3), ("ABS", -3, 3), ("RECIPROCAL", 0.5, 3),
                ("FLOOR", -5, 5), ("CEIL", -5, 5)):
            # ONNX writes HardSwish's 1/6 and Gelu's roots as f32.
            loose = (1e-6, 1e-6) if dtype is np.float64 else None
            case(op, {}, [rand(rand_shape(1), dtype, low, high)], tol=loose)
        x = rand((3, 7), dtype, -4, 4)
        case("LEAKY_RELU", {"ALPHA": 0.3}, [x])
        case("HARD_SIGMOID", {"ALPHA": 0.4, "BETA": 0.6}, [x])
        case("GELU", {"MODE": "tanh"}, [x], onnx_attrs={"approximate": "tanh"},
             tol=(1e-5, 1e-5) if dtype is np.float64 else None)
        case("POW", {}, [rand((2, 3), dtype, 0.2, 3), rand((3,), dtype)])
        case("POW", {}, [x, np.array(2, dtype)])
        case("POW", {}, [x, np.array([3], np.int64)])
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        case("NEG", {}, [rand((2, 3), dtype)])
        case("ABS", {}, [rand((2, 3), dtype)])
    case("POW", {}, [np.array([2, -3, 5], np.int32), np.array([5, 3, 0],
                                                              np.int32)])
    case("POW", {}, [np.array([4, 9, 16], np.int64),
                     np.array([.5, .5, 2], np.float32)])
    for dtype in NUMBERS:
        for op in ("MIN", "MAX"):
            a, b = broadcast_pair()
            x, y = rand(a, dtype), rand(b, dtype)
            f = np.minimum if op == "MIN" else np.maximum
            emit("HEARTH_OP_" + op, {}, [x, y], [np.asarray(f(x, y))], (0, 0))
        for op, f in (("EQUAL", np.equal), ("LESS", np.less),
                      ("GREATER", np.greater),
                      ("LESS_OR_EQUAL", np.less_equal),
                      ("GREATER_OR_EQUAL", np.greater_equal)):
            x, y = rand((2, 1, 4), dtype), rand((3, 4), dtype)
            y[0] = x[0, 0]
            emit("HEARTH_OP_" + op, {}, [x, y],
                 [np.asarray(f(x, y)).astype(np.bool_)])
    nan = np.array([np.nan, 1, np.nan], np.float32)
    one = np.array([1, np.nan, np.nan], np.float32)
    case("MIN", {}, [nan, one])
    case("MAX", {}, [nan, one])
    t, u = rand((3, 4), np.bool_), rand((4,), np.bool_)
    for op in ("AND", "OR", "EQUAL"):
        case(op, {}, [t, u])
    case("NOT", {}, [t])
    for dtype in ALL:
        case("WHERE", {}, [rand((3, 1), np.bool_), rand((2, 1, 4), dtype),
                           rand((4,), dtype)])
        case("EXPAND", {}, [rand((3, 1), dtype), i64(2, 1, 4)])
        case("TILE", {}, [rand((2, 3), dtype), i64(2, 3)])
    case("EXPAND", {}, [rand(()), i64(2, 3)])
    case("EXPAND", {}, [rand((2, 1)), i64(0)])
    case("TILE", {}, [rand((2, 1, 3)), i64(1, 0, 2)])
    case("TILE", {}, [rand((2, 1, 3)), i64(1, 4, 1)])
    for a, b, d, dtype in ((0, 7, 1, np.int64), (10, 2, -3, np.int64),
                           (3, 3, 1, np.int32), (5, 1, 1, np.int64),
                           (0.5, 3.1, 0.5, np.float32), (1, 0, -.25,
                                                         np.float64)):
        case("RANGE", {}, [np.array(v, dtype) for v in (a, b, d)])


def normalisations():
    for dtype in REAL + [np.int32, np.int64]:
        x = rand((2, 3, 2), dtype)
        case("REDUCE_SUM", {"KEEPDIMS": 0}, [x, i64(1)])
        case("REDUCE_SUM", {"KEEPDIMS": 1}, [x, i64(0, -1)])
        case("REDUCE_SUM", {}, [x])
        case("REDUCE_SUM", {"NOOP_WITH_EMPTY_AXES": 1}, [x])
    for dtype in REAL:
        for axis in (-1, 1, 2):
            shape = (2, 3, 5)
            inner = shape[axis:]
            p = [rand(inner, dtype), rand(inner, dtype)]
            case("LAYER_NORMALIZATION", {"AXIS": axis, "EPSILON": 1e-4},
                 [rand(shape, dtype)] + p)
            case("LAYER_NORMALIZATION", {"AXIS": axis},
                 [rand(shape, dtype), p[0]])
        case("LAYER_NORMALIZATION", {"AXIS": -1},
             [rand((2, 300), dtype), rand((300,), dtype), rand((1,), dtype)])
    # ONNX's evaluator takes the batch's size for the channels' (1.23): the
    # operator's own text is computed here.
    for size in (1, 3, 4):
        for dtype in (np.float32, np.float64):
            x = rand((2, 5, 3, 2), dtype)
            y = np.empty(x.shape)
            for c in range(5):
                near = x[:, max(0, c - (size - 1) // 2):c + size // 2 + 1]
                total = (near.astype(np.float64) ** 2).sum(axis=1)
                y[:, c] = x[:, c] / (1.5 + np.float32(0.02) / size * total
                                     ) ** np.float64(np.float32(0.6))
            emit("HEARTH_OP_LRN", {"SIZE": size, "ALPHA": 0.02, "BETA": 0.6,
                                   "BIAS": 1.5}, [x], [y.astype(dtype)],
                 (1e-6, 1e-7))


def resizes():
    for mode in ("nearest", "linear", "cubic"):
        for coordinate in ("half_pixel", "pytorch_half_pixel", "align_corners",
                           "asymmetric", "half_pixel_symmetric"):
            # Of a size that is no whole number ONNX's evaluator takes the
            # fraction along; onnxruntime, as Hearth, the size that there is.
            whole = coordinate in ("align_corners", "half_pixel_symmetric")
            for scale in ((1, 1, 2, 2 if whole else 1.5),
                          (1, 1, .5, .4) if whole else (1, 1, .6, .75)):
                x = rand((1, 2, 4, 5))
                s = np.array(scale, np.float32)
                onnx = {"mode": mode, "coordinate_transformation_mode":
                        coordinate}
                y = reference("HEARTH_OP_RESIZE", onnx, [x, None, s])
                emit("HEARTH_OP_RESIZE", {"MODE": mode, "COORDINATE":
                                          coordinate}, [x, s], y, (1e-4, 1e-5))
    for near in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        x = rand((1, 1, 3, 4), np.uint8)
        size = i64(1, 1, 7, 3)
        y = reference("HEARTH_OP_RESIZE", {"mode": "nearest", "nearest_mode":
                                           near}, [x, None, None, size])
        emit("HEARTH_OP_RESIZE", {"MODE": "nearest", "NEAREST": near},
             [x, None, size], [y[0].astype(np.uint8)])


def main():
    for part in (elementwise, fused, conv, pools, products, moves, reductions,
                 functions, normalisations, resizes):
        part()
    write("ops_vectors.bin")


def write(name):
    path = os.path.join(HERE, "data", name)
    with open(path, "wb") as f:
        f.write(b"OPSV" + struct.pack("<I", len(cases)) + b"".join(cases))
    print("%d cases, %d bytes" % (len(cases), os.path.getsize(path)))


if __name__ == "__main__":
    sys.exit(main())
