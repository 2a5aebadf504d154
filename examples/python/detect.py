"""Cuts items out of a photo.

Usage: python detect.py PHOTO "navy blazer, pants" FOLDER
"""

import json
import pathlib
import sys

from PIL import Image

import itemcrop


def main(photo: str, items: str, out: str) -> None:
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    model = itemcrop.load("wardrobe")
    found = model.detect(photo, items)
    for number, (one, crop) in enumerate(zip(found, found.crops()), 1):
        Image.fromarray(crop).save(folder / f"{number:02}_{one.label.replace(' ', '-')}.jpg")
    (folder / "results.json").write_text(json.dumps(found.to_dict(), indent=2))
    print(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
