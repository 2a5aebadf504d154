"""No request costs more than a second of processor time before it is admitted to the model.

Each case is the worst of its kind, as large as the service takes it. All are refused but words that fit in few
passes, which are answered: then what the model took is not counted.
"""

import json
import os
import pathlib
import socket
import time

import pytest

from conftest import OPENAPI, PLAIN, SLOWNESS, Server, as_image, base64_of, read_answers

MAX_BODY = 64_000_000
TICK = os.sysconf("SC_CLK_TCK")
POSTS = [path for path, item in OPENAPI["paths"].items() if "requestBody" in item.get("post", {})]
IMAGE = '"image":{"base64":"' + base64_of(PLAIN) + '"}'
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=BOUNDARY"}


def fill(head, piece, tail=b""):
    return head + piece * ((MAX_BODY - len(head) - len(tail)) // len(piece)) + tail


def numbered(count):
    return b",".join(b'"%07d":0' % (i * 7919 % count) for i in range(count))


# name -> body; made one at a time, since each has 64 MB.
JSON_BODIES = {
    "nested lists": lambda: fill(b"", b"["),
    "nested objects": lambda: fill(b"", b'{"a":'),
    "empty objects": lambda: fill(b'{"x":[', b"{},", b"{}]}"),
    "empty texts": lambda: fill(b'{"x":[', b'"",', b'""]}'),
    "numbers": lambda: fill(b'{"x":[', b"0,", b"0]}"),
    "keys": lambda: b"{" + numbered((MAX_BODY - 2) // 12) + b"}",
    "keys that occur twice": lambda: fill(b"{", b'"a":0,', b'"a":0}'),
    "a long key": lambda: fill(b'{"', b"a", b'":0}'),
    "a long number": lambda: fill(b'{"x":', b"1", b"}"),
    "a long fraction": lambda: fill(b'{"x":0.', b"1", b"}"),
    "a long exponent": lambda: fill(b'{"x":1e', b"1", b"}"),
    "escapes": lambda: fill(b'{"x":"', b"\\u00e9", b'"}'),
    "surrogates": lambda: fill(b'{"x":"', b"\\ud83d\\ude00", b'"}'),
    "backslashes": lambda: fill(b'{"x":"', b"\\\\", b'"}'),
    "wide characters": lambda: fill(b'{"x":"', "é".encode(), b'"}'),
    "a text that does not end": lambda: fill(b'{"x":"', b"a"),
    "white space": lambda: fill(b"{", b" ", b"}"),
    "a long item": lambda: fill(b"{" + IMAGE.encode() + b',"items":["', b"a", b'"]}'),
    "no base64": lambda: fill(b'{"image":{"base64":"', b"!", b'"},"items":["a"]}'),
    "no base64 at its end": lambda: fill(b'{"image":{"base64":"', b"A", b'!"},"items":["a"]}'),
    "base64 of white space": lambda: fill(b'{"image":{"base64":"', b"\\n", b'"},"items":["a"]}'),
    "base64 with escapes": lambda: fill(b'{"imageBase64":"', b"AAA\\/", b'","categories":["a"]}'),
    "images": lambda: fill(b'{"images":[', b'{"url":"a"},', b'{"url":"a"}],"items":["a"]}'),
}

PART = b'\r\n--BOUNDARY\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
LAST = b"\r\n--BOUNDARY--\r\n"
FORM_BODIES = {
    "line breaks": lambda: fill(b"--BOUNDARY", b"\r\n", LAST),
    "almost boundaries": lambda: fill(PART % b"image", b"\r\n--BOUNDAR", LAST),
    "parts": lambda: fill(b"", PART % b"x" + b"a", LAST),
    "headers of a part": lambda: fill(b"--BOUNDARY\r\n", b"a: b\r\n", LAST),
    "one long header": lambda: fill(b"--BOUNDARY\r\nContent-Disposition: ", b'; a="\\"', LAST),
    "commas": lambda: fill(PART % b"items", b"a,", LAST),
    "spaces": lambda: fill(PART % b"items", b" ", LAST),
    "digits": lambda: fill(PART % b"threshold", b"1", LAST),
    "options": lambda: fill(PART % b"options" + b'{"x":[', b"{},", b"{}]}" + LAST),
}


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def send(server, path, body, headers):
    """The status, and what the request cost until the service was at rest again."""
    pathlib.Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # resets the peak
    resident, begun = server.resident_bytes(), cpu_seconds(server)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=60 * SLOWNESS) as connection:
        try:
            connection.sendall(head.encode())
            connection.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read
        answers, _ = read_answers(connection, 60)
    assert answers, "no answer"
    cost = cpu_seconds(server)
    while True:
        time.sleep(0.05)
        now = cpu_seconds(server)
        if now == cost:
            break
        cost = now
    return answers[0], cost - begun, peak_bytes(server) - resident


@pytest.fixture(scope="module")
def costly(tmp_path_factory):
    # One run of the model is more than any of these may have.
    running = Server(tmp_path_factory.mktemp("costs"), max_body_bytes=MAX_BODY, max_passes=1)
    yield running
    assert running.alive, running.log[-3000:]
    running.kill()


@pytest.fixture(scope="module")
def second(costly):
    """A second of processor time, or what takes as long here: receiving and refusing a body that
    nothing looks at takes a tenth of it at most."""
    body = b"\0" * MAX_BODY
    least = min(send(costly, "/v1/crop", body, {"Content-Type": "image/png"})[1] for _ in range(3))
    return max(1.0, 10 * least)


def check(server, path, name, body, headers, second):
    answer, seconds, memory = send(server, path, body, headers)
    assert 400 <= answer.status < 500, (path, name, answer)
    assert seconds < second, f"{path}: {name} took {seconds:.2f} s ({answer})"
    # The body, its texts, and an image of at most max_image_bytes; freed memory may still be held.
    assert memory < 3.5 * MAX_BODY, f"{path}: {name} took {memory / 1e6:.0f} MB"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("name", JSON_BODIES)
def test_json(costly, second, path, name):
    check(costly, path, name, JSON_BODIES[name](), JSON, second)


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/crop"])
@pytest.mark.parametrize("name", FORM_BODIES)
def test_forms(costly, second, path, name):
    check(costly, path, name, FORM_BODIES[name](), FORM, second)


def test_queries(costly, second):
    for name, query in {
        "many": "&".join(f"a{i}=1" for i in range(1700)),
        "commas": "items=" + "a," * 7500,
        "percent": "items=" + "%20" * 5000,
        "pluses": "items=" + "+" * 15000,
    }.items():
        body = PLAIN + b"\0" * (MAX_BODY // 4)
        check(costly, f"/v1/crop?{query}", name, body, {"Content-Type": "image/png"}, second)


@pytest.mark.parametrize(
    "word",
    ["a" * 900, "!" * 160, "é" * 450, "\U0001f600" * 220, "a!" * 100, "ab " * 300, "中" * 150],
    ids=["letters", "punctuation", "accents", "emoji", "mixed", "words", "ideographs"],
)
@pytest.mark.parametrize("field", ["items", "categories"])
def test_words(costly, second, field, word):
    """As many words as are allowed: refused for their passes, or answered. Only the model may cost more."""
    count = min(100, 16_384 // len(word.encode()))
    body = json.dumps({"image": as_image(PLAIN), field: [word] * count}, ensure_ascii=False)
    answer, seconds, _ = send(costly, "/v1/detect", body.encode(), JSON)
    assert answer.status in (200, 413, 422), answer
    if answer.status == 200:
        timing = answer.json["images"][0]["timing_ms"]
        steps = ("preprocess", "model", "postprocess")
        seconds -= sum(timing[step] for step in steps) / 1000 * os.cpu_count()
    assert seconds < second, f"{seconds:.2f} s"
