"""The contract of the backend that is replaced. What is checked here is what its clients rely on."""

import re

import pytest

from conftest import PLAIN, SAMPLE, base64_of

TIMING = [
    "download_seconds",
    "gpt4o_seconds",
    "groundingdino_seconds",
    "processing_seconds",
    "upload_seconds",
    "overhead_seconds",
    "total_seconds",
]


def fetch(server, url):
    assert url.startswith(server.url + "/"), url
    return server.get(url[len(server.url) :])


def is_jpeg(answer):
    return (
        answer.status == 200
        and answer.body.startswith(b"\xff\xd8\xff")
        and (answer.headers["content-type"] == "image/jpeg")
    )


def test_status(server):
    assert server.get("/").json == {"status": "online", "cropper_available": True, "endpoint": "/crop"}


def test_debug_is_booleans_only(server):
    debug = server.get("/debug").json
    for name in ["cropper_available", "cropper_instance", "has_openai_key", "has_supabase_url"]:
        assert isinstance(debug[name], bool), name
    assert "error" in debug
    for value in debug.values():
        assert not isinstance(value, str) or "/" not in value, "a path"


def test_one_crop_by_url(server, photos):
    answer = server.post("/crop", {"imageUrl": photos.url(), "categories": ["dress"]}).json
    assert "croppedImageUrls" not in answer
    assert is_jpeg(fetch(server, answer["croppedImageUrl"]))


def test_several_crops(server, photos):
    answer = server.post("/crop", {"imageUrl": photos.url(), "categories": ["tops", "dress", "shoes"]}).json
    assert "croppedImageUrl" not in answer
    urls = answer["croppedImageUrls"]
    assert 2 <= len(urls) <= 3 and len(set(urls)) == len(urls)
    for url in urls:
        assert is_jpeg(fetch(server, url))


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_base64_with_and_without_a_prefix(server, prefix):
    answer = server.post("/crop", {"imageBase64": prefix + base64_of(SAMPLE), "categories": ["dress"]}).json
    assert is_jpeg(fetch(server, answer["croppedImageUrl"]))


def test_count_limits_the_crops(server, photos):
    body = {"imageUrl": photos.url(), "categories": ["tops", "dress", "shoes"], "count": 1}
    answer = server.post("/crop", body).json
    assert answer["croppedImageUrl"] and "croppedImageUrls" not in answer


def test_nulls_are_absent(server, photos):
    body = {"imageUrl": photos.url(), "imageBase64": None, "categories": ["dress"], "count": None}
    assert server.post("/crop", body).json["croppedImageUrl"]


def test_fields_that_are_not_known_are_ignored(server, photos):
    body = {"imageUrl": photos.url(), "categories": ["dress"], "userId": "42"}
    assert server.post("/crop", body).status == 200


@pytest.mark.parametrize(
    "category",
    ["tops", "bottoms", "bag", "bags", "shoes", "accessory", "accessories", "dress", "blue denim jeans"],
)
def test_category_words(server, category):
    answer = server.post("/crop", {"imageBase64": base64_of(SAMPLE), "categories": [category]})
    assert answer.status == 200
    assert "croppedImageUrl" in answer.json or "croppedImageUrls" in answer.json


def test_words_have_the_meaning_of_the_contract(server):
    """A category finds what its words name."""
    answer = server.post("/crop", {"imageBase64": base64_of(SAMPLE), "categories": ["bottoms"]}).json
    assert answer["items"], answer
    words = {"pants", "jeans", "skirt", "shorts", "trousers", "leggings"}
    assert any(words & set(re.findall("[a-z]+", item["prompt"])) for item in answer["items"]), answer


def test_nothing_found_answers_the_address_that_was_sent(server, photos):
    photos.pages["/grey.png"] = (200, {"Content-Type": "image/png"}, PLAIN)
    answer = server.post(
        "/crop", {"imageUrl": photos.url("/grey.png"), "categories": ["umbrella stand"]}
    ).json
    assert answer["croppedImageUrl"] == photos.url("/grey.png")
    assert answer["fallback"] is True and answer["not_found"] == ["umbrella stand"]
    answer = server.post("/crop", {"imageBase64": base64_of(PLAIN), "categories": ["umbrella stand"]}).json
    assert answer["croppedImageUrl"] is None and answer["fallback"] is True


def test_a_found_crop_is_no_fallback(server, photos):
    assert not server.post("/crop", {"imageUrl": photos.url(), "categories": ["dress"]}).json.get("fallback")


def test_additions_to_crop(server, photos):
    answer = server.post("/crop", {"imageUrl": photos.url(), "categories": ["dress", "shoes"]}).json
    urls = answer.get("croppedImageUrls") or [answer["croppedImageUrl"]]
    assert [item["url"] for item in answer["items"]] == urls
    for item in answer["items"]:
        x0, y0, x1, y1 = item["box"]
        assert 0 <= x0 < x1 <= 1200 and 0 <= y0 < y1 <= 900
        assert item["confidence"] > 0.15
    assert answer["timing"]["total_seconds"] > 0
    assert answer["request_id"]


def test_the_best_box_of_each_item(server):
    """Known defect of the old backend: duplicate crops of one garment."""
    answer = server.post("/crop", {"imageBase64": base64_of(SAMPLE), "categories": ["dress", "hat"]}).json
    prompts = [item["prompt"] for item in answer["items"]]
    assert len(prompts) == len(set(prompts)) == 2


def test_crop_files_are_named_as_before(server):
    answer = server.post("/crop", {"imageBase64": base64_of(SAMPLE), "categories": ["summer dress"]}).json
    assert re.search(r"item1_summer_dress_crop\.jpg$", answer["croppedImageUrl"]), answer


def test_a_failure_is_no_success(server, photos):
    """Known defect of the old backend: failures answered as success with the original image."""
    photos.pages["/broken.jpg"] = (200, {"Content-Type": "image/jpeg"}, SAMPLE[:3000])
    for body, statuses in [
        ({"imageUrl": photos.url("/missing.jpg"), "categories": ["dress"]}, {404, 422, 502}),
        ({"imageUrl": photos.url("/broken.jpg"), "categories": ["dress"]}, {422}),
        ({"imageBase64": base64_of(b"no image"), "categories": ["dress"]}, {415}),
        ({"categories": ["dress"]}, {422}),
        ({"imageUrl": "", "categories": ["dress"]}, {422}),
    ]:
        answer = server.post("/crop", body)
        assert answer.status in statuses, answer
        assert answer.json["detail"]


def test_legacy_errors_answer_as_the_old_backend_did(serve):
    server = serve(legacy_errors=True)
    url = "http://127.0.0.1:9/missing.jpg"
    answer = server.post("/crop", {"imageUrl": url, "categories": ["dress"]})
    assert answer.status == 200 and answer.json["croppedImageUrl"] == url


def test_analyze(server, photos):
    photos.pages["/analyze.jpg"] = (200, {"Content-Type": "image/jpeg"}, SAMPLE + b"\0")
    answer = server.post("/analyze", {"imageUrl": photos.url("/analyze.jpg")}).json
    assert answer["cached"] is False
    assert list(answer["timing"]) and set(TIMING) <= set(answer["timing"])
    assert all(answer["timing"][name] >= 0 for name in TIMING)
    assert answer["items"]
    for item in answer["items"]:
        assert item["category"] and item["groundingdino_prompt"] and item["description"]
        assert 0 < item["confidence"] <= 1
        assert is_jpeg(fetch(server, item["croppedImageUrl"]))
    prompts = [item["groundingdino_prompt"] for item in answer["items"]]
    assert any("dress" in prompt for prompt in prompts), prompts

    again = server.post("/analyze", {"imageUrl": photos.url("/analyze.jpg")}).json
    assert again["cached"] is True
    assert [item["groundingdino_prompt"] for item in again["items"]] == prompts


def test_analyze_is_cached_by_content_and_not_by_address(server, photos):
    photos.pages["/changing.png"] = (200, {"Content-Type": "image/png"}, PLAIN)
    assert server.post("/analyze", {"imageUrl": photos.url("/changing.png")}).json["cached"] is False
    photos.pages["/changing.png"] = (200, {"Content-Type": "image/jpeg"}, SAMPLE + b"\0\0")
    assert server.post("/analyze", {"imageUrl": photos.url("/changing.png")}).json["cached"] is False


def test_other_origins_may_call_once_they_are_listed(serve):
    """The old backend let all of them; migration sets this one setting."""
    server = serve(cors_origins="*")
    answer = server.get("/", headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example")
    answer = server.post(
        "/crop",
        {"imageBase64": base64_of(PLAIN), "categories": ["tops"]},
        headers={"Origin": "https://app.example", "Content-Type": "text/plain"},
    )
    assert answer.status == 200 and answer.headers["access-control-allow-origin"]
