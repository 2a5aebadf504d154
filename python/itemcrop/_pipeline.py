"""transformers' pipeline "zero-shot-object-detection", answered by the engine.

Source: ZeroShotObjectDetectionPipeline of transformers 5.17: every candidate label is a caption of its own,
as it is; a box's score is its highest token, and it is kept above the threshold; corners are cut to integers.
"""

from __future__ import annotations

import base64
import binascii
import os
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import errors
from ._images import MAX_BYTES, Pixels, to_pixels
from ._model import Item, Model, load

if TYPE_CHECKING:
    import PIL.Image

TASK = "zero-shot-object-detection"
Found = list[dict[str, Any]]

_PRECISIONS = {"auto": "auto", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def pipeline(
    task: str = TASK,
    model: str | os.PathLike[str] | Model = "wardrobe",
    *,
    device: str | int | None = None,
    dtype: Any = "float32",
    batch_size: int = 1,
    threads: int = 0,
) -> ZeroShotObjectDetectionPipeline:
    """Like ``transformers.pipeline("zero-shot-object-detection", model=...)``: same calls, same results.

    model: what ``load`` takes, or a loaded Model, with which the other arguments do not apply.
    device: "cpu", "cuda", "cuda:1", a GPU's number, or -1 or None for the CPU, as in transformers.
    dtype: "float32" (the default there too), "float16", "bfloat16", "auto", or torch's of these names.
    batch_size: images in one run of the model. threads: see ``load``.

    Raises InvalidArgumentError for another task, and what ``load`` raises.
    """
    if task != TASK:
        raise errors.InvalidArgumentError(f"task must be {TASK!r}, got {task!r}", "task")
    if isinstance(model, Model):
        return ZeroShotObjectDetectionPipeline(model, batch_size)
    kind, index = _device(device)
    name = str(dtype).removeprefix("torch.")
    if name not in _PRECISIONS:
        raise errors.InvalidArgumentError(
            f"dtype must be one of {', '.join(_PRECISIONS)}, got {name!r}", "dtype"
        )
    precision: Any = _PRECISIONS[name]
    loaded = load(model, device=kind, device_index=index, precision=precision, threads=threads)
    return ZeroShotObjectDetectionPipeline(loaded, batch_size)


def _device(device: str | int | None) -> tuple[Literal["cpu", "cuda"], int]:
    name = "cpu" if device is None else str(device)  # torch.device prints as "cuda:1"
    if name in ("cpu", "-1"):
        return "cpu", 0
    index = name.removeprefix("cuda").removeprefix(":") or "0"
    if not index.isdigit():
        raise errors.InvalidArgumentError(
            f"device must be cpu, cuda or a GPU's number, got {device!r}", "device"
        )
    return "cuda", int(index)


class ZeroShotObjectDetectionPipeline:
    """What ``pipeline`` returns. ``model`` is the ``itemcrop.Model``."""

    task = TASK

    def __init__(self, model: Model, batch_size: int = 1) -> None:
        self.model = model
        self.batch_size = batch_size

    def __call__(
        self,
        image: Any,
        candidate_labels: str | list[str] | list[list[str]] | None = None,
        *,
        threshold: float = 0.1,
        top_k: int | None = None,
        timeout: float | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Detects in one image or several.

        image: a path, a URL (http or https), a base64 string or a Pillow image, as in transformers, or another
        that ``Model.detect`` takes. With a list of images, ``candidate_labels`` is a list of as many lists. Or
        {"image": ..., "candidate_labels": ...}, a list of such dicts, or a generator of them.
        candidate_labels: strings, or one string with commas. threshold: in [0, 1]; a box with a score at or
        below it is dropped. top_k: at most this many boxes an image. timeout: for URLs, in seconds.

        Returns, for one image, [{"score": float, "label": str, "box": {"xmin", "ymin", "xmax", "ymax"}}], best
        first, the box in whole pixels of the upright image; for several, a list of these; for a generator, a
        generator. Raises the classes of ``itemcrop.errors``.
        """
        candidate_labels = kwargs.pop("text_queries", candidate_labels)
        if kwargs:
            raise TypeError(f"unexpected arguments: {', '.join(kwargs)}")

        def run(inputs: Iterable[dict[str, Any]]) -> Iterator[Found]:
            return self._run(inputs, batch_size or self.batch_size, threshold, top_k, timeout)

        if isinstance(image, (list, tuple)):
            return list(
                run(image if image and isinstance(image[0], dict) else _pair(image, candidate_labels))
            )
        if isinstance(image, dict):
            return next(run([image]))
        if _is_stream(image):
            return run(image)
        return next(run([{"image": image, "candidate_labels": candidate_labels}]))

    def _run(
        self,
        inputs: Iterable[dict[str, Any]],
        size: int,
        threshold: float,
        top_k: int | None,
        timeout: float | None,
    ) -> Iterator[Found]:
        batch: list[dict[str, Any]] = []
        for one in inputs:
            batch.append(one)
            if len(batch) == size:
                yield from self._detect(batch, threshold, top_k, timeout)
                batch = []
        if batch:
            yield from self._detect(batch, threshold, top_k, timeout)

    def _detect(
        self, batch: list[dict[str, Any]], threshold: float, top_k: int | None, timeout: float | None
    ) -> Iterator[Found]:
        images = [_load(one["image"], timeout) for one in batch]
        labels = [_labels(one.get("candidate_labels")) for one in batch]
        captions = [[Item(label, is_caption=True) for label in of_image] for of_image in labels]
        results = self.model.detect(images, captions, threshold=threshold, labels="tokens")
        for result, of_image in zip(results, labels):
            corners = np.trunc(result.boxes).astype(int).tolist()
            found = [
                {
                    "score": score,
                    "label": of_image[item],
                    "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box)),
                }
                for score, item, box in zip(result.scores.tolist(), result.item_ids.tolist(), corners)
            ]
            yield found[:top_k] if top_k else found


def _pair(images: Any, labels: Any) -> Iterator[dict[str, Any]]:
    """Each image with its list of labels."""
    if labels is None or isinstance(labels, str) or len(labels) != len(images):
        raise errors.InvalidArgumentError(
            f"candidate_labels: {len(images)} images need as many lists of labels", "candidate_labels"
        )
    return ({"image": image, "candidate_labels": of_image} for image, of_image in zip(images, labels))


def _is_stream(images: Any) -> bool:
    """A generator or a data set, which yields dicts."""
    if isinstance(images, (str, bytes, bytearray, os.PathLike)) or hasattr(images, "shape"):
        return False
    return isinstance(images, Iterator) or (hasattr(images, "__getitem__") and hasattr(images, "__len__"))


def _labels(labels: Any) -> list[str]:
    if isinstance(labels, str):
        return labels.split(",")
    if labels is None or len(labels) == 0:
        raise errors.InvalidArgumentError("candidate_labels: at least one is needed", "candidate_labels")
    return list(labels)


def _load(image: Any, timeout: float | None) -> Pixels:
    """As transformers' load_image: a string is a URL, a path or base64; colours are Pillow's, without profiles."""
    # os.path: pathlib raises where a text is too long for a name.
    if isinstance(image, str) and not os.path.isfile(image):  # noqa: PTH113
        image = (
            _fetch(image, timeout)
            if urllib.parse.urlsplit(image).scheme in ("http", "https")
            else _decode(image)
        )
    return to_pixels(image, from_pillow=_to_rgb)


def _to_rgb(image: PIL.Image.Image) -> Pixels:
    from PIL import ImageOps

    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _fetch(url: str, timeout: float | None) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return bytes(response.read(MAX_BYTES + 1))
    except OSError as error:
        raise errors.UnavailableError(f"image: cannot be fetched: {error}", "image") from error


def _decode(text: str) -> bytes | str:
    encoded = text.partition(",")[2] if text.startswith("data:image/") else text
    try:
        return base64.b64decode("".join(encoded.split()), validate=True) or text
    except (binascii.Error, ValueError):
        return text  # then it is a path that does not exist
