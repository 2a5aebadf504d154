#!/usr/bin/env python3
"""Draws and lights the sample photo: garments laid on a wooden floor, seen from above.

Everything is drawn by this program; no photo is read. Deterministic for given versions of numpy,
scipy and Pillow.

    python3 scripts/make_sample.py examples/wardrobe.jpg
"""

import argparse
import itertools

import numpy as np
from PIL import Image
from sample_scene import garments
from sample_scene.cloth import SCALE, value_noise
from scipy import ndimage

WIDTH, HEIGHT = 1200, 900
JPEG_QUALITY = 90

# What lies where: drawing, centre x and y in pixels of the photo, turn in degrees, size.
LAYOUT = (
    (garments.tshirt, 245, 225, -5.0, 0.98),
    (garments.dress, 640, 285, 3.0, 0.76),
    (garments.hat, 985, 195, 7.0, 0.92),
    (garments.jeans, 240, 660, 5.0, 0.63),
    (garments.shorts, 610, 735, -4.0, 0.98),
    (garments.shoes, 985, 640, 10.0, 1.05),
)


def floor(rng):
    """Oak boards running across the photo, with grain, knots and joints."""
    shape = (HEIGHT * SCALE, WIDTH * SCALE)
    image = np.zeros((*shape, 3))
    board = 118 * SCALE
    for top in range(0, shape[0], board):
        rows = min(board, shape[0] - top)
        cuts = [0, int(rng.uniform(0.25, 0.75) * shape[1]), shape[1]]
        for left, right in itertools.pairwise(cuts):
            size = (rows, right - left)
            y = np.arange(rows)[:, None] / SCALE
            bend = value_noise(size, (70 * SCALE, 420 * SCALE), rng) * 22
            rings = np.sin((y + bend) * rng.uniform(0.35, 0.6)) * 0.5 + 0.5
            fibres = value_noise(size, (1.6 * SCALE, 60 * SCALE), rng)
            pores = np.clip(value_noise(size, (1.2 * SCALE, 14 * SCALE), rng) - 1.2, 0, 1)
            base = np.array((0.62, 0.49, 0.36)) * rng.uniform(0.90, 1.08)
            tone = 1 + 0.07 * (rings - 0.5) + 0.035 * fibres - 0.22 * pores
            piece = base * tone[..., None]
            piece[-SCALE:] *= 0.55
            piece[:SCALE] *= 1.06
            piece[:, -SCALE:] *= 0.6
            image[top : top + rows, left:right] = piece
    return image


def placed(layer, scale, degrees, centre):
    """A canvas turned, sized and moved into the photo's frame."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    target = np.array(centre[::-1]) * SCALE
    source = (np.array(layer.shape[:2]) - 1) / 2
    offset = source - turn @ target
    shape = (HEIGHT * SCALE, WIDTH * SCALE)

    def move(plane):
        return ndimage.affine_transform(plane, turn, offset, shape, order=1)

    return move(layer) if layer.ndim == 2 else np.stack([move(p) for p in np.moveaxis(layer, 2, 0)], -1)


def crumple(layer, rng):
    """Bends a canvas a little, so that no outline is perfectly symmetrical."""
    shape = layer.shape[:2]
    bend = [value_noise(shape, 150 * SCALE, rng) * 3.5 * SCALE for _ in range(2)]
    y, x = np.mgrid[: shape[0], : shape[1]]
    where = [y + bend[0], x + bend[1]]
    planes = np.moveaxis(np.atleast_3d(layer), 2, 0)
    return np.stack([ndimage.map_coordinates(p, where, order=1) for p in planes], -1)


def photograph(scene, rng):
    """What a phone adds: light falling off, a soft lens, warm white balance, noise."""
    y, x = np.mgrid[-1 : 1 : scene.shape[0] * 1j, -1 : 1 : scene.shape[1] * 1j]
    scene = scene * (1.12 - 0.09 * x - 0.08 * y - 0.06 * (x**2 + y**2))[..., None]
    scene = ndimage.gaussian_filter(scene, (0.5 * SCALE, 0.5 * SCALE, 0))
    small = scene.reshape(HEIGHT, SCALE, WIDTH, SCALE, 3).mean((1, 3))
    noise = ndimage.gaussian_filter(rng.standard_normal(small.shape), (0.6, 0.6, 0)) * 0.016
    return np.clip(small * (1.03, 1.0, 0.96) + noise, 0, 1)


def draw(seed=7):
    rng = np.random.default_rng(seed)
    scene = floor(rng)
    for garment, x, y, degrees, scale in LAYOUT:
        rgb, alpha = garment().lit()
        layer = crumple(np.dstack([rgb * alpha[..., None], alpha]), rng)
        layer = placed(layer, scale, degrees, (x, y))
        colour, cover = layer[..., :3], layer[..., 3]
        contact = ndimage.shift(ndimage.gaussian_filter(cover, 3 * SCALE), 2 * SCALE, order=1)
        soft = ndimage.shift(ndimage.gaussian_filter(cover, 13 * SCALE), 8 * SCALE, order=1)
        scene *= (1 - 0.45 * contact)[..., None] * (1 - 0.32 * soft)[..., None]
        scene = scene * (1 - cover[..., None]) + colour
    return photograph(scene, rng)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", help="the JPEG to write")
    arguments = parser.parse_args()
    pixels = np.round(draw() * 255).astype(np.uint8)
    Image.fromarray(pixels).save(arguments.output, quality=JPEG_QUALITY, optimize=True)


if __name__ == "__main__":
    main()
