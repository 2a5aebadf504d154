#!/usr/bin/env python3
"""Writes what transformers finds in a model's sample photo, for `itemcrop verify` and `doctor`.

    tests/reference/dump_expected.py models/wardrobe examples/wardrobe.jpg --items "$(cat examples/items.txt)" \
        > models/wardrobe/expected.json

Thresholds are put into the widest gap between scores, so that a change within the tolerances can
neither add nor remove a detection or a word of its label. Needs torch, transformers and Pillow.
"""

import argparse
import json
import os
import pathlib

import torch
import transformers
from PIL import Image
from transformers import AutoProcessor, GroundingDinoForObjectDetection

# JPEG decoders differ by a level or two, which moves scores a little.
FP32 = dict(score=0.01, box=1.0, extras=False)
# Choosing the queries is discrete: in half precision a near tie may choose a neighbour, whose box and
# score are a little different, and a second box of one thing may come or go.
HALF = dict(score=0.1, box=20.0, extras=True)
LEAST_MARGIN = 0.02


def gap_threshold(scores, low=0.2, high=0.5):
    """The value in [low, high] farthest from every score, and how far that is."""
    grid = [low + (high - low) * i / 300 for i in range(301)]
    return max(((t, min([abs(t - s) for s in scores], default=1.0)) for t in grid), key=lambda p: p[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("photo", type=pathlib.Path)
    parser.add_argument("--items", required=True, help="separated by commas")
    arguments = parser.parse_args()
    items = [item.strip() for item in arguments.items.split(",")]

    processor = AutoProcessor.from_pretrained(arguments.model)
    model = GroundingDinoForObjectDetection.from_pretrained(arguments.model, dtype=torch.float32).eval()
    photo = Image.open(arguments.photo).convert("RGB")
    inputs = processor(images=photo, text=[items], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    probabilities = outputs.logits[0].sigmoid()
    scores = probabilities.max(dim=-1).values
    threshold, margin = gap_threshold(scores.tolist())
    text_threshold, text_margin = gap_threshold(probabilities[scores > threshold].flatten().tolist(), low=0.1)
    if min(margin, text_margin) < LEAST_MARGIN:
        raise SystemExit(f"no gap to put a threshold in: margins {margin:.3f} and {text_margin:.3f}")
    threshold, text_threshold = round(threshold, 3), round(text_threshold, 3)
    answer = processor.post_process_grounded_object_detection(
        outputs,
        inputs.input_ids,
        threshold=threshold,
        text_threshold=text_threshold,
        target_sizes=[(photo.height, photo.width)],
    )[0]
    detections = [
        dict(label=label, score=round(score, 4), box=[round(value, 2) for value in box])
        for label, score, box in zip(
            answer["text_labels"], answer["scores"].tolist(), answer["boxes"].tolist()
        )
    ]
    detections.sort(key=lambda detection: -detection["score"])
    case = dict(
        items=items,
        labels="tokens",
        threshold=threshold,
        text_threshold=text_threshold,
        detections=detections,
    )
    expected = dict(
        source=f"transformers {transformers.__version__} on the CPU in fp32",
        photo=os.path.relpath(arguments.photo, arguments.model),
        width=photo.width,
        height=photo.height,
        tolerance_fp32=FP32,
        tolerance_half=HALF,
        cases=[case],
    )
    print(json.dumps(expected, indent=2))


if __name__ == "__main__":
    main()
