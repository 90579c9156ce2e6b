#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/ops_vectors_sample.bin: operators that look between
elements or put them back, transforms, sums by letters; see ops_vectors.py.

    python3 tests/unit/ops_vectors_sample.py
"""
import sys

import numpy as np

import ops_vectors as v
from ops_vectors import FLOATS, case, emit, i64, rand, reference

OPSET = 22
v.OP_NAME.update({
    "HEARTH_OP_DFT": "DFT", "HEARTH_OP_STFT": "STFT",
    "HEARTH_OP_COL2IM": "Col2Im", "HEARTH_OP_DET": "Det",
    "HEARTH_OP_CAUSAL_CONV": "CausalConvWithState",
})
LOOSE = (1e-4, 1e-4)


def loose(dtype):
    return None if dtype in (np.float16, v.BF16) else LOOSE


def sampled():
    for dtype in (np.float32, np.float64):
        for shape, places in (((2, 2, 4, 5), (3, 2)), ((1, 2, 6), (4,)),
                              ((1, 1, 3, 2, 4), (2, 2, 3))):
            for mode in ("nearest", "linear", "cubic"):
                for padding in ("zeros", "border", "reflection"):
                    for corners in (0, 1):
                        g = rand(shape[:1] + places + (len(places),), dtype,
                                 -1.6, 1.6)
                        x = rand(shape, dtype)
                        y = reference(
                            "HEARTH_OP_GRID_SAMPLE",
                            {"mode": mode, "padding_mode": padding,
                             "align_corners": corners}, [x, g], opset=OPSET)
                        emit("HEARTH_OP_GRID_SAMPLE",
                             {"MODE": mode, "PADDING": padding,
                              "ALIGN_CORNERS": corners}, [x, g], y, LOOSE)
    for corners in (0, 1):
        for size in ((2, 3, 4, 5), (2, 1, 3, 4, 2)):
            r = len(size) - 2
            case("AFFINE_GRID", {"ALIGN_CORNERS": corners},
                 [rand((2, r, r + 1)), i64(*size)], opset=OPSET, tol=LOOSE)
    for mode in ("avg", "max"):
        for how in ("half_pixel", "output_half_pixel"):
            for ratio in (0, 2):
                x = rand((2, 3, 6, 7))
                rois = np.array([[0, 0, 3, 4], [1, 2, 9, 8], [2, 1, 2.5, 6],
                                 [-3, -3, 1, 1]], np.float32)
                a = {"MODE": mode, "COORDINATE": how, "OUTPUT_HEIGHT": 2,
                     "OUTPUT_WIDTH": 3, "SAMPLING_RATIO": ratio,
                     "SPATIAL_SCALE": .75}
                onnx = {k.lower(): t for k, t in a.items()}
                onnx["coordinate_transformation_mode"] = onnx.pop("coordinate")
                case("ROI_ALIGN", a, [x, rois, i64(0, 1, 1, 0)], opset=OPSET,
                     onnx_attrs=onnx, tol=LOOSE)
    for group, offsets in ((1, 1), (2, 1), (1, 2)):
        for masked in (False, True):
            x, w = rand((2, 4, 5, 4)), rand((6, 4 // group, 2, 3))
            o = rand((2, offsets * 12, 3, 2), low=-1.3, high=1.3)
            a = {"GROUP": group, "OFFSET_GROUP": offsets, "STRIDES": [2, 2],
                 "PADS": [1, 0, 0, 1]}
            b = rand((6,)) if masked else None
            m = rand((2, offsets * 6, 3, 2)) if masked else None
            case("DEFORM_CONV", a, [x, w, o] + ([b, m] if masked else []),
                 opset=OPSET, tol=LOOSE)


def back():
    for dtype in (np.float32, np.float64):
        x = rand((2, 3, 2, 2), dtype)
        index = np.stack([v.rng.permutation(16)[:4] for _ in range(6)])
        index = (index + 16 * np.arange(6)[:, None]).reshape(x.shape)
        a = {"KERNEL_SHAPE": [2, 2], "STRIDES": [2, 2]}
        case("MAX_UNPOOL", a, [x, index], opset=OPSET)
        case("MAX_UNPOOL", a, [x, index, i64(2, 3, 5, 6)], opset=OPSET)
        for image, block, attrs in (
                ((5, 5), (1, 5), {}), ((5, 4), (2, 2), {"PADS": [0, 1, 2, 0]}),
                ((6,), (3,), {"DILATIONS": [2]}),
                ((5, 5), (3, 2), {"STRIDES": [2, 1]})):
            r = len(image)
            p, s = attrs.get("PADS", [0] * 2 * r), attrs.get("STRIDES", [1] * r)
            d = attrs.get("DILATIONS", [1] * r)
            places = np.prod([(image[i] + p[i] + p[i + r]
                               - d[i] * (block[i] - 1) - 1) // s[i] + 1
                              for i in range(r)])
            x = rand((2, 3 * int(np.prod(block)), int(places)), dtype)
            case("COL2IM", attrs, [x, i64(*image), i64(*block)], opset=OPSET)
    for dtype in FLOATS:
        for shape in ((3, 3), (2, 4, 4), (2, 2, 1, 1), (2, 0, 0)):
            x = rand(shape, dtype)
            emit("HEARTH_OP_DET", {}, [x], [np.asarray(np.linalg.det(
                x.astype(np.float64)), dtype)], loose(dtype))
    x = np.zeros((2, 3, 3), np.float32)
    x[1] = [[0, 1, 0], [1, 0, 0], [0, 0, 2]]
    emit("HEARTH_OP_DET", {}, [x], [np.array([0, -2], np.float32)])


def letters():
    for equation, shapes in (
            ("ij->ji", [(2, 3)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]),
            ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]),
            ("bhid,bhjd->bhij", [(2, 2, 3, 4), (2, 2, 5, 4)]),
            ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
            ("i,j->ij", [(2,), (3,)]), ("i,i->", [(4,), (4,)]),
            ("b...,b...->...", [(2, 3, 4), (2, 3, 4)]),
            ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
            ("Ab, bC -> CA", [(2, 3), (3, 4)]), ("ij->", [(2, 3)]),
            ("...->...", [(2, 3)]), ("ij,ij->ij", [(2, 3), (2, 3)]),
            ("i...j->...", [(2, 3, 4, 5)]), ("ij,jk->ik", [(2, 0), (0, 3)])):
        for dtype in (np.float32, np.float64, np.int32, np.uint8, np.int64):
            x = [rand(s, dtype) for s in shapes]
            y = np.einsum(equation.replace(" ", ""), *(
                a.astype(np.float64) if dtype in FLOATS else a for a in x))
            emit("HEARTH_OP_EINSUM", {"EQUATION": equation}, x,
                 [np.asarray(y).astype(dtype)])


def pairs(x):
    return np.stack([x.real, x.imag], -1)


def transforms():
    for dtype in FLOATS:
        for parts in (1, 2):
            for n, axis in ((8, 1), (6, 1), (5, 2), (1, 1), (16, 2)):
                shape = [2, 3, 4, parts]
                shape[axis] = n
                x = rand(shape, dtype)
                wide = x.astype(np.float64)
                z = wide[..., 0] + (1j * wide[..., 1] if parts == 2 else 0)
                tol = loose(dtype) or (2e-2, 1e-1)
                for length in (None, n, n + 3, max(1, n - 2)):
                    m = length or n
                    given = [] if length is None else [np.array(m, np.int64)]
                    emit("HEARTH_OP_DFT", {"AXIS": axis}, [x] + given,
                         [pairs(np.fft.fft(z, m, axis)).astype(dtype)], tol)
                    emit("HEARTH_OP_DFT", {"INVERSE": 1},
                         [x] + (given or [None]) + [i64(axis)[0]],
                         [pairs(np.fft.ifft(z, m, axis)).astype(dtype)], tol)
                    if parts == 1:
                        emit("HEARTH_OP_DFT", {"AXIS": axis, "ONESIDED": 1},
                             [x] + given,
                             [pairs(np.fft.rfft(wide[..., 0], m, axis)).astype(
                                 dtype)], tol)
                    elif n > 1:
                        m = length or 2 * (n - 1)
                        emit("HEARTH_OP_DFT",
                             {"AXIS": axis, "ONESIDED": 1, "INVERSE": 1},
                             [x] + given,
                             [np.fft.irfft(z, m, axis)[..., None].astype(
                                 dtype)], tol)
        for parts in (1, 2):
            for onesided in (0, 1):
                for step, n, window in ((3, 8, True), (4, 6, False),
                                        (2, 5, True)):
                    x = rand((2, 20, parts), dtype)
                    w = rand((n,), dtype, 0, 1)
                    wide = x.astype(np.float64)
                    z = wide[..., 0] + (1j * wide[..., 1] if parts == 2 else 0)
                    y = np.stack([np.fft.fft(z[:, k:k + n] * (
                        w.astype(np.float64) if window else 1))
                        for k in range(0, 20 - n + 1, step)], 1)
                    y = y[..., :n // 2 + 1] if onesided else y
                    inputs = [x, np.array(step, np.int64),
                              w if window else None]
                    if not window or onesided:
                        inputs.append(np.array(n, np.int64))
                    emit("HEARTH_OP_STFT", {"ONESIDED": onesided}, inputs,
                         [pairs(y).astype(dtype)],
                         loose(dtype) or (2e-2, 1e-1))


def states():
    for dtype in (np.float32, np.float16):
        tol = LOOSE if dtype is np.float32 else None
        for rule in ("linear", "gated", "delta", "gated_delta"):
            for per_key in (0, 1):
                q, k, w = (rand((2, 3, n), dtype, -1, 1) for n in (16, 8, 6))
                s = rand((2, 2, 4, 3), dtype, -1, 1) if per_key else None
                g = rand((2, 3, 8 if per_key else 2), dtype, -1, 0)
                b = rand((2, 3, 1 if per_key else 2), dtype, 0, 1)
                inputs = [q, k, w, s, g if "gated" in rule else None,
                          b if "delta" in rule else None]
                while inputs[-1] is None:
                    inputs.pop()
                a = {"Q_HEADS": 4, "KV_HEADS": 2, "UPDATE_RULE": rule}
                if per_key:
                    a["SCALE"] = .3
                onnx = {"q_num_heads": 4, "kv_num_heads": 2,
                        "update_rule": rule}
                if per_key:
                    onnx["scale"] = .3
                case("LINEAR_ATTENTION", a, inputs, 2, onnx, tol, opset=27)
        for size in (1, 3, 4):
            for act in ("none", "silu"):
                x, w = rand((2, 3, 3), dtype), rand((3, 1, size), dtype)
                more = [rand((3,), dtype), rand((2, 3, size - 1), dtype)]
                case("CAUSAL_CONV", {"MODE": act},
                     [x, w] + (more if act == "silu" else []), 2,
                     {"activation": act}, tol, opset=27)


def main():
    for part in (sampled, back, letters, transforms, states):
        part()
    v.write("ops_vectors_sample.bin")


if __name__ == "__main__":
    sys.exit(main())
