"""Nothing is kept of a request: the soak of bench/service/soak.py, short and with a small model.

What the process holds is measured at rest, between rounds of requests. It must be *shown* that they
leave nothing: the median round's growth is surely (98%) below the bound. A leak of 1 KB a request
fails by far, and so does a measurement too coarse to tell. ITEMCROP_SOAK_MINUTES=20 adds a
long run with the embedded model, in megabytes an hour.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import BINARY, ROOT, SAMPLE, SLOWNESS, png

sys.path.insert(0, str(ROOT / "bench" / "service"))
import soak

MAKE_CHECKPOINT = os.environ["ITEMCROP_MAKE_CHECKPOINT"]
MINUTES = float(os.environ.get("ITEMCROP_SOAK_MINUTES", "0"))
pytestmark = pytest.mark.skipif(SLOWNESS > 2, reason="sanitizers keep what is freed")


def small_model(folder):
    """The micro checkpoint at a size at which a photo takes a millisecond or two."""
    subprocess.run(
        [
            MAKE_CHECKPOINT,
            ROOT / "tests" / "golden" / "micro",
            folder,
            "--dtype",
            "bf16",
            "--vocab",
            ROOT / "tests" / "golden" / "tokenizer" / "vocab.txt",
        ],
        check=True,
        capture_output=True,
    )
    file = pathlib.Path(folder) / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    settings["size"] = {"shortest_edge": 64, "longest_edge": 96}
    file.write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak")
    # The arenas of malloc that several threads share: fewer settle sooner.
    variables = {**soak.VARIABLES, "MALLOC_ARENA_MAX": "2"}
    # No sweeps, which hold a list meanwhile. The journal's cache grows to its 256 KiB, which large
    # photos fill.
    settings = {
        **soak.SETTINGS,
        "jobs_keep_hours": 24,
        "jobs_max_bytes": 1_000_000_000,
        "files_sweep_seconds": 3600,
        "analysis_cache_bytes": 10_000,
    }
    server = soak.Server(
        pathlib.Path(BINARY), folder, variables, model=small_model(folder / "model"), **settings
    )
    # Photos of one shape: the model's workspaces are as large as the last call needed, and stay so.
    traffic = soak.Traffic(server, [SAMPLE, png(320, 240), png(160, 120), png(64, 48)], threshold=0)
    running = soak.Soak(server, traffic)
    for _ in range(4):
        traffic.ask(
            {202}, "POST", "/v1/jobs", {"images": [{"base64": soak.base64_of(SAMPLE)}] * 4, "items": ["hat"]}
        )
    for seed in range(6):
        running.round(soak.KINDS * 6, seed)
    yield running
    assert not traffic.wrong, traffic.wrong[:10]
    assert server.stop() == 0


def must_keep_nothing(rounds, most, do_round):
    samples = [do_round(at) for at in range(rounds)]
    assert samples[0].heap, "this C library does not tell what is in use"
    kept = soak.kept_at_most(samples, "heap")
    if kept >= most:  # of few rounds, half may have grown by chance; a leak is in every round
        samples += [do_round(at) for at in range(rounds, 3 * rounds)]
        kept = soak.kept_at_most(samples, "heap")
    grown = [sample.heap - samples[0].heap for sample in samples]
    assert kept < most, f"{kept:.0f} bytes of heap a request: {grown}"
    for what in ("descriptors", "threads"):
        assert not (problem := soak.grown(samples, what, most=2)), problem
    return samples


def test_of_mixed_requests_nothing_is_kept(warm):
    samples = must_keep_nothing(25, 400, lambda at: warm.round(soak.KINDS * 4, 100 + at))
    # Resident memory moves by megabytes with what the allocator keeps: only a trend can be refuted.
    resident = soak.slope_of([(sample.requests, sample.resident) for sample in samples])
    if resident.surely_above(1000, errors=3):  # it may have settled since: a leak never does
        samples = [warm.round(soak.KINDS * 4, 500 + at) for at in range(50)]
        resident = soak.slope_of([(sample.requests, sample.resident) for sample in samples])
    assert not resident.surely_above(1000, errors=3), f"{resident} bytes of resident memory a request"


@pytest.mark.parametrize("kind", soak.KINDS)
def test_of_no_kind_of_request_anything_is_kept(warm, kind):
    # SQLite gives its cache back now and then, and fills it anew over some rounds.
    rounds = 25 if kind == "job" else 13
    must_keep_nothing(rounds, 400, lambda at: warm.round([kind] * 12, 200 + at))


if MINUTES:

    def test_for_long(tmp_path):
        ended = subprocess.run(
            [
                sys.executable,
                ROOT / "bench" / "service" / "soak.py",
                "--binary",
                BINARY,
                "--minutes",
                str(MINUTES),
                "--json",
                tmp_path / "soak.json",
            ],
            capture_output=True,
            text=True,
            timeout=MINUTES * 60 + 120,
        )
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-2000:]
        print(ended.stdout[-1000:])


def test_a_slope_comes_with_its_error():
    """The ruler itself: exact lines, noise, and too little to tell."""
    assert soak.slope_of([(x, 3 * x + 1) for x in range(24)]) == soak.Slope(
        pytest.approx(3), pytest.approx(0, abs=1e-9)
    )
    noisy = [(x, x + 40 * (x * 7919 % 13 - 6)) for x in range(240)]
    assert abs(soak.slope_of(noisy).value - 1) < 3 * soak.slope_of(noisy).error < 6

    def kept(*heaps):
        return soak.kept_at_most(
            [soak.Sample(0, 10 * at, 0, heap, 0, 0) for at, heap in enumerate(heaps)], "heap"
        )

    assert kept(*range(0, 13_000, 1000)) == 100, "a leak"
    assert kept(0, 0, 900, 900, 900, 100, 100, 5000, 5000, 5000, 0, 0, 0) == 0, "steps"
    assert kept(0, 0, 0, 0) == float("inf"), "too few to tell"
    for few in ([(0, 0)], [(0, 0), (1, 5)]):
        assert not soak.slope_of(few).surely_below(1e9) and not soak.slope_of(few).surely_above(-1e9)
