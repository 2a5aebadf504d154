#!/usr/bin/env python3
"""Writes the figures of the documents from bench/results, so that they cannot disagree.

    scripts/figures.py            writes every block anew
    scripts/figures.py --check    exits 1 and names the documents whose blocks are not current

A block of a Markdown file stands between `<!-- figures: NAME -->` and `<!-- /figures -->`; NAME is a
function of BLOCKS below. Where several results are of one device, the newest counts.
"""

import argparse
import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
TOKENS = 16  # of the prompt that the model is timed with


def results(pattern: str) -> list[tuple[pathlib.Path, dict]]:
    """What matches, newest first."""
    found = [(path, json.loads(path.read_text())) for path in RESULTS.glob(pattern)]
    if not found:
        raise SystemExit(f"bench/results has no {pattern}")
    return sorted(found, key=lambda entry: (entry[1]["date"], entry[0].name), reverse=True)


def link(path: pathlib.Path, document: pathlib.Path, text: str) -> str:
    return f"[{text}]({os.path.relpath(path, document.parent)})"


def table(header: str, rows: list[list[str]]) -> str:
    names = header.split("|")
    lines = [names, [(name[:1].isspace() and "---:") or "---" for name in names], *rows]
    return "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines) + "\n"


def digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.{max(0, 2 - (value >= 10) - (value >= 100))}f}"


def speed_row(where: str, precision: str, unit: str, theirs: float | None, ours: float, source: str):
    return [
        where,
        precision,
        f"{digits(theirs)} {unit}" if theirs else "",
        f"**{digits(ours)} {unit}**",
        f"{theirs / ours:.1f}" if theirs else "",
        source,
    ]


def cpu_speed(document: pathlib.Path) -> list[list[str]]:
    path, result = next(entry for entry in results("*-cores.json") if "rows" in entry[1])
    times = {(row["program"], row["precision"]): row["median_seconds"] for row in result["rows"]}
    name = result["machine"]["processor"].split(",")[0]
    cores = len(result["machine"]["cores"].split(","))
    return [
        speed_row(
            f"{name}, {cores} cores",
            precision,
            "s",
            times[("transformers", precision)],
            times[("itemcrop", precision)],
            link(path, document, result["date"]),
        )
        for precision in ("fp32", "bf16")
    ]


def model_times(steps: dict) -> dict[int, float]:
    """Milliseconds an image of the model alone, by batch."""
    for step in ("model", "model_quick"):
        if step in steps:
            runs = steps[step]["result"]["runs"]
            return {run["batch"]: run["ms_per_image"] for run in runs if run["tokens"] == TOKENS}
    return {}


def gpu_speed(document: pathlib.Path) -> list[list[str]]:
    ours, theirs = {}, {}
    for path, result in results("*-nvidia-*.json"):
        name = result.get("device", {}).get("name")
        steps = result.get("steps", {})
        # Held against a peer on purpose, so its own figures are of another day's build.
        if not name or "compiled-peer" in path.name:
            continue
        if model_times(steps):
            ours.setdefault(name, (path, result["date"], model_times(steps)))
        peers = {
            run["batch"]: run["ms_per_image"]
            for run in steps.get("peers", {}).get("runs", [])
            if run["tokens"] == TOKENS and "eager" in run["name"]
        }
        if peers:
            theirs.setdefault(name, (path, result["date"], peers))
    rows = []
    for name, (path, date, times) in sorted(ours.items()):
        peer_path, peer_date, peers = theirs.get(name, (path, date, {}))
        for batch, milliseconds in sorted(times.items()):
            source = link(path, document, date)
            if batch in peers and peer_path != path:
                source += f", transformers {link(peer_path, document, peer_date)}"
            rows.append(
                speed_row(f"{name}, batch {batch}", "fp16", "ms", peers.get(batch), milliseconds, source)
            )
    return rows


def speed(document: pathlib.Path) -> str:
    return table(
        "device|precision| transformers| itemcrop| times as fast|measured",
        cpu_speed(document) + gpu_speed(document),
    )


def service(document: pathlib.Path) -> str:
    path, result = next(entry for entry in results("*-nvidia-*.json") if "service_compare" in entry[1])
    ours = {row["clients"]: row["photos_per_second"] for row in result["service"]["load"]}
    compared = result["service_compare"]["load"]
    theirs = max(row["photos_per_second"] for row in compared if row["server"] == "legacy")
    few, many = min(ours), max(ours)
    return (
        f"On an {result['device']['name']}, `itemcrop serve` answered {ours[few]:.0f} photos a second for"
        f" {few} client and\n{ours[many]:.0f} for {many}; FastAPI with transformers, which runs the model once"
        f" an item,\n{theirs:.1f} for any number ({link(path, document, result['date'])}).\n"
    )


def precision(document: pathlib.Path) -> str:
    path, result = results("*-precision-*.json")[0]
    after, before = result["after_suppression"], result["before_suppression"]
    return (
        f"On {result['images']} images, bf16 finds {after['kept']} of the embedded model's\n"
        f"{after['detections']} fp32 detections above {result['threshold']} within {result['score']} of score"
        f" and {result['pixels']} px at {result['longer_edge']};\n"
        f"the worst is {after['worst_score']} and {after['worst_pixels']} px off. Before suppression it is"
        f" {before['kept']} of {before['detections']}\n({link(path, document, result['date'])}).\n"
    )


def load(document: pathlib.Path) -> str:
    path, result = results("*-service-load-*.json")[0]
    rows = [
        [
            f"{stage['factor']}x",
            ", ".join(f"{value:.1f}" for value in stage["capacity_per_second"]),
            f"{stage['offered_per_second']:.1f}",
            f"{stage['goodput_per_second']:.1f}",
            f"{stage['answered']:,}",
            f"{stage['rejected']:,}",
            f"{stage['failed']:,}",
            f"{stage['reject_p50_ms']}, {stage['reject_p99_ms']} ms" if stage["rejected"] else "",
            f"{stage['memory_mb']:.0f} MB",
            f"{stage['recovery_seconds']:.2f} s",
        ]
        for stage in result["stages"]
    ]
    batch = result["batch"]
    return (
        table(
            "load|capacity around, photos/s| offered/s| goodput/s| answered| rejected| failed"
            "|rejects, p50 and p99| memory| recovery",
            rows,
        )
        + f"\n{batch['photos']} photos with three categories each, sent at once with default settings:"
        f" {batch['answered']} of {batch['photos']} answered in\n{batch['seconds']} s"
        f" ({link(path, document, result['date'])}).\n"
    )


def overload(document: pathlib.Path) -> str:
    path, result = results("*-service-load-*.json")[0]
    worst = max(result["stages"], key=lambda stage: stage["factor"])
    return (
        f"At {worst['factor']} times its capacity `itemcrop serve` still answers"
        f" {worst['goodput_per_second']:.1f} photos a second on\n{result['machine']}, and refuses the rest"
        f" within\n{max(stage['reject_p99_ms'] for stage in result['stages']):.0f} ms"
        f" ({link(path, document, result['date'])}).\n"
    )


def soak(document: pathlib.Path) -> str:
    rows = []
    for path, result in sorted(results("*-service-soak-*.json"), key=lambda entry: entry[1]["minutes"]):
        row = [
            link(path, document, result["date"]),
            f"{result['minutes']:.0f}",
            f"{sum(result['requests'].values()):,}",
        ]
        for what in ("resident_mb", "heap_mb"):
            slope = result[f"{what}_per_hour"]
            samples = result[what]
            warm = samples[int(len(samples) * result["warm_up_minutes"] / result["minutes"]) :]
            row += [f"{warm[0]:.1f} to {warm[-1]:.1f}", f"{slope['value']:.1f} +- {slope['error']:.1f}"]
        rows.append(row)
    return table(
        "run| minutes| requests|resident, MB| slope, MB an hour|heap in use, MB| slope, MB an hour", rows
    )


# Dollars an hour, assumed: about what large clouds ask on demand; whoever reads the table has prices of his own.
GPU_PRICE = 4.0
TWO_CORES_PRICE = 0.1


def fleet_costs(document: pathlib.Path) -> str:
    """Hours and dollars for a million photos at the rates of bench/results."""
    rows = []

    def add(what: str, seconds: float, price: float, path: pathlib.Path, date: str) -> None:
        hours = seconds * 1e6 / 3600
        source = link(path, document, date)
        rows.append([what, f"{1 / seconds:.3g}", f"{hours:,.1f}", f"{hours * price:,.0f} $", source])

    path, result = next(entry for entry in results("*-nvidia-*.json") if "service_compare" in entry[1])
    name, date = result["device"]["name"], result["date"]
    ours = max(row["photos_per_second"] for row in result["service"]["load"])
    load = result["service_compare"]["load"]
    theirs = max(row["photos_per_second"] for row in load if row["server"] == "legacy")
    add(f"{name}, `itemcrop serve`, photos in and crops out", 1 / ours, GPU_PRICE, path, date)
    runs = result["steps"]["peers"]["runs"]
    peers = {run["batch"]: run for run in runs if run["tokens"] == TOKENS and "eager" in run["name"]}
    add(f"{name}, model alone, batch 8", model_times(result["steps"])[8] / 1e3, GPU_PRICE, path, date)
    add(f"{name}, transformers, model alone, batch 8", peers[8]["ms_per_image"] / 1e3, GPU_PRICE, path, date)
    add(f"{name}, FastAPI with transformers", 1 / theirs, GPU_PRICE, path, date)
    path, result = next(entry for entry in results("*-cores.json") if "rows" in entry[1])
    for row in result["rows"]:
        what = f"2 cores of an {result['machine']['processor'].split(',')[0]}, {row['program']}, {row['precision']}"
        add(what, row["median_seconds"], TWO_CORES_PRICE, path, result["date"])
    return table("one of these, busy all the time| photos/s| hours for a million| cost|measured", rows)


BLOCKS = {block.__name__: block for block in (speed, service, precision, load, overload, soak, fleet_costs)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if a block is stale")
    arguments = parser.parse_args()

    stale, seen = [], set()
    for document in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]):
        text = document.read_text()

        def written(match: re.Match, document: pathlib.Path = document) -> str:
            if match[2] not in BLOCKS:
                raise SystemExit(f"{document.relative_to(ROOT)}: no figures are called '{match[2]}'")
            seen.add(match[2])
            return match[1] + BLOCKS[match[2]](document) + match[3]

        current = BLOCK.sub(written, text)
        if current != text:
            stale.append(str(document.relative_to(ROOT)))
            if not arguments.check:
                document.write_text(current)
    if missing := BLOCKS.keys() - seen:
        raise SystemExit(f"no document shows the figures {', '.join(sorted(missing))}")
    if stale:
        print(("stale, run scripts/figures.py: " if arguments.check else "written: ") + ", ".join(stale))
        sys.exit(arguments.check)


if __name__ == "__main__":
    main()
