"""RFC 9112 over raw sockets: exact codes, and a smuggled second request never runs."""

import json
import socket
import time

import pytest

from conftest import PLAIN, SLOWNESS, as_image

BODY = json.dumps({"image": as_image(PLAIN), "items": ["pants"]}).encode()
HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /debug HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(*headers, body=b"", line=b"POST /v1/detect HTTP/1.1", host=HOST):
    head = b"".join(header + b"\r\n" for header in headers)
    return line + b"\r\n" + host + b"Content-Type: application/json\r\n" + head + b"\r\n" + body


def chunked(body, size=500):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


TE = b"Transfer-Encoding: chunked"

# name: (bytes, status); the connection must be closed, with one answer only.
REFUSED = {
    "both lengths": (post(b"Content-Length: 4", TE, body=b"0\r\n\r\n"), {400}),
    "both lengths, other order": (post(TE, b"Content-Length: 5", body=b"0\r\n\r\n"), {400}),
    "two lengths": (post(b"Content-Length: 2", b"Content-Length: 3", body=b"{}x"), {400}),
    "two equal lengths": (post(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"), {400}),
    "a list of lengths": (post(b"Content-Length: 2, 2", body=b"{}"), {400}),
    "a signed length": (post(b"Content-Length: +2", body=b"{}"), {400}),
    "a negative length": (post(b"Content-Length: -2", body=b"{}"), {400}),
    "a hexadecimal length": (post(b"Content-Length: 0x2", body=b"{}"), {400}),
    "a length with a space": (post(b"Content-Length: 1 2", body=b"{}"), {400}),
    "an empty length": (post(b"Content-Length:", body=b"{}"), {400}),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551616", body=b"{}"), {400, 413}),
    "a huge length": (post(b"Content-Length: 99999999999999", body=b"{}"), {413}),
    "an unknown coding": (post(b"Transfer-Encoding: gzip", body=b"{}"), {501}),
    "chunked twice in one": (post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), {400, 501}),
    "chunked, then another": (post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), {400, 501}),
    "another, then chunked": (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), {501}),
    "identity": (post(b"Transfer-Encoding: identity", body=b"{}"), {400, 501}),
    "nearly chunked": (post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), {400, 501}),
    "quoted chunked": (post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), {400, 501}),
    "vertical tab before chunked": (post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), {400, 501}),
    "two codings": (post(TE, TE, body=b"0\r\n\r\n"), {400}),
    "chunked and identity": (post(TE, b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), {400}),
    "chunked in HTTP/1.0": (post(TE, body=b"0\r\n\r\n", line=b"POST /v1/detect HTTP/1.0"), {400}),
    "a chunk's size is no number": (post(TE, body=b"zz\r\n{}\r\n0\r\n\r\n"), {400}),
    "a chunk's size is signed": (post(TE, body=b"-2\r\n{}\r\n0\r\n\r\n"), {400}),
    "a chunk's size is 0x2": (post(TE, body=b"0x2\r\n{}\r\n0\r\n\r\n"), {400}),
    "a chunk's size overflows": (post(TE, body=b"ffffffffffffffff1\r\n{}\r\n0\r\n\r\n"), {400, 413}),
    "a chunk's size is huge": (post(TE, body=b"7fffffffffffffff\r\n{}"), {400, 413}),
    "a chunk is longer than said": (post(TE, body=b"1\r\n{}\r\n0\r\n\r\n"), {400}),
    "a chunk without its line end": (post(TE, body=b"2\r\n{}0\r\n\r\n"), {400}),
    "space before the colon": (post(b"Content-Length : 2", body=b"{}"), {400}),
    "a header without a colon": (post(b"Nonsense", body=b""), {400}),
    "an empty header name": (post(b": x", body=b""), {400}),
    "a header name with a space": (post(b"X Y: z", body=b""), {400}),
    "a NUL in a header": (post(b"X: a\0b", body=b""), {400}),
    "a bare CR in a header": (post(b"X: a\rGET /debug HTTP/1.1", body=b""), {400}),
    "no Host": (post(b"Content-Length: 2", body=b"{}", host=b""), {400}),
    "two Hosts": (post(b"Host: other", b"Content-Length: 2", body=b"{}"), {400}),
    "a version of its own": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", {400, 505}),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", {400, 505}),
    "no version": (b"GET /\r\n\r\n", {400}),
    "a word that is no version": (b"GET / HTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "two spaces in the first line": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "a control character in the target": (b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "a broken escape in the target": (b"GET /%g1 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "a method with an illegal sign": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "binary noise": (bytes(range(128, 256)) + b"\r\n\r\n", {400}),
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60 + b"\r\n\r\n", {400}),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 505}),
    "a header of 20 kB": (post(b"X: " + b"a" * 20000), {431}),
    "2,000 headers": (post(*[b"X-%d: y" % i for i in range(2000)]), {431}),
    "a target of 20 kB": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {414, 431}),
}


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed(server, name):
    data, statuses = REFUSED[name]
    before = server.metric("itemcrop_requests_total", route="/debug")
    answers, closed = server.raw(data + SMUGGLED)
    assert [answer.status for answer in answers] and len(answers) == 1, answers
    assert answers[0].status in statuses, answers
    assert answers[0].json["error"]["message"], "an error without words"
    assert closed, "the connection stays open"
    assert server.metric("itemcrop_requests_total", route="/debug") == before, "the second request ran"


ACCEPTED = {
    "a length": post(b"Content-Length: %d" % len(BODY), body=BODY),
    "chunks": post(TE, body=chunked(BODY)),
    "chunks of one byte": post(TE, body=chunked(BODY, 1)),
    "Chunked in other case": post(b"transfer-encoding: Chunked", body=chunked(BODY)),
    "chunk extensions": post(TE, body=b"%x;name=value\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "trailers": post(TE, body=chunked(BODY)[:-2] + b"X-Trailer: 1\r\n\r\n"),
    "leading zeros in a chunk's size": post(TE, body=b"000%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a target in absolute form": post(
        b"Content-Length: %d" % len(BODY), body=BODY, line=b"POST http://localhost/v1/detect HTTP/1.1"
    ),
    "HTTP/1.0": post(b"Content-Length: %d" % len(BODY), body=BODY, line=b"POST /v1/detect HTTP/1.0"),
    "HTTP/1.0 without Host": post(
        b"Content-Length: %d" % len(BODY), body=BODY, host=b"", line=b"POST /v1/detect HTTP/1.0"
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(server, name):
    answers, closed = server.raw(ACCEPTED[name], seconds=20)
    assert [answer.status for answer in answers] == [200], answers
    assert closed == ("HTTP/1.0" in name)


def test_trailers_are_no_headers(server):
    body = chunked(BODY)[:-2] + b"Content-Length: 5\r\nX-Request-ID: fromtrailer\r\n\r\n"
    answers, _ = server.raw(post(TE, body=body), seconds=20)
    assert answers[0].status in (200, 400) and "fromtrailer" not in answers[0].headers["x-request-id"]


def test_a_post_without_a_length(server):
    answers, _ = server.raw(post())
    assert answers[0].status == 411 and answers[0].json["error"]["code"] == "length_required"


def test_pipelined_requests_are_answered_in_order(server):
    one = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Request-ID: first\r\n\r\n"
    two = post(b"Content-Length: %d" % len(BODY), b"X-Request-ID: second", body=BODY)
    three = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Request-ID: third\r\nConnection: close\r\n\r\n"
    answers, closed = server.raw(one + two + three, seconds=20, until_closed=True)
    assert [answer.headers["x-request-id"] for answer in answers] == ["first", "second", "third"]
    assert closed


def test_a_connection_is_reused_and_closed_when_asked(server):
    with socket.create_connection((server.host, server.port), timeout=10 * SLOWNESS) as connection:
        for _ in range(20):
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    answers, closed = server.raw(b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert answers[0].status == 200 and closed


def test_a_request_in_pieces(server):
    data = post(b"Content-Length: %d" % len(BODY), body=BODY)
    with socket.create_connection((server.host, server.port), timeout=20 * SLOWNESS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(200):
            connection.sendall(data[at : at + 1])
        connection.sendall(data[200:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_stops_in_the_middle(server):
    data = post(b"Content-Length: %d" % len(BODY), body=BODY)
    for cut in (1, 10, 40, len(data) - 1):
        server.raw(data[:cut], seconds=1, shut=True)
    assert server.get("/healthz").status == 200


def test_expect_continue(server):
    head = post(b"Content-Length: %d" % len(BODY), b"Expect: 100-continue")
    with socket.create_connection((server.host, server.port), timeout=20 * SLOWNESS) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    answers, _ = server.raw(post(b"Content-Length: 99999999999", b"Expect: 100-continue"))
    assert answers[0].status == 413


def test_an_unknown_method(server):
    answers, _ = server.raw(b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answers[0].status in (405, 501)


@pytest.mark.parametrize("kind", ["length", "chunks"])
def test_body_limit_to_the_byte(serve, kind):
    limit = 5000
    server = serve(max_body_bytes=limit)
    for size, status in [(limit, 400), (limit + 1, 413)]:
        body = b"x" * size
        data = (
            post(b"Content-Length: %d" % size, body=body)
            if kind == "length"
            else post(TE, body=chunked(body))
        )
        answers, _ = server.raw(data)
        assert answers[0].status == status, (size, answers)


def test_a_large_body_is_refused_before_it_is_sent(server):
    """413 comes for the head alone; nothing is buffered."""
    before = server.resident_bytes()
    started = time.monotonic()
    answers, closed = server.raw(post(b"Content-Length: 4000000000"))
    assert answers[0].status == 413 and closed
    assert time.monotonic() - started < 1 * SLOWNESS
    assert server.resident_bytes() - before < 8_000_000


# ---- slow clients -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    from conftest import Server

    running = Server(
        tmp_path_factory.mktemp("strict"),
        head_seconds=1,
        body_seconds=1,
        idle_seconds=1,
        max_connections=50,
        caller_share=1,
    )
    yield running
    running.kill()


def drip(server, start, byte, most):
    """Sends `start`, then a byte now and then, until the server answers or hangs up."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        started = time.monotonic()
        connection.sendall(start)
        got = b""
        connection.settimeout(0.2)
        while time.monotonic() - started < most:
            try:
                part = connection.recv(65536)
                got += part
                if not part:
                    break
            except TimeoutError:
                pass
            except ConnectionResetError:
                break
            try:
                connection.sendall(byte)
            except OSError:
                break
        return time.monotonic() - started, got


@pytest.mark.parametrize(
    "start, byte",
    [(b"", b"G"), (b"GET / HTTP/1.1\r\n", b"X"), (b"GET / HTTP/1.1\r\n" + HOST, b"X: y\r\n")],
    ids=["line", "name", "headers"],
)
def test_a_dripped_head_ends_at_its_deadline(strict, start, byte):
    seconds, got = drip(strict, start or b"G", byte, 6 * SLOWNESS)
    assert seconds < 2.5 * SLOWNESS, "slowloris"
    assert not got or got.startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))


@pytest.mark.parametrize("start", [post(b"Content-Length: 1000"), post(TE)], ids=["length", "chunks"])
def test_a_dripped_body_ends_at_its_deadline(strict, start):
    seconds, got = drip(strict, start, b"1" if b"Length" in start else b"1\r\nx\r\n", 6 * SLOWNESS)
    assert seconds < 2.5 * SLOWNESS
    assert not got or got.startswith(b"HTTP/1.1 408")


def test_idle_connections_are_closed(strict):
    with socket.create_connection((strict.host, strict.port), timeout=5) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        connection.settimeout(5 * SLOWNESS)
        assert connection.recv(100) == b""
        assert time.monotonic() - started < 2.5 * SLOWNESS


def test_the_number_of_connections_is_capped(strict):
    time.sleep(0.3)
    held = []
    try:
        for _ in range(80):
            connection = socket.create_connection((strict.host, strict.port), timeout=5)
            connection.settimeout(0.6)
            held.append(connection)
        time.sleep(0.2)
        refused = 0
        for connection in held:
            try:
                connection.setblocking(False)
                got = connection.recv(1000)
                refused += got == b"" or got.startswith(b"HTTP/1.1 503")
            except BlockingIOError:
                pass
            except ConnectionResetError:
                refused += 1
        assert 25 <= refused <= 35, refused
    finally:
        for connection in held:
            connection.close()
    time.sleep(0.3)
    assert strict.get("/healthz").status == 200
