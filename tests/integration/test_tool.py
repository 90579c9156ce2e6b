# SPDX-License-Identifier: Apache-2.0
"""`hearth` against a running hearthd, as an operator types it."""
import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from conftest import BUILD, DIGITS, WAIT_S


def hearth(d, *args, code=0):
    r = subprocess.run([BUILD / "hearth", *map(str, args)], capture_output=True, text=True,
                       env=os.environ | {"HEARTH_ADMIN": str(d.admin_socket) if d else "/nonexistent"},
                       timeout=WAIT_S)
    assert r.returncode == code, r.stdout + r.stderr
    return r.stdout if code == 0 else r.stderr


def test_status_and_models(node):
    node.get("/v2/models/digits")
    text = hearth(node, "status")
    assert "ready" in text and "cpu:0" in text and "default" in text
    assert json.loads(hearth(node, "status", "--json"))["hearthd"]["ready"] is True
    assert "digits" in hearth(node, "models")
    models = json.loads(hearth(node, "models", "--json"))["models"]
    assert {m["name"] for m in models} == {"digits", "fn"}


def test_load_pin_fit_unload(serve):
    d = serve({"digits": DIGITS / "model.onnx"})
    assert "loaded" in hearth(d, "load", "digits")
    assert d.status()["models"][0]["places"][0]["state"] == "resident"
    assert "is there" in hearth(d, "fit", "digits")
    assert "stays" in hearth(d, "pin", "digits")
    assert json.loads(hearth(d, "models", "--json"))["models"][0]["pinned"] is True
    assert "may be evicted" in hearth(d, "pin", "--off", "digits")
    assert "unloaded" in hearth(d, "unload", "digits")
    assert d.status()["models"] == []
    assert "is unloaded: load it first" in hearth(d, "fit", "digits", code=1)
    hearth(d, "load", "digits")
    assert json.loads(hearth(d, "fit", "--json", "digits"))["devices"][0]["fits"] is True
    assert "failed to poll" in hearth(d, "load", "nope", code=1)
    d.check_books()


def test_fit_tells_who_would_go(serve, bench_model):
    d = serve({"a": bench_model("squeezenet1.1"), "b": bench_model("vit")}, memory="34MiB")
    hearth(d, "load", "a")
    assert "would evict a" in hearth(d, "fit", "b") or "fits" in hearth(d, "fit", "b")
    fits = json.loads(hearth(d, "fit", "--json", "b"))["devices"][0]
    assert fits["fits"] and fits["need_bytes"] > 0
    assert (fits["need_bytes"] > fits["free_bytes"]) == (fits["evicts"] == ["a"])


def test_infer_takes_every_kind_of_file(node, tmp_path):
    x = np.random.default_rng(0).random((2, 1, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.json").write_text(json.dumps(x.tolist()))
    (tmp_path / "x.raw").write_bytes(x.tobytes())
    (tmp_path / "oip.json").write_text(json.dumps({"inputs": [{
        "name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": x.ravel().tolist()}]}))
    answers = [hearth(node, "infer", "digits", tmp_path / f)
               for f in ("x.npy", "x.json", "oip.json")]
    assert answers[0].startswith("logits FP32 [2,10]: ") and len(set(answers)) == 1
    assert "80 bytes" in hearth(node, "infer", "digits", tmp_path / "x.raw")
    assert ":" in hearth(node, "infer", "--top=2", "digits", tmp_path / "x.npy").splitlines()[1]
    assert '"label":"5"' in hearth(node, "infer", "fn", DIGITS / "5.png").replace(" ", "")
    assert json.loads(hearth(node, "infer", "--json", "digits", tmp_path / "x.npy"))["model_name"] == "digits"
    assert "takes oip, not image/png" in hearth(node, "infer", "digits", DIGITS / "5.png", code=1)
    np.save(tmp_path / "f.npy", np.asfortranarray(np.ones((2, 3))))
    assert "column order" in hearth(node, "infer", "digits", tmp_path / "f.npy", code=1)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:200])
    assert "its shape says" in hearth(node, "infer", "digits", tmp_path / "cut.npy", code=1)


def test_import_of_a_file(serve, tmp_path):
    d = serve()
    assert "version 3" in hearth(d, "import", "--name=it", "--version=3", DIGITS / "model.onnx")
    assert d.get("/v2/models/it/versions/3/ready")[0] == 200
    assert "digits, version 1" in hearth(d, "import", DIGITS / "model.onnx")
    assert "is this an ONNX file" in hearth(d, "import", DIGITS / "labels.txt", code=1)
    assert "cannot read" in hearth(d, "import", tmp_path / "nope.onnx", code=1)
    assert sorted(p.name for p in d.models.iterdir()) == ["digits", "it"]


def test_without_hearthd_it_says_what_to_do(tmp_path):
    assert "there is no hearthd at unix:/nonexistent: start it" in hearth(None, "status", code=1)
    assert "missing argument" in hearth(None, "load", code=2)
    assert "unknown option" in hearth(None, "status", "--nope", code=2)
    assert "needs a terminal" in hearth(None, "top", code=2)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_top_in_a_terminal(serve, tmp_path):
    d = serve({"digits": DIGITS / "model.onnx"})
    d.get("/v2/models/digits")
    tmux = ["tmux", "-u", "-S", str(tmp_path / "tmux")]
    env = os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh"}

    def screen():
        return subprocess.run(tmux + ["capture-pane", "-p"], capture_output=True, text=True,
                              env=env).stdout

    def until(what):
        end = time.monotonic() + 20
        while not what(screen()):
            assert time.monotonic() < end, screen()
            time.sleep(0.1)

    command = f"{BUILD / 'hearth'} top --socket={d.admin_socket}; echo over $?; exec sh"
    r = subprocess.run(tmux + ["new-session", "-d", "-x", "80", "-y", "24", command], env=env,
                       capture_output=True, text=True)
    if r.returncode != 0:
        assert not os.path.exists("/dev/pts/ptmx"), r.stderr
        pytest.skip(f"no terminals on this machine: {r.stderr.strip()}")
    try:
        until(lambda s: "requests/s" in s and "cpu:0" in s and "digits" in s)
        assert all(len(line) <= 80 for line in screen().splitlines())
        subprocess.run(tmux + ["resize-window", "-x", "120", "-y", "40"], check=True,
                       env=env)
        until(lambda s: "[" + " " * 40 + "]" in s or "|" in s)
        d.stop()
        until(lambda s: "trying again each second" in s)
        d.start()
        until(lambda s: "requests/s" in s)
        subprocess.run(tmux + ["send-keys", "q"], check=True, env=env)
        until(lambda s: "over 0" in s and "requests/s" not in s)
    finally:
        subprocess.run(tmux + ["kill-server"], env=env)
