"""The training loss: set prediction at every decoder layer, dense supervision everywhere before it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import matching, teacher, wardrobe
from training.model import Outputs


@dataclass
class Targets:
    """boxes f32 [B, K, 4]; present bool [B, K]: can be seen; answers i8 [B, K, T] and covers bool [B, T, labels]
    as in ``captions``; label and colour i64 [B, K]; view: what the teachers say, or None; masks [B, K, h, w]."""

    boxes: Tensor
    present: Tensor
    answers: Tensor
    covers: Tensor
    label: Tensor
    colour: Tensor
    view: teacher.View | None
    masks: Tensor

    def names(self, share: float) -> Tensor:
        """f32 [B, K, labels]: the label, and for ``share`` of it what the teachers take the garment for."""
        every = torch.arange(len(wardrobe.LABELS), device=self.label.device)
        names = (self.label[..., None] == every).float()
        if self.view is None:
            return names
        flat, slot = names.flatten(0, 1), self.view.slot
        # Added, not copied: a slot that one fold has seen may be listed unseen by another.
        change = (self.view.names - flat[slot]) * (share * self.view.seen[:, None].float())
        return flat.index_add(0, slot, change).view_as(names)


class RegionHeads(nn.Module):
    """Training-only heads over states of known garments: they name the class, the colour, and imitate
    what the teachers see."""

    def __init__(self, backbone_width: int, d_model: int):
        super().__init__()
        self.norm = nn.LayerNorm(backbone_width)
        self.label = nn.Linear(backbone_width, len(wardrobe.LABELS))
        self.colour = nn.Linear(backbone_width, len(wardrobe.COLOUR_LIST))
        self.state_label = nn.Linear(d_model, len(wardrobe.LABELS))
        self.inner = nn.Linear(backbone_width, 512)
        # One a fold: their features have nothing in common.
        self.features = nn.Parameter(torch.randn(teacher.FOLDS, 512, teacher.WIDTH) * 0.02)


def focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Summed sigmoid focal loss, alpha 0.25, gamma 2 (arXiv 1708.02002), for targets between 0 and 1
    too, where the distance takes the place of the miss (arXiv 2006.04388)."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    balance = 0.25 * target + 0.75 * (1 - target)
    return (balance * (target - logits.sigmoid()) ** 2 * entropy * weight).sum()


def quality_focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Summed quality focal loss (arXiv 2006.04388): the target of a positive is its box's IoU."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((target - logits.sigmoid()).abs() ** 2 * entropy * weight).sum()


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


class Loss(nn.Module):
    """Weighted sum and its parts."""

    WEIGHTS: ClassVar = {"class": 2.0, "l1": 5.0, "giou": 2.0}

    def __init__(self, heads: RegionHeads, dense: int = 8, trust: float = 0.5, silence: float = 2.0):
        """``dense``: encoder tokens a garment is matched with; ``trust``: the teachers' share of a name;
        ``silence``: weight of scenes that hold nothing that is asked for."""
        super().__init__()
        self.heads, self.dense, self.trust, self.silence = heads, dense, trust, silence

    def decoder(self, logits, boxes, seen, positive, share, ignore, targets, valid, groups):
        """One-to-one at each layer and group. logits [L, B, G*Q, T]; seen f32 [B, T]: weight of the
        prompts' tokens; share f32 [B, K, T]: how far a token names a garment -> class, l1, giou and the
        last layer's pairs [B, G*Q, K]."""
        layers, b, n, t = logits.shape
        k = valid.shape[1]
        m = layers * b * groups
        spread = lambda x: x[None, :, None].expand(layers, b, groups, *x.shape[1:]).reshape(m, *x.shape[1:])
        x, y = logits.reshape(m, n // groups, t), boxes.reshape(m, n // groups, 4)
        want, aim, on = spread(positive), spread(targets), spread(valid)
        with torch.no_grad():
            pairs = matching.one_to_one(matching.cost(x, y, want, aim), on)
            link = pairs.float()
            target = link @ spread(share)
            weight = spread(seen[:, None]) * (1 - link @ spread(ignore))
            count = valid.sum().clamp(min=1) * groups
            matched = link.amax(-1)
        classes = focal(x, target, weight) / count
        goal = link @ aim
        l1 = ((y - goal).abs().sum(-1) * matched).sum() / count
        _, giou = matching.iou_and_giou(matching.corners(y), matching.corners(goal))
        giou = ((1 - giou) * matched).sum() / count
        last = pairs.view(layers, b, n, k)[-1]
        return classes, l1, giou, last

    def proposals(self, logits, boxes, ok, seen, positive, share, ignore, targets, valid, points):
        """One-to-many at the encoder's tokens: logits [B, N, T], boxes [B, N, 4], points [N, 2]."""
        with torch.no_grad():
            edge = matching.corners(targets)[:, None]
            at = points[None, :, None]
            inside = ((at > edge[..., :2]) & (at < edge[..., 2:])).all(-1) & ok[None, :, None]
            pairs = matching.one_to_many(
                matching.cost(logits, boxes, positive, targets), valid, inside, self.dense
            )
            link = pairs.float()
            matched = link.amax(-1)
            goal = link @ targets
            iou, _ = matching.iou_and_giou(matching.corners(boxes), matching.corners(goal))
            target = (link @ share) * iou.clamp(min=0.2)[..., None]
            weight = seen[:, None] * (1 - link @ ignore)
            count = matched.sum().clamp(min=1)
        classes = quality_focal(logits, target, weight) / count
        l1 = ((boxes - goal).abs().sum(-1) * matched).sum() / count
        _, giou = matching.iou_and_giou(matching.corners(boxes), matching.corners(goal))
        return classes, l1, ((1 - giou) * matched).sum() / count

    def regions(self, out: Outputs, targets: Targets, names: Tensor, pairs: Tensor) -> dict[str, Tensor]:
        """Names, colours and the teachers' view from mean backbone features under each garment's mask;
        names again from the decoder's last states."""
        heads, seen = self.heads, targets.present
        masks = targets.masks.to(out.backbone.dtype)
        features = torch.einsum("bchw,bkhw->bkc", out.backbone, masks).float()
        features = heads.norm(features / masks.float().sum((2, 3)).clamp(min=0.5)[..., None])

        def entropy(logits: Tensor, wanted: Tensor) -> Tensor:
            return F.cross_entropy(logits.float(), wanted, reduction="none", label_smoothing=0.1)

        label = entropy(heads.label(features).flatten(0, 1), names.flatten(0, 1))
        known = (targets.colour >= 0) & seen
        colour = entropy(heads.colour(features).flatten(0, 1), targets.colour.clamp(min=0).flatten())
        link = pairs.float()
        matched = link.amax(-1)
        state = entropy(heads.state_label(out.states.float()).flatten(0, 1), (link @ names).flatten(0, 1))
        parts = {
            "label": _mean(label, seen.flatten()),
            "colour": _mean(colour, known.flatten()),
            "state_label": _mean(state, matched.flatten()),
        }
        if targets.view is not None:
            view = targets.view
            there = view.seen.view(len(view.features), -1, 1).float()
            mean = (view.features * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
            inner = F.gelu(heads.inner(features.flatten(0, 1)[view.slot])).view(*view.features.shape[:2], -1)
            distance = 1 - F.cosine_similarity(inner @ heads.features, view.features - mean, dim=-1)
            parts["view"] = _mean(distance, there[..., 0])
        return parts

    def forward(self, out: Outputs, targets: Targets, groups: int) -> tuple[Tensor, dict[str, Tensor]]:
        positive = (targets.answers == 1).float()
        ignore = (targets.answers == -1).float()
        valid = targets.present & positive.any(-1)
        names = targets.names(self.trust)
        covers = targets.covers.float()[:, None]  # [B, 1, T, labels]
        share = torch.where(covers.any(-1), (covers @ names[..., None])[..., 0], positive)
        seen = out.token_mask.float() * torch.where(valid.any(1), 1.0, self.silence)[:, None]
        # What a garment without an item of its own is neither named nor not named counts for no query.
        seen = seen * (1 - (ignore * (targets.present & ~valid)[..., None]).amax(1))
        parts: dict[str, Tensor] = {}
        *decoder, pairs = self.decoder(
            out.logits, out.boxes, seen, positive, share, ignore, targets.boxes, valid, groups
        )
        proposals = self.proposals(
            out.proposals,
            out.proposal_boxes,
            out.proposal_ok,
            seen,
            positive,
            share,
            ignore,
            targets.boxes,
            valid,
            out.points,
        )
        total = 0.0
        for (name, weight), a, b in zip(self.WEIGHTS.items(), decoder, proposals):
            parts[f"decoder_{name}"], parts[f"proposal_{name}"] = a, b
            total = total + weight * (a + b)
        scale = {"label": 1.0, "colour": 0.5, "state_label": 0.5, "view": 1.0}
        for name, value in self.regions(out, targets, names, pairs).items():
            parts[name] = value
            total = total + scale[name] * value
        return total, parts
