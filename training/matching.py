"""Which query answers for which garment: batched, on the device, without a transfer to the host."""

import torch
from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """cx cy w h -> x0 y0 x1 y1"""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (arXiv 1902.09630) of boxes as corners, broadcast over leading axes."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        # Not ``prod``: its gradient looks for zeros on the host, which stalls the device.
        width, height = (high - low).clamp(min=0).unbind(-1)
        return width * height

    common = area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = area(a[..., :2], a[..., 2:]) + area(b[..., :2], b[..., 2:]) - common
    hull = area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    iou = common / union.clamp(min=1e-7)
    return iou, iou - (hull - union) / hull.clamp(min=1e-7)


def cost(logits: Tensor, boxes: Tensor, wanted: Tensor, targets: Tensor) -> Tensor:
    """DETR's matching cost with focal class terms: 2 class + 5 L1 + 2 GIoU.

    logits [B, Q, T], boxes [B, Q, 4], wanted [B, K, T] (1 at a target's tokens), targets [B, K, 4]
    -> [B, Q, K].
    """
    p = logits.sigmoid()
    gain = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
    share = wanted / wanted.sum(-1, keepdim=True).clamp(min=1)
    classes = gain @ share.transpose(1, 2)
    a, b = boxes[:, :, None], targets[:, None]
    distance = (a - b).abs().sum(-1)
    _, giou = iou_and_giou(corners(a), corners(b))
    return 2 * classes + 5 * distance - 2 * giou


def one_to_one(cost: Tensor, valid: Tensor) -> Tensor:
    """Greedy assignment: the cheapest free pair first. With at most a handful of garments a scene it
    differs from the Hungarian optimum in few scenes, and needs no host.

    cost [B, Q, K], valid bool [B, K] -> bool [B, Q, K], one True a valid target.
    """
    inf = float("inf")
    b, q, k = cost.shape
    rest = cost.nan_to_num(1e6).masked_fill(~valid[:, None], inf)
    pairs = torch.zeros(b, q, k, dtype=torch.bool, device=cost.device)
    rows, columns = torch.arange(q, device=cost.device), torch.arange(k, device=cost.device)
    for _ in range(k):
        value, flat = rest.flatten(1).min(1)
        row, column = rows == (flat // k)[:, None], columns == (flat % k)[:, None]
        pairs |= row[:, :, None] & column[:, None] & (value < inf)[:, None, None]
        rest = rest.masked_fill(row[:, :, None] | column[:, None], inf)
    return pairs


def one_to_many(cost: Tensor, valid: Tensor, inside: Tensor, count: int) -> Tensor:
    """Each target takes its ``count`` cheapest candidates among ``inside`` ones; a candidate that two
    want goes to the one it is cheaper for (as in SimOTA, arXiv 2107.08430).

    cost [B, N, K], valid [B, K], inside bool [B, N, K] -> bool [B, N, K].
    """
    price = cost.nan_to_num(1e6).masked_fill(~(inside & valid[:, None]), float("inf"))
    limit = price.topk(count, 1, largest=False).values[:, -1:]
    limit = limit.nan_to_num(posinf=1e9)
    chosen = price <= limit
    cheapest = price == price.amin(-1, keepdim=True)
    return chosen & cheapest & (price < float("inf"))
