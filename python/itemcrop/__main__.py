"""``python -m itemcrop doctor``: what this machine offers, and whether the embedded model finds what it should."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from typing import Any

import numpy as np

from . import __version__, _cuda, _locate, devices, errors, load

OPTIONAL = ("pillow", "pyarrow", "huggingface_hub", "ray", "pyspark", "supervision", "itemcrop-cuda")


def examine(model: str) -> dict[str, Any]:
    """What doctor prints, as plain values; "healthy" says whether every usable device passed."""
    checkup: dict[str, Any] = {
        "itemcrop": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": {"numpy": np.__version__, **{name: _version(name) for name in OPTIONAL}},
        "cuda_module": str(_cuda.find_module() or ""),
        "devices": devices(),
        "model": "",
        "problem": "",
        "self_tests": [],
    }
    try:
        checkup["model"] = str(_locate.locate(model))
        usable = [device for device in checkup["devices"] if device["usable"]]
        checkup["self_tests"] = [_self_test(model, one, how) for one in usable for how in one["precisions"]]
    except errors.Error as error:
        checkup["problem"] = str(error)
    tests = checkup["self_tests"]
    checkup["healthy"] = bool(tests) and not any(test["problem"] for test in tests)
    return checkup


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _self_test(model: str, device: dict[str, Any], precision: Any) -> dict[str, Any]:
    """Two calls on a made image: boxes have to be finite, and the second call's the same as the first's."""
    test = {"device": device["name"], "precision": precision, "milliseconds": 0.0, "problem": ""}
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    try:
        loaded = load(model, device=device["device"], device_index=device["index"], precision=precision)
        first = loaded.detect(image, "shirt, shoes", threshold=0.0, count=20)
        started = time.perf_counter()
        second = loaded.detect(image, "shirt, shoes", threshold=0.0, count=20)
        test["milliseconds"] = (time.perf_counter() - started) * 1e3
        if not len(first) or not np.isfinite(first.boxes).all():
            test["problem"] = "no boxes, or boxes that are not finite"
        elif len(first) != len(second) or np.abs(first.scores - second.scores).max() > 1e-3:
            test["problem"] = "the same image has another result the second time"
    except errors.Error as error:
        test["problem"] = str(error)
    return test


def _print(checkup: dict[str, Any]) -> None:
    print(f"itemcrop {checkup['itemcrop']}, Python {checkup['python']}\n\nPackages")
    for name, version in checkup["packages"].items():
        print(f"  {name:16} {version or '- not installed'}")
    print("\nDevices")
    for device in checkup["devices"]:
        mark = "ok   " if device["usable"] else "-    "
        print(f"{mark} {device['name']}: {device['detail']}")
    print(f"\nModel\n{'FAIL  ' + checkup['problem'] if checkup['problem'] else 'ok    ' + checkup['model']}")
    print("\nSelf-test")
    for test in checkup["self_tests"]:
        verdict = f"FAIL  {test['problem']}" if test["problem"] else f"ok    {test['milliseconds']:.0f} ms"
        print(f"{verdict}  {test['device']}, {test['precision']}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m itemcrop")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="devices, packages and a self-test; exits 1 if it fails")
    doctor.add_argument("--model", default="wardrobe", help="a name, a folder or OWNER/NAME")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    checkup = examine(given.model)
    print(json.dumps(checkup, indent=2)) if given.json else _print(checkup)
    return 0 if checkup["healthy"] else 1


if __name__ == "__main__":
    sys.exit(main())
