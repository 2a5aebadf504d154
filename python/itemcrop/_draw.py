"""Boxes over an image, and PNG: what a notebook shows of a result. numpy is enough; Pillow adds labels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# The palette of src/image/annotate.cpp.
PALETTE = np.array(
    [
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
    ],
    dtype=np.uint8,
)


def annotate(
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.float32],
    captions: Sequence[str],
    colours: npt.NDArray[np.int32],
    max_side: int,
) -> npt.NDArray[np.uint8]:
    """A copy with boxes (pixels of ``image``) and captions; every ``step``-th pixel is kept to fit max_side."""
    step = max(1, -(-max(image.shape[:2]) // max_side))
    drawn = image[::step, ::step].copy()
    line = max(2, max(drawn.shape[:2]) // 300)
    for box, colour in zip(boxes / step, colours):
        _outline(drawn, box, PALETTE[colour % len(PALETTE)], line)
    return _write(drawn, boxes / step, captions, colours)


def _outline(
    image: npt.NDArray[np.uint8], box: npt.NDArray[np.float32], colour: npt.NDArray[np.uint8], line: int
) -> None:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.clip(box, 0, [width, height, width, height]).astype(int)
    image[y0 : y0 + line, x0:x1] = colour
    image[max(y1 - line, y0) : y1, x0:x1] = colour
    image[y0:y1, x0 : x0 + line] = colour
    image[y0:y1, max(x1 - line, x0) : x1] = colour


def _write(
    image: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.float32],
    captions: Sequence[str],
    colours: npt.NDArray[np.int32],
) -> npt.NDArray[np.uint8]:
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        return image
    picture = Image.fromarray(image)
    draw: Any = ImageDraw.Draw(picture)
    for box, caption, colour in zip(boxes, captions, colours):
        at = (max(float(box[0]), 0.0) + 3, max(float(box[1]), 0.0) + 3)
        text = caption.encode("latin-1", "replace").decode("latin-1")  # what Pillow's own font has
        background = PALETTE[colour % len(PALETTE)]
        dark = float(background @ np.array([0.2126, 0.7152, 0.0722])) < 128  # Rec. 709 luma
        draw.rectangle(draw.textbbox(at, text), fill=tuple(background.tolist()))
        draw.text(at, text, fill="white" if dark else "black")
    return np.asarray(picture)


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """uint8 [h, w, 3] as PNG. Source: the PNG specification (ISO/IEC 15948), 5.3 and 11.2."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = image.shape[:2]
    # Every row begins with the type of its filter: 0, none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            chunk(b"IEND", b""),
        ]
    )
