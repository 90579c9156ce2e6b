# SPDX-License-Identifier: Apache-2.0
"""hearth_url: functions of watchdogs run in one hearthd, and survive it."""
import concurrent.futures
import json
import os
import shutil
import subprocess
import threading
import time

import pytest
from conftest import BUILD, DIGITS, WAIT_S

SEVEN = (DIGITS / "7.png").read_bytes()


def label(answer):
    return json.loads(answer.body)["predictions"][0]["label"]


def copy_of(directory, name="fn"):
    shutil.copytree(DIGITS, directory / name)
    return directory / name / "hearth.yaml"


def test_two_functions_with_one_model_share_one_copy(serve, start, tmp_path):
    d = serve()
    dogs = [start(hearth_yaml=copy_of(tmp_path, f"fn{i}"), hearth_url=f"unix:{d.socket}")
            for i in range(2)]
    for dog in dogs:
        for digit in range(10):
            answer = dog.post((DIGITS / f"{digit}.png").read_bytes(), {"X-Request-Id": "mine"})
            assert answer.status == 200 and label(answer) == str(digit)
            assert answer.headers["X-Request-Id"] == "mine"
    status = d.check_books()
    assert len(status["models"]) == 1 and len(status["services"]) == 2
    assert status["devices"][0]["loads"] == 1
    assert status["tenants"][0]["functions"] == 2
    assert status["blobs"]["count"] == 2  # the model and its labels
    # No engine in the watchdog: it holds a fraction of what an embedded one does.
    rss = int(next(l for l in open(f"/proc/{dogs[0].process.pid}/status") if "VmRSS" in l).split()[1])
    assert "asan" in str(BUILD) or rss < 12000


def test_bad_input_is_refused_as_by_an_embedded_engine(serve, start, tmp_path, digits):
    d = serve()
    dog = start(hearth_yaml=copy_of(tmp_path), hearth_url=f"unix:{d.socket}", max_inflight=50)
    for body, headers in ((b"no picture", {}), (b"", {}), (SEVEN[:50], {"Content-Type": "image/png"})):
        a, b = dog.post(body, headers), digits.post(body, headers)
        assert (a.status, a.body) == (b.status, b.body)
    assert dog.post(b"x" * (17 << 20)).status == 413
    assert label(dog.post(SEVEN)) == "7"


def test_over_tcp_with_a_token(serve, start, tmp_path):
    (tmp_path / "token").write_text("sesame")
    d = serve(config=f"tenants: [{{name: t, token_file: {tmp_path}/token, may_load: yes}}]\n")
    yaml = copy_of(tmp_path)
    dog = start(hearth_yaml=yaml, hearth_url=f"http://127.0.0.1:{d.port}",
                hearth_token_file=tmp_path / "token")
    assert label(dog.post(SEVEN)) == "7"
    shut = start(hearth_yaml=yaml, hearth_url=f"http://127.0.0.1:{d.port}", wait=False)
    end = time.monotonic() + WAIT_S
    while "closed over TCP" not in shut.log:
        assert time.monotonic() < end, shut.log
        time.sleep(0.02)
    assert shut.get("/_/ready").status == 503
    assert shut.post(SEVEN).status == 503


def test_a_function_in_a_chroot_hands_its_file_over(serve, start, tmp_path):
    """hearthd's user cannot see the function's files by any path."""
    if os.geteuid() != 0:
        pytest.skip("needs root for chroot")
    d = serve()
    root = tmp_path / "root"
    copy_of(root.parent, "root/app")
    program = BUILD / ".libs/hearth-watchdog"
    program = program if program.exists() else BUILD / "hearth-watchdog"
    libraries = [l.split("=>")[1].split()[0] for l in
                 subprocess.run(["ldd", program], capture_output=True, text=True).stdout.splitlines()
                 if "=> /" in l]
    loader = next(l.split()[0] for l in
                  subprocess.run(["ldd", program], capture_output=True, text=True).stdout.splitlines()
                  if "ld-linux" in l)
    for source in libraries + [loader, str(program)]:
        target = root / source.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    (root / "tmp").mkdir()
    os.link(d.socket, root / "hearth.sock") if os.stat(d.socket).st_dev == os.stat(root).st_dev \
        else pytest.skip("the socket cannot be linked into the root")
    port = __import__("conftest").free_port()
    env = {"mode": "model", "hearth_yaml": "/app/hearth.yaml", "hearth_url": "unix:/hearth.sock",
           "port": str(port), "metrics_port": "-1", "healthcheck_interval": "0s"}
    log = open(tmp_path / "log", "wb")
    child = subprocess.Popen(["chroot", root, str(program)], env=env | {"PATH": os.environ["PATH"]},
                             stderr=log, stdout=log)
    try:
        import urllib.request
        end = time.monotonic() + WAIT_S
        while True:
            assert child.poll() is None, (tmp_path / "log").read_text()
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/", SEVEN,
                                                 {"Content-Type": "image/png"})
                with urllib.request.urlopen(request) as r:
                    assert json.loads(r.read())["predictions"][0]["label"] == "7"
                    break
            except OSError:
                assert time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.05)
    finally:
        child.terminate()
        assert child.wait(WAIT_S) == 0


def test_kill_9_costs_what_is_in_flight_and_no_more(serve, start, tmp_path):
    d = serve()
    dogs = [start(hearth_yaml=copy_of(tmp_path, f"fn{i}"), hearth_url=f"unix:{d.socket}",
                  hearth_wait="5s") for i in range(4)]
    stop = threading.Event()
    seen = []

    def client(dog):
        while not stop.is_set():
            answer = dog.post(SEVEN)
            seen.append((time.monotonic(), answer.status))
            assert answer.status in (200, 503), answer.body
            if answer.status == 503:
                assert answer.headers["Retry-After"]
            else:
                assert label(answer) == "7"

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(client, dog) for dog in dogs for _ in range(4)]
        for _ in range(3):
            time.sleep(0.4)
            d.kill()
            time.sleep(0.1)
            d.start()
            back = time.monotonic()
            while not any(t > back and s == 200 for t, s in seen):
                assert time.monotonic() < back + 10
                time.sleep(0.01)
        time.sleep(0.3)
        stop.set()
        for job in jobs:
            job.result()
    failed = sum(s == 503 for _, s in seen)
    assert failed <= 3 * 16  # those in flight at each kill
    assert sum(s == 200 for _, s in seen) > 100


def test_a_hearthd_that_comes_later_is_found(serve, start, tmp_path):
    d = serve()
    d.stop()
    dog = start(hearth_yaml=copy_of(tmp_path), hearth_url=f"unix:{d.socket}", hearth_wait="0s",
                wait=False)
    end = time.monotonic() + WAIT_S
    while "is away: trying again" not in dog.log:
        assert time.monotonic() < end, dog.log
        time.sleep(0.02)
    answer = dog.post(SEVEN)
    assert answer.status == 503 and answer.headers["Retry-After"]
    assert dog.get("/_/ready").status == 503 and dog.get("/_/health").status == 200
    d.start()
    dog.wait_ready()
    assert label(dog.post(SEVEN)) == "7"


def test_wrong_functions_end_the_start_with_a_clear_line(start, tmp_path):
    for url, yaml, said in ((f"ftp://x", copy_of(tmp_path, "a"), "expected unix:/path"),
                            ("unix:/x", tmp_path / "nope/hearth.yaml", "cannot read")):
        dog = start(hearth_yaml=yaml, hearth_url=url, wait=False, expect_exit=1)
        assert dog.process.wait(WAIT_S) == 1 and said in dog.log, dog.log
