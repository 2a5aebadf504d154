"""The commands of the documents, run as they stand there against the program that was built.

Blocks marked `sh` are taken from each document and run by one bash in an empty folder with a photo, a
folder of photos and this repository's examples/ and deploy/. Addresses lead to servers of this test:
http://127.0.0.1:8000 and https://crop.example.com to an `itemcrop serve`, https://example.com to a server
of photos. What cannot run like that is named in NOT_RUN, with the reason.
"""

import http.server
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ["ITEMCROP_BIN"])
SLOWNESS = float(os.environ.get("ITEMCROP_TEST_SLOWNESS", "1"))
PHOTO = ROOT / "examples" / "wardrobe.jpg"
PROGRAMS = {"curl": "curl", "jq": "jq", "node": "nodejs", "openssl": "openssl"}

DOCUMENTS = ["README.md", "deploy/GUIDE.md", "docs/service.md", "examples/README.md"]

# What a command begins with, and why it is not run here.
NOT_RUN = {
    "bash scripts/": "CI runs these scripts themselves",
    "sudo ": "changes the machine",
    'echo "ITEMCROP_API_KEYS=': "changes the machine",
    "itemcrop serve --print-config | sudo ": "changes the machine",
    "cmake ": "builds; scripts/bare.sh and the package test do that",
    "build/examples/": "needs that build",
    "itemcrop models pull ": "downloads",
    "itemcrop verify llmdet-tiny": "needs a model that was downloaded",
    'itemcrop crop look.jpg --items "handbag" --model llmdet-tiny': "the same",
    "docker ": "needs a container engine",
    "(cd deploy/kubernetes/": "needs a cluster",
    "kubectl ": "needs a cluster",
    "pip install modal": "needs an account",
    "modal ": "needs an account",
    "ITEMCROP_MODAL": "needs an account",
}
SERVE = re.compile(r"itemcrop serve(?: +#.*)?$")


def commands(document):
    """(line, command) of each command in the document's blocks; one may have several lines."""
    found, block, start = [], None, 0
    for number, line in enumerate((ROOT / document).read_text().splitlines(), 1):
        if block is None:
            if line.strip() == "```sh":
                block = []
            continue
        if line.strip() == "```":
            assert not block, f"{document}:{start}: a command without an end: {block}"
            block = None
            continue
        if not block:
            start = number
        block.append(line)
        text = "\n".join(block)
        complete = subprocess.run(["bash", "-n", "-c", text], capture_output=True).returncode == 0
        if complete and not line.endswith("\\"):
            if text.strip() and not text.lstrip().startswith("#"):
                found.append((start, text))
            block = []
    return found


def reason_not_to_run(command):
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


@pytest.fixture(scope="module")
def photo_server(tmp_path_factory):
    """Any path is the photo."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = PHOTO.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def place(tmp_path):
    """Where a reader would be: photos at hand, the program on the PATH, nobody else's settings."""
    for name, package in PROGRAMS.items():
        assert shutil.which(name), f"{name} is missing (Debian: {package})"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "itemcrop").symlink_to(BINARY)
    # curl exits with 0 whatever the status is.
    (tmp_path / "bin" / "curl").write_text(
        '#!/bin/sh\ncase " $* " in *" -f"*) fail= ;; *) fail=--fail-with-body ;; esac\n'
        f'exec {shutil.which("curl")} $fail --silent --show-error "$@"\n'
    )
    (tmp_path / "bin" / "curl").chmod(0o755)
    here = tmp_path / "here"
    (here / "photos").mkdir(parents=True)
    for name in ("look.jpg", "photos/one.jpg", "photos/two.jpg"):
        shutil.copy(PHOTO, here / name)
    for name in ("examples", "deploy"):
        (here / name).symlink_to(ROOT / name)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ITEMCROP_")}
    variables |= {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HF_HUB_OFFLINE": "1",
        "KEY": "key-of-the-documents",
    }
    return here, variables


@pytest.fixture
def service(place):
    here, variables = place
    process = subprocess.Popen(
        [BINARY, "serve", "--port", "0", "--fetch-private", "true"],
        cwd=here,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    url, lines = None, []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"listening on (http://[\w.:-]+)", line):
            url = found[1]
            break
    assert url, "".join(lines)
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    end = time.monotonic() + 60 * SLOWNESS
    while subprocess.run(["curl", "-sf", f"{url}/readyz"], capture_output=True).returncode != 0:
        assert time.monotonic() < end and process.poll() is None, "it is not ready"
        time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(60 * SLOWNESS)
    reader.join()


def with_servers(command, service, photos):
    for written, real in (
        ("http://127.0.0.1:8000", service),
        ("https://crop.example.com", service),
        ("https://example.com", photos),
        ("--key KEY", "--key $KEY"),
    ):
        command = command.replace(written, real)
    # The server of photos is on this machine.
    if re.match(r"itemcrop (crop|detect) http", command):
        command = re.sub(r"^(itemcrop \w+)", r"\1 --private-urls", command)
    return command


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_run(document, place, service, photo_server):
    here, variables = place
    script, lines = ["set -u"], {}
    for line, command in commands(document):
        if reason_not_to_run(command) or SERVE.match(command):  # the service runs already
            continue
        lines[line] = command
        script.append(
            f"{with_servers(command, service, photo_server)}\n"
            f'status=$?; echo "@{line} $status" >>status; echo "=== line {line}: $status"'
        )
    assert lines, f"{document} has no command that runs here"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", "\n".join(script)],
        cwd=here,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=300 * SLOWNESS,
    )
    status = (here / "status").read_text().split() if (here / "status").exists() else []
    done = {int(line[1:]): int(code) for line, code in zip(status[::2], status[1::2])}
    failed = {line: done.get(line) for line in lines if done.get(line) != 0}
    assert not failed, f"{document}: line and status: {failed}\n{ran.stdout[-6000:]}"


def test_every_reason_is_needed():
    everything = [command for document in DOCUMENTS for _, command in commands(document)]
    unused = {start for start in NOT_RUN if not any(command.startswith(start) for command in everything)}
    assert not unused, f"NOT_RUN names commands that no document has: {unused}"
