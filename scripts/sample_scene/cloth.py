"""Cloth as layers of colour and height: panels, folds, seams, weave, then light.

Lengths are in canvas units (1 unit = `SCALE` drawn pixels); heights are in the same units.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SCALE = 2
LIGHT = np.array([-0.42, -0.50, 0.76])


def mirrored(half, centre):
    """A closed outline from its left half, given top to bottom, and the x of its axis."""
    other = [(2 * centre - p[0], *p[1:]) for p in reversed(half) if p[0] != centre]
    return list(half) + other


def smooth(points, closed=True):
    """Catmull-Rom through the points; a third element marks a sharp corner."""
    count = len(points)
    xy = np.array([p[:2] for p in points], float)
    corner = [len(p) > 2 for p in points]
    out = []
    for i in range(count if closed else count - 1):
        j = (i + 1) % count
        before = xy[i] if corner[i] or (not closed and i == 0) else xy[i - 1]
        after = xy[j] if corner[j] or (not closed and j == count - 1) else xy[(j + 1) % count]
        a, b = (xy[j] - before) / 2, (after - xy[i]) / 2
        t = np.linspace(0, 1, 16, endpoint=False)[:, None]
        out.append(
            (2 * t**3 - 3 * t**2 + 1) * xy[i]
            + (t**3 - 2 * t**2 + t) * a
            + (-2 * t**3 + 3 * t**2) * xy[j]
            + (t**3 - t**2) * b
        )
    if not closed:
        out.append(xy[-1:])
    return np.concatenate(out)


def value_noise(shape, size, rng):
    """Smooth noise in about [-1, 1]; `size` is its wavelength in pixels, or (down, across)."""
    down, across = size if isinstance(size, tuple) else (size, size)
    grid = rng.standard_normal((int(shape[0] / down) + 4, int(shape[1] / across) + 4))
    y = np.arange(shape[0])[:, None] / down + rng.random()
    x = np.arange(shape[1])[None, :] / across + rng.random()
    y, x = np.broadcast_arrays(y, x)
    return ndimage.map_coordinates(grid, [y, x], order=3, mode="reflect", prefilter=True)


class Cloth:
    """One garment on a canvas of its own."""

    def __init__(self, width, height, seed):
        self.rng = np.random.default_rng(seed)
        self.shape = (height * SCALE, width * SCALE)
        self.alpha = np.zeros(self.shape)
        self.albedo = np.zeros((*self.shape, 3))
        self.height = np.zeros(self.shape)
        self.grain = np.zeros(self.shape)
        self.spots = []

    def mask(self, outline):
        image = Image.new("L", self.shape[::-1])
        ImageDraw.Draw(image).polygon([tuple(p * SCALE) for p in outline], fill=255)
        return ndimage.gaussian_filter(np.asarray(image) / 255.0, 0.7)

    def distance(self, path):
        """Distance of every pixel to a polyline, and the nearest point's share of its length."""
        pixels = np.ones(self.shape, bool)
        share = np.zeros(self.shape)
        steps = np.hypot(*np.diff(path, axis=0).T)
        dense = [
            a + (b - a) * t
            for a, b, s in zip(path, path[1:], steps)
            for t in np.linspace(0, 1, max(2, int(s * SCALE * 1.5)))
        ]
        for i, p in enumerate(dense):
            x, y = (p * SCALE).astype(int)
            if 0 <= x < self.shape[1] and 0 <= y < self.shape[0]:
                pixels[y, x] = False
                share[y, x] = i / len(dense)
        far, nearest = ndimage.distance_transform_edt(pixels, return_indices=True)
        return far / SCALE, share[nearest[0], nearest[1]]

    def panel(self, points, colour, lift=3.0, round_edge=7.0, closed=True):
        """A piece of cloth laid over what is there, thicker inside than at its edge."""
        outline = smooth(points, closed)
        mask = self.mask(outline)
        inside = ndimage.distance_transform_edt(mask > 0.5) / SCALE
        rise = lift * (0.35 + 0.65 * (1 - np.exp(-inside / round_edge)))
        self.height = self.height * (1 - mask) + (self.height * 0.6 + rise) * mask
        self.albedo = self.albedo * (1 - mask[..., None]) + np.array(colour) * mask[..., None]
        self.alpha = np.maximum(self.alpha, mask)
        return mask

    def paint(self, mask, colour, strength=1.0):
        mask = (mask * strength)[..., None]
        self.albedo = self.albedo * (1 - mask) + np.array(colour) * mask

    def print_spots(self):
        """Prints the collected (outline, colour) spots on the cloth in one go."""
        image = Image.fromarray((self.albedo * 255).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        for outline, colour in self.spots:
            draw.polygon([tuple(p * SCALE) for p in outline], fill=tuple(int(255 * c) for c in colour))
        self.albedo = np.asarray(image) / 255.0
        self.spots.clear()

    def fold(self, points, depth, width, taper=True):
        """A soft ridge (depth > 0) or valley along a line, fading towards both ends."""
        far, share = self.distance(smooth(points, closed=False))
        fade = np.sin(np.pi * np.clip(share, 0.03, 0.97)) ** 0.7 if taper else 1.0
        wobble = 1 + 0.35 * value_noise(self.shape, 60, self.rng)
        self.height += depth * fade * np.exp(-((far / (width * wobble.clip(0.5))) ** 2))

    def folds(self, *lines):
        for points, depth, width in lines:
            self.fold(points, depth, width)

    def seam(self, points, depth=0.9, width=1.1, stitch=None, offset=0.0, closed=False):
        """A sewn groove, with puckers beside it and, if a colour is given, dashed stitches."""
        path = smooth(points, closed)
        far, share = self.distance(path)
        length = np.hypot(*np.diff(path, axis=0).T).sum()
        self.height -= depth * np.exp(-((far / width) ** 2))
        pucker = value_noise(self.shape, (9, 9), self.rng) * np.exp(-((far / 6) ** 2))
        self.height += 0.35 * depth * pucker
        if stitch is not None:
            dash = (np.sin(share * length / 4.2 * 2 * np.pi) > -0.35).astype(float)
            self.paint(np.exp(-(((far - offset) / 0.75) ** 2)) * dash, stitch, 0.8)

    def wrinkles(self, strength, down, across, angle=0.0, octaves=2):
        """Ridged noise, longer one way than the other: the creases of worn cloth."""
        total = np.zeros(self.shape)
        for octave in range(octaves):
            scale = 0.5**octave
            noise = value_noise(self.shape, (down * scale * SCALE, across * scale * SCALE), self.rng)
            warp = value_noise(self.shape, 90 * SCALE, self.rng)
            ridged = 1 - np.abs(noise + 0.4 * warp)
            if angle:
                ridged = ndimage.rotate(ridged, angle, reshape=False, mode="reflect", order=1)
            total += ridged * scale
        self.height += strength * ndimage.gaussian_filter(total, 1.2 * SCALE)

    def weave(self, kind, strength):
        """Fine relief and colour: 'knit', 'denim', 'canvas', 'straw' or 'leather'."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]] / SCALE
        speck = self.rng.standard_normal(self.shape)
        if kind == "knit":
            pattern = np.sin(x * 2.6) * 0.5 + ndimage.gaussian_filter(speck, (1.5, 0.6)) * 1.4
        elif kind == "denim":
            pattern = np.sin((x + y * 1.6) * 1.9) * 0.5 + ndimage.gaussian_filter(speck, 0.6) * 1.6
        elif kind == "canvas":
            pattern = np.sin(x * 2.1) * 0.4 + np.sin(y * 2.1) * 0.4 + speck * 0.4
        elif kind == "straw":
            pattern = np.sin(x * 1.1) * np.sin(y * 1.1) * 1.2 + speck * 0.4
        else:
            pattern = ndimage.gaussian_filter(speck, 1.5) * 2.5
        self.grain += strength * pattern

    def lit(self):
        """RGB in linear light, and alpha."""
        # Blurred within the cloth only: the drop at its outline is the shadow's business.
        soft = [ndimage.gaussian_filter(p, 0.9 * SCALE) for p in (self.height * self.alpha, self.alpha)]
        height = SCALE * soft[0] / np.maximum(soft[1], 0.02)
        dy, dx = np.gradient(height)
        normal = np.stack([-dx, -dy, np.ones_like(dx)], -1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        direct = np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, None)
        hollow = np.clip(ndimage.gaussian_filter(height, 9 * SCALE) - height, 0, 12) / 12
        shade = (0.38 + 0.82 * direct) * (1 - 0.45 * hollow)
        rgb = self.albedo * shade[..., None] * (1 + self.grain)[..., None]
        sky = np.array([0.96, 1.0, 1.06])
        return np.clip(rgb * (sky + (1 - sky) * direct[..., None]), 0, 1), self.alpha
