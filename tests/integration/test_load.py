# SPDX-License-Identifier: Apache-2.0
"""Many clients at once; clients that leave."""
import concurrent.futures
import json
import time

import pytest
from conftest import DIGITS

SEVEN = (DIGITS / "7.png").read_bytes()


def test_sixteen_clients_at_once_get_their_own_answers(digits):
    bodies = [(d, (DIGITS / f"{d}.png").read_bytes()) for d in range(10)] * 30

    def ask(item):
        digit, body = item
        answer = digits.post(body)
        return answer.status == 200 and json.loads(answer.body)["predictions"][0]["label"] == str(digit)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, bodies))


def wait_idle(dog):
    """The answer is out a moment before its request is counted as over."""
    end = time.monotonic() + 20
    while dog.metrics()["http_requests_in_flight"] > 0:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_clients_that_leave_give_their_place(start):
    dog = start(hearth_yaml=DIGITS / "hearth.yaml", devices="sim:run=200ms", max_inflight=4)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(SEVEN)}\r\n\r\n".encode()
    for _ in range(3):
        sockets = [dog.connect() for _ in range(4)]
        for s in sockets:
            s.sendall(head + SEVEN)
        for s in sockets:
            s.close()
        wait_idle(dog)
        assert dog.post(SEVEN).status == 200
    wait_idle(dog)


@pytest.mark.slow
def test_resident_memory_does_not_grow_with_requests(start):
    dog = start(hearth_yaml=DIGITS / "hearth.yaml")

    def resident():
        return dog.metrics()["process_resident_memory_bytes"]

    for _ in range(500):
        dog.post(SEVEN)
    before = resident()
    for _ in range(3000):
        dog.post(SEVEN)
    assert resident() <= before + (1 << 20)
