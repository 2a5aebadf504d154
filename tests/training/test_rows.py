"""Layer norm and linear layers against torch's: interpreted without a GPU, compiled with one."""

import interpreter
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from training import rows


def interpreted() -> None:
    """The kernels against torch in f32, from the same rounded inputs; runs where TRITON_INTERPRET is set."""
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        # No count of rows fills its tiles; the last two give every program several, and three of columns.
        for shape in [(3, 7, 64), (1, 192), (5, 384), (211, 64), (467, 192)]:
            x, grad = (torch.randn(shape) * 2 + 1).to(dtype), torch.randn(shape).to(dtype)
            weight, bias = torch.randn(2, shape[-1]).to(dtype)
            exact = [t.float().requires_grad_() for t in (x, weight, bias)]
            want = F.layer_norm(exact[0], shape[-1:], exact[1], exact[2], 1e-5)
            want.backward(grad.float())
            out, stats = rows.norm_forward(x, weight, bias, 1e-5)
            grad_x, grad_affine = rows.norm_backward(grad, x, weight, stats)
            assert out.dtype == grad_x.dtype == dtype and grad_affine.dtype == torch.float
            torch.testing.assert_close(
                out, want.detach().to(dtype), atol=1e-5, rtol=8e-3 if dtype == torch.bfloat16 else 1e-5
            )
            torch.testing.assert_close(
                grad_x, exact[0].grad.to(dtype), atol=1e-5, rtol=8e-3 if dtype == torch.bfloat16 else 1e-4
            )
            torch.testing.assert_close(
                grad_affine, torch.stack([t.grad for t in exact[1:]]), atol=1e-4, rtol=1e-4
            )
            flat = grad.view(-1, shape[-1])
            torch.testing.assert_close(rows.column_sum(flat), flat.float().sum(0), atol=1e-4, rtol=1e-4)
        for columns in (1, 4, 100):
            flat = torch.randn(300, columns).to(dtype)
            torch.testing.assert_close(rows.column_sum(flat), flat.float().sum(0), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(rows.triton is None, reason="Triton is not installed")
def test_interpreted_kernels_match_torch():
    interpreter.run(__file__)


def gradients(function, *inputs):
    """The output of ``function`` and the gradients of its inputs."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    out = function(*inputs)
    torch.manual_seed(1)
    return out.detach(), *torch.autograd.grad(
        out, inputs, torch.randn(out.shape, device=out.device).to(out.dtype)
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels need a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_match_torch(dtype):
    torch.manual_seed(0)
    close = dict(atol=2e-2, rtol=1.6e-2) if dtype == torch.bfloat16 else dict(atol=1e-3, rtol=1e-3)
    sums = (
        dict(atol=4.0, rtol=1.6e-2) if dtype == torch.bfloat16 else dict(atol=5e-2, rtol=1e-3)
    )  # of 614400 numbers
    for shape in [
        (96, 80, 80, 64),
        (96, 40, 40, 128),
        (96, 2125, 192),
        (37, 256),
        (96, 20, 20, 384),
        (96, 10, 10, 1024),
    ]:
        columns = shape[-1]
        x, weight, bias = (torch.randn(s, device="cuda").to(dtype) for s in (shape, (columns,), (columns,)))
        want = gradients(lambda *t: F.layer_norm(t[0], t[0].shape[-1:], *t[1:]), x, weight, bias)
        got = gradients(rows.layer_norm, x, weight, bias)
        for a, b, tolerance in zip(got, want, (close, close, sums, sums)):
            assert a.dtype == dtype
            torch.testing.assert_close(a, b, **tolerance)
    for shape, columns in [
        ((96, 80, 80, 64), 192),
        ((96, 2125, 192), 96),
        ((96, 300, 192), 4),
        ((38400, 384), 1000),
    ]:
        x = torch.randn(shape, device="cuda").to(dtype)
        weight = (torch.randn(columns, shape[-1], device="cuda") * shape[-1] ** -0.5).to(dtype)
        bias = torch.randn(columns, device="cuda").to(dtype)
        got, want = gradients(rows.linear, x, weight, bias), gradients(F.linear, x, weight, bias)
        for a, b, tolerance in zip(got, want, (close, close, sums, sums)):
            assert a.dtype == dtype
            torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels need a GPU")
def test_strided_and_partial_gradients():
    torch.manual_seed(0)
    x = torch.randn(5, 64, 33, device="cuda").transpose(1, 2)
    norm, line = nn.LayerNorm(64).cuda(), nn.Linear(64, 48).cuda()
    line.weight.requires_grad_(False)
    network = nn.Sequential(norm, line)
    # A transposed and an expanded gradient come back.
    step = lambda t: (network(t).transpose(1, 2) * 2).sum((0, 2)).square().sum()
    grads = []
    for _ in range(2):
        source = x.detach().requires_grad_()
        grads.append(torch.autograd.grad(step(source), [source, norm.weight, norm.bias, line.bias]))
        rows.adopt(network)
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, atol=1e-2, rtol=1e-3)


def test_adoption_changes_classes_and_nothing_else():
    network = nn.ModuleList(
        [nn.LayerNorm(8), nn.Linear(8, 4), nn.Linear(8, 4, bias=False), nn.MultiheadAttention(8, 2)]
    )
    before, x = network.state_dict(), torch.randn(3, 8)
    want = [part(x) for part in network[:3]]
    rows.adopt(network)
    assert all(torch.equal(part(x), w) for part, w in zip(network, want))
    assert network.state_dict().keys() == before.keys()
    assert [type(part) for part in network[:3]] == [rows.LayerNorm, rows.Linear, rows.Linear]
    assert type(network[3].out_proj) is not rows.Linear  # a subclass of torch's


if __name__ == "__main__":
    interpreter.mend()
    interpreted()
