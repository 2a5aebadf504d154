"""Ray Data: ``ds.map_batches(itemcrop.ray.Detector, fn_constructor_kwargs={...}, concurrency=n, num_gpus=...)``.

An actor loads one model; the checkpoint's pages are mapped, so actors of a machine share them. See
docs/fleets.md.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ._batches import COLUMNS, arrow_columns, check_arguments, check_items, detect_rows
from ._model import Items, load

if TYPE_CHECKING:
    import pyarrow as pa

    from ._batches import Row


class Detector:
    """A class for ``ray.data.Dataset.map_batches``, in either batch format, "numpy" or "pyarrow".

    items: what to look for, as for ``Model.detect``.
    model, device, precision, shortest_edge, longest_edge: as for ``load``. threads: as many as the actor has CPUs.
    image: the column of images: files' bytes, paths, or arrays (height, width, 3) uint8.
    keep_image: whether the column stays in the result. options: further arguments of ``Model.detect``.
    crops: adds a column of JPEG files, one a detection. margin: of the crops, see ``Detections.crops``.

    For files take "pyarrow": its types are fixed, even where a block of the table has no detection.
    A batch gets these columns: labels, scores, boxes ([x0, y0, x1, y1] in pixels of the upright image) and
    item_ids, which are lists over an image's detections, best first; not_found, width, height, and error, null
    or a code and a message. A broken image has an error and empty lists, and never ends the job; wrong items or
    options, and a lost device, do.
    """

    def __init__(
        self,
        items: Items,
        model: str = "wardrobe",
        *,
        image: str = "bytes",
        keep_image: bool = False,
        crops: bool = False,
        margin: float = 0.05,
        device: Any = "auto",
        precision: Any = "auto",
        threads: int = 1,
        shortest_edge: int = 0,
        longest_edge: int = 0,
        **options: Any,
    ) -> None:
        self._items = check_items(items)
        self._image = image
        self._keep_image = keep_image
        self._crops = crops
        self._margin = margin
        self._options = options
        self._model = load(
            model,
            device=device,
            precision=precision,
            threads=threads,
            shortest_edge=shortest_edge,
            longest_edge=longest_edge,
        )
        check_arguments(self._model, self._items, options)

    def __call__(self, batch: Any) -> Any:
        """A dict of numpy columns gives one, and an Arrow table a table."""
        if isinstance(batch, dict):
            rows = self._rows(list(batch[self._image]))
            kept = {name: column for name, column in batch.items() if name != self._image or self._keep_image}
            return {**kept, **_numpy_columns(rows), **self._files(rows)}
        return self._arrow(batch)

    def _arrow(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa

        rows = self._rows(table[self._image].to_pylist())
        kept = table if self._keep_image else table.drop_columns([self._image])
        for name, column in arrow_columns(rows).items():
            kept = kept.append_column(name, column)
        for name, files in self._files(rows).items():
            kept = kept.append_column(name, pa.array(list(files), pa.list_(pa.binary())))
        return kept

    def _rows(self, images: list[Any]) -> list[Row]:
        return detect_rows(self._model, images, self._items, self._options)

    def _files(self, rows: list[Row]) -> dict[str, Any]:
        if not self._crops:
            return {}
        return {"crops": _objects([_encode(row, self._margin) for row in rows])}


def _objects(values: list[Any]) -> Any:
    """A column whose values may be lists of any length."""
    column = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):  # assigned at once, lists of one length would make a matrix
        column[index] = value
    return column


def _numpy_columns(rows: list[Row]) -> dict[str, Any]:
    values = [row.values() for row in rows]
    columns: dict[str, Any] = {name: _objects([one[name] for one in values]) for name in COLUMNS}
    for name in ("width", "height"):
        columns[name] = columns[name].astype(np.int32)
    return columns


def _encode(row: Row, margin: float) -> list[bytes]:
    """The crops of an image as JPEG files."""
    from PIL import Image

    files = []
    for crop in row.found.crops(margin) if row.found is not None else []:
        file = io.BytesIO()
        Image.fromarray(crop).save(file, "JPEG", quality=95)
        files.append(file.getvalue())
    return files
