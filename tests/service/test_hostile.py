"""What hostile callers try at the edge of the service, and that honest ones are answered meanwhile."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from conftest import BINARY, PLAIN, SAMPLE, SLOWNESS, Server, as_image, base64_of, noise_png


def connect(server):
    return socket.create_connection((server.host, server.port), timeout=20)


def head_of(server, path, length, kind="application/json"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


# ---- slow bodies --------------------------------------------------------------------------


@pytest.mark.parametrize("path, length", [("/v1/crop", 5000), ("/v1/jobs", 60_000_000)])
def test_slow_bodies_lock_nobody_out(serve, path, length):
    """64 connections that send a head and a byte: whoever sends a whole request is answered."""
    server = serve()
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            slow = stack.enter_context(connect(server))
            slow.sendall(head_of(server, path, length) + b"{")
        time.sleep(0.3 * SLOWNESS)
        statuses = [server.detect().status for _ in range(5)]
        statuses.append(server.post("/v1/jobs", {"images": [as_image(PLAIN)], "items": ["pants"]}).status)
    assert statuses == [200] * 5 + [202]


def test_a_body_below_the_least_rate_ends(serve):
    server = serve(min_bytes_per_second=1000, body_seconds=600)
    started = time.monotonic()
    with connect(server) as slow:
        slow.sendall(head_of(server, "/v1/detect", 1_000_000))
        slow.settimeout(1)
        got = b""
        while time.monotonic() - started < 60 * SLOWNESS:
            with contextlib.suppress(socket.timeout):
                got = slow.recv(65536)
                break
            slow.sendall(b" ")
    assert got.startswith(b"HTTP/1.1 408"), got[:200]
    assert time.monotonic() - started < 12 * SLOWNESS


def test_a_slow_body_above_the_least_rate_is_taken(serve):
    server = serve(min_bytes_per_second=10)
    body = json.dumps({"image": as_image(PLAIN), "items": ["pants"]}).encode()
    with connect(server) as slow:
        slow.sendall(head_of(server, "/v1/detect", len(body)))
        for at in range(8):
            slow.sendall(body[at * len(body) // 8 : (at + 1) * len(body) // 8])
            time.sleep(1)
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")


def test_bodies_are_charged_as_they_come_and_the_limit_is_named(serve):
    server = serve(max_buffered_bytes=2_000_000, caller_share=1)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            held = stack.enter_context(connect(server))
            held.sendall(head_of(server, "/v1/jobs", 3_000_000) + b" " * 900_000)
        time.sleep(0.5 * SLOWNESS)
        assert server.detect().status == 200  # announced are 6 MB, held 1.8
        refused = server.post("/v1/jobs", b" " * 500_000)
        assert refused.status == 429 and "max_buffered_bytes" in refused.json["detail"], refused
        assert "2000000" in refused.json["detail"]
    assert server.metric("itemcrop_rejected_total", reason="bytes_full") >= 1


def test_one_caller_cannot_take_every_connection(serve):
    server = serve(max_connections=40, caller_share=0.5)
    with contextlib.ExitStack() as stack:
        mine = [stack.enter_context(connect(server)) for _ in range(60)]
        time.sleep(0.5 * SLOWNESS)
        # Another address of this machine is another caller.
        other = stack.enter_context(
            socket.create_connection((server.host, server.port), timeout=20, source_address=("127.0.0.2", 0))
        )
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 200")
        assert len(mine) == 60


def test_downloads_wait_for_room_until_their_deadline(serve, photos):
    """A file counts as max_image_bytes until its size is known; what waits ends with its deadline."""
    server = serve(fetch_private=True, max_download_bytes=20_000_000, caller_share=1)

    def slow(stream):
        for _ in range(40):
            stream.write(b"\xff")
            stream.flush()
            time.sleep(0.2)

    photos.pages["/slow-download.jpg"] = (200, {"Content-Type": "image/jpeg"}, slow)
    quick = {"image": {"url": photos.url("/plain.png")}, "items": ["pants"]}
    assert server.post("/v1/detect", quick).code is None
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            server.post,
            "/v1/detect",
            {"image": {"url": photos.url("/slow-download.jpg")}, "items": ["pants"]},
        )
        time.sleep(1 * SLOWNESS)
        waits = server.post("/v1/detect", {**quick, "deadline_ms": 1000})
        assert waits.status == 504 and waits.seconds < 4 * SLOWNESS, waits
        assert first.result().status >= 400
    assert server.post("/v1/detect", quick).code is None


# ---- slow readers -------------------------------------------------------------------------


def test_slow_readers_of_a_crop_hold_little_memory(serve):
    """100 readers of a file of 15 MB that take nothing: it is not read into memory for each."""
    server = serve(write_seconds=60)
    folder = server.folder / "data" / "files" / "big"
    folder.mkdir(parents=True)
    (folder / "crop.jpg").write_bytes(os.urandom(15_000_000))
    assert server.get("/files/big/crop.jpg").body == (folder / "crop.jpg").read_bytes()
    before = server.resident_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((server.host, server.port))
            stack.enter_context(reader)
            reader.sendall(b"GET /files/big/crop.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2 * SLOWNESS)
        grown = server.resident_bytes() - before
        assert server.get("/healthz").status == 200
    assert grown < 60_000_000, grown


def test_readers_beyond_the_budget_are_refused_by_name(serve):
    server = serve(max_stream_bytes=262_144, caller_share=1)
    folder = server.folder / "data" / "files" / "big"
    folder.mkdir(parents=True)
    (folder / "crop.jpg").write_bytes(os.urandom(15_000_000))
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            reader = stack.enter_context(connect(server))
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.sendall(b"GET /files/big/crop.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5 * SLOWNESS)
        refused = server.get("/files/big/crop.jpg")
    assert refused.status == 429 and "max_stream_bytes" in refused.json["detail"]


def finished_job(server, value):
    job = server.post("/v1/jobs", value).json
    end = time.monotonic() + 120 * SLOWNESS
    while job["status"] != "done":
        assert time.monotonic() < end, job
        time.sleep(0.1)
        job = server.get("/v1/jobs/" + job["id"] + "?limit=1").json
    return job


def test_slow_readers_of_jobs_are_refused_by_name(serve):
    """Results of a job hold crops: what readers make the service keep is bounded."""
    server = serve(max_response_bytes=30_000_000, caller_share=1)
    everything = {"items": ["pants"], "threshold": 0, "suppress": False, "min_size": 10000, "count": 1}
    job = finished_job(
        server, {"images": [as_image(noise_png(1400))], "format": "png", "return": "base64", **everything}
    )
    path = f"/v1/jobs/{job['id']}"
    assert len(server.get(path).json["results"]) == 1
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((server.host, server.port))
            stack.enter_context(reader)
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(1 * SLOWNESS)
        refused = server.get(path)
    assert refused.status == 429 and "max_response_bytes" in refused.json["detail"], refused


def test_slow_readers_of_responses_are_counted_until_they_have_read(serve):
    server = serve(max_response_bytes=30_000_000, caller_share=1)
    data = noise_png(1400)
    query = "/v1/crop?items=pants&threshold=0&suppress=false&min_size=10000&count=1&format=png&return=base64"
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((server.host, server.port))
        reader.sendall(head_of(server, query, len(data), "image/png") + data)
        reader.settimeout(60 * SLOWNESS)
        assert reader.recv(1, socket.MSG_PEEK)
        refused = server.request("POST", query, data, {"Content-Type": "image/png"})
        assert refused.status == 429 and "max_response_bytes" in refused.json["detail"], refused
    time.sleep(0.5 * SLOWNESS)
    assert server.request("POST", query, data, {"Content-Type": "image/png"}).status == 200


def test_events_from_a_number_that_is_none(serve):
    server = serve()
    job = finished_job(server, {"images": [as_image(PLAIN)], "items": ["pants"]})
    for last in ["-5", "x", "99999999999999999999"]:
        events = server.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": last})
        assert events.status == 200 and b"event: done" in events.body, (last, events)


def test_a_reader_below_the_least_rate_is_left(serve):
    server = serve(write_seconds=1, min_bytes_per_second=10_000_000)
    folder = server.folder / "data" / "files" / "big"
    folder.mkdir(parents=True)
    (folder / "crop.jpg").write_bytes(os.urandom(30_000_000))
    with connect(server) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(b"GET /files/big/crop.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got, end = 0, time.monotonic() + 60 * SLOWNESS
        with contextlib.suppress(ConnectionResetError):
            while part := reader.recv(100_000):
                got += len(part)
                time.sleep(0.1)
                assert time.monotonic() < end, "it is still sending"
    assert got < 30_000_000


def test_a_file_keeps_its_connection(serve):
    server = serve()
    folder = server.folder / "data" / "files" / "a"
    folder.mkdir(parents=True)
    (folder / "crop.png").write_bytes(PLAIN)
    request = b"GET /files/a/crop.png HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers, closed = server.raw(request * 2)
    assert [answer.body for answer in answers] == [PLAIN, PLAIN] and not closed


# ---- browsers -----------------------------------------------------------------------------

EVIL = {"Origin": "https://evil.example"}
FORM = "multipart/form-data; boundary=B"


def form():
    parts = [b'name="items"\r\n\r\npants', b'name="image"; filename="a.png"\r\n\r\n' + PLAIN]
    return (
        b"".join(b"--B\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--B--\r\n"
    )


def simple_requests():
    """What a page may send to any address without asking first."""
    body = json.dumps({"image": as_image(PLAIN), "items": ["pants"]}).encode()
    old = json.dumps({"imageUrl": "http://127.0.0.1:1/a.png", "categories": ["tops"]}).encode()
    jobs = json.dumps({"images": [as_image(PLAIN)], "items": ["pants"]}).encode()
    for kind in ["text/plain", "application/x-www-form-urlencoded", None]:
        yield "/v1/crop", body, kind
        yield "/v1/jobs", jobs, kind
        yield "/crop", old, kind
        yield "/analyze", old, kind
    yield "/v1/crop", form(), FORM
    yield "/v1/detect?items=pants", PLAIN, "image/png"


@pytest.mark.parametrize("page", [EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
def test_pages_of_other_sites_change_and_learn_nothing(server, healthy, page):
    for path, body, kind in simple_requests():
        headers = {**page, **({"Content-Type": kind} if kind else {})}
        answer = server.request("POST", path, body, headers)
        assert answer.status == 403, (path, kind, answer)
        assert "access-control-allow-origin" not in answer.headers
    for path in ["/metrics", "/v1/models", "/v1/jobs/x", "/v1/jobs/x/events"]:
        assert server.get(path, headers=page).status == 403, path
    for path in ["/", "/debug", "/readyz", "/openapi.json"]:
        assert "access-control-allow-origin" not in server.get(path, headers=page).headers
    assert server.request("DELETE", "/v1/jobs/x", headers=page).status == 403


def test_its_own_pages_may_call(server):
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert (
        server.post("/v1/detect", {"image": as_image(PLAIN), "items": ["pants"]}, headers=own).status == 200
    )


def test_json_needs_its_content_type(server):
    body = json.dumps({"images": [as_image(PLAIN)], "items": ["pants"]}).encode()
    for path in ["/v1/jobs", "/v1/detect", "/v1/crop"]:
        for kind in ["text/plain", "application/x-www-form-urlencoded", "text/plain;charset=utf-8"]:
            answer = server.request("POST", path, body, {"Content-Type": kind})
            assert answer.status == 415 and "Content-Type" in answer.json["detail"], (path, kind, answer)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8771", "localhost.evil.example", "192.0.2.1", "a b"]
)
def test_names_of_others_are_not_ours(server, host):
    """A name of theirs that resolves to 127.0.0.1 would make their page one of ours."""
    for path in ["/", "/debug", "/v1/models", "/files/x/y.jpg", "/ui"]:
        answers, _ = server.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answers[0].status in (400, 403), path
    body = json.dumps({"image": as_image(SAMPLE), "items": ["dress"]}).encode()
    head = head_of(server, "/v1/crop", len(body)).replace(b"localhost:%d" % server.port, host.encode())
    answers, _ = server.raw(head + body)
    assert (
        answers[0].status in (400, 403)
        and host.encode() not in answers[0].body.replace(b"Host", b"", 1).split(b"message")[0]
    )


def test_crops_have_the_address_by_which_they_were_asked_for(serve):
    server = serve(hosts="box.lan")
    body = json.dumps({"image": as_image(SAMPLE), "items": ["dress"], "count": 1}).encode()
    for host in ["localhost:81", "127.0.0.1:5", "[::1]:7", "box.lan"]:
        head = head_of(server, "/v1/crop", len(body)).replace(b"localhost:%d" % server.port, host.encode())
        answers, _ = server.raw(head + body, seconds=20)
        crop = answers[0].json["images"][0]["detections"][0]["crop"]
        assert crop["url"].startswith(f"http://{host}/files/"), crop


def test_crops_have_no_address_that_somebody_made_up(serve):
    """Beyond loopback with keys any name is taken, but only known ones come back."""
    server = serve(host="0.0.0.0", api_keys="a-long-enough-key")
    body = json.dumps({"image": as_image(SAMPLE), "items": ["dress"], "count": 1}).encode()
    jobs = json.dumps({"images": [as_image(SAMPLE)], "items": ["dress"], "count": 1}).encode()

    def ask(path, host, body):
        head = head_of(server, path, len(body)).replace(b"localhost:%d" % server.port, host.encode())
        keyed = head.replace(b"\r\n\r\n", b"\r\nX-API-Key: a-long-enough-key\r\n\r\n")
        return server.raw(keyed + body, seconds=20)[0][0].json

    for host, base in [("evil.example", ""), ("192.0.2.1:80", ""), ("127.0.0.1:5", "http://127.0.0.1:5")]:
        crop = ask("/v1/crop", host, body)["images"][0]["detections"][0]["crop"]
        assert crop["url"].startswith(base + "/files/"), crop
        assert server.get(crop["url"][len(base) :], checked=False).status == 200
    made = ask("/v1/jobs", "evil.example", jobs)["id"]
    end = time.monotonic() + 60 * SLOWNESS
    while (job := server.get("/v1/jobs/" + made, headers={"X-API-Key": "a-long-enough-key"}).json)[
        "status"
    ] != "done":
        assert time.monotonic() < end, job
        time.sleep(0.1)
    assert job["results"][0]["detections"][0]["crop"]["url"].startswith("/files/")


def test_refused_origins_are_logged(serve):
    server = serve()
    server.post("/v1/detect", {}, headers=EVIL)
    assert any("origin_refused" in line and "evil.example" in line for line in server.lines)


def serve_once(*arguments, **settings):
    variables = {"ITEMCROP_" + name.upper(): value for name, value in settings.items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ITEMCROP_")}
    return subprocess.run(
        [BINARY, "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=30 * SLOWNESS,
        env={**clean, **variables},
    )


@pytest.mark.parametrize(
    "origin, right",
    [("app.example.com", "https://app.example.com"), ("https://app.example.com/", "https://app.example.com")],
)
def test_a_wrong_origin_is_an_error_that_says_the_right_one(origin, right):
    ended = serve_once("--print-config", cors_origins=origin)
    assert ended.returncode != 0 and "cors_origins" in ended.stderr and f"'{right}'" in ended.stderr


# ---- exposed ------------------------------------------------------------------------------


def test_it_does_not_start_for_everybody_without_keys(serve):
    ended = serve_once(host="0.0.0.0")
    assert ended.returncode != 0
    assert "api_keys" in ended.stderr and "allow_anonymous" in ended.stderr and "0.0.0.0" in ended.stderr
    keyed = serve(host="0.0.0.0", api_keys="a-long-enough-key")
    assert keyed.get("/v1/models").status == 401
    keyed.kill()
    open_to_all = serve(host="0.0.0.0", allow_anonymous=True)
    assert open_to_all.get("/v1/models").status == 200
    assert any("anonymous_callers" in line for line in open_to_all.lines)


def test_wrong_keys_slow_down_by_address_and_no_right_one(serve):
    server = serve(api_keys="correct-horse-battery", wrong_keys_per_minute=5)
    statuses = [server.get("/v1/models", headers={"X-API-Key": f"guess-{at}"}).status for at in range(8)]
    assert statuses == [403] * 5 + [429] * 3
    refused = server.get("/v1/models", headers={"X-API-Key": "guess"})
    assert "wrong_keys_per_minute" in refused.json["detail"] and int(refused.headers["retry-after"]) >= 1
    # Others may share the address, behind a proxy say.
    assert server.get("/v1/models", headers={"X-API-Key": "correct-horse-battery"}).status == 200
    with socket.create_connection((server.host, server.port), source_address=("127.0.0.9", 0)) as other:
        other.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-API-Key: a-guess\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 403")


def test_short_keys_are_warned_of(serve):
    long = serve(api_keys="correct-horse-battery")
    long.kill()
    assert not any("short_keys" in line for line in long.lines)
    assert any("short_keys" in line for line in serve(api_keys="eight-ch").lines)


def test_several_callers_together_leave_room_for_another(serve):
    keys = [f"caller-number-{at}-key" for at in range(4)]
    server = serve(api_keys=",".join(keys), max_queued=16, fetch_private=True, fetch_seconds=600)

    def ask(key, image):
        body = json.dumps({"image": image, "items": ["pants"]})
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60 * SLOWNESS)
        connection.request("POST", "/v1/detect", body, {"Content-Type": "application/json", "X-API-Key": key})
        return connection

    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf, contextlib.ExitStack() as stack:
        hanging = {"url": f"http://127.0.0.1:{deaf.getsockname()[1]}/x.jpg"}
        for key in keys[:3]:  # each takes all it can get
            for _ in range(20):
                stack.enter_context(contextlib.closing(ask(key, hanging)))
            time.sleep(1)
        answer = ask(keys[3], as_image(PLAIN)).getresponse()
        assert answer.status == 200, answer.read()


def test_callers_behind_a_trusted_proxy_are_told_apart(serve):
    trusting = serve(rate_limit=0.01, rate_burst=2, trusted_proxies="127.0.0.0/8")

    def ask(client):
        return trusting.get("/v1/models", headers={"X-Forwarded-For": client}).status

    assert [ask("203.0.113.1") for _ in range(3)] == [200, 200, 429]
    assert ask("203.0.113.2") == 200
    # What a client itself claims stands before what the proxy wrote.
    assert ask("203.0.113.77, 203.0.113.1") == 429


def test_nobody_else_is_believed_about_addresses(serve):
    server = serve(rate_limit=0.01, rate_burst=2)
    statuses = [
        server.get("/v1/models", headers={"X-Forwarded-For": f"203.0.113.{at}"}).status for at in range(3)
    ]
    assert statuses == [200, 200, 429]


def test_nobody_learns_which_photos_others_have_analysed(serve):
    keys = ["the-first-callers-key", "the-second-callers-key"]
    server = serve(api_keys=",".join(keys))
    body = {"imageBase64": base64_of(SAMPLE)}

    def ask(key):
        return server.post("/analyze", body, headers={"X-API-Key": key}).json

    first, again, other = ask(keys[0]), ask(keys[0]), ask(keys[1])
    assert [first["cached"], again["cached"], other["cached"]] == [False, True, False]


def test_files_are_nobody_elses(serve):
    server = serve()
    assert server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1}).status == 200
    server.post("/v1/jobs", {"images": [as_image(PLAIN)], "items": ["pants"]})
    data = server.folder / "data"
    for path in [data, *data.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))


def test_a_store_that_fails_names_no_folder(serve):
    if os.geteuid() == 0:
        server = serve()
        (server.folder / "data" / "files").rename(server.folder / "away")
        (server.folder / "data" / "files").write_text("not a folder")
    else:
        server = serve()
        (server.folder / "data" / "files").chmod(0o500)
    answer = server.post(
        "/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1}, checked=False
    )
    assert answer.status >= 500 and str(server.folder) not in answer.body.decode(), answer


def test_tls_1_2_has_forward_secrecy_and_aead_only(serve, tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    server = Server(tmp_path, tls_certificate=certificate, tls_key=key, wait_ready=False)
    try:

        def cipher_of(ciphers):
            client = subprocess.run(
                [
                    "openssl",
                    "s_client",
                    "-connect",
                    f"127.0.0.1:{server.port}",
                    "-tls1_2",
                    "-cipher",
                    ciphers,
                ],
                input=b"",
                capture_output=True,
                timeout=30,
            )
            found = re.search(r"Cipher is (\S+)", client.stdout.decode())
            return found and found[1]

        assert cipher_of("ECDHE+AESGCM") in ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")
        for weak in ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"]:
            assert cipher_of(weak) in (None, "(NONE)"), weak
    finally:
        server.kill()


# ---- the end ------------------------------------------------------------------------------


def test_sigterm_ends_in_time_whatever_is_going_on(serve):
    """Requests in hand take longer than drain_seconds; bodies and readers hang."""
    server = serve(drain_seconds=3, request_seconds=600, threads=1)
    photo = {"image": as_image(SAMPLE), "items": [f"garment number {at} of many" for at in range(100)]}
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(8) as pool:
        slow = stack.enter_context(connect(server))
        slow.sendall(head_of(server, "/v1/crop", 5000) + b"{")

        def ask():
            with contextlib.suppress(OSError, http.client.HTTPException):
                server.post("/v1/detect", photo, checked=False)

        for _ in range(8):
            pool.submit(ask)
        time.sleep(1 * SLOWNESS)
        server.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        server.process.wait(60)
        assert time.monotonic() - started < 3 + 1
