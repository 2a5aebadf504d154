"""examples/js/test_deployment.mjs against the real program."""

import json
import subprocess

import pytest

import needs
from conftest import ROOT, SAMPLE, SLOWNESS

SCRIPT = ROOT / "examples" / "js" / "test_deployment.mjs"


def node():
    return needs.program("node", "nodejs")


def run(*arguments, timeout=120):
    return subprocess.run(
        [node(), SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=timeout * SLOWNESS
    )


def test_deployment(server, photos):
    ended = run(server.url, "--image-url", photos.url())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "POST /analyze" in ended.stdout and "FAIL" not in ended.stdout


@pytest.mark.parametrize("route", [[], ["--legacy"]], ids=["v1", "legacy"])
def test_a_batch_through_a_short_queue(serve, tmp_path, route):
    """More at once than the server holds: every photo is answered all the same."""
    server = serve(max_queued=2)
    (tmp_path / "a.jpg").write_bytes(SAMPLE)
    out = tmp_path / "out.json"
    ended = run(
        server.url, "--batch", tmp_path, "--limit", 12, "--repeat", "--concurrency", 6, "--json", out, *route
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary = json.loads(out.read_text())["summary"]
    assert (summary["succeeded"], summary["failed"]) == (12, 0) and summary["waits"] > 0


def test_the_client_itself():
    ended = subprocess.run(
        [node(), "--test", SCRIPT.parent], capture_output=True, text=True, timeout=120 * SLOWNESS
    )
    assert ended.returncode == 0, ended.stdout
