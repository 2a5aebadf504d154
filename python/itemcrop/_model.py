"""``load`` and ``Model``: the engine's C++ API (include/itemcrop/model.h) in Python's words."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from . import _cuda, _engine, _locate, errors
from ._images import Image, Pixels, as_list, to_pixels
from ._results import Detections


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing to look for; a plain string stands for ``Item(prompt)``.

    prompt: words as a person writes them, "navy blazer".
    threshold: in [0, 1], overrides the call's for this item. count: at most this many boxes, >= 1.
    distractor: scored, so that it can win a box from an item, but never returned.
    is_caption: given to the model alone and without the '.' that ends an item.
    """

    prompt: str
    threshold: float | None = None
    count: int | None = None
    distractor: bool = False
    is_caption: bool = False


#: "navy blazer, pants", or prompts and Items one by one.
Items: TypeAlias = "str | Sequence[str | Item]"


@dataclasses.dataclass(frozen=True)
class MemoryEstimate:
    """Bytes a call would need: prepared weights, shared by all calls, and its own activations."""

    weights_bytes: int
    workspace_bytes: int


def load(
    model: str | os.PathLike[str] = "wardrobe",
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    threads: int = 0,
    device_index: int = 0,
    shortest_edge: int = 0,
    longest_edge: int = 0,
    deterministic: bool = False,
) -> Model:
    """Loads a model and prepares its weights.

    model: "wardrobe" (in the package), a folder in the published Hugging Face layout, or "OWNER/NAME" of the
    Hugging Face hub, looked up in its cache and downloaded if huggingface_hub is installed.
    device: "auto" takes a CUDA device if the package itemcrop-cuda and a driver find one. device_index: which.
    precision: "auto" takes the fastest that the device runs natively; fp32 agrees with transformers to 1e-4.
    threads: of the CPU for one call, 1 to 1024; 0: every core.
    shortest_edge, longest_edge: images are resized to these, in pixels, 16 to 8192; 0: as the model says.
    deterministic: on a GPU, the same bits in any batch; on the CPU they always are.

    Raises NotFoundError, CorruptModelError, UnsupportedModelError, UnsupportedDeviceError,
    InvalidArgumentError. Source: include/itemcrop/model.h.
    """
    options = {
        "device": device,
        "device_index": device_index,
        "precision": precision,
        "threads": threads,
        "shortest_edge": shortest_edge,
        "longest_edge": longest_edge,
        "deterministic": deterministic,
    }
    return Model(os.fspath(model), options)


class Model:
    """A loaded checkpoint, as ``load`` makes it. Threads may share it: calls run side by side, and other
    Python threads run meanwhile. Pickling sends its name and options, so another process loads it anew and
    shares the checkpoint's pages. After a fork it must not be used: load it in the child.
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        _cuda.prepare()
        self._name = name
        self._arguments = dict(options)
        self._options = _typed(_engine.DetectOptions, **options)
        # Absolute: the library takes a plain word for a name.
        self._engine = _engine.Model.load(str(_locate.locate(name).absolute()))
        self._engine.prepare(self._options)

    def __reduce__(self) -> tuple[type[Model], tuple[str, dict[str, Any]]]:
        return Model, (self._name, self._arguments)

    def __repr__(self) -> str:
        return f"<itemcrop.Model {self._name}: {self.info['parameters'] / 1e6:.0f} M parameters>"

    @property
    def info(self) -> dict[str, Any]:
        """What the checkpoint is: name, model_type, stored_dtype, parameters, queries, max_text_tokens,
        shortest_edge and longest_edge in pixels, the thresholds of calls without one, and more. Source: itemcrop::ModelInfo."""
        return dict(self._engine.info())

    @overload
    def detect(
        self,
        images: list[Any] | tuple[Any, ...],
        items: Items | Sequence[Items],
        *,
        threshold: float | None = ...,
        text_threshold: float | None = ...,
        count: int | None = ...,
        labels: Literal["items", "tokens"] = ...,
        nms_iou: float = ...,
        containment: float = ...,
        suppress: bool = ...,
    ) -> list[Detections]: ...
    @overload
    def detect(
        self,
        images: Image,
        items: Items,
        *,
        threshold: float | None = ...,
        text_threshold: float | None = ...,
        count: int | None = ...,
        labels: Literal["items", "tokens"] = ...,
        nms_iou: float = ...,
        containment: float = ...,
        suppress: bool = ...,
    ) -> Detections: ...
    def detect(
        self,
        images: Any,
        items: Any,
        *,
        threshold: float | None = None,
        text_threshold: float | None = None,
        count: int | None = None,
        labels: Literal["items", "tokens"] = "items",
        nms_iou: float = 0.5,
        containment: float = 0.8,
        suppress: bool = True,
    ) -> Detections | list[Detections]:
        """Finds items in one image, or in several at once.

        images: one image, or a list or tuple of them, of any sizes. An image is
        numpy (height, width, 3) uint8 in sRGB and upright, a Pillow image, a path, a file's bytes, or has
        ``__array_interface__`` or DLPack on the CPU. Pixels whose rows lie end to end are not copied. They
        must not change during the call.
        items: "navy blazer, pants", a list of prompts and Items, or a list of such lists, one an image.
        threshold: a box with a score at or below it is dropped, in [0, 1]; None: what suits the model.
        text_threshold: for ``labels="tokens"``, a token's score in [0, 1]; None: what suits the model.
        count: at most this many boxes an item; None: no limit.
        labels: "items": each box belongs to the item that fits it best. "tokens": transformers' rule, every
        token above text_threshold, joined; no suppression.
        nms_iou, containment: a box that overlaps a better one of its item by more than this intersection over
        union, or with more than this share of its area, is dropped, unless ``suppress`` is False.

        Returns ``Detections`` for one image, else a list of them in the images' order; each is the same as
        alone (on the CPU bit for bit). Raises the classes of ``itemcrop.errors``; then no image has a result.
        Ctrl-C ends a call of the main thread. Source: itemcrop::Model::detect in include/itemcrop/model.h.
        """
        single = not isinstance(images, (list, tuple))
        pixels = [
            to_pixels(one, "image" if single else f"images[{i}]") for i, one in enumerate(as_list(images))
        ]
        scoring = _to_scoring(
            threshold=threshold,
            text_threshold=text_threshold,
            count=count,
            labels=labels,
            nms_iou=nms_iou,
            containment=containment,
            suppress=suppress,
        )
        asked = _item_lists(items)
        found = self._engine.detect(pixels, [_to_engine(one) for one in asked], scoring, self._options)[-1]
        prompts = [[item.prompt for item in one] for one in asked]
        results = [
            _to_detections(raw, image, prompts[0] if len(prompts) == 1 else prompts[i])
            for i, (raw, image) in enumerate(zip(found, pixels))
        ]
        return results[0] if single else results

    def count_passes(self, items: Items) -> int:
        """Captions that these items take; runs no model. Raises what ``detect`` would raise for them."""
        return self._engine.count_passes(_to_engine(_item_lists(items)[0]), self._options)

    def estimate(self, images: Image | list[Image], items: Items, **options: Any) -> MemoryEstimate:
        """Bytes that ``detect`` would need for these images, found by a dry run of the model. Takes and refuses
        the same arguments."""
        pixels = [to_pixels(one) for one in as_list(images)]
        asked = [_to_engine(_item_lists(items)[0])]
        return MemoryEstimate(*self._engine.estimate(pixels, asked, _to_scoring(**options), self._options))


def devices() -> list[dict[str, Any]]:
    """Every device seen on this machine: device, index, name, usable, detail (or why not), precisions.
    Source: itemcrop::list_devices."""
    _cuda.prepare()
    return list(_engine.devices())


def _item_lists(items: Items | Sequence[Items]) -> list[list[Item]]:
    """One list for all images, or one for each."""
    if isinstance(items, str):
        return [[Item(prompt.strip()) for prompt in items.split(",") if prompt.strip()]]
    if not isinstance(items, (list, tuple, np.ndarray)):
        raise errors.InvalidArgumentError(
            f"items: a string or a list is needed, not {type(items).__name__}", "items"
        )
    if len(items) and all(isinstance(one, (list, tuple, np.ndarray)) for one in items):
        return [_item_lists(one)[0] for one in items]
    return [[_to_item(one, index) for index, one in enumerate(items)]]


def _to_item(item: Any, index: int) -> Item:
    if isinstance(item, Item):
        return item
    if isinstance(item, str):
        return Item(item)
    raise errors.InvalidArgumentError(
        f"items[{index}]: a string or an Item is needed, not {type(item).__name__}", f"items[{index}]"
    )


def _to_engine(items: Sequence[Item]) -> list[_engine.Item]:
    return [
        _typed(
            _engine.Item,
            prompt=one.prompt,
            threshold=one.threshold,
            count=one.count,
            distractor=one.distractor,
            is_caption=one.is_caption,
        )
        for one in items
    ]


def _to_scoring(
    threshold: float | None = None,
    text_threshold: float | None = None,
    count: int | None = None,
    labels: str = "items",
    nms_iou: float = 0.5,
    containment: float = 0.8,
    suppress: bool = True,
) -> _engine.ScoringOptions:
    """The arguments of ``Model.detect``."""
    if labels not in ("items", "tokens"):
        raise errors.InvalidArgumentError(f"labels must be one of items, tokens, got {labels!r}", "labels")
    made: _engine.ScoringOptions = _typed(
        _engine.ScoringOptions,
        tokens=labels == "tokens",
        threshold=threshold,
        text_threshold=text_threshold,
        count=count,
        nms_iou=nms_iou,
        containment=containment,
        suppress=suppress,
    )
    return made


def _typed(kind: Any, **values: Any) -> Any:
    """``kind(**values)``; a value of a wrong type is a wrong argument like any other."""
    try:
        return kind(**values)
    except TypeError:
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise errors.InvalidArgumentError(f"{kind.__name__}: a value has the wrong type: {shown}") from None


def _to_detections(raw: dict[str, Any], image: Pixels, items: list[str]) -> Detections:
    timing = dict(zip(("preprocess", "model", "postprocess"), raw.pop("timing_ms")))
    return Detections(image=image, items=items, timing_ms=timing, **raw)
