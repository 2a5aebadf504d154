"""The fast forward pass against transformers' own."""

import pytest
import torch

from training import deformable, export, model

SHAPE = dict(
    swin_embed=32,
    swin_depths=[2, 2, 2],
    swin_heads=[1, 2, 4],
    swin_window=4,
    swin_outputs=2,
    text_layers=1,
    d_model=64,
    queries=10,
    levels=4,
    encoder_layers=2,
    decoder_layers=2,
    ffn=128,
    heads=2,
    encoder_points=2,
    decoder_points=4,
)


def tiny() -> model.GroundingDinoForObjectDetection:
    torch.manual_seed(0)
    network = model.build(model.make_config(1100, SHAPE)).eval()
    with torch.no_grad():
        for name, p in network.named_parameters():  # zero-initialised heads would hide mistakes
            if (
                "bbox_embed" in name
                or "sampling_offsets" in name
                or "attention_weights" in name
                or "bias" in name
            ):
                p.add_(torch.randn_like(p) * 0.05)
    return network


def prompts() -> torch.Tensor:
    return torch.tensor([[101, 7, 8, 1012, 9, 1012, 102, 0, 0], [101, 5, 1012, 6, 11, 12, 13, 1012, 102]])


# 75 px: odd maps, so that windows and merging pad; 96x64: exact.
@pytest.mark.parametrize("size", [(75, 110), (96, 64)])
def test_matches_transformers(size):
    network = tiny()
    pictures = torch.rand(2, 3, *size)
    ids = prompts()
    fast = model.Detector(network).eval()
    with torch.no_grad():
        want = network(
            pixel_values=(pictures - fast.mean) / fast.std,
            input_ids=ids,
            attention_mask=(ids != 0).long(),
            token_type_ids=torch.zeros_like(ids),
            pixel_mask=torch.ones(2, *size, dtype=torch.long),
        )
        got = fast(pictures, ids)
    real = ids != 0
    for b in range(2):
        torch.testing.assert_close(
            got.logits[-1, b][:, real[b]], want.logits[b, :, : ids.shape[1]][:, real[b]], atol=2e-4, rtol=1e-4
        )
    torch.testing.assert_close(got.boxes[-1], want.pred_boxes, atol=2e-5, rtol=1e-4)


def test_blends_are_means_but_for_the_queries():
    one, two = (
        {"x": torch.tensor([v]), "model.query_position_embeddings.weight": torch.tensor([v])}
        for v in (1.0, 3.0)
    )
    blended = export.blend(one, two, 0.25)
    assert [t.item() for t in blended.values()] == [1.5, 1.0]


def test_groups_change_nothing_for_the_first():
    network = tiny()
    pictures, ids = torch.rand(2, 3, 64, 64), prompts()
    torch.manual_seed(1)
    with torch.no_grad():
        network.train()
        one = model.Detector(network, groups=1).train()
        three = model.Detector(network, groups=3).train()
        one._text_position = three._text_position = lambda p: torch.zeros(*p.shape, 64)
        a, b = one(pictures, ids), three(pictures, ids)
    assert b.boxes.shape[2] == 30
    torch.testing.assert_close(a.boxes, b.boxes[:, :, :10], atol=1e-5, rtol=1e-4)


def test_plain_deformable_matches_a_hand_computed_sample():
    value = torch.arange(4.0).view(1, 4, 1, 1)  # a 2x2 map
    locations = torch.tensor([0.5, 0.5]).view(1, 1, 1, 1, 1, 2)
    out = deformable.sample_plain(value, [(2, 2)], locations, torch.full((1, 1, 1, 1, 1), 2.0))
    assert out.item() == pytest.approx(2 * 1.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels need a GPU")
def test_kernels_match_plain():
    torch.manual_seed(0)
    shapes = [(9, 7), (5, 4)]
    tokens = sum(h * w for h, w in shapes)
    inputs = [
        torch.randn(2, tokens, 3, 32),
        torch.rand(2, 11, 3, 2, 4, 2) * 1.2 - 0.1,
        torch.rand(2, 11, 3, 2, 4),
    ]
    grads = []
    for fast in (False, True):
        value, locations, weights = (t.cuda().requires_grad_() for t in inputs)
        if fast:
            out = deformable.sample(value, shapes, deformable.level_table(shapes, "cuda"), locations, weights)
        else:
            out = deformable.sample_plain(value, shapes, locations, weights)
        out.sin().sum().backward()
        grads.append((out, value.grad, locations.grad, weights.grad))
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
