"""Measures jobs over many photos: Ray with one and with two actors, and what a call costs above the engine.

Usage: python bench/fleets.py [--photos N] [--side PIXELS] [--actors 1,2] [--engine itemcrop|transformers] [--out FILE]
In an environment that has itemcrop, ray[data] and pillow (build/package after `.ci/run python`), on a machine
that does nothing else; --engine transformers needs torch and transformers there too. The photos are parts of the
sample photo, all different. Rows are compared between the runs before anything is timed: they have to be equal.
"""

import argparse
import datetime
import io
import json
import os
import pathlib
import platform
import resource
import statistics
import tempfile
import time

import numpy as np
import ray
from PIL import Image

import itemcrop
import itemcrop.ray

ROOT = pathlib.Path(__file__).resolve().parents[1]
ITEMS = ["t-shirt", "pants", "dress", "shorts", "hat", "shoes"]


def write_photos(folder, count, side):
    whole = Image.open(ROOT / "examples" / "wardrobe.jpg").convert("RGB")
    for number in range(count):
        x, y = number * 37 % (whole.width - 600), number * 11 % (whole.height - 600)
        whole.crop((x, y, x + 600, y + 600)).resize((side, side)).save(
            folder / f"{number:05}.jpg", quality=90
        )


def memory():
    """Of this process, in MB: the highest resident, and its share of what it has in common with others."""
    rollup = pathlib.Path("/proc/self/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, pss / 1e3


class Measured(itemcrop.ray.Detector):
    """Adds the worker and its memory to each row."""

    def __call__(self, batch):
        done = super().__call__(batch)
        peak, share = memory()
        count = len(done["error"])
        return {
            **done,
            "worker": np.full(count, os.getpid()),
            "peak_mb": np.full(count, peak),
            "share_mb": np.full(count, share),
        }


class Transformers:
    """The same columns by transformers, one pass for all items as its processor does it."""

    def __init__(self, items, model="wardrobe", precision="fp32", threads=1, **_):
        import torch
        from transformers import BertTokenizer, GroundingDinoForObjectDetection, GroundingDinoProcessor
        from transformers.models.grounding_dino.image_processing_grounding_dino import (
            GroundingDinoImageProcessor,
        )

        torch.set_num_threads(threads)
        folder = str(ROOT / "models" / model)
        self.torch = torch
        self.model = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
        self.processor = GroundingDinoProcessor(
            GroundingDinoImageProcessor.from_pretrained(folder), BertTokenizer.from_pretrained(folder)
        )
        self.caption = " ".join(f"{item}." for item in items)

    def __call__(self, batch):
        images = [Image.open(io.BytesIO(data)).convert("RGB") for data in batch["bytes"]]
        inputs = self.processor(images=images, text=[self.caption] * len(images), return_tensors="pt")
        with self.torch.no_grad():
            outputs = self.model(**inputs)
        sizes = [(image.height, image.width) for image in images]
        found = self.processor.post_process_grounded_object_detection(
            outputs, inputs.input_ids, target_sizes=sizes
        )
        columns = {name: np.empty(len(images), object) for name in ("labels", "scores", "boxes")}
        for index, one in enumerate(found):
            columns["labels"][index] = list(one["text_labels"])
            columns["scores"][index] = one["scores"].tolist()
            columns["boxes"][index] = one["boxes"].tolist()
        peak, share = memory()
        count = len(images)
        return {
            "path": batch["path"],
            **columns,
            "worker": np.full(count, os.getpid()),
            "peak_mb": np.full(count, peak),
            "share_mb": np.full(count, share),
        }


def job(folder, actors, engine):
    """(seconds from the first batch in an actor that is warm to the last row, rows)."""
    data = ray.data.read_binary_files(
        str(folder), include_paths=True, override_num_blocks=64, ray_remote_args={"num_cpus": 0.1}
    )
    data = data.materialize()
    data = data.map_batches(
        Measured if engine == "itemcrop" else Transformers,
        fn_constructor_kwargs={"items": ITEMS, "precision": "fp32", "threads": 1},
        batch_size=8,
        concurrency=actors,
        num_cpus=1,
    )
    started = time.perf_counter()
    rows = data.take_all()
    return time.perf_counter() - started, sorted(rows, key=lambda row: row["path"])


def same(first, second):
    names = ("path", "labels", "scores", "boxes")
    return all(
        [one[name] for name in names] == [other[name] for name in names] for one, other in zip(first, second)
    )


def overhead(calls=20):
    """A call's time above what the engine says it took, 1333 x 800, in milliseconds; and the call's."""
    image = np.asarray(Image.open(ROOT / "examples" / "wardrobe.jpg").convert("RGB").resize((1333, 800)))
    model = itemcrop.load("wardrobe")
    above, whole = [], []
    for _ in range(calls):
        started = time.perf_counter()
        found = model.detect(image, ITEMS)
        whole.append((time.perf_counter() - started) * 1e3)
        above.append(whole[-1] - sum(found.timing_ms.values()))
    return {"calls": calls, "overhead_ms": statistics.median(above), "call_ms": statistics.median(whole)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--side", type=int, default=320, help="of the photos, in pixels")
    parser.add_argument("--actors", default="1,2")
    parser.add_argument("--engine", choices=["itemcrop", "transformers"], default="itemcrop")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    actors = [int(number) for number in arguments.actors.split(",")]
    ray.init(num_cpus=max(actors), include_dashboard=False, object_store_memory=500 << 20)
    runs, first = [], None
    with tempfile.TemporaryDirectory() as folder:
        write_photos(pathlib.Path(folder), arguments.photos, arguments.side)
        for number in actors:
            seconds, rows = job(folder, number, arguments.engine)
            first = first or rows
            assert len(rows) == arguments.photos
            assert same(first, rows), "two runs have different rows"
            workers = {row["worker"]: row for row in rows}
            runs.append(
                {
                    "actors": number,
                    "seconds": round(seconds, 2),
                    "photos_per_second": round(arguments.photos / seconds, 2),
                    "peak_mb": [
                        round(max(r["peak_mb"] for r in rows if r["worker"] == one)) for one in workers
                    ],
                    "share_mb": [
                        round(max(r["share_mb"] for r in rows if r["worker"] == one)) for one in workers
                    ],
                }
            )
            print(json.dumps(runs[-1]), flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "command": f"bench/fleets.py --photos {arguments.photos} --side {arguments.side} --engine {arguments.engine}",
        "engine": arguments.engine,
        "ray": ray.__version__,
        "runs": runs,
        "call": overhead() if arguments.engine == "itemcrop" else None,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
