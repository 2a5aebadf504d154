"""Photos by URL and models from a hub, against servers on this machine."""

import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import needs
from conftest import BINARY, ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server:
    """answer(handler) runs for each request; handler.path and friends as in http.server."""

    def __init__(self, answer, address="127.0.0.1"):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.requests.append(self)
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

            def reply(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in {"Content-Length": len(body), **headers}.items():
                    self.send_header(name.replace("_", "-"), str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        server = self
        self.requests = []
        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = "http://{}:{}".format(*self._server.server_address)

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def serve():
    servers = []

    def start(answer, **options):
        servers.append(Server(answer, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def photo_server(serve, photo_bytes):
    def answer(request):
        if request.path.startswith("/look.png"):
            request.reply(200, photo_bytes)
        elif request.path == "/moved":
            request.reply(302, b"", Location="/look.png?again")
        elif request.path == "/big":
            request.reply(200, b"", Content_Length=1_000_000)
        elif request.path == "/slow":
            time.sleep(5)
        elif request.path == "/page":
            request.reply(200, b"<html>no image</html>")
        else:
            request.reply(404)

    return serve(answer)


def test_photos_by_url(itemcrop, photo_server, validated, tmp_path):
    run = itemcrop(
        "crop",
        photo_server.url + "/look.png?size=1",
        photo_server.url + "/moved",
        "--items",
        "shirt, pants",
        "--threshold",
        "0.05",
        "--private-urls",
        "--json",
        "-",
        "--out",
        "out",
    )
    assert run.returncode == 0, run.stderr
    results = validated(run.stdout)
    assert [image["file"] for image in results["images"]] == [
        photo_server.url + "/look.png?size=1",
        photo_server.url + "/moved",
    ]
    assert results["images"][0]["detections"] == results["images"][1]["detections"]
    assert {path.name for path in (tmp_path / "out/annotated").iterdir()} == {"look.jpg", "moved.jpg"}


def test_a_url_that_fails_fails_alone(itemcrop, photo_server, photo, validated):
    url = photo_server.url
    run = itemcrop(
        "detect",
        photo,
        f"{url}/missing",
        f"{url}/big",
        f"{url}/slow",
        f"{url}/page",
        "--items",
        "shirt",
        "--private-urls",
        "--max-bytes",
        "500000",
        "--url-timeout",
        "2",
    )
    assert run.returncode == 1
    images = validated(run.stdout)["images"]
    assert images[0]["error"] is None
    assert [image["error"]["code"] for image in images[1:]] == [
        "bad_image_url",
        "limit_exceeded",
        "deadline_exceeded",
        "unsupported_image",
    ]
    assert b"answered with status 404" in run.stderr


def test_urls_lead_to_public_addresses_only(itemcrop, photo_server, validated):
    run = itemcrop(
        "detect",
        photo_server.url + "/look.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
        "--items",
        "shirt",
    )
    assert run.returncode == 1
    assert [image["error"]["code"] for image in validated(run.stdout)["images"]] == [
        "forbidden",
        "forbidden",
        "invalid_argument",
    ]
    assert b"no public address" in run.stderr and photo_server.requests == []


def test_ctrl_c_ends_a_download(photo_server, tmp_path):
    process = subprocess.Popen(
        [
            BINARY,
            "crop",
            photo_server.url + "/slow",
            "--items",
            "shirt",
            "--private-urls",
            "--out",
            tmp_path / "out",
        ],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not photo_server.requests and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert process.wait(timeout=30) == 130
    assert time.monotonic() - started < 2


FILES = {
    path.name: path.read_bytes()
    for path in (ROOT / "models/wardrobe").iterdir()
    if path.suffix in (".json", ".txt", ".safetensors")
}


class Hub:
    """The wardrobe model as Some-One/closet, its weights redirected to another server."""

    def __init__(self, serve):
        self.cdn = serve(lambda request: self.deliver(request, FILES[request.path[1:]]), address="127.0.0.2")
        self.hub = serve(self.answer)
        self.hang_after = None
        self.damage = False
        self.token = None

    def answer(self, request):
        name = request.path.rsplit("/", 1)[-1]
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            request.reply(401, b"")
        elif request.path == "/api/models/Some-One/closet/revision/main":
            request.reply(
                200, json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}).encode()
            )
        elif request.path.startswith("/Some-One/closet/resolve/") and name in FILES:
            assert request.path.split("/")[4] in (COMMIT, "main")
            content = FILES[name]
            if name.endswith(".safetensors"):
                request.reply(
                    302,
                    b"",
                    Location=f"{self.cdn.url}/{name}",
                    X_Linked_Size=len(content),
                    X_Repo_Commit=COMMIT,
                    X_Linked_Etag=f'"{hashlib.sha256(content).hexdigest()}"',
                )
            else:
                blob = b"blob %d\0" % len(content) + content
                request.reply(200, content, X_Repo_Commit=COMMIT, ETag=f'"{hashlib.sha1(blob).hexdigest()}"')
        else:
            request.reply(404)

    def deliver(self, request, content):
        if self.damage:
            content = content[:-1] + b"!"
        begin = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        ranged = {"Content_Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        if self.hang_after is None:
            request.reply(206 if begin else 200, content[begin:], **ranged)
            return
        request.reply(206 if begin else 200, b"", **{"Content-Length": len(content) - begin, **ranged})
        request.wfile.write(content[begin : begin + self.hang_after])
        time.sleep(10)


@pytest.fixture
def hub(serve):
    return Hub(serve)


@pytest.fixture
def variables(hub, tmp_path):
    return {
        "HF_ENDPOINT": hub.hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_CACHE": str(tmp_path / "hf/hub"),
        "HF_TOKEN": "",
        "HF_HUB_OFFLINE": "",
        "no_proxy": "*",
        "NO_PROXY": "*",
    }


def test_models_list_known(itemcrop):
    models = json.loads(itemcrop("models", "list", "--known", "--json").stdout)["models"]
    tiny = models[0]
    assert tiny["name"] == "llmdet-tiny"
    assert tiny["repository"] == "iSEE-Laboratory/llmdet_tiny"
    assert (tiny["licence"], tiny["lvis_minival_ap"]) == ("Apache-2.0", 44.7)
    text = itemcrop("models", "list", "--known").stdout.decode()
    assert "itemcrop models pull NAME" in text
    for model in models:
        assert f"{model['name']} " in text


def test_models_pull_list_and_use(itemcrop, hub, variables, photo):
    run = itemcrop("models", "pull", "Some-One/closet", "--json", **variables)
    assert run.returncode == 0, run.stderr
    pulled = json.loads(run.stdout)
    assert pulled["commit"] == COMMIT
    assert pulled["folder"].endswith(f"hf/hub/models--Some-One--closet/snapshots/{COMMIT}")
    assert "model.safetensors" in pulled["files"] and "expected.json" not in pulled["files"]
    assert b"model.safetensors" in run.stderr

    run = itemcrop("models", "list", "--json", **variables)
    models = {model["name"]: model for model in json.loads(run.stdout)["models"]}
    assert models["Some-One/closet"]["folder"] == pulled["folder"]
    assert models["Some-One/closet"]["bytes"] > len(FILES["model.safetensors"])
    assert "wardrobe" in models
    assert b"Some-One/closet" in itemcrop("models", "list", **variables).stdout

    answers = [
        itemcrop("detect", photo, "--items", "shirt", "--threshold", "0.05", "--model", model, **variables)
        for model in ("Some-One/closet", "wardrobe")
    ]
    assert [run.returncode for run in answers] == [0, 0], answers[0].stderr
    found = [json.loads(run.stdout)["images"][0]["detections"] for run in answers]
    assert found[0] == found[1]

    asked = len(hub.hub.requests)
    offline = {**variables, "HF_HUB_OFFLINE": "1"}
    run = itemcrop("models", "pull", "Some-One/closet", "-q", **offline)
    assert run.returncode == 0 and run.stdout == run.stderr == b""
    run = itemcrop("models", "pull", "Some-One/closet", "--json", **offline)
    again = json.loads(run.stdout)
    assert sorted(again.pop("files")) == sorted(pulled.pop("files")) and again == pulled
    assert len(hub.hub.requests) == asked


def test_an_interrupted_pull_goes_on(itemcrop, hub, variables, tmp_path):
    hub.hang_after = 100_000
    process = subprocess.Popen(
        [BINARY, "models", "pull", "Some-One/closet"],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    blobs = tmp_path / "hf/hub/models--Some-One--closet/blobs"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        parts = list(blobs.glob("*.incomplete")) if blobs.exists() else []
        if parts and parts[0].stat().st_size >= 100_000:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and b"goes on where this one ended" in errors
    assert not (blobs.parent / "snapshots").exists()
    hub.hang_after = None
    assert itemcrop("models", "pull", "Some-One/closet", **variables).returncode == 0
    assert hub.cdn.requests[-1].headers["Range"] == "bytes=100000-"
    assert itemcrop("verify", "Some-One/closet", **variables).returncode == 0


def test_a_terminal_sees_progress(hub, variables):
    terminal, of_process = os.openpty()
    process = subprocess.Popen(
        [BINARY, "models", "pull", "Some-One/closet"],
        env={**os.environ, **variables},
        stderr=of_process,
        stdout=subprocess.DEVNULL,
    )
    os.close(of_process)
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # how a terminal says that nobody has it open any more
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    megabytes = b"%.0f" % (sum(len(FILES[name]) for name in FILES if name != "expected.json") / 1e6)
    assert re.search(rb"model\.safetensors \[#* *\] \d+/" + megabytes + rb" MB", shown), shown
    assert b"\x1b[K" in shown and b"\rmodel" not in shown.split(b"\x1b[K")[-1]


def test_pulls_at_once(hub, variables):
    processes = [
        subprocess.Popen([BINARY, "models", "pull", "Some-One/closet", "-q"], env={**os.environ, **variables})
        for _ in range(4)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert len(hub.cdn.requests) == 1


@pytest.mark.parametrize(
    "change, code, part",
    [
        ({"damage": True}, 3, b"does not have the hash"),
        ({"token": "hf_right"}, 3, b"HF_TOKEN"),
    ],
)
def test_pull_says_why_it_failed(itemcrop, hub, variables, change, code, part):
    vars(hub).update(change)
    run = itemcrop("models", "pull", "Some-One/closet", **{**variables, "HF_TOKEN": "hf_wrong"})
    assert run.returncode == code and part in run.stderr and b"hf_wrong" not in run.stderr


def test_pull_with_a_token(itemcrop, hub, variables, tmp_path):
    hub.token = "hf_right"
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_right\n")
    assert itemcrop("models", "pull", "Some-One/closet", **variables).returncode == 0
    assert [request.headers.get("Authorization") for request in hub.cdn.requests] == [None]


def test_pull_of_what_is_not_there(itemcrop, hub, variables):
    for arguments, part in [
        (["Some-One/shoes"], b"has no Some-One/shoes at revision main"),
        (["Some-One/closet", "--revision", "v9"], b"at revision v9"),
    ]:
        run = itemcrop("models", "pull", *arguments, **variables)
        assert run.returncode == 3 and part in run.stderr
    run = itemcrop("models", "pull", "Some-One/closet", **{**variables, "HF_HUB_OFFLINE": "1"})
    assert run.returncode == 3 and b"HF_HUB_OFFLINE" in run.stderr
    assert itemcrop("models", "pull", "../closet", **variables).returncode == 2
    assert itemcrop("models", "pull", **variables).returncode == 2


@pytest.fixture(scope="module")
def python_hub():
    """Runs Python code with huggingface_hub."""
    interpreter = needs.python_tool("python")

    def run(code, variables):
        python = subprocess.run(
            [interpreter, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "HF_HUB_DISABLE_XET": "1", **variables},
        )
        assert python.returncode == 0, python.stderr
        return python.stdout.splitlines()

    return run


def test_python_finds_what_was_pulled(itemcrop, hub, variables, python_hub):
    pulled = json.loads(itemcrop("models", "pull", "Some-One/closet", "--json", **variables).stdout)
    asked = len(hub.cdn.requests)
    assert python_hub(
        """
import huggingface_hub as hub
print(hub.snapshot_download("Some-One/closet", local_files_only=True))
print(hub.hf_hub_download("Some-One/closet", "model.safetensors"))
print(len(hub.scan_cache_dir().repos), hub.scan_cache_dir().warnings)
""",
        variables,
    ) == [pulled["folder"], pulled["folder"] + "/model.safetensors", "1 []"]
    assert len(hub.cdn.requests) == asked


def test_pull_finds_what_python_downloaded(itemcrop, hub, variables, python_hub):
    names = sorted(set(FILES) - {"expected.json"})
    paths = python_hub(
        f"""
import huggingface_hub as hub
for name in {names}:
    print(hub.hf_hub_download("Some-One/closet", name))
""",
        variables,
    )
    asked = len(hub.cdn.requests)
    for offline in ["1", ""]:
        run = itemcrop(
            "models", "pull", "Some-One/closet", "--json", **{**variables, "HF_HUB_OFFLINE": offline}
        )
        assert run.returncode == 0, run.stderr
        pulled = json.loads(run.stdout)
        assert [f"{pulled['folder']}/{name}" for name in sorted(pulled["files"])] == paths
    assert asked == len(hub.cdn.requests) == 1
