# SPDX-License-Identifier: Apache-2.0
"""hearthd spoken to by Triton's own client and by its operator."""
import asyncio
import concurrent.futures
import gzip
import json
import os
import shutil
import signal
import time
import urllib.request
import zlib

import numpy as np
import onnxruntime
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from conftest import DIGITS, Hearthd, close

MODEL = DIGITS / "model.onnx"


@pytest.fixture(scope="module")
def reference():
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"image": x})[0]


def pictures(n=3, seed=0):
    return np.random.default_rng(seed).random((n, 1, 8, 8)).astype(np.float32)


def given(x, binary=True, api=triton):
    return [api.InferInput("image", x.shape, "FP32").set_data_from_numpy(x, binary_data=binary)]


def test_triton_client_sees_the_server_and_the_model(node):
    c = triton.InferenceServerClient(node.address)
    assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("digits")
    assert not c.is_model_ready("nope")
    assert c.get_server_metadata()["name"] == "hearth"
    meta = c.get_model_metadata("digits")
    assert meta["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert meta["versions"] == ["1"]
    config = c.get_model_config("digits")
    assert config["input"][0]["data_type"] == "TYPE_FP32" and config["max_batch_size"] == 0


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_inference_in_json_and_binary(node, reference, binary_in, binary_out):
    c, x = triton.InferenceServerClient(node.address), pictures()
    out = [triton.InferRequestedOutput("logits", binary_data=binary_out)]
    r = c.infer("digits", given(x, binary_in), outputs=out, request_id="me")
    assert close(r.as_numpy("logits"), reference(x))
    assert r.get_response()["id"] == "me" and r.get_response()["model_version"] == "1"


def test_raw_binary_and_compressed_and_chunked_bodies(node, reference):
    x = pictures()
    status, body, headers = node.post("/v2/models/digits/infer", x.tobytes(),
                                      {"Inference-Header-Content-Length": "0"})
    assert status == 200
    n = int(headers["Inference-Header-Content-Length"])
    assert close(np.frombuffer(body[n:], np.float32).reshape(3, 10), reference(x))
    text = json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [3, 1, 8, 8],
                                   "data": x.ravel().tolist()}]}).encode()
    raw_deflate = zlib.compressobj(wbits=-15)
    for coding, data in (("gzip", gzip.compress(text)), ("deflate", zlib.compress(text)),
                         ("deflate", raw_deflate.compress(text) + raw_deflate.flush())):
        status, body, _ = node.post("/v2/models/digits/infer", data, {"Content-Encoding": coding})
        assert status == 200 and close(np.reshape(body["outputs"][0]["data"], (3, 10)), reference(x))
    status, body, _ = node.post("/v2/models/digits/infer", iter([text[:100], text[100:]]))
    assert status == 200


def test_classification_and_statistics(node):
    c = triton.InferenceServerClient(node.address)
    before = c.get_inference_statistics("digits")["model_stats"][0]
    r = c.infer("digits", given(pictures(4)),
                outputs=[triton.InferRequestedOutput("logits", class_count=2)])
    assert r.as_numpy("logits").shape == (4, 2) and b":" in r.as_numpy("logits")[0, 0]
    after = c.get_inference_statistics("digits")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 4
    assert after["execution_count"] == before["execution_count"] + 1
    s = after["inference_stats"]
    assert s["compute_input"]["count"] == s["compute_infer"]["count"] == s["compute_output"]["count"]
    assert after["version"] == "1" and after["last_inference"] > 1e12


def test_the_asyncio_client(node, reference):
    async def run():
        async with triton_aio.InferenceServerClient(node.address) as c:
            assert await c.is_model_ready("digits")
            assert (await c.get_model_metadata("digits"))["name"] == "digits"
            x = pictures()
            answers = await asyncio.gather(*[
                c.infer("digits", given(x, api=triton_aio)) for _ in range(20)])
            assert all(close(a.as_numpy("logits"), reference(x)) for a in answers)
    asyncio.run(run())


def test_a_model_with_a_hearth_yaml_takes_pictures_and_oip(node, reference):
    status, body, _ = node.post("/v2/models/fn/infer", (DIGITS / "7.png").read_bytes(),
                                {"Content-Type": "image/png"})
    assert status == 200 and body["predictions"][0]["label"] == "7"
    x = pictures()
    r = triton.InferenceServerClient(node.address).infer("fn", given(x))
    assert close(r.as_numpy("logits"), reference(x))


def test_loading_needs_a_token_over_tcp(serve, tmp_path):
    (tmp_path / "token").write_text("sesame\n")
    d = serve({"digits": MODEL}, token_file=tmp_path / "token")
    load = "/v2/repository/models/digits/load"
    assert d.post(load)[0] == 403
    assert d.post(load, headers={"Authorization": "Bearer wrong"})[0] == 401
    assert d.post(load, headers={"Authorization": "Bearer sesame"})[0] == 200
    assert d.post(load, door="socket")[0] == 200
    c = triton.InferenceServerClient(d.address)
    c.unload_model("digits", headers={"Authorization": "Bearer sesame"})
    index = {m["name"]: m for m in c.get_model_repository_index()}
    assert index["digits"]["state"] == "UNAVAILABLE" and index["digits"]["reason"] == "unloaded"
    assert d.get("/v2/models/digits")[0] == 404
    c.load_model("digits", headers={"Authorization": "Bearer sesame"})
    assert c.is_model_ready("digits")
    assert d.post("/v2/repository/models/digits/unload", door="socket")[0] == 403
    with pytest.raises(triton.InferenceServerException, match="failed to poll"):
        c.load_model("nope", headers={"Authorization": "Bearer sesame"})


def test_config_pbtxt_names_batches_and_versions(serve):
    d = serve()
    for version in (1, 2, 10):
        (d.models / "m" / str(version)).mkdir(parents=True)
        shutil.copy(MODEL, d.models / "m" / str(version) / "model.onnx")
    (d.models / "m/names.txt").write_text("\n".join(f"digit{i}" for i in range(10)))
    (d.models / "m/config.pbtxt").write_text("""
        name: "m"  # a comment
        backend: "onnxruntime"
        max_batch_size: 4
        input [ { name: "image" data_type: TYPE_FP32 dims: [ 1, 8, 8 ] } ]
        output { name: "logits", data_type: TYPE_FP32, dims: [ 10 ], label_filename: "names.txt" }
        instance_group [ { count: 2 kind: KIND_CPU } ]
        dynamic_batching { max_queue_delay_microseconds: 100 }
        version_policy: { specific { versions: [ 2, 10 ] } }
        model_warmup [ { name: "w" batch_size: 1 inputs { key: "image" value: { zero_data: true } } } ]
        optimization { priority: 1 }
        """)
    c = triton.InferenceServerClient(d.address)
    assert c.get_model_metadata("m")["versions"] == ["2", "10"]
    assert c.infer("m", given(pictures())).get_response()["model_version"] == "10"
    assert c.infer("m", given(pictures()), model_version="2").get_response()["model_version"] == "2"
    config = c.get_model_config("m")
    assert config["max_batch_size"] == 4 and config["input"][0]["dims"] == [1, 8, 8]
    r = c.infer("m", given(pictures()), outputs=[triton.InferRequestedOutput("logits", class_count=1)])
    assert b":digit" in r.as_numpy("logits")[0, 0]
    with pytest.raises(triton.InferenceServerException, match="batch-size must be <= 4"):
        c.infer("m", given(pictures(5)))
    with pytest.raises(triton.InferenceServerException, match="version 1 is not found"):
        c.infer("m", given(pictures()), model_version="1")
    assert d.log.count('fields="optimization"') >= 1


@pytest.mark.parametrize("text, said", [
    ('name: "other"', "directory name must equal model name"),
    ('platform: "tensorrt_plan"', "Hearth serves ONNX models"),
    ('input { name: "nope" data_type: TYPE_FP32 dims: [1] }', "is no input of the model"),
    ('input { name: "image" data_type: TYPE_INT8 dims: [-1, 1, 8, 8] }', "another data_type"),
    ('input { name: "image" data_type: TYPE_FP32 dims: [3] }', "has other dims"),
    ("max_batch_size: -1", "out of range"),
    ("input { name: 3 }", "config.pbtxt:1: expected a text in quotes"),
    ("a: {", "a brace is not closed"),
])
def test_a_wrong_config_pbtxt_is_told(serve, text, said):
    d = serve({"m": MODEL})
    (d.models / "m/config.pbtxt").write_text(text)
    assert d.post("/v2/hearth/reload", door="admin")[0] == 200
    status, body, _ = d.get("/v2/models/m")
    assert status >= 400 and said in body["error"], body
    assert d.get("/v2/health/ready")[0] == 200


def test_files_that_change_vanish_and_come_are_noticed(serve, bench_model, tmp_path):
    d = serve({"digits": MODEL}, repository_poll="100ms")
    assert d.get("/v2/models/digits/ready")[0] == 200
    d.add("late", MODEL)
    assert d.get("/v2/models/late/ready")[0] == 200  # looked for when it is asked for
    target = d.models / "digits/1/model.onnx"
    shutil.copy(bench_model("squeezenet1.1"), tmp_path / "new.onnx")
    os.rename(tmp_path / "new.onnx", target)
    def until(what):
        end = time.monotonic() + 20
        while not what():
            assert time.monotonic() < end, d.log
            time.sleep(0.05)
    until(lambda: d.get("/v2/models/digits")[1]["inputs"][0]["name"] == "input")
    target.write_bytes(target.read_bytes()[:1000])  # half a file: the old one stays
    time.sleep(0.5)
    assert d.get("/v2/models/digits")[1]["inputs"][0]["name"] == "input"
    (d.models / "late/1/model.onnx").unlink()
    until(lambda: 'event=vanished model="late"' in d.log)
    assert d.get("/v2/models/late/ready")[0] >= 400


def test_tenants_see_their_own_models_and_stay_within_their_limits(serve, tmp_path):
    (tmp_path / "ta").write_text("token-a")
    (tmp_path / "tb").write_text("token-b")
    d = serve({"a-one": MODEL, "b-one": MODEL}, config=f"""
tenants:
- name: a
  token_file: {tmp_path}/ta
  models: a-*
  may_load: yes
- name: b
  token_file: {tmp_path}/tb
  models: [b-*, c-*]
  memory: 10KiB
  may_load: yes
""")
    a, b = ({"Authorization": f"Bearer token-{t}"} for t in "ab")
    assert d.get("/v2/models/a-one", headers=a)[0] == 200
    unknown = d.get("/v2/models/b-one", headers=a)
    assert unknown[0] == 404 and unknown[1] == {
        "error": "Request for unknown model: 'b-one' is not found"}
    for path in ("/v2/models/b-one/stats", "/v2/models/b-one/config"):
        assert d.get(path, headers=a)[0] in (400, 404)
    assert d.post("/v2/repository/models/b-one/load", headers=a)[0] == 400 or \
        d.post("/v2/repository/models/b-one/load", headers=a)[0] == 404
    assert [m["name"] for m in d.post("/v2/repository/index", headers=a)[1]] == ["a-one"]
    x = pictures(1)
    body = json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8],
                                   "data": x.ravel().tolist()}]})
    status, answer, _ = d.post("/v2/models/b-one/infer", body, b)
    assert status == 507 and "this tenant may have 10.0 KiB" in answer["error"]
    assert d.post("/v2/models/a-one/infer", body, a)[0] == 200
    # The same model: it is there by now, whoever had it loaded.
    assert d.post("/v2/models/b-one/infer", body, b)[0] == 200
    tenants = {t["name"]: t for t in d.status()["tenants"]}
    assert tenants["a"]["bytes"] > 0 and tenants["b"]["bytes"] == 0
    d.check_books()


def test_the_admin_socket_refuses_another_user(serve):
    d = serve({"digits": MODEL})
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    for path in (d.dir, d.dir.parent, d.dir.parent.parent, d.dir.parent.parent.parent):
        os.chmod(path, 0o755)
    os.chmod(d.admin_socket, 0o666)  # even if its file's mode would let them
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            ok = d.get("/v2/hearth/status", door="admin")[0] == 403 and \
                d.get("/v2/models/digits", door="socket")[0] == 200 and \
                d.get("/v2/hearth/status", door="socket")[0] == 403
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert d.get("/v2/hearth/status", door="admin")[0] == 200


def test_64_clients_on_8_models_over_two_devices_that_do_not_hold_them(tmp_path):
    """No request fails, every answer is right, the books add up all the time."""
    d = Hearthd(tmp_path / "h", {f"m{i}": MODEL for i in range(8)},
                devices="sim:mem=1MiB,cpu:0-0", memory="1MiB")
    try:
        # Eight models of one digest would be one: a byte behind the end of each
        # (an empty metadata field) makes them differ.
        for i in range(8):
            path = d.models / f"m{i}/1/model.onnx"
            data = MODEL.read_bytes() + bytes([0x72, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x30 + i])
            (tmp_path / "x").write_bytes(data)
            os.rename(tmp_path / "x", path)
        session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
        d.check_books()

        def work(seed):
            c = triton.InferenceServerClient(d.address, network_timeout=120)
            rng = np.random.default_rng(seed)
            for _ in range(12):
                x = rng.random((int(rng.integers(1, 4)), 1, 8, 8)).astype(np.float32)
                r = c.infer(f"m{rng.integers(8)}", given(x))
                assert close(r.as_numpy("logits"), session.run(None, {"image": x})[0])
            return True

        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            jobs = [pool.submit(work, s) for s in range(64)]
            while not all(j.done() for j in jobs):
                d.check_books()
                time.sleep(0.1)
            assert all(j.result() for j in jobs)
        status = d.check_books()
        assert status["jobs"]["failed"] == 0 and status["jobs"]["refused"] == 0
        assert sum(x["evictions"] for x in status["devices"]) > 0
        # Not what each holds just now: a load that nobody waits for any more may
        # have emptied one of them a moment ago.
        assert all(x["loads"] > 0 for x in status["devices"])
    finally:
        d.stop()


def test_what_a_device_evicts_comes_back_from_host_memory(serve):
    # A device with memory of its own, which holds one of three models.
    one = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}]}
    d = serve(devices="sim:mem=400KiB", host_memory="1MiB")
    for i in range(3):
        d.add(f"m{i}", MODEL)
        with open(d.models / f"m{i}/1/model.onnx", "ab") as f:
            f.write(bytes([0x72, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x30 + i]))
    assert d.post("/v2/hearth/reload", door="admin")[0] == 200
    for i in list(range(3)) * 4:
        assert d.post(f"/v2/models/m{i}/infer", one)[0] == 200
    status = d.check_books()
    host, loads = status["host"], status["devices"][0]["loads"]
    assert status["devices"][0]["evictions"] >= 9 and loads >= 10
    assert (host["models"], host["misses"], host["hits"]) == (3, 3, loads - 3)
    assert 0 < host["bytes"] <= host["limit_bytes"] == 1 << 20
    assert all(m["in_host"] and m["host_load_us"] > 0 for m in status["models"])
    text = urllib.request.urlopen(f"http://127.0.0.1:{d.metrics_port}/metrics").read().decode()
    assert f'hearth_host_loads_total{{what="hit"}} {host["hits"]}\n' in text
    assert f"hearth_host_bytes {host['bytes']}\n" in text
    # A model that is unloaded by hand gives everything back.
    for i in range(3):
        assert d.post(f"/v2/repository/models/m{i}/unload", {}, door="admin")[0] == 200
    end = time.monotonic() + 10
    while d.status()["host"]["bytes"] > 0:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sighup_reads_the_file_again_and_a_broken_one_changes_nothing(serve):
    d = serve({"digits": MODEL}, config="tenants: [{name: default, models: none}]\n")
    assert d.get("/v2/models/digits")[0] == 404
    d.config.write_text("tenants: [{name: default, modles: x}]\n")
    d.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while "did you mean 'models'?" not in d.log:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert d.get("/v2/models/digits")[0] == 404
    d.config.write_text("tenants: [{name: default, models: dig*}]\n")
    assert d.post("/v2/hearth/reload", door="admin")[0] == 200
    assert d.get("/v2/models/digits")[0] == 200


def test_sigterm_answers_what_is_in_flight(tmp_path):
    d = Hearthd(tmp_path / "h", {"digits": MODEL}, devices="sim:run=300ms")
    body = json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8],
                                   "data": [0.5] * 64}]})
    assert d.post("/v2/models/digits/infer", body)[0] == 200
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        job = pool.submit(d.post, "/v2/models/digits/infer", body)
        time.sleep(0.1)
        d.process.send_signal(signal.SIGTERM)
        assert job.result()[0] == 200
    d.stop()
    assert not d.socket.exists() and not d.admin_socket.exists()


def test_metrics_tell_of_devices_and_requests(node):
    text = urllib.request.urlopen(f"http://127.0.0.1:{node.metrics_port}/metrics").read().decode()
    for name in ("hearth_device_used_bytes{", "hearth_http_requests_total ", "process_cpu_seconds_total"):
        assert name in text
