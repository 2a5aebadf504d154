"""A batch of a table's rows through a model, for Ray and Spark. A broken image costs its own row only."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors
from ._images import Pixels, to_pixels
from ._model import Item, Items, Model, load
from ._results import Detections

if TYPE_CHECKING:
    import pyarrow as pa

#: Column -> what it holds; all are lists over an image's detections, best first, but the last four.
COLUMNS = ("labels", "scores", "boxes", "item_ids", "not_found", "width", "height", "error")


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one image: a result, or why there is none."""

    found: Detections | None
    error: str | None

    def values(self) -> dict[str, Any]:
        """One value a name of COLUMNS. Boxes are x0, y0, x1, y1 in pixels of the upright image."""
        found = self.found
        if found is None:
            return {**{name: [] for name in COLUMNS[:5]}, "width": 0, "height": 0, "error": self.error}
        return {
            "labels": found.labels,
            "scores": found.scores.tolist(),
            "boxes": found.boxes.tolist(),
            "item_ids": found.item_ids.tolist(),
            "not_found": found.not_found,
            "width": found.width,
            "height": found.height,
            "error": None,
        }


def check_arguments(model: Model, items: Items, options: dict[str, Any]) -> None:
    """Raises for items or options that would be wrong for every row; runs no model."""
    model.estimate(np.zeros((64, 64, 3), np.uint8), items, **options)


def detect_rows(model: Model, images: Sequence[Any], items: Items, options: dict[str, Any]) -> list[Row]:
    """A row an image, in their order."""
    pixels = [_read(image) for image in images]
    good = [index for index, one in enumerate(pixels) if isinstance(one, np.ndarray)]
    rows = [Row(None, one if isinstance(one, str) else "") for one in pixels]
    try:
        results = [Row(found, None) for found in model.detect([pixels[i] for i in good], items, **options)]
    except errors.Error:  # one image may be to blame, or all
        results = [_detect_one(model, pixels[index], items, options) for index in good]
    for index, row in zip(good, results):
        rows[index] = row
    return rows


def _read(image: Any) -> Pixels | str:
    """Pixels, or what is wrong with them."""
    if image is None:
        return "unsupported_image: image: no value"
    try:
        return to_pixels(image)
    except errors.Error as error:
        return f"{error.code}: {error}"


def _detect_one(model: Model, image: Any, items: Items, options: dict[str, Any]) -> Row:
    try:
        return Row(model.detect(image, items, **options), None)
    except errors.DeviceLostError:
        raise  # the worker has to be started anew
    except errors.Error as error:
        return Row(None, f"{error.code}: {error}")


def arrow_fields() -> list[pa.Field]:
    """COLUMNS as Arrow has them."""
    import pyarrow as pa

    kinds = {
        "labels": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
        "boxes": pa.list_(pa.list_(pa.float32())),
        "item_ids": pa.list_(pa.int32()),
        "not_found": pa.list_(pa.string()),
        "width": pa.int32(),
        "height": pa.int32(),
        "error": pa.string(),
    }
    return [pa.field(name, kinds[name]) for name in COLUMNS]


def arrow_columns(rows: Sequence[Row]) -> dict[str, pa.Array]:
    """COLUMNS of these rows."""
    import pyarrow as pa

    values = [row.values() for row in rows]
    return {field.name: pa.array([one[field.name] for one in values], field.type) for field in arrow_fields()}


def model_of_process(arguments: dict[str, Any]) -> Model:
    """The model with these arguments of ``load``, loaded once a process."""
    return _cached_model(json.dumps(arguments, sort_keys=True))


@functools.lru_cache(maxsize=2)
def _cached_model(arguments: str) -> Model:
    return load(**json.loads(arguments))


def check_items(items: Items) -> list[Item | str]:
    """A list that can be sent to workers."""
    if isinstance(items, str):
        return [one.strip() for one in items.split(",") if one.strip()]
    return list(items)
