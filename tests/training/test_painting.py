"""Scenes' pictures: the kernel against its definition, and what the definition paints."""

import interpreter
import pytest
import torch
from training.data import PATCH, SIDE, Bank, Garment

from training import painting, scenes

H, W, B, K = 48, 64, 3, 4


def bank() -> Bank:
    """Eight photos: smooth colours, a disc of mask each."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(8, 3, 9, 9, generator=generator)
    photos = torch.nn.functional.interpolate(noise, size=(SIDE, SIDE), mode="bilinear")
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = ((x - 120) ** 2 + (y - 130) ** 2 < 70**2).float()
    photos = (torch.cat([photos, disc.expand(8, 1, SIDE, SIDE)], 1) * 255).byte()
    table = [Garment(f"{i}", "Hat", "red", 180, 256, (50, 60, 190, 200), "1") for i in range(8)]
    patches = (torch.rand(5, 3, PATCH, PATCH, generator=generator) * 255).byte()
    centre, extent = torch.tensor([[120.0, 130.0]]), torch.tensor([[141.0, 141.0]])
    size = torch.tensor([[180.0, 256.0]])
    spread = lambda t: t.expand(8, 2).clone()
    return Bank(
        table, photos, spread(centre), spread(extent), spread(size), patches, torch.zeros(5, dtype=torch.bool)
    )


def tables(augment: bool, device: str = "cpu", h: int = H, w: int = W, b: int = B):
    pictures = bank()
    composer = scenes.Composer(pictures, validation=False, seed=5, augment=augment)
    generator = torch.Generator().manual_seed(2)
    photos = torch.randint(8, (b, K), generator=generator)
    present = torch.rand(b, K, generator=generator) < 0.8
    kind = torch.arange(b) % 2
    floors, patches = composer._floors(b, h, w)
    maps = composer._place(photos, present, kind, h, w)
    recolour = torch.rand(b, K, generator=generator) < 0.5
    garments = composer._garments(photos, present, kind, maps, recolour)
    blobs = composer._blobs(b, h, w)
    blobs[..., painting.BLOB.slices["on"]] = 1.0
    return [
        t.to(device) for t in (pictures.photos, composer.patches, photos, floors, patches, blobs, garments)
    ]


def close(a: painting.Painted, b: painting.Painted) -> None:
    apart = (a.picture - b.picture).abs()
    # The mask's edge is steep, and a whole photo's is a step: a few pixels may fall on its other side.
    assert apart.mean() < 2e-4 and (apart > 0.01).float().mean() < 2e-3
    assert (a.shares - b.shares).abs().max() < 0.01
    assert (a.extents - b.extents).abs().max() <= 2


def interpreted() -> None:
    for augment in (True, False):
        given = tables(augment)
        close(painting.paint_tiles(*given, H, W, augment), painting.paint_plain(*given, H, W, augment))


@pytest.mark.skipif(painting.triton is None, reason="Triton is not installed")
def test_the_interpreted_kernel_paints_what_the_definition_says():
    interpreter.run(__file__)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("h, w", [(320, 320), (448, 640)])
def test_the_kernel_paints_the_same_on_a_gpu(h, w):
    given = tables(True, "cuda", h, w, 16)
    close(painting.paint_tiles(*given, h, w, True), painting.paint_plain(*given, h, w, True))


def one(**changes) -> list[torch.Tensor]:
    """One garment upright in the middle of a white canvas as large as the photo, nothing else."""
    given = tables(False, b=1, h=SIDE, w=SIDE)
    floors, garments = given[3], given[6]
    put = lambda table, columns, name, *values: table[..., columns.slices[name]].copy_(
        torch.tensor(values).float()
    )
    put(floors, painting.FLOOR, "plain", 1)
    put(floors, painting.FLOOR, "hue", 1, 1, 1)
    for name in ("light", "wave", "tints"):
        floors[..., painting.FLOOR.slices[name]] = 0
    garments[..., painting.GARMENT.slices["there"]] = 0
    plain = dict(
        matrix=(1, 0, 0, 0, 1, 0),
        edge=(0.4,),
        whole=(0, 1, 1),
        shade=(0,),
        tone=(1, 1, 1, 1, 1),
        paint=(0,),
        there=(1,),
    )
    for name, values in {**plain, **changes}.items():
        put(garments[:, 0], painting.GARMENT, name, *values)
    given[6] = garments
    return given


def test_a_garment_keeps_its_pixels_and_a_shadow_falls_beside_it():
    given = one()
    painted = painting.paint_plain(*given, SIDE, SIDE, False)
    photo = given[0][given[2][0, 0]].float() / 255
    inside = photo[3] == 1
    assert (painted.picture[0, :, inside] - photo[:3, inside]).abs().max() < 1e-5
    outside = ~inside
    assert (painted.picture[0, :, outside] - 1).abs().max() < 1e-5
    assert painted.extents[0, 0].tolist()[:4] == [51, 61, 190, 200]
    assert painted.shares[0, 0].sum().item() * painting.TILE**2 == pytest.approx(
        inside.sum().item(), rel=1e-3
    )
    dark = painting.paint_plain(*one(shade=(0.5,)), SIDE, SIDE, False).picture[0, :, outside] < 0.99
    assert 50 < dark[0].sum() < 3000


def test_repainting_changes_the_chosen_garments_alone():
    before = painting.paint_plain(*one(), SIDE, SIDE, True).picture
    after = painting.paint_plain(
        *one(paint=(1,), over=(0,), turn=(-1, 0), tint=(1, 1, 1), stripe=(0, 0, 0)), SIDE, SIDE, True
    ).picture
    assert (before - after).abs().amax() > 0.1
    # Half a turn of the hue: the grey part stays.
    assert (before.mean(1) - after.mean(1)).abs().mean() < 0.02


if __name__ == "__main__":
    interpreter.mend()
    interpreted()
