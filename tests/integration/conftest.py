# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the built programs, a watchdog with a function, a hearthd with a
repository, models to serve.

HEARTH_BUILD is the build directory ([build/test]). A watchdog under test is the
real program on free ports, stopped by SIGTERM, whose exit code is checked.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HEARTH_BUILD", TOP / "build/test")).resolve()
DIGITS = TOP / "examples/digits"
sys.path.insert(0, str(TOP / "examples/imagenet"))
os.environ["HEARTH_PLUGIN_DIR"] = str(BUILD / ".libs")

WAIT_S = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()


class Watchdog:
    """hearth-watchdog as a child; `env` as a user would set it."""

    def __init__(self, tmp_path, wait=True, expect_exit=0, **env):
        self.port, self.metrics_port = free_port(), free_port()
        self.expect_exit = expect_exit
        self.tmp = tmp_path / f"tmp-{self.port}"
        self.tmp.mkdir()
        self.log_path = self.tmp / "log"
        full = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "HEARTH_PLUGIN_DIR", "ASAN_OPTIONS")}
        full |= {"mode": "model", "port": str(self.port), "metrics_port": str(self.metrics_port),
                 "healthcheck_interval": "0s", "TMPDIR": str(self.tmp)}
        full |= {k: str(v) for k, v in env.items()}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([BUILD / "hearth-watchdog"], env=full, stderr=log, stdout=log)
        if wait:
            self.wait_ready()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_ready(self):
        end = time.monotonic() + WAIT_S
        while True:
            assert self.process.poll() is None, self.log
            try:
                if self.get("/_/ready").status == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < end, "not ready:\n" + self.log
            time.sleep(0.02)

    def request(self, method, path, body=None, headers=None, port=None, timeout=WAIT_S):
        url = f"http://127.0.0.1:{port or self.port}{path}"
        request = urllib.request.Request(url, body, headers or {}, method=method)
        if body is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/octet-stream")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as r:
                return Answer(r.status, r.headers, r.read())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read())

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, body, headers=None, path="/", **kw):
        return self.request("POST", path, body, headers, **kw)

    def metrics(self):
        """{'name{labels}': value}"""
        out = {}
        for line in self.get("/metrics", port=self.metrics_port).text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        return s

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
        code = self.process.wait(WAIT_S)
        assert code == self.expect_exit, self.log


@pytest.fixture
def start(tmp_path):
    """start(**env) -> a running watchdog, stopped and checked at the end."""
    running = []

    def run(**env):
        dog = Watchdog(tmp_path, **env)
        running.append(dog)
        return dog

    yield run
    for dog in running:
        dog.stop()


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """One watchdog with examples/digits for every test that only asks."""
    dog = Watchdog(tmp_path_factory.mktemp("digits"), hearth_yaml=DIGITS / "hearth.yaml")
    yield dog
    dog.stop()


@pytest.fixture
def function(tmp_path):
    """function(model, yaml) -> path of a hearth.yaml in a directory of its own."""
    made = []

    def make(model, yaml):
        directory = tmp_path / f"function-{len(made)}"
        directory.mkdir()
        made.append(directory)
        if isinstance(model, (bytes, bytearray)):
            (directory / "model.onnx").write_bytes(model)
            model = "model.onnx"
        (directory / "hearth.yaml").write_text(f"model: {model}\n{yaml}")
        return directory / "hearth.yaml"

    return make


@pytest.fixture(scope="session")
def resnet18(tmp_path_factory):
    import make_resnet18
    import onnx
    path = tmp_path_factory.mktemp("resnet18") / "resnet18.onnx"
    onnx.save(make_resnet18.resnet18(), path)
    return path


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=WAIT_S)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(self.path)


class Hearthd:
    """hearthd as a child, on free ports, its sockets in its own directory.
    <models>: name -> a file, or a directory of the repository."""

    def __init__(self, directory, models=(), config=None, expect_exit=0, **flags):
        self.dir = directory
        self.dir.mkdir(exist_ok=True)
        self.models = self.dir / "models"
        self.models.mkdir(exist_ok=True)
        self.socket, self.admin_socket = self.dir / "s", self.dir / "a"
        self.port, self.metrics_port = free_port(), free_port()
        self.expect_exit = expect_exit
        self.log_path = self.dir / "log"
        for name, source in dict(models).items():
            self.add(name, source)
        self.args = [str(BUILD / "hearthd"), f"--http-address=127.0.0.1:{self.port}",
                     f"--metrics-address=127.0.0.1:{self.metrics_port}",
                     f"--socket={self.socket}", f"--admin-socket={self.admin_socket}",
                     f"--model-repository={self.models}", f"--state-dir={self.dir / 'state'}"]
        if config is not None:
            self.config = self.dir / "hearthd.yaml"
            self.config.write_text(config)
            self.args.append(f"--config={self.config}")
        self.args += [f"--{k.replace('_', '-')}={v}" for k, v in flags.items()]
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.args, stderr=log, stdout=log)
        end = time.monotonic() + WAIT_S
        while True:
            assert self.process.poll() is None, self.log
            try:
                if self.get("/v2/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < end, "not ready:\n" + self.log
            time.sleep(0.01)

    def add(self, name, source, version=1):
        if pathlib.Path(source).is_dir():
            shutil.copytree(source, self.models / name)
            return
        (self.models / name / str(version)).mkdir(parents=True)
        target = self.models / name / str(version) / "model.onnx"
        shutil.copyfile(source, str(target) + ".part")
        os.rename(str(target) + ".part", target)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, headers=None, door="tcp"):
        """(status, JSON or bytes, headers) by a connection of its own."""
        c = (http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S) if door == "tcp"
             else UnixConnection(self.socket if door == "socket" else self.admin_socket))
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            data = r.read()
            try:
                data = json.loads(data) if data else {}
            except ValueError:
                pass
            return r.status, data, r.headers
        finally:
            c.close()

    def get(self, path, **kw):
        return self.ask("GET", path, **kw)

    def post(self, path, body=None, headers=None, **kw):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        return self.ask("POST", path, body, headers, **kw)

    def status(self):
        return self.get("/v2/hearth/status", door="admin")[1]

    def check_books(self):
        """Used bytes of each device are the sum of their parts."""
        status = self.status()
        for i, device in enumerate(status["devices"]):
            models = sum(p["bytes"] for m in status["models"] for p in m["places"]
                         if p["device"] == i)
            assert device["of_them"]["model_bytes"] == models, status
            assert device["used_bytes"] == sum(device["of_them"].values()), status
            # Plans may grow while a load has more charged than it has taken.
            loading = any(p["state"] == "loading" for m in status["models"]
                          for p in m["places"] if p["device"] == i)
            assert loading or device["used_bytes"] <= device["limit_bytes"], status
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(WAIT_S) == self.expect_exit, self.log


@pytest.fixture
def serve(tmp_path):
    """serve(models, **flags) -> a running hearthd, stopped and checked."""
    running = []

    def run(models=(), **kw):
        running.append(Hearthd(tmp_path / f"hearthd-{len(running)}", models, **kw))
        return running[-1]

    yield run
    for daemon in running:
        daemon.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """One hearthd with digits (as a model and as a function) for tests that only
    ask."""
    daemon = Hearthd(tmp_path_factory.mktemp("node") / "hearthd",
                     {"digits": DIGITS / "model.onnx", "fn": DIGITS})
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def bench_model():
    """bench_model(name) -> its file, made once in the build directory."""
    def make(name):
        directory = BUILD / "bench-models"
        subprocess.run([sys.executable, TOP / "bench/models/make", name, directory], check=True,
                       stdout=subprocess.DEVNULL)
        return directory / f"{name}.onnx"
    return make


def close(a, b):
    """The project's tolerance for f32."""
    import numpy as np
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a.shape == b.shape and bool((np.abs(a - b) <= 1e-4 + 1e-3 * np.abs(b)).all())
