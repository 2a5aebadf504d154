"""Small made photos for jobs: parts of the sample photo, all different, and what is to come of them."""

import io
import pathlib

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
ITEMS = ["t-shirt", "pants", "dress", "shorts", "hat", "shoes"]
# Small images and small sizes make a call short; fp32 makes results the same on every processor.
SMALL = {"precision": "fp32", "shortest_edge": 96, "longest_edge": 128}
BROKEN = 3


def photo(number, side=160):
    """A JPEG file; every one is another part of the sample photo."""
    with Image.open(ROOT / "examples" / "wardrobe.jpg") as whole:
        x = number * 37 % (whole.width - 400)
        y = number * 11 % (whole.height - 400)
        part = whole.convert("RGB").crop((x, y, x + 400, y + 400)).resize((side, side))
    file = io.BytesIO()
    part.save(file, "JPEG")
    return file.getvalue()


def write(folder, count):
    """Files photo_0000.jpg and on; number BROKEN is no photo."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        data = photo(number) if number != BROKEN else b"no photo"
        (folder / f"photo_{number:04}.jpg").write_bytes(data)
    return folder


def key(path):
    return pathlib.PurePosixPath(path.removeprefix("file:")).name


def expected(model, folder, **options):
    """{file name: (labels, scores, boxes)} of one call an image, without any runner."""
    table = {}
    for path in sorted(folder.iterdir()):
        if path.name == f"photo_{BROKEN:04}.jpg":
            table[path.name] = ([], [], [])
            continue
        found = model.detect(path, ITEMS, **options)
        table[path.name] = (found.labels, found.scores.tolist(), found.boxes.tolist())
    return table


def check(rows, table):
    """Every image once, the broken one with an error, the others with the expected values to the bit."""
    assert len(rows) == len(table)
    assert {key(row["path"]) for row in rows} == set(table)
    for row in rows:
        labels, scores, boxes = table[key(row["path"])]
        assert list(row["labels"]) == labels
        assert list(row["scores"]) == scores
        assert [list(box) for box in row["boxes"]] == boxes
        if key(row["path"]) == f"photo_{BROKEN:04}.jpg":
            assert row["error"].startswith("unsupported_image: image: 8 bytes")
        else:
            assert row["error"] is None
    assert sum(len(labels) for labels, _, _ in table.values()) > len(table) / 4
    assert np.isfinite([score for _, scores, _ in table.values() for score in scores]).all()
