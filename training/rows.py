"""Layer norm, and the bias gradient of a linear layer, with Triton kernels for many short rows.

For rows of 64 to 384 numbers PyTorch's kernels are ten times slower than memory: its layer norm takes a
block of threads a row. Here a program takes a tile of whole rows, and sums over rows stay in its
registers until it has walked its share. torch's own functions are the definition and the CPU's path.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU-only install of torch
    triton = None


if triton is not None:
    # The number of rows is not specialised on, or new canvases would compile again. Widths need not be
    # powers of two: a tile has WIDTH columns of which COLUMNS exist.
    @triton.jit(do_not_specialize=["rows"])
    def _norm_kernel(
        x,
        weight,
        bias,
        out,
        stats,
        rows,
        eps,
        COLUMNS: tl.constexpr,
        WIDTH: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        """One program: BLOCK rows. ``stats`` f32 [2, rows] keeps their means and reciprocal deviations."""
        row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        column = tl.arange(0, WIDTH)
        live = (row < rows)[:, None] & (column < COLUMNS)[None, :]
        at = row.to(tl.int64)[:, None] * COLUMNS + column[None, :]
        v = tl.load(x + at, mask=live, other=0.0).to(tl.float32)
        mean = tl.sum(v, 1) / COLUMNS
        v = tl.where(live, v - mean[:, None], 0.0)
        scale = tl.rsqrt(tl.sum(v * v, 1) / COLUMNS + eps)
        w = tl.load(weight + column, mask=column < COLUMNS, other=0.0).to(tl.float32)
        b = tl.load(bias + column, mask=column < COLUMNS, other=0.0).to(tl.float32)
        v = v * scale[:, None] * w[None, :] + b[None, :]
        tl.store(out + at, v.to(out.dtype.element_ty), mask=live)
        tl.store(stats + row, mean, mask=row < rows)
        tl.store(stats + rows + row, scale, mask=row < rows)

    @triton.jit(do_not_specialize=["rows"])
    def _norm_backward_kernel(
        grad,
        x,
        weight,
        stats,
        grad_x,
        grad_affine,
        rows,
        COLUMNS: tl.constexpr,
        WIDTH: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        """One program: every so many-th BLOCK of rows. ``grad_affine`` f32 [2, COLUMNS], zeroed, takes
        the sums for weight and bias."""
        column = tl.arange(0, WIDTH)
        real = column < COLUMNS
        w = tl.load(weight + column, mask=real, other=0.0).to(tl.float32)
        # Tiles, not rows: they are summed over their rows, across threads, once at the end.
        sum_w = tl.zeros((BLOCK, WIDTH), tl.float32)
        sum_b = tl.zeros((BLOCK, WIDTH), tl.float32)
        for first in range(tl.program_id(0) * BLOCK, rows, tl.num_programs(0) * BLOCK):
            row = first + tl.arange(0, BLOCK)
            live = (row < rows)[:, None] & real[None, :]
            at = row.to(tl.int64)[:, None] * COLUMNS + column[None, :]
            v = tl.load(x + at, mask=live, other=0.0).to(tl.float32)
            g = tl.load(grad + at, mask=live, other=0.0).to(tl.float32)
            mean = tl.load(stats + row, mask=row < rows, other=0.0)
            scale = tl.load(stats + rows + row, mask=row < rows, other=0.0)
            v = (v - mean[:, None]) * scale[:, None]
            sum_w += g * v  # columns that do not exist have g = 0
            sum_b += g
            g *= w[None, :]
            inner = tl.sum(g * v, 1) / COLUMNS
            g = (g - (tl.sum(g, 1) / COLUMNS)[:, None] - v * inner[:, None]) * scale[:, None]
            tl.store(grad_x + at, g.to(grad_x.dtype.element_ty), mask=live)
        tl.atomic_add(grad_affine + column, tl.sum(sum_w, 0), mask=real, sem="relaxed")
        tl.atomic_add(grad_affine + COLUMNS + column, tl.sum(sum_b, 0), mask=real, sem="relaxed")

    @triton.jit(do_not_specialize=["rows"])
    def _column_sum_kernel(x, out, rows, columns, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
        """One program: WIDTH columns of every so many-th BLOCK of rows, added to ``out`` (f32, zeroed)."""
        column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
        real = column < columns
        total = tl.zeros((BLOCK, WIDTH), tl.float32)
        for first in range(tl.program_id(0) * BLOCK, rows, tl.num_programs(0) * BLOCK):
            row = first + tl.arange(0, BLOCK)
            live = (row < rows)[:, None] & real[None, :]
            at = row.to(tl.int64)[:, None] * columns + column[None, :]
            total += tl.load(x + at, mask=live, other=0.0).to(tl.float32)
        tl.atomic_add(out + column, tl.sum(total, 0), mask=real, sem="relaxed")


_SUM_ROWS, _SUM_COLUMNS = 64, 64


@functools.lru_cache(maxsize=16)
def _slots(device: torch.device) -> int:
    """Programs that share the rows of a sum: as many as run at a time, at 64 registers a thread. On a CPU,
    where the tests interpret them, few."""
    return 8 * torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 3


def _tile(columns: int, elements: int) -> dict:
    width = triton.next_power_of_2(columns)
    return dict(COLUMNS=columns, WIDTH=width, BLOCK=max(1, elements // width))


def norm_forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Contiguous x [..., C] -> its layer norm, and what ``norm_backward`` wants of it."""
    rows, tile = x.numel() // x.shape[-1], _tile(x.shape[-1], 4096)
    out, stats = torch.empty_like(x), x.new_empty(2, rows, dtype=torch.float)
    _norm_kernel[(triton.cdiv(rows, tile["BLOCK"]),)](x, weight, bias, out, stats, rows, eps, **tile)
    return out, stats


def norm_backward(grad: Tensor, x: Tensor, weight: Tensor, stats: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x, and f32 [2, C] of weight and bias; grad and x are contiguous."""
    rows, tile = stats.shape[1], _tile(x.shape[-1], 1024)
    grad_x, grad_affine = torch.empty_like(x), x.new_zeros(2, x.shape[-1], dtype=torch.float)
    grid = (min(triton.cdiv(rows, tile["BLOCK"]), _slots(x.device)),)
    _norm_backward_kernel[grid](grad, x, weight, stats, grad_x, grad_affine, rows, **tile)
    return grad_x, grad_affine


def column_sum(x: Tensor) -> Tensor:
    """Contiguous x [R, C] -> f32 [C]"""
    rows, columns = x.shape
    out = x.new_zeros(columns, dtype=torch.float)
    across = triton.cdiv(columns, _SUM_COLUMNS)
    down = min(triton.cdiv(rows, _SUM_ROWS), max(1, _slots(x.device) // across))
    _column_sum_kernel[(down, across)](x, out, rows, columns, WIDTH=_SUM_COLUMNS, BLOCK=_SUM_ROWS)
    return out


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        x = x.contiguous()
        out, stats = norm_forward(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, stats)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, stats = ctx.saved_tensors
        grad_x, grad_affine = norm_backward(grad.contiguous(), x, weight, stats)
        grad_weight, grad_bias = grad_affine.to(weight.dtype)
        return grad_x, grad_weight, grad_bias, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1]).contiguous()
        need_x, need_weight, need_bias = ctx.needs_input_grad
        grad_x = (grad @ weight).view(x.shape) if need_x else None
        grad_weight = grad.t() @ x.reshape(-1, x.shape[-1]) if need_weight else None
        return grad_x, grad_weight, column_sum(grad).to(weight.dtype) if need_bias else None


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float = 1e-5) -> Tensor:
    """``F.layer_norm`` over the last axis; by the kernels on a GPU."""
    if x.is_cuda and triton is not None and weight is not None and bias is not None:
        return _Norm.apply(x, weight, bias, eps)
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``; on a GPU the bias's gradient comes from the kernel."""
    if x.is_cuda and triton is not None and bias is not None:
        return _Linear.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class LayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        if len(self.normalized_shape) > 1:
            return super().forward(x)
        return layer_norm(x, self.weight, self.bias, self.eps)


class Linear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def adopt(module: nn.Module) -> None:
    """Make torch's layer norms and linear layers inside ``module`` the ones above, in place: names and
    weights stay. Subclasses of torch's, which may compute something else, are left alone."""
    ours = {nn.LayerNorm: LayerNorm, nn.Linear: Linear}
    for part in module.modules():
        if type(part) in ours:
            part.__class__ = ours[type(part)]
