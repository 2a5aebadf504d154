"""The command line on real photos against the reference's detections of them.

The photos are not part of the repository; ITEMCROP_GARMENTS names their folder, and ctest knows these
tests only where it exists.
"""

import json
import os
import pathlib
import subprocess

import pytest

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "garments" / "detections.json"
FOLDER = pathlib.Path(os.environ["ITEMCROP_GARMENTS"])
SCORE = 2e-3  # a decoder that rounds one pixel otherwise moves a score by less
PIXELS = 0.5


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def detected(golden):
    """What the program says: file name -> its entry in the JSON."""
    files = [photo["file"] for photo in golden["photos"]]
    result = subprocess.run(
        [
            os.environ["ITEMCROP_BIN"],
            "detect",
            *[str(FOLDER / file) for file in files],
            "--items",
            ",".join(golden["items"]),
            "--labels",
            "tokens",
            "--no-suppress",
            "--precision",
            "fp32",
            "--device",
            "cpu",
            "--json",
            "-",
        ],
        capture_output=True,
        check=True,
        timeout=900,
    )
    images = json.loads(result.stdout)["images"]
    assert len(images) == len(files)
    return dict(zip(files, images))


def is_same(reference, engine):
    return abs(reference["score"] - engine["score"]) <= SCORE and all(
        abs(a - b) <= PIXELS for a, b in zip(reference["box"], engine["box"])
    )


def test_every_detection_of_the_reference_is_found(golden, detected):
    threshold = golden["threshold"]
    missing = []
    for photo in golden["photos"]:
        image = detected[photo["file"]]
        assert image["error"] is None
        for reference in photo["detections"]:
            if reference["score"] > threshold + SCORE and not any(
                is_same(reference, engine) for engine in image["detections"]
            ):
                missing.append((photo["file"], reference))
    assert not missing


def test_nothing_else_is_found(golden, detected):
    threshold = golden["threshold"]
    extra = []
    for photo in golden["photos"]:
        image = detected[photo["file"]]
        for engine in image["detections"]:
            if engine["score"] > threshold + SCORE and not any(
                is_same(reference, engine) for reference in photo["detections"]
            ):
                extra.append((photo["file"], engine))
    assert not extra


def test_the_photos_have_detections(golden):
    assert sum(len(photo["detections"]) for photo in golden["photos"]) >= 20
