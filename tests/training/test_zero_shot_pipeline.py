"""The golden that itemcrop.pipeline is held to (tests/python) is what transformers answers here."""

import argparse
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))


def test_the_golden_is_what_transformers_finds(tmp_path):
    from reference import zero_shot_pipeline

    (tmp_path / "wardrobe").mkdir()
    arguments = argparse.Namespace(model=ROOT / "models" / "wardrobe", sample=ROOT / "examples", out=tmp_path)
    zero_shot_pipeline.dump(arguments)
    name = Path("wardrobe") / "zero_shot_pipeline.json"
    golden, found = (
        json.loads((folder / name).read_text()) for folder in (ROOT / "tests" / "golden", tmp_path)
    )
    assert len(found["cases"]) == len(golden["cases"])
    for case, now in zip(golden["cases"], found["cases"]):
        assert [one["label"] for one in now["found"]] == [one["label"] for one in case["found"]]
        for one, expected in zip(now["found"], case["found"]):
            assert one["score"] == pytest.approx(expected["score"], abs=1e-4)
            assert list(one["box"].values()) == pytest.approx(list(expected["box"].values()), abs=1)
