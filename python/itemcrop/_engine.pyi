"""The engine, as python/src/module.cpp binds it. Use ``itemcrop``; this may change in any version."""

from typing import Any

from ._images import Pixels

VERSION: str

class Item:
    def __init__(
        self, prompt: str, threshold: float | None, count: int | None, distractor: bool, is_caption: bool
    ) -> None: ...

class ScoringOptions:
    def __init__(
        self,
        tokens: bool,
        threshold: float | None,
        text_threshold: float | None,
        count: int | None,
        nms_iou: float,
        containment: float,
        suppress: bool,
    ) -> None: ...

class DetectOptions:
    def __init__(
        self,
        device: str,
        device_index: int,
        precision: str,
        threads: int,
        shortest_edge: int,
        longest_edge: int,
        deterministic: bool,
    ) -> None: ...

class Model:
    @staticmethod
    def load(folder: str) -> Model: ...
    def info(self) -> dict[str, Any]: ...
    def detect(
        self, images: list[Pixels], items: list[list[Item]], scoring: ScoringOptions, options: DetectOptions
    ) -> tuple[str, str, str, int, list[dict[str, Any]]]:
        """(device, precision, device name, peak bytes of activations, a dict an image)."""

    def estimate(
        self, images: list[Pixels], items: list[list[Item]], scoring: ScoringOptions, options: DetectOptions
    ) -> tuple[int, int]: ...
    def prepare(self, options: DetectOptions) -> None: ...
    def count_passes(self, items: list[Item], options: DetectOptions) -> int: ...

def devices() -> list[dict[str, Any]]: ...
