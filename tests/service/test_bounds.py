"""What a request may cost, and that work ends when nobody waits for it."""

import concurrent.futures
import pathlib
import socket
import time

import pytest

from conftest import (
    PLAIN,
    SLOWNESS,
    assert_idle_soon,
    base64_of,
    interlaced_png,
    noise_png,
    png,
    wait_until_busy,
)

# Every query of the model as a crop of the whole image.
EVERYTHING = "items=pants&threshold=0&suppress=false&min_size=10000"
NO_LIMITS = {
    "max_crops": 10**6,
    "max_crop_pixels": 10**12,
    "max_crop_bytes": 10**12,
    "max_response_bytes": 10**12,
}


def crop(server, data, options, **more):
    return server.request("POST", "/v1/crop?" + options, data, {"Content-Type": "image/png"}, **more)


def peak_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak(server):
    pathlib.Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


# ---- crops --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, limit, value",
    [
        ({"max_crops": 3}, "max_crops", "3"),
        ({"max_crop_pixels": 5000}, "max_crop_pixels", "5000"),
        ({"max_crop_bytes": 3000}, "max_crop_bytes", "3000"),
    ],
)
def test_crops_of_a_request_are_bounded_together(serve, settings, limit, value):
    server = serve(**settings)
    got = crop(server, noise_png(64), EVERYTHING + "&format=png&return=base64")
    assert got.status == 413 and got.code == "limit_exceeded"
    message = got.json["error"]["message"]
    assert limit in message and value in message
    assert crop(server, PLAIN, "items=pants&return=base64").status == 200


def test_crops_of_all_images_of_a_request_count_together(serve):
    server = serve(max_crop_pixels=50 * 64 * 48)  # an image has more boxes than a third of this
    body = {
        "images": [{"base64": base64_of(PLAIN)}] * 3,
        "items": ["pants"],
        "threshold": 0,
        "suppress": False,
        "min_size": 10000,
        "count": 20,
        "return": "base64",
    }
    got = server.post("/v1/crop", body)
    assert got.status == 200
    codes = [image["error"] and image["error"]["code"] for image in got.json["images"]]
    assert codes.count(None) == 2 and codes.count("limit_exceeded") == 1


def test_a_hundred_crops_of_a_whole_noise_image_are_refused_before_they_are_made(serve):
    server = serve()
    server.detect()
    server_memory = peak_bytes(server)
    forget_peak(server)
    got = crop(server, noise_png(2236), EVERYTHING + "&format=png&return=base64")
    assert got.status == 413 and "max_crop_pixels" in got.json["error"]["message"]
    assert peak_bytes(server) - server_memory < 400e6


def test_responses_are_bounded_over_all_requests(serve):
    server = serve(max_response_bytes=1_000_000, caller_share=1)
    got = crop(server, noise_png(512), EVERYTHING + "&format=png&return=base64")
    assert got.status == 429 and "max_response_bytes" in got.json["error"]["message"]
    assert crop(server, PLAIN, "items=pants&return=base64").status == 200


# ---- work ends ----------------------------------------------------------------------------


def test_a_deadline_ends_cropping(serve):
    server = serve(**NO_LIMITS)
    options = EVERYTHING + "&format=png&return=base64&deadline_ms=3000"
    got = crop(server, noise_png(2000), options)
    assert got.status == 504 and got.code == "deadline_exceeded"
    assert_idle_soon(server)


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
@pytest.mark.parametrize("next", [b"", b"GET /"], ids=["", "after_a_piece_of_a_next_request"])
def test_a_client_that_leaves_ends_cropping(serve, format, next):
    server = serve(**NO_LIMITS)
    data = noise_png(2000)
    head = (
        f"POST /v1/crop?{EVERYTHING}&format={format}&quality=100&return=base64 HTTP/1.1\r\n"
        f"Host: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(head.encode() + data)
        wait_until_busy(server, 1.5)
        connection.sendall(next)
        time.sleep(0.2)
    assert_idle_soon(server)


# ---- decoding -----------------------------------------------------------------------------


def test_memory_of_decoding_does_not_grow_with_threads(serve):
    image = interlaced_png(5000, 4000)  # 220 MB while it is decoded
    server = serve(work_threads=8, max_decode_bytes=300_000_000, caller_share=1, request_seconds=600)
    server.detect()
    forget_peak(server)
    base = peak_bytes(server)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(crop, server, image, "items=pants&return=base64") for _ in range(6)]
        assert [task.result().status for task in tasks] == [200] * 6
    assert peak_bytes(server) - base < 450e6


def test_an_image_that_needs_more_than_all_memory_for_decoding_is_refused(serve):
    server = serve(max_decode_bytes=100_000_000)
    got = crop(server, interlaced_png(5000, 4000), "items=pants&return=base64")
    assert got.status == 413 and "max_decode_bytes" in got.json["error"]["message"]
    assert crop(server, png(64, 48), "items=pants&return=base64").status == 200


# ---- pools --------------------------------------------------------------------------------


def test_downloads_that_hang_hold_up_nobody_else(serve):
    server = serve(fetch_private=True, fetch_threads=2, fetch_seconds=8)
    with socket.create_server(("127.0.0.1", 0)) as deaf, concurrent.futures.ThreadPoolExecutor(8) as pool:
        deaf.listen(64)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/x.jpg"
        hanging = [
            pool.submit(server.post, "/v1/detect", {"image": {"url": url}, "items": ["pants"]})
            for _ in range(8)
        ]
        time.sleep(1)
        assert server.get("/metrics").seconds < 1 * SLOWNESS
        assert server.get("/v1/jobs/job_" + "0" * 32).seconds < 1 * SLOWNESS
        assert server.get("/files/a/b.jpg").seconds < 1 * SLOWNESS
        stored = server.request(
            "POST", "/v1/crop?items=pants&threshold=0&count=1", PLAIN, {"Content-Type": "image/png"}
        )
        assert stored.status == 200 and stored.seconds < 5 * SLOWNESS
        assert stored.json["images"][0]["detections"][0]["crop"]["url"]
        for task in hanging:
            assert task.result().status == 504
