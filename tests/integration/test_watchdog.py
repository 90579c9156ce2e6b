# SPDX-License-Identifier: Apache-2.0
"""hearth-watchdog is a drop-in: what of-watchdog promises, in mode=model."""
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from conftest import BUILD, DIGITS, Watchdog, free_port

SEVEN = (DIGITS / "7.png").read_bytes()


def slow_sim(run="300ms", **more):
    return {"devices": f"sim:run={run}", "hearth_yaml": DIGITS / "hearth.yaml", **more}


def run_once(**env):
    """Runs a watchdog that is expected to end by itself."""
    full = {"PATH": os.environ["PATH"], "HEARTH_PLUGIN_DIR": str(BUILD / ".libs"),
            "port": str(free_port()), "metrics_port": str(free_port())}
    full |= {k: str(v) for k, v in env.items()}
    return subprocess.run([BUILD / "hearth-watchdog"], env=full, capture_output=True, text=True, timeout=60)


def test_health_and_ready_paths(digits):
    assert digits.get("/_/health").status == 200
    assert digits.get("/_/ready").status == 200
    assert digits.request("POST", "/_/health", b"").status in (404, 405)


def test_ready_only_after_the_model_answered(start):
    dog = start(wait=False, **slow_sim(run="1s"))
    seen = []
    end = time.monotonic() + 30
    while time.monotonic() < end and (not seen or seen[-1] != 200):
        try:
            seen.append(dog.get("/_/ready").status)
        except OSError:
            pass
        time.sleep(0.02)
    assert seen[-1] == 200 and 503 in seen, seen


def test_metrics_have_of_watchdogs_names(digits):
    digits.post(SEVEN)
    digits.post(b"nonsense")
    m = digits.metrics()
    assert m['http_requests_total{code="200",method="post"}'] >= 1
    assert m['http_requests_total{code="415",method="post"}'] >= 1
    assert m['http_request_duration_seconds_count{code="200",method="post"}'] >= 1
    assert m["http_requests_in_flight"] == 0


def test_every_byte_of_the_device_has_an_owner(digits):
    digits.post(SEVEN)
    m = digits.metrics()
    used = m['hearth_device_used_bytes{device="cpu:0"}']
    assert m['hearth_model_bytes{device="cpu:0",model="digits"}'] > 150000
    assert used == sum(v for k, v in m.items() if k.startswith(("hearth_device_bytes", "hearth_model_bytes")))
    assert used <= m['hearth_device_limit_bytes{device="cpu:0"}']


@pytest.mark.parametrize("header", ["X-Request-Id", "X-Call-Id"])
def test_the_callers_id_comes_back(digits, header):
    assert digits.post(SEVEN, {header: "abc-123"}).headers["X-Request-Id"] == "abc-123"
    made = {digits.post(SEVEN).headers["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3


def test_too_many_in_flight_get_429_with_retry_after(start):
    dog = start(max_inflight=1, **slow_sim(run="1500ms"))
    answers = []
    first = threading.Thread(target=lambda: answers.append(dog.post(SEVEN)))
    first.start()
    end = time.monotonic() + 10
    while dog.metrics()["http_requests_in_flight"] < 1 and time.monotonic() < end:
        time.sleep(0.01)
    refused = dog.post(SEVEN)
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    first.join()
    assert answers[0].status == 200
    assert dog.post(SEVEN).status == 200


def test_the_lock_file_is_there_while_it_serves(start):
    dog = start(hearth_yaml=DIGITS / "hearth.yaml")
    lock = dog.tmp / ".lock"
    assert lock.exists()
    dog.terminate()
    dog.process.wait(30)
    assert not lock.exists()


def test_sigterm_lets_what_runs_finish(start):
    dog = start(**slow_sim(run="1s"))
    answers = []
    worker = threading.Thread(target=lambda: answers.append(dog.post(SEVEN)))
    worker.start()
    end = time.monotonic() + 10
    while dog.metrics()["http_requests_in_flight"] < 1 and time.monotonic() < end:
        time.sleep(0.01)
    dog.terminate()
    worker.join()
    assert answers[0].status == 200
    assert dog.process.wait(30) == 0


@pytest.mark.parametrize("mode", ["http", "streaming", "serializing", "static", "inproc", "nosuch"])
def test_other_modes_are_refused_by_name(mode):
    result = run_once(mode=mode, hearth_yaml=DIGITS / "hearth.yaml", fprocess="cat")
    assert result.returncode != 0
    assert mode in result.stderr


def test_a_taken_port_is_told():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        result = run_once(mode="model", hearth_yaml=DIGITS / "hearth.yaml", port=port)
    assert result.returncode != 0 and str(port) in result.stderr


def test_help_and_version_tell_what_was_built():
    for program in ("hearth-watchdog", "hearth"):
        for flag in (["--help"], ["--version"], ["--version", "-v"]):
            result = subprocess.run([BUILD / program, *flag], capture_output=True, text=True, timeout=20)
            assert result.returncode == 0, (program, flag, result.stderr)
            # of-watchdog writes its version to stderr, and so does its stand-in.
            text = result.stdout + result.stderr
            assert text
        assert "cpu" in text and "sim" in text


def test_try_and_inspect():
    result = subprocess.run([BUILD / "hearth", "try", DIGITS / "hearth.yaml", DIGITS / "3.png"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stdout.split()[0] == "3"
    result = subprocess.run([BUILD / "hearth", "inspect", "--json", DIGITS / "model.onnx"],
                            capture_output=True, text=True, timeout=60)
    report = json.loads(result.stdout)
    assert report["operators"]["Conv"] == 2 and report["parameters"] == 38282
    assert report["devices"][0]["takes"] is True
    result = subprocess.run([BUILD / "hearth", "nosuch"], capture_output=True, text=True, timeout=20)
    assert result.returncode == 2 and "nosuch" in result.stderr


def test_the_real_of_watchdog_agrees_on_the_contract(tmp_path):
    peer = os.environ.get("HEARTH_OF_WATCHDOG")
    if not peer:
        pytest.skip("of-watchdog: set HEARTH_OF_WATCHDOG to its binary")
    port = free_port()
    with socket.socket() as s:  # of-watchdog 0.11.6 takes no other
        if s.connect_ex(("127.0.0.1", 8081)) == 0:
            pytest.skip("of-watchdog: its metrics port 8081 is taken")
    env = {"PATH": os.environ["PATH"], "mode": "streaming", "fprocess": "cat", "port": str(port),
           "healthcheck_interval": "0s", "max_inflight": "1", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([peer], env=env, stderr=subprocess.DEVNULL)
    ours = Watchdog(tmp_path, hearth_yaml=DIGITS / "hearth.yaml", max_inflight=1)
    theirs = Watchdog.__new__(Watchdog)
    theirs.port, theirs.metrics_port, theirs.process, theirs.log_path = port, 8081, process, ours.log_path
    try:
        theirs.wait_ready()
        for path in ("/_/health", "/_/ready"):
            a, b = ours.get(path), theirs.get(path)
            assert (a.status, a.body) == (b.status, b.body), path
        assert theirs.post(b"x").status == ours.post(SEVEN).status == 200
        families = [{line.split()[2] for line in dog.get("/metrics", port=dog.metrics_port).text.splitlines()
                     if line.startswith("# TYPE http_")} for dog in (ours, theirs)]
        assert families[1] <= families[0]
    finally:
        process.kill()  # on SIGTERM it waits for more than its requests
        process.wait(30)
        ours.stop()
