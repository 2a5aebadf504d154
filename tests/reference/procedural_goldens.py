"""Goldens of whole models with procedural weights and procedural images."""

from reference import configs
from reference.cases import Input, dump_case
from reference.checkpoints import load_procedural, processor
from reference.procedural_image import procedural_image

ONE = "dress."
ITEMS = "navy blazer. white shirt. pants. shoes. red scarf."
LONG = (
    "is there a t-shirt? black-and-white striped long-sleeve top. houndstooth blazer. "
    "high-waisted wide-leg trousers. leather ankle boots. knitted turtleneck sweater. "
    "pleated midi skirt. straw hat. sunglasses. crossbody handbag."
)
SMALL_EDGES = (256, 448)
FULL_EDGES = (800, 1333)

# name -> (edges, [(image seed, width, height, prompt), ...]); one size a batch.
FULL_SIZE = {
    "small_one": (SMALL_EDGES, [(11, 320, 240, ONE)]),
    "small_items": (SMALL_EDGES, [(12, 320, 240, ITEMS)]),
    "small_long": (SMALL_EDGES, [(13, 240, 320, LONG)]),
    "small_batch": (SMALL_EDGES, [(14, 320, 240, ITEMS), (15, 320, 240, ONE)]),
    "large_one": (FULL_EDGES, [(21, 1000, 600, ONE)]),
    "large_items": (FULL_EDGES, [(22, 1000, 600, ITEMS)]),
    "large_long": (FULL_EDGES, [(23, 600, 1000, LONG)]),
}

# Images already at their resized size, at sizes that windows and strides do not divide.
MICRO = {
    "below_window": ((40, 40), [(31, 40, 40, ONE)]),
    "landscape": ((61, 150), [(32, 150, 61, ITEMS)]),
    "portrait": ((47, 131), [(33, 47, 131, ITEMS)]),
    "window_multiple": ((112, 112), [(34, 112, 112, LONG)]),
    "strip": ((33, 300), [(35, 300, 33, "red scarf? hat.")]),
    "batch": ((64, 96), [(36, 96, 64, ITEMS), (37, 96, 64, ONE), (38, 96, 64, LONG)]),
    "masked_border": ((64, 512), [(39, 512, 64, ITEMS)]),
    "resized": ((64, 96), [(40, 333, 250, ITEMS)]),
}
MICRO_WIDE = {
    "below_window": ((21, 33), [(41, 21, 33, ONE)]),
    "landscape": ((50, 97), [(42, 97, 50, ITEMS)]),
    "portrait": ((30, 120), [(43, 30, 120, ITEMS)]),
    "batch": ((64, 96), [(44, 96, 64, ITEMS), (45, 96, 64, ONE)]),
}

# The other family's shapes: what it does differently, and nothing twice.
MM_MICRO = {
    "below_window": ((40, 40), [(51, 40, 40, ONE)]),
    "landscape": ((61, 150), [(52, 150, 61, ITEMS)]),
    "portrait": ((47, 131), [(53, 47, 131, LONG)]),
    "batch": ((64, 96), [(54, 96, 64, ITEMS), (55, 96, 64, ONE), (56, 96, 64, LONG)]),
}
MM_TINY = {
    "small_items": (SMALL_EDGES, [(61, 320, 240, ITEMS)]),
    "small_long": (SMALL_EDGES, [(62, 240, 320, LONG)]),
    "small_batch": (SMALL_EDGES, [(63, 320, 240, ITEMS), (64, 320, 240, ONE)]),
    "large_one": (FULL_EDGES, [(65, 1000, 600, ONE)]),
}
MM_LARGE = {
    "small_items": (SMALL_EDGES, [(71, 320, 240, ITEMS)]),
    "small_batch": (SMALL_EDGES, [(72, 320, 240, ITEMS), (73, 320, 240, ONE)]),
}

CASES = {
    "micro": MICRO,
    "micro_wide": MICRO_WIDE,
    "tiny": FULL_SIZE,
    "base": FULL_SIZE,
    "mm_micro": MM_MICRO,
    "mm_tiny": MM_TINY,
    "mm_large": MM_LARGE,
}


def dump(arguments) -> None:
    for name, cases in CASES.items():
        chosen = {case: value for case, value in cases.items() if arguments.only in f"{name}/{case}"}
        if not chosen:
            continue
        config = configs.CONFIGS[name]
        model = load_procedural(config)
        for case, (edges, images) in chosen.items():
            batch = [
                Input(
                    procedural_image(seed, width, height),
                    {"seed": seed, "width": width, "height": height},
                    prompt,
                )
                for seed, width, height, prompt in images
            ]
            dump_case(arguments.out / name / case, model, processor(*edges), config, batch, edges)
