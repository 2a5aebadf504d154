"""Grounding DINO in a native engine: an image and words in, boxes and crops out. No PyTorch.

>>> import itemcrop
>>> model = itemcrop.load("wardrobe")
>>> found = model.detect("examples/wardrobe.jpg", "navy blazer, pants")
>>> [(one.label, one.box) for one in found]  # doctest: +SKIP

docs/python.md is the guide. ``itemcrop.ray`` and ``itemcrop.spark`` are imported on their own.
"""

from . import errors
from ._engine import VERSION as __version__
from ._model import Item, MemoryEstimate, Model, devices, load
from ._pipeline import pipeline
from ._results import Detection, Detections
from .errors import Error

__all__ = [
    "Detection",
    "Detections",
    "Error",
    "Item",
    "MemoryEstimate",
    "Model",
    "__version__",
    "devices",
    "errors",
    "load",
    "pipeline",
]
