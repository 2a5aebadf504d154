"""Goldens of the reference's resize: output sizes, and pixels of PIL's bilinear filter."""

import zlib

import numpy as np
from PIL import Image
from transformers.image_transforms import get_size_with_aspect_ratio

from reference.files import write_json
from reference.procedural_image import procedural_image

EDGES = [(800, 1333), (320, 533), (256, 448), (480, 640), (7, 9)]

# (seed, input width, input height, output width, output height): down, up, mixed, extreme.
PIXEL_CASES = [
    (1, 640, 480, 1066, 800),
    (2, 1200, 900, 426, 320),
    (3, 333, 777, 571, 1333),
    (4, 31, 17, 310, 170),
    (5, 1999, 1501, 64, 48),
    (6, 500, 300, 500, 150),
    (7, 64, 64, 64, 64),
    (8, 1, 1, 20, 20),
    (9, 1500, 3, 750, 2),
    (10, 3, 900, 4, 301),
    (11, 127, 255, 128, 254),
    (12, 1024, 768, 1, 1),
]
SAMPLES = 256


def size_rows() -> list:
    """[width, height, shortest, longest, resized width, resized height] by the reference."""
    random = np.random.default_rng(20)
    sizes = [
        (900, 1200),
        (1200, 900),
        (800, 800),
        (800, 1333),
        (1333, 800),
        (1, 1),
        (1, 10000),
        (10000, 1),
        (2, 3),
        (4032, 3024),
        (3024, 4032),
        (1920, 1080),
        (1080, 1920),
        (1334, 800),
        (1332, 800),
        (799, 801),
        (801, 799),
        (640, 480),
        (480, 640),
        (33, 32),
    ]
    for low, high in [(1, 40), (40, 400), (400, 3000), (3000, 12000)]:
        sizes += [tuple(map(int, random.integers(low, high, 2))) for _ in range(22)]
    sizes += [(int(random.integers(1, 12)), int(random.integers(2000, 9000))) for _ in range(8)]
    sizes += [(int(random.integers(2000, 9000)), int(random.integers(1, 12))) for _ in range(8)]
    rows = []
    for shortest, longest in EDGES:
        for width, height in sizes:
            out_height, out_width = get_size_with_aspect_ratio((height, width), shortest, longest)
            rows.append([width, height, shortest, longest, out_width, out_height])
    return rows


def pixel_case(seed: int, width: int, height: int, out_width: int, out_height: int) -> dict:
    image = procedural_image(seed, width, height)
    resized = np.asarray(Image.fromarray(image).resize((out_width, out_height), Image.Resampling.BILINEAR))
    flat = resized.reshape(-1)
    count = min(SAMPLES, flat.size)
    indices = np.linspace(0, flat.size - 1, count).astype(np.int64)
    return {
        "seed": seed,
        "width": width,
        "height": height,
        "out_width": out_width,
        "out_height": out_height,
        "input_crc32": zlib.crc32(image.tobytes()),
        "output_crc32": zlib.crc32(resized.tobytes()),
        "indices": indices.tolist(),
        "values": flat[indices].tolist(),
    }


def dump(arguments) -> None:
    rows = size_rows()
    write_json(
        arguments.out / "resize" / "sizes.json",
        {
            "columns": ["width", "height", "shortest_edge", "longest_edge", "out_width", "out_height"],
            "rows": rows,
        },
        compact_rows=True,
    )
    write_json(
        arguments.out / "resize" / "pixels.json",
        {"cases": [pixel_case(*case) for case in PIXEL_CASES]},
        compact_rows=True,
    )
