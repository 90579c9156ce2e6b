# SPDX-License-Identifier: Apache-2.0
"""The answers are onnxruntime's, whatever way the numbers come and go."""
import json
import struct

import numpy as np
import onnxruntime
import pytest
from conftest import DIGITS, TOP, close
from PIL import Image

RAW = "input: {kind: raw}\noutput: {kind: raw}\n"
JSON = "input: {kind: json}\noutput: {kind: json}\n"
OIP = "input: {kind: oip}\noutput: {kind: oip}\n"


def truth(path, x):
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def pictures():
    images = [np.asarray(Image.open(DIGITS / f"{d}.png").resize((8, 8), Image.BILINEAR), np.float32) / 255
              for d in range(10)]
    return np.stack(images)[:, None]


def softmax(y):
    e = np.exp(y - y.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def oip_request(name, x, binary):
    tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32"}
    if not binary:
        tensor["data"] = x.ravel().tolist()
        return json.dumps({"id": "7", "inputs": [tensor]}).encode(), {"Content-Type": "application/json"}
    tensor["parameters"] = {"binary_data_size": x.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + x.tobytes(), {"Content-Type": "application/octet-stream",
                                "Inference-Header-Content-Length": str(len(head))}


def oip_answer(answer):
    length = answer.headers.get("Inference-Header-Content-Length")
    head = json.loads(answer.body[:int(length)] if length else answer.body)
    out = head["outputs"][0]
    if length:
        assert out["parameters"]["binary_data_size"] == len(answer.body) - int(length)
        data = np.frombuffer(answer.body[int(length):], np.float32)
    else:
        data = np.array(out["data"], np.float32)
    return head, data.reshape(out["shape"])


@pytest.mark.parametrize("digit", range(10))
def test_every_picture_of_a_digit_is_read(digits, digit):
    answer = digits.post((DIGITS / f"{digit}.png").read_bytes())
    assert answer.status == 200
    predictions = json.loads(answer.body)["predictions"]
    want = softmax(truth(DIGITS / "model.onnx", pictures()[digit:digit + 1]))[0]
    assert predictions[0]["label"] == str(digit)
    assert [p["label"] for p in predictions] == [str(i) for i in np.argsort(-want)[:3]]
    assert close([p["probability"] for p in predictions], np.sort(want)[::-1][:3])


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("way", ["raw", "json", "oip", "oip binary"])
def test_digits_by_every_way_in_and_out(start, function, way, batch):
    x = np.ascontiguousarray(pictures()[:batch])
    want = truth(DIGITS / "model.onnx", x)
    yaml = {"raw": RAW, "json": JSON}.get(way, OIP)
    dog = start(hearth_yaml=function(DIGITS / "model.onnx", yaml))
    if way == "raw":
        answer = dog.post(x.tobytes())
        got = np.frombuffer(answer.body, np.float32).reshape(-1, 10)
    elif way == "json":
        answer = dog.post(json.dumps(x.tolist()).encode(), {"Content-Type": "application/json"})
        got = np.array(json.loads(answer.body))
    else:
        answer = dog.post(*oip_request("image", x, way == "oip binary"))
        head, got = oip_answer(answer)
        assert head["outputs"][0]["name"] == "logits"
    assert answer.status == 200, answer.body
    assert close(got, want)


@pytest.mark.parametrize("batch", [1, 5])
def test_resnet18_gives_onnxruntimes_answers(start, function, resnet18, batch):
    x = np.random.default_rng(batch).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    dog = start(hearth_yaml=function(resnet18, RAW))
    answer = dog.post(x.tobytes())
    assert answer.status == 200, answer.body
    assert close(np.frombuffer(answer.body, np.float32).reshape(batch, 1000), truth(resnet18, x))


def test_the_imagenet_example_prepares_a_picture_as_torchvision_does(start, function, resnet18):
    yaml = (TOP / "examples/imagenet/hearth.yaml").read_text().split("\n", 2)[2]
    yaml = yaml.replace("labels: labels.txt", f"labels: {TOP / 'examples/imagenet/labels.txt'}")
    dog = start(hearth_yaml=function(resnet18, yaml))
    answer = dog.post((TOP / "examples/imagenet/picture.jpg").read_bytes())
    image = Image.open(TOP / "examples/imagenet/picture.jpg").convert("RGB")
    width, height = image.size
    image = image.resize((256 * width // min(width, height), 256 * height // min(width, height)), Image.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    x = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    x = ((x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32).transpose(2, 0, 1)[None]
    want = softmax(truth(resnet18, x))[0]
    predictions = json.loads(answer.body)["predictions"]
    assert len(predictions) == 5
    # Two decoders and two resizers may differ by a step of 255.
    got = {int(p["label"].split()[1]): p["probability"] for p in predictions}
    assert int(predictions[0]["label"].split()[1]) == int(want.argmax())
    assert np.abs(np.array(list(got.values())) - want[list(got)]).max() < 0.02


def test_binary_bytes_that_lie_askew_are_read_right(start, function):
    x = np.ascontiguousarray(pictures()[:2])
    dog = start(hearth_yaml=function(DIGITS / "model.onnx", OIP))
    for pad in range(4):
        body, headers = oip_request("image", x, True)
        length = int(headers["Inference-Header-Content-Length"])
        body = body[:length] + b" " * pad + body[length:]
        headers["Inference-Header-Content-Length"] = str(length + pad)
        _, got = oip_answer(dog.post(body, headers))
        assert close(got, truth(DIGITS / "model.onnx", x))


def test_classes_of_the_protocols_extension(start, function):
    dog = start(hearth_yaml=function(DIGITS / "model.onnx", "input: {kind: oip}\noutput: {kind: oip, labels: %s}\n"
                                     % (DIGITS / "labels.txt")))
    request = json.loads(oip_request("image", pictures()[3:4], False)[0])
    request["outputs"] = [{"name": "logits", "parameters": {"classification": 2}}]
    answer = json.loads(dog.post(json.dumps(request).encode()).body)
    out = answer["outputs"][0]
    assert answer["id"] == "7" and out["datatype"] == "BYTES" and out["shape"] == [1, 2]
    value, index, label = out["data"][0].split(":")
    assert (index, label) == ("3", "3")
    assert close(float(value), truth(DIGITS / "model.onnx", pictures()[3:4]).max())
    assert struct.calcsize("f") == 4
