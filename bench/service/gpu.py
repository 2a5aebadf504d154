#!/usr/bin/env python3
"""The service on a GPU: seconds from start to ready, then throughput and latency of POST /crop beside
the old backend's way of working (bench/peers/legacy_server.py), both on one device, in turns.

    bench/service/gpu.py --binary itemcrop --model FOLDER --photo examples/wardrobe.jpg [--legacy] \
        [--clients 1,8,32] [--seconds 5] [--store local] [--json OUT]

The photo is sent as a base64 JPEG of 1200 x 1600. Crops are kept in memory (/dev/shm): a disk is not
what is measured. Needs pillow, and --legacy fastapi and uvicorn.
"""

import argparse
import base64
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from PIL import Image

HERE = pathlib.Path(__file__).parent


@contextlib.contextmanager
def running(command: list[str], url: str, log: pathlib.Path):
    """Yields the seconds until `url` answered."""
    start = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    with urllib.request.urlopen(url, timeout=5):
                        break
                except (OSError, urllib.error.URLError):
                    if process.poll() is not None or time.perf_counter() - start > 120:
                        sys.exit(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
                    time.sleep(0.01)
            yield time.perf_counter() - start
        finally:
            process.terminate()
            process.wait(30)


def median_timing(url: str, photo: pathlib.Path, categories: list[str]) -> dict:
    """Where a request's seconds go when it is alone, by the answers' own account."""
    body = json.dumps(
        {"imageBase64": base64.b64encode(photo.read_bytes()).decode(), "categories": categories}
    ).encode()
    timings = []
    for _ in range(12):
        request = urllib.request.Request(f"{url}/crop", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            timings.append(json.load(answer)["timing"])
    return {name: statistics.median(timing[name] for timing in timings[2:]) for name in timings[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default="itemcrop")
    parser.add_argument("--model", required=True)
    parser.add_argument("--photo", type=pathlib.Path, required=True)
    parser.add_argument("--device", default="cuda:0", help="cuda:0, or cpu to try this program out")
    parser.add_argument("--legacy", action="store_true")
    parser.add_argument("--legacy-precision", default="fp16")
    parser.add_argument("--categories", default="shirt,pants,shoes")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--store", default="local", help="local or none (base64 in the answers)")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        photo = folder / "photo.jpg"
        Image.open(arguments.photo).convert("RGB").resize((1200, 1600)).save(photo, quality=90)
        serve = [
            arguments.binary,
            "serve",
            "--model",
            arguments.model,
            "--devices",
            arguments.device,
            "--port",
            "8000",
            "--data-folder",
            str(folder / "files"),
            "--store",
            arguments.store,
        ]
        result = {"ready_seconds": []}
        for _ in range(2):
            with running(serve, "http://127.0.0.1:8000/readyz", folder / "cold.log") as seconds:
                result["ready_seconds"].append(round(seconds, 3))
        print("seconds to ready:", *result["ready_seconds"], flush=True)
        stack.enter_context(running(serve, "http://127.0.0.1:8000/readyz", folder / "itemcrop.log"))
        result["timing"] = median_timing("http://127.0.0.1:8000", photo, arguments.categories.split(","))
        print(result["timing"], flush=True)
        servers = ["itemcrop=http://127.0.0.1:8000"]
        if arguments.legacy:
            command = [
                sys.executable,
                str(HERE / "../peers/legacy_server.py"),
                "--model",
                arguments.model,
                "--device",
                arguments.device.split(":")[0],
                "--precision",
                arguments.legacy_precision,
                "--port",
                "8001",
            ]
            stack.enter_context(running(command, "http://127.0.0.1:8001/", folder / "legacy.log"))
            servers.append("legacy=http://127.0.0.1:8001")
        subprocess.run(
            [
                sys.executable,
                str(HERE / "compare.py"),
                *servers,
                "--photo",
                str(photo),
                "--categories",
                arguments.categories,
                "--clients",
                arguments.clients,
                "--seconds",
                str(arguments.seconds),
                "--json",
                str(folder / "compare.json"),
            ],
            check=True,
        )
        result["load"] = json.loads((folder / "compare.json").read_text())
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
