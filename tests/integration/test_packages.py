# SPDX-License-Identifier: Apache-2.0
"""Models that Python packages carry, on inputs as their packages make them, through
hearthd against onnxruntime. The wheels are fetched once into the build directory."""
import subprocess
import sys
import zipfile

import numpy as np
import onnxruntime
import pytest
import tritonclient.http as triton
from conftest import BUILD, DIGITS, TOP, close
from PIL import Image, ImageDraw, ImageFont

pytestmark = pytest.mark.slow
WHEELS = {"magika": "magika==1.0.3", "silero_vad": "silero-vad==6.2.3",
          "rapidocr": "rapidocr==3.10.0", "rapidocr_onnxruntime": "rapidocr-onnxruntime==1.4.4"}


@pytest.fixture(scope="session")
def packaged():
    """packaged("magika/.../model.onnx") -> its path."""
    def get(path):
        here = BUILD / "packages"
        if not (here / path).exists():
            wheels = here / "wheels"
            done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                                   "--only-binary=:all:", "-d", wheels, WHEELS[path.split("/")[0]]],
                                  capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{WHEELS[path.split('/')[0]]} cannot be fetched")
            for wheel in wheels.glob("*.whl"):
                with zipfile.ZipFile(wheel) as z:
                    for name in z.namelist():
                        if name.endswith(".onnx"):
                            z.extract(name, here)
        return here / path
    return get


class Pair:
    """A model in hearthd and in onnxruntime."""

    def __init__(self, serve, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.daemon = serve({"m": path}, timeout="300s")
        self.client = triton.InferenceServerClient(self.daemon.address, network_timeout=300,
                                                   connection_timeout=300)
        self.outputs = [o.name for o in self.session.get_outputs()]

    def same(self, **feed):
        given = []
        for name, x in feed.items():
            i = triton.InferInput(name, x.shape, triton.np_to_triton_dtype(x.dtype))
            given.append(i.set_data_from_numpy(x))
        answer = self.client.infer("m", given)
        want = self.session.run(None, feed)
        for name, b in zip(self.outputs, want):
            a = answer.as_numpy(name)
            assert close(a, b), (name, a.shape, b.shape, a.shape == b.shape and np.abs(a - b).max())
        return dict(zip(self.outputs, want))


def picture(text, width, height, size):
    """Dark text on paper, as [1,3,height,width], normalised as PP-OCR has it."""
    image = Image.new("RGB", (width, height), (240, 240, 235))
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(image)
    for k, line in enumerate(text.splitlines()):
        draw.text((size // 2, size // 4 + k * size * 3 // 2), line, (20, 20, 30), font)
    x = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255
    return (x - 0.5) / 0.5


def test_magika_tells_types_of_files(serve, packaged):
    pair = Pair(serve, packaged("magika/models/standard_v3_3/model.onnx"))
    rows = []
    for path in (TOP / "README.md", TOP / "core/exec/exec.c", DIGITS / "7.png", DIGITS / "model.onnx",
                 TOP / "scripts/test"):
        data = path.read_bytes()
        for part, end in ((data[:1024], False), (data[-1024:], True)):
            row = np.full(1024, 256, np.int32)
            row[1024 - len(part) if end else 0:][:len(part)] = list(part)
            rows.append(row)
    x = np.concatenate(rows).reshape(-1, 2048)
    one = pair.same(bytes=x[:1])
    assert one[pair.outputs[0]].shape[0] == 1
    pair.same(bytes=x)
    pair.daemon.check_books()


@pytest.mark.parametrize("name", ["silero_vad.onnx", "silero_vad_16k_op15.onnx",
                                  "silero_vad_op18_ifless.onnx", "silero_vad_half.onnx"])
def test_silero_hears_voices(serve, packaged, name):
    pair = Pair(serve, packaged("silero_vad/data/" + name))
    takes = {i.name for i in pair.session.get_inputs()}
    rng = np.random.default_rng(3)
    state = np.zeros((2, 1, 128), np.float32)
    context = np.zeros((1, 64), np.float32)
    for frame in range(12):  # a tone with overtones that swells, and noise
        t = (np.arange(512) + 512 * frame) / 16000
        voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9)) * min(frame, 6) / 12
        x = (voice + 0.01 * rng.standard_normal(512)).astype(np.float32)[None]
        feed = {"input": np.concatenate([context, x], 1), "state": state}
        if "sr" in takes:
            feed["sr"] = np.array(16000, np.int64)
        got = pair.same(**feed)
        state = next(v for k, v in got.items() if v.shape == (2, 1, 128))
        context = x[:, -64:]
    pair.daemon.check_books()


@pytest.mark.parametrize("path", ["rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
                                  "rapidocr/models/PP-OCRv6_det_small.onnx"])
def test_the_detector_finds_lines(serve, packaged, path):
    pair = Pair(serve, packaged(path))
    for width, height in ((320, 160), (224, 96), (320, 160)):
        pair.same(x=picture("Hearth keeps models\nwarm, 2026", width, height, 24))
    pair.daemon.check_books()


@pytest.mark.parametrize("path", ["rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
                                  "rapidocr/models/PP-OCRv6_rec_small.onnx"])
def test_the_recogniser_reads_a_line(serve, packaged, path):
    pair = Pair(serve, packaged(path))
    for text, width in (("Hearth 42", 320), ("a", 96), ("warm models everywhere", 480)):
        got = pair.same(x=picture(text, width, 48, 32))
        assert got[pair.outputs[0]].argmax(-1).max() > 0  # it does read something
    pair.daemon.check_books()


@pytest.mark.parametrize("path", ["rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"])
def test_the_classifier_tells_which_way_is_up(serve, packaged, path):
    pair = Pair(serve, packaged(path))
    for n in (1, 3):
        pair.same(x=np.repeat(picture("upright", 192, 48, 32), n, 0))
    pair.daemon.check_books()
