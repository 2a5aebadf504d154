#!/usr/bin/env python3
"""Times the reference (transformers) on the CPU; the counterpart of bench_engine.

    taskset -c 0,1 bench/peers/transformers_bench.py MODEL --precision bf16 --threads 2

Prints one JSON object with bench_engine's fields. Times are of the model alone: pixels are already
resized and normalised, tokens already split, so what is left out favours the reference.
"""

import argparse
import json
import pathlib
import resource
import sys
import time

START = time.perf_counter()

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))

from reference import text_rules
from reference.cases import Input, process
from reference.checkpoints import load
from reference.procedural_image import procedural_image
from reference.wardrobe import caption, load_processor


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path, help="checkpoint folder")
    parser.add_argument("--items", default="navy blazer,white shirt,pants,shoes,red scarf")
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: autocast, weights stay fp32"
    )
    parser.add_argument("--width", type=int, default=1333)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1, help="of the procedural image")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's default")
    parser.add_argument("--runs", type=int, default=3, help="timed runs after the first")
    parser.add_argument("--dump", type=pathlib.Path, help="write ids, logits and boxes here")
    return parser.parse_args()


def dump_outputs(path: pathlib.Path, inputs, outputs) -> None:
    ids = inputs["input_ids"][0].tolist()
    logits = outputs.logits[0, :, : len(ids)].to(torch.float32)
    path.write_text(
        json.dumps(
            {
                "ids": ids,
                "queries": logits.shape[0],
                "logits": logits.flatten().tolist(),
                "boxes": outputs.pred_boxes[0].to(torch.float32).flatten().tolist(),
            }
        )
    )


def main() -> None:
    arguments = parse_arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = load(arguments.model)
    processor, _edges = load_processor(arguments.model)
    loaded = time.perf_counter() - START
    image = Input(
        procedural_image(arguments.seed, arguments.width, arguments.height),
        {},
        caption(arguments.items.split(",")),
    )
    inputs = process(processor, [image])
    config = json.loads((arguments.model / "config.json").read_text())

    def run():
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"),
        ):
            return model(**inputs)

    with text_rules.applied(text_rules.rules_of(config)):
        outputs = run()
        first = time.perf_counter() - START
        times = []
        for _ in range(arguments.runs):
            begin = time.perf_counter()
            outputs = run()
            times.append(time.perf_counter() - begin)
    if arguments.dump:
        dump_outputs(arguments.dump, inputs, outputs)
    print(
        json.dumps(
            {
                "device": f"torch {torch.__version__}, transformers {transformers.__version__}",
                "precision": arguments.precision,
                "load_seconds": loaded,
                "first_result_seconds": first,
                "run_seconds": times,
                "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
