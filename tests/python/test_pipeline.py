"""itemcrop.pipeline beside transformers' on the same checkpoint and photo.

What transformers answers is in tests/golden/wardrobe/zero_shot_pipeline.json; tests/training holds that file to
the transformers that is installed there.
"""

import base64
import http.server
import json
import threading

import pytest
from PIL import Image

import itemcrop
from conftest import PHOTO, ROOT
from itemcrop import errors

CASES = json.loads((ROOT / "tests" / "golden" / "wardrobe" / "zero_shot_pipeline.json").read_text())["cases"]
# Logits agree within 2e-3 (ARCHITECTURE.md), a probability's quarter of that; boxes within 1e-4 of the image's
# side, after which both cut to an integer.
SCORE, CORNER = 5e-4, 1


@pytest.fixture(scope="module")
def detector():
    return itemcrop.pipeline("zero-shot-object-detection", model="wardrobe")


def arguments(case):
    return {name: value for name, value in case.items() if name != "found"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["candidate_labels"]))
def test_answers_are_those_of_transformers(detector, case):
    found = detector(str(PHOTO), **arguments(case))
    assert len(found) == len(case["found"])
    assert len(found) > 0
    for one, expected in zip(found, case["found"]):
        assert list(one) == list(expected)
        assert one["label"] == expected["label"]
        assert one["score"] == pytest.approx(expected["score"], abs=SCORE)
        assert list(one["box"]) == list(expected["box"])
        assert list(one["box"].values()) == pytest.approx(list(expected["box"].values()), abs=CORNER)
        assert all(type(corner) is int for corner in one["box"].values())


def test_calls_are_those_of_transformers(detector):
    labels = CASES[0]["candidate_labels"]
    single = detector(str(PHOTO), candidate_labels=labels)
    photo = Image.open(PHOTO)
    request = {"image": photo, "candidate_labels": labels}
    assert detector(photo, labels) == single
    assert detector(request) == single
    assert detector(base64.b64encode(PHOTO.read_bytes()).decode(), labels) == single
    assert detector(photo, text_queries=labels) == single
    assert detector([photo, photo], [labels, labels[:1]])[0] == single
    assert detector([request, request]) == [single, single]
    assert detector(photo, labels, top_k=1) == single[:1]
    assert itemcrop.pipeline(model=detector.model, batch_size=2)([request] * 3) == [single] * 3
    stream = detector(request for _ in range(2))
    assert next(stream) == single
    assert list(stream) == [single]


def test_images_come_from_urls(detector, tmp_path):
    class Photos(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PHOTO.read_bytes())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Photos)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/photo.jpg"
    assert detector(url, ["hat."], timeout=30) == detector(str(PHOTO), ["hat."])
    server.shutdown()
    server.server_close()
    with pytest.raises(errors.UnavailableError, match="cannot be fetched"):
        detector(url, ["hat."], timeout=30)


def test_alpha_and_profiles_are_dropped_as_transformers_does():
    from itemcrop._pipeline import _load

    hidden = Image.new("RGBA", (2, 1), (1, 2, 3, 0))
    assert _load(hidden, None).tolist() == [[[1, 2, 3]] * 2]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda detector: itemcrop.pipeline("image-to-text"), "task must be 'zero-shot-object-detection'"),
        (lambda detector: itemcrop.pipeline(dtype="int8"), "dtype must be one of"),
        (lambda detector: itemcrop.pipeline(device="tpu"), "device must be cpu, cuda or a GPU's number"),
        (lambda detector: detector(str(PHOTO)), "candidate_labels: at least one is needed"),
        (lambda detector: detector([PHOTO, PHOTO], ["hat"]), "candidate_labels: 2 images need as many lists"),
        (lambda detector: detector("nothing.jpg", ["hat"]), "no file 'nothing.jpg'"),
    ],
)
def test_wrong_calls_name_the_argument(detector, call, message):
    with pytest.raises(errors.Error, match=message):
        call(detector)
