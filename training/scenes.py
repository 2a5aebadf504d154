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

from training import captions, wardrobe
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

    def __init__(self, table: list[Garment], indices: list[int], tokenizer: captions.Tokenizer, config: PlannerConfig):
        self.table, self.tokenizer, self.config = table, tokenizer, config
        self.nothing = captions.Nothing(tokenizer.ids)
        self.by_label: dict[str, list[int]] = {}
        for i in indices:
            self.by_label.setdefault(table[i].label, []).append(i)
        self.labels = list(self.by_label)
        self.weights = [len(self.by_label[label]) ** config.class_power for label in self.labels]
        self.by_colour = {
            label: self._group_colours(photos) for label, photos in self.by_label.items()
        }

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
            photos=photos, present=present, recolour=recolour, kind=kind, ids=ids, answers=answers, covers=covers,
            label=label, colour=colour,
        )  # fmt: skip
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
        # grid_sample in half precision is wrong on the CPU (torch 2.11); on the GPU it halves the traffic.
        self.sample_dtype = torch.half if self.device.type == "cuda" else torch.float
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

    # -- backgrounds ---------------------------------------------------------------------------
    def background(self, b: int, h: int, w: int) -> Tensor:
        """Mirrored floor patches, plain walls, soft gradients or stripes; [b, 3, h, w]."""
        pick = torch.randint(len(self.patches), (b,), device=self.device, generator=self.generator)
        patch = self.patches[pick].to(self.sample_dtype) / 255
        zoom = 2.5 + self.rand(b) * 6 * max(h, w) / 320
        angle = self.rand(b) * 6.283
        aspect = self.constant(w, h) / max(h, w)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        matrix = torch.stack(
            [
                torch.stack([cos * aspect[0], -sin * aspect[1], self.rand(b) * 4], -1),
                torch.stack([sin * aspect[0], cos * aspect[1], self.rand(b) * 4], -1),
            ],
            1,
        )
        grid = F.affine_grid(matrix, (b, 3, h, w), align_corners=False).to(self.sample_dtype)
        floor = F.grid_sample(patch, grid, padding_mode="reflection", align_corners=False)

        level = self.rand(b, 1, 1, 1)
        # Most plain backgrounds are near white or grey paper; the rest have any colour.
        hue = torch.where(self.chance(0.5, b, 1, 1, 1), self.rand(b, 3, 1, 1), level + 0.05 * self.randn(b, 3, 1, 1))
        hue = torch.where(self.chance(0.35, b, 1, 1, 1), 0.88 + 0.12 * level + 0.015 * self.randn(b, 3, 1, 1), hue)
        light = F.interpolate(self.rand(b, 1, 4, 4) - 0.5, size=(h, w), mode="bilinear", align_corners=False)
        tint = F.interpolate(self.rand(b, 3, 3, 3) - 0.5, size=(h, w), mode="bilinear", align_corners=False)
        plain = hue + light * 0.5 * self.rand(b, 1, 1, 1) + tint * 0.3 * self.rand(b, 1, 1, 1) * self.chance(0.3, b, 1, 1, 1)
        x = torch.linspace(0, 1, w, device=self.device)[None, None, None]
        y = torch.linspace(0, 1, h, device=self.device)[None, None, :, None]
        turn = self.rand(b, 1, 1, 1) * 6.283
        wave = ((x * turn.cos() + y * turn.sin()) * (20 + 120 * self.rand(b, 1, 1, 1))).sin()
        plain = plain + wave.clamp(-0.3, 0.3) * 0.4 * self.rand(b, 1, 1, 1) * self.chance(0.2, b, 1, 1, 1)
        floor = floor.float() * (0.7 + 0.6 * self.rand(b, 1, 1, 1)) + light * 0.3
        return torch.where(self.chance(0.5, b, 1, 1, 1), plain, floor)

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
        share = torch.where(self.chance(0.12, b, 1), share * (0.35 + 0.4 * self.rand(b, 1)), share)  # small garments
        length = (base * share).clamp(max=0.95 * side)
        extent = bank.extent[photos]
        scale = length / extent.amax(-1)
        angle = self.randn(b, k) * 0.18
        if self.augment:
            angle = torch.where(self.chance(0.1, b, k), (self.rand(b, k) - 0.5) * 6.283, angle.clamp(-0.7, 0.7))
        flip = torch.where(self.chance(0.5, b, k), -1.0, 1.0)
        stretch = 1 + (0.24 * (self.rand(b, k) - 0.5) if self.augment else torch.zeros(b, k, device=self.device))
        shear = 0.12 * self.randn(b, k).clamp(-2, 2) if self.augment else torch.zeros(b, k, device=self.device)

        whole = kind == PHOTO
        size = bank.size[photos[:, 0]]
        fit = self.constant(w, h) / size
        # From the photo with a margin around it to a photo cropped by the frame.
        fill = fit.amin(-1) * (0.85 + 0.3 * self.rand(b))
        fill = torch.where(self.chance(0.6, b), fit.amin(-1) + (fit.amax(-1) - fit.amin(-1)) * self.rand(b), fill)
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
        anchor = torch.where(first[..., None], torch.full_like(bank.centre[photos], SIDE / 2), bank.centre[photos])

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

    # -- one garment over the picture ------------------------------------------------------------
    def _repaint(self, colour: Tensor, chosen: Tensor) -> Tensor:
        """Another hue, tint and lightness for the chosen [b] garments, some with stripes: what is left
        is the cut, which is what names a garment."""
        b, _, h, w = colour.shape
        light = colour.mean(1, keepdim=True)
        light = torch.where(self.chance(0.2, b, 1, 1, 1), 1 - light, light)
        chroma = colour - colour.mean(1, keepdim=True)
        # A turn about the grey axis: cyclic sums of the channels and of their differences (Rodrigues).
        turn = self.rand(b, 1, 1, 1) * 6.283
        cross = (chroma.roll(1, 1) - chroma.roll(2, 1)) / 3**0.5
        chroma = (chroma * turn.cos() + cross * turn.sin()) * 1.5 * self.rand(b, 1, 1, 1)
        tint = (0.35 + 0.9 * self.rand(b, 3, 1, 1)) * self.chance(0.6, b, 1, 1, 1)
        painted = (light + chroma) * torch.where(tint > 0, tint, 1.0)
        x = torch.linspace(0, 1, w, device=self.device)[None, None, None]
        y = torch.linspace(0, 1, h, device=self.device)[None, None, :, None]
        lean, pace = self.rand(b, 1, 1, 1) * 6.283, 60 + 240 * self.rand(b, 1, 1, 1)
        stripe = ((x * lean.cos() + y * lean.sin()) * pace).sin().clamp(-0.3, 0.3) / 0.6 + 0.5
        stripe = stripe * self.rand(b, 1, 1, 1) * self.chance(0.15, b, 1, 1, 1)
        painted = painted * (1 - stripe) + light * self.rand(b, 3, 1, 1) * 1.4 * stripe
        return torch.where(chosen[:, None, None, None], painted.clamp(0, 1), colour)

    def _bend(self, grid: Tensor) -> Tensor:
        """Soft displacements of some sampling grids [b, h, w, 2], a few hundredths of the photo."""
        b, h, w, _ = grid.shape
        nodes = self.randn(b, 2, 5, 5).clamp(-2, 2) * 0.045 * self.rand(b, 1, 1, 1) * self.chance(0.7, b, 1, 1, 1)
        return grid + F.interpolate(nodes, size=(h, w), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)

    def _tone(self, colour: Tensor) -> Tensor:
        """Light changes that leave the colour word true."""
        b = len(colour)
        gain = 0.8 + 0.4 * self.rand(b, 1, 1, 1)
        if not self.augment:
            return (colour * gain).clamp(0, 1)
        gain = gain * (1 + 0.05 * self.randn(b, 3, 1, 1).clamp(-2, 2))
        colour = (colour * gain).clamp(1e-3, 1) ** (0.8 + 0.45 * self.rand(b, 1, 1, 1))
        contrast = 0.8 + 0.4 * self.rand(b, 1, 1, 1)
        mean = colour.mean((1, 2, 3), keepdim=True)
        return ((colour - mean) * contrast + mean).clamp(0, 1)

    def _distractors(self, picture: Tensor) -> Tensor:
        """A few rounded blobs of floor or paint: things that nobody asks for."""
        b, _, h, w = picture.shape
        x = torch.linspace(0, w / min(h, w), w, device=self.device)[None, None, None]
        y = torch.linspace(0, h / min(h, w), h, device=self.device)[None, None, :, None]
        for _ in range(2):
            cx, cy = self.rand(b, 1, 1, 1) * w / min(h, w), self.rand(b, 1, 1, 1) * h / min(h, w)
            rx, ry = 0.02 + 0.13 * self.rand(b, 1, 1, 1), 0.02 + 0.13 * self.rand(b, 1, 1, 1)
            turn = self.rand(b, 1, 1, 1) * 3.14
            dx, dy = x - cx, y - cy
            u = (dx * turn.cos() + dy * turn.sin()).abs() / rx
            v = (dy * turn.cos() - dx * turn.sin()).abs() / ry
            power = 2 + 6 * self.rand(b, 1, 1, 1)
            inside = ((1 - u.clamp(max=2) ** power - v.clamp(max=2) ** power) * 4).clamp(0, 1)
            inside = inside * self.chance(0.25, b, 1, 1, 1)
            picture = picture * (1 - inside) + self.background(b, h, w) * inside
        return picture

    @torch.no_grad()
    def compose(
        self, photos: Tensor, present: Tensor, kind: Tensor, h: int, w: int, recolour: Tensor | None = None
    ) -> Scenes:
        """Scenes of h x w pixels from photos i64 [B, K], present and recolour (default: none) bool [B, K], kind [B]."""
        b, k = photos.shape
        picture = self.background(b, h, w)
        if self.augment:
            picture = self._distractors(picture)
        maps = self._place(photos, present, kind, h, w)
        xs = torch.arange(w, device=self.device, dtype=torch.float32)
        ys = torch.arange(h, device=self.device, dtype=torch.float32)
        boxes, areas, visible = [], [], []
        limit = self.bank.size / SIDE  # the photo's share of its square canvas
        soft = max(3, int(min(h, w) * 0.04) | 1)
        drop = (max(1, int(min(h, w) * 0.012)), max(1, int(min(h, w) * 0.010)))
        for j in range(k):
            grid = F.affine_grid(maps[:, j], (b, 4, h, w), align_corners=False)
            if self.augment:
                grid = self._bend(grid)
            photo = self.bank.photos[photos[:, j]].to(self.sample_dtype) / 255
            sample = F.grid_sample(photo, grid.to(self.sample_dtype), align_corners=False).float()
            on = present[:, j, None, None, None].float()
            mask = sample[:, 3:4] * on
            edge = 0.25 + 0.3 * self.rand(b, 1, 1, 1) if self.augment else 0.4
            alpha = ((mask - edge) / 0.3).clamp(0, 1)
            if j == 0:
                inside = (grid.abs() < (limit[photos[:, 0]] - 1.5 / SIDE)[:, None, None]).all(-1)[:, None].float() * on
                whole = (kind == PHOTO)[:, None, None, None]
                alpha = torch.where(whole, inside, alpha)
            # A box filter in two passes: on the CPU one pass would cost most of the scene's time.
            shade = F.avg_pool2d(alpha, (soft, 1), 1, (soft // 2, 0), count_include_pad=False)
            shade = F.avg_pool2d(shade, (1, soft), 1, (0, soft // 2), count_include_pad=False).roll(drop, (2, 3))
            shade = shade * 0.5 * self.rand(b, 1, 1, 1)
            picture = picture * (1 - shade * (1 - alpha))
            colour = sample[:, :3] if recolour is None else self._repaint(sample[:, :3], recolour[:, j])
            picture = picture * (1 - alpha) + self._tone(colour) * alpha
            visible = [v * (1 - alpha) for v in visible] + [mask]
            solid = mask[:, 0] > 0.5
            columns, rows = solid.any(1), solid.any(2)
            x0 = torch.where(columns, xs, w).amin(1)
            x1 = torch.where(columns, xs + 1, 0).amax(1)
            y0 = torch.where(rows, ys, h).amin(1)
            y1 = torch.where(rows, ys + 1, 0).amax(1)
            boxes.append(torch.stack([(x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h], -1))
            areas.append(solid.float().sum((1, 2)))
        area = torch.stack(areas, 1)
        boxes = torch.stack(boxes, 1)
        shares = torch.cat([F.avg_pool2d(v, 16) for v in visible], 1)  # [B, K, h/16, w/16]
        seen = shares.sum((2, 3)) * 256 / area.clamp(min=1)
        ok = present & (seen > 0.35) & (area > 0.0012 * h * w)
        boxes = torch.where(ok[..., None], boxes, self.constant(0.5, 0.5, 0.1, 0.1))
        return Scenes(self._finish(picture), boxes, ok, shares.half())

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
