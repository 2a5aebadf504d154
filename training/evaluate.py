"""Measure an exported model on senders that training never saw.

    python -m training.evaluate --model models/wardrobe --photos ../shared/garments [--scenes 300] [--out out/eval]

Everything goes through transformers: its processor, its tokenizer, its model; or, with ``--engine``,
through itemcrop itself, which is faster on a CPU. Scenes are composed at 900-1333 px. An item's
evidence is its tokens' mean probability, which picks the item of a query; the score is the maximum over
the item's tokens. Boxes are kept from 0.25 up, with suppression at IoU 0.5 within an item.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import batched_nms, box_iou
from transformers import AutoProcessor, GroundingDinoForObjectDetection

from training import captions, data, report, scenes, vocabulary, wardrobe
from training.matching import corners

SIZES = [(900, 1200), (1200, 900), (1000, 1333), (1333, 1000), (1024, 1024), (900, 1333), (1333, 900)]
THRESHOLD, SUPPRESSION, LOCATED = 0.25, 0.5, 0.5

# What the old contract's category words stand for.
LEGACY = {
    "tops": ("shirt blouse sweater top tee hoodie jacket cardigan vest coat", wardrobe.GROUPS["tops"]),
    "bottoms": ("pants jeans skirt shorts trousers leggings", wardrobe.GROUPS["bottoms"]),
    "dress": ("dress gown", ["Dress"]),
    "shoes": ("shoe sneaker boot sandal heel loafer", ["Shoes"]),
    "accessory": ("necklace bracelet earring watch hat scarf belt sunglasses ring jewelry", ["Hat"]),
    "bag": ("bag purse backpack tote clutch handbag", []),
}


@dataclass
class Found:
    """One picture's queries: boxes f32 [Q, 4] in pixels (corners), item i64 [Q], score f32 [Q]."""

    boxes: Tensor
    items: Tensor
    scores: Tensor

    def kept(self, threshold: float = THRESHOLD) -> "Found":
        """Above the threshold, suppressed within an item, best first."""
        on = self.scores >= threshold
        boxes, items, scores = self.boxes[on], self.items[on], self.scores[on]
        order = batched_nms(boxes, scores, items, SUPPRESSION)
        return Found(boxes[order], items[order], scores[order])


class Predictor:
    """transformers' processor and model over a folder."""

    def __init__(self, folder: Path, device: str):
        self.device = device
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = (
            GroundingDinoForObjectDetection.from_pretrained(folder, dtype=torch.float32).to(device).eval()
        )
        self.tokenizer = captions.Tokenizer(vocabulary.read(folder / "vocab.txt"))

    @torch.no_grad()
    def __call__(self, pictures: list[Tensor], prompts: list[list[captions.Item]]) -> list[Found]:
        """Pictures u8 [3, H, W] of one size, and each one's items."""
        laid = [captions.build(self.tokenizer, items, [], 256) for items in prompts]
        texts = ["".join(f"{item.text}. " for item in items).strip() for items in prompts]
        text = self.processor.tokenizer(texts, padding=True, return_tensors="pt").to(self.device)
        for row, prompt in zip(text["input_ids"], laid):  # both tokenizers must agree, or spans are wrong
            if row.tolist() != prompt.ids[: len(row)].tolist():
                raise ValueError(f"tokenizers disagree on {texts}")
        images = self.processor.image_processor(pictures, return_tensors="pt").to(self.device)
        out = self.model(**images, **text)
        found = []
        for picture, prompt, logits, boxes in zip(pictures, laid, out.logits.sigmoid(), out.pred_boxes):
            size = torch.tensor([picture.shape[2], picture.shape[1]] * 2, device=self.device)
            means = torch.stack([logits[:, a:b].mean(-1) for a, b in prompt.spans], -1)
            peaks = torch.stack([logits[:, a:b].amax(-1) for a, b in prompt.spans], -1)
            items = means.argmax(-1)
            scores = peaks.gather(1, items[:, None])[:, 0]
            found.append(Found((corners(boxes) * size).cpu(), items.cpu(), scores.cpu()))
        return found


class EnginePredictor:
    """The same through the command line's ``detect``, one run a prompt."""

    def __init__(self, binary: Path, folder: Path, precision: str):
        self.command = [
            str(binary),
            "detect",
            "--model",
            str(folder),
            "--precision",
            precision,
            "--threshold",
            "0",
            "--no-suppress",
            "--json",
            "-",
        ]

    def __call__(self, pictures: list[Tensor], prompts: list[list[captions.Item]]) -> list[Found]:
        asked: dict[tuple[str, ...], list[int]] = {}
        for i, items in enumerate(prompts):
            asked.setdefault(tuple(item.text for item in items), []).append(i)
        found: dict[int, Found] = {}
        with tempfile.TemporaryDirectory() as folder:
            for i, picture in enumerate(pictures):
                Image.fromarray(picture.permute(1, 2, 0).cpu().numpy()).save(
                    f"{folder}/{i}.png", compress_level=1
                )
            for texts, members in asked.items():
                files = [f"{folder}/{i}.png" for i in members]
                items = [argument for text in texts for argument in ("--item", text)]
                run = subprocess.run([*self.command, *items, *files], stdout=subprocess.PIPE, check=True)
                for image in json.loads(run.stdout)["images"]:
                    rows = image["detections"]
                    found[int(Path(image["file"]).stem)] = Found(
                        torch.tensor([r["box"] for r in rows]),
                        torch.tensor([texts.index(r["item"]) for r in rows]),
                        torch.tensor([r["score"] for r in rows]),
                    )
        return [found[i] for i in range(len(pictures))]


@dataclass
class Scene:
    """A picture u8 [3, H, W], the boxes [n, 4] of its garments in pixels, and the garments."""

    picture: Tensor
    boxes: Tensor
    garments: list[data.Garment]


class Scenery:
    """Scenes of validation photos, the same for the same seed on the same device."""

    def __init__(self, bank: data.Bank, seed: int):
        self.bank, self.seed = bank, seed
        self.photos = bank.indices(validation=True)
        tokenizer = captions.Tokenizer([*vocabulary.FIXED_IDS])
        self.planner = scenes.Planner(
            bank.table, self.photos, tokenizer, scenes.PlannerConfig(class_power=0.0)
        )

    def batches(self, count: int, draw: Callable[[random.Random], list[int]], batch: int = 8):
        """Lists of scenes, one size a list; ``draw`` picks a scene's photos."""
        rng = random.Random(self.seed)
        composer = scenes.Composer(self.bank, validation=True, seed=self.seed, augment=False)
        for at in range(0, count, batch):
            chosen = [draw(rng) for _ in range(min(batch, count - at))]
            slots = max(map(len, chosen))
            photos = torch.tensor([c + [0] * (slots - len(c)) for c in chosen], device=composer.device)
            present = torch.tensor(
                [[True] * len(c) + [False] * (slots - len(c)) for c in chosen], device=composer.device
            )
            kind = torch.full((len(chosen),), scenes.FLAT, device=composer.device)
            h, w = SIZES[at // batch % len(SIZES)]
            made = composer.compose(photos, present, kind, h, w)
            pictures = (made.pictures * 255).round().byte()
            boxes = corners(made.boxes) * torch.tensor([w, h, w, h], device=composer.device)
            yield [
                Scene(
                    pictures[b],
                    boxes[b][made.ok[b]].cpu(),
                    [self.bank.table[i] for i, ok in zip(c, made.ok[b].tolist()) if ok],
                )
                for b, c in enumerate(chosen)
            ]

    def any(self, rng: random.Random) -> list[int]:
        return [rng.choice(self.photos) for _ in range(rng.randint(1, 6))]

    def balanced(self, rng: random.Random) -> list[int]:
        return [self.planner.draw(rng) for _ in range(rng.randint(1, 6))]

    def same_class(self, rng: random.Random) -> list[int]:
        while len(chosen := self.planner.same_class(rng, rng.randint(2, 4))) < 2:
            pass
        return chosen


def pair(found: Found, scene: Scene) -> list[int]:
    """For each kept box the garment it is matched with, or -1: best score first, IoU from 0.5 up; a
    garment of the box's own name goes before a nearer one of another."""
    if not len(found.boxes) or not len(scene.boxes):
        return [-1] * len(found.boxes)
    overlap = box_iou(found.boxes, scene.boxes)
    taken: set[int] = set()
    out = []
    for row, item in zip(overlap, found.items.tolist()):
        free = [g for g in range(len(scene.garments)) if g not in taken and row[g] >= LOCATED]
        free.sort(key=lambda g: (wardrobe.LABEL_INDEX[scene.garments[g].label] != item, -row[g].item()))
        out.append(free[0] if free else -1)
        taken.update(free[:1])
    return out


def average_precision(hits: list[tuple[float, bool]], total: int) -> float:
    """Area under the interpolated precision-recall curve."""
    precisions, recalls, right = [], [], 0
    for i, (_, hit) in enumerate(sorted(hits, key=lambda h: -h[0])):
        right += hit
        precisions.append(right / (i + 1))
        recalls.append(right / total)
    area, last, best = 0.0, 0.0, 0.0
    for p, r in zip(reversed(precisions), reversed(recalls)):
        area += best * (last - r) if last else 0.0
        best, last = max(best, p), r
    return area + best * last


def every_class(
    predict: Predictor | EnginePredictor, scenery: Scenery, count: int, draw, pictures: Path | None = None
) -> dict:
    """Located, named, false boxes and AP50 with every class in one prompt."""
    items = captions.every_class()
    total = located = named = false = made = 0
    hits: dict[int, list] = {i: [] for i in range(len(items))}
    of_class = [0] * len(items)
    named_class = [0] * len(items)
    shown: list = []
    for batch in scenery.batches(count, draw):
        for scene, found in zip(batch, predict([s.picture for s in batch], [items] * len(batch))):
            made += 1
            kept = found.kept()
            pairs = pair(kept, scene)
            total += len(scene.garments)
            located += sum(g >= 0 for g in pairs)
            false += sum(g < 0 for g in pairs)
            right = [
                g >= 0 and wardrobe.LABEL_INDEX[scene.garments[g].label] == i
                for g, i in zip(pairs, kept.items.tolist())
            ]
            named += sum(right)
            for garment in scene.garments:
                of_class[wardrobe.LABEL_INDEX[garment.label]] += 1
            for g, ok in zip(pairs, right):
                if ok:
                    named_class[wardrobe.LABEL_INDEX[scene.garments[g].label]] += 1
            for label, mine in _class_hits(found.kept(0.0), scene):
                hits[label] += mine
            if pictures and len(shown) < 12:
                texts = [
                    f"{items[i].text} {s:.2f}" for i, s in zip(kept.items.tolist(), kept.scores.tolist())
                ]
                shown.append((scene.picture.float() / 255, list(zip(kept.boxes.tolist(), texts, right))))
    if pictures:
        report.sheet([p for p, _ in shown], [f for _, f in shown], pictures)
    precision = {wardrobe.LABELS[i]: average_precision(hits[i], n) for i, n in enumerate(of_class) if n}
    return {
        "scenes": made,
        "garments": total,
        "located": located / total,
        "named": named / total,
        "false boxes a scene": false / made,
        "AP50": sum(precision.values()) / len(precision),
        "AP50 by class": {k: round(v, 3) for k, v in precision.items()},
        "named by class": {
            wardrobe.LABELS[i]: round(named_class[i] / n, 3) for i, n in enumerate(of_class) if n
        },
    }


def _class_hits(found: Found, scene: Scene):
    """Per class, (score, hit) of its boxes in this scene; duplicates are misses."""
    overlap = box_iou(found.boxes, scene.boxes) if len(scene.boxes) else torch.zeros(len(found.boxes), 0)
    taken: set[int] = set()
    out: dict[int, list] = {}
    for row, item, score in zip(overlap, found.items.tolist(), found.scores.tolist()):
        mine = [
            g
            for g, x in enumerate(scene.garments)
            if g not in taken and wardrobe.LABEL_INDEX[x.label] == item and row[g] >= LOCATED
        ]
        best = max(mine, key=lambda g: row[g].item(), default=None)
        if best is not None:
            taken.add(best)
        out.setdefault(item, []).append((score, best is not None))
    return out.items()


def colours(predict: Predictor | EnginePredictor, scenery: Scenery, count: int) -> dict:
    """One colour+class phrase among garments of that class: does the best box lie on the right one?"""
    rng = random.Random(scenery.seed + 1)
    right = total = 0
    for batch in scenery.batches(count, scenery.same_class):
        batch = [s for s in batch if len(s.garments) >= 2]
        asked = [rng.randrange(len(s.garments)) for s in batch]
        prompts = [
            [captions.Item(f"{s.garments[g].colour} {wardrobe.NAMES[s.garments[g].label][0]}")]
            for s, g in zip(batch, asked)
        ]
        for scene, g, found in zip(
            batch, asked, predict([s.picture for s in batch], prompts) if batch else []
        ):
            best = found.boxes[found.scores.argmax()]
            right += box_iou(best[None], scene.boxes[g][None]).item() >= LOCATED
            total += 1
    return {"scenes": total, "right": right / total}


def absent(predict: Predictor | EnginePredictor, scenery: Scenery, count: int) -> dict:
    """A class that is not there, or a bag, asked for alone: how often does a box come back?"""
    rng = random.Random(scenery.seed + 2)
    raised = {"class": 0, "bag": 0}
    total = 0
    for batch in scenery.batches(count, scenery.any):
        prompts = []
        for scene in batch:
            there = {g.label for g in scene.garments}
            prompts.append(
                [captions.Item(wardrobe.NAMES[rng.choice([x for x in wardrobe.LABELS if x not in there])][0])]
            )
        pictures = [s.picture for s in batch]
        for kind, asked in (("class", prompts), ("bag", [[captions.Item("bag")]] * len(batch))):
            raised[kind] += sum(len(f.kept().boxes) > 0 for f in predict(pictures, asked))
        total += len(batch)
    return {"scenes": total, **{kind: n / total for kind, n in raised.items()}}


def unmet(
    predict: Predictor | EnginePredictor, scenery: Scenery, count: int, nothing: captions.Nothing
) -> dict:
    """A word or two that no prompt of the training held, asked for alone: how often does a box come back,
    and how high does the best one score?"""
    rng = random.Random(scenery.seed + 3)
    raised = total = 0
    highest = 0.0
    for batch in scenery.batches(count, scenery.any):
        for found in predict([s.picture for s in batch], [[nothing.unmet(rng)] for _ in batch]):
            raised += len(found.kept().boxes) > 0
            highest += found.scores.max().item()
        total += len(batch)
    return {"scenes": total, "raised": raised / total, "mean of the highest score": highest / total}


def photos(predict: Predictor | EnginePredictor, scenery: Scenery, limit: int) -> dict:
    """Whole photos, as they are."""
    items = captions.every_class()
    bank = scenery.bank
    located = named = 0
    chosen = scenery.photos[:limit]
    groups: dict[tuple, list[int]] = {}
    for i in chosen:
        groups.setdefault((bank.table[i].width, bank.table[i].height), []).append(i)
    for (w, h), members in groups.items():
        x, y = (data.SIDE - w) // 2, (data.SIDE - h) // 2
        for at in range(0, len(members), 8):
            part = members[at : at + 8]
            pictures = [bank.photos[i, :3, y : y + h, x : x + w] for i in part]
            for i, found in zip(part, predict(pictures, [items] * len(part))):
                garment = bank.table[i]
                kept = found.kept()
                scene = Scene(pictures[0], torch.tensor([garment.box], dtype=torch.float32), [garment])
                pairs = pair(kept, scene)
                located += any(g >= 0 for g in pairs)
                # The best box that lies on the garment has to carry its name.
                first = next((item for g, item in zip(best_on(kept, scene), kept.items.tolist()) if g), None)
                named += first == wardrobe.LABEL_INDEX[garment.label]
    return {"photos": len(chosen), "located": located / len(chosen), "named": named / len(chosen)}


def best_on(found: Found, scene: Scene) -> list[bool]:
    """Which boxes lie on the scene's first garment."""
    return (box_iou(found.boxes, scene.boxes)[:, 0] >= LOCATED).tolist() if len(found.boxes) else []


def legacy(predict: Predictor | EnginePredictor, scenery: Scenery, count: int) -> dict:
    """The old contract's categories at its threshold, 0.15: is the best box a garment of the category?
    And at 0.25, how often does a category that is not there raise one?"""
    tally = {name: [0, 0, 0, 0] for name in LEGACY}  # there, right, not there, raised
    for batch in scenery.batches(count, scenery.balanced):
        pictures = [s.picture for s in batch]
        for name, (words, labels) in LEGACY.items():
            prompt = [captions.Item(word) for word in words.split()]
            for scene, found in zip(batch, predict(pictures, [prompt] * len(batch))):
                mine = [g for g, x in enumerate(scene.garments) if x.label in labels]
                best, score = found.boxes[found.scores.argmax()], found.scores.max().item()
                t = tally[name]
                if mine:
                    t[0] += 1
                    t[1] += score >= 0.15 and (box_iou(best[None], scene.boxes[mine]) >= LOCATED).any().item()
                else:
                    t[2] += 1
                    t[3] += score >= THRESHOLD
    return {
        name: {"there": a, "right": b / a if a else None, "not there": c, "raised": d / c if c else None}
        for name, (a, b, c, d) in tally.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("models/wardrobe"))
    parser.add_argument(
        "--photos", type=Path, default=Path("../shared/garments"), help="the folder, or a packed file"
    )
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="folder for the figures and a picture of predictions")
    parser.add_argument("--engine", type=Path, help="the itemcrop binary, instead of transformers")
    parser.add_argument("--precision", default="fp32", help="the engine's")
    args = parser.parse_args()
    start = time.time()
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    predict = (
        EnginePredictor(args.engine, args.model, args.precision)
        if args.engine
        else Predictor(args.model, device)
    )
    scenery = Scenery(data.load_bank(args.photos, device, keep=lambda g: g.validation), args.seed)
    nothing = captions.Nothing(vocabulary.read(args.model / "vocab.txt"))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    n = args.scenes
    picture = args.out / "predictions.jpg" if args.out else None
    parts: dict[str, Callable[[], dict]] = {
        "scenes": lambda: every_class(predict, scenery, n, scenery.any, picture),
        "scenes, classes drawn evenly": lambda: every_class(predict, scenery, n, scenery.balanced),
        "whole photos": lambda: photos(predict, scenery, n),
        "colour and class": lambda: colours(predict, scenery, n),
        "asked for what is absent": lambda: absent(predict, scenery, n),
        "asked for what it never met": lambda: unmet(predict, scenery, n, nothing),
        "old categories": lambda: legacy(predict, scenery, n // 3),
    }
    figures: dict = {"device": device}
    for name, measure in parts.items():
        figures[name] = measure()
        print(f"{time.time() - start:.0f} s, {name}: {json.dumps(figures[name])}", flush=True)
    if args.out:
        (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
