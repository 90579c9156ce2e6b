# SPDX-License-Identifier: Apache-2.0
"""A model repository behind a URL: `hearth index`, any file server, hearthd."""
import concurrent.futures
import http.server
import json
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from conftest import BUILD, DIGITS, free_port

MODEL = DIGITS / "model.onnx"
INPUT = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}]}


class Files:
    """A server of a directory: ranges, and what goes wrong on demand."""

    def __init__(self, directory, port=0):
        self.directory, self.asked = directory, []
        self.cut = 0       # bytes after which an answer breaks off, once a file
        self.slow = False  # answers begin and then wait
        broke = set()
        files = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.split("?")[0].lstrip("/")
                files.asked.append((path, self.headers.get("Range")))
                target = files.directory / path
                if not target.is_file():
                    self.send_error(404)
                    return
                data, start = target.read_bytes(), 0
                if self.headers.get("Range") and self.headers.get("If-Range") == f'"{len(data)}"':
                    start = int(re.match(r"bytes=(\d+)-", self.headers["Range"])[1])
                self.send_response(206 if start else 200)
                self.send_header("ETag", f'"{len(data)}"')
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                body = data[start:]
                if files.cut and path not in broke and path.endswith(".onnx"):
                    broke.add(path)
                    body = body[:files.cut]
                    self.close_connection = True
                if files.slow and path.endswith(".onnx"):
                    self.wfile.write(body[:10])
                    self.wfile.flush()
                    while files.slow:
                        time.sleep(0.02)
                    return
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def models_asked(self):
        return [a for a in self.asked if a[0].endswith(".onnx")]

    def stop(self):
        self.slow = False
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "files").mkdir()
    made = Files(tmp_path / "files")
    yield made
    made.stop()


def add(files, name, version=1, source=MODEL, config=None):
    d = files.directory / name / str(version)
    d.mkdir(parents=True)
    shutil.copyfile(source, d / "model.onnx")
    if config:
        (files.directory / name / "config.pbtxt").write_text(config)


def index(files, code=0):
    done = subprocess.run([BUILD / "hearth", "index", files.directory], capture_output=True, text=True)
    assert done.returncode == code, done
    return done


def infer(d, name, expect=200):
    status, body, _ = d.post(f"/v2/models/{name}/infer", INPUT)
    assert status == expect, (status, body, d.log)
    return body["outputs"][0]["data"] if status == 200 else body["error"]


def test_any_file_server_is_a_repository(serve, files):
    add(files, "digits", config='max_batch_size: 8\nversion_policy { all {} }\n')
    add(files, "digits", 2)
    add(files, "one")
    shutil.copytree(DIGITS, files.directory / "fn")
    assert "labels.txt" not in index(files).stdout
    local = serve({"here": MODEL})
    right = infer(local, "here")

    d = serve(model_repository=f"{local.models} {files.url}/?signature=secret")
    names = {(m["name"], m["version"]) for m in d.post("/v2/repository/index", {})[1]}
    assert names == {("here", "1"), ("digits", "1"), ("digits", "2"), ("one", "1"), ("fn", "1")}
    assert files.models_asked() == []  # nothing before it is asked for
    assert infer(d, "one") == right == infer(d, "digits") == infer(d, "digits/versions/1")
    # One file, whatever its names and versions.
    assert len(files.models_asked()) == 1
    blobs = d.status()["blobs"]
    assert (blobs["count"], blobs["bytes"]) == (1, MODEL.stat().st_size)
    # A function, with what lies beside its model.
    status, body, _ = d.ask("POST", "/v2/models/fn/infer", (DIGITS / "7.png").read_bytes(),
                            {"Content-Type": "image/png", "Inference-Header-Content-Length": "0"})
    assert d.get("/v2/models/fn/ready")[0] == 200
    assert d.status()["blobs"]["count"] > 1
    assert "secret" not in d.log and "event=fetched" in d.log
    d.check_books()

    # Its server goes away; so does hearthd; what was here is served.
    d.stop()
    files.stop()
    d.start()
    assert infer(d, "digits") == right
    assert "a repository's last good index is used" in d.log


def test_one_that_is_away_takes_nothing_from_the_others(serve, files, tmp_path):
    add(files, "far")
    index(files)
    port = free_port()
    local = tmp_path / "local"
    (local / "here").mkdir(parents=True)
    shutil.copyfile(MODEL, local / "here/model.onnx")
    d = serve(model_repository=f"http://user:secret@127.0.0.1:{port} {local}")
    right = infer(d, "here")
    assert "a repository is left out" in d.log and "secret" not in d.log
    assert "unknown model" in infer(d, "far", 404)
    late = Files(files.directory, port)
    assert d.post("/v2/repository/models/far/load", {}, door="admin")[0] == 200
    assert infer(d, "far") == right
    # An import goes where there is a directory.
    status, body, _ = d.post("/v2/hearth/import", {"name": "in", "url": late.url + "/far/1/model.onnx"},
                             door="admin")
    assert (local / "in/1/model.onnx").is_file()
    late.stop()


def test_what_comes_is_what_the_index_says_or_refused(serve, files):
    for name in ("good", "other", "short", "gone"):
        add(files, name)
        with open(files.directory / name / "1/model.onnx", "ab") as f:
            f.write(b"\x7a\x00" + b"" if name == "good" else b"\x7a\x01" + name[:1].encode())
    index(files)
    (files.directory / "other/1/model.onnx").write_bytes(MODEL.read_bytes() + b"\x7a\x01x")
    (files.directory / "short/1/model.onnx").write_bytes(MODEL.read_bytes())
    (files.directory / "gone/1/model.onnx").unlink()
    d = serve(model_repository=files.url)
    assert "another file" in infer(d, "other", 503)
    assert "another file" in infer(d, "short", 503)
    assert "not there" in infer(d, "gone", 503)
    infer(d, "good")
    assert d.status()["blobs"]["count"] == 1
    assert list((d.dir / "state/coming").iterdir()) == []


def test_a_broken_index_leaves_the_last_good_one(serve, files):
    add(files, "digits")
    index(files)
    whole = json.loads((files.directory / "index.json").read_text())
    good = whole["models"][0]
    f = good["files"][0]
    bad = [{"name": "../x", **{k: good[k] for k in ("files", "version")}},
           {"name": "a/b", "version": 1, "files": [f]}, {"version": 1, "files": [f]}, 7, None,
           {"name": "v", "version": 0, "files": [f]}, {"name": "e", "version": 1, "files": []},
           {"name": "many", "version": 1, "files": [f] * 65},
           {"name": "up", "version": 1, "files": [{**f, "name": "../../model.onnx"}]},
           {"name": "dot", "version": 1, "files": [{**f, "name": ".."}]},
           {"name": "neg", "version": 1, "files": [{**f, "bytes": -1}]},
           {"name": "hex", "version": 1, "files": [{**f, "sha256": "12"}]},
           {"name": "nourl", "version": 1, "files": [{k: f[k] for k in ("name", "sha256", "bytes")}]},
           {"name": "sum", "version": 1, "files": [{**f, "bytes": 2**63 - 1}] * 3},
           {"name": "what", "version": 1, "files": [{**f, "name": "weights.bin"}]}]
    (files.directory / "index.json").write_text(json.dumps({"models": bad + [good, good]}))
    d = serve(model_repository=files.url)
    assert [m["name"] for m in d.post("/v2/repository/index", {})[1]] == ["digits"]
    assert d.log.count("left out of a repository's index") == len(bad)
    right = infer(d, "digits")
    for text in ("", "{", "[]", '{"models": {}}', "\0" * 100, '{"models": [' * 5000):
        (files.directory / "index.json").write_text(text)
        assert d.post("/v2/hearth/reload", {}, door="admin")[0] == 200
        assert infer(d, "digits") == right
    assert d.log.count("a repository's last good index is used") == 6
    assert not (d.dir / "state/served").parent.joinpath("x").exists()


def test_a_changed_model_comes_before_the_old_one_goes(serve, files, bench_model):
    add(files, "m")
    index(files)
    d = serve(model_repository=files.url)
    right = infer(d, "m")
    target = files.directory / "m/1/model.onnx"
    target.write_bytes(MODEL.read_bytes() + b"\x7a\x03new")
    index(files)
    target.write_bytes(b"damaged")  # after its index
    assert d.post("/v2/repository/models/m/load", {}, door="admin")[0] == 200
    assert "the old one stays" in d.log
    assert infer(d, "m") == right
    target.write_bytes(MODEL.read_bytes() + b"\x7a\x03new")
    before = len(files.models_asked())
    assert d.post("/v2/repository/models/m/load", {}, door="admin")[0] == 200
    assert len(files.models_asked()) == before + 1
    assert infer(d, "m") == right
    served = [p for p in (d.dir / "state/served").iterdir()]
    assert len(served) == 1 and (served[0] / "model.onnx").read_bytes() == target.read_bytes()
    # It is in the index no more.
    shutil.rmtree(files.directory / "m")
    add(files, "n")
    index(files)
    assert d.post("/v2/hearth/reload", {}, door="admin")[0] == 200
    assert "unknown model" in infer(d, "m", 404)
    assert infer(d, "n") == right
    d.check_books()


def test_the_disk_has_a_budget(serve, files):
    for i in range(3):
        add(files, f"m{i}")
        with open(files.directory / f"m{i}/1/model.onnx", "ab") as f:
            f.write(b"\x7a\x01%d" % i)
    index(files)
    size = (files.directory / "m0/1/model.onnx").stat().st_size
    d = serve(model_repository=files.url, blob_bytes=2 * size + 100)
    right = infer(d, "m0")
    assert infer(d, "m1") == right
    assert "blob_bytes has no room" in infer(d, "m2", 507)
    assert d.post("/v2/repository/models/m0/unload", {}, door="admin")[0] == 200
    time.sleep(5.1)  # a failed one is not tried again before
    assert infer(d, "m2") == right
    blobs = d.status()["blobs"]
    assert (blobs["count"], blobs["evictions"], blobs["bytes"]) == (2, 1, 2 * size)
    assert sum(p.stat().st_size for p in (d.dir / "state/blobs").glob("??/*")) == 2 * size


def test_a_break_is_gone_on_from_and_one_file_comes_once(serve, files):
    for name in ("a", "b", "c"):
        add(files, name)
    index(files)
    files.cut = 50000
    d = serve(model_repository=files.url)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: infer(d, "abc"[i % 3]), range(24)))
    assert all(a == answers[0] for a in answers)
    asked = files.models_asked()
    assert len(asked) == 2 and asked[0][1] is None and asked[1][1].startswith("bytes=50000-")


def test_hearthd_ends_and_unloads_while_a_file_comes(serve, files):
    add(files, "m")
    index(files)
    files.slow = True
    d = serve(model_repository=files.url)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waits = pool.submit(d.post, "/v2/models/m/infer", INPUT)
        end = time.monotonic() + 30
        reason = ""
        while "fetching" not in reason:
            reason = d.post("/v2/repository/index", {})[1][0]["reason"]
            assert time.monotonic() < end
        assert re.match(r"fetching: \d+ B of 150\.3 KiB are here", reason)
        assert d.post("/v2/repository/models/m/unload", {}, door="admin")[0] == 200
        assert waits.result()[0] >= 400
        load = pool.submit(d.post, "/v2/repository/models/m/load", {}, door="admin")
        while d.post("/v2/repository/index", {})[1][0]["state"] != "LOADING":
            assert time.monotonic() < end
        d.process.send_signal(signal.SIGTERM)
        try:
            load.result()
        except OSError:
            pass
    assert d.process.wait(20) == 0, d.log


def test_what_cannot_be_indexed_is_told(files, tmp_path):
    add(files, "good")
    add(files, "bad")
    (files.directory / "bad/1/model.onnx").write_text("hello")
    add(files, "deep")
    (files.directory / "deep/1/weights").mkdir()
    done = index(files, 1)
    assert "bad, version 1, is left out" in done.stderr
    assert "deep, version 1, is left out: weights is a directory" in done.stderr
    assert [m["name"] for m in json.loads((files.directory / "index.json").read_text())["models"]] == ["good"]
    done = subprocess.run([BUILD / "hearth", "index", tmp_path / "nope"], capture_output=True, text=True)
    assert done.returncode == 1 and "No such file" in done.stderr
    done = subprocess.run([BUILD / "hearth", "index", "--json", files.directory], capture_output=True, text=True)
    assert json.loads(done.stdout)["models"][0]["files"][0]["url"] == "good/1/model.onnx"
