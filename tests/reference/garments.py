"""Goldens of the embedded checkpoint on garment photos that are not part of the repository.

Only numbers are stored: file names, and what the reference detects in each photo.
"""

import csv
import json

import torch

from reference import text_rules
from reference.cases import TEXT_THRESHOLD, THRESHOLD, Input, process
from reference.checkpoints import load
from reference.files import write_json
from reference.wardrobe import caption, load_processor, read_photo

PHOTOS_A_KIND = 2
ITEMS = [
    "blazer",
    "blouse",
    "dress",
    "hat",
    "hoodie",
    "outerwear",
    "pants",
    "shirt",
    "shoes",
    "shorts",
    "skirt",
    "t-shirt",
]


def chosen_photos(folder) -> list[str]:
    """A few files of each kind, spread evenly over the sorted names."""
    kinds: dict[str, list[str]] = {}
    with (folder / "garments.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kinds.setdefault(row["label"], []).append(row["file"])
    chosen = []
    for _label, files in sorted(kinds.items()):
        files.sort()
        step = len(files) // PHOTOS_A_KIND
        chosen += [files[step * k] for k in range(PHOTOS_A_KIND)]
    return chosen


def detect(model, processor, rules: str, image) -> list:
    """Every query above the threshold, best first."""
    inputs = process(processor, [Input(image, {}, caption(ITEMS))])
    with torch.inference_mode(), text_rules.applied(rules):
        outputs = model(**inputs)
    result = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], THRESHOLD, TEXT_THRESHOLD, [image.shape[:2]]
    )[0]
    order = result["scores"].argsort(descending=True)
    return [
        {
            "score": round(float(result["scores"][i]), 6),
            "box": [round(float(v), 3) for v in result["boxes"][i]],
            "label": result["text_labels"][i],
        }
        for i in order
    ]


def dump(arguments) -> None:
    if not (arguments.garments / "garments.csv").is_file():
        raise SystemExit(f"no garments.csv in {arguments.garments}; give its folder by --garments")
    model = load(arguments.model)
    rules = text_rules.rules_of(json.loads((arguments.model / "config.json").read_text()))
    processor, _edges = load_processor(arguments.model)
    rows = [
        {"file": name, "detections": detect(model, processor, rules, read_photo(arguments.garments / name))}
        for name in chosen_photos(arguments.garments)
    ]
    write_json(
        arguments.out / "garments" / "detections.json",
        {
            "what": "the reference's post-processed detections, labels by tokens, best first; images"
            " flattened on white",
            "items": ITEMS,
            "threshold": THRESHOLD,
            "text_threshold": TEXT_THRESHOLD,
            "photos": rows,
        },
        compact_rows=True,
    )
    print(f"  {len(rows)} photos, {sum(len(row['detections']) for row in rows)} detections")
