"""What was found in one image, as small objects over numpy arrays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _draw, errors

if TYPE_CHECKING:
    import pyarrow
    import supervision

    from ._images import Pixels

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Detection:
    """One found item: ``box`` is (x0, y0, x1, y1) in pixels of the image, ``scores`` one for each item."""

    label: str
    score: float
    box: tuple[float, float, float, float]
    item_id: int
    scores: dict[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """What ``Model.detect`` found in one image, best first. n detections of k items.

    boxes: float32 [n, 4], x0, y0, x1, y1 in pixels of ``image``, x0 and y0 inclusive, x1 and y1 exclusive.
    scores: float32 [n], in [0, 1].
    item_ids: int32 [n], indices into ``items``; -1 with ``labels="tokens"``.
    item_scores: float32 [n, k], each box's score for every item, distractors included.
    labels: n item prompts; with ``labels="tokens"`` the tokens above ``text_threshold``, joined.
    items: the k prompts that were asked for. not_found: those without a detection.
    image: uint8 [height, width, 3], the pixels that were searched; not a copy of an array that was passed.
    passes: captions that the items were split into.
    timing_ms: wall-clock "preprocess", "model" and "postprocess" of this image's share of the call.
    """

    boxes: Floats
    scores: Floats
    item_ids: Integers
    item_scores: Floats
    labels: list[str]
    items: list[str]
    not_found: list[str]
    image: Pixels
    passes: int
    timing_ms: dict[str, float]

    @property
    def width(self) -> int:
        """Of the image, in pixels."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Of the image, in pixels."""
        return int(self.image.shape[0])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Detection:
        x0, y0, x1, y1 = self.boxes[index].tolist()
        scores = dict(zip(self.items, self.item_scores[index].tolist()))
        return Detection(
            self.labels[index], float(self.scores[index]), (x0, y0, x1, y1), int(self.item_ids[index]), scores
        )

    def __iter__(self) -> Iterator[Detection]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        found = ", ".join(f"{one.label} {one.score:.2f}" for one in self)
        return f"<{len(self)} detections in {self.width} x {self.height}: {found}>"

    def crops(self, margin: float = 0.05) -> list[Pixels]:
        """The n rectangles of the image, uint8 [h, w, 3], without a copy.

        margin: added on each side, as a share of the box's width or height, 0 to 10. The box then is rounded
        outwards to whole pixels and clipped to the image, as ``itemcrop crop`` does. Raises
        InvalidArgumentError. Source: src/image/crop.h.
        """
        if not 0 <= margin <= 10:
            raise errors.InvalidArgumentError(f"margin must be between 0 and 10, got {margin}", "margin")
        return [
            self.image[y0:y1, x0:x1]
            for x0, y0, x1, y1 in (self._rectangle(box, margin) for box in self.boxes)
        ]

    def _rectangle(self, box: Floats, margin: float) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = (float(edge) for edge in box)
        wide, high = (x1 - x0) * margin, (y1 - y0) * margin
        # Never empty: a box at the very edge keeps one pixel.
        left = min(max(math.floor(x0 - wide), 0), self.width - 1)
        top = min(max(math.floor(y0 - high), 0), self.height - 1)
        right = max(min(math.ceil(x1 + wide), self.width), left + 1)
        bottom = max(min(math.ceil(y1 + high), self.height), top + 1)
        return left, top, right, bottom

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, in the words of docs/results.schema.json; ready for ``json.dumps``."""
        return {
            "width": self.width,
            "height": self.height,
            "detections": [
                {"item": one.label, "score": one.score, "box": list(one.box), "scores": one.scores}
                for one in self
            ],
            "not_found": list(self.not_found),
            "timing_ms": dict(self.timing_ms),
        }

    def to_coco(
        self, image_id: int = 0, categories: Mapping[str, int] | None = None, first_id: int = 1
    ) -> list[dict[str, Any]]:
        """COCO annotations with a score: ``bbox`` is [x, y, width, height] in pixels, ``area`` in square pixels.

        categories: the id of each label; without it an item's position counted from 1. Raises KeyError for a
        label that ``categories`` lacks. Source: cocodataset.org, "Data format" and "Results format".
        """
        made = []
        for index, one in enumerate(self):
            x0, y0, x1, y1 = one.box
            made.append(
                {
                    "id": first_id + index,
                    "image_id": image_id,
                    "category_id": categories[one.label] if categories is not None else one.item_id + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "score": one.score,
                }
            )
        return made

    def to_arrow(self) -> pyarrow.Table:
        """A row a detection: item, item_id, score, box (fixed_size_list<float>[4]), scores (list<float>).
        Needs pyarrow."""
        import pyarrow as pa

        rows = len(self)
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * self.item_scores.shape[1])
        return pa.table(
            {
                "item": pa.array(self.labels, pa.string()),
                "item_id": pa.array(self.item_ids),
                "score": pa.array(self.scores),
                "box": pa.FixedSizeListArray.from_arrays(pa.array(self.boxes.ravel()), 4),
                "scores": pa.ListArray.from_arrays(offsets, pa.array(self.item_scores.ravel())),
            }
        )

    def to_supervision(self) -> supervision.Detections:
        """``supervision.Detections``: xyxy, confidence, class_id and ``data["class_name"]``. Needs supervision."""
        import supervision

        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.item_ids,
            data={"class_name": np.array(self.labels, dtype=str)},
        )

    def annotated(self, max_side: int = 1600) -> Pixels:
        """A copy of the image with its boxes, uint8 [h, w, 3], shrunk so that no side is longer than
        ``max_side`` pixels. Labels are drawn where Pillow is installed."""
        return _draw.annotate(self.image, self.boxes, self._captions(), self.item_ids, max_side)

    def _captions(self) -> Sequence[str]:
        return [f"{one.label} {one.score:.2f}" for one in self]

    def _repr_png_(self) -> bytes:
        return _draw.encode_png(self.annotated(max_side=800))
