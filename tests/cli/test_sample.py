"""The sample photo with the embedded model: the answer that the README's first command gives."""

import json

import pytest

from conftest import ROOT

MODEL = ROOT / "models" / "wardrobe"


@pytest.mark.parametrize(
    "precision, tolerance",
    [("fp32", "tolerance_fp32"), ("bf16", "tolerance_half"), ("auto", "tolerance_half")],
)
def test_each_item_of_the_sample_is_found_once(itemcrop, validated, precision, tolerance):
    expected = json.loads((MODEL / "expected.json").read_text())
    tolerance = expected[tolerance]
    [case] = expected["cases"]
    items = (ROOT / "examples" / "items.txt").read_text().strip()
    assert case["items"] == items.split(", ")

    run = itemcrop(
        "detect",
        MODEL / expected["photo"],
        "--items",
        items,
        "--precision",
        precision,
        "--device",
        "cpu",
        "--json",
        "-",
    )
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


def test_categories_find_one_garment_each_and_describe_it(itemcrop, validated, tmp_path):
    run = itemcrop(
        "crop",
        ROOT / "examples" / "wardrobe.jpg",
        "--categories",
        "tops, accessories",
        "-c",
        "shoes,bag",
        "--out",
        "out",
        "--device",
        "cpu",
    )
    assert run.returncode == 0, run.stderr
    [image] = validated((tmp_path / "out" / "results.json").read_text())["images"]
    assert image["not_found"] == ["bag"]
    found = {detection["category"]: detection for detection in image["detections"]}
    assert {name: detection["item"] for name, detection in found.items()} == {
        "tops": "t-shirt",
        "accessory": "hat",
        "shoes": "shoes",
    }
    for detection in image["detections"]:
        assert detection["description"].endswith(" " + detection["item"])
        assert detection["description"] in run.stdout.decode()
    assert len(image["crops"]) == len(image["detections"]) == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--categories", "tops,,shoes"), "--categories: word 2 is empty"),
        (("--categories", "tops", "--items", "hat"), "--categories goes without --items"),
        (("--categories", "tops", "--labels", "tokens"), "--categories does not apply"),
        (("--categories", "tops", "--taxonomy", "nature"), "there are: fashion, wardrobe"),
        (("--categories", "tops", "--taxonomy", "./gone.toml"), "gone.toml"),
        (("--items", "hat", "--taxonomy", "fashion"), "--taxonomy only applies to --categories"),
    ],
)
def test_bad_categories_are_refused(itemcrop, arguments, message):
    run = itemcrop("crop", ROOT / "examples" / "wardrobe.jpg", *arguments)
    assert run.returncode != 0
    assert message in run.stderr.decode()


def test_a_taxonomy_file_gives_words_their_meaning(itemcrop, validated, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'format = 1\nname = "mine"\n[[category]]\nname = "legwear"\n'
        'kinds = [{ name = "slacks", prompts = ["pants"] }]\n'
    )
    photo = ROOT / "examples" / "wardrobe.jpg"
    run = itemcrop("detect", photo, "--categories", "legwear", "--taxonomy", mine)
    assert run.returncode == 0, run.stderr
    [detection] = validated(run.stdout)["images"][0]["detections"]
    assert (detection["category"], detection["item"]) == ("legwear", "pants")
    assert detection["description"].endswith("slacks")

    mine.write_text('format = 1\nname = "mine"\nkind = 3\n')
    run = itemcrop("detect", photo, "--categories", "legwear", "--taxonomy", mine)
    assert run.returncode != 0
    assert "mine.toml:3: unknown key 'kind'" in run.stderr.decode()
