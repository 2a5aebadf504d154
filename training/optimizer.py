"""AdamW, and Muon for the inner matrices of the transformer blocks.

Muon (K. Jordan et al.; scaled as in arXiv 2502.16982) replaces a matrix's momentum by its nearest
orthogonal matrix: in short trainings from scratch it needs fewer steps than AdamW alone.
"""

import torch
from torch import Tensor, nn

# Matrices whose rows are not features of one space: tables, tiny heads, geometry.
_NOT_INNER = (
    "embeddings",
    "relative_position_bias_table",
    "sampling_offsets",
    "attention_weights",
    "bbox_embed",
    "level_embed",
    "text_backbone",
    "query",
    "heads.",
    "reference_points_head",
)


def is_inner(name: str, parameter: Tensor) -> bool:
    # "query" must not match attention projections called ``.query.weight``.
    plain = name.replace(".query.weight", ".q.weight")
    return (
        parameter.ndim == 2 and min(parameter.shape) >= 32 and not any(part in plain for part in _NOT_INNER)
    )


def orthogonalize(x: Tensor, steps: int = 5) -> Tensor:
    """Newton–Schulz towards U Vᵀ of each matrix of a stack [n, rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    y = x.bfloat16()
    tall = y.shape[1] > y.shape[2]
    if tall:
        y = y.transpose(1, 2)
    y = y / (y.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = y @ y.transpose(1, 2)
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.transpose(1, 2) if tall else y


class Muon:
    """Momentum 0.95 with Nesterov's look-ahead; equal shapes are updated as one stack."""

    def __init__(self, parameters: list[nn.Parameter], weight_decay: float, momentum: float = 0.95):
        self.weight_decay, self.momentum = weight_decay, momentum
        self.groups: dict[tuple, list[nn.Parameter]] = {}
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.buffers = {s: torch.zeros(len(ps), *s, device=ps[0].device) for s, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for shape, parameters in self.groups.items():
            grad = torch.stack([p.grad for p in parameters])
            buffer = self.buffers[shape]
            buffer.lerp_(grad, 1 - self.momentum)
            update = orthogonalize(grad.lerp(buffer, self.momentum)).float()
            update = update * (0.2 * max(shape) ** 0.5)
            torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)
            torch._foreach_add_(parameters, list(update.unbind()), alpha=-lr)

    def state_dict(self) -> dict:
        return {"x".join(map(str, s)): b for s, b in self.buffers.items()}

    def load_state_dict(self, state: dict) -> None:
        for s, b in self.buffers.items():
            b.copy_(state["x".join(map(str, s))])


class Optimizer:
    """Both, under one learning rate; the pretrained text encoder learns at a fraction of it."""

    def __init__(self, named: list[tuple[str, nn.Parameter]], config: dict):
        inner = [p for n, p in named if config["muon"] and is_inner(n, p)]
        taken = {id(p) for p in inner}
        rest = [(n, p) for n, p in named if id(p) not in taken]
        decay = config["weight_decay"]
        self.muon = Muon(inner, decay) if inner else None
        self.text_rate = config["text_rate"]
        split = lambda text, matrix: [
            p
            for n, p in rest
            if ("text_backbone" in n) == text and (p.ndim > 1 and "embed" not in n) == matrix
        ]
        groups = [
            {
                "params": split(text, matrix),
                "rate": self.text_rate if text else 1.0,
                "weight_decay": decay if matrix else 0.0,
            }
            for text in (False, True)
            for matrix in (False, True)
        ]
        groups = [g for g in groups if g["params"]]
        fused = named[0][1].is_cuda
        self.adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=fused)
        self.muon_rate = config["muon_rate"]

    def step(self, lr: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = lr * group["rate"]
        self.adam.step()
        if self.muon:
            self.muon.step(lr * self.muon_rate)

    def state_dict(self) -> dict:
        return {"adam": self.adam.state_dict(), "muon": self.muon.state_dict() if self.muon else {}}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        if self.muon:
            self.muon.load_state_dict(state["muon"])
