#!/usr/bin/env python3
"""Times the reference (transformers) on a GPU with random weights of a published shape; the
counterpart of `gpu_bench model`. Pixels lie on the device, tokens are split: the model alone.

    bench/peers/transformers_gpu.py [--config tests/golden/mm_large] [--batches 1,8] [--tokens 16] [--compiled] [--graphs]

Prints one JSON object. --compiled and --graphs take a minute or two of warm-up each.
"""

import argparse
import json
import statistics
import time

START = time.perf_counter()

import torch
import transformers


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="", help="folder of config.json; default: the tiny shape")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--tokens", default="16")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--compiled", action="store_true", help="torch.compile")
    parser.add_argument("--graphs", action="store_true", help="torch.compile with CUDA graphs, batch 1")
    return parser.parse_args()


def make_inputs(batch: int, tokens: int) -> dict:
    ids = [101] + [1012 if i % 3 == 2 else 2000 + i for i in range(tokens - 2)] + [102]
    return {
        "pixel_values": torch.randn(batch, 3, 800, 1333, device="cuda", dtype=torch.float16),
        "pixel_mask": torch.ones(batch, 800, 1333, device="cuda", dtype=torch.int64),
        "input_ids": torch.tensor([ids] * batch, device="cuda"),
        "attention_mask": torch.ones(batch, tokens, device="cuda", dtype=torch.int64),
    }


def measure(name: str, model, batch: int, tokens: int, runs: int) -> dict:
    inputs = make_inputs(batch, tokens)
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    with torch.inference_mode():
        for _ in range(3):
            model(**inputs)
        torch.cuda.synchronize()
        warm_up = time.perf_counter() - begin
        times = []
        for _ in range(runs):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            outputs = model(**inputs)
            outputs.logits[0, 0, 0].item()
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - begin))
    return {
        "name": name,
        "batch": batch,
        "tokens": tokens,
        "ms_per_image": statistics.median(times) / batch,
        "times_ms": times,
        "warm_up_s": warm_up,
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }


def main() -> None:
    arguments = parse_arguments()
    torch.backends.cuda.matmul.allow_tf32 = False
    imported = time.perf_counter() - START
    config = (
        transformers.AutoConfig.from_pretrained(arguments.config)
        if arguments.config
        else transformers.GroundingDinoConfig()
    )
    model = transformers.AutoModelForZeroShotObjectDetection.from_config(config).eval().half().cuda()
    batches = [int(value) for value in arguments.batches.split(",")]
    tokens = [int(value) for value in arguments.tokens.split(",")]
    runs = [
        measure("transformers eager fp16", model, batch, count, arguments.runs)
        for batch in batches
        for count in tokens
    ]
    for asked, name, mode, sizes in (
        (arguments.compiled, "transformers compiled fp16", "default", batches),
        (arguments.graphs, "transformers compiled, graphs", "reduce-overhead", [1]),
    ):
        if not asked:
            continue
        torch._dynamo.reset()
        compiled = torch.compile(model, mode=mode)
        runs += [measure(name, compiled, batch, tokens[0], arguments.runs) for batch in sizes]
    print(
        json.dumps(
            {
                "device": torch.cuda.get_device_name(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "import_seconds": imported,
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
