"""Every route of openapi.json, each answer checked against its schema (conftest.check_answer)."""

import base64
import io
import json
import re
import time
import zipfile

import jsonschema
import pytest

from conftest import OPENAPI, PLAIN, SAMPLE, SLOWNESS, as_image, base64_of, png

ITEMS = ["dress", "pants", "leather bag"]
PAGES = ["/ui", "/ui/app.js", "/ui/style.css", "/ui/icon.svg", "/ui/sample.jpg", "/docs", "/docs/docs.js"]


def form(*parts, boundary="Zq7Xboundary"):
    """(name, file name or None, content) parts as a body and its content type."""
    body = b""
    for name, file_name, content in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if file_name:
            body += f'; filename="{file_name}"\r\nContent-Type: image/jpeg'.encode()
        body += b"\r\n\r\n" + (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


@pytest.fixture(scope="module")
def finished_job(server):
    job = server.post("/v1/jobs", {"images": [as_image(PLAIN)], "items": ["pants"]}).json
    for _ in range(600):
        if server.get(f"/v1/jobs/{job['id']}").json["status"] == "done":
            return job["id"]
        time.sleep(0.1)
    raise AssertionError("the job does not end")


@pytest.fixture(scope="module")
def stored_crop(server):
    answer = server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"]}).json
    url = answer["images"][0]["detections"][0]["crop"]["url"]
    assert url.startswith(server.url)
    return url[len(server.url) :]


def canonical_requests(server, finished_job, stored_crop):
    """One request for each operation, with the status it must have."""
    image = {"image": as_image(PLAIN), "items": ["pants"]}
    new_job = server.post("/v1/jobs", {"images": [as_image(SAMPLE)] * 50, "items": ["pants"]}).json["id"]
    yield "get /", 200, "/", None
    yield "get /debug", 200, "/debug", None
    yield "post /crop", 200, "/crop", {"imageBase64": base64_of(SAMPLE), "categories": ["dress"]}
    yield "post /analyze", 422, "/analyze", {}
    yield "post /v1/detect", 200, "/v1/detect", image
    yield "post /v1/crop", 200, "/v1/crop", image
    yield "post /v1/jobs", 202, "/v1/jobs", {"images": [as_image(PLAIN)], "items": ["pants"]}
    yield "get /v1/jobs/{id}", 200, f"/v1/jobs/{finished_job}", None
    yield "delete /v1/jobs/{id}", 200, f"/v1/jobs/{new_job}", None
    yield "get /v1/jobs/{id}/events", 200, f"/v1/jobs/{finished_job}/events", None
    yield "get /v1/models", 200, "/v1/models", None
    yield "get /v1/categories", 200, "/v1/categories", None
    yield "get /files/{key}", 200, stored_crop, None
    yield "head /files/{key}", 200, stored_crop, None
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", *PAGES]:
        yield f"get {path}", 200, path, None


def test_every_route_is_answered_as_described(server, finished_job, stored_crop):
    described = {
        f"{method} {path}"
        for path, item in OPENAPI["paths"].items()
        for method in item
        if method in {"get", "post", "put", "delete", "head", "patch"}
    }
    asked = set()
    for operation, status, path, body in canonical_requests(server, finished_job, stored_crop):
        method = operation.split()[0].upper()
        answer = server.post(path, body) if body is not None else server.request(method, path)
        assert answer.status == status, f"{operation}: {answer}"
        asked.add(operation)
    assert asked == described


def test_the_served_description_is_the_file(server):
    served = server.get("/openapi.json").json
    for document in (served, OPENAPI):
        document["info"] = {**document["info"], "version": "x"}
    assert served == OPENAPI
    assert served["openapi"].startswith("3.1")


def test_the_description_holds_together():
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                at = OPENAPI
                for part in node["$ref"][2:].split("/"):
                    at = at[part.replace("~1", "/")]
            schema = node.get("schema")
            if schema is not None:
                jsonschema.Draft202012Validator.check_schema(schema)
                examples = [node["example"]] if "example" in node else []
                examples += [example["value"] for example in node.get("examples", {}).values()]
                for example in examples:
                    jsonschema.Draft202012Validator({**schema, "components": OPENAPI["components"]}).validate(
                        example
                    )
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
            walk(value)

    walk(OPENAPI)
    for schema in OPENAPI["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


# ---- kinds of bodies ----------------------------------------------------------------------


def found_items(answer):
    return [found["item"] for found in answer.json["images"][0]["detections"]]


@pytest.fixture(scope="module")
def expected(server):
    """The sample's answer by JSON; the other kinds of bodies must agree."""
    answer = server.post("/v1/detect", {"image": as_image(SAMPLE), "items": ITEMS})
    image = answer.json["images"][0]
    assert image["error"] is None and (image["width"], image["height"]) == (1200, 900)
    assert "dress" in found_items(answer) and image["not_found"] == ["leather bag"]
    return image["detections"]


def test_url(server, photos, expected):
    answer = server.post("/v1/detect", {"image": {"url": photos.url()}, "items": ITEMS})
    assert answer.json["images"][0]["detections"] == expected


def test_form_with_options(server, expected):
    body, headers = form(("options", None, json.dumps({"items": ITEMS})), ("image", "a.jpg", SAMPLE))
    answer = server.request("POST", "/v1/detect", body, headers)
    assert answer.status == 200 and answer.json["images"][0]["detections"] == expected


def test_form_with_text_fields(server, expected):
    body, headers = form(
        ("image", "a.jpg", SAMPLE), ("items", None, ", ".join(ITEMS)), ("threshold", None, "0.25")
    )
    answer = server.request("POST", "/v1/detect", body, headers)
    assert answer.status == 200 and answer.json["images"][0]["detections"] == expected


def test_raw_body(server, expected):
    path = "/v1/detect?items=dress,pants,leather%20bag&threshold=0.25"
    for kind in ("image/jpeg", "image/anything", "application/octet-stream"):
        answer = server.request("POST", path, SAMPLE, {"Content-Type": kind})
        assert answer.status == 200 and answer.json["images"][0]["detections"] == expected


def test_data_url(server, expected):
    image = {"base64": "data:image/jpeg;base64," + base64_of(SAMPLE)}
    assert (
        server.post("/v1/detect", {"image": image, "items": ITEMS}).json["images"][0]["detections"]
        == expected
    )


def test_several_images_and_one_that_fails(server, expected):
    answer = server.post(
        "/v1/detect",
        {
            "items": ITEMS,
            "images": [
                {"id": "good", **as_image(SAMPLE)},
                {"id": "bad", **as_image(b"no image")},
                as_image(PLAIN),
            ],
        },
    )
    assert answer.status == 200
    good, bad, plain = answer.json["images"]
    assert [good["id"], bad["id"], plain["id"]] == ["good", "bad", "2"]
    assert good["detections"] == expected and good["error"] is None
    assert bad["error"]["code"] == "unsupported_image" and bad["width"] is None and not bad["detections"]
    assert plain["error"] is None and (plain["width"], plain["height"]) == (64, 48)


def test_several_files_in_a_form(server):
    body, headers = form(("image", "a.jpg", SAMPLE), ("image", "b.png", PLAIN), ("items", None, "dress"))
    images = server.request("POST", "/v1/detect", body, headers).json["images"]
    assert [image["width"] for image in images] == [1200, 64]


# ---- options ------------------------------------------------------------------------------


def test_thresholds_and_counts_of_items(server):
    answer = server.post(
        "/v1/detect",
        {
            "image": as_image(SAMPLE),
            "items": [
                {"prompt": "dress", "threshold": 0.99},
                {"prompt": "pants", "threshold": 0.01, "count": 1},
            ],
        },
    ).json
    image = answer["images"][0]
    assert [found["item"] for found in image["detections"]] == ["pants"]
    assert image["not_found"] == ["dress"]


def test_items_and_categories_together_are_one_search(server):
    answer = server.post(
        "/v1/crop",
        {
            "image": as_image(SAMPLE),
            "items": ["t-shirt", "handbag"],
            "categories": ["tops", "bottoms", "shoes"],
            "count": 1,
            "return": "base64",
        },
    ).json
    assert answer["categories"] == ["tops", "bottoms", "shoes"]
    assert [item["prompt"] for item in answer["items"]] == ["t-shirt", "handbag"]
    assert answer["settings"]["count"] == 1 and answer["version"] and answer["date"].endswith("Z")
    [image] = answer["images"]
    assert {found["item"] for found in image["detections"]} == {"t-shirt", "bottoms", "shoes"}
    assert image["not_found"] == ["handbag"], "the t-shirt is one of the tops"


def test_words_that_the_model_was_never_taught_are_said(server):
    image = {"image": as_image(SAMPLE)}
    [hint] = server.post("/v1/detect", {**image, "items": ["hat", "handbag"]}).json["hints"]
    assert "was never taught 'handbag'" in hint and "itemcrop models pull llmdet-tiny" in hint
    assert server.post("/v1/detect", {**image, "items": ["hat"]}).json["hints"] == []


def test_every_form_of_a_list_of_words_finds_the_same(server):
    def found_by(*fields):
        body, headers = form(("image", "a.jpg", SAMPLE), *((name, None, text) for name, text in fields))
        return server.request("POST", "/v1/detect", body, headers).json["images"][0]["detections"]

    first = found_by(("items", "hat, shoes"))
    assert {found["item"] for found in first} == {"hat", "shoes"}
    for fields in (
        [("items", "hat. shoes.")],
        [("items", '["hat", "shoes"]')],
        [("items", "hat"), ("items", "shoes")],
    ):
        assert found_by(*fields) == first, fields


def test_distractors_are_scored_and_never_returned(server):
    answer = server.post(
        "/v1/detect", {"image": as_image(SAMPLE), "items": ["pants", {"prompt": "dress", "distractor": True}]}
    ).json["images"][0]
    assert "dress" not in [found["item"] for found in answer["detections"]] + answer["not_found"]
    assert all("dress" in found["scores"] for found in answer["detections"])


def test_a_low_threshold_filtered_is_a_high_one(server, expected):
    """What the page's slider relies on."""
    low = server.post("/v1/detect", {"image": as_image(SAMPLE), "items": ITEMS, "threshold": 0.05}).json
    assert [found for found in low["images"][0]["detections"] if found["score"] > 0.25] == expected


def test_a_category_takes_every_kind_and_its_count(server):
    ask = lambda **more: [
        found["item"]
        for found in server.post(
            "/v1/detect", {"image": as_image(SAMPLE), "categories": ["bottoms"], **more}
        ).json["images"][0]["detections"]
    ]
    assert ask() == ["bottoms", "bottoms"], "pants and shorts"
    assert ask(count=1) == ["bottoms"]


def test_a_request_of_many_images_is_taken_whole_or_not_at_all(serve):
    """Its images count in the queue's bound, so that none is refused half-way."""
    server = serve(max_queued=3)
    images = [{"id": str(at), **as_image(PLAIN)} for at in range(12)]
    answer = server.post("/v1/detect", {"images": images, "items": ["pants"]})
    assert answer.status == 200 and all(image["error"] is None for image in answer.json["images"])


def test_a_deadline_bounds_a_download_too(server, photos):
    photos.pages["/late.jpg"] = (200, {"Content-Type": "image/jpeg"}, lambda stream: time.sleep(5))
    answer = server.post(
        "/v1/detect", {"image": {"url": photos.url("/late.jpg")}, "items": ["pants"], "deadline_ms": 300}
    )
    assert answer.status == 504 and answer.code == "deadline_exceeded"
    assert answer.seconds < 2 * SLOWNESS


def test_categories(server):
    answer = server.post("/v1/detect", {"image": as_image(SAMPLE), "categories": ["dress", "shoes"]}).json
    categories = {found.get("category") for found in answer["images"][0]["detections"]}
    assert categories == {"dress", "shoes"}


def test_tokens(server):
    answer = server.post("/v1/detect", {"image": as_image(SAMPLE), "items": ["dress"], "labels": "tokens"})
    assert answer.status == 200 and "dress" in found_items(answer)


def test_the_model_by_name(server):
    models = server.get("/v1/models").json["models"]
    assert models[0]["default"] and models[0]["ready"]
    assert server.detect(model=models[0]["name"]).status == 200
    assert server.detect(model="no-such-model").status in (404, 422)


def test_every_category_that_is_listed_may_be_asked_for(server):
    [listed] = server.get("/v1/categories").json["models"]
    assert listed["model"] == server.get("/v1/models").json["models"][0]["name"]
    tops = next(category for category in listed["categories"] if category["name"] == "tops")
    assert "t-shirt" in tops["kinds"]
    for category in listed["categories"]:
        words = [category["name"], *category["aliases"], *category["kinds"]]
        answer = server.post("/v1/detect", {"image": as_image(PLAIN), "categories": words})
        assert answer.status == 200, (words, answer)


def test_a_deadline_that_cannot_be_met(server):
    answer = server.detect(SAMPLE, deadline_ms=1)
    assert answer.code == "deadline_exceeded", answer


# ---- crops --------------------------------------------------------------------------------


def crop(server, **options):
    return server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], "count": 1, **options})


def image_of(found):
    import base64

    return base64.b64decode(found["crop"]["base64"])


MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG", "webp": b"RIFF"}


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_formats(server, kind):
    found = crop(server, format=kind, **{"return": "base64"}).json["images"][0]["detections"][0]
    assert image_of(found).startswith(MAGIC[kind])
    assert found["crop"]["content_type"] == f"image/{kind}"


def test_margin_square_and_size(server):
    def size(**options):
        found = crop(server, **options).json["images"][0]["detections"][0]
        return found["crop"]["width"], found["crop"]["height"], found["box"]

    width, height, (x0, y0, x1, y1) = size(margin=0)
    assert abs(width - (x1 - x0)) <= 2 and abs(height - (y1 - y0)) <= 2
    wider, higher, _ = size(margin=0.1)
    assert wider > width and higher > height
    assert abs((side := size(square=True))[0] - side[1]) <= 1
    assert min(size(min_size=500)[:2]) >= 500


def test_quality(server):
    small, large = (
        len(
            image_of(crop(server, quality=quality, **{"return": "base64"}).json["images"][0]["detections"][0])
        )
        for quality in (10, 95)
    )
    assert small < large


def test_a_preview_is_the_whole_photo_made_smaller(server):
    for path in ["/v1/detect", "/v1/crop"]:
        body = {"image": as_image(SAMPLE), "items": ["dress"], "count": 1, "preview": 300}
        answer = server.post(path, body).json
        preview = answer["images"][0]["preview"]
        assert (preview["width"], preview["height"]) == (300, 225)
        assert base64.b64decode(preview["base64"]).startswith(b"\xff\xd8\xff")
    for wrong in [{"preview": 15}, {"preview": 2049}, {"preview": 300, "return": "zip"}]:
        answer = server.post("/v1/crop", {"image": as_image(SAMPLE), "items": ["dress"], **wrong})
        assert answer.status == 422 and answer.json["error"]["field"] == "preview"
    assert (
        "preview"
        not in server.post("/v1/detect", {"image": as_image(PLAIN), "items": ["dress"]}).json["images"][0]
    )


def test_hints_name_what_the_model_was_never_taught(server):
    body = {"image": as_image(PLAIN), "items": ["coffee mug"]}
    (hint,) = server.post("/v1/detect", body).json["hints"]
    assert "coffee mug" in hint and "models pull" in hint
    assert server.post("/v1/detect", {**body, "hints": False}).json["hints"] == []
    (model,) = server.get("/v1/models").json["models"]
    assert {"tops", "bottoms", "dress", "shoes"} <= set(model["categories"]) and model["taught"]
    assert "bag" not in model["categories"]


def test_a_preview_counts_as_a_crop(serve):
    server = serve(max_crop_pixels=10_000)
    answer = server.post("/v1/detect", {"image": as_image(SAMPLE), "items": ["dress"], "preview": 300})
    assert answer.status == 413 and "max_crop_pixels" in answer.json["detail"], answer


def test_stored_crops_are_served_with_caching_headers(server, stored_crop):
    answer = server.get(stored_crop)
    assert answer.body.startswith(MAGIC["jpeg"]) and answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = server.get(stored_crop, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304 and not again.body
    head = server.request("HEAD", stored_crop)
    assert head.status == 200 and not head.body and head.headers["content-length"] == str(len(answer.body))


def test_zip(server):
    answer = crop(server, count=5, items=["dress", "pants"], **{"return": "zip"})
    assert answer.status == 200 and answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        results = json.loads(archive.read("results.json"))
        detections = results["images"][0]["detections"]
        assert len(detections) >= 2 and len(names) == len(detections) + 1
        assert {found["crop"]["file"] for found in detections} == set(names) - {"results.json"}
        for name in names:
            assert not name.startswith("/") and ".." not in name and re.fullmatch(r"[a-z0-9_./-]+", name)
            assert name == "results.json" or archive.read(name).startswith(MAGIC["jpeg"])


def test_without_a_store_crops_are_in_the_answer(serve):
    server = serve(store="none")
    found = crop(server).json["images"][0]["detections"][0]
    assert image_of(found).startswith(MAGIC["jpeg"])


# ---- pages --------------------------------------------------------------------------------


def test_pages_are_closed_to_the_outside(server):
    for path in ("/ui", "/docs"):
        answer = server.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        for address in re.findall(rb'(?:src|href)="([^"]*)"', answer.body):
            assert not address.startswith((b"http", b"//")), address


def test_pages_can_be_cached_by_their_tag(server):
    for path in PAGES:
        tag = server.get(path).headers["etag"]
        again = server.get(path, headers={"If-None-Match": tag}, checked=False)
        assert again.status == 304 and not again.body, path


def test_large_answers_stay_whole(server):
    """Sixteen images with crops inside the answer: several megabytes."""
    answer = server.post(
        "/v1/crop",
        {
            "images": [as_image(png(200, 300, (i, 90, 30))) for i in range(16)],
            "items": ["pants"],
            "threshold": 0,
            "count": 3,
            "format": "png",
            "return": "base64",
        },
    )
    assert answer.status == 200 and len(answer.json["images"]) == 16
