"""What is wrong with a body is answered with a 4xx that names the field, and harms nothing."""

import json

import pytest

from conftest import PLAIN, SAMPLE, as_image, base64_of, png_header
from test_v1 import form

GOOD = {"image": as_image(PLAIN), "items": ["pants"]}
IMAGE = as_image(PLAIN)

pytestmark = pytest.mark.usefixtures("healthy")


def changed(**changes):
    return {**GOOD, **changes}


# (what is sent to /v1/crop, statuses, the field that must be named)
BAD_FIELDS = [
    ({}, {422}, "image"),
    ({"items": ["pants"]}, {422}, "image"),
    ({"image": IMAGE}, {422}, "items"),
    (changed(items=[]), {422}, "items"),
    (changed(items="pants"), {422}, "items"),
    (changed(items={"prompt": "pants"}), {422}, "items"),
    (changed(items=[3]), {422}, "items[0]"),
    (changed(items=["pants", None]), {422}, "items[1]"),
    (changed(items=["pants", ""]), {422}, "items[1]"),
    (changed(items=["   "]), {422}, "items[0]"),
    (changed(items=[["pants"]]), {422}, "items[0]"),
    (changed(items=[{}]), {422}, "items[0].prompt"),
    (changed(items=[{"prompt": 1}]), {422}, "items[0].prompt"),
    (changed(items=[{"prompt": "pants", "threshold": 1.01}]), {422}, "items[0].threshold"),
    (changed(items=[{"prompt": "pants", "threshold": -0.01}]), {422}, "items[0].threshold"),
    (changed(items=[{"prompt": "pants", "threshold": "0.3"}]), {422}, "items[0].threshold"),
    (changed(items=[{"prompt": "pants", "count": 0}]), {422}, "items[0].count"),
    (changed(items=[{"prompt": "pants", "count": 1.5}]), {422}, "items[0].count"),
    (changed(items=[{"prompt": "pants", "distractor": "yes"}]), {422}, "items[0].distractor"),
    (changed(items=[{"prompt": "pants", "colour": "red"}]), {422}, "items[0].colour"),
    (changed(items=[{"prompt": "pants", "distractor": True}]), {422}, "items"),
    (changed(items=["x" * 1001]), {413, 422}, "items[0]"),
    (changed(items=["pants"] * 101), {413, 422}, "items"),
    (changed(items=["x" * 900 + str(i) for i in range(30)]), {413, 422}, "items"),
    (changed(categories="tops"), {422}, "categories"),
    (changed(categories=[1]), {422}, "categories[0]"),
    (changed(categories=["tops"] * 101), {413, 422}, "categories"),
    (changed(threshold=1.0001), {422}, "threshold"),
    (changed(threshold=-1e-9), {422}, "threshold"),
    (changed(threshold="0.25"), {422}, "threshold"),
    (changed(threshold=True), {422}, "threshold"),
    (changed(threshold=[0.25]), {422}, "threshold"),
    (changed(text_threshold=2), {422}, "text_threshold"),
    (changed(nms=-1), {422}, "nms"),
    (changed(containment=1.5), {422}, "containment"),
    (changed(suppress="false"), {422}, "suppress"),
    (changed(suppress=0), {422}, "suppress"),
    (changed(count=0), {422}, "count"),
    (changed(count=-1), {422}, "count"),
    (changed(count=1e300), {422}, "count"),
    (changed(labels="both"), {422}, "labels"),
    (changed(labels=1), {422}, "labels"),
    (changed(deadline_ms=0), {422}, "deadline_ms"),
    (changed(deadline_ms=-5), {422}, "deadline_ms"),
    (changed(deadline_ms=1e12), {422}, "deadline_ms"),
    (changed(model=5), {422}, "model"),
    (changed(margin=-0.1), {422}, "margin"),
    (changed(margin=10.1), {422}, "margin"),
    (changed(square="yes"), {422}, "square"),
    (changed(min_size=-1), {422}, "min_size"),
    (changed(min_size=10001), {422}, "min_size"),
    (changed(format="gif"), {422}, "format"),
    (changed(format=None, quality=0), {422}, "quality"),
    (changed(quality=101), {422}, "quality"),
    (changed(quality=50.5), {422}, "quality"),
    (changed(**{"return": "file"}), {422}, "return"),
    (changed(colour="red"), {422}, "colour"),
    (changed(itmes=["pants"]), {422}, "itmes"),
    (changed(**{"": 1}), {422}, ""),
    (changed(image=3), {422}, "image"),
    (changed(image="http://example.com/a.jpg"), {422}, "image"),
    (changed(image=[]), {422}, "image"),
    (changed(image={}), {422}, "image"),
    (changed(image={**IMAGE, "url": "http://example.com/a.jpg"}), {422}, "image"),
    (changed(image={"url": 7}), {422}, "image.url"),
    (changed(image={"url": ""}), {422}, "image.url"),
    (changed(image={"url": "http://example.com/" + "a" * 9000}), {422}, "image.url"),
    (changed(image={"base64": 7}), {422}, "image.base64"),
    (changed(image={"base64": ""}), {422}, "image.base64"),
    (changed(image={"base64": "a_b!"}), {422}, "image.base64"),
    (changed(image={"base64": "data:image/png;base64,"}), {422}, "image.base64"),
    (changed(image={**IMAGE, "name": "x"}), {422}, "image.name"),
    (changed(image={**IMAGE, "id": 7}), {422}, "image.id"),
    (changed(image={**IMAGE, "id": "x" * 257}), {422}, "image.id"),
    (changed(images=[IMAGE]), {422}, "images"),
    ({"images": [], "items": ["pants"]}, {422}, "images"),
    ({"images": IMAGE, "items": ["pants"]}, {422}, "images"),
    ({"images": [IMAGE] * 17, "items": ["pants"]}, {413, 422}, "images"),
    ({"images": [IMAGE, {}], "items": ["pants"]}, {422}, "images[1]"),
    ({"images": [IMAGE, {"base64": "!"}], "items": ["pants"]}, {422}, "images[1].base64"),
]


@pytest.mark.parametrize("body, statuses, field", BAD_FIELDS, ids=range(len(BAD_FIELDS)))
def test_bad_field_is_named(server, body, statuses, field):
    answer = server.post("/v1/crop", body)
    assert answer.status in statuses, answer
    error = answer.json["error"]
    assert field in error["message"], error
    assert error.get("field", field) == field, error


@pytest.mark.parametrize("name", ["margin", "square", "min_size", "format", "quality", "return"])
def test_detect_knows_no_crop_options(server, name):
    answer = server.post("/v1/detect", changed(**{name: 1}))
    assert answer.status == 422 and name in answer.json["error"]["message"]


NOT_JSON = [
    b"",
    b" ",
    b"{",
    b"}",
    b"null",
    b"[]",
    b"3",
    b'"text"',
    b"{]",
    b"{'items': []}",
    b'{"items": [NaN]}',
    b'{"threshold": NaN}',
    b'{"threshold": Infinity}',
    b'{"threshold": -Infinity}',
    b'{"threshold": 1e999}',
    b'{"threshold": 0x1}',
    b'{"threshold": 01}',
    b'{"threshold": .5}',
    b'{"threshold": +1}',
    b'{"a": 1,}',
    b'{"a": 1} x',
    b'{"a": 1}{"b": 2}',
    b"\xff\xfe{\0}\0",
    b'{"items": ["\xff"]}',
    b'{"items": ["\xc0\xaf"]}',
    b'{"items": ["\xed\xa0\x80"]}',
    b'{"items": ["\\ud800"]}',
    b'{"items": ["a\nb"]}',
    b'{"items": ["\x00"]}',
    b"\x00",
    b"// comment\n{}",
    b"<xml/>",
    b"[" * 100000,
    b'{"a":' * 100000,
    b"[" * 40 + b"]" * 40,
]


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/crop", "/v1/jobs", "/crop", "/analyze"])
def test_not_json(server, path):
    for body in NOT_JSON:
        answer = server.post(path, body)
        assert answer.status in (400, 422), (body[:40], answer)
        assert answer.seconds < 2, body[:40]


def test_json_depth_at_its_limit(serve):
    server = serve(max_json_depth=8)
    within = b'{"image":' + b"[" * 7 + b"]" * 7 + b"}"
    beyond = b'{"image":' + b"[" * 8 + b"]" * 8 + b"}"
    assert server.post("/v1/detect", within).status == 422  # read, and then not an image
    answer = server.post("/v1/detect", beyond)
    assert answer.status == 400 and "max_json_depth" in answer.json["error"]["message"]


def test_a_key_given_twice_is_one_or_an_error(server):
    body = json.dumps(GOOD)[:-1] + ', "threshold": 0.3, "threshold": 0.9}'
    assert server.post("/v1/detect", body).status in (200, 400, 422)


def test_legacy_bodies(server):
    for path, body, field in [
        ("/crop", {}, "imageUrl"),
        ("/crop", {"imageUrl": 3, "categories": ["a"]}, "imageUrl"),
        ("/crop", {"imageBase64": 3, "categories": ["a"]}, "imageBase64"),
        ("/crop", {"imageBase64": base64_of(PLAIN)}, "categories"),
        ("/crop", {"imageBase64": base64_of(PLAIN), "categories": "tops"}, "categories"),
        ("/crop", {"imageBase64": base64_of(PLAIN), "categories": [1]}, "categories[0]"),
        ("/crop", {"imageBase64": base64_of(PLAIN), "categories": ["a"], "count": 0}, "count"),
        ("/crop", {"imageBase64": base64_of(PLAIN), "categories": ["a"], "count": "2"}, "count"),
        ("/analyze", {}, "imageUrl"),
        ("/analyze", {"imageUrl": 3}, "imageUrl"),
    ]:
        answer = server.post(path, body)
        assert answer.status == 422 and field in answer.json["detail"], (path, body, answer)


# ---- other kinds of bodies ----------------------------------------------------------------


def test_content_types(server):
    body = json.dumps(GOOD).encode()
    for kind in ["text/xml", "application/x-www-form-urlencoded", "video/mp4", "nonsense"]:
        answer = server.request("POST", "/v1/detect", body, {"Content-Type": kind})
        assert answer.status == 415 and answer.json["error"]["code"] == "unsupported_media_type", (
            kind,
            answer,
        )
    for kind in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"]:
        assert server.request("POST", "/v1/detect", body, {"Content-Type": kind}).status == 200


def test_bad_forms(server):
    good, headers = form(("image", "a.png", PLAIN), ("items", None, "pants"))
    assert server.request("POST", "/v1/detect", good, headers).status == 200
    kind = "multipart/form-data"
    cut = good[: len(good) // 2]
    for body, content_type in [
        (good, kind),
        (good, f"{kind}; boundary="),
        (good, f"{kind}; boundary=other"),
        (good, f"{kind}; boundary={'x' * 71}"),
        (b"", headers["Content-Type"]),
        (cut, headers["Content-Type"]),
        (good.replace(b"\r\n", b"\n"), headers["Content-Type"]),
        (good[:-6], headers["Content-Type"]),
        (good.replace(b"form-data; name", b"attachment; name"), headers["Content-Type"]),
        (b"\0" * 1000, headers["Content-Type"]),
    ]:
        answer = server.request("POST", "/v1/detect", body, {"Content-Type": content_type})
        assert answer.status in (400, 422), (content_type, answer)
    for parts, field in [
        ([("items", None, "pants")], "image"),
        ([("image", "a.png", PLAIN)], "items"),
        ([("image", "a.png", b""), ("items", None, "pants")], "image"),
        ([("image", "a.png", PLAIN), ("items", None, "pants"), ("colour", None, "red")], "colour"),
        ([("image", "a.png", PLAIN), ("items", None, "pants"), ("threshold", None, "2")], "threshold"),
        ([("image", "a.png", PLAIN), ("items", None, "pants"), ("threshold", None, "nan")], "threshold"),
        ([("image", "a.png", PLAIN), ("items", None, "pants"), ("count", None, "1x")], "count"),
        ([("image", "a.png", PLAIN), ("options", None, '{"items": 1}')], "items"),
        ([("image", "a.png", PLAIN), ("options", None, "[]")], "options"),
        ([("image", "a.png", PLAIN)] * 17 + [("items", None, "pants")], "image"),
    ]:
        body, headers = form(*parts)
        answer = server.request("POST", "/v1/detect", body, headers)
        assert answer.status in (413, 422) and field in answer.json["detail"], (parts[-1], answer)


def test_a_photo_in_another_field_is_told_its_own(server):
    body, headers = form(("file", "look.jpg", SAMPLE), ("items", None, "pants"))
    answer = server.request("POST", "/v1/crop", body, headers)
    assert answer.status == 422 and "-F image=@look.jpg" in answer.json["detail"], answer
    assert answer.json["error"]["field"] == "file"


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/crop"])
def test_an_address_without_a_photo_is_the_callers(server, photos, path):
    """404 and the like, an unknown host and something that is no image will be the same next time."""
    photos.pages["/page.html"] = (200, {"Content-Type": "text/html"}, b"<html>")
    photos.pages["/secret.jpg"] = (403, {}, b"no")
    for url, code in [
        (photos.url("/missing.jpg"), "bad_image_url"),
        (photos.url("/secret.jpg"), "bad_image_url"),
        ("http://no-such-host.invalid/a.jpg", "bad_image_url"),
        (photos.url("/page.html"), "unsupported_image"),
    ]:
        answer = server.post(path, {"image": {"url": url}, "items": ["pants"]})
        assert (answer.status, answer.code) == (422, code), (url, answer)
    photos.pages["/busy.jpg"] = (503, {}, b"later")
    answer = server.post(path, {"image": {"url": photos.url("/busy.jpg")}, "items": ["pants"]})
    assert (answer.status, answer.code) == (502, "unavailable"), answer


def test_the_old_contract_keeps_its_codes(server, photos):
    for path in ["/crop", "/analyze"]:
        answer = server.post(path, {"imageUrl": photos.url("/missing.jpg"), "categories": ["dress"]})
        assert (answer.status, answer.code) == (502, "unavailable"), answer


def test_a_private_address_names_the_setting_that_allows_it(serve, photos):
    answer = serve().post("/v1/crop", {"image": {"url": photos.url()}, "items": ["pants"]})
    assert answer.status == 403 and "fetch_private = true" in answer.json["detail"], answer


def test_bad_queries(server):
    for query, field in [
        ("", "items"),
        ("items=", "items"),
        ("items=pants&threshold=x", "threshold"),
        ("items=pants&threshold=nan", "threshold"),
        ("items=pants&suppress=maybe", "suppress"),
        ("items=pants&colour=red", "colour"),
        ("items=%FF", "items"),
        ("items=a&count=99999999999", "count"),
    ]:
        answer = server.request("POST", f"/v1/detect?{query}", PLAIN, {"Content-Type": "image/png"})
        assert answer.status in (400, 422) and field in answer.json["detail"], (query, answer)
    assert server.request("POST", "/v1/detect?items=%zz", PLAIN, {"Content-Type": "image/png"}).status == 400
    assert server.request("POST", "/v1/detect?items=pants", b"", {"Content-Type": "image/png"}).status in (
        411,
        415,
        422,
    )


def test_options_in_the_query_are_not_lost_in_silence(server):
    """They go with a bare image only."""
    body = {"image": as_image(PLAIN), "items": ["pants"]}
    form = b'--B\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + PLAIN + b"\r\n--B--\r\n"
    for answer in [
        server.post("/v1/detect?threshold=0.9", body),
        server.post("/v1/jobs?items=hat", {"images": [as_image(PLAIN)], "items": ["a"]}),
        server.request(
            "POST", "/v1/crop?return=zip", form, {"Content-Type": "multipart/form-data; boundary=B"}
        ),
    ]:
        assert answer.status == 422 and answer.json["error"]["field"] in ("threshold", "items", "return"), (
            answer
        )
        assert "query" in answer.json["detail"]


def test_numbers_are_shown_as_they_are_and_short(server):
    for value, shown in [(1e300, "1e+300"), (-1e-9, "-1e-09"), (1.5, "1.5"), (12345678, "12345678")]:
        answer = server.detect(threshold=value)
        assert answer.json["detail"] == f"threshold must be 0 to 1, is {shown}"


def test_images_that_are_none(server):
    for data, status in [
        (b"GIF89a nonsense", 413),
        (b"%PDF-1.7", 415),
        (b"hello", 415),
        (PLAIN[:40], 422),
        (png_header(100000, 100000), 413),
        (png_header(0, 5), 422),
    ]:
        answer = server.request("POST", "/v1/detect?items=pants", data, {"Content-Type": "image/png"})
        codes = {413: {"limit_exceeded"}, 415: {"unsupported_image"}, 422: {"corrupt_image"}}[status]
        assert answer.code in codes and answer.status in (200, status), (data[:10], answer)


# ---- routes and methods -------------------------------------------------------------------


def test_unknown_paths(server):
    for path in [
        "/nothing",
        "/v1",
        "/v1/",
        "/v2/detect",
        "/V1/detect",
        "/v1/detect/",
        "//",
        "/ui/../debug",
        "/ui/%2e%2e/debug",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/docs/app.js",
        "/v1/jobs/",
        "/v1/jobs/a/b/c",
    ]:
        answer = server.get(path)
        assert answer.status in (400, 404, 405), (path, answer)
        assert answer.code in ("not_found", "invalid_argument", "method_not_allowed")


def test_wrong_methods_say_which_are_right(server):
    for method, path, right in [
        ("GET", "/v1/detect", "POST"),
        ("POST", "/healthz", "GET"),
        ("PUT", "/crop", "POST"),
        ("PATCH", "/v1/jobs", "POST"),
        ("DELETE", "/metrics", "GET"),
    ]:
        answer = server.request(method, path, b"" if method != "GET" else None)
        assert answer.status == 405, (path, answer)
        assert right in answer.headers["allow"].replace(" ", "").split(",")


def test_head_is_get_without_a_body(server):
    for path in ["/", "/healthz", "/openapi.json", "/ui"]:
        answer = server.request("HEAD", path, checked=False)
        assert answer.status in (200, 405) and not answer.body


def test_file_keys_stay_inside(server):
    for key in [
        "",
        "..",
        "../data",
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "a/../../b",
        "a%00b",
        "%ff",
        "a" * 2000,
        ".",
        "a//b",
        "C:\\x",
        "..\\..\\x",
    ]:
        answer = server.request("GET", f"/files/{key}")
        assert answer.status in (400, 404), (key, answer)
        assert b"root:" not in answer.body


def test_job_ids(server):
    for key in ["nothing", "x" * 65, "..", "%2e%2e", "a%00b", "'--", "job_" + "0" * 32]:
        for method, path in [
            ("GET", f"/v1/jobs/{key}"),
            ("DELETE", f"/v1/jobs/{key}"),
            ("GET", f"/v1/jobs/{key}/events"),
        ]:
            answer = server.request(method, path)
            assert answer.status in (400, 404), (method, path, answer)


def test_job_pages(server):
    job = server.post("/v1/jobs", {"images": [IMAGE], "items": ["pants"]}).json["id"]
    for query in [
        "offset=-1",
        "offset=x",
        "limit=-1",
        "limit=0",
        "limit=1e3",
        "limit=1001",
        "offset=99999999999999999999",
    ]:
        answer = server.get(f"/v1/jobs/{job}?{query}")
        assert answer.status in (400, 422), (query, answer)


def test_bad_jobs(server):
    for body, field in [
        ({}, "images"),
        ({"images": [], "items": ["a"]}, "images"),
        ({"images": [IMAGE]}, "items"),
        ({"image": IMAGE, "items": ["a"]}, "image"),
        ({"images": [IMAGE] * 1001, "items": ["a"]}, "images"),
        ({"images": [IMAGE], "items": ["a"], "return": "zip"}, "return"),
        ({"images": [IMAGE, {"url": 1}], "items": ["a"]}, "images[1].url"),
    ]:
        answer = server.post("/v1/jobs", body)
        assert answer.status in (413, 422) and field in answer.json["detail"], (field, answer)
