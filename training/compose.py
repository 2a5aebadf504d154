"""Write composed scenes of validation senders as pictures, for tools outside Python.

    python -m training.compose --photos ../shared/garments --count 100 --out out/scenes

They are made of photos, so they stay out of the repository.
"""

import argparse
from pathlib import Path

from PIL import Image

from training import data
from training.evaluate import Scenery


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, default=Path("../shared/garments"), help="the folder, or a packed file"
    )
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    scenery = Scenery(data.load_bank(args.photos, "cpu", keep=lambda g: g.validation), args.seed)
    scenes = (scene for batch in scenery.batches(args.count, scenery.any) for scene in batch)
    for i, scene in enumerate(scenes):
        picture = scene.picture.permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(args.out / f"{i:04}.png", compress_level=1)


if __name__ == "__main__":
    main()
