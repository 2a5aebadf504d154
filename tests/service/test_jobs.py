"""Jobs: accepted at once, followed by polling or events, cancelled, and not lost by a restart."""

import http.client
import json
import random
import re
import time

from conftest import PLAIN, SAMPLE, SLOWNESS, as_image, check_schema, png


def small_images(count, start=0):
    """Small images that differ."""
    return [
        {"id": f"photo-{at}", **as_image(png(40 + at, 60, (at * 7 % 256, 40, 200 - at)))}
        for at in range(start, start + count)
    ]


def create(server, images, **options):
    answer = server.post(
        "/v1/jobs",
        {
            "images": images,
            "items": ["pants"],
            "threshold": 0.0001,
            "count": 1,
            "return": "base64",
            **options,
        },
    )
    assert answer.status == 202, answer
    return answer.json


def wait(server, job, seconds=60):
    end = time.monotonic() + seconds * SLOWNESS
    while time.monotonic() < end:
        state = server.get(f"/v1/jobs/{job}").json
        if state["status"] in ("done", "failed", "cancelled"):
            return state
        time.sleep(0.05)
    raise AssertionError(f"the job does not end: {state['done']} of {state['total']}")


def events(server, job, last=None, until="done", timeout=60):
    """[(id, event, data)] of the stream, to the end or to a number of events."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=timeout * SLOWNESS)
    connection.request(
        "GET", f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(last)} if last is not None else {}
    )
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("content-type").startswith("text/event-stream")
    got, current = [], {}
    for line in answer:
        line = line.decode().rstrip("\r\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            current[name] = current.get(name, "") + value.removeprefix(" ")
        elif current:
            got.append((current.get("id"), current.get("event"), json.loads(current["data"])))
            current = {}
            if got[-1][1] == until or (isinstance(until, int) and len(got) >= until):
                break
    connection.close()
    return got


def test_a_job_from_start_to_end(server):
    started = time.monotonic()
    job = create(server, small_images(6))
    assert time.monotonic() - started < 1 * SLOWNESS, "not accepted at once"
    assert job["total"] == 6 and job["status"] in ("queued", "running")
    assert job["links"]["self"] == f"/v1/jobs/{job['id']}" and job["links"]["events"].endswith("/events")
    state = wait(server, job["id"])
    assert (state["status"], state["done"], state["failed"]) == ("done", 6, 0)
    assert [result["id"] for result in state["results"]] == [f"photo-{at}" for at in range(6)]
    for result in state["results"]:
        assert result["error"] is None and result["detections"][0]["crop"]["base64"]


def test_one_bad_image_fails_alone(server):
    images = [
        *small_images(2),
        {"id": "bad", **as_image(b"no image")},
        {"id": "away", "url": "http://127.0.0.1:9/a.jpg"},
    ]
    state = wait(server, create(server, images)["id"])
    assert (state["status"], state["done"], state["failed"]) == ("done", 2, 2)
    errors = {result["id"]: result["error"] and result["error"]["code"] for result in state["results"]}
    assert errors == {"photo-0": None, "photo-1": None, "bad": "unsupported_image", "away": "forbidden"}


def test_a_job_whose_photos_all_failed_has_failed(server, photos):
    photos.hits.clear()
    images = [{"url": photos.url("/not-there.jpg")}, {"url": photos.url("/nor-there.jpg")}]
    job = create(server, images)["id"]
    state = wait(server, job)
    assert (state["status"], state["done"], state["failed"]) == ("failed", 0, 2)
    assert [result["error"]["code"] for result in state["results"]] == ["bad_image_url"] * 2
    assert photos.hits["/not-there.jpg"] == 1, "what will not change is not tried again"
    assert events(server, job)[-1][2]["status"] == "failed"
    assert server.metric("itemcrop_jobs", status="failed") >= 1


def test_a_jobs_results_say_what_was_asked_for_as_a_crop_does(server):
    asked = {"items": ["dress"], "categories": ["shoes"], "threshold": 0.3, "margin": 0.1}
    job = server.post("/v1/jobs", {**asked, "images": small_images(1)}).json["id"]
    crop = server.post("/v1/crop", {**asked, "image": as_image(PLAIN)}).json
    results = wait(server, job)
    for name in ("version", "model", "items", "categories", "settings", "hints"):
        assert results[name] == crop[name], name
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", results["date"])


def test_a_jobs_results_have_hints(server):
    answer = server.post("/v1/jobs", {"items": ["coffee mug"], "images": small_images(1)})
    (hint,) = wait(server, answer.json["id"])["hints"]
    assert "coffee mug" in hint
    answer = server.post("/v1/jobs", {"items": ["coffee mug"], "images": small_images(1), "hints": False})
    assert wait(server, answer.json["id"])["hints"] == []


def test_a_download_that_may_come_is_tried_again(server, photos):
    photos.pages["/busy.png"] = (503, {}, b"later")
    photos.hits.clear()
    job = create(server, [{"url": photos.url("/busy.png")}])["id"]
    end = time.monotonic() + 30 * SLOWNESS
    while photos.hits["/busy.png"] < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    photos.pages["/busy.png"] = (200, {}, PLAIN)
    assert wait(server, job)["status"] == "done"


def test_pages_of_results(server):
    job = create(server, small_images(5))["id"]
    wait(server, job)
    page = lambda query: [result["id"] for result in server.get(f"/v1/jobs/{job}?{query}").json["results"]]
    assert page("offset=1&limit=2") == ["photo-1", "photo-2"]
    assert page("offset=4&limit=9") == ["photo-4"]
    assert page("offset=5") == [] and page("limit=1") == ["photo-0"]


def test_a_job_answers_as_a_request_does(server):
    image = as_image(SAMPLE)
    options = {"items": ["dress", "pants", "leather bag"]}
    job = server.post("/v1/jobs", {"images": [image], "return": "base64", **options}).json["id"]
    result = wait(server, job)["results"][0]
    direct = server.post("/v1/crop", {"image": image, "return": "base64", **options}).json["images"][0]
    for answer in (result, direct):
        del answer["timing_ms"]
    assert result == direct


def test_events(server):
    job = create(server, small_images(5))["id"]
    got = events(server, job)
    kinds = [kind for _, kind, _ in got]
    assert kinds.count("result") == 5 and kinds[-1] == "done" and kinds.count("done") == 1
    results = [data for _, kind, data in got if kind == "result"]
    assert sorted(result["id"] for result in results) == [f"photo-{at}" for at in range(5)]
    for result in results:
        check_schema({"$ref": "#/components/schemas/CropImage"}, result)
    progress = [data for _, kind, data in got if kind == "progress"]
    assert progress and all(set(data) >= {"done", "failed", "total"} for data in progress)
    assert [data["done"] for data in progress] == sorted(data["done"] for data in progress)
    check_schema({"$ref": "#/components/schemas/Job"}, got[-1][2])


def test_events_go_on_after_the_last_one_seen(server):
    job = create(server, small_images(6))["id"]
    whole = events(server, job)
    results = [(number, data["id"]) for number, kind, data in whole if kind == "result"]
    assert all(number for number, _ in results)
    seen = results[2][0]
    rest = [data["id"] for _, kind, data in events(server, job, last=seen) if kind == "result"]
    assert rest == [name for _, name in results[3:]]
    assert [kind for _, kind, _ in events(server, job, last=results[-1][0])][-1] == "done"


def test_cancel(server):
    job = create(server, small_images(200))["id"]
    events(server, job, until=2)
    answer = server.request("DELETE", f"/v1/jobs/{job}")
    assert answer.status == 200 and answer.json["status"] == "cancelled"
    time.sleep(0.5 * SLOWNESS)
    state = server.get(f"/v1/jobs/{job}").json
    assert state["status"] == "cancelled" and state["done"] < 200
    time.sleep(0.5)
    assert server.get(f"/v1/jobs/{job}").json["done"] == state["done"], "it goes on"
    assert server.request("DELETE", f"/v1/jobs/{job}").status == 200
    assert events(server, job)[-1][1] == "done"


def test_what_is_done_cannot_be_cancelled(server):
    job = create(server, small_images(1))["id"]
    wait(server, job)
    assert server.request("DELETE", f"/v1/jobs/{job}").status in (200, 409)
    assert server.get(f"/v1/jobs/{job}").json["status"] == "done"


def test_requests_go_before_jobs(server):
    server.detect(SAMPLE)
    started = time.monotonic()
    server.detect(SAMPLE)
    alone = time.monotonic() - started
    job = create(server, [as_image(SAMPLE)] * 60)["id"]
    events(server, job, until=1)
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert server.detect(SAMPLE).status == 200
        times.append(time.monotonic() - started)
    assert server.get(f"/v1/jobs/{job}").json["status"] == "running", "the job was too short to tell"
    server.request("DELETE", f"/v1/jobs/{job}")
    assert min(times) < 6 * alone + 0.3, (times, alone)


def test_the_number_of_jobs_is_bounded(serve):
    server = serve(jobs_unfinished=2)
    jobs = [
        server.post("/v1/jobs", {"images": [as_image(SAMPLE)] * 40, "items": ["pants"]}) for _ in range(3)
    ]
    assert [answer.status for answer in jobs] == [202, 202, 429], jobs
    for answer in jobs[:2]:
        server.request("DELETE", f"/v1/jobs/{answer.json['id']}")


def test_job_image_limit_to_the_image(serve):
    server = serve(job_images=3)
    body = {"items": ["pants"], "images": small_images(3)}
    assert server.post("/v1/jobs", body).status == 202
    answer = server.post("/v1/jobs", {**body, "images": small_images(4)})
    assert answer.status in (413, 422) and "images" in answer.json["detail"]


def test_sigterm_leaves_jobs_to_the_next_start(serve, tmp_path):
    first = serve()
    job = create(first, small_images(40))["id"]
    events(first, job, until=2)
    assert first.stop() == 0
    second = serve()
    state = wait(second, job)
    assert (state["status"], state["done"], state["total"]) == ("done", 40, 40)


def test_sigterm_ends_streams_and_a_running_image(serve, photos, tmp_path):
    """A stream has no end of its own, and a download may be slow: the drain waits for neither."""
    photos.pages["/slow.jpg"] = (200, {"Content-Type": "image/jpeg"}, lambda stream: time.sleep(8))
    server = serve(fetch_private=True, drain_seconds=1)
    images = [{"id": "slow", "url": photos.url("/slow.jpg")}]
    job = create(server, images)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20 * SLOWNESS)
    connection.request("GET", f"/v1/jobs/{job['id']}/events")
    answer = connection.getresponse()
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 4 * SLOWNESS
    assert b"event: done" not in answer.read(), "the job is not done"
    photos.pages["/slow.jpg"] = (200, {"Content-Type": "image/png"}, png(40, 60))
    again = serve(folder=tmp_path, fetch_private=True)
    assert wait(again, job["id"])["done"] == 1


def test_an_unknown_model_is_no_job(server):
    answer = server.post("/v1/jobs", {"images": small_images(1), "items": ["pants"], "model": "nobody"})
    assert answer.status == 404 and answer.json["error"]["field"] == "model"


def test_kills_change_no_result(serve):
    """kill -9 at random times; the job ends as if nothing had happened."""
    images = small_images(16)
    server = serve()
    options = {"threshold": 0.0, "count": 2}
    undisturbed = wait(server, create(server, images, **options)["id"])
    job = create(server, images, **options)["id"]
    rng = random.Random(5)
    kills = 0
    for _ in range(6):
        time.sleep(rng.uniform(0.05, 0.5) * SLOWNESS)
        done = server.get(f"/v1/jobs/{job}", checked=False).json["status"] == "done"
        server.kill()
        kills += not done
        server = serve()
    disturbed = wait(server, job)
    assert kills >= 1, "it was done before the first kill"

    def facts(state):
        return [
            {name: value for name, value in result.items() if name != "timing_ms"}
            for result in state["results"]
        ]

    assert (disturbed["status"], disturbed["done"], disturbed["failed"]) == ("done", 16, 0)
    assert facts(disturbed) == facts(undisturbed)


def test_a_torn_journal_is_no_obstacle(serve, tmp_path):
    server = serve()
    job = create(server, small_images(3))["id"]
    wait(server, job)
    server.kill()
    torn = 0
    for path in (tmp_path / "data").rglob("*-wal"):
        data = path.read_bytes()
        if len(data) > 3000:
            path.write_bytes(data[:-1500])
            torn += 1
    server = serve()
    answer = server.get(f"/v1/jobs/{job}")
    if not torn:
        assert answer.status == 200
    if answer.status == 200:
        assert wait(server, job)["status"] == "done"
    assert wait(server, create(server, small_images(1))["id"])["status"] == "done"
