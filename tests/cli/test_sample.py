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
    assert {name: detection["prompt"] for name, detection in found.items()} == {
        "tops": "t-shirt",
        "accessory": "hat",
        "shoes": "shoes",
    }
    for detection in image["detections"]:
        assert detection["description"].endswith(" " + detection["prompt"])
        assert detection["crop"]["file"] in image["crops"]
        assert detection["description"] in run.stdout.decode()
    assert len(image["crops"]) == len(image["detections"]) == 3


def test_every_form_of_a_list_finds_the_same(itemcrop, validated):
    photo = ROOT / "examples" / "wardrobe.jpg"
    answers = []
    for arguments in (
        ["--items", "hat, shoes"],
        ["--items", "hat. shoes."],
        ["--items", '["hat", "shoes"]'],
        ["--items", "hat", "--items", "shoes"],
        ["--item", "hat", "--item", "shoes"],
    ):
        [image] = validated(itemcrop("detect", photo, *arguments).stdout)["images"]
        answers.append((image["detections"], image["not_found"]))
    assert all(answer == answers[0] for answer in answers)
    assert {detection["item"] for detection in answers[0][0]} == {"hat", "shoes"}


def test_items_and_categories_together_are_one_search(itemcrop, validated):
    photo = ROOT / "examples" / "wardrobe.jpg"
    run = itemcrop("detect", photo, "--items", "t-shirt, handbag", "--categories", "tops, bottoms, shoes")
    assert run.returncode == 0, run.stderr
    results = validated(run.stdout)
    assert results["categories"] == ["tops", "bottoms", "shoes"]
    assert [item["prompt"] for item in results["items"]] == ["t-shirt", "handbag"]
    [image] = results["images"]
    found = {detection["item"]: detection for detection in image["detections"]}
    assert set(found) == {"t-shirt", "bottoms", "shoes"}, "each garment once, under the narrower word"
    assert "category" not in found["t-shirt"] and found["bottoms"]["category"] == "bottoms"
    assert image["not_found"] == ["handbag"], "the t-shirt is a top, so tops were found"
    [hint] = results["hints"]
    assert "was never taught 'handbag'" in hint and "itemcrop models pull llmdet-tiny" in hint
    assert run.stderr.decode() == f"itemcrop: hint: {hint}\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--categories", "tops,,shoes"), "--categories names nothing at position 2 of 3"),
        (("--item", "hat, shoes"), 'write --items "hat, shoes"'),
        (("--items", '["hat", 3]'), "--items is no JSON list of texts"),
        (("--items", "hat. shoes, pants."), "mixes commas and full stops"),
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
    assert (detection["category"], detection["prompt"]) == ("legwear", "pants")
    assert detection["description"].endswith("slacks")

    mine.write_text('format = 1\nname = "mine"\nkind = 3\n')
    run = itemcrop("detect", photo, "--categories", "legwear", "--taxonomy", mine)
    assert run.returncode != 0
    assert "mine.toml:3: unknown key 'kind'" in run.stderr.decode()
