#!/usr/bin/env python3
"""Writes the golden files of tests/golden from the reference implementation (transformers).

    pip install -r training/requirements.txt
    tests/reference/dump_reference.py tokenizer|sequences|blocks|ops|resize|weights|procedural|wardrobe|garments|all

Each part can be run alone; a part's files depend on nothing but its inputs and the versions in
tests/requirements/torch.txt, so a second run changes nothing. `wardrobe` and `garments` must be run
again whenever models/wardrobe changes; `garments` needs the folder of photos (--garments).
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from reference import (
    block_goldens,
    garments,
    op_goldens,
    procedural_goldens,
    resize_goldens,
    sequence_goldens,
    tokenizer_goldens,
    wardrobe,
    weights_goldens,
    zero_shot_pipeline,
)

PARTS = {
    "tokenizer": tokenizer_goldens.dump,
    "sequences": sequence_goldens.dump,
    "blocks": block_goldens.dump,
    "ops": op_goldens.dump,
    "resize": resize_goldens.dump,
    "weights": weights_goldens.dump,
    "procedural": procedural_goldens.dump,
    "wardrobe": wardrobe.dump,
    "garments": garments.dump,
    "pipeline": zero_shot_pipeline.dump,
}


def main() -> None:
    repository = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--out", type=pathlib.Path, default=repository / "tests" / "golden")
    parser.add_argument(
        "--model",
        type=pathlib.Path,
        default=repository / "models" / "wardrobe",
        help="the embedded checkpoint (parts wardrobe and garments)",
    )
    parser.add_argument(
        "--sample",
        type=pathlib.Path,
        default=repository / "examples",
        help="folder of the sample photo (part wardrobe)",
    )
    parser.add_argument(
        "--garments",
        type=pathlib.Path,
        default=repository.parent / "shared" / "garments",
        help="folder of garment photos (part garments)",
    )
    parser.add_argument("--only", default="", help="procedural: only cases whose name contains this")
    arguments = parser.parse_args()
    for name, dump in PARTS.items():
        if arguments.part in (name, "all"):
            print(f"== {name}", flush=True)
            dump(arguments)


if __name__ == "__main__":
    main()
