"""The service under test, over real sockets, and what it is fed."""

import base64
import collections
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse
import zlib

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ["ITEMCROP_BIN"]
# Deadlines of the tests are stretched by this; sanitizer builds need it.
SLOWNESS = float(os.environ.get("ITEMCROP_TEST_SLOWNESS", "1"))
OPENAPI = json.loads((ROOT / "src" / "service" / "web" / "openapi.json").read_text())
SAMPLE = (ROOT / "examples" / "wardrobe.jpg").read_bytes()


# ---- images -----------------------------------------------------------------------------


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(width, height, colour=(90, 120, 60)):
    """A PNG of one colour without help from an image library."""
    rows = (b"\0" + bytes(colour) * width) * height
    return png_header(width, height) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def noise_png(side):
    """Bytes that no format makes small."""
    random.seed(1)
    rows = b"".join(b"\0" + random.randbytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 0))
        + chunk(b"IEND", b"")
    )


def interlaced_png(width, height):
    """A black PNG with 16 bits a sample, alpha and Adam7, which a decoder has to hold whole."""
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    size = 0
    for x, y, dx, dy in passes:
        columns, rows = (width - x + dx - 1) // dx, (height - y + dy - 1) // dy
        size += rows * (1 + 8 * columns) if columns else 0
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(size), 1))
        + chunk(b"IEND", b"")
    )


PLAIN = png(64, 48)


def base64_of(data):
    return base64.b64encode(data).decode()


def as_image(data):
    return {"base64": base64_of(data)}


# ---- answers against the API's description ------------------------------------------------


def operation_of(method, path):
    """The template and operation of openapi.json that a path belongs to."""
    path = urllib.parse.urlsplit(path).path
    parts = path.split("/")
    best = None
    for template, item in OPENAPI["paths"].items():
        if method.lower() not in item:
            continue
        if template == path:
            return template, item[method.lower()]
        wanted = template.split("/")
        if template == "/files/{key}" and path.startswith("/files/"):
            best = template
        elif len(wanted) == len(parts) and all(
            a == b or (a.startswith("{") and b) for a, b in zip(wanted, parts)
        ):
            best = best or template
    return (best, OPENAPI["paths"][best][method.lower()]) if best else (None, None)


def resolve(thing):
    while "$ref" in thing:
        node = OPENAPI
        for part in thing["$ref"][2:].split("/"):
            node = node[part.replace("~1", "/")]
        thing = node
    return thing


def check_schema(schema, value):
    jsonschema.Draft202012Validator({**schema, "components": OPENAPI["components"]}).validate(value)


# What any route may answer, as the description's introduction says.
ANYWHERE = {403, 404, 405, 408, 431, 501, 505}


def check_answer(method, path, answer):
    """Fails if the description does not allow this answer."""
    assert answer.headers.get("x-request-id"), "an answer without X-Request-ID"
    template, operation = operation_of(method, path)
    media = answer.headers.get("content-type", "").split(";")[0]
    responses = operation["responses"] if operation else {}
    if str(answer.status) in responses and answer.status < 400:
        content = resolve(responses[str(answer.status)]).get("content", {})
        if answer.status == 304 or method == "HEAD" or not content:
            return
        assert media in content, f"{method} {path}: content type {media} is not described"
        if media == "application/json":
            check_schema(content[media].get("schema", {}), answer.json)
        return
    assert answer.status >= 400, f"{method} {path}: status {answer.status} is not described"
    if method == "HEAD":
        return
    assert not operation or str(answer.status) in responses or answer.status in ANYWHERE, (
        f"{method} {template}: status {answer.status} is not described: {answer.body[:300]}"
    )
    assert media == "application/json", f"{answer.status} as {media}"
    check_schema({"$ref": "#/components/schemas/Error"}, answer.json)
    assert answer.json["detail"] == answer.json["error"]["message"]
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    if answer.status == 429:
        assert int(answer.headers["retry-after"]) >= 1


class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.seconds = seconds

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error's code; of an answer with one image, that image's."""
        if self.status >= 400:
            return self.json["error"]["code"]
        error = self.json["images"][0]["error"]
        return error and error["code"]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


# ---- the server ---------------------------------------------------------------------------


class Server:
    """One process of `itemcrop serve`. Settings are given as their names: max_body_bytes=1000."""

    def __init__(self, folder, arguments=(), variables=None, wait_ready=True, **settings):
        self.folder = pathlib.Path(folder)
        settings = {
            "host": "127.0.0.1",
            "port": 0,
            "data_folder": self.folder / "data",
            "allow_overcommit": True,  # tests are for limits, not for the container they run in
            **settings,
        }
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("ITEMCROP_") or name == "ITEMCROP_CPU_ISA"
        }
        for name, value in settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            environment["ITEMCROP_" + name.upper()] = text
        environment.update(variables or {})
        self.lines = []
        self.process = subprocess.Popen(
            [BINARY, "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self.folder,
        )
        listening = threading.Event()
        self.url = None

        def read():
            for line in self.process.stderr:
                line = line.decode("utf-8", "replace")
                self.lines.append(line)
                found = re.search(r"listening on (https?://[\w.\[\]:-]+)", line)
                if found and not listening.is_set():
                    self.url = found[1]
                    listening.set()
            listening.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        assert listening.wait(60 * SLOWNESS) and self.url, f"it does not listen: {self.log}"
        self.host, self.port = "127.0.0.1", urllib.parse.urlsplit(self.url).port
        if wait_ready:
            self.wait_ready()

    @property
    def log(self):
        return "".join(self.lines)

    @property
    def alive(self):
        return self.process.poll() is None

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds * SLOWNESS
        while time.monotonic() < end:
            assert self.alive, f"it ended: {self.log}"
            if self.get("/readyz").status == 200:
                return
            time.sleep(0.05)
        raise AssertionError(f"it is not ready: {self.log}")

    def request(self, method, path, body=None, headers=None, timeout=120, checked=True):
        """One request on a connection of its own; the answer is checked against openapi.json."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout * SLOWNESS)
        started = time.monotonic()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            got = connection.getresponse()
            answer = Answer(got.status, got.getheaders(), got.read(), time.monotonic() - started)
        finally:
            connection.close()
        if checked:
            check_answer(method, path, answer)
        return answer

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, value, headers=None, **more):
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        if isinstance(body, str):
            body = body.encode()
        return self.request(
            "POST", path, body, {"Content-Type": "application/json", **(headers or {})}, **more
        )

    def detect(self, data=PLAIN, items=("pants",), **options):
        return self.post("/v1/detect", {"image": as_image(data), "items": list(items), **options})

    def raw(self, data, seconds=5.0, shut=False, until_closed=False):
        """Bytes in, [Answer] and whether the server closed; no HTTP library in between."""
        with socket.create_connection((self.host, self.port), timeout=5) as connection:
            try:
                connection.sendall(data)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return read_answers(connection, seconds, until_closed)

    def metrics(self):
        """{"name{labels}": value}"""
        values = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def metric(self, name, **labels):
        total = 0
        for key, value in self.metrics().items():
            if key.split("{")[0] == name and all(f'{k}="{v}"' in key for k, v in labels.items()):
                total += value
        return total

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, patience=25):
        """SIGTERM; the exit status."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(patience * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not stop within {patience} s: {self.log[-2000:]}") from None
        self.reader.join(5)
        return status

    def kill(self):
        if self.alive:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)


def read_answers(connection, seconds, until_closed=False):
    """What comes back on a raw socket: ([Answer], closed)."""
    data, closed = b"", False
    end = time.monotonic() + seconds * SLOWNESS
    answers = []
    while True:
        answers, rest, more = parse_answers(data)
        left = end - time.monotonic()
        if closed or left <= 0:
            break
        # A whole answer is there: stay a little, to see whether the server says more or hangs up.
        whole = answers and not rest and not more and not until_closed
        connection.settimeout(min(left, 0.3 * SLOWNESS) if whole else left)
        try:
            got = connection.recv(65536)
        except TimeoutError:
            break
        except ConnectionResetError:
            got = b""
        if got == b"":
            closed = True
        data += got
    return answers, closed


def parse_answers(data):
    answers = []
    while b"\r\n\r\n" in data:
        head, rest = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        length = int({n.lower(): v for n, v in headers}.get("content-length", 0))
        if len(rest) < length:
            return answers, data, True
        answers.append(Answer(status, headers, rest[:length], 0))
        data = rest[length:]
    return answers, data, False


@pytest.fixture
def serve(tmp_path):
    """serve(max_queued=2) -> Server in an empty folder; stopped at the end."""
    servers = []

    def start(*arguments, folder=None, **settings):
        server = Server(folder or tmp_path, arguments, **settings)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server():
    """One server a module, with defaults but for fetching from this machine."""
    with tempfile.TemporaryDirectory() as folder:
        running = Server(folder, fetch_private=True)
        yield running
        log = running.log
        assert running.alive, f"the server died: {log[-3000:]}"
        running.kill()
        assert "Sanitizer" not in log and "runtime error" not in log, log[-5000:]


@pytest.fixture
def healthy(server):
    """The server must be in good health after the test."""
    yield
    assert server.alive, server.log[-3000:]
    assert server.get("/healthz").status == 200
    assert server.get("/readyz").status == 200


# ---- what it costs ------------------------------------------------------------------------


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_idle_soon(server):
    """From now on the process uses no more than 200 ms of processor time, whatever else runs here."""
    before = cpu_seconds(server)
    time.sleep(2)
    assert cpu_seconds(server) - before <= 0.2 + 0.05


def wait_until_busy(server, seconds):
    """Until it has used so much processor time: decoding and the model need less."""
    begin = cpu_seconds(server)
    end = time.monotonic() + 60 * SLOWNESS
    while cpu_seconds(server) - begin < seconds:
        assert time.monotonic() < end, "there is no work to leave"
        time.sleep(0.01)


# ---- a server to fetch photos from --------------------------------------------------------


class PhotoHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        photos = self.server.photos
        photos.hits[self.path] += 1
        status, headers, body = photos.pages.get(self.path, (404, {}, b"no"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if callable(body):
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            with contextlib.suppress(OSError):
                body(self.wfile)
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Photos:
    """photos.url("/a.jpg") after photos.pages["/a.jpg"] = (200, {}, bytes)."""

    def __init__(self):
        self.pages = {
            "/look.jpg": (200, {"Content-Type": "image/jpeg"}, SAMPLE),
            "/plain.png": (200, {"Content-Type": "image/png"}, PLAIN),
        }
        self.hits = collections.Counter()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PhotoHandler)
        self.http.daemon_threads = True
        self.http.photos = self
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def url(self, path="/look.jpg"):
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture(scope="session")
def photos():
    running = Photos()
    yield running
    running.http.shutdown()
    running.http.server_close()
