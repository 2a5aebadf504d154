"""Tests of the installed package: `pip install .`, then pytest tests/python. .ci/run installs its wheel into an
environment made for it (tests/requirements/python.txt)."""

import pathlib

import numpy as np
import pytest

import itemcrop

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTO = ROOT / "examples" / "wardrobe.jpg"
ITEMS = ["t-shirt", "pants", "dress", "shorts", "hat", "shoes"]


@pytest.fixture(scope="session")
def model():
    """fp32, so that what is expected does not depend on the processor."""
    return itemcrop.load("wardrobe", precision="fp32")


@pytest.fixture(scope="session")
def pixels():
    from PIL import Image

    array = np.asarray(Image.open(PHOTO).convert("RGB"))
    array.setflags(write=False)
    return array


@pytest.fixture(scope="session")
def found(model, pixels):
    return model.detect(pixels, ITEMS)
