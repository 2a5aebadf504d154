"""Swin's windowed attention (arXiv 2103.14030) with one Triton kernel each way.

The kernels read queries, keys and values where the linear layer left them: cyclic shift, partition
into windows, position bias, mask and softmax never become tensors of their own. The plain version is
the definition, the path of CPUs and unusual sizes, and the tests' reference.
"""

import functools

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU-only install of torch
    triton = None


@functools.lru_cache(maxsize=64)
def _shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """f32 [windows, window², window²]: −100 between tokens that only the cyclic shift made neighbours."""
    region = lambda n: (torch.arange(n) >= n - window).long() + (torch.arange(n) >= n - shift).long()
    regions = region(height)[:, None] * 3 + region(width)[None]
    windows = (
        regions.view(height // window, window, width // window, window)
        .transpose(1, 2)
        .reshape(-1, window * window)
    )
    return ((windows[:, None] != windows[:, :, None]).float() * -100.0).to(device)


def attend_plain(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    """qkv [B, H, W, 3·heads·dim] (sides multiples of ``window``), bias [heads, window², window²] ->
    [B, H, W, heads·dim]. Queries are scaled by dim^-1/2; ``shift`` > 0 shifts the windows."""
    b, h, w, width = qkv.shape
    heads, area = bias.shape[:2]
    rows, columns, dim = h // window, w // window, width // 3 // heads
    if shift:
        qkv = qkv.roll((-shift, -shift), (1, 2))
    qkv = qkv.view(b, rows, window, columns, window, width).transpose(2, 3)
    q, k, v = qkv.reshape(-1, area, 3, heads, dim).permute(2, 0, 3, 1, 4)
    scores = (q * dim**-0.5) @ k.transpose(-1, -2) + bias
    if shift:
        mask = _shift_mask(h, w, window, shift, qkv.device).to(scores.dtype)[None, :, None]
        scores = (scores.view(b, rows * columns, heads, area, area) + mask).view(-1, heads, area, area)
    y = (scores.softmax(-1) @ v).transpose(1, 2)
    y = y.reshape(b, rows, columns, window, window, heads * dim).transpose(2, 3).reshape(b, h, w, heads * dim)
    return y.roll((shift, shift), (1, 2)) if shift else y


if triton is not None:

    @triton.jit
    def _places(index, height, width, shift, WINDOW: tl.constexpr):
        """The tokens of one window of the batch: their places in [B·H·W], and their regions in the mask."""
        columns = width // WINDOW
        windows = (height // WINDOW) * columns
        batch, at = index // windows, index % windows
        i = tl.arange(0, WINDOW * WINDOW)
        row, column = (at // columns) * WINDOW + i // WINDOW, (at % columns) * WINDOW + i % WINDOW
        below = (row >= height - WINDOW).to(tl.int32) + (row >= height - shift).to(tl.int32)
        right = (column >= width - WINDOW).to(tl.int32) + (column >= width - shift).to(tl.int32)
        place = (
            batch.to(tl.int64) * height * width + (row + shift) % height * width + (column + shift) % width
        )
        return place, below * 3 + right

    @triton.jit
    def _weights(q, k, bias, region, shift):
        """softmax(q kᵀ + bias + mask), f32"""
        scores = tl.dot(q, tl.trans(k)) + bias
        apart = (region[:, None] != region[None, :]) & (shift > 0)
        scores += tl.where(apart, -100.0, 0.0)
        scores = tl.exp(scores - tl.max(scores, 1)[:, None])
        return scores / tl.sum(scores, 1)[:, None]

    @triton.jit(do_not_specialize=["height", "width", "shift"])
    def _forward_kernel(
        qkv,
        bias,
        out,
        height,
        width,
        shift,
        scale,
        HEADS: tl.constexpr,
        DIM: tl.constexpr,
        WINDOW: tl.constexpr,
    ):
        """One program: one head of one window."""
        AREA: tl.constexpr = WINDOW * WINDOW
        place, region = _places(tl.program_id(0), height, width, shift, WINDOW)
        head = tl.program_id(1)
        i, d = tl.arange(0, AREA), tl.arange(0, DIM)
        at = qkv + place[:, None] * (3 * HEADS * DIM) + head * DIM + d[None, :]
        q = (tl.load(at).to(tl.float32) * scale).to(qkv.dtype.element_ty)
        k, v = tl.load(at + HEADS * DIM), tl.load(at + 2 * HEADS * DIM)
        b = tl.load(bias + head * AREA * AREA + i[:, None] * AREA + i[None, :]).to(tl.float32)
        p = _weights(q, k, b, region, shift)
        y = tl.dot(p.to(v.dtype), v)
        tl.store(out + place[:, None] * (HEADS * DIM) + head * DIM + d[None, :], y.to(out.dtype.element_ty))

    @triton.jit(do_not_specialize=["height", "width", "shift", "windows", "stride", "rounds"])
    def _backward_kernel(
        qkv,
        bias,
        grad,
        grad_qkv,
        grad_bias,
        height,
        width,
        shift,
        scale,
        windows,
        stride,
        rounds,
        HEADS: tl.constexpr,
        DIM: tl.constexpr,
        WINDOW: tl.constexpr,
    ):
        """One program: one head of every ``stride``-th window; the bias's gradient stays in registers."""
        AREA: tl.constexpr = WINDOW * WINDOW
        head = tl.program_id(1)
        i, d = tl.arange(0, AREA), tl.arange(0, DIM)
        square = head * AREA * AREA + i[:, None] * AREA + i[None, :]
        b = tl.load(bias + square).to(tl.float32)
        total = tl.zeros((AREA, AREA), tl.float32)
        for step in range(rounds):
            index = tl.program_id(0) + step * stride
            if index < windows:
                place, region = _places(index, height, width, shift, WINDOW)
                offset = place[:, None] * (3 * HEADS * DIM) + head * DIM + d[None, :]
                q = (tl.load(qkv + offset).to(tl.float32) * scale).to(qkv.dtype.element_ty)
                k, v = tl.load(qkv + offset + HEADS * DIM), tl.load(qkv + offset + 2 * HEADS * DIM)
                g = tl.load(grad + place[:, None] * (HEADS * DIM) + head * DIM + d[None, :])
                p = _weights(q, k, b, region, shift)
                slope = tl.dot(g, tl.trans(v))
                s = p * (slope - tl.sum(p * slope, 1)[:, None])
                total += s
                narrow = s.to(q.dtype)
                tl.store(grad_qkv + offset, (tl.dot(narrow, k) * scale).to(q.dtype))
                tl.store(grad_qkv + offset + HEADS * DIM, tl.dot(tl.trans(narrow), q).to(q.dtype))
                tl.store(grad_qkv + offset + 2 * HEADS * DIM, tl.dot(tl.trans(p.to(g.dtype)), g).to(q.dtype))
        tl.atomic_add(grad_bias + square, total, sem="relaxed")


_PROGRAMS = 1024  # of the backward pass, over all heads: a few a multiprocessor


def forward_kernel(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    b, h, w, width = qkv.shape
    heads, dim = len(bias), width // 3 // len(bias)
    out = qkv.new_empty(b, h, w, heads * dim)
    windows = b * (h // window) * (w // window)
    _forward_kernel[(windows, heads)](
        qkv, bias, out, h, w, shift, dim**-0.5, HEADS=heads, DIM=dim, WINDOW=window
    )
    return out


def backward_kernel(
    grad: Tensor, qkv: Tensor, bias: Tensor, window: int, shift: int
) -> tuple[Tensor, Tensor]:
    b, h, w, width = qkv.shape
    heads, dim = len(bias), width // 3 // len(bias)
    windows = b * (h // window) * (w // window)
    stride = min(windows, max(1, _PROGRAMS // heads))
    grad_qkv, grad_bias = torch.empty_like(qkv), torch.zeros(bias.shape, device=bias.device)
    _backward_kernel[(stride, heads)](
        qkv,
        bias,
        grad,
        grad_qkv,
        grad_bias,
        h,
        w,
        shift,
        dim**-0.5,
        windows,
        stride,
        -(-windows // stride),
        HEADS=heads,
        DIM=dim,
        WINDOW=window,
    )
    return grad_qkv, grad_bias.to(bias.dtype)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv, bias, window, shift):
        ctx.save_for_backward(qkv, bias)
        ctx.window, ctx.shift = window, shift
        return forward_kernel(qkv, bias, window, shift)

    @staticmethod
    def backward(ctx, grad):
        return *backward_kernel(grad.contiguous(), *ctx.saved_tensors, ctx.window, ctx.shift), None, None


def attend(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    """``attend_plain`` by the kernels where there is a GPU and the sizes are powers of two."""
    heads, area = bias.shape[:2]
    dim = qkv.shape[-1] // 3 // heads
    fits = all(n >= 16 and n & (n - 1) == 0 for n in (area, dim)) and area <= 64
    if triton is None or not qkv.is_cuda or not fits:
        return attend_plain(qkv, bias, window, shift)
    return _Attend.apply(qkv.contiguous(), bias.contiguous(), window, shift)
