"""Scenes: planned on the CPU (which photos, what is asked), composed on the device.

``Planner`` draws plans in worker processes; ``compose`` turns a batch of them into pictures and
boxes with no transfer back to the host.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training import captions, painting, wardrobe
from training.data import SIDE, Bank, Garment

FLAT, PHOTO = 0, 1  # kinds of scene: cut-outs on a floor, or one whole photo that fills the frame


@dataclass
class PlannerConfig:
    """How often each kind of scene is drawn, and how hard the rare classes are favoured."""

    slots: int = 6  # most garments in a scene
    tokens: int = 80  # prompt length, padded
    photo: float = 0.2
    same_class: float = 0.18
    empty: float = 0.015
    class_power: float = 0.5  # a class is drawn in proportion to count ** power
    recolour: float = 0.5  # share of garments painted anew, in scenes whose prompt names no colour


class Planner:
    """Endless source of scene plans over the given photos; one per worker, each with its own seed."""

    def __init__(
        self, table: list[Garment], indices: list[int], tokenizer: captions.Tokenizer, config: PlannerConfig
    ):
        self.table, self.tokenizer, self.config = table, tokenizer, config
        self.nothing = captions.Nothing(tokenizer.ids)
        self.by_label: dict[str, list[int]] = {}
        for i in indices:
            self.by_label.setdefault(table[i].label, []).append(i)
        self.labels = list(self.by_label)
        self.weights = [len(self.by_label[label]) ** config.class_power for label in self.labels]
        self.by_colour = {label: self._group_colours(photos) for label, photos in self.by_label.items()}

    def _group_colours(self, photos: list[int]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for i in photos:
            if self.table[i].colour not in ("", "patterned"):
                groups.setdefault(self.table[i].colour, []).append(i)
        return groups

    def draw(self, rng: random.Random) -> int:
        label = rng.choices(self.labels, self.weights)[0]
        return rng.choice(self.by_label[label])

    def same_class(self, rng: random.Random, count: int) -> list[int]:
        """Garments of one class in colours that nobody mixes up."""
        label = rng.choices(self.labels, self.weights)[0]
        colours = list(self.by_colour[label])
        rng.shuffle(colours)
        chosen: list[str] = []
        for colour in colours:
            if len(chosen) < count and not any(wardrobe.colours_clash(colour, c) for c in chosen):
                chosen.append(colour)
        return [rng.choice(self.by_colour[label][c]) for c in chosen] or [self.draw(rng)]

    def photos(self, rng: random.Random) -> tuple[list[int], int]:
        """The photos of one scene and the kind of scene."""
        config, kind = self.config, rng.random()
        if kind < config.photo:
            return [self.draw(rng) for _ in range(1 + (rng.random() < 0.12))], PHOTO
        if kind < config.photo + config.same_class:
            chosen = self.same_class(rng, rng.randint(2, 4))
            chosen += [self.draw(rng) for _ in range(rng.randint(0, 2))]
            return chosen[: config.slots], FLAT
        if kind < config.photo + config.same_class + config.empty:
            return [], FLAT
        return [self.draw(rng) for _ in range(rng.randint(1, config.slots))], FLAT

    def batch(self, rng: random.Random, size: int) -> dict[str, Tensor]:
        """photos i64 [B, K], present and recolour bool [B, K], kind i64 [B], ids i64 [B, T], answers i8 [B, K, T],
        covers bool [B, T, labels], label and colour i64 [B, K] (colour -1 where it is unknown or will change)."""
        slots, tokens = self.config.slots, self.config.tokens
        photos = np.zeros((size, slots), np.int64)
        present = np.zeros((size, slots), bool)
        kind = np.zeros(size, np.int64)
        ids = np.zeros((size, tokens), np.int64)
        recolour = np.zeros((size, slots), bool)
        answers = np.zeros((size, slots, tokens), np.int8)
        covers = np.zeros((size, tokens, len(wardrobe.LABELS)), bool)
        label = np.zeros((size, slots), np.int64)
        colour = np.full((size, slots), -1, np.int64)
        for b in range(size):
            chosen, kind[b] = self.photos(rng)
            garments = [self.table[i] for i in chosen]
            items = captions.sample_items(garments, rng, self.nothing)
            prompt = captions.build(self.tokenizer, items, garments, tokens)
            n = len(chosen)
            photos[b, :n], present[b, :n] = chosen, True
            # Only where no item asks for a colour: then it must not tell the class.
            if not any(item.colour for item in items):
                recolour[b, :n] = [rng.random() < self.config.recolour for _ in chosen]
            ids[b], answers[b, :n], covers[b] = prompt.ids, prompt.answers, prompt.covers
            label[b, :n] = [wardrobe.LABEL_INDEX[g.label] for g in garments]
            colour[b, :n] = [wardrobe.COLOUR_INDEX.get(g.colour, -1) for g in garments]
        colour[recolour] = -1
        arrays = dict(
            photos=photos,
            present=present,
            recolour=recolour,
            kind=kind,
            ids=ids,
            answers=answers,
            covers=covers,
            label=label,
            colour=colour,
        )
        return {name: torch.from_numpy(a) for name, a in arrays.items()}


class PlanStream(torch.utils.data.IterableDataset):
    """Batches for ``DataLoader`` workers: plans of seed + worker, in step with nothing else."""

    def __init__(self, planner: Planner, batch: int, seed: int):
        self.planner, self.size, self.seed = planner, batch, seed

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1009 + (worker.id if worker else 0))
        while True:
            yield self.planner.batch(rng, self.size)


@dataclass
class Scenes:
    """pictures f32 [B, 3, H, W] in 0..1; boxes f32 [B, K, 4] cx cy w h in 0..1; ok bool [B, K]: the
    garment is there and enough of it can be seen; masks f16 [B, K, H/16, W/16], its visible share."""

    pictures: Tensor
    boxes: Tensor
    ok: Tensor
    masks: Tensor


class Composer:
    """Draws batches of scenes on the bank's device, with a random generator of its own."""

    def __init__(self, bank: Bank, validation: bool, seed: int, augment: bool = True):
        self.bank, self.augment = bank, augment
        self.device = bank.photos.device
        self.patches = bank.patches[bank.patch_validation == validation]
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self._constants: dict[tuple, Tensor] = {}

    def constant(self, *values: float) -> Tensor:
        """A small f32 tensor, sent to the device once: a CUDA graph cannot hold the transfer."""
        if values not in self._constants:
            self._constants[values] = torch.tensor(values, device=self.device, dtype=torch.float32)
        return self._constants[values]

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self.device, generator=self.generator)

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device, generator=self.generator)

    def chance(self, probability: float, *shape: int) -> Tensor:
        return self.rand(*shape) < probability

    def among(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * self.rand(*shape)

    # -- floors ----------------------------------------------------------------------------------
    def _floors(self, b: int, h: int, w: int) -> tuple[Tensor, Tensor]:
        """Parameters of mirrored floor patches, plain walls, soft gradients or stripes, for the canvas and for
        two blobs: f32 [b, 3, FLOOR] and which patches, i64 [b, 3]."""
        n = b, 3
        zoom, angle = self.among(2.5, 8.5, *n) * max(h, w) / 320, self.rand(*n) * 6.283
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        along, down = w / max(h, w), h / max(h, w)
        matrix = torch.stack(
            [cos * along, -sin * down, self.rand(*n) * 4, sin * along, cos * down, self.rand(*n) * 4], -1
        )
        level = self.rand(*n, 1)
        # Most plain backgrounds are near white or grey paper; the rest have any colour.
        hue = torch.where(self.chance(0.5, *n, 1), self.rand(*n, 3), level + 0.05 * self.randn(*n, 3))
        hue = torch.where(self.chance(0.35, *n, 1), 0.88 + 0.12 * level + 0.015 * self.randn(*n, 3), hue)
        turn, pace = self.rand(*n) * 6.283, self.among(20, 140, *n)
        height = 0.4 * self.rand(*n) * self.chance(0.2, *n)
        tints = (self.rand(*n, 27) - 0.5) * 0.3 * self.rand(*n, 1) * self.chance(0.3, *n, 1)
        table = painting.FLOOR.lay(
            matrix=matrix,
            floor=self.among(0.7, 1.3, *n, 1),
            hue=hue,
            light=0.5 * self.rand(*n, 1),
            wave=torch.stack([turn.cos() * pace, turn.sin() * pace, height], -1),
            plain=self.chance(0.5, *n, 1),
            nodes=self.rand(*n, 16) - 0.5,
            tints=tints,
        )
        return table, torch.randint(len(self.patches), n, device=self.device, generator=self.generator)

    def _blobs(self, b: int, h: int, w: int) -> Tensor:
        """A few rounded blobs of floor or paint: things that nobody asks for. f32 [b, 2, BLOB]"""
        turn = self.rand(b, 2) * 3.14
        return painting.BLOB.lay(
            centre=self.rand(b, 2, 2) * self.constant(w, h) / min(h, w),
            axes=self.among(0.02, 0.15, b, 2, 2),
            turn=torch.stack([turn.cos(), turn.sin()], -1),
            power=self.among(2, 8, b, 2, 1),
            on=self.chance(0.25, b, 2, 1),
        )

    # -- where everything goes ------------------------------------------------------------------
    def _layout(self, half: Tensor, present: Tensor, h: int, w: int) -> Tensor:
        """Centres [B, K, 2] in pixels: the least overlapping of 24 random tries."""
        b, k = present.shape
        canvas = self.constant(w, h)
        inner = half.clamp(max=0.5 * canvas * 0.98)
        tries = inner[None] + self.rand(24, b, k, 2) * (canvas - 2 * inner)[None]
        gap = (tries[:, :, :, None] - tries[:, :, None]).abs()
        reach = half[None, :, :, None] + half[None, :, None]
        both = (present[:, :, None] & present[:, None]) & ~torch.eye(k, dtype=torch.bool, device=self.device)
        overlap = ((reach - gap).clamp(min=0).prod(-1) * both).sum((-1, -2))
        best = overlap.argmin(0)
        return tries[best, torch.arange(b, device=self.device)]

    def _place(self, photos: Tensor, present: Tensor, kind: Tensor, h: int, w: int):
        """Per garment: inverse affine map from canvas to photo, both normalised; f32 [B, K, 2, 3]."""
        b, k = photos.shape
        bank, side = self.bank, min(h, w)
        mean = (h * w) ** 0.5
        count = present.sum(1, keepdim=True).clamp(min=1).float()
        base = mean * (0.95 / count.sqrt()).clamp(max=0.85)
        share = 0.42 + 0.58 * self.rand(b, k)
        share = torch.where(
            self.chance(0.12, b, 1), share * (0.35 + 0.4 * self.rand(b, 1)), share
        )  # small garments
        length = (base * share).clamp(max=0.95 * side)
        extent = bank.extent[photos]
        scale = length / extent.amax(-1)
        angle = self.randn(b, k) * 0.18
        if self.augment:
            angle = torch.where(
                self.chance(0.1, b, k), (self.rand(b, k) - 0.5) * 6.283, angle.clamp(-0.7, 0.7)
            )
        flip = torch.where(self.chance(0.5, b, k), -1.0, 1.0)
        stretch = 1 + (
            0.24 * (self.rand(b, k) - 0.5) if self.augment else torch.zeros(b, k, device=self.device)
        )
        shear = (
            0.12 * self.randn(b, k).clamp(-2, 2) if self.augment else torch.zeros(b, k, device=self.device)
        )

        whole = kind == PHOTO
        size = bank.size[photos[:, 0]]
        fit = self.constant(w, h) / size
        # From the photo with a margin around it to a photo cropped by the frame.
        fill = fit.amin(-1) * (0.85 + 0.3 * self.rand(b))
        fill = torch.where(
            self.chance(0.6, b), fit.amin(-1) + (fit.amax(-1) - fit.amin(-1)) * self.rand(b), fill
        )
        fill = torch.where(self.chance(0.25, b), fill * (0.6 + 0.4 * self.rand(b)), fill)
        first = torch.arange(k, device=self.device)[None] == 0
        first = first & whole[:, None]
        scale = torch.where(first, fill[:, None], scale)
        angle = torch.where(first, angle.clamp(-0.5, 0.5) * 0.3, angle)
        shear = torch.where(first, shear * 0.3, shear)

        half = extent * scale[..., None] / 2
        centre = self._layout(half, present, h, w)
        middle = self.constant(w / 2, h / 2)
        nudge = (self.rand(b, 1, 2) - 0.5) * 0.12 * side
        centre = torch.where(first[..., None], middle + nudge, centre)
        anchor = torch.where(
            first[..., None], torch.full_like(bank.centre[photos], SIDE / 2), bank.centre[photos]
        )

        cos, sin = angle.cos(), angle.sin()
        sx, sy = stretch.sqrt() / scale, 1 / (stretch.sqrt() * scale)
        inverse = torch.stack(
            [
                torch.stack([flip * (cos + shear * sin) * sx, flip * (sin - shear * cos) * sx], -1),
                torch.stack([-sin * sy, cos * sy], -1),
            ],
            -2,
        )  # canvas pixels -> photo pixels
        shift = torch.einsum("bkij,bkj->bki", inverse, middle - centre) + anchor
        canvas = self.constant(w, h)
        return torch.cat([inverse * canvas / SIDE, (shift * 2 / SIDE - 1)[..., None]], -1)

    # -- how a garment looks ---------------------------------------------------------------------
    def _garments(
        self, photos: Tensor, present: Tensor, kind: Tensor, maps: Tensor, recolour: Tensor | None
    ) -> Tensor:
        """f32 [B, K, GARMENT] of the placed garments (maps [B, K, 2, 3])."""
        n = photos.shape
        nothing, one = torch.zeros(*n, 1, device=self.device), torch.ones(*n, 1, device=self.device)
        whole = ((kind == PHOTO)[:, None] & (torch.arange(n[1], device=self.device) == 0))[..., None]
        limit = self.bank.size[photos] / SIDE - 1.5 / SIDE  # the photo's share of its square canvas
        # Two soft waves move a garment's points by a few hundredths of the photo.
        waves = [
            (self.among(-5, 5, *n, 2), 6.283 * self.rand(*n, 1), self.randn(*n, 2).clamp(-2, 2))
            for _ in range(2)
        ]
        height = 0.04 * self.rand(*n, 1) * self.chance(0.7, *n, 1)
        bends = torch.cat([part for pace, phase, way in waves for part in (pace, phase, way * height)], -1)
        # Another hue, tint and lightness, some with stripes: what is left is the cut, which is what names a
        # garment. ``tone`` changes the light alone, and leaves the colour word true.
        hue, chroma = self.rand(*n) * 6.283, 1.5 * self.rand(*n)
        tint = torch.where(self.chance(0.6, *n, 1), self.among(0.35, 1.25, *n, 3), one)
        lean, pace = self.rand(*n) * 6.283, self.among(60, 300, *n)
        stripe = self.rand(*n) * self.chance(0.15, *n)
        gain = self.among(0.8, 1.2, *n, 1) * (1 + 0.05 * self.randn(*n, 3).clamp(-2, 2) * self.augment)
        return painting.GARMENT.lay(
            matrix=maps.flatten(2),
            bends=bends,
            edge=self.among(0.25, 0.55, *n, 1) if self.augment else 0.4 * one,
            whole=torch.cat([whole, limit], -1),
            shade=0.5 * self.rand(*n, 1),
            paint=nothing if recolour is None else recolour[..., None],
            over=self.chance(0.2, *n, 1),
            turn=torch.stack([hue.cos() * chroma, hue.sin() * chroma], -1),
            tint=tint,
            stripe=torch.stack([lean.cos() * pace, lean.sin() * pace, stripe], -1),
            stripe_tint=1.4 * self.rand(*n, 3),
            tone=torch.cat([gain, self.among(0.8, 1.25, *n, 1), self.among(0.8, 1.2, *n, 1)], -1),
            there=present[..., None],
        )

    @torch.no_grad()
    def compose(
        self, photos: Tensor, present: Tensor, kind: Tensor, h: int, w: int, recolour: Tensor | None = None
    ) -> Scenes:
        """Scenes of h x w pixels from photos i64 [B, K], present and recolour (default: none) bool [B, K], kind [B]."""
        b = len(photos)
        floors, patches = self._floors(b, h, w)
        maps = self._place(photos, present, kind, h, w)
        garments = self._garments(photos, present, kind, maps, recolour)
        painted = painting.paint(
            self.bank.photos,
            self.patches,
            photos,
            floors,
            patches,
            self._blobs(b, h, w),
            garments,
            h=h,
            w=w,
            augment=self.augment,
        )
        x0, y0, x1, y1, area = painted.extents.float().unbind(-1)
        boxes = torch.stack([(x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h], -1)
        seen = painted.shares.sum((2, 3)) * painting.TILE**2 / area.clamp(min=1)
        ok = present & (seen > 0.35) & (area > 0.0012 * h * w)
        boxes = torch.where(ok[..., None], boxes, self.constant(0.5, 0.5, 0.1, 0.1))
        return Scenes(self._finish(painted.picture), boxes, ok, painted.shares.half())

    def _finish(self, picture: Tensor) -> Tensor:
        """The camera: exposure, noise, a little blur."""
        b = len(picture)
        picture = picture * (0.88 + 0.24 * self.rand(b, 1, 1, 1)) + (self.rand(b, 1, 1, 1) - 0.5) * 0.08
        if self.augment:
            blurred = F.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
            amount = self.rand(b, 1, 1, 1) * self.chance(0.3, b, 1, 1, 1)
            picture = picture + (blurred - picture) * amount
            noise = self.randn(*picture.shape)
            picture = picture + noise * 0.04 * self.rand(b, 1, 1, 1) * self.chance(0.6, b, 1, 1, 1)
        return picture.clamp(0, 1)
