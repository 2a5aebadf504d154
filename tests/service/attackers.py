"""Two minutes of attackers of every kind at once, beside one honest client.

Run by hand on an idle machine, with ITEMCROP_BIN: python3 -m pytest -s tests/service/attackers.py.
ITEMCROP_ATTACK_SECONDS changes how long. The attackers have three keys, and come from the honest
client's own address and another. Everything stays on this machine's loopback addresses.
"""

import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import threading
import time
import zlib

from conftest import BINARY, PLAIN, SAMPLE, Server, as_image, base64_of, chunk, png_header

SECONDS = float(os.environ.get("ITEMCROP_ATTACK_SECONDS", "120"))
HONEST = "an-honest-clients-key-01"
ATTACKERS = [f"an-attackers-own-key-000{number}" for number in range(3)]
ADDRESSES = [("127.0.0.1", 0), ("127.0.0.2", 0)]
JSON = {"Content-Type": "application/json"}


def noise_png(width, height):
    rows = b"".join(b"\0" + random.randbytes(3 * width) for _ in range(height))
    return png_header(width, height) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def flat_png(width, height):
    """Small as a file, large as pixels."""
    packer = zlib.compressobj(1)
    row = b"\0" + b"\x5a\x78\x3c" * width
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_header(width, height) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


class Attack:
    """Loops until the time is over; whatever the service does to it, it comes back."""

    def __init__(self, port, hang_url):
        self.port, self.hang_url = port, hang_url
        self.keys = itertools.cycle(ATTACKERS)
        self.addresses = itertools.cycle(ADDRESSES)
        self.noise = noise_png(900, 600)
        self.flat = flat_png(7000, 7000)
        self.made = []

    def connect(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout, next(self.addresses))

    def post(self, path, body, headers=JSON, timeout=20):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=timeout, source_address=next(self.addresses)
        )
        try:
            connection.request("POST", path, body, {"X-API-Key": next(self.keys), **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(1 << 20)
        finally:
            connection.close()

    def head(self, path, length):
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nX-API-Key: {next(self.keys)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    def json_bomb(self):
        for piece in [b"{},", b'"",', b"[", b'{"a":', b'"\\u00e9",']:
            body = b'{"x":[' + piece * (4_000_000 // len(piece))
            self.post(random.choice(["/v1/crop", "/v1/jobs"]), body)

    def crop_bomb(self):
        query = "items=pants&threshold=0&suppress=false&min_size=10000&format=png&return=base64"
        self.post(f"/v1/crop?{query}", self.noise, {"Content-Type": "image/png"})

    def decode_bomb(self):
        self.post("/v1/detect?items=pants", self.flat, {"Content-Type": "image/png"})

    def slow_bodies(self):
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(self.connect()) for _ in range(64)]
            for number, connection in enumerate(held):
                path, length = ("/v1/crop", 100_000) if number % 2 else ("/v1/jobs", 60_000_000)
                connection.sendall(self.head(path, length) + b"{")
            for _ in range(15):
                time.sleep(1)
                for connection in held:
                    with contextlib.suppress(OSError):
                        connection.sendall(b" ")

    def slow_readers(self):
        status, answer = self.post(
            "/v1/crop?items=pants&threshold=0&min_size=3000&format=png",
            SAMPLE,
            {"Content-Type": "image/jpeg"},
        )
        if status != 200:
            return
        urls = [item["crop"]["url"] for item in json.loads(answer)["images"][0]["items"]]
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                connection = stack.enter_context(self.connect())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                path = "/" + urls[0].split("/", 3)[-1] if urls else "/healthz"
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
            time.sleep(10)

    def job_flood(self):
        for _ in range(20):
            images = [as_image(PLAIN), {"url": self.hang_url}] * 20
            headers = {**JSON, "X-API-Key": next(self.keys)}
            status, answer = self.post("/v1/jobs", json.dumps({"images": images, "items": ["hat"]}), headers)
            if status != 202:
                time.sleep(0.2)
                continue
            connection = self.connect()
            self.made.append(connection)  # a reader of events that never reads
            job = json.loads(answer)["id"]
            connection.sendall(
                f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"X-API-Key: {headers['X-API-Key']}\r\n\r\n".encode()
            )
            while len(self.made) > 40:
                self.made.pop(0).close()

    def hanging_download(self):
        self.post("/v1/crop", json.dumps({"image": {"url": self.hang_url}, "items": ["hat"]}))

    def punctuation(self):
        items = ["!" * 150 + str(number) for number in range(100)]
        self.post("/v1/detect", json.dumps({"image": as_image(PLAIN), "items": items}))

    def wrong_keys(self):
        for number in range(100):
            self.post("/v1/detect", b"{}", {**JSON, "Authorization": f"Bearer wrong-{number}"})

    def connections(self):
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(self.connect(2))
            time.sleep(3)

    def run(self, seconds):
        print("ready", flush=True)
        self.end = time.time() + seconds
        kinds = {
            self.json_bomb: 2,
            self.crop_bomb: 2,
            self.decode_bomb: 2,
            self.slow_bodies: 2,
            self.slow_readers: 1,
            self.job_flood: 1,
            self.hanging_download: 20,
            self.punctuation: 1,
            self.wrong_keys: 1,
            self.connections: 1,
        }
        tries = {kind.__name__: 0 for kind in kinds}

        def again(kind):
            while time.time() < self.end:
                tries[kind.__name__] += 1
                try:
                    kind()
                except (OSError, http.client.HTTPException, ValueError, KeyError):
                    time.sleep(0.05)  # refused or cut off
                time.sleep(0.02)

        threads = [
            threading.Thread(target=again, args=(kind,), daemon=True)
            for kind, count in kinds.items()
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self.end + 25 - time.time()))
        print(json.dumps(tries))


def hanging_server():
    """Takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    held = []

    def take():
        while True:
            try:
                held.append(listener.accept()[0])
            except OSError:
                return

    threading.Thread(target=take, daemon=True).start()
    return listener


def ask(server, image, seconds, least=0):
    """Latencies of one honest client's requests over so many seconds, at least `least` of them, and
    what was refused."""
    latencies, refused = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(latencies) < least:
        begun = time.monotonic()
        try:
            answer = server.post("/v1/detect", image, {"X-API-Key": HONEST}, timeout=60, checked=False)
            if answer.status == 200:
                latencies.append(time.monotonic() - begun)
            else:
                refused.append(answer.body[:200])
        except OSError as problem:
            refused.append(repr(problem))
        time.sleep(0.1)
    return sorted(latencies), refused


def memory_bound():
    """What the settings allow requests to hold, beside the models."""
    printed = subprocess.run(
        [BINARY, "serve", "--print-config"], capture_output=True, text=True, check=True
    ).stdout
    return int(re.search(r"^# together (\d+) bytes", printed, re.M)[1])


def p99(latencies):
    return latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))]


def test_an_honest_client_is_served_beside_attackers(tmp_path):
    image = {"image": {"base64": base64_of(PLAIN)}, "items": ["pants"]}
    listener = hanging_server()
    hang_url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.jpg"
    keys = ",".join([HONEST, *ATTACKERS])
    server = Server(tmp_path, api_keys=keys, fetch_private=True)
    attackers = None
    try:
        quiet, refused = ask(server, image, min(15, SECONDS / 4), 20)
        assert not refused
        at_rest = server.resident_bytes()  # the models among it
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)}
        attackers = subprocess.Popen(
            ["nice", "-n", "10", sys.executable, __file__, str(server.port), str(SECONDS), hang_url],
            env=environment,
            stdout=subprocess.PIPE,
        )
        assert attackers.stdout.readline() == b"ready\n"
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            attacked = pool.submit(ask, server, image, SECONDS)
            peak = 0
            while not attacked.done():
                assert server.alive, server.log[-3000:]
                peak = max(peak, server.resident_bytes())
                time.sleep(0.05)
            latencies, refused = attacked.result()
        tries = json.loads(attackers.communicate(timeout=60)[0])
        # Again, since the machine may be busier now than it was.
        quiet = sorted(quiet + ask(server, image, min(15, SECONDS / 4), 20)[0])
        print(f"quiet p99 {p99(quiet):.3f} s, attacked p99 {p99(latencies):.3f} s of {len(latencies)},")
        print(f"{len(refused)} refused, peak {peak / 1e6:.0f} MB; tries {tries}")
        assert all(tries.values()), tries
        assert len(refused) <= 0.01 * len(latencies), refused[:3]
        assert p99(latencies) < 5 * p99(quiet)
        assert peak < at_rest + memory_bound()
        assert server.get("/readyz").status == 200
        assert server.stop() == 0
    finally:
        listener.close()
        if attackers is not None and attackers.poll() is None:
            attackers.kill()
        server.kill()


if __name__ == "__main__":
    Attack(int(sys.argv[1]), sys.argv[3]).run(float(sys.argv[2]))
