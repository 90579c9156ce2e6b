#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/unit/data/codec_images.bin: pictures, and what Pillow makes of them.

Layout, little-endian: u32 magic "IMGS", u32 count; each case: name (u32 length,
bytes), the spec as u32 width, height, channels, resize_short, resize_width,
resize_height, crop; u32 tolerance; u32 bytes of the file and the file; then
width * height * channels expected bytes, interleaved. Needs numpy and Pillow.
"""
import io
import os
import struct

import numpy as np
from PIL import Image

rng = np.random.default_rng(5)


def picture(w, h):
    """Smooth, with edges and a little grain."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    p = np.stack([120 + 100 * np.sin(x / 7), 255 * (y / h), 128 + 90 * np.cos((x + y) / 11)], -1)
    p[(x - w / 2) ** 2 + (y - h / 2) ** 2 < (min(w, h) / 4) ** 2] = (250, 40, 90)
    return (p + rng.normal(0, 3, p.shape)).clip(0, 255).astype(np.uint8)


def encoded(image, kind, **options):
    f = io.BytesIO()
    image.save(f, kind, **options)
    return f.getvalue()


def prepare(image, channels, width, height, short=0, size=None, crop=False):
    """As hearth.yaml says it, in Pillow's words."""
    image = image.convert("L" if channels == 1 else "RGB")
    if short:
        small = min(image.size)
        image = image.resize((image.width * short // small, image.height * short // small), Image.BILINEAR)
    elif size:
        image = image.resize(size, Image.BILINEAR)
    elif not crop:
        image = image.resize((width, height), Image.BILINEAR)
    if crop or short or size:
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image)


CASES = []


def case(name, file, expected, width, height, channels, tolerance=1, short=0, size=(0, 0), crop=False):
    CASES.append((name, file, np.asarray(expected, np.uint8), width, height, channels, tolerance, short, size, crop))


def simple(name, image, file, width, height, channels, tolerance=1, **how):
    expected = prepare(image, channels, width, height, how.get("short", 0), how.get("size"), how.get("crop", False))
    case(name, file, expected, width, height, channels, tolerance, **how)


rgb = Image.fromarray(picture(60, 44))
grey = rgb.convert("L")
simple("rgb png, same size", rgb, encoded(rgb, "PNG"), 60, 44, 3, 0)
simple("rgb png, smaller", rgb, encoded(rgb, "PNG"), 23, 17, 3)
simple("rgb png, larger", rgb, encoded(rgb, "PNG"), 100, 90, 3)
simple("rgb png, one pixel", rgb, encoded(rgb, "PNG"), 1, 1, 3)
simple("rgb png as grey", rgb, encoded(rgb, "PNG"), 30, 22, 1, 2)
simple("grey png as rgb", grey, encoded(grey, "PNG"), 30, 22, 3)
simple("short side and crop", rgb, encoded(rgb, "PNG"), 24, 24, 3, 1, short=32, crop=True)
simple("size and crop", rgb, encoded(rgb, "PNG"), 20, 16, 3, 1, size=(40, 30), crop=True)
simple("crop alone", rgb, encoded(rgb, "PNG"), 21, 19, 3, 0, crop=True)
palette = rgb.quantize(32)
simple("palette png", palette, encoded(palette, "PNG"), 30, 22, 3)
bits = grey.point(lambda v: 255 * (v > 128)).convert("1")
simple("one bit png", bits, encoded(bits, "PNG"), 60, 44, 1, 0)
deep = Image.fromarray((np.asarray(grey).astype(np.uint16) * 257))
case("16 bit png", encoded(deep, "PNG"), np.asarray(grey), 60, 44, 1, 0, crop=True)
alpha = np.dstack([np.asarray(rgb), (np.mgrid[0:44, 0:60][1] * 255 // 59).astype(np.uint8)])
over_black = (alpha[..., :3].astype(np.uint32) * alpha[..., 3:] + 127) // 255
case("rgba png over black", encoded(Image.fromarray(alpha), "PNG"), over_black, 60, 44, 3, 0, crop=True)
simple("jpeg", Image.open(io.BytesIO(encoded(rgb, "JPEG", quality=90))), encoded(rgb, "JPEG", quality=90), 32, 32, 3, 3)
simple("grey jpeg", Image.open(io.BytesIO(encoded(grey, "JPEG", quality=90))),
       encoded(grey, "JPEG", quality=90), 32, 32, 1, 3)
progressive = encoded(rgb, "JPEG", quality=85, progressive=True)
simple("progressive jpeg", Image.open(io.BytesIO(progressive)), progressive, 32, 32, 3, 3)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    flips = {1: [], 2: [Image.FLIP_LEFT_RIGHT], 3: [Image.ROTATE_180], 4: [Image.FLIP_TOP_BOTTOM],
             5: [Image.TRANSPOSE], 6: [Image.ROTATE_270], 7: [Image.TRANSVERSE], 8: [Image.ROTATE_90]}
    file = encoded(rgb, "JPEG", quality=90, exif=exif)
    upright = Image.open(io.BytesIO(file)).convert("RGB")
    for flip in flips[orientation]:
        upright = upright.transpose(flip)
    simple(f"jpeg, orientation {orientation}", upright, file, 30, 20, 3, 3)

out = struct.pack("<II", 0x53474d49, len(CASES))
for name, file, expected, width, height, channels, tolerance, short, size, crop in CASES:
    assert expected.size == width * height * channels, (name, expected.shape)
    out += struct.pack("<I", len(name)) + name.encode()
    out += struct.pack("<8I", width, height, channels, short, *size, int(crop), tolerance)
    out += struct.pack("<I", len(file)) + file + expected.tobytes()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "codec_images.bin")
with open(path, "wb") as f:
    f.write(out)
print(f"{path}: {len(CASES)} cases, {len(out)} bytes")
