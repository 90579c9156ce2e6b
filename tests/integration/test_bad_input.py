# SPDX-License-Identifier: Apache-2.0
"""Bad input gets a clear error, and the next request an answer."""
import json
import os
import pathlib
import struct
import subprocess
import zlib

import pytest
from conftest import BUILD, DIGITS, free_port

SEVEN = (DIGITS / "7.png").read_bytes()
JSON = "input: {kind: json}\noutput: {kind: json}\n"
OIP = "input: {kind: oip}\noutput: {kind: oip}\n"


def png(width, height, rows=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def still_serves(dog):
    answer = dog.post(SEVEN)
    assert answer.status == 200 and json.loads(answer.body)["predictions"][0]["label"] == "7"


@pytest.mark.parametrize("what,body,status", [
    ("nothing", b"", 400),
    ("text", b"hello", 415),
    ("cut short", SEVEN[:60], 400),
    ("bit flipped", SEVEN[:50] + bytes([SEVEN[50] ^ 1]) + SEVEN[51:], 400),
    ("60000 x 60000", png(60000, 60000), 413),
    ("no pixels", png(0, 5), 400),
    ("rows missing", png(64, 64, b"\0" * 65), 400),
    ("JPEG head", b"\xff\xd8\xff\xe0", 400),
])
def test_bodies_that_are_no_picture(digits, what, body, status):
    answer = digits.post(body)
    assert answer.status == status, (what, answer.body)
    assert len(answer.body) > 10
    still_serves(digits)


def test_a_body_over_the_limit(start, function):
    dog = start(hearth_yaml=function(DIGITS / "model.onnx", "max_body: 1000\n" + JSON))
    assert dog.post(b"[" + b" " * 2000 + b"]").status == 413
    s = dog.connect()
    s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert s.recv(100).startswith(b"HTTP/1.1 413 ")
    s.close()
    assert dog.post(json.dumps([[[[0] * 8] * 8]]).encode()).status == 200


@pytest.mark.parametrize("body,status", [
    (b"", 400),
    (b"[", 400),
    (b"[1,2", 400),
    (b"[" * 100000, 400),
    (b"[1,[2]]", 400),
    (b"[[1,2],[3]]", 400),
    (b"[1e999]", 400),
    (b"[NaN]", 400),
    (b"[01]", 400),
    (b'["a"]', 400),
    (b"[1,2,3]", 400),
    (json.dumps([[[[0] * 8] * 7]]).encode(), 400),
    (b"[[[[" + b"1," * 63 + b"1]]]] x", 400),
    (b"\xff\xfe\x00", 400),
])
def test_json_that_is_none_or_fits_not(start, function, body, status):
    dog = start(hearth_yaml=function(DIGITS / "model.onnx", JSON))
    answer = dog.post(body, {"Content-Type": "application/json"})
    assert answer.status == status, answer.body
    assert dog.post(json.dumps([[[0] * 8] * 8]).encode()).status == 200


@pytest.mark.parametrize("change", [
    {"inputs": 5}, {"inputs": [5]}, {"inputs": [{}]}, {"inputs": []},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8]}]},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, -8], "data": []}]},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [2 ** 62, 8], "data": [1]}]},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [1] * 63}]},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": 7}]},
    {"inputs": [{"name": "image", "datatype": "INT64", "shape": [1, 1, 8, 8], "data": [1] * 64}]},
    {"inputs": [{"name": "image", "datatype": "NOSUCH", "shape": [1], "data": [1]}]},
    {"inputs": [{"name": "other", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [1] * 64}]},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8],
                 "parameters": {"binary_data_size": 256}}]},
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [1] * 64}],
     "outputs": [{"name": "nosuch"}]},
])
def test_oip_requests_that_fit_not(start, function, change):
    dog = start(hearth_yaml=function(DIGITS / "model.onnx", OIP))
    answer = dog.post(json.dumps(change).encode(), {"Content-Type": "application/json"})
    assert answer.status == 400, answer.body
    assert len(json.loads(answer.body)["error"]) > 10


def test_half_sent_and_smuggled_requests(digits):
    for raw in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
                b"POST / HT"):
        s = digits.connect()
        s.sendall(raw)
        s.close()
    for raw in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
                b"GET / HTTP/1.1\r\n\r\n"):
        s = digits.connect()
        s.sendall(raw)
        assert s.recv(100).startswith(b"HTTP/1.1 400 ")
        s.close()
    still_serves(digits)


def test_a_flood_of_headers(digits):
    s = digits.connect()
    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    got = b""
    try:
        for _ in range(4000):
            s.sendall(b"X-Flood: " + b"y" * 1000 + b"\r\n")
        got = s.recv(100)
    except (BrokenPipeError, ConnectionResetError):
        try:
            got = s.recv(100)
        except ConnectionResetError:
            got = b"HTTP/1.1 431 "  # it was closed on us, which is an answer too
    assert got.startswith(b"HTTP/1.1 431 ")
    s.close()
    still_serves(digits)


def test_a_body_that_comes_too_slowly_is_given_up(start):
    dog = start(hearth_yaml=DIGITS / "hearth.yaml", read_timeout="1s")
    s = dog.connect()
    s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert s.recv(100).startswith(b"HTTP/1.1 408 ")
    s.close()
    still_serves(dog)


# ---- Functions that cannot start ----

def refuse(yaml_path):
    env = {"PATH": os.environ["PATH"], "HEARTH_PLUGIN_DIR": str(BUILD / ".libs"), "mode": "model",
           "hearth_yaml": str(yaml_path), "port": str(free_port()), "metrics_port": str(free_port())}
    result = subprocess.run([BUILD / "hearth-watchdog"], env=env, capture_output=True, text=True, timeout=60)
    assert result.returncode not in (0, -6, -11), result
    return result.stderr


@pytest.mark.parametrize("yaml,says", [
    ("inpt: {kind: image}\n", "hearth.yaml:2: unknown key 'inpt'; did you mean 'input'?"),
    ("input: {kind: picture}\n", "hearth.yaml:2: input.kind is 'picture'; expected image, json, raw or oip"),
    ("input:\n  kind: image\n  size: big\n", "hearth.yaml:4: input.size is 'big'; expected WIDTHxHEIGHT"),
    ("input: {kind: image, size: 9x9}\n", "the model takes pictures as [N,1,8,8], and input.size is 9x9"),
    ("input: {kind: image, channels: 3}\n", "channels 3"),
    ("output: {kind: labels, labels: nosuch.txt}\n", "nosuch.txt"),
    ("output: {kind: json, name: nosuch}\n", "output.name is 'nosuch'"),
    ("timeout: soon\n", "hearth.yaml:2: timeout is 'soon'; expected a duration"),
    ("model: again\n", "hearth.yaml:2: 'model' is here a second time"),
    ("input: [\n", "not YAML"),
    ("a: &x [*x]\n", "hearth.yaml:2"),
])
def test_a_broken_hearth_yaml_is_explained(function, yaml, says):
    text = refuse(function(DIGITS / "model.onnx", yaml))
    assert says in text, text


def test_a_missing_file_or_model_is_told(tmp_path, function):
    assert "nosuch.yaml" in refuse(tmp_path / "nosuch.yaml")
    assert "nosuch.onnx" in refuse(function("nosuch.onnx", JSON))


def hostile_models():
    whole = (DIGITS / "model.onnx").read_bytes()
    yield "empty", b""
    yield "text", b"not a model"
    yield "cut short", whole[:5000]
    yield "overlong varint", b"\x08" + b"\xff" * 20
    yield "length past the end", b"\x3a\xff\xff\xff\x7f" + whole[:50]
    yield "garbage", bytes((i * 7919) % 256 for i in range(4096))


@pytest.mark.parametrize("what,model", list(hostile_models()))
def test_hostile_models_are_refused(function, what, model):
    text = refuse(function(model, JSON))
    assert "model.onnx" in text, text


@pytest.mark.slow
def test_a_model_with_any_bit_flipped_serves_or_is_refused(function, tmp_path):
    """No crash, whatever bit: hearth inspect is the same reader, and quick."""
    whole = bytearray((DIGITS / "model.onnx").read_bytes())
    path = pathlib.Path(tmp_path) / "flipped.onnx"
    places = list(range(0, 400)) + list(range(len(whole) - 400, len(whole))) + list(range(400, len(whole), 4001))
    for at in places:
        whole[at] ^= 1 << (at % 8)
        path.write_bytes(whole)
        whole[at] ^= 1 << (at % 8)
        result = subprocess.run([BUILD / "hearth", "inspect", path], capture_output=True, timeout=60)
        assert result.returncode in (0, 1), (at, result)
