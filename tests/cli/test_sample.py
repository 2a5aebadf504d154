"""The sample photo with the embedded model: the answer that the README's first command gives."""

import json

import pytest

from conftest import ROOT

MODEL = ROOT / "models" / "wardrobe"


@pytest.mark.parametrize("precision, tolerance", [
    ("fp32", "tolerance_fp32"), ("bf16", "tolerance_half"), ("auto", "tolerance_half")])
def test_each_item_of_the_sample_is_found_once(itemcrop, validated, precision, tolerance):
    expected = json.loads((MODEL / "expected.json").read_text())
    tolerance = expected[tolerance]
    [case] = expected["cases"]
    items = (ROOT / "samples" / "items.txt").read_text().strip()
    assert case["items"] == items.split(", ")

    run = itemcrop("detect", MODEL / expected["photo"], "--items", items, "--precision", precision,
                   "--device", "cpu", "--json", "-")
    assert run.returncode == 0, run.stderr
    [image] = validated(run.stdout)["images"]
    assert image["not_found"] == []
    assert sorted(found["item"] for found in image["detections"]) == sorted(case["items"])
    # The reference's labels are decoded tokens, "t - shirt", and it keeps weaker boxes of one thing too;
    # it lists the best first.
    answers = {answer["label"].replace(" ", ""): answer for answer in reversed(case["detections"])}
    for found in image["detections"]:
        answer = answers[found["item"]]
        assert found["score"] == pytest.approx(answer["score"], abs=tolerance["score"])
        assert found["box"] == pytest.approx(answer["box"], abs=tolerance["box"])
