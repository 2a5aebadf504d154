"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) with one Triton kernel each way.

transformers' version calls ``grid_sample`` once a level and stores every sample; this one keeps them
in registers. The plain version below is the definition, the CPU's path and the tests' reference.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU-only install of torch
    triton = None


def sample_plain(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """value [B, N, heads, dim], locations [B, Q, heads, levels, points, 2] in 0..1 (x, y),
    weights [B, Q, heads, levels, points] -> [B, Q, heads * dim]."""
    b, _, heads, dim = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    levels = value.split([h * w for h, w in shapes], dim=1)
    grids = 2 * locations - 1
    samples = []
    for level, (h, w) in enumerate(shapes):
        image = levels[level].flatten(2).transpose(1, 2).reshape(b * heads, dim, h, w)
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
        samples.append(
            F.grid_sample(image, grid.to(image.dtype), align_corners=False)
        )  # [b*heads, dim, Q, points]
    weights = weights.transpose(1, 2).reshape(b * heads, 1, queries, len(shapes) * points)
    out = (torch.cat(samples, -1) * weights).sum(-1)
    return out.view(b, heads * dim, queries).transpose(1, 2)


if triton is not None:
    # Loops over levels and points stay loops: unrolled, each kernel takes ten seconds to compile. The
    # sizes are not specialised on, or every new canvas would compile again.
    @triton.jit(do_not_specialize=["tokens", "queries"])
    def _forward_kernel(
        value,
        shapes,
        locations,
        weights,
        out,
        tokens,
        queries,
        HEADS: tl.constexpr,
        DIM: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        """One program: BLOCK queries of one head of one picture."""
        block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
        query = block * BLOCK + tl.arange(0, BLOCK)
        live = query < queries
        row = ((batch * queries + query) * HEADS + head).to(tl.int64)
        d = tl.arange(0, DIM)
        base = value + batch.to(tl.int64) * tokens * HEADS * DIM + head * DIM + d[None, :]
        total = tl.zeros((BLOCK, DIM), tl.float32)
        for level in range(LEVELS):
            height = tl.load(shapes + 3 * level)
            width = tl.load(shapes + 3 * level + 1)
            start = tl.load(shapes + 3 * level + 2)
            for point in range(POINTS):
                at = row * (LEVELS * POINTS) + level * POINTS + point
                weight = tl.load(weights + at, mask=live, other=0.0).to(tl.float32)
                x = tl.load(locations + at * 2, mask=live, other=0.0).to(tl.float32) * width - 0.5
                y = tl.load(locations + at * 2 + 1, mask=live, other=0.0).to(tl.float32) * height - 0.5
                left, top = tl.floor(x), tl.floor(y)
                fx, fy = x - left, y - top
                for corner in tl.static_range(4):
                    cx = left.to(tl.int32) + corner % 2
                    cy = top.to(tl.int32) + corner // 2
                    inside = live & (cx >= 0) & (cx < width) & (cy >= 0) & (cy < height)
                    share = (fx if corner % 2 == 1 else 1 - fx) * (fy if corner // 2 == 1 else 1 - fy)
                    offset = (start + cy * width + cx) * (HEADS * DIM)
                    v = tl.load(base + offset[:, None], mask=inside[:, None], other=0.0).to(tl.float32)
                    total += (weight * share)[:, None] * v
        tl.store(out + row[:, None] * DIM + d[None, :], total.to(out.dtype.element_ty), mask=live[:, None])

    @triton.jit(do_not_specialize=["tokens", "queries"])
    def _backward_kernel(
        value,
        shapes,
        locations,
        weights,
        grad_out,
        grad_value,
        grad_locations,
        grad_weights,
        tokens,
        queries,
        HEADS: tl.constexpr,
        DIM: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
        query = block * BLOCK + tl.arange(0, BLOCK)
        live = query < queries
        row = ((batch * queries + query) * HEADS + head).to(tl.int64)
        d = tl.arange(0, DIM)
        first = batch.to(tl.int64) * tokens * HEADS * DIM + head * DIM
        base = value + first + d[None, :]
        base_grad = grad_value + first + d[None, :]
        grad = tl.load(grad_out + row[:, None] * DIM + d[None, :], mask=live[:, None], other=0.0).to(
            tl.float32
        )
        for level in range(LEVELS):
            height = tl.load(shapes + 3 * level)
            width = tl.load(shapes + 3 * level + 1)
            start = tl.load(shapes + 3 * level + 2)
            for point in range(POINTS):
                at = row * (LEVELS * POINTS) + level * POINTS + point
                weight = tl.load(weights + at, mask=live, other=0.0).to(tl.float32)
                x = tl.load(locations + at * 2, mask=live, other=0.0).to(tl.float32) * width - 0.5
                y = tl.load(locations + at * 2 + 1, mask=live, other=0.0).to(tl.float32) * height - 0.5
                left, top = tl.floor(x), tl.floor(y)
                fx, fy = x - left, y - top
                g_weight = tl.zeros((BLOCK,), tl.float32)
                g_x = tl.zeros((BLOCK,), tl.float32)
                g_y = tl.zeros((BLOCK,), tl.float32)
                for corner in tl.static_range(4):
                    cx = left.to(tl.int32) + corner % 2
                    cy = top.to(tl.int32) + corner // 2
                    inside = live & (cx >= 0) & (cx < width) & (cy >= 0) & (cy < height)
                    sx = fx if corner % 2 == 1 else 1 - fx
                    sy = fy if corner // 2 == 1 else 1 - fy
                    offset = (start + cy * width + cx) * (HEADS * DIM)
                    v = tl.load(base + offset[:, None], mask=inside[:, None], other=0.0).to(tl.float32)
                    dot = tl.sum(v * grad, 1)
                    g_weight += sx * sy * dot
                    g_x += (sy if corner % 2 == 1 else -sy) * dot
                    g_y += (sx if corner // 2 == 1 else -sx) * dot
                    tl.atomic_add(
                        base_grad + offset[:, None],
                        (weight * sx * sy)[:, None] * grad,
                        mask=inside[:, None],
                        sem="relaxed",
                    )
                tl.store(grad_weights + at, g_weight, mask=live)
                tl.store(grad_locations + at * 2, g_x * weight * width, mask=live)
                tl.store(grad_locations + at * 2 + 1, g_y * weight * height, mask=live)


_BLOCK = 32


def _launch(locations: Tensor):
    b, queries, heads, levels, points, _ = locations.shape
    return (triton.cdiv(queries, _BLOCK), heads, b), dict(
        HEADS=heads, LEVELS=levels, POINTS=points, BLOCK=_BLOCK
    )


@torch.library.custom_op("wardrobe::deform", mutates_args=())
def _deform(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    grid, sizes = _launch(locations)
    b, tokens, heads, dim = value.shape
    out = value.new_empty(b, locations.shape[1], heads * dim)
    _forward_kernel[grid](
        value, shapes, locations, weights, out, tokens, locations.shape[1], DIM=dim, **sizes
    )
    return out


@_deform.register_fake
def _(value, shapes, locations, weights):
    return value.new_empty(value.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


@torch.library.custom_op("wardrobe::deform_backward", mutates_args=())
def _deform_backward(
    grad: Tensor, value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grid, sizes = _launch(locations)
    tokens, dim = value.shape[1], value.shape[3]
    grad_value = torch.zeros(value.shape, dtype=torch.float, device=value.device)
    grad_locations = torch.empty(locations.shape, dtype=torch.float, device=value.device)
    grad_weights = torch.empty(weights.shape, dtype=torch.float, device=value.device)
    _backward_kernel[grid](
        value,
        shapes,
        locations,
        weights,
        grad.contiguous(),
        grad_value,
        grad_locations,
        grad_weights,
        tokens,
        locations.shape[1],
        DIM=dim,
        **sizes,
    )
    return grad_value.to(value.dtype), grad_locations.to(locations.dtype), grad_weights.to(weights.dtype)


@_deform_backward.register_fake
def _(grad, value, shapes, locations, weights):
    return torch.empty_like(value), torch.empty_like(locations), torch.empty_like(weights)


def _setup(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad):
    value, shapes, locations, weights = ctx.saved_tensors
    g_value, g_locations, g_weights = _deform_backward(grad, value, shapes, locations, weights)
    return g_value, None, g_locations, g_weights


_deform.register_autograd(_backward, setup_context=_setup)


def sample(
    value: Tensor, shapes: list[tuple[int, int]], table: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    """``sample_plain`` by the kernels on a GPU. ``table`` is ``level_table(shapes)`` on the device."""
    if value.is_cuda and triton is not None:
        return _deform(value.contiguous(), table, locations.contiguous(), weights.contiguous())
    return sample_plain(value, shapes, locations, weights)


def level_table(shapes: list[tuple[int, int]], device: torch.device | str) -> Tensor:
    """i32 [levels, 3]: height, width, index of the level's first token."""
    rows, start = [], 0
    for h, w in shapes:
        rows.append((h, w, start))
        start += h * w
    return torch.tensor(rows, dtype=torch.int32, device=device)
