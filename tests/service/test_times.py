"""Times that a caller meets: nothing else may run beside these tests."""

import json
import socket
import struct
import threading
import time

import pytest

from conftest import SAMPLE, SLOWNESS, as_image, chunk, png_header

pytestmark = pytest.mark.usefixtures("healthy")


def test_it_listens_at_once_and_is_ready_soon(serve):
    started = time.monotonic()
    server = serve(wait_ready=False)
    listening = time.monotonic() - started
    early = server.get("/readyz")
    assert early.status in (200, 503)
    assert server.get("/healthz").status == 200
    server.wait_ready()
    assert listening < 1 * SLOWNESS
    assert time.monotonic() - started < 5 * SLOWNESS


def jpeg_header(width, height):
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\x00\x11\x08"
        + struct.pack(">HH", height, width)
        + b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xda"
    )


def webp_header(width, height):
    body = struct.pack("<I", 0)[:4] + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    data = b"WEBPVP8X" + struct.pack("<I", 10) + body
    return b"RIFF" + struct.pack("<I", len(data)) + data


def tiff_header(width, height):
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 200),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, 100),
    ]
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(entries))
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + b"\0" * 300
    )


BOMBS = {
    "png": png_header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"x" * 900),
    "jpeg": jpeg_header(65535, 65535) + b"\0" * 900,
    "webp": webp_header(1 << 24, 1 << 24) + b"\0" * 900,
    "tiff": tiff_header(2**32 - 1, 2**32 - 1),
}


def send(server, data):
    return server.request("POST", "/v1/detect?items=pants", data, {"Content-Type": "image/jpeg"})


@pytest.mark.parametrize("kind", BOMBS)
def test_pixel_bombs(server, kind):
    send(server, BOMBS[kind])  # the first request may bring in a library
    before = server.resident_bytes()
    for _ in range(10):
        answer = send(server, BOMBS[kind])
        assert answer.code in ("limit_exceeded", "corrupt_image", "unsupported_image"), answer
        assert answer.seconds < 0.05 * SLOWNESS
    assert server.resident_bytes() - before < 8_000_000


def test_overload_is_refused_at_once_with_a_time_to_come_back(serve):
    server = serve(max_queued=2)
    server.detect(SAMPLE)
    outcomes = []

    def ask():
        outcomes.append(
            server.request("POST", "/v1/detect?items=dress", SAMPLE, {"Content-Type": "image/jpeg"})
        )

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = [answer for answer in outcomes if answer.status == 200 and answer.code is None]
    refused = [answer for answer in outcomes if answer.status == 429]
    assert len(answered) + len(refused) == 24, outcomes
    assert answered and refused
    quick = sorted(answer.seconds for answer in refused)
    assert quick[len(quick) // 2] < 0.25 * SLOWNESS, quick  # 24 clients of one process share its cores too
    assert server.metric("itemcrop_rejected_total") >= len(refused)
    started = time.monotonic()
    assert server.detect(SAMPLE).status == 200
    assert time.monotonic() - started < 5 * SLOWNESS, "no recovery"


def test_work_of_clients_who_left_is_dropped(serve):
    server = serve(max_queued=64)
    server.detect(SAMPLE)
    started = time.monotonic()
    server.detect(SAMPLE)
    one = time.monotonic() - started
    body = json.dumps({"image": as_image(SAMPLE), "items": ["dress"]}).encode()
    head = (
        b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    left = []
    for _ in range(30):
        connection = socket.create_connection((server.host, server.port), timeout=10)
        connection.sendall(head + body)
        left.append(connection)
    time.sleep(0.2)
    for connection in left:
        connection.close()
    started = time.monotonic()
    assert server.detect(SAMPLE).status == 200
    assert time.monotonic() - started < 12 * one + 1, "it works for nobody"
