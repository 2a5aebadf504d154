#!/usr/bin/env python3
"""Counts what one picture costs the GPU engine, stage by stage: operations of its matrix products
and bytes that its kernels move through device memory, and the times that the two take at the
device's measured ceilings. A stage cannot be quicker than the larger.

    bench/gpu_floor.py [--height 800] [--width 1333] [--tokens 16] [--tflops 798] [--tbytes 3.0]

The shape is grounding-dino-tiny's in fp16. Bytes are those of the kernels as they are (ARCHITECTURE.md,
"The GPU engine"): every kernel reads its inputs once and writes its outputs once; what lies between
the kernels of one op's piece stays in the second-level cache. Prints a Markdown table.
"""

import argparse
import math

HALF, SINGLE = 2, 4
QUERIES, HEADS, TEXT_HEADS, LEVELS, POINTS = 900, 8, 4, 4, 4
WIDTH, FFN, FUSION = 256, 2048, 1024


class Stage:
    def __init__(self, name: str):
        self.name, self.flops, self.bytes, self.launches = name, 0.0, 0.0, 0

    def product(self, rows, inputs, outputs, read=HALF, write=HALF, residual=0, times=1):
        """A product, its weights included; read or write 0: that side stays in the cache."""
        self.flops += 2 * rows * inputs * outputs * times
        self.bytes += (rows * inputs * read + rows * outputs * (write + residual) + inputs * outputs * HALF) * times
        self.launches += times

    def rows(self, count, cols, read, write, launches=1, times=1):
        """A kernel on rows: bytes read and written a value."""
        self.bytes += count * cols * (read + write) * times
        self.launches += launches * times

    def feed_forward(self, rows, width, hidden, gelu, norm_after, times=1):
        if width <= 192:  # one kernel
            self.flops += 4 * rows * width * hidden * times
            self.rows(rows, width, HALF, HALF, times=times)
            return
        if not norm_after:
            self.rows(rows, width, HALF, HALF, times=times)  # the norm before
        self.product(rows, width, hidden, write=0, times=times)
        if gelu:
            self.launches += times  # bias and exact GELU, on what lies in the cache
        self.product(rows, hidden, width, read=0, write=0 if norm_after else HALF,
                     residual=0 if norm_after else HALF, times=times)
        if norm_after:
            self.rows(rows, width, HALF, HALF, times=times)  # and the product, from the cache


def swin(height: int, width: int) -> tuple[list[Stage], list[tuple[int, int]]]:
    stages, maps = [], []
    patches = Stage("pixels to patches, embedding")
    h, w = math.ceil(height / 4), math.ceil(width / 4)
    patches.rows(height * width, 3, 1, 1 + 1, launches=2)  # resize in two passes
    patches.rows(h * w, 48, 0, HALF, launches=0)
    patches.product(h * w, 48, 96)
    patches.rows(h * w, 96, HALF, HALF)
    stages.append(patches)
    for number, (blocks, channels) in enumerate(zip((2, 2, 6, 2), (96, 192, 384, 768)), 1):
        stage = Stage(f"Swin stage {number}, {h * w:,} rows of {channels}")
        rows = h * w
        if channels > 256:
            stage.rows(rows, channels, HALF, HALF, times=blocks)  # the norm, else within the product
        stage.product(rows, channels, 3 * channels, write=0, times=blocks)
        stage.flops += 4 * rows * 49 * channels * blocks
        stage.launches += blocks
        stage.product(rows, channels, channels, read=0, residual=HALF, times=blocks)
        stage.feed_forward(rows, channels, 4 * channels, gelu=True, norm_after=False, times=blocks)
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
        stage.rows(h * w, WIDTH, 2 * HALF, HALF, launches=2)
        total += h * w
        axes += h + w
    h, w = math.ceil(maps[-1][0] / 2), math.ceil(maps[-1][1] / 2)
    stage.rows(h * w, 9 * maps[-1][2], HALF, HALF)
    stage.product(h * w, 9 * maps[-1][2], WIDTH)
    stage.rows(h * w, WIDTH, 2 * HALF, HALF, launches=2)
    return stage, total + h * w, axes + h + w


def encoder(n: int, axes: int, tokens: int) -> list[Stage]:
    layers = 6
    columns = TEXT_HEADS * tokens
    fusion = Stage("encoder: folded fusion")
    fusion.flops = 3 * 2 * n * WIDTH * columns * layers
    fusion.rows(n, WIDTH, HALF, HALF, launches=2, times=layers)
    text = Stage("encoder: text side (fp32)")
    text.flops = layers * 2 * tokens * (2 * WIDTH * FUSION + 3 * WIDTH * FUSION + FUSION * WIDTH  # folds, context, output
                                        + 4 * WIDTH * WIDTH + 2 * WIDTH * FUSION)
    text.bytes = layers * SINGLE * (6 * WIDTH * FUSION + 4 * WIDTH * WIDTH + 2 * WIDTH * FUSION)
    text.launches = 12 * layers
    deformable = Stage("encoder: deformable attention")
    samples = HEADS * LEVELS * POINTS * 3
    deformable.product(n, WIDTH, WIDTH, times=layers)
    pieces = 2  # at batch 1: 22,223 rows of 2 KiB
    deformable.product(axes, WIDTH, samples, write=0, times=layers)  # positions
    deformable.product(n, WIDTH, samples, write=0, times=layers)
    deformable.rows(n, WIDTH, HALF, 0, launches=pieces, times=layers)  # values, sampled
    deformable.product(n, WIDTH, WIDTH, read=0, residual=HALF, times=layers)
    deformable.launches += 2 * layers * (pieces - 1)
    feed_forward = Stage("encoder: feed-forward")
    feed_forward.feed_forward(n, WIDTH, FFN, gelu=False, norm_after=True, times=layers)
    return [fusion, text, deformable, feed_forward]


def selection(n: int, tokens: int) -> Stage:
    stage = Stage("query selection")
    stage.rows(n, WIDTH, HALF, HALF)
    stage.product(n, WIDTH, WIDTH)
    stage.rows(n, WIDTH, HALF, HALF)
    stage.rows(n, WIDTH, HALF, 0)
    stage.flops += 2 * n * WIDTH * tokens
    stage.rows(n, 1, SINGLE, 0, launches=3)
    stage.product(QUERIES, WIDTH, WIDTH, read=SINGLE, write=SINGLE, times=2)
    return stage


def decoder(n: int, tokens: int) -> list[Stage]:
    layers, q = 6, QUERIES
    values = Stage("decoder: value projections of the picture")
    values.product(n, WIDTH, WIDTH, times=layers)
    rest = Stage("decoder: everything else")
    samples = HEADS * LEVELS * POINTS * 3
    rest.product(q, 2 * WIDTH, WIDTH, SINGLE, SINGLE, times=layers)  # position head, fp32
    rest.product(q, WIDTH, WIDTH, SINGLE, SINGLE, times=layers)
    rest.rows(q, WIDTH, 2 * HALF, HALF, times=2 * layers)
    rest.product(q, WIDTH, 2 * WIDTH, times=layers)
    rest.product(q, WIDTH, WIDTH, times=6 * layers)
    rest.flops += layers * 4 * q * (q + tokens) * WIDTH
    rest.rows(q, WIDTH, 3 * HALF, HALF, times=2 * layers)
    rest.product(q, WIDTH, samples, write=SINGLE, times=layers)
    rest.rows(q, samples, SINGLE, 0, launches=2, times=layers)
    rest.rows(q, WIDTH, 2 * HALF, HALF, times=3 * layers)
    rest.feed_forward(q, WIDTH, FFN, gelu=False, norm_after=True, times=layers)
    rest.product(q, WIDTH, WIDTH, SINGLE, SINGLE, times=2 * layers)  # box head, fp32
    rest.product(q, WIDTH, 4, SINGLE, SINGLE, times=layers)
    rest.launches += 4 * layers
    return [values, rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1333)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--tflops", type=float, default=798, help="measured rate of products, TFLOP/s")
    parser.add_argument("--tbytes", type=float, default=3.0, help="measured rate of copies, TB/s")
    arguments = parser.parse_args()
    stages, maps = swin(arguments.height, arguments.width)
    necks, n, axes = neck(maps)
    stages += [necks, *encoder(n, axes, arguments.tokens), selection(n, arguments.tokens), *decoder(n, arguments.tokens)]
    total = Stage("**all**")
    floor = 0.0
    print("| stage | GFLOP | MB | launches | products, us | memory, us |")
    print("|---|---:|---:|---:|---:|---:|")
    for stage in [*stages, total]:
        compute, memory = stage.flops / arguments.tflops / 1e6, stage.bytes / arguments.tbytes / 1e6
        print(f"| {stage.name} | {stage.flops / 1e9:.1f} | {stage.bytes / 1e6:.0f} | {stage.launches} |"
              f" {compute:.0f} | {memory:.0f} |")
        if stage is not total:
            total.flops += stage.flops
            total.bytes += stage.bytes
            total.launches += stage.launches
            floor += max(compute, memory)
    print(f"\nThe larger of both, summed over the stages: {floor / 1e3:.2f} ms.")


if __name__ == "__main__":
    main()
