"""clients/js and examples/js/test_deployment.mjs against the real program."""

import json
import os
import subprocess
import sys

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


# ---- clients/js -----------------------------------------------------------------------------

CLIENTS = ROOT / "clients" / "js"
KEY = "a-key-of-the-clients-test"

CALL_THE_ROUTE = """
import { readFileSync } from "node:fs";
const { POST } = await import(process.argv[2]);
const form = new FormData();
form.append("items", "dress, hat");
if (process.argv[3]) form.append("image", new Blob([readFileSync(process.argv[3])]), "look.jpg");
const answer = await POST(new Request("http://page.example/api/crop", { method: "POST", body: form }));
console.log(JSON.stringify({ status: answer.status, body: await answer.json() }));
"""

CALL_THE_CLIENT = """
const { itemcrop, ItemcropFailure } = await import(process.argv[2]);
const [url, key, photo, gone] = process.argv.slice(3);
const service = itemcrop({ url, key, retries: 1 });
const { images: [image] } = await service.crop({ image: { url: photo }, items: ["dress"], count: 1 });
const detected = await service.detect({ image: { url: photo }, items: ["dress"], count: 1 });
let failure;
try { await service.crop({ image: { url: gone }, items: ["dress"] }); } catch (problem) { failure = problem; }
const { status, code, passing, requestId } = failure;
console.log(JSON.stringify({
  crop: image.detections[0].crop.url, item: detected.images[0].detections[0].item,
  failure: { status, code, passing, requestId, typed: failure instanceof ItemcropFailure },
}));
"""


def run_script(tmp_path, text, *arguments, **variables):
    script = tmp_path / "script.mjs"
    script.write_text(text)
    ended = subprocess.run(
        [node(), script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120 * SLOWNESS,
        env={**os.environ, **variables},
    )
    assert ended.returncode == 0, ended.stderr
    assert KEY not in ended.stdout
    return json.loads(ended.stdout)


def test_the_types_are_those_of_the_description():
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_client_types.py", "--check"], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout


def test_the_client_crops_detects_and_tells_failures(serve, photos, tmp_path):
    server = serve(api_keys=KEY, fetch_private=True, wait_ready=True)
    told = run_script(
        tmp_path,
        CALL_THE_CLIENT,
        CLIENTS / "itemcrop.mjs",
        server.url,
        KEY,
        photos.url(),
        photos.url("/not-there.jpg"),
    )
    assert told["item"] == "dress" and told["crop"].startswith(server.url + "/files/")
    request_id = told["failure"].pop("requestId")
    assert request_id
    assert told["failure"] == {"status": 422, "code": "bad_image_url", "passing": False, "typed": True}


def test_the_route_handler_keeps_the_key(serve, tmp_path):
    server = serve(api_keys=KEY)
    route = CLIENTS / "nextjs" / "app" / "api" / "crop" / "route.js"
    (tmp_path / "package.json").write_text('{"type": "module"}')
    photo = ROOT / "examples" / "wardrobe.jpg"
    call = lambda *arguments, **variables: run_script(
        tmp_path, CALL_THE_ROUTE, route, *arguments, ITEMCROP_URL=server.url, **variables
    )
    answer = call(photo, ITEMCROP_KEY=KEY)
    assert answer["status"] == 200, answer
    assert {crop["item"] for crop in answer["body"]["crops"]} == {"dress", "hat"}
    assert all(crop["src"].startswith("data:image/jpeg;base64,/9j/") for crop in answer["body"]["crops"])
    assert call(ITEMCROP_KEY=KEY)["status"] == 422
    # That this server's own key is wrong is none of the user's business.
    assert call(photo, ITEMCROP_KEY="another-key-entirely") == {
        "status": 502,
        "body": {"error": "The service is not available.", "again": False},
    }
