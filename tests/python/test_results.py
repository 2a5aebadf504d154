"""What can be made of a result."""

import io
import json
import sys

import jsonschema
import numpy as np
import pytest
from PIL import Image

from conftest import ITEMS, ROOT
from itemcrop import Detections, _draw, errors


def make(boxes, width=100, height=50, items=("hat", "shoes")):
    """Detections of the items in turn."""
    count = len(boxes)
    ids = np.arange(count, dtype=np.int32) % len(items)
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(count, 4),
        scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
        item_ids=ids,
        item_scores=np.full((count, len(items)), 0.25, np.float32),
        labels=[items[i] for i in ids],
        items=list(items),
        not_found=[],
        image=np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3),
        passes=1,
        timing_ms={"preprocess": 1.0, "model": 2.0, "postprocess": 3.0},
    )


def test_iteration_gives_plain_python_values():
    one, two = make([[1, 2, 3, 4], [5.5, 6, 7, 8]])
    assert one.box == (1.0, 2.0, 3.0, 4.0)
    assert (two.label, two.item_id, two.score, two.scores) == ("shoes", 1, 0.5, {"hat": 0.25, "shoes": 0.25})
    assert repr(make([[1, 2, 3, 4]])) == "<1 detections in 100 x 50: hat 0.90>"


def test_crops_are_views_grown_rounded_outwards_and_clipped():
    found = make([[10, 20, 30, 40], [90.5, -3, 130, 10], [100, 50, 100, 50]])
    plain, at_edge, empty = found.crops(margin=0)
    assert np.shares_memory(plain, found.image)
    np.testing.assert_array_equal(plain, found.image[20:40, 10:30])
    np.testing.assert_array_equal(at_edge, found.image[0:10, 90:100])
    np.testing.assert_array_equal(empty, found.image[49:50, 99:100])
    np.testing.assert_array_equal(found.crops()[0], found.image[19:41, 9:31])
    with pytest.raises(errors.InvalidArgumentError, match="margin must be between 0 and 10, got -1"):
        found.crops(-1)


def test_to_dict_has_the_words_of_the_published_schema(found):
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text())
    made = found.to_dict()
    image = {"file": "a.jpg", "crops": [], "error": None, **made}
    image["timing_ms"] = {"decode": 0, "encode": 0, **image["timing_ms"]}
    document = {"model": "wardrobe", "device": "cpu", "precision": "fp32", "images": [image]}
    jsonschema.validate(json.loads(json.dumps(document)), schema)
    assert len(made["detections"]) == len(found)


def test_to_coco_gives_annotations_with_scores():
    made = make([[1, 2, 4, 8], [5, 6, 7, 8]]).to_coco(image_id=9, first_id=100)
    assert made[0] == {
        "id": 100,
        "image_id": 9,
        "category_id": 1,
        "bbox": [1.0, 2.0, 3.0, 6.0],
        "area": 18.0,
        "iscrowd": 0,
        "score": pytest.approx(0.9),
    }
    assert [one["id"] for one in made] == [100, 101]
    assert [
        one["category_id"] for one in make([[1, 2, 4, 8]] * 2).to_coco(categories={"hat": 7, "shoes": 4})
    ] == [7, 4]
    json.dumps(made)


def test_to_arrow_has_a_row_a_detection(found):
    table = found.to_arrow()
    assert table.num_rows == len(found)
    rows = table.to_pylist()
    np.testing.assert_array_equal(np.array([row["box"] for row in rows], np.float32), found.boxes)
    np.testing.assert_array_equal(np.array([row["scores"] for row in rows], np.float32), found.item_scores)
    assert [row["item"] for row in rows] == found.labels
    empty = make([]).to_arrow()
    assert empty.schema == table.schema
    assert empty.num_rows == 0


def test_to_supervision_keeps_boxes_scores_and_names(found):
    made = found.to_supervision()
    np.testing.assert_array_equal(made.xyxy, found.boxes)
    np.testing.assert_array_equal(made.confidence, found.scores)
    assert made.data["class_name"].tolist() == found.labels
    assert len(make([]).to_supervision()) == 0


def test_a_notebook_shows_the_image_with_boxes(found):
    shown = Image.open(io.BytesIO(found._repr_png_()))
    shown.load()
    assert max(shown.size) <= 800
    assert shown.size[0] / shown.size[1] == pytest.approx(found.width / found.height, abs=0.01)


def test_boxes_are_drawn_without_pillow_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    found = make([[10, 10, 60, 40], [-5, -5, 200, 200]])
    drawn = found.annotated()
    assert drawn.shape == found.image.shape
    assert not np.shares_memory(drawn, found.image)
    np.testing.assert_array_equal(drawn[10, 30], _draw.PALETTE[0])
    np.testing.assert_array_equal(drawn[0, 50], _draw.PALETTE[1])
    np.testing.assert_array_equal(drawn[20, 30], found.image[20, 30])


def test_png_is_read_back_to_the_bit():
    image = np.random.default_rng(3).integers(0, 256, (13, 17, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(_draw.encode_png(image)))), image)


def test_nothing_found_is_a_result_like_any_other(model, pixels):
    nothing = model.detect(pixels, ITEMS, threshold=1.0)
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.item_scores.shape == (0, len(ITEMS))
    assert nothing.not_found == ITEMS
    assert nothing.crops() == []
    assert nothing.to_coco() == []
    assert nothing._repr_png_().startswith(b"\x89PNG")
