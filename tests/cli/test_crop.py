"""`itemcrop crop` and `itemcrop detect` from the outside."""

import html.parser
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess

import jsonschema
import pytest

from conftest import BINARY, ROOT, scene

# The answer itself is not under test here: everything above a hair is returned.
LOW = ("--threshold", "0.01", "--count", "2")


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.paths, self.alts, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.paths.append(value)
            if name == "alt":
                self.alts.append(value)


def test_crop_writes_what_it_promises(itemcrop, photo, tmp_path, validated):
    out = tmp_path / "deep" / "out"
    run = itemcrop("crop", photo, "--items", "shirt, pants", *LOW, "--out", out)
    assert run.returncode == 0, run.stderr
    assert run.stderr == b""
    assert str(out / "index.html") in run.stdout.decode()

    results = validated((out / "results.json").read_text())
    assert results["model"] == "wardrobe"
    [image] = results["images"]
    assert (image["file"], image["width"], image["height"]) == (str(photo), 240, 320)
    assert image["detections"], "a threshold of 0.01 finds something"
    assert image["crops"] == [detection["crop"]["file"] for detection in image["detections"]]
    assert results["complete"] and results["settings"]["threshold"] == 0.01
    assert image["timing_ms"]["model"] > 0
    scores = [detection["score"] for detection in image["detections"]]
    assert scores == sorted(scores, reverse=True)
    found = {detection["item"] for detection in image["detections"]}
    assert found.isdisjoint(image["not_found"]) and found | set(image["not_found"]) == {"shirt", "pants"}
    for detection, crop in zip(image["detections"], image["crops"]):
        assert (out / crop).read_bytes().startswith(b"\xff\xd8\xff"), "JPEG"
        assert set(detection["scores"]) == {"shirt", "pants"}
        assert detection["scores"][detection["item"]] == detection["score"]
        x0, y0, x1, y1 = detection["box"]
        assert 0 <= x0 < x1 <= 240 and 0 <= y0 < y1 <= 320
    assert sorted(p.name for p in out.iterdir()) == [
        ".itemcrop",
        "annotated",
        "crops",
        "index.html",
        "results.json",
        "thumbnails",
    ]
    listed = (out / ".itemcrop" / "files.txt").read_text().split()
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == {
        *listed,
        ".itemcrop/files.txt",
        ".itemcrop/run.json",
    }
    assert [p.name for p in (out / "annotated").iterdir()] == ["look.jpg"]


def test_the_contact_sheet_opens_from_disk(itemcrop, photo, tmp_path):
    itemcrop("crop", photo, "--items", "shirt", *LOW, "--out", "out")
    page = Links()
    page.feed((tmp_path / "out" / "index.html").read_text())
    assert page.paths and page.alts
    for path in page.paths:
        assert not path.startswith(("/", "http", "//", "file:")), path
        assert (tmp_path / "out" / path).is_file(), path
    assert "link" not in page.tags


def test_detect_equals_crop_and_prints_json_only(itemcrop, photo, validated):
    cropped = itemcrop("crop", photo, "--items", "shirt", *LOW, "--json", "-")
    detected = itemcrop("detect", photo, "--items", "shirt", *LOW)
    assert detected.stderr == b""
    images = [validated(run.stdout)["images"][0] for run in (cropped, detected)]
    for detection in images[0]["detections"]:
        assert detection.pop("crop")
    assert images[0]["detections"] == images[1]["detections"]
    assert images[1]["crops"] == []


def test_results_are_batch_invariant(itemcrop, tmp_path, validated):
    for i, size in enumerate([(240, 320), (333, 200), (97, 301)]):
        (tmp_path / f"{i}.png").write_bytes(scene(*size))
    answers = []
    for batch in (1, 3):
        run = itemcrop("detect", "0.png", "1.png", "2.png", "--items", "shirt", *LOW, "--batch", batch)
        answers.append([image["detections"] for image in validated(run.stdout)["images"]])
    assert answers[0] == answers[1]


def test_standard_input_and_model_folder(itemcrop, photo_bytes, validated):
    run = itemcrop(
        "detect", "-", "--items", "shirt", "--model", ROOT / "models" / "wardrobe", stdin=photo_bytes
    )
    results = validated(run.stdout)
    assert results["model"] == "wardrobe" and results["images"][0]["file"] == "-"


def test_failed_photos_are_reported_and_the_others_written(itemcrop, photo, tmp_path, validated):
    (tmp_path / "broken.png").write_bytes(photo.read_bytes()[:200])
    (tmp_path / "page.jpg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    run = itemcrop("crop", "broken.png", photo, "page.jpg", "gone.jpg", "--items", "shirt", *LOW)
    assert run.returncode == 1
    images = validated((tmp_path / "itemcrop-out" / "results.json").read_text())["images"]
    assert [i["error"] and i["error"]["code"] for i in images] == [
        "corrupt_image",
        None,
        "unsupported_image",
        "not_found",
    ]
    assert images[1]["crops"]
    lines = run.stderr.decode().splitlines()
    assert len(lines) == 3 and all(line.startswith("itemcrop: error: ") for line in lines)


def test_folders_and_hostile_names(itemcrop, tmp_path, validated):
    sample = (ROOT / "examples" / "wardrobe.jpg").read_bytes()
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [
        "..png",
        "-rf.png",
        "CON.png",
        "a b&<i>'\".png",
        "\u202egnp.png",
        "A.PNG",
        "a.png",
        os.fsdecode(b"\xff\xfe.png"),
        "new\nline.png",
    ]
    for name in names:
        (photos / name).write_bytes(sample)
    run = itemcrop(
        "crop",
        "photos",
        "--items",
        "shoes",
        "--item",
        "../../etc/passwd",
        *LOW,
        "--distractor",
        "NUL",
        "--out",
        "out",
        "--format",
        "png",
    )
    assert run.returncode == 0, run.stderr
    images = validated((tmp_path / "out" / "results.json").read_bytes())["images"]
    assert len(images) == len(names) - 1, "names that begin with a dot are hidden"
    crops = [crop for image in images for crop in image["crops"]]
    assert crops and len({crop.lower() for crop in crops}) == len(crops)
    for crop in crops:
        assert re.fullmatch(r"crops/[a-z0-9-]+_\d+_[a-z0-9-]+\.png", crop), crop
        assert (tmp_path / "out" / crop).is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "photos"]
    assert b"\x1b" not in run.stdout and "\u202e" not in (tmp_path / "out" / "index.html").name


@pytest.mark.parametrize(
    "arguments, code, part",
    [
        (["crop", "look.png"], 2, "--items"),
        (["crop", "--items", "hat"], 2, "PHOTO"),
        (["crop", "look.png", "--items", "hat,,belt"], 2, "names nothing at position 2"),
        (["crop", "look.png", "--items", "hat", "--threshold", "2"], 2, "from 0 to 1, got '2'"),
        (["crop", "look.png", "--itmes", "hat"], 2, "did you mean --items"),
        (["crop", "look.png", "--items", "hat", "--item-count", "hta=2"], 2, "did you mean 'hat'"),
        (["crop", "empty", "--items", "hat"], 2, "no images in folder"),
        (["crop", "*.heic", "--items", "hat"], 2, "nothing matches"),
        (["crop", "look.png", "--item", "[SEP]"], 2, "[SEP]"),
        (["crop", "look.png", "--items", "x" * 5000], 2, "1024"),
        (["detect", "look.png", "--items", "hat", "--model", "wardobe"], 3, "did you mean 'wardrobe'"),
        (["detect", "look.png", "--items", "hat", "--model", "empty"], 3, "config.json"),
        (["detect", "look.png", "--items", "hat", "--cpu-isa", "neon"], 4, "neon"),
        (["crop", "look.png", "--items", "hat", "--out", "look.png/out"], 5, "look.png/out"),
        (["crop", "look.png", "--items", "hat", "--json", "none/x.json"], 5, "no folder 'none'"),
        (["detect", "look.png", "--items", "hat", "--json", "none/x.json"], 5, "no folder 'none'"),
        (["frob"], 2, "frob"),
        (["corp", "look.png", "--items", "hat"], 2, "did you mean crop"),
        (["crop", "my", "look.png", "--items", "hat"], 2, 'in quotes: "my look.png"'),
    ],
)
def test_refusals(itemcrop, photo, tmp_path, arguments, code, part):
    (tmp_path / "empty").mkdir()
    (tmp_path / "my look.png").write_bytes(photo.read_bytes())
    run = itemcrop(*arguments)
    assert run.returncode == code, run.stderr
    assert run.stdout == b""
    first_line = run.stderr.decode().splitlines()[0]
    assert first_line.startswith("itemcrop: error: ") and part in first_line


def test_a_full_disk_leaves_no_partial_file(itemcrop, photo, tmp_path):
    with pathlib.Path("/dev/full").open("wb") as full:
        run = subprocess.run([BINARY, "detect", photo, "--items", "hat"], stdout=full, stderr=subprocess.PIPE)
    assert run.returncode == 5
    assert b"standard output" in run.stderr


def start_many(tmp_path, photo_bytes, count=40):
    photos = tmp_path / "many"
    photos.mkdir()
    for i in range(count):
        (photos / f"{i:02}.png").write_bytes(photo_bytes)
    return subprocess.Popen(
        [BINARY, "crop", photos, "--items", "shirt", *LOW, "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_finished_photos_whole(tmp_path, photo_bytes, validated, sent):
    process = start_many(tmp_path, photo_bytes)
    process.stdout.readline()  # one photo is finished
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in errors
    out = tmp_path / "out"
    results = validated((out / "results.json").read_text())
    images = results["images"]
    assert 1 <= len(images) < 40
    assert results["complete"] is False
    assert f"interrupted after {len(images)} of 40 photos" in (out / "index.html").read_text()
    listed = {crop for image in images for crop in image["crops"]}
    on_disk = {f"crops/{p.name}" for p in (out / "crops").iterdir()}
    assert listed == on_disk
    assert all((out / crop).read_bytes().endswith(b"\xff\xd9") for crop in listed)


def test_an_ignored_interrupt_stays_ignored(tmp_path, photo_bytes):
    (tmp_path / "many").mkdir()
    for i in range(3):
        (tmp_path / "many" / f"{i}.png").write_bytes(photo_bytes)
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            "trap '' INT; exec \"$@\"",
            "sh",
            BINARY,
            "crop",
            tmp_path / "many",
            "--items",
            "shirt",
            "--out",
            tmp_path / "out",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_progress_goes_to_a_terminal_only(tmp_path, photo_bytes, validated):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(photo_bytes)
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [BINARY, "detect", "a.png", "b.png", "--items", "hat"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    output = process.stdout.read()
    assert process.wait(timeout=120) == 0
    drawn = b""
    while select.select([leader], [], [], 0.5)[0]:
        try:
            drawn += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert b"2/2" in drawn
    validated(output)


def test_token_labels(itemcrop, photo, validated):
    tokens = itemcrop(
        "detect",
        photo,
        "--items",
        "shirt, pants",
        "--labels",
        "tokens",
        "--threshold",
        "0.01",
        "--text-threshold",
        "0.001",
    )
    labels = {d["item"] for d in validated(tokens.stdout)["images"][0]["detections"]}
    assert any("shirt" in label and "pants" in label for label in labels), "glued, as the reference does"


def test_more_items_than_one_pass_holds(itemcrop, photo, validated):
    names = [f"striped shirt number {i}" for i in range(80)]
    run = itemcrop("detect", photo, "--items", ", ".join(names), "--threshold", "0.01")
    [image] = validated(run.stdout)["images"]
    assert image["error"] is None and image["detections"]
    asked = {d["item"] for d in image["detections"]} | set(image["not_found"])
    assert asked == set(names), "none is cut off"
    assert all(len(d["scores"]) == 80 for d in image["detections"])


def test_the_schema_refuses_what_is_not_a_result(itemcrop, photo, validated):
    results = validated(itemcrop("detect", photo, "--items", "shirt", *LOW).stdout)
    for change in (
        lambda r: r.pop("device"),
        lambda r: r["images"][0].pop("not_found"),
        lambda r: r["images"][0]["detections"][0].update(box=[1, 2, 3]),
        lambda r: r["images"][0].update(surprise=1),
        lambda r: r["images"][0].update(error="text"),
    ):
        broken = json.loads(json.dumps(results))
        change(broken)
        with pytest.raises(jsonschema.ValidationError):
            validated(json.dumps(broken))
