"""The photos: the table, the split by sender, one packed file, and the bank on the device.

python -m training.data --garments ../shared/garments --out out/data/photos.pack
"""

import argparse
import csv
import io
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIDE = 256  # photos are this long on their longer side
VALIDATION_PERCENT = 15
PATCH = 48  # side of a floor patch, pixels


@dataclass(frozen=True)
class Garment:
    """One photo: its label, the colour word (may be empty), its size and the garment's tight box."""

    file: str
    label: str
    colour: str
    width: int
    height: int
    box: tuple[int, int, int, int]  # x0 y0 x1 y1, end exclusive
    sender: str

    @property
    def validation(self) -> bool:
        return is_validation(self.sender)


def is_validation(sender: str) -> bool:
    """The split is by sender: one person's photos share a floor, a light and often a garment."""
    return zlib.crc32(f"wardrobe sender {sender}".encode()) % 100 < VALIDATION_PERCENT


def read_table(garments: Path) -> list[Garment]:
    with (garments / "garments.csv").open(newline="", encoding="utf-8") as f:
        return [
            Garment(
                row["file"],
                row["label"],
                row["color"],
                int(row["width"]),
                int(row["height"]),
                tuple(int(row[k]) for k in ("x0", "y0", "x1", "y1")),
                row["sender_id"],
            )
            for row in csv.DictReader(f)
        ]


def pack(garments: Path, out: Path) -> None:
    """All photos as they are in one file: length of the header, JSON header, WebP bytes."""
    table = read_table(garments)
    blobs = [(garments / g.file).read_bytes() for g in table]
    header = json.dumps([{**asdict(g), "bytes": len(b)} for g, b in zip(table, blobs)]).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(struct.pack("<Q", len(header)) + header + b"".join(blobs))


def open_pack(path: Path) -> tuple[list[Garment], list[bytes]]:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    table, blobs, at = [], [], 8 + size
    for row in json.loads(data[8:at]):
        length = row.pop("bytes")
        table.append(Garment(**{**row, "box": tuple(row["box"])}))
        blobs.append(data[at : at + length])
        at += length
    return table, blobs


def read(source: Path) -> tuple[list[Garment], list[bytes]]:
    """The table and the encoded photos, from a packed file or from the garments folder."""
    if source.is_file():
        return open_pack(source)
    table = read_table(source)
    return table, [(source / g.file).read_bytes() for g in table]


@dataclass
class Bank:
    """Every photo on the device, centred in a square canvas.

    photos   u8 [N, 4, SIDE, SIDE]  RGB and the garment's mask
    centre   f32 [N, 2]             of the garment's box, canvas pixels (x, y)
    extent   f32 [N, 2]             width and height of that box
    size     f32 [N, 2]             width and height of the photo
    patches  u8 [P, 3, PATCH, PATCH] bare floor from the photos' corners
    patch_validation  bool [P]      whether the patch is from a validation sender
    """

    table: list[Garment]
    photos: torch.Tensor
    centre: torch.Tensor
    extent: torch.Tensor
    size: torch.Tensor
    patches: torch.Tensor
    patch_validation: torch.Tensor

    def indices(self, validation: bool) -> list[int]:
        return [i for i, g in enumerate(self.table) if g.validation == validation]


def _decode(blob: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(blob)).convert("RGBA"))


def load_bank(source: Path, device: torch.device | str, keep=lambda garment: True) -> Bank:
    """Decode the photos that ``keep`` accepts and move them to ``device``."""
    table, blobs = read(source)
    chosen = [i for i, g in enumerate(table) if keep(g)]
    table = [table[i] for i in chosen]
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(_decode, [blobs[i] for i in chosen]))
    photos = np.zeros((len(table), 4, SIDE, SIDE), np.uint8)
    centre = np.zeros((len(table), 2), np.float32)
    extent, size = np.zeros_like(centre), np.zeros_like(centre)
    patches, patch_validation = [], []
    for i, (g, picture) in enumerate(zip(table, pictures)):
        h, w = picture.shape[:2]
        x, y = (SIDE - w) // 2, (SIDE - h) // 2
        photos[i, :, y : y + h, x : x + w] = picture.transpose(2, 0, 1)
        x0, y0, x1, y1 = g.box
        centre[i] = (x0 + x1) / 2 + x, (y0 + y1) / 2 + y
        extent[i] = x1 - x0, y1 - y0
        size[i] = w, h
        for top, left in ((0, 0), (0, w - PATCH), (h - PATCH, 0), (h - PATCH, w - PATCH)):
            corner = picture[top : top + PATCH, left : left + PATCH]
            if min(top, left) >= 0 and not corner[..., 3].any():
                patches.append(corner[..., :3].transpose(2, 0, 1))
                patch_validation.append(g.validation)
    to = lambda a: torch.from_numpy(a).to(device)
    return Bank(
        table,
        to(photos),
        to(centre),
        to(extent),
        to(size),
        to(np.stack(patches)),
        to(np.array(patch_validation)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--garments", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pack(args.garments, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
