#!/usr/bin/env python3
"""Counts what one image of a large batch costs the GPU engine, stage by stage: operations of its
matrix products, bytes that its kernels move through device memory, look-ups in first-level caches
where those are what a kernel waits for, and the time that they take at least at the device's measured
ceilings. A kernel cannot be quicker than the largest of these; a stage is the sum of its kernels.

    bench/gpu_floor.py [--height 800] [--width 1333] [--tokens 16]
                       [--tflops 778] [--tbytes 4.3] [--lookups 232]

The shape is grounding-dino-tiny's in fp16. Bytes are those of the kernels as they are (docs/design/gpu.md,
"The GPU engine"): every kernel reads its inputs once and writes its outputs once. Weights are left
out: a batch shares them. Prints a Markdown table.
"""

import argparse
import math

HALF, SINGLE = 2, 4
QUERIES, HEADS, TEXT_HEADS, LEVELS, POINTS = 900, 8, 4, 4, 4
WIDTH, FFN, FUSION = 256, 2048, 1024
SAMPLES = HEADS * LEVELS * POINTS * 3


class Stage:
    def __init__(self, name: str):
        self.name = name
        self.kernels: list[tuple[float, float, float]] = []  # operations, bytes, look-ups

    def kernel(self, flops, bytes_moved, times=1, lookups=0):
        self.kernels += [(flops, bytes_moved, lookups)] * times

    def product(self, rows, inputs, outputs, read=HALF, write=HALF, residual=0, times=1):
        self.kernel(2 * rows * inputs * outputs, rows * (inputs * read + outputs * (write + residual)), times)

    def rows(self, count, cols, read, write, times=1):
        """A kernel on rows: bytes read and written a value."""
        self.kernel(0, count * cols * (read + write), times)


def swin(height: int, width: int) -> tuple[list[Stage], list[tuple[int, int, int]]]:
    stages, maps = [], []
    patches = Stage("pixels to patches, embedding")
    h, w = math.ceil(height / 4), math.ceil(width / 4)
    patches.rows(height * width, 3, 1, 1)
    patches.kernel(0, height * width * 3 + h * w * 48 * HALF)
    patches.product(h * w, 48, 96)
    patches.rows(h * w, 96, HALF, HALF)
    stages.append(patches)
    for number, (blocks, channels) in enumerate(zip((2, 2, 6, 2), (96, 192, 384, 768)), 1):
        rows = h * w
        stage = Stage(f"Swin stage {number}, {rows:,} rows of {channels}")
        stage.rows(rows, channels, HALF, HALF, times=2 * blocks)  # norms
        stage.product(rows, channels, 3 * channels, times=blocks)
        stage.kernel(4 * rows * 49 * channels, rows * channels * 4 * HALF, times=blocks)  # windows
        stage.product(rows, channels, channels, residual=HALF, times=blocks)
        stage.product(rows, channels, 4 * channels, times=blocks)
        stage.product(rows, 4 * channels, channels, residual=HALF, times=blocks)
        if number < 4:
            next_rows = math.ceil(h / 2) * math.ceil(w / 2)
            stage.rows(next_rows, 4 * channels, HALF, HALF)
            stage.product(next_rows, 4 * channels, 2 * channels)
        if number > 1:
            maps.append((h, w, channels))
            stage.rows(rows, channels, HALF, HALF)  # the output's norm
        stages.append(stage)
        h, w = math.ceil(h / 2), math.ceil(w / 2)
    return stages, maps


def neck(maps) -> tuple[Stage, int, int]:
    """The stage, the pyramid's cells, and the rows and columns of its levels."""
    stage = Stage("neck: projections, group norms")
    total = axes = 0
    for h, w, channels in maps:
        stage.product(h * w, channels, WIDTH)
        stage.rows(h * w, WIDTH, HALF, 0)
        stage.rows(h * w, WIDTH, HALF, HALF)
        total += h * w
        axes += h + w
    h, w = math.ceil(maps[-1][0] / 2), math.ceil(maps[-1][1] / 2)
    stage.rows(h * w, 9 * maps[-1][2], HALF, HALF)
    stage.product(h * w, 9 * maps[-1][2], WIDTH)
    stage.rows(h * w, WIDTH, 2 * HALF, HALF)
    return stage, total + h * w, axes + h + w


def sampling_lookups(queries: int) -> int:
    """A head's channels of a cell are half a line, and a lane's load wants one of four cells."""
    return queries * HEADS * LEVELS * POINTS * 4


def encoder(n: int, axes: int, tokens: int) -> list[Stage]:
    layers = 6
    fusion = Stage("encoder: folded fusion")
    fusion.kernel(3 * 2 * n * WIDTH * TEXT_HEADS * tokens, n * WIDTH * 2 * HALF, times=layers)
    text = Stage("encoder: text side (fp32, beside the image)")
    text.kernel(2 * tokens * (6 * WIDTH * FUSION + 4 * WIDTH * WIDTH + 2 * WIDTH * FUSION), 0, times=layers)
    projections = Stage("encoder: value and sampling products")
    projections.product(n, WIDTH, WIDTH, times=layers)
    projections.product(axes, WIDTH, SAMPLES, write=SINGLE, times=layers)
    projections.product(n, WIDTH, SAMPLES, write=SINGLE, times=layers)
    sampling = Stage("encoder: deformable sampling")
    sampling.kernel(0, n * (SAMPLES * SINGLE + 2 * WIDTH * HALF), times=layers, lookups=sampling_lookups(n))
    output = Stage("encoder: output products with residual and norm")
    output.product(n, WIDTH, WIDTH, residual=HALF, times=layers)
    feed_forward = Stage("encoder: feed-forward, norm included")
    feed_forward.kernel(2 * 2 * n * WIDTH * FFN, n * WIDTH * 2 * HALF, times=layers)
    return [fusion, text, projections, sampling, output, feed_forward]


def selection(n: int, tokens: int) -> Stage:
    stage = Stage("query selection")
    stage.rows(n, WIDTH, HALF, HALF)
    stage.product(n, WIDTH, WIDTH)  # norm included
    stage.kernel(2 * n * WIDTH * tokens, n * (WIDTH * HALF + SINGLE))
    stage.rows(n, 1, SINGLE, 0)
    stage.product(QUERIES, WIDTH, WIDTH, times=2)
    return stage


def decoder(n: int, tokens: int) -> list[Stage]:
    layers, q = 6, QUERIES
    values = Stage("decoder: value products of the image")
    values.product(n, WIDTH, WIDTH, times=layers)
    rest = Stage("decoder: everything else")
    rest.product(q, 2 * WIDTH, WIDTH, times=layers)  # position head
    rest.product(q, WIDTH, WIDTH, times=layers)
    rest.product(q, 2 * WIDTH, 3 * WIDTH, times=layers)  # of rows [x, position]
    rest.product(q, 2 * WIDTH, WIDTH, times=layers)
    rest.product(q, WIDTH, WIDTH, residual=HALF, times=3 * layers)  # norms included
    rest.kernel(4 * q * q * WIDTH, q * WIDTH * 4 * HALF, times=layers)
    rest.kernel(4 * q * tokens * WIDTH, q * WIDTH * 2 * HALF, times=layers)
    rest.rows(q, WIDTH, 2 * HALF, HALF, times=layers)
    rest.product(q, WIDTH, SAMPLES, write=SINGLE, times=layers)
    rest.kernel(
        0,
        q * (SAMPLES * SINGLE + HEADS * LEVELS * POINTS * 4 * WIDTH // HEADS * HALF),
        times=layers,
        lookups=sampling_lookups(q),
    )
    rest.kernel(2 * 2 * q * WIDTH * FFN, q * WIDTH * 2 * HALF, times=layers)  # norm included
    rest.product(q, WIDTH, WIDTH, times=2 * layers)  # box head
    rest.product(q, WIDTH, 4, SINGLE, SINGLE, times=layers)
    return [values, rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1333)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--tflops", type=float, default=778, help="measured rate of products, TFLOP/s")
    parser.add_argument("--tbytes", type=float, default=4.3, help="measured rate of copies, TB/s")
    parser.add_argument(
        "--lookups", type=float, default=232, help="lines a nanosecond: 132 caches at 1.76 GHz"
    )
    arguments = parser.parse_args()
    stages, maps = swin(arguments.height, arguments.width)
    necks, n, axes = neck(maps)
    stages += [
        necks,
        *encoder(n, axes, arguments.tokens),
        selection(n, arguments.tokens),
        *decoder(n, arguments.tokens),
    ]
    totals = [0.0, 0.0, 0.0]
    print("| stage | GFLOP | MB | least, us |")
    print("|---|---:|---:|---:|")
    for stage in stages:
        least = sum(
            max(
                flops / arguments.tflops / 1e6,
                moved / arguments.tbytes / 1e6,
                lookups / arguments.lookups / 1e3,
            )
            for flops, moved, lookups in stage.kernels
        )
        row = [
            sum(kernel[0] for kernel in stage.kernels) / 1e9,
            sum(kernel[1] for kernel in stage.kernels) / 1e6,
            least,
        ]
        totals = [a + b for a, b in zip(totals, row)]
        print(f"| {stage.name} | {row[0]:.1f} | {row[1]:.0f} | {row[2]:.0f} |")
    print("| **all** | {:.1f} | {:.0f} | {:.0f} |".format(*totals))


if __name__ == "__main__":
    main()
