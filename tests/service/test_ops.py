"""What operators rely on: readiness, drain, metrics, keys, origins, rates, logs, settings."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import tomllib
import urllib.parse

import pytest

from conftest import BINARY, PLAIN, ROOT, SAMPLE, SLOWNESS, as_image

KEY = "correct-horse-battery"


def run(*arguments, variables=None, timeout=30):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ITEMCROP_")}
    return subprocess.run(
        [BINARY, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout * SLOWNESS,
        env={**environment, **(variables or {})},
    )


# ---- life ---------------------------------------------------------------------------------


def test_sigterm_answers_every_accepted_request(serve):
    """Under load; the process ends by itself, with status 0, within 20 s."""
    server = serve()
    server.detect(SAMPLE)
    outcomes, stop = [], threading.Event()

    def ask():
        body = json.dumps({"image": as_image(SAMPLE), "items": ["dress"]}).encode()
        head = (
            b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        while not stop.is_set():
            try:
                connection = socket.create_connection((server.host, server.port), timeout=30)
            except OSError:
                return  # no longer accepting
            try:
                connection.sendall(head + body)
                got = b""
                while part := connection.recv(65536):
                    got += part
                outcomes.append(got)
            except OSError as error:
                outcomes.append(str(error).encode())
            finally:
                connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1 * SLOWNESS)
    server.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    status = server.process.wait(25 * SLOWNESS)
    seconds = time.monotonic() - started
    stop.set()
    for thread in threads:
        thread.join()
    assert status == 0 and seconds < 20 * SLOWNESS
    answered = [
        got for got in outcomes if got.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503", b"HTTP/1.1 429"))
    ]
    # A connection that was never accepted is reset by the kernel; one that was, is answered.
    broken = [got for got in outcomes if got not in answered and b"reset" not in got]
    assert not [got for got in broken if got], broken[:3]
    assert len([got for got in outcomes if got.startswith(b"HTTP/1.1 200")]) >= 4
    assert len(outcomes) - len(answered) <= 8


def test_a_drain_is_said(serve):
    """While requests in hand finish, /readyz says no on connections that are open already."""
    server = serve()
    job = threading.Thread(
        target=lambda: server.post(
            "/v1/detect", {"images": [as_image(SAMPLE)] * 8, "items": ["dress"]}, checked=False
        )
    )
    job.start()
    connection = socket.create_connection((server.host, server.port), timeout=10)
    connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in connection.recv(65536)[:20]
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(25 * SLOWNESS) == 0
    job.join()


def test_sigint_ends_it_too(serve):
    server = serve()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(25 * SLOWNESS) in (0, 130)


def test_a_lost_device_ends_the_process(serve):
    """The scheduler says so with this signal; a new process is the only cure (exit code 4)."""
    server = serve()
    started = time.monotonic()
    server.process.send_signal(signal.SIGUSR2)
    assert server.process.wait(5 * SLOWNESS) == 4
    assert time.monotonic() - started < 3 * SLOWNESS and "a device was lost" in server.log


def test_sighup_reloads_models_without_dropping_requests(serve):
    server = serve()
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.extend(server.detect().status for _ in range(15)))
    thread.start()
    for _ in range(3):
        time.sleep(0.1)
        server.process.send_signal(signal.SIGHUP)
    thread.join()
    assert server.alive and outcomes == [200] * 15


def test_a_taken_port_is_an_error(serve):
    server = serve()
    ended = run("--host", "127.0.0.1", "--port", server.port)
    assert ended.returncode != 0 and str(server.port) in ended.stderr
    assert len(ended.stderr.strip().splitlines()) <= 3, ended.stderr


# ---- the folder of crops ------------------------------------------------------------------


def until(holds, seconds=10):
    end = time.monotonic() + seconds * SLOWNESS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_crops_over_the_limit_are_deleted(serve):
    server = serve(files_max_bytes=1, files_sweep_seconds=0.1)
    answer = server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1})
    assert answer.status == 200
    path = urllib.parse.urlsplit(answer.json["images"][0]["detections"][0]["crop"]["url"]).path
    until(lambda: server.get(path).status == 404)
    until(lambda: "files_swept" in server.log)
    assert not [file for file in server.folder.glob("data/files/**/*") if file.is_file()]


def test_it_is_not_ready_while_crops_cannot_be_stored(serve):
    server = serve(files_check_seconds=0.1)
    files = server.folder / "data" / "files"
    files.rename(server.folder / "away")
    until(lambda: server.get("/readyz").status == 503)
    answer = server.get("/readyz")
    assert (
        "crops cannot be stored" in answer.json["detail"] and str(server.folder) not in answer.json["detail"]
    )
    assert server.get("/healthz").status == 200
    (server.folder / "away").rename(files)
    server.wait_ready(10)
    assert server.log.count("store_unhealthy") == 1 and server.log.count("store_healthy") == 1


# ---- metrics ------------------------------------------------------------------------------

NAMES = [
    "itemcrop_requests_total",
    "itemcrop_request_seconds",
    "itemcrop_queue_depth",
    "itemcrop_queue_wait_seconds",
    "itemcrop_batch_images",
    "itemcrop_batch_seconds",
    "itemcrop_crops_total",
    "itemcrop_not_found_total",
    "itemcrop_fetch_seconds",
    "itemcrop_store_seconds",
    "itemcrop_device_up",
    "itemcrop_jobs",
    "process_cpu_seconds_total",
    "process_heap_bytes",
    "process_open_fds",
    "process_resident_memory_bytes",
]


def test_metrics_are_prometheus_text(server, photos):
    server.post("/v1/crop", {"image": {"url": photos.url()}, "items": ["dress", "leather bag"]})
    server.post("/v1/detect", {"image": {"url": "http://127.0.0.1:9/x.jpg"}, "items": ["dress"]})
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    types = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
        elif line and not line.startswith("#"):
            assert re.fullmatch(
                r'[a-zA-Z_:][\w:]*(\{([a-zA-Z_]\w*="(\\.|[^"\\])*",?)*\})? [-+]?([0-9.]+(e[-+]?\d+)?|Inf|NaN)',
                line,
                re.I,
            ), line
            base = re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0])
            assert base in types or line.split("{")[0].split(" ")[0] in types, line
    for name in NAMES:
        assert any(found.startswith(name) for found in types), f"{name} is missing"
    assert server.metric("itemcrop_device_up") >= 1
    assert server.metric("itemcrop_fetch_errors_total") >= 1
    assert server.metric("itemcrop_not_found_total") >= 1
    assert server.metric("itemcrop_crops_total") >= 1
    assert 3 < server.metric("process_open_fds") < 200
    assert (
        server.metric("process_resident_memory_bytes") > 10_000_000
        and server.metric("process_heap_bytes") >= 0
    )


def test_metrics_count(server):
    before = server.metric("itemcrop_requests_total", route="/v1/detect", status="200")
    refused = server.metric("itemcrop_requests_total", route="/v1/detect", status="422")
    server.detect()
    server.post("/v1/detect", {})
    assert server.metric("itemcrop_requests_total", route="/v1/detect", status="200") == before + 1
    assert server.metric("itemcrop_requests_total", route="/v1/detect", status="422") == refused + 1
    assert server.metric("itemcrop_request_seconds_count", route="/v1/detect") >= before + refused + 2


def test_metrics_count_connections_and_who_is_turned_away(serve):
    server = serve(max_connections=3, rate_limit=0.5, rate_burst=1)
    server.post("/v1/detect", {})
    assert server.post("/v1/detect", {}).status == 429
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection((server.host, server.port), timeout=5))
        time.sleep(0.3 * SLOWNESS)
    time.sleep(2.5)  # the rate allows a request again, and the connections are gone
    values = server.metrics()
    assert values["itemcrop_connections"] >= 1
    assert values['itemcrop_rejected_total{reason="rate_limit"}'] == 1
    assert values['itemcrop_rejected_total{reason="connections"}'] >= 2


def test_a_model_that_is_not_ready_is_503_and_names_no_folder(serve, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    server = serve(model=f"good=wardrobe,bad={broken}", wait_ready=False)
    end = time.monotonic() + 10 * SLOWNESS
    while (
        time.monotonic() < end
        and server.post("/v1/detect", {"image": as_image(PLAIN), "items": ["pants"], "model": "good"}).status
        != 200
    ):
        time.sleep(0.1)
    answer = server.post("/v1/detect", {"image": as_image(PLAIN), "items": ["pants"], "model": "bad"})
    assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1, answer
    ready = server.get("/readyz")
    assert ready.status == 503 and str(tmp_path) not in ready.body.decode() and "bad" in ready.json["detail"]


def test_a_mistyped_variable_is_said(serve):
    server = serve(variables={"ITEMCROP_MAX_PIXLES": "1"})
    assert any("ITEMCROP_MAX_PIXLES" in line for line in server.lines)


def test_metrics_have_bounded_labels(server):
    for at in range(50):
        server.get(f"/no/such/path/{at}")
    assert "no/such/path" not in server.get("/metrics").body.decode()


# ---- callers ------------------------------------------------------------------------------


def test_request_ids(server):
    for wanted in ["abc", "A-b_c.9", "x" * 128]:
        answer = server.get("/v1/models", headers={"X-Request-ID": wanted})
        assert answer.headers["x-request-id"] == wanted
    for wanted in ["", "a b", "x" * 129, "a\tb", "ä", "<script>", "a;b"]:
        answer = server.get("/v1/models", headers={"X-Request-ID": wanted.encode()})
        made = answer.headers["x-request-id"]
        assert made != wanted and re.fullmatch(r"[A-Za-z0-9._-]{1,128}", made)
    assert len({server.get("/").headers["x-request-id"] for _ in range(20)}) == 20
    body = server.post("/v1/detect", {}, headers={"X-Request-ID": "mine"}).json
    assert body["request_id"] == "mine"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    from conftest import Server

    running = Server(
        tmp_path_factory.mktemp("guarded"),
        api_keys=f"{KEY},another-long-key",
        cors_origins="https://app.example,https://b.example",
        wrong_keys_per_minute=0,  # these tests try many of one address
    )
    yield running
    running.kill()


def test_keys(guarded):
    open_paths = ["/", "/debug", "/healthz", "/readyz", "/openapi.json", "/ui", "/docs"]
    for path in open_paths:
        assert guarded.get(path).status == 200, path
    for method, path in [
        ("POST", "/crop"),
        ("POST", "/analyze"),
        ("POST", "/v1/detect"),
        ("POST", "/v1/crop"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/models"),
        ("GET", "/v1/jobs/x"),
    ]:
        body = b"{}" if method == "POST" else None
        answer = guarded.request(method, path, body)
        assert answer.status == 401 and answer.headers["www-authenticate"], path
        for wrong in ["wrong", KEY[:-1], KEY + "x", KEY.upper(), ""]:
            assert guarded.request(method, path, body, {"X-API-Key": wrong}).status in (401, 403), path
            assert guarded.request(method, path, body, {"Authorization": f"Bearer {wrong}"}).status in (
                401,
                403,
            )
        assert guarded.request(method, path, body, {"Authorization": f"Basic {KEY}"}).status in (401, 403)
    for headers in [
        {"Authorization": f"Bearer {KEY}"},
        {"X-API-Key": KEY},
        {"X-API-Key": "another-long-key"},
        {"Authorization": f"bearer {KEY}"},
    ]:
        assert guarded.get("/v1/models", headers=headers).status == 200, headers


def test_a_refused_body_is_not_read(guarded):
    started = time.monotonic()
    answers, _ = guarded.raw(
        b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n"
    )
    assert answers[0].status == 401 and time.monotonic() - started < 2 * SLOWNESS


def test_jobs_belong_to_their_key(guarded):
    mine, other = {"X-API-Key": KEY}, {"X-API-Key": "another-long-key"}
    job = guarded.post("/v1/jobs", {"images": [as_image(PLAIN)], "items": ["pants"]}, headers=mine).json["id"]
    assert guarded.get(f"/v1/jobs/{job}", headers=mine).status == 200
    assert guarded.get(f"/v1/jobs/{job}", headers=other).status in (403, 404)
    assert guarded.request("DELETE", f"/v1/jobs/{job}", headers=other).status in (403, 404)


def test_origins(guarded, server):
    listed = guarded.get("/", headers={"Origin": "https://app.example"})
    assert listed.headers["access-control-allow-origin"] == "https://app.example"
    assert "origin" in listed.headers.get("vary", "").lower()
    for origin in ["https://evil.example", "https://app.example.evil", "http://app.example", "null"]:
        assert "access-control-allow-origin" not in guarded.get("/", headers={"Origin": origin}).headers, (
            origin
        )
    preflight = guarded.request(
        "OPTIONS",
        "/v1/detect",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type, x-api-key",
        },
        checked=False,
    )
    assert preflight.status in (200, 204)
    assert "POST" in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "content-type" in allowed and "x-api-key" in allowed and "authorization" in allowed
    refused = guarded.post("/v1/detect", {}, headers={"Origin": "https://app.example"})
    assert refused.headers["access-control-allow-origin"] == "https://app.example", "browsers must see errors"


def test_origins_are_closed_when_reachable_from_elsewhere(serve):
    server = serve(host="0.0.0.0", allow_anonymous=True)
    assert (
        "access-control-allow-origin"
        not in server.get("/", headers={"Origin": "https://app.example"}).headers
    )


def test_the_old_open_origin_by_a_flag(serve):
    server = serve(host="0.0.0.0", allow_anonymous=True, cors_origins="*")
    assert server.get("/", headers={"Origin": "https://x.example"}).headers[
        "access-control-allow-origin"
    ] in ("*", "https://x.example")


def test_rate_limits_are_per_key(serve):
    server = serve(rate_limit=2, rate_burst=3, api_keys=f"{KEY},another-long-key")
    statuses = [server.get("/v1/models", headers={"X-API-Key": KEY}).status for _ in range(6)]
    assert statuses[:3] == [200] * 3 and 429 in statuses[3:]
    assert server.get("/v1/models", headers={"X-API-Key": "another-long-key"}).status == 200
    assert server.get("/healthz").status == 200
    answer = server.get("/v1/models", headers={"X-API-Key": KEY})
    if answer.status == 429:
        assert int(answer.headers["retry-after"]) >= 1
    time.sleep(1.2)
    assert server.get("/v1/models", headers={"X-API-Key": KEY}).status == 200


# ---- logs ---------------------------------------------------------------------------------


def test_logs_are_json_with_ids_and_without_secrets(serve, photos):
    secrets = {"api_keys": KEY, "vlm_key": "sk-very-secret-vlm", "s3_secret_key": "very-secret-s3"}
    server = serve(log_format="json", log_level="debug", fetch_private=True, **secrets)
    image = as_image(PLAIN)
    headers = {"X-API-Key": KEY, "X-Request-ID": "find-me"}
    server.post("/v1/detect", {"image": image, "items": ["a secret garment"]}, headers=headers)
    server.post(
        "/v1/detect",
        {"image": {"url": photos.url("/look.jpg?token=tok-secret")}, "items": ["x"]},
        headers=headers,
    )
    server.get("/v1/models?key=in-the-query", headers={"Authorization": "Bearer wrong-key-secret"})
    server.stop()
    lines = [line for line in server.lines if line.strip()]
    for line in lines:
        if "listening on" not in line:
            json.loads(line)
    log = server.log
    assert "find-me" in log
    for secret in [*secrets.values(), "wrong-key-secret", image["base64"][:40], "tok-secret"]:
        assert secret not in log, secret


def test_a_log_line_cannot_be_forged(serve):
    server = serve(log_level="debug")
    server.raw(b"GET /a%0d%0aERROR%20forged HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\r\n\r\n")
    server.get("/b", headers={"X-Request-ID": "\u202eforged".encode()})
    server.stop()
    assert not any(line.lstrip().startswith("ERROR forged") for line in server.lines)


# ---- settings -----------------------------------------------------------------------------


def test_print_config_is_a_file_that_can_be_read_back(tmp_path):
    printed = run(
        "--print-config",
        "--max-body-bytes",
        "12345",
        variables={"ITEMCROP_MAX_QUEUED": "7", "ITEMCROP_API_KEYS": KEY},
    )
    assert printed.returncode == 0, printed.stderr
    settings = tomllib.loads(printed.stdout)
    assert settings["max_body_bytes"] == 12345 and settings["max_queued"] == 7
    assert KEY not in printed.stdout + printed.stderr
    for name in [
        "host",
        "port",
        "max_pixels",
        "max_image_bytes",
        "head_seconds",
        "body_seconds",
        "fetch_seconds",
        "fetch_redirects",
        "max_json_depth",
        "drain_seconds",
        "rate_limit",
        "max_connections",
    ]:
        assert name in settings, name
    file = tmp_path / "itemcrop.toml"
    file.write_text(printed.stdout)
    again = run("--config", file, "--print-config")
    assert again.returncode == 0, again.stderr
    assert tomllib.loads(again.stdout) == {**settings, "api_keys": []}
    assert "# api_keys is set, and not shown" in printed.stdout


def test_every_setting_is_documented_with_its_default():
    settings = tomllib.loads(run("--print-config").stdout)
    rows = re.findall(
        r"^\| `(\w+)` \| (?:`([^`]*)`|(empty)).* \|.*\|.*\|$",
        (ROOT / "docs" / "service.md").read_text().split("## Settings")[1],
        re.M,
    )
    documented = {name: default for name, default, _ in rows}
    assert set(documented) == set(settings)
    for name, value in settings.items():
        text = (
            ",".join(value)
            if isinstance(value, list)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value).removesuffix(".0")
        )
        assert text == documented[name], name
    manual = (ROOT / "docs" / "itemcrop.1").read_text().replace("\\-", "-")
    for name in settings:
        found = re.search(rf"--{name.replace('_', '-')}[ \n]", manual)
        assert found, f"the manual page does not name --{name}"


def test_flags_beat_variables_beat_the_file(tmp_path):
    file = tmp_path / "itemcrop.toml"
    file.write_text("max_queued = 1\nmax_items = 2\nmax_images = 3\n")
    printed = run(
        "--config", file, "--max-images", "9", "--print-config", variables={"ITEMCROP_MAX_ITEMS": "8"}
    )
    settings = tomllib.loads(printed.stdout)
    assert (settings["max_queued"], settings["max_items"], settings["max_images"]) == (1, 8, 9)


@pytest.mark.parametrize(
    "text, word",
    [
        ("max_boddy_bytes = 5", "max_boddy_bytes"),
        ("max_body_bytes = 'x'", "max_body_bytes"),
        ("max_body_bytes = -5", "max_body_bytes"),
        ("max_body_bytes = 1.5", "max_body_bytes"),
        ("port = 70000", "port"),
        ("precision = 'fp8'", "precision"),
        ("[section]\nport = 1", "section"),
        ("port = ", "itemcrop.toml"),
        ("api_keys = ['short']", "api_keys"),
        ("store = 's3'", "s3_"),
        ("tls_certificate = 'a.pem'", "tls_key"),
        ("models = []", "models"),
        ("ui = 'yes'", "ui"),
    ],
)
def test_wrong_settings_are_errors_that_name_them(tmp_path, text, word):
    file = tmp_path / "itemcrop.toml"
    file.write_text(text)
    ended = run("--config", file, "--print-config")
    assert ended.returncode != 0 and word in ended.stderr, ended.stderr


def test_wrong_flags_and_variables():
    for arguments, variables, word in [
        (["--max-boddy-bytes", "5"], {}, "max-boddy-bytes"),
        (["--port", "x"], {}, "port"),
        (["--config", "/no/such.toml"], {}, "/no/such.toml"),
        ([], {"ITEMCROP_PORT": "x"}, "ITEMCROP_PORT"),
        (["--model", "/no/such/model"], {}, "/no/such/model"),
    ]:
        ended = run(*arguments, *([] if "--model" in arguments else ["--print-config"]), variables=variables)
        assert ended.returncode != 0 and word in ended.stderr, (arguments, ended.stderr)


def test_a_second_service_on_one_folder_names_the_setting(serve, tmp_path):
    serve()
    with pytest.raises(AssertionError) as ended:
        serve()
    assert "data_folder" in str(ended.value), ended.value


def test_a_key_in_a_wrong_setting_is_not_printed(tmp_path):
    file = tmp_path / "itemcrop.toml"
    file.write_text("api_keys = 'hunter2-hunter2'\nvlm_key = 5\n")
    assert "hunter2" not in run("--config", file, "--print-config").stderr


def test_without_the_page(serve):
    server = serve(ui=False)
    assert server.get("/ui", checked=False).status == 404
    assert server.get("/docs").status == 200
