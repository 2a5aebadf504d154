#!/usr/bin/env python3
"""Collects what scripts/gpu.sh's steps wrote: gpu.json and logs.txt in OUT, a table on the screen.

bench/gpu_table.py STEPS_FOLDER OUT
"""

import json
import pathlib
import subprocess
import sys


def device() -> dict:
    query = "name,driver_version,memory.total,clocks.max.sm"
    try:
        line = subprocess.run(
            ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return dict(zip(query.split(","), (part.strip() for part in line.splitlines()[0].split(","))))
    except (OSError, subprocess.CalledProcessError, IndexError):
        return {}


def read_steps(folder: pathlib.Path) -> dict:
    steps = {}
    for path in sorted(folder.glob("*.out")):
        try:
            steps[path.stem] = json.loads(path.read_text())
        except json.JSONDecodeError:
            continue  # a test's output: in the logs
    return steps


def write_logs(folder: pathlib.Path, out: pathlib.Path) -> None:
    with (out / "logs.txt").open("w") as logs:
        for path in sorted([*folder.glob("*.out"), *folder.glob("*.err")]):
            text = path.read_text(errors="replace")
            if text.lstrip().startswith("{"):
                continue
            logs.write(f"===== {path.name}\n{text[-400_000:]}\n")


def print_runs(steps: dict) -> None:
    print(
        f"\n{'model, pixels on the device':34} {'batch':>5} {'tokens':>6} {'ms/image':>9} {'least':>8}"
        f" {'p90':>8} {'first ms':>9} {'arena MiB':>9}"
    )
    for name, step in steps.items():
        if not name.startswith("model"):
            continue
        for run in step["result"]["runs"]:
            batch, times = run["batch"], run["times"]
            print(
                f"{name + ' ' + step['precision']:34} {batch:5} {run['tokens']:6} {run['ms_per_image']:9.3f}"
                f" {times['least_ms'] / batch:8.3f} {times['p90_ms'] / batch:8.3f} {run['first_ms']:9.1f}"
                f" {run['arena_bytes'] / 2**20:9.0f}"
            )
    for name in ("detect", "detect_mixed"):
        for run in steps.get(name, {}).get("result", []):
            print(f"{name + ', pixels to items':34} {run['batch']:5} {16:6} {run['ms_per_image']:9.3f}")
    for run in (run for name, step in steps.items() if name.startswith("peers") for run in step["runs"]):
        print(
            f"{run['name']:34} {run['batch']:5} {run['tokens']:6} {run['ms_per_image']:9.3f}"
            f" {'':8} {'':8} {1e3 * run['warm_up_s']:9.0f} {run['peak_bytes'] / 2**20:9.0f}"
        )


def print_breakdown(steps: dict, most: int = 18) -> None:
    for run in steps.get("breakdown", {}).get("result", []):
        ops = sorted(run["ops"].items(), key=lambda op: -op[1]["ms"])
        print(f"\nops at batch {run['batch']}: {run['total_ms']:.2f} ms by events, one by one")
        for name, op in ops[:most]:
            print(
                f"  {name:44} {op['calls']:5} calls {op['ms']:8.3f} ms {100 * op['ms'] / run['total_ms']:5.1f}%"
            )


def print_products(steps: dict, most: int = 16) -> None:
    rows = steps.get("products", {}).get("result", [])
    if not rows:
        return
    rate = steps.get("ceilings", {}).get("result", {}).get("product_tflops")
    total = sum(row["ms"] * row["uses"] for row in rows)
    best = sum(row["best_ms"] * row["uses"] for row in rows)
    print(f"\nproducts: {total:.2f} ms, {best:.2f} ms with the best algorithm of each")
    for row in rows[:most]:
        share = f"{100 * row['tflops'] / rate:4.0f}% of the ceiling" if rate else ""
        print(
            f"  {row['rows']:7} x {row['inputs']:5} -> {row['outputs']:5} {row['operand']:>4}->{row['result']:4}"
            f" {'+y' if row['residual'] else '  '} x{row['uses']:3} {row['ms']:7.4f} ms, best {row['best_ms']:7.4f}"
            f" {row['tflops']:6.1f} TFLOP/s {share}"
        )


def main() -> None:
    folder, out = (pathlib.Path(argument) for argument in sys.argv[1:3])
    steps = read_steps(folder)
    write_logs(folder, out)
    (out / "gpu.json").write_text(json.dumps({"device": device(), "steps": steps}, indent=1) + "\n")
    print_breakdown(steps)
    print_products(steps)
    print_runs(steps)
    for name in ("cold_first", "cold", "ceilings"):
        if name in steps:
            values = steps[name]["result"]
            print(f"{name}: " + ", ".join(f"{key} {value:.1f}" for key, value in values.items()))


if __name__ == "__main__":
    main()
