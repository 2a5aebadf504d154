"""The garments of the sample photo, each drawn laid flat on a canvas of its own."""

import numpy as np

from .cloth import Cloth, mirrored, smooth

C = True  # marks a sharp corner of an outline


def path(text):
    """Points from "x,y x,y! ...", where ! marks a sharp corner."""
    return [
        (*map(float, point.rstrip("!").split(",")), *([True] if point.endswith("!") else []))
        for point in text.split()
    ]


def both(points, centre):
    """A line and its mirror image."""
    return [points, [(2 * centre - p[0], *p[1:]) for p in points]]


def disc(x, y, radius):
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    return (x, y) + radius * np.hstack([np.cos(turn), np.sin(turn)])


def belt_loop(cloth, x, y, colour):
    corners = [(x - 4, y, C), (x + 4, y, C), (x + 4, y + 30, C), (x - 4, y + 30, C)]
    cloth.panel(corners, colour, lift=2, round_edge=2)


def scattered(rng, width, height, spacing):
    """Points of a staggered grid, each moved a little."""
    for row, y in enumerate(np.arange(spacing / 2, height, spacing * 0.8)):
        for x in np.arange(spacing / 2 * (1 + row % 2), width, spacing):
            yield x + rng.normal(0, spacing * 0.12), y + rng.normal(0, spacing * 0.12)


def tshirt():
    cloth = Cloth(480, 420, seed=11)
    blue, dark, thread = (0.47, 0.60, 0.72), (0.27, 0.36, 0.46), (0.36, 0.48, 0.60)
    mid = 240
    cloth.panel(path("192,42! 216,30 240,28 264,30 288,42! 280,70 240,98 200,70"), dark, lift=1)
    cloth.paint(cloth.mask(smooth(path("228,40! 252,40! 252,54! 228,54!"))), (0.9, 0.9, 0.88))
    for sleeve in both(path("128,62! 88,90 52,140! 78,166 108,180! 118,168 132,152!"), mid):
        cloth.panel(sleeve, blue, lift=4)
    body = mirrored(
        path("240,84 208,72 188,38! 156,50 126,62! 130,110 122,170 120,270 116,382! 176,390 240,391"),
        mid,
    )
    cloth.panel(body, blue, lift=5)
    rim = path("188,40 206,70 240,85 274,70 292,40")
    cloth.seam(path("180,42 200,79 240,96 280,79 300,42"), depth=1.1, stitch=thread)
    cloth.fold(rim, 1.6, 4.0, taper=False)
    for line in both(path("59,132 84,156 113,171"), mid):
        cloth.seam(line, 0.9, stitch=thread)
    for line in both(path("127,62 134,108 130,164"), mid):
        cloth.seam(line, 0.8)
    cloth.seam(path("116,370 176,378 240,379 304,378 364,370"), 0.9, stitch=thread)
    cloth.paint(cloth.mask(disc(240, 200, 56)), (0.85, 0.45, 0.20))
    mountains = path("186,210! 215,170 240,198 262,156 294,210!")
    cloth.paint(cloth.mask(smooth(mountains)), (0.93, 0.90, 0.82))
    cloth.folds(
        (path("134,166 172,182 210,232"), 3.0, 8),
        (path("346,166 312,200 270,250"), 2.8, 8),
        (path("138,180 160,240 158,330"), 2.4, 9),
        (path("342,200 328,262 332,360"), 2.6, 9),
        (path("216,250 206,320 212,388"), 2.2, 10),
        (path("272,280 278,330 270,388"), 2.0, 9),
        (path("60,130 92,150 126,160"), 2.2, 6),
        (path("420,128 388,150 354,162"), 2.2, 6),
        (path("150,70 172,100 180,140"), 1.6, 8),
        (path("240,100 236,140 244,176"), 1.2, 12),
    )
    cloth.wrinkles(2.2, 70, 34)
    cloth.weave("knit", 0.035)
    return cloth


def jeans():
    cloth = Cloth(300, 740, seed=23)
    denim, dark, thread = (0.20, 0.28, 0.42), (0.11, 0.15, 0.24), (0.72, 0.52, 0.26)
    mid = 150
    cloth.panel(path("66,22! 150,14 234,22! 230,44 150,52 70,44"), dark, lift=1)
    for leg in both(
        path(
            "60,30! 150,40! 152,170! 142,230 134,400 128,560 124,716! 84,722 44,716! 40,560 38,400"
            " 36,240 46,120"
        ),
        mid,
    ):
        cloth.panel(leg, denim, lift=7, round_edge=16)
    for fade in both(path("92,150 86,300 84,420 86,560"), mid):
        far, share = cloth.distance(smooth(fade, closed=False))
        cloth.paint(
            np.exp(-((far / 30) ** 2)) * np.sin(np.pi * share.clip(0.02, 0.98)),
            (0.42, 0.52, 0.66),
            0.75,
        )
    band = path("58,28! 100,37 150,40 200,37 242,28! 245,50! 200,59 150,62 100,59 55,50!")
    cloth.panel(band, (0.19, 0.27, 0.41), lift=2, round_edge=3)
    cloth.seam(path("56,47 100,56 150,59 200,56 244,47"), 0.7, stitch=thread)
    cloth.seam(path("58,32 100,41 150,44 200,41 242,32"), 0.4, stitch=thread)
    for x, y in ((84, 31), (216, 31), (122, 36), (178, 36)):
        belt_loop(cloth, x, y, denim)
    cloth.seam(path("150,62! 151,120 150,178"), 1.6, width=1.6)
    cloth.seam(path("166,62 167,110 162,136 151,150"), 0.6, stitch=thread)
    for line in both(path("104,60 98,84 78,98 46,100"), mid):
        cloth.seam(line, 1.3, width=1.5, stitch=thread)
    for line in both(path("150,176 141,240 132,400 126,560 121,714"), mid):
        cloth.seam(line, 0.8)
    for line in both(path("44,702 84,708 125,702"), mid):
        cloth.seam(line, 0.9, stitch=thread)
    button = smooth(path("145,47 150,44 155,49 152,55 146,53"))
    cloth.paint(cloth.mask(button), (0.66, 0.56, 0.40))
    cloth.folds(
        (path("148,176 116,190 74,186"), 3.0, 7),
        (path("152,178 188,196 228,190"), 3.0, 7),
        (path("146,190 112,222 62,232"), 2.6, 8),
        (path("156,192 190,226 240,236"), 2.6, 8),
        (path("50,370 88,384 130,374"), 2.6, 8),
        (path("172,392 210,380 256,396"), 2.6, 8),
        (path("44,410 90,408 128,424"), 2.2, 7),
        (path("174,430 216,424 256,436"), 2.2, 7),
        (path("50,610 86,628 122,616"), 2.0, 8),
        (path("180,622 216,612 254,630"), 2.0, 8),
        (path("60,480 72,560 66,640"), 1.8, 10),
        (path("232,300 226,380 236,470"), 1.8, 10),
    )
    cloth.wrinkles(2.6, 60, 40)
    cloth.weave("denim", 0.06)
    return cloth


def dress():
    cloth = Cloth(380, 700, seed=37)
    red, dark = (0.78, 0.25, 0.24), (0.42, 0.11, 0.12)
    mid = 190
    cloth.panel(path("142,30! 160,52 190,60 220,52 238,30! 236,96 190,118 144,96"), dark, lift=1)
    bodice = mirrored(
        path("190,106 160,92 146,26! 116,24! 112,70 98,116 86,140! 100,200 112,262! 150,270 190,272"),
        mid,
    )
    skirt = mirrored(path("190,258 150,256 111,250! 92,340 62,470 26,640! 70,664 130,672 190,676"), mid)
    cloth.panel(skirt, red, lift=5, round_edge=14)
    cloth.panel(bodice, red, lift=4)
    belt = path("110,246! 150,254 190,256 230,254 270,246! 271,268! 230,275 190,277 150,275 109,268!")
    cloth.panel(belt, (0.60, 0.17, 0.17), lift=2.2, round_edge=3)
    for x, y in scattered(cloth.rng, 380, 700, 30):
        if 236 < y < 286:
            continue
        for turn in range(5):
            angle = turn * 2 * np.pi / 5 + x
            cloth.spots.append((disc(x + 4 * np.cos(angle), y + 4 * np.sin(angle), 3.2), (0.95, 0.88, 0.80)))
        cloth.spots.append((disc(x, y, 2.2), (0.93, 0.72, 0.30)))
    cloth.print_spots()
    for line in both(path("144,30 157,94 190,110"), mid):
        cloth.seam(line, 0.8)
    for line in both(path("117,28 116,72 102,118 89,142"), mid):
        cloth.seam(line, 0.8)
    cloth.seam(path("30,628 70,652 130,660 190,664 250,660 310,652 350,628"), 0.9, stitch=(0.6, 0.17, 0.17))
    for top, bottom, depth in (
        (128, 62, 5.0),
        (146, 108, 4.0),
        (164, 140, 4.6),
        (184, 176, 4.2),
        (202, 214, 4.6),
        (222, 252, 4.2),
        (240, 292, 4.6),
        (256, 328, 4.0),
    ):
        cloth.fold(
            [
                (top, 272),
                ((top * 2 + bottom) / 3 + 3, 400),
                ((top + 2 * bottom) / 3 - 3, 540),
                (bottom, 668),
            ],
            depth,
            11,
            taper=False,
        )
    cloth.folds(
        (path("100,146 140,168 168,210"), 2.4, 7),
        (path("280,146 242,174 214,214"), 2.4, 7),
        (path("118,236 150,214 180,180"), 2.0, 7),
        (path("262,238 236,216 204,196"), 2.0, 7),
    )
    cloth.wrinkles(1.8, 80, 26)
    cloth.weave("canvas", 0.03)
    return cloth


def shorts():
    cloth = Cloth(340, 280, seed=41)
    green, dark, thread = (0.33, 0.46, 0.38), (0.19, 0.27, 0.22), (0.72, 0.74, 0.62)
    mid = 170
    cloth.panel(path("74,24! 170,14 266,24! 262,46 170,54 78,46"), dark, lift=1)
    for leg in both(path("70,32! 170,44! 172,164! 162,250! 92,262 22,240! 38,170 56,100"), mid):
        cloth.panel(leg, green, lift=6, round_edge=12)
    band = path("68,28! 120,40 170,43 220,40 272,28! 276,54! 220,66 170,69 120,66 64,54!")
    cloth.panel(band, (0.31, 0.44, 0.36), lift=2, round_edge=3)
    cloth.seam(path("65,50 120,62 170,65 220,62 275,50"), 0.7, stitch=thread)
    for x, y in ((98, 34), (242, 34), (138, 40), (202, 40)):
        belt_loop(cloth, x, y, green)
    cloth.seam(path("170,69! 171,120 171,180"), 1.5, width=1.6)
    cloth.seam(path("188,69 188,118 184,140 172,152"), 0.6, stitch=thread)
    for line in both(path("112,66 98,96 58,122"), mid):
        cloth.seam(line, 1.3, width=1.5, stitch=thread)
    for line in both(path("26,226 92,247 163,236"), mid):
        cloth.seam(line, 0.9, stitch=thread)
    cloth.paint(cloth.mask(smooth(path("164,54 170,49 176,54 170,60"))), (0.35, 0.28, 0.2))
    cloth.folds(
        (path("168,178 130,186 86,174"), 3.0, 7),
        (path("174,180 214,192 258,180"), 3.0, 7),
        (path("166,192 130,226 96,240"), 2.4, 8),
        (path("176,192 212,230 240,246"), 2.4, 8),
        (path("64,160 58,200 70,248"), 2.2, 9),
        (path("280,165 276,205 266,250"), 2.2, 9),
        (path("130,210 126,230 132,254"), 1.8, 8),
        (path("206,206 212,230 206,254"), 1.8, 8),
    )
    cloth.wrinkles(2.2, 50, 36)
    cloth.weave("canvas", 0.035)
    return cloth


def hat():
    cloth = Cloth(280, 250, seed=53)
    yellow, dark = (0.86, 0.66, 0.17), (0.62, 0.44, 0.08)
    crown = mirrored(path("140,18 96,26 62,58 48,108 48,152! 94,144 140,141"), 140)
    cloth.panel(crown, yellow, lift=16, round_edge=34)
    brim = mirrored(path("140,140 94,144 52,152! 30,184 34,208 78,228 140,234"), 140)
    cloth.panel(brim, yellow, lift=7, round_edge=16)
    cloth.seam(path("54,152 96,143 140,140 184,143 226,152"), 2.4, width=2.4)
    cloth.seam(path("140,20 140,80 140,139"), 1.0, stitch=dark)
    for line in both(path("134,20 102,62 92,142"), 140):
        cloth.seam(line, 1.0, stitch=dark)
    for drop in (12, 26, 40, 54):
        edge = [
            (44 - drop * 0.1, 160 + drop * 0.7),
            (88, 152 + drop * 1.15),
            (140, 150 + drop * 1.25),
            (192, 152 + drop * 1.15),
            (236 + drop * 0.1, 160 + drop * 0.7),
        ]
        cloth.seam(edge, 0.6, stitch=dark)
    cloth.panel(path("131,20 140,13 149,20 140,27"), yellow, lift=3, round_edge=3)
    for x in (100, 180):
        cloth.paint(cloth.mask(disc(x, 72, 3)), (0.25, 0.18, 0.05))
    cloth.wrinkles(1.2, 40, 40)
    cloth.weave("canvas", 0.035)
    return cloth


def shoe(cloth, mid):
    upper, sole, lining, lace = (
        (0.20, 0.21, 0.24),
        (0.90, 0.89, 0.86),
        (0.45, 0.44, 0.44),
        (0.93, 0.93, 0.92),
    )
    cloth.panel(
        [
            (mid, 14),
            (mid - 38, 34),
            (mid - 50, 82),
            (mid - 42, 140),
            (mid - 44, 200),
            (mid - 34, 250),
            (mid, 264),
            (mid + 34, 250),
            (mid + 42, 200),
            (mid + 36, 140),
            (mid + 46, 82),
            (mid + 34, 34),
        ],
        sole,
        lift=6,
        round_edge=6,
    )
    cloth.panel(
        [
            (mid, 24),
            (mid - 32, 42),
            (mid - 43, 84),
            (mid - 35, 140),
            (mid - 37, 200),
            (mid - 28, 244),
            (mid, 256),
            (mid + 28, 244),
            (mid + 35, 200),
            (mid + 29, 140),
            (mid + 39, 84),
            (mid + 28, 42),
        ],
        upper,
        lift=16,
        round_edge=16,
    )
    cloth.panel(
        [(mid, 22), (mid - 32, 40), (mid - 40, 72), (mid, 62), (mid + 36, 72), (mid + 28, 40)],
        sole,
        lift=2,
        round_edge=5,
    )
    cloth.panel(
        [
            (mid, 160),
            (mid - 24, 172),
            (mid - 25, 212),
            (mid, 242),
            (mid + 23, 212),
            (mid + 22, 172),
        ],
        (0.08, 0.08, 0.09),
        lift=-9,
        round_edge=8,
    )
    cloth.panel(
        [
            (mid, 176),
            (mid - 16, 188),
            (mid - 17, 214),
            (mid, 232),
            (mid + 16, 214),
            (mid + 15, 188),
        ],
        lining,
        lift=-3,
        round_edge=8,
    )
    cloth.panel(
        [(mid - 13, 84), (mid + 12, 84), (mid + 17, 168), (mid, 176), (mid - 18, 168)],
        (0.26, 0.27, 0.30),
        lift=2,
        round_edge=5,
    )
    for row in range(6):
        y = 92 + row * 14
        tilt = 4 if row % 2 else -4
        cloth.panel(
            [
                (mid - 19, y + tilt, C),
                (mid + 18, y - tilt, C),
                (mid + 18, y - tilt + 6, C),
                (mid - 19, y + tilt + 6, C),
            ],
            lace,
            lift=3,
            round_edge=2,
        )
    cloth.seam([(mid - 40, 76), (mid, 66), (mid + 37, 76)], 1.0, stitch=(0.6, 0.6, 0.6))


def shoes():
    cloth = Cloth(260, 290, seed=67)
    shoe(cloth, 70)
    shoe(cloth, 188)
    cloth.wrinkles(0.8, 30, 30)
    cloth.weave("leather", 0.03)
    return cloth
