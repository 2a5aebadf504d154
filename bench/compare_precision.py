#!/usr/bin/env python3
"""Counts how many fp32 detections another precision keeps within the bounds of the goldens.

    bench/compare_precision.py build/release/bin/itemcrop --items "pants, shoes" PHOTO...

A detection of fp32 above 0.25 is kept if the other precision has a box of the same item within 0.02 of
its score and 2 pixels of every edge, in an image whose longer edge is 1333. Boxes are compared before
suppression, so that a choice between two boxes of one thing does not count as a difference;
`--suppress` compares what a user sees instead. A folder stands for every image in it.
`python -m training.compose` makes scenes to compare on.
"""

import argparse
import json
import pathlib
import subprocess

SCORE, PIXELS, LONGER_EDGE = 0.02, 2.0, 1333
THRESHOLD = 0.25
EVERYTHING = 0.05  # a score may fall from 0.25, but not as far as this


def detect(arguments: argparse.Namespace, precision: str, threshold: float) -> list[dict]:
    command = [
        arguments.program,
        "detect",
        *arguments.photos,
        "--items",
        arguments.items,
        "--precision",
        precision,
        "--device",
        arguments.device,
        "--threshold",
        str(threshold),
        "--threads",
        str(arguments.threads),
        "--json",
        "-",
    ]
    if arguments.model:
        command += ["--model", arguments.model]
    if not arguments.suppress:
        command.append("--no-suppress")
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)["images"]


def difference(detection: dict, other: dict, scale: float) -> tuple[float, float]:
    """Of score, and of the farthest edge in pixels of the scaled image."""
    edges = (abs(a - b) for a, b in zip(detection["box"], other["box"], strict=True))
    return abs(detection["score"] - other["score"]), scale * max(edges)


def compare(exact: dict, rounded: dict) -> list[tuple[float, float]]:
    """For each detection of `exact`, how far the nearest one of `rounded` is."""
    scale = LONGER_EDGE / max(exact["width"], exact["height"])
    found = []
    for detection in exact["detections"]:
        candidates = [
            difference(detection, other, scale)
            for other in rounded["detections"]
            if other["item"] == detection["item"]
        ]
        found.append(
            min(candidates, key=lambda d: max(d[0] / SCORE, d[1] / PIXELS), default=(1.0, float(LONGER_EDGE)))
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", help="the itemcrop binary")
    parser.add_argument("photos", nargs="+", help="files and folders")
    parser.add_argument("--items", required=True, help="separated by commas")
    parser.add_argument("--model", help="folder; default: the embedded model")
    parser.add_argument("--precision", default="bf16", help="what is held against fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--suppress", action="store_true", help="compare what is left after suppression")
    parser.add_argument("--json", type=pathlib.Path, help="write the counts there too")
    parser.add_argument("--verbose", action="store_true", help="name each image with a difference")
    arguments = parser.parse_args()

    exact = detect(arguments, "fp32", THRESHOLD)
    rounded = detect(arguments, arguments.precision, EVERYTHING)
    differences = []
    for a, b in zip(exact, rounded, strict=True):
        if a["error"] or b["error"]:
            raise SystemExit(f"{a['file']}: {a['error'] or b['error']}")
        here = compare(a, b)
        if arguments.verbose and any(score > SCORE or box > PIXELS for score, box in here):
            print(pathlib.Path(a["file"]).name, *(f"{score:.3f}/{box:.1f}px" for score, box in here))
        differences += here
    kept = sum(score <= SCORE and box <= PIXELS for score, box in differences)
    worst_score = max((score for score, _ in differences), default=0)
    worst_pixels = max((box for _, box in differences), default=0)
    print(
        f"{kept} of {len(differences)} detections on {len(exact)} images within {SCORE} and {PIXELS:g} px at "
        f"{LONGER_EDGE} ({100 * kept / max(1, len(differences)):.1f}%); worst {worst_score:.3f} and "
        f"{worst_pixels:.1f} px"
    )
    if arguments.json:
        counts = {
            "images": len(exact),
            "kept": kept,
            "detections": len(differences),
            "worst_score": round(worst_score, 3),
            "worst_pixels": round(worst_pixels, 1),
        }
        arguments.json.write_text(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
