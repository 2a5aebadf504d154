"""Pictures of scenes from their parameters: floors, blobs, shadows and garments, one Triton kernel for all.

``scenes.Composer`` draws the parameters; here they become pictures. Garments are painted front to
back, so that a pixel is touched once. The plain version is the definition, the path of CPUs and of
odd sizes, and the tests' reference; pixel by pixel in torch a batch costs as much as the detector's
backbone, in one kernel a fraction of that.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import PATCH, SIDE

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU-only install of torch
    triton = None

TILE = 16  # side of the cells of ``Painted.shares``, and of a program's tile


class Columns:
    """The columns of a table of parameters: names and widths."""

    def __init__(self, **widths: int):
        self.slices: dict[str, slice] = {}
        self.width = 0
        for name, width in widths.items():
            self.slices[name] = slice(self.width, self.width + width)
            self.width += width

    def lay(self, **values: Tensor) -> Tensor:
        """One f32 table; each value is [..., its column's width]."""
        if values.keys() != self.slices.keys():
            raise KeyError(f"columns {sorted(self.slices.keys() ^ values.keys())}")
        return torch.cat([values[name].float() for name in self.slices], -1)

    def read(self, table: Tensor, name: str) -> Tensor:
        """[rows, width, 1, 1]"""
        return table[:, self.slices[name], None, None]


# ``matrix``: 2 x 3, from the canvas to the patch, both in -1..1. ``floor``: gain of the patch. ``hue``: of
# the plain floor; ``light``: gain of the light on it. ``wave``: stripes, radians over the canvas (x, y),
# and their height. ``plain``: 1 for the plain floor, 0 for the patch. ``nodes``: 4 x 4 of the light;
# ``tints``: 3 x 3 x 3.
FLOOR = Columns(matrix=6, floor=1, hue=3, light=1, wave=3, plain=1, nodes=16, tints=27)
# A rounded rectangle: centre and half axes in shorter sides, its turn, the power of its outline, there or not.
BLOB = Columns(centre=2, axes=2, turn=2, power=1, on=1)
# ``matrix``: from the canvas to the photo, both in -1..1. ``bends``: two waves: radians (x, y), phase,
# height (x, y). ``edge``: the mask's value where the garment begins. ``whole``: 1 for a photo that is shown
# with its background, and its limits (x, y). ``shade``: of the shadow. ``paint``: 1 to repaint: light
# turned over or not, the turn of the hue (cos, sin) times its gain, tint; stripes: radians (x, y),
# share, colour. ``tone``: gains, gamma, contrast. ``there``: 1 or 0.
GARMENT = Columns(
    matrix=6,
    bends=10,
    edge=1,
    whole=3,
    shade=1,
    paint=1,
    over=1,
    turn=2,
    tint=3,
    stripe=3,
    stripe_tint=3,
    tone=5,
    there=1,
)


@dataclass
class Painted:
    """picture f32 [B, 3, H, W], of any range; shares f32 [B, K, H/16, W/16]: of each cell that shows the
    garment; extents i32 [B, K, 5]: first column and row of its mask, last of each + 1, and its area in
    pixels, all before others cover it."""

    picture: Tensor
    shares: Tensor
    extents: Tensor


def shadow(h: int, w: int) -> tuple[float, float, float]:
    """Reach of the shadow's blur and its drop to the right and down, in pixels."""
    side = min(h, w)
    return 0.013 * side, 0.010 * side, 0.012 * side


def _window(row: list[float], augment: bool, h: int, w: int) -> tuple[slice, slice]:
    """Rows and columns of the canvas outside of which a garment (a row of its table) and its shadow leave no trace."""
    at = lambda name: row[GARMENT.slices[name]]
    if not at("there")[0]:
        return slice(0, 0), slice(0, 0)
    a, b, c, d, e, f = at("matrix")
    bends = at("bends") if augment else [0.0] * 10
    far_u = 1.02 + abs(bends[3]) + abs(bends[8])
    far_v = 1.02 + abs(bends[4]) + abs(bends[9])
    det = a * e - b * d
    corners = [(u - c, v - f) for u in (-far_u, far_u) for v in (-far_v, far_v)]
    x = [((e * u - b * v) / det + 1) * w / 2 for u, v in corners]
    y = [((a * v - d * u) / det + 1) * h / 2 for u, v in corners]
    reach, right, down = shadow(h, w)
    side = lambda low, high, n: slice(max(0, min(n, int(low))), max(0, min(n, int(high) + 1)))
    return side(min(y) - reach, max(y) + reach + down, h), side(min(x) - reach, max(x) + reach + right, w)


def _paint_one(
    photos: Tensor,
    patches: Tensor,
    which: list[int],
    floors: Tensor,
    floor_patches: Tensor,
    blobs: Tensor,
    garments: Tensor,
    h: int,
    w: int,
    augment: bool,
) -> Painted:
    """One picture of ``paint_plain``'s, as a batch of one."""
    device, k = photos.device, len(which)
    x = torch.linspace(0, 1, w, device=device).view(1, 1, 1, w)
    y = torch.linspace(0, 1, h, device=device).view(1, 1, h, 1)

    def ground(layer: int) -> Tensor:
        table, get = floors[layer : layer + 1], lambda name: FLOOR.read(floors[layer : layer + 1], name)
        light_nodes, tint_nodes = (table[:, FLOOR.slices[name]] for name in ("nodes", "tints"))
        spread = lambda nodes: F.interpolate(nodes, size=(h, w), mode="bilinear", align_corners=False)
        light = spread(light_nodes.reshape(1, 1, 4, 4))
        if get("plain").item() > 0:
            wave = get("wave")
            stripes = (x * wave[:, :1] + y * wave[:, 1:2]).sin().clamp(-0.3, 0.3) * wave[:, 2:]
            return get("hue") + light * get("light") + spread(tint_nodes.reshape(1, 3, 3, 3)) + stripes
        patch = patches[floor_patches[layer]][None].float() / 255
        grid = F.affine_grid(
            table[:, FLOOR.slices["matrix"]].view(1, 2, 3), (1, 3, h, w), align_corners=False
        )
        floor = F.grid_sample(patch, grid, padding_mode="reflection", align_corners=False)
        return floor * get("floor") + light * 0.3

    reach, right, down = shadow(h, w)
    through = torch.ones(1, 1, h, w, device=device)  # what later layers let through
    free = torch.ones(1, 1, h, w, device=device)  # the same without shadows
    picture = torch.zeros(1, 3, h, w, device=device)
    shares = torch.zeros(1, k, h // TILE, w // TILE, device=device)
    extents = torch.tensor([w, h, 0, 0, 0], dtype=torch.int32, device=device).repeat(k, 1)
    for j, row in reversed(list(enumerate(garments.tolist()))):
        window = _window(row, augment, h, w)
        here = ..., *window
        if through[here].numel() == 0:
            continue
        get = lambda name: GARMENT.read(garments[j : j + 1], name)
        m = get("matrix")
        canvas_x = ((torch.arange(w, device=device)[window[1]] + 0.5) * 2 / w - 1).view(1, 1, -1)
        canvas_y = ((torch.arange(h, device=device)[window[0]] + 0.5) * 2 / h - 1).view(1, -1, 1)
        u = m[:, 0] * canvas_x + m[:, 1] * canvas_y + m[:, 2]
        v = m[:, 3] * canvas_x + m[:, 4] * canvas_y + m[:, 5]
        if augment:
            for i in (0, 5):
                bend = get("bends")[:, i : i + 5]
                wave = (bend[:, 0] * canvas_x + bend[:, 1] * canvas_y + bend[:, 2]).sin()
                u, v = u + bend[:, 3] * wave, v + bend[:, 4] * wave
        photo = photos[which[j]][None].float() / 255
        look = lambda channels, u, v: F.grid_sample(
            photo[:, channels], torch.stack([u, v], -1), align_corners=False
        )
        whole = get("whole")

        def cover(mask: Tensor, u: Tensor, v: Tensor) -> Tensor:
            inside = (u.abs() < whole[:, 1]) & (v.abs() < whole[:, 2])
            return torch.where(
                whole[:, :1] > 0, inside[:, None].float(), ((mask - get("edge")) / 0.3).clamp(0, 1)
            )

        sample = look(slice(0, 4), u, v)
        mask = sample[:, 3:]
        alpha = cover(mask, u, v)
        shade = torch.zeros_like(alpha)
        for sx, sy in ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)):
            dx, dy = (sx * reach - right) * 2 / w, (sy * reach - down) * 2 / h
            du, dv = u + m[:, 0] * dx + m[:, 1] * dy, v + m[:, 3] * dx + m[:, 4] * dy
            shade = shade + cover(look(slice(3, 4), du, dv), du, dv)
        shade = shade * 0.2 * get("shade")

        colour = sample[:, :3]
        if augment and get("paint").item() > 0:
            light = colour.mean(1, keepdim=True)
            chroma = colour - light
            light = torch.where(get("over") > 0, 1 - light, light)
            # A turn about the grey axis: cyclic sums of the channels and of their differences (Rodrigues).
            cross = (chroma.roll(1, 1) - chroma.roll(2, 1)) / 3**0.5
            turn, stripe = get("turn"), get("stripe")
            painted = (light + chroma * turn[:, :1] + cross * turn[:, 1:]) * get("tint")
            wave = (x[..., window[1]] * stripe[:, :1] + y[..., window[0], :] * stripe[:, 1:2]).sin()
            share = (wave.clamp(-0.3, 0.3) / 0.6 + 0.5) * stripe[:, 2:]
            colour = (painted * (1 - share) + light * get("stripe_tint") * share).clamp(0, 1)
        tone = get("tone")
        colour = colour * tone[:, :3]
        if augment:
            colour = (colour.clamp(1e-3, 1) ** tone[:, 3:4] - 0.5) * tone[:, 4:] + 0.5
        picture[here] += through[here] * alpha * colour.clamp(0, 1)
        seen = torch.zeros(1, 1, h, w, device=device)
        seen[here] = mask * free[here]
        shares[:, j] = F.avg_pool2d(seen, TILE)[:, 0]
        through[here] *= (1 - shade * (1 - alpha)) * (1 - alpha)
        free[here] *= 1 - alpha

        rows, columns = (mask[0, 0] > 0.5).nonzero(as_tuple=True)
        if len(rows):
            top, left = window[0].start, window[1].start
            edges = left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1
            extents[j] = torch.tensor([*edges, len(rows)])
    base = ground(0)
    if augment:
        for i in range(2):
            get = lambda name: BLOB.read(blobs[i : i + 1], name)
            if not get("on").item():
                continue
            centre, axes, turn = get("centre"), get("axes"), get("turn")
            dx, dy = x * w / min(h, w) - centre[:, :1], y * h / min(h, w) - centre[:, 1:]
            across = ((dx * turn[:, :1] + dy * turn[:, 1:]).abs() / axes[:, :1]).clamp(1e-6, 2)
            upward = ((dy * turn[:, :1] - dx * turn[:, 1:]).abs() / axes[:, 1:]).clamp(1e-6, 2)
            inside = ((1 - across ** get("power") - upward ** get("power")) * 4).clamp(0, 1)
            base = base * (1 - inside) + ground(1 + i) * inside
    return Painted(picture + through * base, shares, extents[None])


def paint_plain(
    photos: Tensor,
    patches: Tensor,
    which: Tensor,
    floors: Tensor,
    floor_patches: Tensor,
    blobs: Tensor,
    garments: Tensor,
    h: int,
    w: int,
    augment: bool = True,
) -> Painted:
    """photos u8 [N, 4, SIDE, SIDE], patches u8 [P, 3, PATCH, PATCH], which i64 [B, K], floors f32
    [B, 3, FLOOR] (of the canvas and of the two blobs), floor_patches i64 [B, 3], blobs f32 [B, 2, BLOB],
    garments f32 [B, K, GARMENT]. Without ``augment`` blobs, bends, paint and tones but gains are left out."""
    each = [
        _paint_one(photos, patches, a, *tables, h, w, augment)
        for a, *tables in zip(which.tolist(), floors, floor_patches, blobs, garments)
    ]
    return Painted(
        torch.cat([p.picture for p in each]),
        torch.cat([p.shares for p in each]),
        torch.cat([p.extents for p in each]),
    )


if triton is not None:
    F_MATRIX, F_FLOOR, F_HUE, F_LIGHT, F_WAVE, F_PLAIN, F_NODES, F_TINTS = (
        tl.constexpr(s.start) for s in FLOOR.slices.values()
    )
    B_CENTRE, B_AXES, B_TURN, B_POWER, B_ON = (tl.constexpr(s.start) for s in BLOB.slices.values())
    (
        G_MATRIX,
        G_BENDS,
        G_EDGE,
        G_WHOLE,
        G_SHADE,
        G_PAINT,
        G_OVER,
        G_TURN,
        G_TINT,
        G_STRIPE,
        G_STRIPE_TINT,
        G_TONE,
        G_THERE,
    ) = (tl.constexpr(s.start) for s in GARMENT.slices.values())
    FLOOR_WIDTH, BLOB_WIDTH, GARMENT_WIDTH = (tl.constexpr(c.width) for c in (FLOOR, BLOB, GARMENT))
    CELL, PHOTO_SIDE, PATCH_SIDE = tl.constexpr(TILE), tl.constexpr(SIDE), tl.constexpr(PATCH)

    @triton.jit
    def _unit(x):
        return tl.minimum(tl.maximum(x, 0.0), 1.0)

    @triton.jit
    def _power(x, y):
        return tl.exp2(y * tl.log2(x))

    @triton.jit
    def _texel(base, x, y):
        inside = (x >= 0) & (x < PHOTO_SIDE) & (y >= 0) & (y < PHOTO_SIDE)
        return tl.load(base + y * PHOTO_SIDE + x, mask=inside, other=0).to(tl.float32)

    @triton.jit
    def _look(base, u, v):
        """One channel of a photo at u, v in -1..1; nothing beyond its sides."""
        x, y = ((u + 1) * PHOTO_SIDE - 1) * 0.5, ((v + 1) * PHOTO_SIDE - 1) * 0.5
        left, top = tl.floor(x), tl.floor(y)
        fx, fy = x - left, y - top
        # Far coordinates would overflow as integers.
        left = tl.minimum(tl.maximum(left, -2.0), PHOTO_SIDE + 1.0).to(tl.int32)
        top = tl.minimum(tl.maximum(top, -2.0), PHOTO_SIDE + 1.0).to(tl.int32)
        upper = _texel(base, left, top) * (1 - fx) + _texel(base, left + 1, top) * fx
        lower = _texel(base, left, top + 1) * (1 - fx) + _texel(base, left + 1, top + 1) * fx
        return (upper * (1 - fy) + lower * fy) * (1.0 / 255)

    @triton.jit
    def _reflect(u):
        """A patch's coordinate in -1..1, mirrored at its sides, in pixels."""
        t = tl.abs(((u + 1) * PATCH_SIDE - 1) * 0.5 + 0.5)
        t = t - tl.floor(t / (2 * PATCH_SIDE)) * (2 * PATCH_SIDE)
        t = tl.where(t > PATCH_SIDE, 2 * PATCH_SIDE - t, t) - 0.5
        return tl.minimum(tl.maximum(t, 0.0), PATCH_SIDE - 1.0)

    @triton.jit
    def _mirror(base, x, y):
        """One channel of a patch at pixel coordinates inside it."""
        left, top = tl.floor(x), tl.floor(y)
        fx, fy = x - left, y - top
        left, top = left.to(tl.int32), top.to(tl.int32)
        right, below = tl.minimum(left + 1, PATCH_SIDE - 1), tl.minimum(top + 1, PATCH_SIDE - 1)
        upper = tl.load(base + top * PATCH_SIDE + left).to(tl.float32) * (1 - fx)
        upper += tl.load(base + top * PATCH_SIDE + right).to(tl.float32) * fx
        lower = tl.load(base + below * PATCH_SIDE + left).to(tl.float32) * (1 - fx)
        lower += tl.load(base + below * PATCH_SIDE + right).to(tl.float32) * fx
        return (upper * (1 - fy) + lower * fy) * (1.0 / 255)

    @triton.jit
    def _spread(nodes, fx, fy, N: tl.constexpr):
        """N x N nodes stretched over the canvas, at fx, fy in 0..1."""
        x, y = tl.maximum(fx * N - 0.5, 0.0), tl.maximum(fy * N - 0.5, 0.0)
        left, top = tl.floor(x), tl.floor(y)
        x, y = x - left, y - top
        left, top = left.to(tl.int32), top.to(tl.int32)
        right, below = tl.minimum(left + 1, N - 1), tl.minimum(top + 1, N - 1)
        upper = tl.load(nodes + top * N + left) * (1 - x) + tl.load(nodes + top * N + right) * x
        lower = tl.load(nodes + below * N + left) * (1 - x) + tl.load(nodes + below * N + right) * x
        return upper * (1 - y) + lower * y

    @triton.jit
    def _ground(row, patch, cx, cy, x, y):
        """A floor; cx, cy in -1..1 at pixel centres, x, y in 0..1 from the first pixel to the last."""
        fx, fy = (cx + 1) * 0.5, (cy + 1) * 0.5
        light = _spread(row + F_NODES, fx, fy, 4)
        if tl.load(row + F_PLAIN) > 0:
            wave = tl.sin(x * tl.load(row + F_WAVE) + y * tl.load(row + F_WAVE + 1))
            base = light * tl.load(row + F_LIGHT) + tl.minimum(tl.maximum(wave, -0.3), 0.3) * tl.load(
                row + F_WAVE + 2
            )
            r = base + tl.load(row + F_HUE) + _spread(row + F_TINTS, fx, fy, 3)
            g = base + tl.load(row + F_HUE + 1) + _spread(row + F_TINTS + 9, fx, fy, 3)
            b = base + tl.load(row + F_HUE + 2) + _spread(row + F_TINTS + 18, fx, fy, 3)
        else:
            m = row + F_MATRIX
            u = _reflect(tl.load(m) * cx + tl.load(m + 1) * cy + tl.load(m + 2))
            v = _reflect(tl.load(m + 3) * cx + tl.load(m + 4) * cy + tl.load(m + 5))
            gain = tl.load(row + F_FLOOR)
            r = _mirror(patch, u, v) * gain + light * 0.3
            g = _mirror(patch + PATCH_SIDE * PATCH_SIDE, u, v) * gain + light * 0.3
            b = _mirror(patch + 2 * PATCH_SIDE * PATCH_SIDE, u, v) * gain + light * 0.3
        return r, g, b

    @triton.jit
    def _cover(row, mask, u, v):
        """How much of a pixel the garment (or its whole photo) covers."""
        inside = (tl.abs(u) < tl.load(row + G_WHOLE + 1)) & (tl.abs(v) < tl.load(row + G_WHOLE + 2))
        soft = _unit((mask - tl.load(row + G_EDGE)) / 0.3)
        return tl.where(tl.load(row + G_WHOLE) > 0, inside.to(tl.float32), soft)

    @triton.jit(do_not_specialize=["height", "width", "reach", "right", "down"])
    def _paint_kernel(
        photos,
        patches,
        which,
        floors,
        floor_patches,
        blobs,
        garments,
        picture,
        shares,
        extents,
        height,
        width,
        reach,
        right,
        down,
        K: tl.constexpr,
        AUGMENT: tl.constexpr,
    ):
        """One program: one cell of one picture."""
        cell, image = tl.program_id(0), tl.program_id(1)
        cells = width // CELL
        column, row = cell % cells, cell // cells
        i = tl.arange(0, CELL * CELL)
        px, py = column * CELL + i % CELL, row * CELL + i // CELL
        cx, cy = (px + 0.5) * 2 / width - 1, (py + 0.5) * 2 / height - 1
        x, y = px / (width - 1), py / (height - 1)
        middle_x, middle_y = (column + 0.5) * CELL * 2 / width - 1, (row + 0.5) * CELL * 2 / height - 1
        far_x, far_y = (CELL * 0.5 + reach + right) * 2 / width, (CELL * 0.5 + reach + down) * 2 / height

        through = tl.full((CELL * CELL,), 1.0, tl.float32)
        free = tl.full((CELL * CELL,), 1.0, tl.float32)
        red = tl.zeros((CELL * CELL,), tl.float32)
        green = tl.zeros((CELL * CELL,), tl.float32)
        blue = tl.zeros((CELL * CELL,), tl.float32)
        for step in range(K):
            slot = image * K + K - 1 - step
            p = garments + slot * GARMENT_WIDTH
            m00, m01, m02 = tl.load(p + G_MATRIX), tl.load(p + G_MATRIX + 1), tl.load(p + G_MATRIX + 2)
            m10, m11, m12 = tl.load(p + G_MATRIX + 3), tl.load(p + G_MATRIX + 4), tl.load(p + G_MATRIX + 5)
            # Most cells are far from most garments.
            slack_u = tl.abs(m00) * far_x + tl.abs(m01) * far_y + 1.02
            slack_v = tl.abs(m10) * far_x + tl.abs(m11) * far_y + 1.02
            if AUGMENT:
                slack_u += tl.abs(tl.load(p + G_BENDS + 3)) + tl.abs(tl.load(p + G_BENDS + 8))
                slack_v += tl.abs(tl.load(p + G_BENDS + 4)) + tl.abs(tl.load(p + G_BENDS + 9))
            near = (tl.load(p + G_THERE) > 0) & (tl.abs(m00 * middle_x + m01 * middle_y + m02) < slack_u)
            if near & (tl.abs(m10 * middle_x + m11 * middle_y + m12) < slack_v):
                u, v = m00 * cx + m01 * cy + m02, m10 * cx + m11 * cy + m12
                if AUGMENT:
                    for k in tl.static_range(2):
                        bend = p + G_BENDS + 5 * k
                        wave = tl.sin(tl.load(bend) * cx + tl.load(bend + 1) * cy + tl.load(bend + 2))
                        u += tl.load(bend + 3) * wave
                        v += tl.load(bend + 4) * wave
                photo = photos + tl.load(which + slot) * (4 * PHOTO_SIDE * PHOTO_SIDE)
                veil = photo + 3 * PHOTO_SIDE * PHOTO_SIDE
                mask = _look(veil, u, v)
                alpha = _cover(p, mask, u, v)
                shade = tl.zeros((CELL * CELL,), tl.float32)
                for tap in tl.static_range(5):
                    sx = 0 if tap == 0 else (1 if tap % 2 == 0 else -1)
                    sy = 0 if tap == 0 else (1 if tap > 2 else -1)
                    dx, dy = (sx * reach - right) * 2 / width, (sy * reach - down) * 2 / height
                    du, dv = u + m00 * dx + m01 * dy, v + m10 * dx + m11 * dy
                    shade += _cover(p, _look(veil, du, dv), du, dv)
                shade = shade * 0.2 * tl.load(p + G_SHADE)

                r = _look(photo, u, v)
                g = _look(photo + PHOTO_SIDE * PHOTO_SIDE, u, v)
                b = _look(photo + 2 * PHOTO_SIDE * PHOTO_SIDE, u, v)
                if AUGMENT:
                    if tl.load(p + G_PAINT) > 0:
                        light = (r + g + b) / 3
                        cos, sin = tl.load(p + G_TURN), tl.load(p + G_TURN + 1) * 0.5773502691896258
                        base = tl.where(tl.load(p + G_OVER) > 0, 1 - light, light)
                        wave = tl.sin(x * tl.load(p + G_STRIPE) + y * tl.load(p + G_STRIPE + 1))
                        share = (tl.minimum(tl.maximum(wave, -0.3), 0.3) / 0.6 + 0.5) * tl.load(
                            p + G_STRIPE + 2
                        )
                        nr = (base + (r - light) * cos + (b - g) * sin) * tl.load(p + G_TINT)
                        ng = (base + (g - light) * cos + (r - b) * sin) * tl.load(p + G_TINT + 1)
                        nb = (base + (b - light) * cos + (g - r) * sin) * tl.load(p + G_TINT + 2)
                        r = _unit(nr * (1 - share) + base * tl.load(p + G_STRIPE_TINT) * share)
                        g = _unit(ng * (1 - share) + base * tl.load(p + G_STRIPE_TINT + 1) * share)
                        b = _unit(nb * (1 - share) + base * tl.load(p + G_STRIPE_TINT + 2) * share)
                tone = p + G_TONE
                r, g, b = r * tl.load(tone), g * tl.load(tone + 1), b * tl.load(tone + 2)
                if AUGMENT:
                    gamma, contrast = tl.load(tone + 3), tl.load(tone + 4)
                    r = (_power(tl.maximum(tl.minimum(r, 1.0), 1e-3), gamma) - 0.5) * contrast + 0.5
                    g = (_power(tl.maximum(tl.minimum(g, 1.0), 1e-3), gamma) - 0.5) * contrast + 0.5
                    b = (_power(tl.maximum(tl.minimum(b, 1.0), 1e-3), gamma) - 0.5) * contrast + 0.5
                red += through * alpha * _unit(r)
                green += through * alpha * _unit(g)
                blue += through * alpha * _unit(b)
                share_of_cell = tl.sum(mask * free, 0) / (CELL * CELL)
                tl.store(shares + slot * cells * (height // CELL) + cell, share_of_cell)
                through = through * (1 - shade * (1 - alpha)) * (1 - alpha)
                free = free * (1 - alpha)
                solid = mask > 0.5
                area = tl.sum(solid.to(tl.int32), 0)
                if area > 0:
                    e = extents + slot * 5
                    tl.atomic_min(e, tl.min(tl.where(solid, px, width), 0))
                    tl.atomic_min(e + 1, tl.min(tl.where(solid, py, height), 0))
                    tl.atomic_max(e + 2, tl.max(tl.where(solid, px + 1, 0), 0))
                    tl.atomic_max(e + 3, tl.max(tl.where(solid, py + 1, 0), 0))
                    tl.atomic_add(e + 4, area)
        floor = floors + image * 3 * FLOOR_WIDTH
        patch = patches + tl.load(floor_patches + image * 3) * (3 * PATCH_SIDE * PATCH_SIDE)
        r, g, b = _ground(floor, patch, cx, cy, x, y)
        if AUGMENT:
            short = tl.minimum(width, height)
            for k in range(2):
                q = blobs + (image * 2 + k) * BLOB_WIDTH
                if tl.load(q + B_ON) > 0:
                    dx, dy = (
                        x * width / short - tl.load(q + B_CENTRE),
                        y * height / short - tl.load(q + B_CENTRE + 1),
                    )
                    cos, sin, power = tl.load(q + B_TURN), tl.load(q + B_TURN + 1), tl.load(q + B_POWER)
                    over = tl.minimum(
                        tl.maximum(tl.abs(dx * cos + dy * sin) / tl.load(q + B_AXES), 1e-6), 2.0
                    )
                    up = tl.minimum(
                        tl.maximum(tl.abs(dy * cos - dx * sin) / tl.load(q + B_AXES + 1), 1e-6), 2.0
                    )
                    inside = _unit((1 - _power(over, power) - _power(up, power)) * 4)
                    patch = patches + tl.load(floor_patches + image * 3 + 1 + k) * (
                        3 * PATCH_SIDE * PATCH_SIDE
                    )
                    br, bg, bb = _ground(floor + (1 + k) * FLOOR_WIDTH, patch, cx, cy, x, y)
                    r, g, b = r + (br - r) * inside, g + (bg - g) * inside, b + (bb - b) * inside
        plane = height * width
        out = picture + (image * 3).to(tl.int64) * plane + py * width + px
        tl.store(out, red + through * r)
        tl.store(out + plane, green + through * g)
        tl.store(out + 2 * plane, blue + through * b)


def paint_tiles(
    photos: Tensor,
    patches: Tensor,
    which: Tensor,
    floors: Tensor,
    floor_patches: Tensor,
    blobs: Tensor,
    garments: Tensor,
    h: int,
    w: int,
    augment: bool = True,
) -> Painted:
    """``paint_plain`` by the kernel; the canvas is a multiple of TILE each way."""
    b, k = which.shape
    picture = torch.empty(b, 3, h, w, device=photos.device)
    shares = torch.zeros(b, k, h // TILE, w // TILE, device=photos.device)
    extents = torch.zeros(b, k, 5, dtype=torch.int32, device=photos.device)
    extents[..., 0].fill_(w)
    extents[..., 1].fill_(h)
    _paint_kernel[(h // TILE * (w // TILE), b)](
        photos,
        patches,
        which.contiguous(),
        floors.contiguous(),
        floor_patches.contiguous(),
        blobs.contiguous(),
        garments.contiguous(),
        picture,
        shares,
        extents,
        h,
        w,
        *shadow(h, w),
        K=k,
        AUGMENT=augment,
    )
    return Painted(picture, shares, extents)


def paint(photos: Tensor, *tables: Tensor, h: int, w: int, augment: bool = True) -> Painted:
    """By the kernel on a GPU where the canvas fits its tiles; the arguments of ``paint_plain``."""
    tiles = triton is not None and photos.is_cuda and h % TILE == 0 and w % TILE == 0
    return (paint_tiles if tiles else paint_plain)(photos, *tables, h, w, augment)
