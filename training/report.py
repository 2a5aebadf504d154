"""Pictures of a training: loss curves, and predictions over scenes. Both stay out of the repository."""

import json
from pathlib import Path

import torch
from PIL import Image, ImageDraw


def curves(log: Path, out: Path) -> None:
    """Every logged loss over the steps, one panel each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    names = [k for k in rows[-1] if k not in ("step", "seconds")]
    columns = 5
    figure, axes = pyplot.subplots(-(-len(names) // columns), columns, figsize=(18, 9), squeeze=False)
    for axis, name in zip(axes.flat, names):
        axis.plot([r["step"] for r in rows], [r.get(name) for r in rows])
        axis.set_title(name)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out, dpi=70)
    pyplot.close(figure)


def sheet(
    pictures: list[torch.Tensor], found: list[list[tuple]], out: Path, width: int = 420, columns: int = 4
) -> None:
    """Pictures [3, H, W] in 0..1 in a grid, each with its (box in pixels, text, right?) rectangles."""
    tiles = []
    for picture, boxes in zip(pictures, found):
        image = Image.fromarray((picture.permute(1, 2, 0).cpu().numpy() * 255).astype("uint8"))
        scale = width / image.width
        image = image.resize((width, round(image.height * scale)))
        draw = ImageDraw.Draw(image)
        for box, text, right in boxes:
            colour = (0, 160, 0) if right else (220, 0, 0)
            draw.rectangle([v * scale for v in box], outline=colour, width=2)
            draw.text((box[0] * scale + 3, box[1] * scale + 2), text, fill=colour)
        tiles.append(image)
    height = max(t.height for t in tiles)
    page = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), "white")
    for i, tile in enumerate(tiles):
        page.paste(tile, (i % columns * width, i // columns * height))
    page.save(out, quality=85)
