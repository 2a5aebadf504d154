"""The service beside others: TLS for its clients, a vision model for its lists, a bucket for its crops."""

import base64
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time

import pytest

import needs
from conftest import PLAIN, SAMPLE, SLOWNESS, as_image, base64_of, read_answers

SECRET = "sk-not-to-be-seen"


class Elsewhere:
    """A local HTTP server; what it answers is a function of (method, path, headers, body)."""

    def __init__(self, answer):
        outer = self
        self.answer = answer
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                if self.headers.get("Expect") == "100-continue":
                    self.send_response_only(100)
                    self.end_headers()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.command, self.path, headers, body))
                status, text = outer.answer(self.command, self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            def handle_expect_100(self):
                return True

            do_GET = do_PUT = do_POST = do_HEAD = handle_any

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def elsewhere():
    running = []

    def start(answer):
        running.append(Elsewhere(answer))
        return running[-1]

    yield start
    for each in running:
        each.close()


# ---- TLS ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    openssl = needs.program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            folder / "key.pem",
            "-out",
            folder / "cert.pem",
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls(serve, certificate):
    server = serve(
        tls_certificate=certificate / "cert.pem", tls_key=certificate / "key.pem", wait_ready=False
    )
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=certificate / "cert.pem")

    def ask(data):
        with (
            socket.create_connection((server.host, server.port), timeout=10 * SLOWNESS) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(data)
            return read_answers(connection, 30)[0]

    def ready():
        answers = ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return answers and answers[0].status == 200

    end = time.monotonic() + 60 * SLOWNESS
    while not ready():
        assert time.monotonic() < end and server.alive, server.log
        time.sleep(0.05)
    body = json.dumps({"image": as_image(SAMPLE), "items": ["dress"], "count": 1}).encode()
    head = (
        f"POST /v1/crop HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    (answer,) = ask(head.encode() + body)
    url = answer.json["images"][0]["detections"][0]["crop"]["url"]
    assert url.startswith(f"https://localhost:{server.port}/files/")
    # Two requests on one connection, and an old protocol.
    assert [each.status for each in ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)] == [
        200,
        200,
    ]
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(certificate / "cert.pem")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((server.host, server.port), timeout=10) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(plain, server_hostname="localhost")
    # Who speaks no TLS is hung up on, and harms nobody.
    with socket.create_connection((server.host, server.port), timeout=10 * SLOWNESS) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            while got := plain.recv(1000):
                assert b"HTTP" not in got
        except ConnectionError:
            pass
    assert ready()
    assert server.stop() == 0


def test_a_bad_certificate_is_an_error_that_names_it(tmp_path, certificate):
    from test_ops import run

    (tmp_path / "bad.pem").write_text("nothing")
    for cert, key, word in [
        (tmp_path / "bad.pem", certificate / "key.pem", "bad.pem"),
        (certificate / "cert.pem", tmp_path / "bad.pem", "bad.pem"),
        (tmp_path / "none.pem", certificate / "key.pem", "none.pem"),
    ]:
        ended = run(
            "--port",
            0,
            "--tls-certificate",
            cert,
            "--tls-key",
            key,
            variables={"ITEMCROP_DATA_FOLDER": str(tmp_path / "data")},
        )
        assert ended.returncode not in (0, 6) and word in ended.stderr, ended.stderr


# ---- a vision model -----------------------------------------------------------------------


def chat(items):
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": json.dumps({"items": items})}}]}
    ).encode()


LISTED = [
    {"category": "dress", "prompt": "dress", "description": "a summer dress"},
    {"category": "accessory", "prompt": "umbrella", "description": "an umbrella"},
]


def test_a_vision_model_makes_the_list(serve, elsewhere):
    model = elsewhere(lambda *_: (200, chat(LISTED)))
    server = serve(vlm_url=model.url + "/v1", vlm_model="some-model", variables={"OPENAI_API_KEY": SECRET})
    assert server.get("/debug").json["has_openai_key"] is True
    answer = server.post("/analyze", {"imageBase64": base64_of(SAMPLE)}).json
    assert answer["source"] == "vlm" and "fallback_reason" not in answer and answer["cached"] is False
    assert [item["groundingdino_prompt"] for item in answer["items"]] == ["dress"]
    assert answer["items"][0]["description"] == "a summer dress"
    assert answer["not_found"] == ["umbrella"]
    assert answer["timing"]["gpt4o_seconds"] > 0
    method, path, headers, body = model.requests[0]
    assert (method, path, headers["authorization"]) == ("POST", "/v1/chat/completions", f"Bearer {SECRET}")
    assert json.loads(body)["model"] == "some-model" and SECRET.encode() not in body
    assert server.post("/analyze", {"imageBase64": base64_of(SAMPLE)}).json["cached"] is True
    assert len(model.requests) == 1
    assert SECRET not in server.log


@pytest.mark.parametrize("name", ["refuses", "babbles", "breaks", "is slow", "is gone"])
def test_without_it_the_taxonomy_takes_over(serve, elsewhere, name):
    def answer(*_):
        if name == "is slow":
            time.sleep(3 * SLOWNESS)
        return {
            "refuses": (401, b'{"error": "bad key ' + SECRET.encode() + b'"}'),
            "babbles": (200, b"certainly!"),
            "breaks": (503, b"no"),
            "is slow": (200, chat(LISTED)),
            "is gone": (200, b""),
        }[name]

    model = elsewhere(answer)
    if name == "is gone":
        model.close()
    server = serve(vlm_url=model.url + "/v1", vlm_key=SECRET, vlm_seconds=1 * SLOWNESS)
    started = time.monotonic()
    answer = server.post("/analyze", {"imageBase64": base64_of(SAMPLE)})
    assert answer.status == 200 and answer.json["source"] == "taxonomy", answer
    assert answer.json["fallback_reason"] and SECRET not in answer.body.decode() + server.log
    assert any("dress" in item["groundingdino_prompt"] for item in answer.json["items"])
    assert time.monotonic() - started < 5 * SLOWNESS
    if name == "breaks":
        assert 1 < len(model.requests) <= 3


# ---- a bucket -----------------------------------------------------------------------------


@pytest.fixture
def bucket(elsewhere):
    objects = {}

    def answer(method, path, headers, body):
        if method == "PUT":
            objects[path] = (headers, body)
        return 200, b""

    running = elsewhere(answer)
    running.objects = objects
    return running


def in_bucket(serve, bucket, **more):
    return serve(
        store="s3",
        s3_endpoint=bucket.url,
        s3_bucket="crops",
        s3_prefix="v1/",
        s3_access_key="AKIDEXAMPLE",
        s3_secret_key=SECRET,
        s3_public_url="https://cdn.example/{bucket}/{key}",
        s3_try_seconds=1,
        **more,
    )


def test_crops_go_into_the_bucket(serve, bucket):
    server = in_bucket(serve, bucket)
    answer = server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress", "hat"], "count": 1}).json
    urls = [found["crop"]["url"] for found in answer["images"][0]["detections"]]
    assert len(urls) == 2
    for url in urls:
        assert url.startswith("https://cdn.example/crops/v1/")
        headers, body = bucket.objects[url.removeprefix("https://cdn.example")]
        assert body.startswith(b"\xff\xd8\xff") and headers["content-type"] == "image/jpeg"
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "immutable" in headers["cache-control"]
    old = server.post("/crop", {"imageBase64": base64_of(SAMPLE), "categories": ["dress"]}).json
    assert old["croppedImageUrl"].removeprefix("https://cdn.example") in bucket.objects
    analysis = server.post("/analyze", {"imageBase64": base64_of(SAMPLE)}).json
    assert all(
        item["croppedImageUrl"].removeprefix("https://cdn.example") in bucket.objects
        for item in analysis["items"]
    )
    assert server.get("/debug").json["has_supabase_url"] is True
    assert server.get("/files/v1/a.jpg", checked=False).status == 404
    assert "https:" in server.get("/ui").headers["content-security-policy"]
    assert SECRET not in server.log


def test_a_bucket_that_fails_now_and_then_fails_nobody(serve, bucket):
    put = bucket.answer
    tries = iter([503, None] * 50)
    bucket.answer = lambda *request: (
        (status, b"<Error><Code>SlowDown</Code></Error>")
        if request[0] == "PUT" and (status := next(tries))
        else put(*request)
    )
    server = in_bucket(serve, bucket)
    answer = server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1})
    assert answer.status == 200 and answer.json["images"][0]["error"] is None, answer
    puts = [request for request in bucket.requests if request[0] == "PUT"]
    assert len(bucket.objects) == 1 and len(puts) == 2
    assert puts[0][1] == puts[1][1], "a try again has the same key"


def refusal(*_):
    return 403, b"<Error><Code>InvalidAccessKeyId</Code></Error>"


def test_a_bucket_that_refuses_at_the_start_is_an_error_that_says_what_to_write(serve, bucket):
    bucket.answer = refusal
    with pytest.raises(AssertionError) as ended:
        in_bucket(serve, bucket)
    said = str(ended.value)
    for word in ["InvalidAccessKeyId", "s3_bucket = crops", "s3_region", "s3:PutObject on crops/v1/*"]:
        assert word in said, said
    assert SECRET not in said


def test_a_bucket_that_refuses_shows_in_readyz_and_in_the_log(serve, bucket):
    works = bucket.answer
    server = in_bucket(serve, bucket, files_check_seconds=0.1)
    bucket.answer = refusal
    end = time.monotonic() + 20 * SLOWNESS
    while "InvalidAccessKeyId" not in server.log:
        assert time.monotonic() < end, server.log
        time.sleep(0.1)
    answer = server.get("/readyz")
    assert answer.status == 503 and SECRET not in server.log
    bucket.answer = works
    server.wait_ready(20)


def test_a_bucket_that_is_down_is_a_502(serve, bucket):
    bucket.answer = lambda *_: (503, b"<Error><Code>ServiceUnavailable</Code></Error>")
    server = in_bucket(serve, bucket)
    for path, body in [
        ("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1}),
        ("/crop", {"imageBase64": base64_of(SAMPLE), "categories": ["dress"]}),
    ]:
        answer = server.post(path, body)
        assert answer.status == 502 and SECRET not in answer.body.decode(), answer
    # What needs no store is answered all the same.
    assert server.detect(PLAIN).status == 200
    answer = server.post(
        "/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1, "return": "base64"}
    )
    assert base64.b64decode(answer.json["images"][0]["detections"][0]["crop"]["base64"]).startswith(
        b"\xff\xd8\xff"
    )
