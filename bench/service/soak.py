#!/usr/bin/env python3
"""Runs `itemcrop serve` for a long time under everything that clients do, and watches what it keeps.

    bench/service/soak.py --binary build/release/bin/itemcrop --minutes 60

Rounds of mixed requests: photos of many sizes by every route and kind of body, URLs, crops fetched
back, jobs with their events, pages, damaged photos, wrong fields, forbidden addresses, clients that
leave half-way. After each round nothing is in hand, and what the process then holds is read: resident
memory, heap in use (`process_heap_bytes`: exact to some kilobytes where resident memory moves by
megabytes), file descriptors, threads. A third of the rounds is warm-up; through the others a line is
fitted. Ends with 1 unless

- the heap is shown to grow by less than --slope MB an hour (98%, in the median round),
- resident memory is not shown to grow by more than that (slope - 2 standard errors),
- descriptors and threads end where they began, and
- every request was answered as it should have been.

Folders, caches and the journal are limited so that their sweeps are part of what is tried.
tests/service/test_soak.py uses this with a small model, in which a minute holds ten thousand
requests, and bounds the bytes a request.
"""

import argparse
import base64
import collections
import dataclasses
import http.client
import http.server
import io
import itertools
import json
import math
import pathlib
import random
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from load import ITEMS, ROOT, Server, write_report

# Each thread's own list of freed pieces counts as in use until it is full, which takes hours.
VARIABLES = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
SETTINGS = {
    "store": "local",
    "fetch_private": "true",
    "files_max_bytes": 3_000_000,
    "files_sweep_seconds": 2,
    "jobs_max_bytes": 20_000_000,
    "jobs_keep_hours": 0.01,
    "analysis_cache_bytes": 100_000,
}


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


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


class PhotoServer:
    """Photos by URL: /0, /1, ...; everything else is 404."""

    def __init__(self, photos: list[bytes]):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                name = self.path[1:]
                found = name.isdecimal() and int(name) < len(photos)
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(photos[int(name)] if found else b"")

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Traffic:
    """What clients do, a method a kind; each draws its photo by chance."""

    def __init__(self, server: Server, photos: list[bytes], items: list[str] = ITEMS, **options):
        self.server, self.photos, self.items = server, photos, items
        self.options = {"count": 1, **options}
        self.elsewhere = PhotoServer(photos)
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()

    def do(self, kind: str, rng: random.Random) -> None:
        with self.lock:
            self.counts[kind] += 1
        try:
            getattr(self, kind)(rng)
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(f"{kind}: {error!r}")

    def ask(
        self, wanted: set[int], method: str, path: str, body=None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        for _ in range(200):
            status, answer = self.server.request(method, path, body, kind if body is not None else "")
            if status != 429:
                break
            time.sleep(0.1)
        if status not in wanted:
            self.wrong.append(f"{method} {path} answered {status}: {answer[:200]!r}")
        return status, answer

    def image(self, rng) -> dict:
        return {"base64": base64_of(rng.choice(self.photos))}

    def query(self) -> str:
        return "&".join(
            [f"items={','.join(self.items)}", *(f"{name}={value}" for name, value in self.options.items())]
        )

    # ---- kinds ----------------------------------------------------------------------------

    def raw(self, rng) -> None:
        self.ask({200}, "POST", f"/v1/detect?{self.query()}", rng.choice(self.photos), "image/jpeg")

    def several(self, rng) -> None:
        body = {"images": [self.image(rng), {"base64": "QUJD"}], "items": self.items, **self.options}
        self.ask({200}, "POST", "/v1/detect", body)

    def form(self, rng) -> None:
        options = json.dumps({"items": self.items, "return": "zip", **self.options}).encode()
        body = (
            b'--B\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
            + rng.choice(self.photos)
            + b'\r\n--B\r\nContent-Disposition: form-data; name="options"\r\n\r\n'
            + options
            + b"\r\n--B--\r\n"
        )
        _, answer = self.ask({200}, "POST", "/v1/crop", body, "multipart/form-data; boundary=B")
        if not answer.startswith(b"PK"):
            self.wrong.append(f"no zip: {answer[:100]!r}")

    def crop(self, rng) -> None:
        """A crop is made, stored and fetched back, unless the folder's limit took it already."""
        _, answer = self.ask(
            {200}, "POST", "/v1/crop", {"image": self.image(rng), "items": self.items, **self.options}
        )
        for found in json.loads(answer)["images"][0]["detections"][:1]:
            self.ask({200, 404}, "GET", "/files/" + found["crop"]["url"].split("/files/")[1])

    def url(self, rng) -> None:
        url = f"{self.elsewhere.url}/{rng.randrange(len(self.photos))}"
        self.ask({200}, "POST", "/v1/detect", {"image": {"url": url}, "items": self.items, **self.options})

    def legacy(self, rng) -> None:
        self.ask(
            {200},
            "POST",
            "/crop",
            {"imageBase64": base64_of(rng.choice(self.photos)), "categories": ["tops", "shoes"]},
        )

    def analyze(self, rng) -> None:
        """Half of the photos are new, the others answered from the cache."""
        tail = rng.randbytes(8) if rng.random() < 0.5 else b""
        self.ask({200}, "POST", "/analyze", {"imageBase64": base64_of(rng.choice(self.photos) + tail)})

    def job(self, rng) -> None:
        body = {
            "images": [self.image(rng) for _ in range(rng.randint(1, 3))],
            "items": self.items,
            **self.options,
        }
        status, answer = self.ask({202}, "POST", "/v1/jobs", body)
        if status == 202:
            path = f"/v1/jobs/{json.loads(answer)['id']}"
            self.ask({200}, "GET", path + "/events")  # until the job is done
            self.ask({200}, "GET", path)

    def pages(self, rng) -> None:
        for path in (
            "/",
            "/debug",
            "/healthz",
            "/readyz",
            "/metrics",
            "/ui",
            "/docs",
            "/openapi.json",
            "/v1/models",
        ):
            self.ask({200}, "GET", path)

    def damaged(self, rng) -> None:
        photo = bytearray(rng.choice(self.photos))
        for _ in range(64):
            photo[rng.randrange(2, len(photo))] = rng.randrange(256)
        self.ask({200, 413, 415, 422}, "POST", "/v1/detect?items=hat", bytes(photo), "image/jpeg")

    def refused(self, rng) -> None:
        self.ask({422}, "POST", "/v1/detect", b'{"image": {"base64": "QUJD"}, "items": [], "itms": 1}')
        self.ask({400}, "POST", "/v1/detect", b'{"image": ')
        self.ask({404}, "GET", f"/no/{rng.randrange(10**9)}")
        self.ask({405}, "DELETE", "/v1/detect")
        self.ask({403}, "POST", "/crop", {"imageUrl": "http://169.254.169.254/a.jpg", "categories": ["tops"]})
        self.ask({502}, "POST", "/crop", {"imageUrl": self.elsewhere.url + "/none", "categories": ["tops"]})

    def leave(self, rng) -> None:
        """Sends a request, whole or in part, and goes."""
        photo = rng.choice(self.photos)
        sent = photo[: rng.choice([len(photo), len(photo) // 2])]
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(
                b"POST /v1/detect?items=hat HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: %d\r\n\r\n" % len(photo) + sent
            )
            time.sleep(rng.random() * 0.02)


KINDS = [
    "raw",
    "several",
    "form",
    "crop",
    "url",
    "legacy",
    "analyze",
    "job",
    "pages",
    "damaged",
    "refused",
    "leave",
]


@dataclasses.dataclass
class Sample:
    hours: float  # since the start
    requests: int  # of all kinds until now
    resident: int  # bytes
    heap: int  # bytes in use; 0: this build cannot tell
    descriptors: int
    threads: int


class Soak:
    def __init__(self, server: Server, traffic: Traffic, clients: int = 4):
        self.server, self.traffic, self.clients = server, traffic, clients
        self.process = pathlib.Path(f"/proc/{server.process.pid}")
        self.began = time.monotonic()

    def metrics(self) -> dict[str, float]:
        lines = self.server.get("/metrics")[1].decode().splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
        }

    def round(self, kinds: list[str], seed: int) -> Sample:
        """Does all of these, by some clients at once, and says what is held when nothing is in hand."""
        left = list(kinds)
        random.Random(seed).shuffle(left)

        def work(rng):
            while True:
                try:
                    kind = left.pop()
                except IndexError:
                    return
                self.traffic.do(kind, rng)

        threads = [
            threading.Thread(target=work, args=(random.Random(f"{seed} {at}"),)) for at in range(self.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.at_rest()

    def at_rest(self, patience: float = 30) -> Sample:
        end = time.monotonic() + patience
        while True:
            values = self.metrics()
            busy = (
                values["itemcrop_queue_depth"]
                + values["itemcrop_queue_bytes"]
                + (values["itemcrop_connections"] - 1)
            )
            busy += sum(
                values.get(f'itemcrop_jobs{{status="{status}"}}', 0) for status in ("queued", "running")
            )
            if not busy or time.monotonic() > end:
                break
            time.sleep(0.02)
        if busy:
            self.traffic.wrong.append(f"something is in hand {patience} s after the last request")
        # A sweep, or the end of what was asked, may still be at work: until it looks alike three times.
        looks = []
        while len(looks) < 3 or (
            len(looks) < 40
            and max(look[1] for look in looks[-3:]) - min(look[1] for look in looks[-3:]) > 512
        ):
            looks.append(
                (
                    self.server.memory(),
                    int(self.metrics().get("process_heap_bytes", 0)),
                    len(list((self.process / "fd").iterdir())),
                    len(list((self.process / "task").iterdir())),
                )
            )
            time.sleep(0.03)
        return Sample(
            (time.monotonic() - self.began) / 3600,
            sum(self.traffic.counts.values()),
            *map(min, zip(*looks[-3:])),
        )


@dataclasses.dataclass
class Slope:
    value: float
    error: float  # standard

    def surely_below(self, limit: float, errors: float = 2) -> bool:
        return self.value + errors * self.error < limit

    def surely_above(self, limit: float, errors: float = 2) -> bool:
        return self.value - errors * self.error > limit

    def __str__(self):
        return f"{self.value:.3g} +- {self.error:.2g}"


def slope_of(points: list[tuple[float, float]], parts: int = 12) -> Slope:
    """Least-squares slope and its standard error from the means of `parts` stretches: samples of memory
    that follow each other are not independent."""
    size = max(1, len(points) // parts)
    pieces = [points[at : at + size] for at in range(0, len(points) - size + 1, size)]
    means = [(sum(p[0] for p in piece) / size, sum(p[1] for p in piece) / size) for piece in pieces]
    x = sum(p[0] for p in means) / len(means)
    y = sum(p[1] for p in means) / len(means)
    spread = sum((p[0] - x) ** 2 for p in means)
    if len(means) < 3 or not spread:
        return Slope(0.0, math.inf)
    slope = sum((p[0] - x) * (p[1] - y) for p in means) / spread
    left = sum((p[1] - y - slope * (p[0] - x)) ** 2 for p in means)
    return Slope(slope, (left / (len(means) - 2) / spread) ** 0.5)


def kept_at_most(samples: list[Sample], what: str, sure: float = 0.98) -> float:
    """Bytes a request that a round surely does not exceed in the median: an order statistic, so nothing
    is assumed of how the rounds spread. A leak shows in every round; a table that is made larger, or a
    workspace that is made smaller, in one."""
    growth = sorted(
        (getattr(b, what) - getattr(a, what)) / (b.requests - a.requests)
        for a, b in itertools.pairwise(samples)
    )
    below = 0.0
    for rank in range(len(growth)):
        below += math.comb(len(growth), rank) / 2 ** len(growth)
        if below >= sure:
            return growth[rank]
    return math.inf


def grown(samples: list[Sample], what: str, most: int) -> str | None:
    """Descriptors and threads at rest: the second half against the first."""
    half = len(samples) // 2
    first, second = (
        max(getattr(sample, what) for sample in part) for part in (samples[:half], samples[half:])
    )
    return f"{what} grew from {first} to {second}" if second > first + most else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--binary", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "itemcrop"
    )
    parser.add_argument("--photo", type=pathlib.Path, default=ROOT / "examples" / "wardrobe.jpg")
    parser.add_argument("--model", default="wardrobe")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--slope", type=float, default=1, help="MB an hour")
    parser.add_argument("--machine", default="", help="named in the JSON")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        server = Server(
            arguments.binary.resolve(), pathlib.Path(name), VARIABLES, model=arguments.model, **SETTINGS
        )
        traffic = Traffic(server, photos(arguments.photo.read_bytes()))
        soak = Soak(server, traffic, arguments.clients)
        samples: list[Sample] = []
        while time.monotonic() - soak.began < arguments.minutes * 60:
            samples.append(soak.round(KINDS * 2, len(samples)))
            last = samples[-1]
            print(
                f"{last.hours * 60:6.1f} min  {last.resident / 1e6:8.1f} MB resident  {last.heap / 1e6:8.3f} MB heap  "
                f"{last.descriptors:4d} descriptors  {last.threads:4d} threads  {last.requests:7d} requests",
                flush=True,
            )
        ended = server.stop()

    warm = samples[len(samples) // 3 :]
    resident = slope_of([(sample.hours, sample.resident / 1e6) for sample in warm])
    heap = slope_of([(sample.hours, sample.heap / 1e6) for sample in warm])
    failures = traffic.wrong[:10]
    kept = kept_at_most(warm, "heap")
    at_most = kept * samples[-1].requests / samples[-1].hours / 1e6
    if at_most > arguments.slope:
        failures.append(f"the heap may grow by {at_most:.2f} MB an hour")
    if resident.surely_above(arguments.slope):
        failures.append(f"resident memory grows by {resident} MB an hour")
    failures += [text for text in (grown(warm, "descriptors", 2), grown(warm, "threads", 2)) if text]
    if ended != 0:
        failures.append(f"the server ended with {ended}")
    print(
        f"{samples[-1].requests} requests ({dict(traffic.counts)})\n"
        f"resident memory {warm[0].resident / 1e6:.1f} to {warm[-1].resident / 1e6:.1f} MB, slope {resident} MB an hour\n"
        f"heap in use {warm[0].heap / 1e6:.3f} to {warm[-1].heap / 1e6:.3f} MB, slope {heap} MB an hour; "
        f"the median round surely keeps less than {kept:.0f} bytes a request, {at_most:.2f} MB an hour"
    )
    print("\n".join(["FAILED", *failures] if failures else ["All flat."]))
    if arguments.json:
        every = max(1, len(samples) // 100)
        write_report(
            arguments,
            minutes=arguments.minutes,
            requests=traffic.counts,
            warm_up_minutes=round(warm[0].hours * 60, 1),
            resident_mb_per_hour=dataclasses.asdict(resident),
            heap_mb_per_hour=dataclasses.asdict(heap),
            heap_at_most={"bytes_a_request": round(kept, 1), "mb_per_hour": round(at_most, 2)},
            resident_mb=[round(sample.resident / 1e6, 1) for sample in samples[::every]],
            heap_mb=[round(sample.heap / 1e6, 3) for sample in samples[::every]],
            descriptors=[warm[0].descriptors, warm[-1].descriptors],
            threads=[warm[0].threads, warm[-1].threads],
            failures=failures,
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
