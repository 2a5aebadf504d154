"""Sends one request over and over, and says when each was answered and how.

As fast as answers come: by `hey` (Debian package) where it is installed. At a rate, or without it: by
threads of this process, whose turns are spread evenly.
"""

import csv
import dataclasses
import http.client
import io
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.parse


@dataclasses.dataclass
class Request:
    url: str
    body: pathlib.Path
    content_type: str


@dataclasses.dataclass
class Sample:
    start: float  # seconds since the run began
    seconds: float  # until the answer was read
    status: int  # 0: no answer


def run(request: Request, workers: int, seconds: float, rate: float = 0) -> list[Sample]:
    """`workers` at once for `seconds`; with a rate, that many requests a second together."""
    # hey's workers keep a rate by ticking all at once, which makes bursts of it: not for rates.
    if shutil.which("hey") and not rate:
        return run_hey(request, workers, seconds)
    return run_threads(request, workers, seconds, rate)


def run_hey(request: Request, workers: int, seconds: float) -> list[Sample]:
    command = [
        "hey",
        "-z",
        f"{seconds}s",
        "-c",
        str(workers),
        "-m",
        "POST",
        "-D",
        str(request.body),
        "-T",
        request.content_type,
        "-t",
        "120",
        "-o",
        "csv",
    ]
    ran = subprocess.run([*command, request.url], capture_output=True, text=True, check=True)
    rows = csv.DictReader(io.StringIO(ran.stdout))
    return [
        Sample(float(row["offset"]), float(row["response-time"]), int(row["status-code"])) for row in rows
    ]


def run_threads(request: Request, workers: int, seconds: float, rate: float) -> list[Sample]:
    target = urllib.parse.urlsplit(request.url)
    body = request.body.read_bytes()
    samples: list[Sample] = []
    began = time.perf_counter()

    def work(number: int) -> None:
        connection = http.client.HTTPConnection(target.hostname, target.port or 80, timeout=120)
        turn = began + number / rate if rate else 0.0
        while (now := time.perf_counter()) - began < seconds:
            if rate and now < turn:
                time.sleep(min(turn - now, 0.05))
                continue
            turn += workers / rate if rate else 0
            status = 0
            try:
                path = target.path + (f"?{target.query}" if target.query else "")
                connection.request("POST", path, body, {"Content-Type": request.content_type})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
            samples.append(Sample(now - began, time.perf_counter() - now, status))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return samples


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
