"""Goldens of transformers' pipeline "zero-shot-object-detection" with the embedded checkpoint on the sample photo.

The image is resized by Pillow, as for the other goldens; with torchvision, the pipeline's other choice, pixels
differ by one of 255 here and there.
"""

import json
import pathlib
from typing import Any

from transformers import BertTokenizer, pipeline
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)

from reference.checkpoints import load

# Labels as users write them, with the full stop that Grounding DINO's captions end with, and without; as one
# string, whose labels keep the space after the comma; and a limit.
CASES: list[dict[str, Any]] = [
    {"candidate_labels": ["t-shirt.", "pants.", "a pair of shoes."], "threshold": 0.1},
    {"candidate_labels": ["hat", "dress", "shorts"], "threshold": 0.02},
    {"candidate_labels": "shoes., pants.", "threshold": 0.2},
    {"candidate_labels": ["Dress.", "hat."], "threshold": 0.1, "top_k": 2},
]


def make_pipeline(model_folder: pathlib.Path):
    size = json.loads((model_folder / "preprocessor_config.json").read_text())["size"]
    return pipeline(
        "zero-shot-object-detection",
        model=load(model_folder),
        tokenizer=BertTokenizer.from_pretrained(str(model_folder)),
        image_processor=GroundingDinoImageProcessorPil(size=size),
    )


def dump(arguments) -> None:
    detector = make_pipeline(arguments.model)
    photo = sorted(arguments.sample.glob("*.jpg"))[0]
    found = [{**case, "found": detector(str(photo), **case)} for case in CASES]
    path = arguments.out / "wardrobe" / "zero_shot_pipeline.json"
    path.write_text(json.dumps({"image": photo.name, "cases": found}, indent=1) + "\n")
