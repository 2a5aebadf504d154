"""A parity case: inputs, a run of the reference, and its golden files.

A case is two files. NAME.json holds the inputs, the shapes and statistics of every stage, the
queries' proposal indices and the post-processed detections. NAME.safetensors holds `logits` [Q, T],
`boxes` [Q, 4] and stages of up to 256 elements whole and, of every other stage, 256 samples: sample
j of stage S is element splitmix64(fnv1a64(S) + j * 0x9E3779B97F4A7C15) mod size of the row-major
matrix.
"""

import dataclasses
import pathlib

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from reference import stages, text_rules
from reference.files import write_json
from reference.procedural_image import splitmix64
from reference.procedural_weights import fnv1a64

SAMPLES = 256
WHOLE = ("logits", "boxes")
THRESHOLD = 0.25
TEXT_THRESHOLD = 0.25


@dataclasses.dataclass
class Input:
    """One image of a batch. `source` says how a test gets the image: see `describe_image`."""

    image: np.ndarray  # uint8 [height, width, 3]
    source: dict
    prompt: str


def sample_indices(stage: str, size: int) -> list[int]:
    seed = fnv1a64(stage)
    return [splitmix64(seed + j * 0x9E3779B97F4A7C15) % size for j in range(SAMPLES)]


def _statistics(rows: np.ndarray) -> dict:
    wide = rows.astype(np.float64)
    return {
        "rows": rows.shape[0],
        "cols": rows.shape[1],
        "mean": float(wide.mean()),
        "rms": float(np.sqrt((wide**2).mean())),
    }


def _detections(result: dict) -> list:
    return [
        {"score": float(score), "box": [float(v) for v in box], "label": label}
        for score, box, label in zip(result["scores"], result["boxes"], result["text_labels"])
    ]


def process(processor, batch: list[Input]):
    """The reference's inputs: PIL resize, then (level - 255 mean) / (255 std) in float32."""
    images = [Image.fromarray(item.image) for item in batch]
    inputs = processor(
        images=images, text=[item.prompt for item in batch], padding=len(batch) > 1, return_tensors="pt"
    )
    resized = processor.image_processor(
        images=images, do_normalize=False, do_rescale=False, return_tensors="pt"
    )["pixel_values"].to(torch.float32)
    image_processor = processor.image_processor
    mean = torch.tensor(image_processor.image_mean) * 255.0
    std = torch.tensor(image_processor.image_std) * 255.0
    pixels = (resized - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(pixels, inputs["pixel_values"], atol=2e-6)
    inputs["pixel_values"] = pixels
    return inputs


def dump_case(
    path: pathlib.Path, model, processor, config: dict, batch: list[Input], edges: tuple[int, int]
) -> None:
    """Runs `batch` (images of one size) and writes `path`.json and `path`.safetensors."""
    rules = text_rules.rules_of(config)
    inputs = process(processor, batch)
    with text_rules.applied(rules):
        outputs, runs = stages.run(model, inputs)
    sizes = [item.image.shape[:2] for item in batch]
    results = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], THRESHOLD, TEXT_THRESHOLD, sizes
    )

    tensors = {}
    entries = []
    for index, (item, run, result) in enumerate(zip(batch, runs, results)):
        described = {}
        for stage, rows in run.stages.items():
            assert np.isfinite(rows).all(), f"{path.name}: {stage} is not finite"
            described[stage] = _statistics(rows)
            flat = rows.reshape(-1)
            whole = stage in WHOLE or flat.size <= SAMPLES
            values = rows if whole else flat[sample_indices(stage, flat.size)]
            tensors[f"{index}.{stage}"] = np.ascontiguousarray(values)
        tokens = int(inputs["attention_mask"][index].sum())
        entries.append(
            {
                "image": item.source,
                "prompt": item.prompt,
                "ids": inputs["input_ids"][index, :tokens].tolist(),
                "resized": [inputs["pixel_values"].shape[3], inputs["pixel_values"].shape[2]],
                "topk": run.topk,
                "topk_margin": run.topk_margin,
                "detections": _detections(result),
                "stages": described,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path.with_suffix(".safetensors"))
    write_json(
        path.with_suffix(".json"),
        {
            "text_rules": rules,
            "shortest_edge": edges[0],
            "longest_edge": edges[1],
            "threshold": THRESHOLD,
            "text_threshold": TEXT_THRESHOLD,
            "images": entries,
        },
        compact_rows=True,
    )
    for entry in entries:
        print(
            f"  {len(entry['ids'])} tokens, {len(entry['detections'])} detections above "
            f"{THRESHOLD}, top-k margin {entry['topk_margin']:.2e}",
            flush=True,
        )
