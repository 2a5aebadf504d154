"""Goldens of the procedural weights: config folders, tensor lists, checksums of tensors."""

import zlib

import numpy as np

from reference.checkpoints import tensor_shapes
from reference.configs import CONFIGS, preprocessor
from reference.files import write_json
from reference.procedural_weights import logit_scale, offset_and_scale, procedural_tensor

SIZES = {
    "tiny": (800, 1333),
    "base": (800, 1333),
    "micro": (64, 96),
    "micro_wide": (64, 96),
    "mm_tiny": (800, 1333),
    "mm_large": (800, 1333),
    "mm_micro": (64, 96),
}
LARGEST = 400_000  # elements; larger tensors are left out of the checksum table


def checksum_row(name: str, shape: tuple[int, ...], scale_of_logits: float) -> dict:
    tensor = procedural_tensor(name, shape, scale_of_logits)
    bits = tensor.reshape(-1)[:4].view(np.uint32)
    offset, scale = offset_and_scale(name, shape, scale_of_logits)
    kind = {} if scale_of_logits == 1 else {"logit_scale": scale_of_logits}
    return {
        "name": name,
        "shape": list(shape),
        **kind,
        "offset_bits": int(np.float32(offset).view(np.uint32)),
        "scale_bits": int(np.float32(scale).view(np.uint32)),
        "first_bits": bits.tolist(),
        "crc32": zlib.crc32(tensor.tobytes()),
    }


def dump(arguments) -> None:
    rows = {}
    for name, config in CONFIGS.items():
        folder = arguments.out / name
        shapes = tensor_shapes(config)
        write_json(folder / "config.json", config)
        write_json(folder / "preprocessor_config.json", preprocessor(*SIZES[name]))
        write_json(
            folder / "tensors.json",
            {"tensors": [[tensor, list(shape)] for tensor, shape in shapes.items()]},
            compact_rows=True,
        )
        # One of each kind: names that differ only in layer numbers follow the same rule.
        for tensor, shape in shapes.items():
            kind = "".join("#" if c.isdigit() else c for c in tensor)
            if np.prod(shape) <= LARGEST and (name, kind) not in rows:
                scale = logit_scale(config)
                if offset_and_scale(tensor, shape, scale) == offset_and_scale(tensor, shape):
                    scale = 1.0
                rows[(name, kind)] = (tensor, shape, scale)
    write_json(
        arguments.out / "weights" / "checksums.json",
        {
            "what": "float32 tensors as little-endian bytes; *_bits are float32 bit patterns",
            "tensors": [checksum_row(*row) for row in sorted(set(rows.values()))],
        },
        compact_rows=True,
    )
