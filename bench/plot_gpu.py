#!/usr/bin/env python3
"""Draws a GPU's results (scripts/gpu.sh, bench/results/*.json): milliseconds an image by batch beside
transformers, by prompt length, and the service beside the old way of working.

    pip install matplotlib
    bench/plot_gpu.py bench/results/DATE-DEVICE.json OUT.svg
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "itemcrop"

OURS, PEER = "#1f6f5c", "#b9b4a7"


def labelled(axes, positions, values, width, color, label):
    bars = axes.bar(positions, values, width, color=color, label=label)
    axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=2, fontsize=8)


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:3])
    results = json.loads(source.read_text())
    steps = results["steps"]
    ours = {(run["batch"], run["tokens"]): run["ms_per_image"] for run in steps["model"]["result"]["runs"]}
    peers = {run["batch"]: run["ms_per_image"] for run in steps["peers"]["runs"]}
    figure, (by_batch, by_tokens, service) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")

    batches = sorted({batch for batch, tokens in ours if tokens == 16})
    compared = [batch for batch in batches if batch in peers]
    labelled(
        by_batch,
        [batches.index(batch) - 0.2 for batch in compared],
        [peers[batch] for batch in compared],
        0.4,
        PEER,
        "transformers, eager fp16",
    )
    labelled(
        by_batch,
        [i + 0.2 for i in range(len(batches))],
        [ours[batch, 16] for batch in batches],
        0.4,
        OURS,
        "itemcrop, fp16",
    )
    by_batch.set(
        title="ms an image, 16 tokens", xlabel="batch", xticks=range(len(batches)), xticklabels=batches
    )

    lengths = sorted({tokens for _, tokens in ours})
    for i, batch in enumerate(batches):
        labelled(
            by_tokens,
            [n + 0.28 * (i - 1) for n in range(len(lengths))],
            [ours[batch, tokens] for tokens in lengths],
            0.26,
            ["#8fb8ac", "#4c9481", OURS][i % 3],
            f"batch {batch}",
        )
    by_tokens.set(
        title="ms an image, by prompt", xlabel="text tokens", xticks=range(len(lengths)), xticklabels=lengths
    )

    rows = results["service_compare"]["load"]
    clients = sorted({row["clients"] for row in rows})
    for shift, server, color, label in (
        (-0.2, "legacy", PEER, "FastAPI + transformers"),
        (0.2, "itemcrop", OURS, "itemcrop serve"),
    ):
        rates = [
            row["photos_per_second"]
            for count in clients
            for row in rows
            if row["server"] == server and row["clients"] == count
        ]
        labelled(service, [i + shift for i in range(len(clients))], rates, 0.4, color, label)
    service.set(
        title="POST /crop, photos a second", xlabel="clients", xticks=range(len(clients)), xticklabels=clients
    )

    for axes in (by_batch, by_tokens, service):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.12)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle(
        f"{results['device']['name']}, grounding-dino-tiny at 800 x 1333, {results['date']}", fontsize=10
    )
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
