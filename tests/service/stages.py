"""Work ends when nobody waits for it and at SIGTERM, whatever stage of a request it is in.

Run by hand on an idle machine, with ITEMCROP_BIN: python3 -m pytest tests/service/stages.py. Beside other
tests some of its stages have not been reached in time.
"""

import contextlib
import json
import signal
import socket
import threading
import time

import pytest

from conftest import (
    PLAIN,
    SAMPLE,
    SLOWNESS,
    as_image,
    assert_idle_soon,
    base64_of,
    cpu_seconds,
    interlaced_png,
    noise_png,
)

# A dozen crops of the whole image.
EVERYTHING = "items=pants&threshold=0&suppress=false&min_size=10000&count=12"
LIMITS = {
    "max_crops": 10**6,
    "max_crop_pixels": 10**12,
    "max_crop_bytes": 10**12,
    "max_response_bytes": 10**12,
    "caller_share": 1,
}
NOISE = noise_png(1500)


class Listener:
    """A server that answers nothing once it `hangs`, and knows when its clients leave."""

    def __init__(self, hangs=True):
        self.hangs = hangs
        self.arrived, self.left = threading.Event(), threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.socket.accept()[0],), daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(OSError):
            hangs = self.hangs
            if not hangs:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            self.arrived.set()
            while client.recv(1 << 20):
                pass
            self.left.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def json_request(path, value):
    return path, json.dumps(value).encode(), "application/json"


def raw_request(options, data=NOISE):
    return "/v1/crop?" + options, data, "image/png"


# What takes long, by the stage where it does.
LONG = {
    "parse": lambda: ("/v1/detect", b'{"x": ["' + b'\\u00e9\\"' * 7_000_000 + b'"]}', "application/json"),
    "base64": lambda: json_request("/v1/detect", {"image": {"base64": base64_of(bytes(45_000_000))}}),
    "decode": lambda: raw_request("items=pants", interlaced_png(5000, 4000)),
    "passes": lambda: json_request(
        "/v1/detect",
        {"image": as_image(SAMPLE), "items": [f"garment number {at} of very many" for at in range(100)]},
    ),
    "crop_png": lambda: raw_request(EVERYTHING + "&format=png&return=base64"),
    "crop_jpeg": lambda: raw_request(EVERYTHING + "&format=jpeg&quality=100&return=base64"),
    "crop_webp": lambda: raw_request(EVERYTHING + "&format=webp&quality=100&return=base64"),
    "zip": lambda: raw_request(EVERYTHING + "&format=png&return=zip"),
    "store": lambda: raw_request(EVERYTHING + "&format=png&return=url"),
}


def send(server, request):
    """A connection on which a whole request was sent."""
    path, body, kind = request
    connection = socket.create_connection((server.host, server.port), timeout=120 * SLOWNESS)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def wait_for_cpu(server, begin, seconds, connection):
    """Until it has used so much processor time since `begin`; false if it answered before."""
    end = time.monotonic() + 120 * SLOWNESS
    connection.setblocking(False)
    while cpu_seconds(server) - begin < seconds:
        with contextlib.suppress(BlockingIOError):
            connection.recv(1, socket.MSG_PEEK)
            return False
        assert time.monotonic() < end, "there is no work to leave"
        time.sleep(0.002)
    return True


@pytest.mark.parametrize("stage", LONG)
def test_work_ends_when_its_client_leaves(serve, stage):
    """Clients leave after all parts of what the request costs, so in all of its stages."""
    server = serve(threads=1, request_seconds=600, max_image_bytes=60_000_000, **LIMITS)
    server.detect()
    request = LONG[stage]()
    begin = cpu_seconds(server)
    with send(server, request) as connection:
        connection.recv(1)
    whole = cpu_seconds(server) - begin
    left_early = 0
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        begin = cpu_seconds(server)
        with send(server, request) as connection:
            left_early += wait_for_cpu(server, begin, part * min(whole, 10), connection)
        assert_idle_soon(server)
    assert left_early >= 2, whole
    assert server.detect().status == 200


def test_a_download_ends_when_its_client_leaves(serve):
    server = serve(fetch_private=True, fetch_seconds=600, request_seconds=600)
    with Listener() as photos:
        request = json_request("/v1/detect", {"image": {"url": photos.url + "/a.jpg"}, "items": ["pants"]})
        with send(server, request):
            assert photos.arrived.wait(20 * SLOWNESS)
        assert photos.left.wait(0.2 * SLOWNESS + 0.5)
    assert_idle_soon(server)


@pytest.fixture
def bucket():
    """S3 that takes what the service asks at its start, and hangs from then on."""
    with Listener(hangs=False) as running:
        yield running


def serve_with(serve, bucket, **settings):
    server = serve(
        store="s3",
        s3_endpoint=bucket.url,
        s3_bucket="crops",
        s3_access_key="key",
        s3_secret_key="secret",
        s3_try_seconds=600,
        files_check_seconds=3600,
        request_seconds=600,
        **settings,
    )
    time.sleep(0.5)  # the first look at the bucket is over
    bucket.hangs = True
    return server


STORED = raw_request("items=pants&threshold=0&count=1", PLAIN)


def test_storing_ends_when_its_client_leaves(serve, bucket):
    server = serve_with(serve, bucket)
    with send(server, STORED):
        assert bucket.arrived.wait(60 * SLOWNESS)
    assert bucket.left.wait(0.2 * SLOWNESS + 0.5)
    assert_idle_soon(server)


# ---- SIGTERM ------------------------------------------------------------------------------

DRAIN = 2


def assert_ends_in_time(server):
    server.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    server.process.wait(60 * SLOWNESS)
    assert time.monotonic() - started < DRAIN + 1 * SLOWNESS


@pytest.mark.parametrize("stage", LONG)
def test_sigterm_ends_in_time(serve, stage):
    server = serve(threads=1, drain_seconds=DRAIN, request_seconds=600, **LIMITS)
    request = LONG[stage]()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(send(server, request))
        time.sleep(0.2)
        assert_ends_in_time(server)


@pytest.mark.parametrize("stage", ["head", "body", "fetch", "store", "read", "events"])
def test_sigterm_ends_in_time_while_others_are_waited_for(serve, bucket, stage):
    server = serve_with(serve, bucket, drain_seconds=DRAIN, fetch_private=True, fetch_seconds=600)
    with contextlib.ExitStack() as stack:
        if stage == "head":
            for _ in range(10):
                waiting = socket.create_connection((server.host, server.port))
                stack.enter_context(waiting).sendall(b"GET / HTTP/1.1\r\nHost: loc")
        elif stage == "body":
            for _ in range(10):
                path, body, kind = json_request("/v1/detect", {"image": as_image(SAMPLE)})
                waiting = stack.enter_context(socket.create_connection((server.host, server.port)))
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                waiting.sendall(head.encode() + b"Content-Length: 1000000\r\n\r\n" + body[:1000])
        elif stage == "fetch":
            photos = stack.enter_context(Listener())
            value = {"image": {"url": photos.url + "/a.jpg"}, "items": ["pants"]}
            stack.enter_context(send(server, json_request("/v1/detect", value)))
            assert photos.arrived.wait(20 * SLOWNESS)
        elif stage == "store":
            stack.enter_context(send(server, STORED))
            assert bucket.arrived.wait(60 * SLOWNESS)
        else:
            photos = stack.enter_context(Listener())
            value = {"images": [{"url": photos.url + "/a.jpg"}], "items": ["pants"]}
            job = server.post("/v1/jobs", value).json["id"]
            path = f"/v1/jobs/{job}/events" if stage == "events" else "/metrics"
            for _ in range(20):
                reader = stack.enter_context(socket.create_connection((server.host, server.port)))
                reader.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert photos.arrived.wait(20 * SLOWNESS)
        assert_ends_in_time(server)
