#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes picture.jpg, 320x240: hills, a sun, some grain. Needs numpy, Pillow."""
import os

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
y, x = np.mgrid[0:240, 0:320].astype(np.float32)
sky = np.stack([110 + y * 0.4, 160 + y * 0.25, 235 - y * 0.2], -1)
hill = 150 + 25 * np.sin(x / 37) + 12 * np.sin(x / 11 + 1)
ground = np.stack([60 + x * 0.15, 120 + (y - hill) * 0.4, 50 + 0 * x], -1)
picture = np.where((y > hill)[..., None], ground, sky)
picture[(x - 240) ** 2 + (y - 60) ** 2 < 28 ** 2] = (250, 225, 120)
picture += np.random.default_rng(3).normal(0, 4, picture.shape)
Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
    os.path.join(HERE, "picture.jpg"), quality=85)
