"""Windowed attention: the kernels against their definition."""

import interpreter
import pytest
import torch

from training import windows


def inputs(b: int, h: int, w: int, heads: int, dim: int, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(3)
    make = lambda *shape: torch.randn(*shape, generator=generator).to(device, dtype)
    return make(b, h, w, 3 * heads * dim), make(heads, 64, 64), make(b, h, w, heads * dim)


def plain(qkv, bias, grad, shift):
    qkv, bias = qkv.detach().requires_grad_(), bias.detach().requires_grad_()
    y = windows.attend_plain(qkv, bias, 8, shift)
    y.backward(grad)
    return y.detach(), qkv.grad, bias.grad


def interpreted() -> None:
    windows._PROGRAMS = 6  # so that one program walks over several windows
    for shift in (0, 4):
        qkv, bias, grad = inputs(2, 16, 24, 2, 16)
        wanted = plain(qkv, bias, grad, shift)
        got = windows.forward_kernel(qkv, bias, 8, shift), *windows.backward_kernel(grad, qkv, bias, 8, shift)
        for a, b in zip(got, wanted):
            torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


@pytest.mark.skipif(windows.triton is None, reason="Triton is not installed")
def test_interpreted_kernels_attend_as_the_definition_does():
    interpreter.run(__file__)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("shift", [0, 4])
def test_the_kernels_attend_on_a_gpu(shift):
    qkv, bias, grad = inputs(8, 40, 80, 4, 32, torch.bfloat16, "cuda")
    wanted = plain(qkv.float(), bias.float(), grad.float(), shift)
    leaf, table = qkv.clone().requires_grad_(), bias.clone().requires_grad_()
    y = windows.attend(leaf, table, 8, shift)
    y.backward(grad)
    for a, b in zip((y.detach(), leaf.grad, table.grad), wanted):
        assert (a.float() - b).abs().max() < 0.02 * b.abs().max()


if __name__ == "__main__":
    interpreter.mend()
    interpreted()
