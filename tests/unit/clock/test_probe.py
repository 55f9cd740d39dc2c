"""The probe port, over real sockets: who says nothing, or opens many connections, takes nothing from the process."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from scheduling.probe import ProbeServer
from tests.waiting import wait_until

READING_TIME = 0.5
MOST = 8


def serving(*, reading_time: float) -> Iterator[ProbeServer]:
    server = ProbeServer(
        host="127.0.0.1", port=0, readiness=lambda: (True, {}), reading_time=reading_time, most_connections=MOST
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def probe() -> Iterator[ProbeServer]:
    yield from serving(reading_time=READING_TIME)


@pytest.fixture
def patient() -> Iterator[ProbeServer]:
    """For requests that a busy machine may send late."""
    yield from serving(reading_time=10)


def connect(probe: ProbeServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", probe.port), timeout=10)


def status(probe: ProbeServer, path: str = "/livez") -> int:
    client = http.client.HTTPConnection("127.0.0.1", probe.port, timeout=10)
    client.request("GET", path)
    try:
        return client.getresponse().status
    finally:
        client.close()


def is_closed(connection: socket.socket) -> bool:
    """True once the other side has closed it; a connection that is open has nothing to read."""
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_it_answers(patient: ProbeServer) -> None:
    assert [status(patient, path) for path in ("/livez", "/readyz", "/metrics", "/other")] == [200, 200, 200, 404]


def test_a_connection_that_says_nothing_is_closed_in_time(probe: ProbeServer) -> None:
    began = time.monotonic()
    silent = connect(probe)

    wait_until(lambda: is_closed(silent), timeout=10, what="the silent connection to be closed")

    assert READING_TIME * 0.9 <= time.monotonic() - began < 5
    wait_until(lambda: threads() == 0, what="its thread to end")
    silent.close()


def test_a_connection_that_says_a_byte_now_and_then_has_no_more_time(probe: ProbeServer) -> None:
    slow = connect(probe)
    began = time.monotonic()

    def is_cut_off() -> bool:
        try:
            slow.send(b"G")
        except ConnectionError:
            return True
        return is_closed(slow)

    wait_until(is_cut_off, timeout=10, what="the slow connection to be closed")

    assert time.monotonic() - began < 5
    slow.close()


def test_many_idle_connections_hold_up_no_probe_and_hold_no_more_than_their_bound(probe: ProbeServer) -> None:
    idle = []
    for _ in range(60):
        idle.append(connect(probe))
        assert probe.connections <= MOST
    began = time.monotonic()

    assert status(probe, "/readyz") == 200

    assert time.monotonic() - began < 5
    assert threads() <= MOST
    assert [is_closed(each) for each in idle[: 60 - MOST]] == [True] * (60 - MOST)
    for each in idle:
        each.close()
    wait_until(lambda: probe.connections == 0, what="all connections to be given back")


def test_one_who_does_not_read_the_answer_is_cut_off(probe: ProbeServer) -> None:
    rude = connect(probe)
    rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    rude.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")

    wait_until(lambda: probe.connections == 0, timeout=10, what="the connection to be given back")
    rude.close()
