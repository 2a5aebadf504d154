"""Goldens of the embedded checkpoint: trained weights, on a procedural image and on the sample."""

import json
import pathlib
import zlib

import numpy as np
from PIL import Image, ImageOps
from transformers import BertTokenizer, GroundingDinoProcessor
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)

from reference.cases import Input, dump_case
from reference.checkpoints import load
from reference.procedural_image import procedural_image

PROCEDURAL_SEED = 51
PROCEDURAL_SIZE = (480, 640)  # width, height
PROCEDURAL_PROMPT = "navy blazer. pants. t-shirt. shoes."


def load_processor(model_folder: pathlib.Path) -> tuple[GroundingDinoProcessor, tuple[int, int]]:
    """The folder's own tokenizer and sizes, with PIL's resize; and (shortest, longest) edge."""
    size = json.loads((model_folder / "preprocessor_config.json").read_text())["size"]
    image_processor = GroundingDinoImageProcessorPil(size=size)
    tokenizer = BertTokenizer.from_pretrained(str(model_folder))
    return (GroundingDinoProcessor(image_processor, tokenizer), (size["shortest_edge"], size["longest_edge"]))


def read_photo(path: pathlib.Path) -> np.ndarray:
    """Upright 8-bit RGB; transparency shows white, as the command line's default does."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA", "P"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def caption(items: list[str]) -> str:
    """Items as the engine joins them."""
    return " ".join(f"{item.strip()}." for item in items)


def dump(arguments) -> None:
    model = load(arguments.model)
    config = json.loads((arguments.model / "config.json").read_text())
    processor, edges = load_processor(arguments.model)
    folder = arguments.out / "wardrobe"
    width, height = PROCEDURAL_SIZE
    image = Input(
        procedural_image(PROCEDURAL_SEED, width, height),
        {"seed": PROCEDURAL_SEED, "width": width, "height": height},
        PROCEDURAL_PROMPT,
    )
    dump_case(folder / "procedural", model, processor, config, [image], edges)

    items = (arguments.sample / "items.txt").read_text().strip().split(",")
    for path in sorted(arguments.sample.glob("*.jpg")):
        image = read_photo(path)
        source = {
            "file": f"{arguments.sample.name}/{path.name}",
            "width": image.shape[1],
            "height": image.shape[0],
            "crc32": zlib.crc32(image.tobytes()),
        }
        case = Input(image, source, caption(items))
        dump_case(folder / f"sample_{path.stem}", model, processor, config, [case], edges)
