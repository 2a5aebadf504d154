"""The training loss: set prediction at every decoder layer, dense supervision everywhere before it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import matching, wardrobe
from training.model import Outputs


@dataclass
class Targets:
    """boxes f32 [B, K, 4]; present bool [B, K]: can be seen; answers i8 [B, K, T] as in ``captions``;
    label and colour i64 [B, K]; teacher f32 [B, K, E] unit vectors, or None; masks [B, K, h, w]."""

    boxes: Tensor
    present: Tensor
    answers: Tensor
    label: Tensor
    colour: Tensor
    teacher: Tensor | None
    masks: Tensor


class RegionHeads(nn.Module):
    """Training-only heads over states of known garments: they name the class, the colour, and imitate
    what a pretrained picture classifier sees in the photo."""

    def __init__(self, backbone_width: int, d_model: int, teacher_width: int):
        super().__init__()
        self.norm = nn.LayerNorm(backbone_width)
        self.label = nn.Linear(backbone_width, len(wardrobe.LABELS))
        self.colour = nn.Linear(backbone_width, len(wardrobe.COLOUR_LIST))
        self.teacher = nn.Sequential(nn.Linear(backbone_width, 512), nn.GELU(), nn.Linear(512, teacher_width))
        self.state_teacher = nn.Sequential(nn.Linear(d_model, 512), nn.GELU(), nn.Linear(512, teacher_width))


def focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Summed sigmoid focal loss, alpha 0.25, gamma 2 (arXiv 1708.02002)."""
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = p * (1 - target) + (1 - p) * target
    balance = 0.25 * target + 0.75 * (1 - target)
    return (balance * miss**2 * entropy * weight).sum()


def quality_focal(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Summed quality focal loss (arXiv 2006.04388): the target of a positive is its box's IoU."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((target - logits.sigmoid()).abs() ** 2 * entropy * weight).sum()


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


class Loss(nn.Module):
    """Weighted sum and its parts."""

    WEIGHTS = {"class": 2.0, "l1": 5.0, "giou": 2.0}

    def __init__(self, heads: RegionHeads, dense: int = 8, region: float = 1.0):
        super().__init__()
        self.heads, self.dense, self.region = heads, dense, region

    def decoder(self, logits, boxes, token_mask, positive, ignore, targets, valid, groups):
        """One-to-one at each layer and group. logits [L, B, G*Q, T] -> class, l1, giou and the last
        layer's pairs [B, G*Q, K]."""
        layers, b, n, t = logits.shape
        k = valid.shape[1]
        m = layers * b * groups
        spread = lambda x: x[None, :, None].expand(layers, b, groups, *x.shape[1:]).reshape(m, *x.shape[1:])
        x, y = logits.reshape(m, n // groups, t), boxes.reshape(m, n // groups, 4)
        want, aim, on = spread(positive), spread(targets), spread(valid)
        with torch.no_grad():
            pairs = matching.one_to_one(matching.cost(x, y, want, aim), on)
            link = pairs.float()
            target = link @ want
            weight = spread(token_mask.float()[:, None]) * (1 - link @ spread(ignore))
            count = valid.sum().clamp(min=1) * groups
            matched = link.amax(-1)
        classes = focal(x, target, weight) / count
        goal = link @ aim
        l1 = ((y - goal).abs().sum(-1) * matched).sum() / count
        _, giou = matching.iou_and_giou(matching.corners(y), matching.corners(goal))
        giou = ((1 - giou) * matched).sum() / count
        last = pairs.view(layers, b, n, k)[-1]
        return classes, l1, giou, last

    def proposals(self, logits, boxes, ok, token_mask, positive, ignore, targets, valid, points):
        """One-to-many at the encoder's tokens: logits [B, N, T], boxes [B, N, 4], points [N, 2]."""
        with torch.no_grad():
            edge = matching.corners(targets)[:, None]
            at = points[None, :, None]
            inside = ((at > edge[..., :2]) & (at < edge[..., 2:])).all(-1) & ok[None, :, None]
            pairs = matching.one_to_many(matching.cost(logits, boxes, positive, targets), valid, inside, self.dense)
            link = pairs.float()
            matched = link.amax(-1)
            goal = link @ targets
            iou, _ = matching.iou_and_giou(matching.corners(boxes), matching.corners(goal))
            target = (link @ positive) * iou.clamp(min=0.2)[..., None]
            weight = token_mask.float()[:, None] * (1 - link @ ignore)
            count = matched.sum().clamp(min=1)
        classes = quality_focal(logits, target, weight) / count
        l1 = ((boxes - goal).abs().sum(-1) * matched).sum() / count
        _, giou = matching.iou_and_giou(matching.corners(boxes), matching.corners(goal))
        return classes, l1, ((1 - giou) * matched).sum() / count

    def regions(self, out: Outputs, targets: Targets, pairs: Tensor) -> dict[str, Tensor]:
        """Names, colours and the teacher's view from mean backbone features under each garment's mask."""
        heads, seen = self.heads, targets.present
        masks = targets.masks.to(out.backbone.dtype)
        features = torch.einsum("bchw,bkhw->bkc", out.backbone, masks).float()
        features = heads.norm(features / masks.float().sum((2, 3)).clamp(min=0.5)[..., None])
        label = F.cross_entropy(
            heads.label(features).flatten(0, 1).float(), targets.label.flatten(), reduction="none", label_smoothing=0.1
        )
        known = (targets.colour >= 0) & seen
        colour = F.cross_entropy(
            heads.colour(features).flatten(0, 1).float(), targets.colour.clamp(min=0).flatten(), reduction="none", label_smoothing=0.1
        )
        parts = {"label": _mean(label, seen.flatten()), "colour": _mean(colour, known.flatten())}
        if targets.teacher is not None:
            view = 1 - F.cosine_similarity(heads.teacher(features).float(), targets.teacher, dim=-1)
            parts["teacher"] = _mean(view, seen)
            link = pairs.float()
            goal = link @ targets.teacher
            view = 1 - F.cosine_similarity(heads.state_teacher(out.states.float()), goal, dim=-1)
            parts["state_teacher"] = _mean(view, link.amax(-1))
        return parts

    def forward(self, out: Outputs, targets: Targets, groups: int) -> tuple[Tensor, dict[str, Tensor]]:
        positive = (targets.answers == 1).float()
        ignore = (targets.answers == -1).float()
        valid = targets.present & positive.any(-1)
        parts: dict[str, Tensor] = {}
        *decoder, pairs = self.decoder(
            out.logits, out.boxes, out.token_mask, positive, ignore, targets.boxes, valid, groups
        )
        proposals = self.proposals(
            out.proposals, out.proposal_boxes, out.proposal_ok, out.token_mask, positive, ignore, targets.boxes, valid, out.points
        )
        total = 0.0
        for (name, weight), a, b in zip(self.WEIGHTS.items(), decoder, proposals):
            parts[f"decoder_{name}"], parts[f"proposal_{name}"] = a, b
            total = total + weight * (a + b)
        regions = self.regions(out, targets, pairs)
        scale = {"label": 1.0, "colour": 0.5, "teacher": 1.0, "state_teacher": 0.5}
        for name, value in regions.items():
            parts[name] = value
            total = total + self.region * scale[name] * value
        return total, parts
