# SPDX-License-Identifier: Apache-2.0
"""What hearthd refuses: OIP's JSON error, the right status, and the connection
goes on where HTTP lets it."""
import gzip
import http.client
import json
import resource
import shutil
import socket
import struct
import time

import numpy as np
import pytest
from conftest import DIGITS

MODEL = DIGITS / "model.onnx"
GOOD = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}


def infer(*changes, **more):
    i = dict(GOOD)
    for change in changes:
        i.update(change)
    return json.dumps({"inputs": [i], **more}).encode()


def binary(size, shape=(1, 1, 8, 8), datatype="FP32"):
    return json.dumps({"inputs": [{"name": "image", "datatype": datatype, "shape": list(shape),
                                   "parameters": {"binary_data_size": size}}]}).encode()


CASES = [
    (infer({"name": "picture"}), {}, 400, "unexpected inference input 'picture'"),
    (json.dumps({"inputs": []}).encode(), {}, 400, "missing required input(s) ['image']"),
    (infer({"shape": [1, 64]}), {}, 400, "Expected [-1,1,8,8], got [1,64]"),
    (infer({"datatype": "INT32", "data": [1] * 64}), {}, 400,
     "data-type is 'INT32', but model 'digits' expects 'FP32'"),
    (infer({"data": [1.0] * 63}), {}, 400, "input byte size mismatch"),
    (infer({"datatype": "BYTES", "data": ["x"]}), {}, 400, "'BYTES' is not supported"),
    (infer({"shape": [-1, 1, 8, 8]}), {}, 400, "not negative"),
    (infer({"shape": [2**62, 2**62, 8, 8]}), {}, 400, "input byte size mismatch"),
    (infer({"shape": "[1,1,8,8]"}), {}, 400, "'shape' must be an array"),
    (infer({"data": {"a": 1}}), {}, 400, "'data' must be an array"),
    (infer({"datatype": "FP16"}), {}, 400, "receiving FP16 data via JSON is not supported"),
    (infer(outputs=[{"name": "nope"}]), {}, 400, "unexpected inference output 'nope'"),
    (b"{", {}, 400, "failed to parse the request JSON"),
    (b"[" * 200, {}, 400, "too many levels"),
    (b"", {}, 400, "the body is empty"),
    (binary(256) + b"x" * 256, {"Inference-Header-Content-Length": "99999"}, 400,
     "Inference-Header-Content-Length is 99999"),
    (binary(256) + b"x" * 256, {"Inference-Header-Content-Length": "abc"}, 400,
     "Inference-Header-Content-Length"),
    (binary(256) + b"x" * 200, {"Inference-Header-Content-Length": str(len(binary(256)))}, 400,
     "needs 256 bytes, 200 are left"),
    (binary(256) + b"x" * 300, {"Inference-Header-Content-Length": str(len(binary(256)))}, 400,
     "unexpected additional input data"),
    (binary(100) + b"x" * 100, {"Inference-Header-Content-Length": str(len(binary(100)))}, 400,
     "expecting 256"),
    (b"x" * 255, {"Inference-Header-Content-Length": "0"}, 400, "send a multiple of 256"),
    (infer(), {"Content-Type": "multipart/form-data; boundary=x"}, 415, "multipart"),
    (infer(), {"Content-Type": "image/png"}, 415, "this function takes oip"),
    (infer(), {"Content-Encoding": "br"}, 501, "Content-Encoding"),
    (b"no gzip", {"Content-Encoding": "gzip"}, 400, "not what its Content-Encoding says"),
    (gzip.compress(infer())[:-9], {"Content-Encoding": "gzip"}, 400, "Content-Encoding"),
    (gzip.compress(b" " * (100 << 20)), {"Content-Encoding": "gzip"}, 413, "bytes"),
]


@pytest.mark.parametrize("body, headers, status, said", CASES)
def test_a_bad_inference_is_told_and_the_connection_goes_on(node, body, headers, status, said):
    c = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    c.request("POST", "/v2/models/digits/infer", body, headers)
    r = c.getresponse()
    data = r.read()
    assert r.status == status and said in json.loads(data)["error"], data
    assert r.headers["Content-Type"] == "application/json"
    c.request("POST", "/v2/models/digits/infer", infer())
    r = c.getresponse()
    assert r.status == 200 and len(json.loads(r.read())["outputs"][0]["data"]) == 10
    c.close()


@pytest.mark.parametrize("method, path, status, said", [
    ("GET", "/", 404, "Not Found"),
    ("GET", "/v2/models", 404, "Not Found"),
    ("POST", "/v2", 405, "Method Not Allowed"),
    ("DELETE", "/v2/models/digits", 405, "Method Not Allowed"),
    ("GET", "/v2/models/nope", 404, "Request for unknown model: 'nope' is not found"),
    ("GET", "/v2/models/digits/versions/7", 404, "version 7 is not found"),
    ("GET", "/v2/models/digits/versions/x", 404, "Not Found"),
    ("GET", "/v2/models/..%2f..%2fetc", 404, "unknown model"),
    ("GET", "/v2/models/%00", 404, "Not Found"),
    ("GET", "/v2/models/" + "x" * 300, 404, "Not Found"),
    ("GET", "/v2/models/nope/stats", 400, "requested model 'nope' is not available"),
    ("GET", "/v2/hearth/status", 403, "for the operator"),
    ("PUT", "/v2/hearth/blobs/" + "0" * 64, 403, "closed over TCP"),
])
def test_a_bad_path_is_told(node, method, path, status, said):
    got, body, _ = node.ask(method, path)
    assert got == status and said in body["error"], body


def test_blobs_and_functions_are_checked(node):
    zero = "0" * 64
    status, body, _ = node.ask("PUT", f"/v2/hearth/blobs/{zero}", b"something", door="socket")
    assert status == 409 and "SHA-256" in body["error"]
    assert node.ask("PUT", "/v2/hearth/blobs/xyz", b"x", door="socket")[0] == 400
    assert node.ask("PUT", f"/v2/hearth/functions/{zero}", b"{}", door="socket")[0] == 409
    status, _, headers = node.ask("POST", f"/v2/hearth/functions/{zero}", b"x", door="socket")
    assert status == 404 and headers["Hearth-Unknown"] == "function"
    import hashlib
    for manifest, said in (
            ({"name": "f", "hearth_yaml": "model: /etc/passwd", "files": {}}, "beside the file"),
            ({"name": "f", "hearth_yaml": "model: ../x", "files": {}}, "beside the file"),
            ({"name": "f", "hearth_yaml": "model: m", "files": {"../m": zero}}, "is no path"),
            ({"name": "f", "hearth_yaml": "model: m", "files": {"m": "xx"}}, "is no SHA-256"),
            ({"name": "f"}, "a manifest is")):
        text = json.dumps(manifest).encode()
        path = "/v2/hearth/functions/" + hashlib.sha256(text).hexdigest()
        status, body, _ = node.ask("PUT", path, text, door="socket")
        assert status == 400 and said in body["error"], (manifest, body)
    # A digest proves nothing: another has put it, this tenant has not.
    text = json.dumps({"name": "f", "hearth_yaml": "model: m", "files": {"m": zero}}).encode()
    status, body, _ = node.ask("PUT", "/v2/hearth/functions/" + hashlib.sha256(text).hexdigest(),
                               text, door="socket")
    assert status == 404 and body["missing"] == [zero]


def test_200_slow_clients_do_not_keep_others_out(node):
    slow = []
    for _ in range(200):
        s = socket.create_connection(("127.0.0.1", node.port))
        s.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        slow.append(s)
    for _ in range(20):
        assert node.post("/v2/models/digits/infer", infer())[0] == 200
    for s in slow:
        s.close()
    end = time.monotonic() + 20
    while node.status()["request_bytes"] > 0:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_10000_connections(serve):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 21000:
        pytest.skip(f"open files are limited to {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    d = serve({"digits": MODEL})
    held = []
    try:
        for _ in range(10000):
            held.append(socket.create_connection(("127.0.0.1", d.port)))
        assert d.post("/v2/models/digits/infer", infer())[0] == 200
        for s in held[::1000]:
            s.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for s in held:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_a_repository_with_10000_models(serve):
    d = serve({"digits": MODEL})
    data = MODEL.read_bytes()
    for i in range(10000):
        path = d.models / f"m{i:05}/1"
        path.mkdir(parents=True)
        (path / "model.onnx").symlink_to(MODEL)
    assert d.post("/v2/hearth/reload", door="admin")[0] == 200
    status, index, _ = d.post("/v2/repository/index")
    assert status == 200 and len(index) == 10001
    for i in (0, 5000, 9999):
        assert d.get(f"/v2/models/m{i:05}/ready")[0] == 200
    assert d.post("/v2/models/digits/infer", infer())[0] == 200
    assert len(data) > 0


def test_an_import_that_fails_leaves_nothing(serve, tmp_path):
    import http.server
    import threading
    data = MODEL.read_bytes()
    asked, refused = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Range")))
            if self.path == "/loop":
                self.send_response(302)
                self.send_header("Location", "/loop")
                self.end_headers()
            elif self.path == "/short":  # ends early, always
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:1000])
            elif self.path in ("/broken", "/busy", "/liar"):  # ends early, and can go on
                start = 0
                if self.headers.get("Range") and self.headers.get("If-Range") == '"tag"':
                    start = int(self.headers["Range"][6:-1])
                if self.path == "/busy" and start > 0 and not refused:
                    refused.append(start)  # a page that is not the file
                    page = b"come back later" * 9
                    self.send_response(503)
                    self.send_header("Content-Length", str(len(page)))
                    self.end_headers()
                    self.wfile.write(page)
                    return
                told = 7 if self.path == "/liar" else start
                self.send_response(206 if start else 200)
                self.send_header("ETag", '"tag"')
                if start:
                    self.send_header("Content-Range", f"bytes {told}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                whole = self.path == "/liar" and len(asked) > 3
                self.wfile.write(data[start:] if whole else data[start:start + 60000])
            else:
                self.send_response(503 if self.path == "/503" else 404)
                self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    d = serve()

    def imports(path, name="x"):
        status, body, _ = d.post("/v2/hearth/import", {"name": name, "url": url + path}, door="admin")
        return body if isinstance(body, dict) else json.loads(body.splitlines()[-1])

    assert "redirects more than 10 times" in imports("/loop")["error"]
    assert "cannot fetch" in imports("/short")["error"]
    assert "is not there (404)" in imports("/nope")["error"]
    assert "answers 503" in imports("/503")["error"]
    assert "it is another file" in imports("/broken#sha256=" + "0" * 64)["error"]
    assert list(d.models.iterdir()) == []
    done = imports("/broken", "whole")["imported"]
    assert done["bytes"] == len(data)
    assert any(r and r.startswith("bytes=60000-") for _, r in asked)
    assert d.get("/v2/models/whole/ready")[0] == 200
    assert [p.name for p in (d.models / "whole/1").iterdir()] == ["model.onnx"]
    # What an error's page says is no part of the file, and what came before it is kept.
    assert imports("/busy", "after")["imported"]["sha256"] == done["sha256"]
    assert refused and refused[0] >= 60000
    # A piece from elsewhere is not taken: the file is asked for from its beginning.
    asked.clear()
    assert imports("/liar", "again")["imported"]["sha256"] == done["sha256"]
    assert [r for _, r in asked].count(None) > 1
    server.shutdown()


def test_a_full_disk_during_an_import_is_told(serve, tmp_path):
    import subprocess
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount],
                      capture_output=True).returncode != 0:
        pytest.skip("needs to mount a small disk")
    try:
        (mount / "models").mkdir()
        d = serve(model_repository=mount / "models", state_dir=mount / "state")
        status, body, _ = d.post("/v2/hearth/import", {"name": "x", "sha256": "0" * 64}, door="admin")
        assert "put it first" in json.dumps(body)
        import hashlib
        data = MODEL.read_bytes()
        status, body, _ = d.ask("PUT", "/v2/hearth/blobs/" + hashlib.sha256(data).hexdigest(), data,
                                door="socket")
        assert status == 507 and "make room on the disk" in body["error"]
        assert d.status()["blobs"]["bytes"] == 0
        assert d.get("/v2/health/ready")[0] == 200
        d.stop()
    finally:
        subprocess.run(["umount", mount])
