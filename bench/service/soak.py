#!/usr/bin/env python3
"""Runs `itemcrop serve` for a long time under everything that clients do, and watches what it keeps.

    bench/service/soak.py --binary build/release/bin/itemcrop --minutes 60

Photos of many sizes, damaged photos, fields that are wrong, clients that leave half-way and jobs, all
at once. After a warm-up (a third of the time) memory, file descriptors and threads must stay flat: a
line is fitted through the memory, and its slope is printed with its error. Ends with 1 if the slope is
above --slope (MB an hour) by more than twice its error, if descriptors or threads grew, or if any
request was answered otherwise than it should have been. The journal is limited so that its sweep
is part of what is tried.
"""

import argparse
import base64
import collections
import http.client
import io
import json
import os
import pathlib
import random
import socket
import sys
import tempfile
import threading
import time

from load import ITEMS, ROOT, Server


def photos(sample: bytes) -> list[bytes]:
    """The sample in sizes that make other shapes; only itself where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        return [sample]
    whole = Image.open(io.BytesIO(sample)).convert("RGB")
    made = [sample]
    for width, height in ((320, 480), (800, 600), (640, 640), (333, 1000), (1200, 900)):
        file = io.BytesIO()
        whole.resize((width, height)).save(file, "JPEG", quality=85)
        made.append(file.getvalue())
    return made


class Client(threading.Thread):
    """Does one thing after the other, drawn by chance, until told to stop."""

    def __init__(self, server: Server, pictures: list[bytes], seed: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.server, self.pictures, self.stop = server, pictures, stop
        self.rng = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        kinds = [self.detect] * 6 + [self.crop] * 3 + [self.damaged, self.bad_field, self.leave, self.job]
        while not self.stop.is_set():
            kind = self.rng.choice(kinds)
            self.counts[kind.__name__] += 1
            try:
                kind()
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(f"{kind.__name__}: {error!r}")

    def send(self, wanted: set[int], path: str, body: bytes, kind: str) -> bytes:
        status, answer = self.server.request("POST", path, body, kind)
        if status not in wanted:
            self.wrong.append(f"{path} answered {status}: {answer[:200]!r}")
        if status == 429:
            time.sleep(0.2)
        return answer

    def detect(self) -> None:
        self.send({200, 429}, "/v1/detect?items=" + ",".join(ITEMS), self.rng.choice(self.pictures), "image/jpeg")

    def crop(self) -> None:
        body = {"imageBase64": base64.b64encode(self.rng.choice(self.pictures)).decode(), "categories": ["tops", "shoes"]}
        self.send({200, 429}, "/crop", json.dumps(body).encode(), "application/json")

    def damaged(self) -> None:
        picture = bytearray(self.rng.choice(self.pictures))
        for _ in range(64):
            picture[self.rng.randrange(2, len(picture))] = self.rng.randrange(256)
        self.send({200, 413, 415, 422, 429}, "/v1/detect?items=hat", bytes(picture), "image/jpeg")

    def bad_field(self) -> None:
        self.send({422, 429}, "/v1/detect", b'{"image": {"base64": "QUJD"}, "items": [], "itms": 1}', "application/json")

    def leave(self) -> None:
        """Sends a request, whole or in part, and goes."""
        picture = self.rng.choice(self.pictures)
        sent = picture[: self.rng.choice([len(picture), len(picture) // 2])]
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(b"POST /v1/detect?items=hat HTTP/1.1\r\nHost: soak\r\nContent-Type: image/jpeg\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(picture) + sent)
            time.sleep(self.rng.random() * 0.2)

    def job(self) -> None:
        image = {"base64": base64.b64encode(self.rng.choice(self.pictures)).decode()}
        body = {"images": [image] * self.rng.randint(1, 3), "items": ITEMS}
        self.send({202, 429}, "/v1/jobs", json.dumps(body).encode(), "application/json")


def slope_of(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Slope of the least-squares line, and its standard error from 12 parts of the points: samples
    of memory that follow each other are not independent."""
    def fit(some):
        x = sum(p[0] for p in some) / len(some)
        y = sum(p[1] for p in some) / len(some)
        spread = sum((p[0] - x) ** 2 for p in some)
        return sum((p[0] - x) * (p[1] - y) for p in some) / spread if spread else 0.0

    size = max(1, len(points) // 12)
    parts = [points[at:at + size] for at in range(0, len(points), size)]
    means = [(sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part)) for part in parts]
    slope = fit(means)
    x = sum(m[0] for m in means) / len(means)
    y = sum(m[1] for m in means) / len(means)
    left = sum((m[1] - y - slope * (m[0] - x)) ** 2 for m in means)
    spread = sum((m[0] - x) ** 2 for m in means)
    return slope, (left / max(1, len(means) - 2) / spread) ** 0.5 if spread else float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "itemcrop")
    parser.add_argument("--photo", type=pathlib.Path, default=ROOT / "samples" / "wardrobe.jpg")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--slope", type=float, default=1, help="MB an hour")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        server = Server(arguments.binary.resolve(), pathlib.Path(name), jobs_max_bytes=20_000_000)
        process = pathlib.Path(f"/proc/{server.process.pid}")
        pictures = photos(arguments.photo.read_bytes())
        stop = threading.Event()
        clients = [Client(server, pictures, seed, stop) for seed in range(arguments.clients)]
        for client in clients:
            client.start()
        began = time.monotonic()
        samples = []
        while (now := time.monotonic() - began) < arguments.minutes * 60:
            samples.append((now / 3600, server.memory() / 1e6, len(os.listdir(process / "fd")), len(os.listdir(process / "task"))))
            if len(samples) % 12 == 0:
                print(f"{now / 60:6.1f} min  {samples[-1][1]:8.1f} MB  {samples[-1][2]:4d} descriptors  {samples[-1][3]:4d} threads  "
                      f"{sum(sum(client.counts.values()) for client in clients):7d} requests", flush=True)
            time.sleep(min(5.0, arguments.minutes))
        stop.set()
        for client in clients:
            client.join(120)
        ended = server.stop()

    warm = samples[len(samples) // 3:]
    slope, error = slope_of([sample[:2] for sample in warm])
    wrong = [text for client in clients for text in client.wrong]
    counts = sum((client.counts for client in clients), collections.Counter())
    failures = wrong[:10]
    if slope - 2 * error > arguments.slope:
        failures.append(f"memory grows by {slope:.1f} +- {error:.1f} MB an hour")
    for index, what in ((2, "file descriptors"), (3, "threads")):
        half = len(warm) // 2
        first, second = (max(sample[index] for sample in part) for part in (warm[:half], warm[half:]))
        if second > first + 4:
            failures.append(f"{what} grew from {first} to {second}")
    if ended != 0:
        failures.append(f"the server ended with {ended}")
    print(f"{sum(counts.values())} requests ({dict(counts)}); memory {warm[0][1]:.1f} to {warm[-1][1]:.1f} MB, "
          f"slope {slope:.1f} +- {error:.1f} MB an hour")
    print("\n".join(["FAILED", *failures] if failures else ["All flat."]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"minutes": arguments.minutes, "requests": counts, "slope_mb_per_hour": round(slope, 2),
                                              "slope_error": round(error, 2), "memory_mb": [round(s[1], 1) for s in samples[::12]],
                                              "descriptors": max(s[2] for s in warm), "threads": max(s[3] for s in warm),
                                              "failures": failures}, indent=2) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
