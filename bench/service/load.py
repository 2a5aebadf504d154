#!/usr/bin/env python3
"""Loads `itemcrop serve` to its capacity, twice and ten times that, and checks what overload must not do.

    bench/service/load.py --binary build/release/bin/itemcrop --seconds 60

First correctness: one answer is compared with the command line's. Then the server is loaded at 1x,
2x and 10x of its capacity, which is found anew (a closed loop with a few clients) before and after
each stage, so that a machine that is shared with others compares like with like. Criteria: goodput
at least 90% of the capacity around it, rejects within 50 ms (median and 99th percentile are printed),
no accepted request failed, memory flat, recovery within 5 s. Last, 64 photos with 3 items each, all at
once: 64 of 64 answered. Prints a table, writes JSON with --json, and ends with 1 if a criterion failed.
"""

import argparse
import base64
import concurrent.futures
import datetime
import http.client
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import generator

ROOT = pathlib.Path(__file__).resolve().parents[2]
ITEMS = ["t-shirt", "pants", "shoes"]


def write_report(arguments: argparse.Namespace, **figures) -> None:
    """The figures with their date and machine, as `--json` asks."""
    about = {"date": datetime.date.today().isoformat(), "machine": arguments.machine, "cores": os.cpu_count()}
    arguments.json.write_text(json.dumps({**about, **figures}, indent=2) + "\n")


class Server:
    def __init__(
        self, binary: pathlib.Path, folder: pathlib.Path, variables: dict[str, str] | None = None, **settings
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ITEMCROP_")}
        environment |= variables or {}
        environment |= {
            f"ITEMCROP_{name.upper()}": str(value)
            for name, value in {
                "host": "127.0.0.1",
                "port": 0,
                "data_folder": folder,
                "store": "none",
                "log_level": "warning",
                **settings,
            }.items()
        }
        self.process = subprocess.Popen([binary, "serve"], env=environment, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise SystemExit("the server does not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        while self.get("/readyz")[0] != 200:
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, bytes]:
        return self.request("GET", path)

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        result = answer.status, answer.read()
        connection.close()
        return result

    def memory(self) -> int:
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def check_equality(binary: pathlib.Path, server: Server, photo: pathlib.Path) -> None:
    """Nothing is timed unless the service finds what the command line finds."""
    ran = subprocess.run(
        [binary, "detect", photo, "--items", ",".join(ITEMS), "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = json.loads(ran.stdout)["images"][0]["detections"]
    body = json.dumps({"image": {"base64": base64.b64encode(photo.read_bytes()).decode()}, "items": ITEMS})
    status, answer = server.request("POST", "/v1/detect", body.encode(), "application/json")
    found = json.loads(answer)["images"][0]["detections"] if status == 200 else []
    facts = [
        [(one["item"], round(one["score"], 4), [round(edge, 1) for edge in one["box"]]) for one in some]
        for some in (wanted, found)
    ]
    if facts[0] != facts[1]:
        raise SystemExit(f"the service and the command line disagree:\n{facts}")


def capacity_of(request: generator.Request, clients: int, seconds: float) -> float:
    """Photos a second that a few clients get who ask as fast as they are answered."""
    seconds = max(5.0, seconds)
    samples = generator.run(request, clients, seconds)
    return (
        sum(sample.status == 200 and sample.start + sample.seconds <= seconds for sample in samples) / seconds
    )


def stage(
    server: Server, request: generator.Request, capacity: float, factor: float, seconds: float, workers: int
) -> dict:
    samples = generator.run(request, workers, seconds, capacity * factor)
    good = [sample for sample in samples if sample.status == 200]
    rejected = [sample for sample in samples if sample.status == 429]
    in_time = [sample for sample in good if sample.start + sample.seconds <= seconds]
    milliseconds = lambda some, share: round(
        generator.percentile([sample.seconds for sample in some], share) * 1000, 1
    )
    return {
        "factor": factor,
        "offered_per_second": round(len(samples) / seconds, 2),
        "goodput_per_second": round(len(in_time) / seconds, 2),
        "answered": len(good),
        "rejected": len(rejected),
        "failed": len(samples) - len(good) - len(rejected),
        "p50_ms": milliseconds(good, 0.5),
        "p99_ms": milliseconds(good, 0.99),
        "reject_p50_ms": milliseconds(rejected, 0.5),
        "reject_p99_ms": milliseconds(rejected, 0.99),
        "memory_mb": round(server.memory() / 1e6, 1),
    }


def recovery(server: Server, photo: bytes, alone: float, patience: float = 30) -> float:
    """Seconds until a lone request is as quick as before (twice, to be sure)."""
    started, quick = time.monotonic(), 0
    while time.monotonic() - started < patience:
        begun = time.monotonic()
        status, _ = server.request("POST", "/v1/detect?items=" + ",".join(ITEMS), photo, "image/jpeg")
        quick = quick + 1 if status == 200 and time.monotonic() - begun < 2 * alone + 0.05 else 0
        if quick == 2:
            return begun - started
        if status != 200:
            time.sleep(0.05)
    return float("inf")


def photos_64(binary: pathlib.Path, folder: pathlib.Path, photo: bytes) -> dict:
    """The batch that failed so often: 64 photos, 3 items each, all at once, with default settings."""
    server = Server(binary, folder)
    body = json.dumps(
        {"imageBase64": base64.b64encode(photo).decode(), "categories": ["tops", "bottoms", "shoes"]}
    ).encode()

    def one(_):
        for _ in range(20):
            status, answer = server.request("POST", "/crop", body, "application/json")
            if status != 429:
                return status == 200 and not json.loads(answer).get("fallback")
            time.sleep(1)
        return False

    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answered = sum(pool.map(one, range(64)))
    result = {"photos": 64, "answered": answered, "seconds": round(time.monotonic() - started, 1)}
    server.stop()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--binary", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "itemcrop"
    )
    parser.add_argument("--photo", type=pathlib.Path, default=ROOT / "examples" / "wardrobe.jpg")
    parser.add_argument("--seconds", type=float, default=60, help="of each stage")
    parser.add_argument("--clients", type=int, default=4, help="at once, while the capacity is found")
    parser.add_argument(
        "--machine", default=platform.processor() or platform.machine(), help="as the JSON names it"
    )
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    binary = arguments.binary.resolve()
    photo = arguments.photo.read_bytes()
    failures: list[str] = []

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = Server(binary, folder / "a")
        check_equality(binary, server, arguments.photo)
        request = generator.Request(
            f"http://127.0.0.1:{server.port}/v1/detect?items={','.join(ITEMS)}", arguments.photo, "image/jpeg"
        )
        generator.run(request, 1, 3)
        capacity = capacity_of(request, arguments.clients, arguments.seconds / 3)
        server.stop()

        # What waits is at most three seconds of work: so a queue that is full can recover in five.
        max_queued = max(4, round(capacity * 3))
        server = Server(binary, folder / "b", max_queued=max_queued)
        request.url = f"http://127.0.0.1:{server.port}/v1/detect?items={','.join(ITEMS)}"
        generator.run(request, 1, 3)
        alone = statistics.median(sample.seconds for sample in generator.run(request, 1, 5))
        print(f"capacity {capacity:.2f} photos/s; alone {alone * 1000:.0f} ms; max_queued {max_queued}\n")
        print(
            "load   capacity  offered/s  goodput/s  answered  rejected  failed   p50 ms   p99 ms"
            "  reject p50  p99 ms  memory MB  recovery s"
        )
        stages = []
        for factor in (1, 2, 10):
            before = capacity_of(request, arguments.clients, arguments.seconds / 6)
            workers = int(max_queued * 2 + before * factor + 8)
            result = stage(server, request, before, factor, arguments.seconds, workers)
            result["recovery_seconds"] = round(recovery(server, photo, alone), 2)
            after = capacity_of(request, arguments.clients, arguments.seconds / 6)
            result["capacity_per_second"] = [round(before, 2), round(after, 2)]
            stages.append(result)
            print(
                f"{factor:3d}x  {before:5.2f} {after:5.2f} {result['offered_per_second']:9.2f} "
                f"{result['goodput_per_second']:10.2f} {result['answered']:9d} "
                f"{result['rejected']:9d} {result['failed']:7d} {result['p50_ms']:8.0f} {result['p99_ms']:8.0f} "
                f"{result['reject_p50_ms']:11.1f} {result['reject_p99_ms']:7.1f} {result['memory_mb']:10.1f} "
                f"{result['recovery_seconds']:11.2f}",
                flush=True,
            )
        ended = server.stop()
        batch = photos_64(binary, folder / "c", photo)

    for result in stages:
        at = f"{result['factor']}x: "
        before, after = result["capacity_per_second"]
        # At 1x no more is offered than was found before it.
        peak = min(before, after) if result["factor"] == 1 else (before + after) / 2
        if result["goodput_per_second"] < 0.9 * peak:
            failures.append(f"{at}goodput {result['goodput_per_second']} is below 90% of {peak:.2f}")
        if result["reject_p99_ms"] > 50:
            failures.append(f"{at}rejects take {result['reject_p99_ms']} ms")
        if result["failed"]:
            failures.append(f"{at}{result['failed']} requests failed")
        if result["recovery_seconds"] > 5:
            failures.append(f"{at}recovery took {result['recovery_seconds']} s")
    growth = stages[-1]["memory_mb"] - stages[1]["memory_mb"]
    if growth > 0.1 * stages[1]["memory_mb"]:
        failures.append(f"memory grew by {growth:.0f} MB between 2x and 10x")
    if ended != 0:
        failures.append(f"the server ended with {ended}")
    if batch["answered"] != 64:
        failures.append(f"{batch['answered']} of 64 photos were answered")
    print(f"\n64 photos, 3 items each, at once: {batch['answered']} of 64 answered in {batch['seconds']} s")
    print("\n".join(["", "FAILED", *failures] if failures else ["All criteria hold."]))
    if arguments.json:
        write_report(
            arguments,
            capacity_per_second=round(capacity, 2),
            alone_ms=round(alone * 1000, 1),
            max_queued=max_queued,
            seconds=arguments.seconds,
            stages=stages,
            batch=batch,
            failures=failures,
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
