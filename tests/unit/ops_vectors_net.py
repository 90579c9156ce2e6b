#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/ops_vectors_net.bin: layers of networks; see
ops_vectors.py. Where ONNX's evaluator leaves attributes out (the recurrent
operators) the text of the operator is computed here.

    python3 tests/unit/ops_vectors_net.py
"""
import sys

import numpy as np

import ops_vectors as v
from ops_vectors import FLOATS, case, emit, i64, pick, rand, reference

OPSET = 23
v.OP_NAME.update({
    "HEARTH_OP_RMS_NORMALIZATION": "RMSNormalization",
    "HEARTH_OP_MATMUL_INTEGER": "MatMulInteger",
    "HEARTH_OP_QLINEAR_MATMUL": "QLinearMatMul",
    "HEARTH_OP_QLINEAR_CONV": "QLinearConv",
    "HEARTH_OP_RNN": "RNN", "HEARTH_OP_GRU": "GRU", "HEARTH_OP_LSTM": "LSTM",
})
LOOSE = (1e-4, 1e-4)
f32 = np.float32


def one(x, dtype):
    return np.array(x, dtype)


def conv_transpose():
    """By its definition: cells of the input times the kernel, added up."""
    def spread(x, w, b, stride, dilation, group, out, pad):
        n, c = x.shape[:2]
        m = w.shape[1] * group
        y = np.zeros((n, m) + tuple(out), np.float64)
        for at in np.ndindex(*x.shape[2:]):
            for tap in np.ndindex(*w.shape[2:]):
                to = [a * s + t * d - p for a, t, s, d, p in
                      zip(at, tap, stride, dilation, pad)]
                if any(t < 0 or t >= o for t, o in zip(to, out)):
                    continue
                for k in range(c):
                    g = k // (c // group)
                    y[(slice(None), slice(g * w.shape[1], (g + 1) * w.shape[1])
                       ) + tuple(to)] += (x[(slice(None), k) + at][:, None]
                                          .astype(np.float64)
                                          * w[(k, slice(None)) + tap])
        if b is not None:
            y += b.reshape((1, m) + (1,) * len(out))
        return y
    for dtype in FLOATS:
        for spatial, kernel, stride, dilation, pads, more, group in (
                ((5,), (3,), (2,), (1,), (0, 0), (0,), 1),
                ((4, 3), (3, 2), (2, 3), (1, 1), (1, 0, 0, 1), (1, 0), 1),
                ((4, 4), (2, 3), (1, 2), (2, 1), (0, 2, 1, 1), (0, 0), 2),
                ((2, 3, 2), (2, 2, 2), (2, 1, 2), (1, 1, 1), (0,) * 6,
                 (1, 0, 1), 3)):
            x, w = rand((2, 6) + spatial, dtype), rand((6, 2) + kernel, dtype)
            b = pick((None, rand((2 * group,), dtype)))
            r = len(spatial)
            out = [(spatial[i] - 1) * stride[i] + more[i]
                   + (kernel[i] - 1) * dilation[i] + 1 - pads[i] - pads[i + r]
                   for i in range(r)]
            y = spread(x, w, b, stride, dilation, group, out, pads[:r])
            emit("HEARTH_OP_CONV_TRANSPOSE",
                 {"STRIDES": stride, "DILATIONS": dilation, "PADS": pads,
                  "OUTPUT_PADDING": more, "GROUP": group, "KERNEL_SHAPE":
                  kernel}, [x, w] + ([] if b is None else [b]),
                 [y.astype(dtype)])
    x, w = rand((1, 2, 3, 3)), rand((2, 1, 3, 3))
    for pad, begin in (("SAME_UPPER", 0), ("SAME_LOWER", 1)):
        y = spread(x, w, None, (2, 2), (1, 1), 1, (6, 6), (begin, begin))
        emit("HEARTH_OP_CONV_TRANSPOSE", {"STRIDES": [2, 2], "AUTO_PAD": pad},
             [x, w], [y.astype(f32)])
    for size, begin in (([6, 5], (1, 1)), ([9, 7], (0, 0))):
        y = spread(x, w, None, (2, 2), (1, 1), 1, size, begin)
        emit("HEARTH_OP_CONV_TRANSPOSE", {"STRIDES": [2, 2], "OUTPUT_SHAPE":
                                          size}, [x, w], [y.astype(f32)])


def normalisations():
    for dtype in FLOATS:
        for shape, groups in (((2, 6, 3), 3), ((1, 4, 2, 3), 0), ((3, 4), 2),
                              ((2, 4, 2, 2, 2), 1)):
            x = rand(shape, dtype)
            g = groups or shape[1]
            for factors in (shape[1], g):
                s, b = rand((factors,), dtype), rand((factors,), dtype)
                wide = [np.repeat(t.astype(np.float64), shape[1] // factors)
                        .reshape((1, -1) + (1,) * (len(shape) - 2))
                        for t in (s, b)]
                p = x.astype(np.float64).reshape((shape[0], g, -1))
                p = (p - p.mean(-1, keepdims=True)) / np.sqrt(
                    p.var(-1, keepdims=True) + np.float64(f32(1e-2)))
                y = p.reshape(shape) * wide[0] + wide[1]
                emit("HEARTH_OP_GROUP_NORMALIZATION",
                     {"NUM_GROUPS": groups, "EPSILON": 1e-2}, [x, s, b],
                     [y.astype(dtype)])
        for axis in (-1, 0, 1):
            x = rand((2, 3, 5), dtype)
            case("RMS_NORMALIZATION", {"AXIS": axis, "EPSILON": 1e-3},
                 [x, rand(x.shape[axis:], dtype)], opset=OPSET,
                 tol=None if dtype is not np.float64 else (1e-6, 1e-6))
            for p in (1, 2):
                x[0] = 0
                wide = x.astype(np.float64)
                n = (np.abs(wide) ** p).sum(axis, keepdims=True) ** (1 / p)
                y = wide / np.where(n == 0, 1, n)
                emit("HEARTH_OP_LP_NORMALIZATION", {"AXIS": axis, "P": p}, [x],
                     [y.astype(dtype)])
    x = rand((2, 3))
    emit("HEARTH_OP_RMS_NORMALIZATION", {}, [x, one([2, 1, 3], np.float16)],
         [(x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
           * [2, 1, 3]).astype(np.float16)])


def pools():
    for dtype in FLOATS:
        for shape in ((2, 3, 4), (1, 2, 3, 4), (2, 1, 2, 2, 3)):
            x = rand(shape, dtype)
            axes = tuple(range(2, len(shape)))
            emit("HEARTH_OP_GLOBAL_MAX_POOL", {}, [x],
                 [x.max(axes, keepdims=True)])
            for p in (1, 2, 3):
                y = (np.abs(x.astype(np.float64)) ** p).sum(
                    axes, keepdims=True) ** (1 / p)
                emit("HEARTH_OP_GLOBAL_LP_POOL", {"P": p}, [x],
                     [y.astype(dtype)])
        for p in (1, 2, 3):
            x = rand((1, 2, 5, 6), dtype)
            wide = np.abs(np.pad(x.astype(np.float64),
                                 ((0, 0), (0, 0), (1, 0), (0, 1)))) ** p
            y = np.zeros((1, 2, 3, 3))
            for i in range(3):
                for j in range(3):
                    y[:, :, i, j] = wide[:, :, 2 * i:2 * i + 2, 2 * j:2 * j + 3
                                         ].sum((2, 3)) ** (1 / p)
            emit("HEARTH_OP_LP_POOL", {"P": p, "KERNEL_SHAPE": [2, 3],
                                       "STRIDES": [2, 2],
                                       "PADS": [1, 0, 0, 1]}, [x],
                 [y.astype(dtype)])


# ---- Quantised ----

def along(f, x, axis, block):
    if block:
        return np.repeat(f, block, axis)[tuple(slice(d) for d in x.shape)]
    if f.ndim == 0 or f.size == 1:
        return f.reshape(())
    return f.reshape([-1 if i == axis % x.ndim else 1
                      for i in range(x.ndim)])


def quantise():
    for qt in (np.uint8, np.int8, np.uint16, np.int16):
        info = np.iinfo(qt)
        for axis, block, shape in ((0, 0, ()), (1, 0, (3,)), (0, 0, (2,)),
                                   (2, 3, (2, 3, 2)), (1, 2, (2, 2, 5)),
                                   (-1, 0, (5,))):
            for has_zero in (True, False):
                dtype = pick((np.float32, np.float16, v.BF16, np.int32))
                st = dtype if dtype is not np.int32 else np.float32
                x = rand((2, 3, 5), dtype)
                s = rand(shape, np.float32, .02, .1).astype(st)
                z = rand(shape, np.int8).astype(qt)
                q = (x.astype(f32) / along(s, x, axis, block).astype(f32))
                q = np.rint(q).astype(np.float64)
                if has_zero:
                    q += along(z, x, axis, block).astype(np.float64)
                y = np.clip(q, info.min, info.max).astype(qt)
                attrs = {"AXIS": axis, "BLOCK_SIZE": block}
                if not has_zero:
                    attrs["TO"] = v.DTYPES[np.dtype(qt)]
                emit("HEARTH_OP_QUANTIZE_LINEAR", attrs,
                     [x, s] + ([z] if has_zero else []), [y])
                d = y.astype(np.int64)
                if has_zero:
                    d = d - along(z, x, axis, block).astype(np.int64)
                back = d.astype(f32) * along(s, x, axis, block).astype(f32)
                emit("HEARTH_OP_DEQUANTIZE_LINEAR",
                     {"AXIS": axis, "BLOCK_SIZE": block},
                     [y, s] + ([z] if has_zero else []), [back.astype(st)])
    x = rand((2, 3), np.int32)
    emit("HEARTH_OP_DEQUANTIZE_LINEAR", {}, [x, one(.5, f32)],
         [x.astype(f32) * f32(.5)])
    emit("HEARTH_OP_DEQUANTIZE_LINEAR", {"TO": 10}, [x, one(.5, f32)],
         [(x * .5).astype(np.float16)])
    odd = np.array([np.inf, -np.inf, .5, 1.5, 2.5, 1e30], f32)
    emit("HEARTH_OP_QUANTIZE_LINEAR", {}, [odd, one(1, f32), one(7, np.uint8)],
         [np.array([255, 0, 7, 9, 9, 255], np.uint8)])
    for x in (rand((3, 4)), rand((5,), low=1, high=2), rand((2, 2), low=-2,
                                                           high=-1)):
        low, high = min(x.min(), f32(0)), max(x.max(), f32(0))
        s = f32((high - low) / f32(255))
        z = np.clip(np.rint(-low / s), 0, 255)
        y = np.clip(np.rint(x / s) + z, 0, 255).astype(np.uint8)
        emit("HEARTH_OP_DYNAMIC_QUANTIZE_LINEAR", {}, [x],
             [y, one(s, f32), one(z, np.uint8)])
    emit("HEARTH_OP_DYNAMIC_QUANTIZE_LINEAR", {}, [np.zeros((2, 0), f32)],
         [np.zeros((2, 0), np.uint8), one(1, f32), one(0, np.uint8)])


def bytes_of(shape, qt):
    return rand(shape, np.uint8).astype(qt)


def requant(acc, factor, zero, qt):
    info = np.iinfo(qt)
    q = np.rint(acc.astype(f32) * factor.astype(f32)).astype(np.float64) + zero
    return np.clip(q, info.min, info.max).astype(qt)


def products():
    for at in (np.uint8, np.int8):
        for bt in (np.uint8, np.int8):
            for a, b in (((2, 3, 4), (4, 5)), ((4,), (4, 3)), ((3, 4), (4,)),
                         ((2, 1, 3, 4), (3, 4, 2)), ((4,), (4,))):
                x, w = bytes_of(a, at), bytes_of(b, bt)
                az, bz = one(rand((), np.int8), at), one(rand((), np.int8), bt)
                p = np.matmul(x.astype(np.int64) - az.astype(np.int64),
                              w.astype(np.int64) - bz.astype(np.int64))
                emit("HEARTH_OP_MATMUL_INTEGER", {}, [x, w, az, bz],
                     [np.asarray(p, np.int32)])
                emit("HEARTH_OP_MATMUL_INTEGER", {}, [x, w], [np.asarray(
                    np.matmul(x.astype(np.int64), w.astype(np.int64)),
                    np.int32)])
                s = [one(rand((), f32, .01, .03), f32) for _ in range(3)]
                yz = one(100 if at is np.uint8 else -20, at)
                emit("HEARTH_OP_QLINEAR_MATMUL", {},
                     [x, s[0], az, w, s[1], bz, s[2] * f32(30), yz],
                     [requant(np.asarray(p), s[0] * s[1] / (s[2] * f32(30)),
                              float(yz), at)])
    x, w = bytes_of((3, 4), np.uint8), bytes_of((4, 5), np.int8)
    az, bz = bytes_of((3,), np.uint8), bytes_of((5,), np.int8)
    p = np.matmul(x.astype(np.int64) - az.astype(np.int64)[:, None],
                  w.astype(np.int64) - bz.astype(np.int64))
    emit("HEARTH_OP_MATMUL_INTEGER", {}, [x, w, az, bz], [p.astype(np.int32)])
    sa, sb = rand((3,), f32, .01, .03), rand((5,), f32, .01, .03)
    emit("HEARTH_OP_QLINEAR_MATMUL", {},
         [x, sa, az, w, sb, bz, one(.5, f32), one(9, np.uint8)],
         [requant(p, sa[:, None] * sb / f32(.5), 9, np.uint8)])


def convolutions():
    for xt in (np.uint8, np.int8):
        for wt in (np.uint8, np.int8):
            for attrs, xs, ws in (
                    ({}, (2, 4, 5, 6), (3, 4, 3, 2)),
                    ({"GROUP": 2, "PADS": [1, 0, 1, 2], "STRIDES": [2, 1]},
                     (1, 4, 5, 4), (4, 2, 3, 3)),
                    ({"DILATIONS": [2], "PADS": [1, 2]}, (2, 1, 7), (2, 1, 3)),
                    ({"AUTO_PAD": "SAME_LOWER"}, (1, 2, 4, 4), (2, 2, 2, 2))):
                x, w = bytes_of(xs, xt), bytes_of(ws, wt)
                xz = one(rand((), np.int8), xt)
                wz = bytes_of((ws[0],) if attrs else (), wt)
                wide = (-1,) + (1,) * (w.ndim - 1)
                p = reference(
                    "HEARTH_OP_CONV", {k.lower(): a for k, a in attrs.items()},
                    [x.astype(np.float64) - xz.astype(np.float64),
                     w.astype(np.float64) - wz.astype(np.float64).reshape(
                         wide if wz.ndim else ())])[0]
                p = np.rint(p).astype(np.int64)
                emit("HEARTH_OP_CONV_INTEGER", attrs, [x, w, xz, wz],
                     [p.astype(np.int32)])
                sx, sy = one(.02, f32), one(3, f32)
                sw = rand(wz.shape, f32, .01, .05).astype(f32)
                yz = one(50, xt)
                bias = rand((ws[0],), np.int32)
                cw = (1, -1) + (1,) * (w.ndim - 2)
                for b in (None, bias):
                    acc = p if b is None else p + b.reshape(cw)
                    f = sx * sw / sy
                    emit("HEARTH_OP_QLINEAR_CONV", attrs,
                         [x, sx, xz, w, sw, wz, sy, yz]
                         + ([] if b is None else [b]),
                         [requant(acc, f.reshape(cw) if f.ndim else f, 50,
                                  xt)])


# ---- Recurrent ----

ACTS = v.enum_of("hearth_recurrent_act")
FUNCTIONS = {
    "SIGMOID": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "TANH": lambda x, a, b: np.tanh(x),
    "RELU": lambda x, a, b: np.maximum(x, 0),
    "AFFINE": lambda x, a, b: a * x + b,
    "LEAKY_RELU": lambda x, a, b: np.where(x < 0, a * x, x),
    "THRESHOLDED_RELU": lambda x, a, b: np.where(x > a, x, 0),
    "SCALED_TANH": lambda x, a, b: a * np.tanh(b * x),
    "HARD_SIGMOID": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "ELU": lambda x, a, b: np.where(x < 0, a * (np.exp(x) - 1), x),
    "SOFTSIGN": lambda x, a, b: x / (1 + np.abs(x)),
    "SOFTPLUS": lambda x, a, b: np.log1p(np.exp(x)),
}


def sequence(op, f, x, w, r, b, p, h, c, clip, linear, forget):
    """One direction of one sequence, [steps, in]: rows of H, and the states."""
    n = r.shape[1]
    half = len(b) // 2
    rows = []

    def act(k, z):
        return f[k](np.clip(z, -clip, clip) if clip else z)
    for row in x:
        a, q = w @ row + b[:half], r @ h + b[half:]
        if op == "RNN":
            h = act(0, a + q)
        elif op == "GRU":
            z = act(0, a[:n] + q[:n])
            k = act(0, a[n:2 * n] + q[n:2 * n])
            back = (k * q[2 * n:] if linear else
                    r[2 * n:] @ (k * h) + b[half + 2 * n:])
            h = (1 - z) * act(1, a[2 * n:] + back) + z * h
        else:
            i, o, g, s = np.split(a + q, 4)
            pi, po, pf = np.split(p, 3)
            i = act(0, i + pi * c)
            g = 1 - i if forget else act(0, g + pf * c)
            c = g * c + i * act(1, s)
            h = act(0, o + po * c) * act(2, c)
        rows.append(h)
    return rows, h, c


def recurrent_case(op, dtype, direction="forward", layout=0, lengths=None,
                   names=None, clip=0, linear=0, forget=0, given=(1, 1, 1, 1)):
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    count = {"RNN": 1, "GRU": 2, "LSTM": 3}[op]
    steps, batch, size, n = 4, 3, 2, 3
    dirs = 2 if direction == "bidirectional" else 1
    t = [rand(s, dtype, -1, 1) for s in (
        (steps, batch, size), (dirs, gates * n, size), (dirs, gates * n, n),
        (dirs, 2 * gates * n), (dirs, batch, n), (dirs, batch, n),
        (dirs, 3 * n))]
    for k, has in zip((3, 4, 5, 6), given):
        if not has or (k > 4 and op != "LSTM"):
            t[k] = np.zeros_like(t[k])
    d = [a.astype(np.float64) for a in t]
    default = {"RNN": ["TANH"], "GRU": ["SIGMOID", "TANH"],
               "LSTM": ["SIGMOID", "TANH", "TANH"]}[op] * dirs
    alpha = [float(f32(a)) for a in (.7, 1.2, .4, .9, 1.1, .3)][:count * dirs]
    beta = [float(f32(a)) for a in (.2, -.3, .5, .1, .6, .8)][:count * dirs]
    f = [lambda x, k=k, name=name: FUNCTIONS[name](x, alpha[k], beta[k])
         for k, name in enumerate(names or default)]
    y = np.zeros((steps, dirs, batch, n))
    hs, cs = np.zeros((dirs, batch, n)), np.zeros((dirs, batch, n))
    for k in range(dirs):
        back = direction == "reverse" or k == 1
        for b in range(batch):
            length = steps if lengths is None else lengths[b]
            x = d[0][:length, b]
            rows, hs[k, b], cs[k, b] = sequence(
                op, f[k * count:], x[::-1] if back else x, d[1][k], d[2][k],
                d[3][k], d[6][k], d[4][k, b], d[5][k, b], clip, linear, forget)
            for i, row in enumerate(rows[::-1] if back else rows):
                y[i, k, b] = row
    if layout:
        t[0] = t[0].swapaxes(0, 1)
        t[4], t[5] = t[4].swapaxes(0, 1), t[5].swapaxes(0, 1)
        y, hs, cs = y.transpose(2, 0, 1, 3), hs.swapaxes(0, 1), \
            cs.swapaxes(0, 1)
    attrs = {"DIRECTION": direction, "LAYOUT": layout, "HIDDEN_SIZE": n}
    if names:
        attrs.update(ACTIVATIONS=[ACTS["HEARTH_RECURRENT_" + a] for a in names],
                     ACT_ALPHA=alpha, ACT_BETA=beta)
    if clip:
        attrs["CELL_CLIP"] = float(clip)
    if linear:
        attrs["LINEAR_BEFORE_RESET"] = 1
    if forget:
        attrs["INPUT_FORGET"] = 1
    lens = None if lengths is None else np.array(lengths, np.int32)
    inputs = [t[0], t[1], t[2], t[3] if given[0] else None, lens,
              t[4] if given[1] else None]
    outputs = [y, hs]
    if op == "LSTM":
        inputs += [t[5] if given[2] else None, t[6] if given[3] else None]
        outputs.append(cs)
    emit("HEARTH_OP_" + op, attrs, inputs, [o.astype(dtype) for o in outputs])


def recurrent():
    for op in ("RNN", "GRU", "LSTM"):
        for dtype in FLOATS:
            for direction in ("forward", "reverse", "bidirectional"):
                recurrent_case(op, dtype, direction)
                recurrent_case(op, dtype, direction, layout=1,
                               lengths=[4, 2, 1])
        for direction in ("forward", "reverse", "bidirectional"):
            recurrent_case(op, f32, direction, lengths=[0, 4, 3])
            recurrent_case(op, f32, direction, given=(0, 0, 0, 0))
            recurrent_case(op, f32, direction, clip=f32(.25))
            recurrent_case(op, f32, direction, linear=1, forget=1)
        count = {"RNN": 1, "GRU": 2, "LSTM": 3}[op]
        for name in FUNCTIONS:
            recurrent_case(op, f32, "bidirectional",
                           names=[name] * count + ["TANH"] * count)


# ---- Attention ----

def attention_case(dtype, q_heads, kv_heads, three=False, past=0, mask=None,
                   mask_type=np.bool_, lengths=None, mode=0, **attrs):
    b, s, n, d, e = 2, 3, 4, 4, 5
    q, k, w = (rand(t, dtype, -1, 1) for t in (
        (b, q_heads, s, d), (b, kv_heads, n, d), (b, kv_heads, n, e)))
    old = [rand((b, kv_heads, past, t), dtype, -1, 1) for t in (d, e)]
    keys, values = (np.concatenate(t, 2).astype(np.float64)
                    for t in ((old[0], k), (old[1], w)))
    total = past + n
    m = None if mask is None else (
        rand(mask, np.bool_) if mask_type is np.bool_ else rand(mask, dtype))
    bias = np.zeros((b, q_heads, s, total))
    if m is not None:
        add = np.where(m, 0, -np.inf) if m.dtype == np.bool_ else m
        add = np.concatenate([add.astype(np.float64), np.full(
            add.shape[:-1] + (total - add.shape[-1],), -np.inf)], -1)
        bias = bias + add
    first = np.full((b, 1, 1, 1), past)
    if lengths is not None:
        first = np.array(lengths).reshape(b, 1, 1, 1) - s
    at = np.arange(s).reshape(1, 1, s, 1) + first
    j = np.arange(total).reshape(1, 1, 1, total)
    if attrs.get("IS_CAUSAL"):
        bias = np.where(j <= at, bias, -np.inf)
    if attrs.get("LEFT_WINDOW", -1) >= 0:
        bias = np.where(at - j <= attrs["LEFT_WINDOW"], bias, -np.inf)
    if attrs.get("RIGHT_WINDOW", -1) >= 0:
        bias = np.where(j - at <= attrs["RIGHT_WINDOW"], bias, -np.inf)
    if lengths is not None:
        bias = np.where(j < at[:, :, :1] + s, bias, -np.inf)
    rep = q_heads // kv_heads
    scale = attrs.get("SCALE")
    scale = float(f32(scale)) if scale is not None else d ** -.5
    p = q.astype(np.float64) @ np.repeat(keys, rep, 1).swapaxes(2, 3) * scale
    product = p
    cap = attrs.get("SOFTCAP", 0)
    if cap:
        p = np.tanh(p / cap) * cap
    product = p if mode == 1 else product
    p = p + bias
    product = p if mode == 2 else product
    top = p.max(-1, keepdims=True)
    x = np.where(np.isneginf(p), 0, np.exp(p - np.where(
        np.isneginf(top), 0, top)))
    p = x / np.where(x.sum(-1, keepdims=True) == 0, 1,
                     x.sum(-1, keepdims=True))
    product = p if mode == 3 else product
    y = p @ np.repeat(values, rep, 1)
    if three:
        q, k, w = (t.swapaxes(1, 2).reshape(b, t.shape[2], -1)
                   for t in (q, k, w))
        y = y.swapaxes(1, 2).reshape(b, s, -1)
        attrs.update(Q_HEADS=q_heads, KV_HEADS=kv_heads)
    inputs = [q, k, w, m] + (old if past else [None, None])
    if lengths is not None:
        inputs.append(np.array(lengths, np.int64))
    emit("HEARTH_OP_ATTENTION", dict(attrs, PRODUCT_MODE=mode), inputs,
         [t.astype(dtype) for t in (y, keys, values, product)])


def attention():
    for dtype in FLOATS:
        attention_case(dtype, 2, 2)
        attention_case(dtype, 4, 2, three=True, past=2, mask=(3, 6),
                       mask_type=dtype, mode=2)
        attention_case(dtype, 4, 1, past=3, mask=(2, 1, 3, 7), IS_CAUSAL=1,
                       mode=3)
    for mask in ((4,), (3, 4), (2, 3, 4), (2, 1, 1, 4), (1, 2, 3, 4), (3, 2)):
        attention_case(f32, 2, 1, mask=mask, SCALE=.3)
        attention_case(f32, 2, 1, mask=mask, mask_type=f32, three=True)
    for mode in range(4):
        attention_case(f32, 2, 2, mask=(3, 4), SOFTCAP=.5, mode=mode)
    attention_case(f32, 2, 2, IS_CAUSAL=1, three=True)
    attention_case(f32, 2, 2, lengths=[4, 2])
    attention_case(f32, 2, 2, lengths=[1, 4], IS_CAUSAL=1, mode=3)
    attention_case(f32, 2, 2, lengths=[3, 0], LEFT_WINDOW=1, mask=(3, 4))
    attention_case(f32, 2, 2, past=2, LEFT_WINDOW=2, RIGHT_WINDOW=0)
    attention_case(f32, 2, 2, RIGHT_WINDOW=1)


def rotary():
    for dtype in FLOATS:
        for three in (False, True):
            for part in (0, 4):
                for interleaved in (0, 1):
                    b, h, s, d = 2, 3, 4, 6
                    x = rand((b, h, s, d), dtype)
                    half = (part or d) // 2
                    places = pick((None, v.rng.integers(0, 9, (b, s))))
                    t = [rand((b, s, half) if places is None else (9, half),
                              dtype) for _ in range(2)]
                    c, n = (a.astype(np.float64)[:, None] if places is None
                            else a.astype(np.float64)[places][:, None]
                            for a in t)
                    y = x.astype(np.float64)
                    r = y[..., :2 * half]
                    one_, two = ((r[..., ::2], r[..., 1::2]) if interleaved
                                 else (r[..., :half], r[..., half:]))
                    re, im = c * one_ - n * two, n * one_ + c * two
                    turned = (np.stack([re, im], -1).reshape(r.shape)
                              if interleaved else np.concatenate([re, im], -1))
                    y = np.concatenate([turned, y[..., 2 * half:]], -1)
                    if three:
                        x, y = (a.swapaxes(1, 2).reshape(b, s, -1)
                                for a in (x, y))
                    emit("HEARTH_OP_ROTARY_EMBEDDING",
                         {"Q_HEADS": h, "ROTARY_DIM": part,
                          "INTERLEAVED": interleaved},
                         [x] + t + ([] if places is None else [places]),
                         [y.astype(dtype)])


def nbits():
    for dtype in FLOATS:
        for bits in (2, 4, 8):
            n, k, block = pick(((3, 32, 16), (2, 40, 16), (4, 24, 8)))
            blocks = (k + block - 1) // block
            q = v.rng.integers(0, 2 ** bits, (n, blocks * block))
            z = v.rng.integers(0, 2 ** bits, (n, blocks))
            s = rand((n, blocks), dtype, .01, .1)
            a, c = rand((2, 3, k), dtype), rand((n,), dtype)
            w = ((q - np.repeat(z, block, 1)) * np.repeat(
                s.astype(np.float64), block, 1))[:, :k]
            per = 8 // bits

            def pack(t):
                t = np.pad(t, ((0, 0), (0, -t.shape[1] % per)))
                t = t.reshape(n, -1, per) << (bits * np.arange(per))
                return t.sum(-1).astype(np.uint8)
            packed = pack(q).reshape(n, blocks, -1)
            attrs = {"N": n, "K": k, "BITS": bits, "BLOCK_SIZE": block}
            y = a.astype(np.float64) @ w.T
            emit("HEARTH_OP_MATMUL_NBITS", attrs,
                 [a, packed, s.reshape(-1), pack(z).reshape(-1), c],
                 [(y + c.astype(np.float64)).astype(dtype)])
            emit("HEARTH_OP_MATMUL_NBITS", attrs,
                 [a, packed, s, z.astype(dtype)], [y.astype(dtype)])
            w = ((q - 2 ** (bits - 1)) * np.repeat(
                s.astype(np.float64), block, 1))[:, :k]
            emit("HEARTH_OP_MATMUL_NBITS", attrs, [a[0, 0], packed, s],
                 [(a[0, 0].astype(np.float64) @ w.T).astype(dtype)])


def main():
    for part in (conv_transpose, normalisations, pools, quantise, products,
                 convolutions, recurrent, attention, rotary, nbits):
        part()
    v.write("ops_vectors_net.bin")


if __name__ == "__main__":
    sys.exit(main())
