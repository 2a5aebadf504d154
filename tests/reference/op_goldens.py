"""Goldens of single ops: tiny cases computed by the reference's own modules and by PyTorch.

Every case is one call on one or two samples of different sizes, laid end to end as the engine
keeps them: matrices of [rows, columns], `sizes` telling the samples apart. A module's parameters
are listed among the inputs under the engine's names (src/ops/weights.h).
"""

import types

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from transformers import GroundingDinoConfig, SwinConfig
from transformers.models.grounding_dino import modeling_grounding_dino as grounding_dino
from transformers.models.mm_grounding_dino import modeling_mm_grounding_dino as mm_grounding_dino
from transformers.models.swin import modeling_swin as swin

from reference.files import write_json
from reference.procedural_image import procedural_image

DIM = 8


class Draw:
    """Seeded values of few digits, so that the file stays small and its floats exact."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        values = np.round(self.random.normal(0, scale, shape), 3)
        return torch.tensor(values.astype(np.float32))

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.tensor(np.round(self.random.uniform(0, 1, shape), 3).astype(np.float32))

    def fill(self, module: nn.Module, scale: float = 0.4) -> nn.Module:
        for name, parameter in module.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.data = self(*parameter.shape, scale=scale) + centre
        return module.eval()


def case(op: str, name: str, arguments: dict, inputs: dict, expected: dict) -> dict:
    def packed(tensors: dict) -> dict:
        result = {}
        for key, tensor in tensors.items():
            matrix = tensor.detach().reshape(-1, tensor.shape[-1])
            result[key] = {
                "rows": matrix.shape[0],
                "cols": matrix.shape[1],
                "values": [float(f"{v:.8g}") for v in matrix.flatten().tolist()],
            }
        return result

    return {
        "op": op,
        "name": name,
        "arguments": arguments,
        "inputs": packed(inputs),
        "expected": packed(expected),
    }


def infinities_as_text(value):
    """JSON has no infinity."""
    if isinstance(value, dict):
        return {key: infinities_as_text(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [infinities_as_text(entry) for entry in value]
    return "-inf" if value == float("-inf") else value


def linear_inputs(name: str, layer: nn.Linear) -> dict:
    result = {f"{name}.weight": layer.weight}
    if layer.bias is not None:
        result[f"{name}.bias"] = layer.bias[None]
    return result


def norm_inputs(name: str, layer: nn.Module) -> dict:
    return {f"{name}.weight": layer.weight[None], f"{name}.bias": layer.bias[None]}


def linear_cases(draw: Draw) -> list:
    x, residual = draw(3, 6), draw(3, 5)
    layer = draw.fill(nn.Linear(6, 5))
    before, after = draw.fill(nn.LayerNorm(6), 0.2), draw.fill(nn.LayerNorm(5, eps=1e-12), 0.2)
    inputs = {"x": x} | linear_inputs("linear", layer)
    cases = [
        case("linear", "plain", {"activation": "none"}, inputs, {"y": layer(x)}),
        case("linear", "relu", {"activation": "relu"}, inputs, {"y": F.relu(layer(x))}),
        case("linear", "gelu", {"activation": "gelu"}, inputs, {"y": F.gelu(layer(x))}),
        case(
            "linear",
            "everything",
            {"activation": "gelu", "before.epsilon": 1e-5, "after.epsilon": 1e-12},
            inputs | {"residual": residual} | norm_inputs("before", before) | norm_inputs("after", after),
            {"y": after(F.gelu(layer(before(x))) + residual)},
        ),
    ]
    up, down = draw.fill(nn.Linear(6, 11)), draw.fill(nn.Linear(11, 6))
    after = draw.fill(nn.LayerNorm(6), 0.2)
    inputs = {"x": x} | linear_inputs("up", up) | linear_inputs("down", down)
    cases += [
        case(
            "feed_forward",
            "pre_norm_gelu",
            {"activation": "gelu", "before.epsilon": 1e-5},
            inputs | norm_inputs("before", before),
            {"y": x + down(F.gelu(up(before(x))))},
        ),
        case(
            "feed_forward",
            "post_norm_relu",
            {"activation": "relu", "after.epsilon": 1e-5},
            inputs | norm_inputs("after", after),
            {"y": after(x + down(F.relu(up(x))))},
        ),
        case(
            "layer_norm",
            "layer_norm",
            {"norm.epsilon": 1e-5},
            {"x": x} | norm_inputs("norm", before),
            {"y": before(x)},
        ),
    ]
    group_norm = draw.fill(nn.GroupNorm(2, 6), 0.2)
    samples = [draw(4, 6), draw(3, 6)]
    cases.append(
        case(
            "group_norm",
            "two_samples",
            {"groups": 2, "sizes": [4, 3], "norm.epsilon": 1e-5},
            {"x": torch.cat(samples)} | norm_inputs("norm", group_norm),
            {"y": torch.cat([group_norm(sample.T[None])[0].T for sample in samples])},
        )
    )
    other, columns = draw(3, 5), draw(1, 5)
    cases += [
        case(
            "add_scaled",
            "add_scaled",
            {},
            {"a": residual, "b": other, "scale": columns},
            {"y": residual + columns * other},
        ),
        case("dot_rows", "dot_rows", {}, {"x": residual, "vector": columns}, {"y": residual @ columns.T}),
    ]
    return cases


def swin_cases(draw: Draw) -> list:
    """Maps larger and smaller than a window, divisible and not, with and without a shift."""
    cases = []
    for window, shift, heads, grids in [
        (3, 0, 2, [(6, 3)]),
        (3, 1, 2, [(5, 4), (7, 3)]),
        (4, 2, 1, [(3, 3), (2, 6)]),
    ]:
        config = SwinConfig(window_size=window, hidden_act="gelu")
        config._attn_implementation = "eager"
        layer = draw.fill(swin.SwinLayer(config, DIM, grids[0], heads, shift_size=shift), 0.5)
        nn.init.zeros_(layer.mlp.fc2.weight)  # leaves x + attention(norm(x)) alone
        nn.init.zeros_(layer.mlp.fc2.bias)
        samples = [draw(height * width, DIM) for height, width in grids]
        outputs = [
            layer(sample[None], grid, always_partition=True)[0][0] for sample, grid in zip(samples, grids)
        ]
        attention = layer.attention
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        inputs = {"x": torch.cat(samples)} | norm_inputs("norm", layer.layernorm_before)
        inputs["qkv.weight"] = torch.cat([p.weight for p in projections])
        inputs["qkv.bias"] = torch.cat([p.bias for p in projections])[None]
        inputs |= linear_inputs("output", attention.o_proj)
        inputs["bias"] = attention.relative_position_bias.relative_position_bias_table
        cases.append(
            case(
                "window_attention",
                f"window{window}_shift{shift}",
                {
                    "window": window,
                    "shift": shift,
                    "heads": heads,
                    "grids": grids,
                    "norm.epsilon": config.layer_norm_eps,
                },
                inputs,
                {"x": torch.cat(outputs)},
            )
        )

    grids = [(4, 2), (3, 5)]
    merging = draw.fill(swin.SwinPatchMerging(3))
    samples = [draw(height * width, 3) for height, width in grids]
    outputs = [merging(sample[None], grid)[0] for sample, grid in zip(samples, grids)]
    cases.append(
        case(
            "patch_merge",
            "even_and_odd",
            {"grids": grids, "norm.epsilon": 1e-5},
            {"x": torch.cat(samples)}
            | norm_inputs("norm", merging.norm)
            | linear_inputs("reduction", merging.reduction),
            {"y": torch.cat(outputs)},
        )
    )

    convolution = draw.fill(nn.Conv2d(3, 4, 3, stride=2, padding=1))
    outputs = [
        convolution(sample.T.reshape(1, 3, *grid))[0].flatten(1).T for sample, grid in zip(samples, grids)
    ]
    cases.append(
        case(
            "convolve_3x3_stride2",
            "even_and_odd",
            {"grids": grids},
            {
                "x": torch.cat(samples),
                "weight.weight": convolution.weight.permute(0, 2, 3, 1).reshape(4, -1),
                "weight.bias": convolution.bias[None],
            },
            {"y": torch.cat(outputs)},
        )
    )
    return cases


def image_cases() -> list:
    """Resize by Pillow, normalise, pad to patches and unfold as a strided convolution would."""
    cases = []
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for seed, size, resized, patch in [(31, (9, 7), (13, 10), 4), (32, (21, 18), (6, 9), 2)]:
        image = Image.fromarray(procedural_image(seed, *size))
        pixels = np.array(image.resize(resized, Image.Resampling.BILINEAR), dtype=np.float32)
        values = (torch.tensor(pixels) / 255 - mean) / std
        values = values.permute(2, 0, 1)
        values = F.pad(values, (0, -resized[0] % patch, 0, -resized[1] % patch))
        patches = F.unfold(values[None], patch, stride=patch)[0].T
        source = torch.tensor(np.array(image), dtype=torch.float32)
        cases.append(
            case(
                "image_patches",
                f"{size[0]}x{size[1]}_to_{resized[0]}x{resized[1]}",
                {
                    "width": resized[0],
                    "height": resized[1],
                    "patch": patch,
                    "scale": (1 / (255 * std)).tolist(),
                    "shift": (-mean / std).tolist(),
                },
                {"image": source.reshape(size[1], -1)},
                {"y": patches},
            )
        )
    return cases


def attention_cases(draw: Draw) -> list:
    heads, head_dim = 2, 3
    scale = head_dim**-0.5

    def attend(query, key, value, mask=None):
        q, k, v = (m.reshape(len(m), heads, -1).transpose(0, 1) for m in (query, key, value))
        return F.scaled_dot_product_attention(q, k, v, mask).transpose(0, 1).flatten(1)

    width = heads * head_dim
    queries, keys = [draw(4, width), draw(2, width)], [draw(3, width), draw(5, width)]
    values = [draw(3, width), draw(5, width)]
    cross = case(
        "attention",
        "cross",
        {"heads": heads, "scale": scale, "query_sizes": [4, 2], "key_sizes": [3, 5], "blocks": []},
        {"query": torch.cat(queries), "key": torch.cat(keys), "value": torch.cat(values)},
        {"y": torch.cat([attend(*sample) for sample in zip(queries, keys, values)])},
    )

    blocks = [[0, 1, 1, 1, 2, 3], [0, 0, 1]]
    queries, keys, values = ([draw(len(b), width) for b in blocks] for _ in range(3))
    masks = [torch.tensor(b)[:, None] == torch.tensor(b)[None] for b in blocks]
    masked = case(
        "attention",
        "blocks",
        {
            "heads": heads,
            "scale": scale,
            "query_sizes": [6, 3],
            "key_sizes": [6, 3],
            "blocks": [rows for block in blocks for rows in block],
        },
        {"query": torch.cat(queries), "key": torch.cat(keys), "value": torch.cat(values)},
        {"y": torch.cat([attend(*sample) for sample in zip(queries, keys, values, masks)])},
    )
    return [cross, masked]


def text_cases(draw: Draw) -> list:
    words, positions, types_table = draw(7, 4), draw(5, 4), draw(2, 4)
    ids, position_ids = [6, 0, 3, 3], [0, 1, 4, 0]
    return [
        case(
            "embed_tokens",
            "embed_tokens",
            {"ids": ids, "position_ids": position_ids},
            {"words": words, "positions": positions, "types": types_table},
            {"y": words[ids] + positions[position_ids] + types_table[0]},
        )
    ]


def detector_config(heads: int = 2) -> GroundingDinoConfig:
    return GroundingDinoConfig(
        d_model=DIM,
        encoder_attention_heads=heads,
        encoder_ffn_dim=24,
        num_feature_levels=2,
        encoder_n_points=3,
        max_text_len=6,
        fusion_droppath=0.0,
    )


def fusion_cases(draw: Draw) -> list:
    """The reference's layer against the folding of its projections into the text."""
    layer = draw.fill(grounding_dino.GroundingDinoFusionLayer(detector_config(heads=4)), 0.6)
    attention = layer.attn
    heads, head_dim = attention.num_heads, attention.head_dim
    visions, texts = [draw(7, DIM), draw(5, DIM)], [draw(3, DIM), draw(2, DIM)]
    parts = {key: [] for key in ("keys", "key_bias", "values", "context", "vision")}
    for vision, text in zip(visions, texts):
        (output, _), _ = layer(vision[None], text[None])
        t = layer.layer_norm_text(text)
        k = attention.text_proj(t).reshape(-1, heads, head_dim)
        v = attention.values_text_proj(t).reshape(-1, heads, head_dim)
        w_q = attention.vision_proj.weight.reshape(heads, head_dim, DIM)
        b_q = attention.vision_proj.bias.reshape(heads, head_dim)
        w_out = attention.out_vision_proj.weight.reshape(DIM, heads, head_dim)
        keys = torch.einsum("thc,hcd->htd", k, w_q) * attention.scale
        key_bias = torch.einsum("thc,hc->ht", k, b_q) * attention.scale
        x = layer.layer_norm_vision(vision)
        scores = torch.einsum("nd,htd->htn", x, keys) + key_bias[..., None]
        parts["keys"].append(keys.flatten(0, 1))
        parts["key_bias"].append(key_bias.reshape(-1, 1))
        parts["values"].append(torch.einsum("thc,dhc->htd", v, w_out).flatten(0, 1))
        parts["context"].append((scores.softmax(-1) @ x).flatten(0, 1))
        parts["vision"].append(output[0])
    parts = {key: torch.cat(value) for key, value in parts.items()}
    return [
        case(
            "folded_fusion",
            "two_samples",
            {"heads": heads, "sizes": [7, 5], "folded_sizes": [3 * heads, 2 * heads], "norm.epsilon": 1e-5},
            {
                "vision": torch.cat(visions),
                "keys": parts["keys"],
                "key_bias": parts["key_bias"],
                "values": parts["values"],
                "output_bias": attention.out_vision_proj.bias[None],
                "gamma": layer.vision_param[None],
            }
            | norm_inputs("norm", layer.layer_norm_vision),
            {"vision": parts["vision"], "context": parts["context"]},
        )
    ]


PYRAMIDS = [[(3, 4), (2, 2)], [(2, 5), (1, 3)]]


def pyramid_rows(levels: list) -> int:
    return sum(height * width for height, width in levels)


def axis_rows(levels: list) -> int:
    return sum(height + width for height, width in levels)


def of_cells(table: torch.Tensor, levels: list) -> torch.Tensor:
    """A level's rows, then its columns, level by level: every cell's sum of its two."""
    parts = iter(table.split([size for grid in levels for size in grid]))
    return torch.cat([(next(parts)[:, None] + next(parts)[None]).flatten(0, 1) for _ in levels])


def deformable_cases(draw: Draw) -> list:
    config = detector_config()
    attention = draw.fill(grounding_dino.GroundingDinoMultiscaleDeformableAttention(config, 2, 3), 0.7)
    attention.value_proj = nn.Identity()  # a separate product in the engine
    norm = draw.fill(nn.LayerNorm(DIM), 0.2)
    inputs = {
        "sampling.weight": torch.cat([attention.sampling_offsets.weight, attention.attention_weights.weight]),
        "sampling.bias": torch.cat([attention.sampling_offsets.bias, attention.attention_weights.bias])[None],
    }
    inputs |= linear_inputs("output", attention.output_proj) | norm_inputs("norm", norm)

    def attend(query, position, value, levels, reference):
        output, _ = attention(
            query[None],
            encoder_hidden_states=value[None],
            position_embeddings=position[None],
            reference_points=reference,
            spatial_shapes=torch.tensor(levels),
            spatial_shapes_list=levels,
            level_start_index=torch.tensor([0, levels[0][0] * levels[0][1]]),
        )
        return norm(query + output[0])

    cases = []
    for name in ("cells", "boxes"):
        query_sizes = [pyramid_rows(p) if name == "cells" else 3 for p in PYRAMIDS]
        queries = [draw(rows, DIM) for rows in query_sizes]
        positions = [draw(rows, DIM) for rows in query_sizes]
        position_inputs = positions
        if name == "cells":  # a table has fewer rows than its pyramid cells, here too
            position_inputs = [drawn[: axis_rows(levels)] for drawn, levels in zip(positions, PYRAMIDS)]
            positions = [of_cells(table, levels) for table, levels in zip(position_inputs, PYRAMIDS)]
        values = [draw(pyramid_rows(levels), DIM) for levels in PYRAMIDS]
        boxes = [draw.uniform(rows, 4) for rows in query_sizes]
        outputs = []
        for query, position, value, levels, box in zip(queries, positions, values, PYRAMIDS, boxes):
            reference = box[None, :, None].expand(-1, -1, 2, -1)
            if name == "cells":
                reference = grounding_dino.GroundingDinoEncoder.get_reference_points(
                    levels, torch.ones(1, 2, 2), "cpu"
                )
            outputs.append(attend(query, position, value, levels, reference))
        reference_input = {} if name == "cells" else {"reference": torch.cat(boxes)}
        cases.append(
            case(
                "deformable_attention",
                name,
                {
                    "heads": 2,
                    "points": 3,
                    "pyramids": PYRAMIDS,
                    "query_sizes": query_sizes,
                    "norm.epsilon": 1e-5,
                },
                {
                    "query": torch.cat(queries),
                    "position": torch.cat(position_inputs),
                    "value": torch.cat(values),
                }
                | inputs
                | reference_input,
                {"y": torch.cat(outputs)},
            )
        )
    return cases


def position_cases(draw: Draw) -> list:
    config = detector_config()
    embed = grounding_dino.GroundingDinoSinePositionEmbedding(config)
    level_embedding = draw(2, DIM)
    zeros = torch.zeros(DIM // 2)
    axes = []
    for levels in PYRAMIDS:
        for level, grid in enumerate(levels):
            ones = torch.ones(1, *grid)
            position = embed(ones, ones)[0].permute(1, 2, 0) + level_embedding[level]
            down, across = position.split(DIM // 2, dim=-1)
            down, across = down[:, :1], across[:1]  # the halves depend on row or column alone
            torch.testing.assert_close(
                torch.cat([down.expand(*grid, -1), across.expand(*grid, -1)], dim=-1),
                position,
                rtol=0,
                atol=0,
            )
            axes += [torch.cat([half, zeros]) for half in down[:, 0]]
            axes += [torch.cat([zeros, half]) for half in across[0]]
    boxes = draw.uniform(4, 4)
    embedded = grounding_dino.encode_sinusoidal_position_embedding(boxes, num_pos_feats=DIM)
    return [
        case(
            "axis_positions",
            "two_pyramids",
            {"pyramids": PYRAMIDS, "temperature": 20},
            {"level_embedding": level_embedding},
            {"y": torch.stack(axes)},
        ),
        case("box_positions", "box_positions", {"features": DIM}, {"boxes": boxes}, {"y": embedded}),
    ]


def head_cases(draw: Draw) -> list:
    config = detector_config()
    # 51 columns: the centres of the outer ones leave (0.01, 0.99).
    pyramids = [[(1, 51), (2, 3), (1, 1), (2, 1), (1, 2), (1, 1)]]
    rows = pyramid_rows(pyramids[0])
    model = types.SimpleNamespace(enc_output=nn.Identity(), enc_output_norm=nn.Identity())
    x, delta = draw(rows, 2), draw(rows, 4)
    masked, proposals = grounding_dino.GroundingDinoModel.generate_encoder_output_proposals(
        model, x[None], torch.zeros(1, rows, dtype=torch.bool), pyramids[0]
    )
    chosen = [0, 50, 1, 49, 51, 56, 57, 58, 61, 62, 60]
    cases = [
        case("mask_proposals", "six_levels", {"pyramids": pyramids}, {"x": x}, {"y": masked[0]}),
        case(
            "proposal_boxes",
            "six_levels",
            {"pyramids": pyramids, "rows": chosen},
            {"delta": delta[chosen]},
            {"y": (delta + proposals[0]).sigmoid()[chosen]},
        ),
    ]
    boxes = draw.uniform(4, 4)
    boxes[0] = torch.tensor([0.0, 1.0, 1e-6, 1 - 1e-6])
    delta = draw(4, 4)
    cases.append(
        case(
            "refine_boxes",
            "refine_boxes",
            {},
            {"delta": delta, "boxes": boxes},
            {"y": (delta + torch.special.logit(boxes, eps=1e-5)).sigmoid()},
        )
    )

    visions, texts = [draw(4, DIM), draw(3, DIM)], [draw(5, DIM), draw(2, DIM)]
    biased = mm_grounding_dino.MMGroundingDinoContrastiveEmbedding(config)
    biased.bias.fill_(-4.5)
    for name, embedding, scale, bias in (
        ("two_samples", grounding_dino.GroundingDinoContrastiveEmbedding(config), 1, 0),
        ("scaled_and_biased", biased, DIM**-0.5, -4.5),
    ):
        logits = torch.cat(
            [
                embedding(v[None], t[None], torch.ones(1, len(t), dtype=torch.bool))[0]
                for v, t in zip(visions, texts)
            ]
        )
        arguments = {
            "sizes": [4, 3],
            "text_sizes": [5, 2],
            "columns": config.max_text_len,
            "scale": scale,
            "bias": bias,
        }
        inputs = {"x": torch.cat(visions), "text": torch.cat(texts)}
        cases += [
            case("similarity", name, arguments, inputs, {"y": logits}),
            case("max_similarity", name, arguments, inputs, {"y": logits.max(-1, keepdim=True)[0]}),
        ]
    scores = draw(11, 1)
    best = [torch.topk(scores[:6, 0], 3)[1], 6 + torch.topk(scores[6:, 0], 5)[1]]
    cases.append(
        case(
            "top_k",
            "two_samples",
            {"sizes": [6, 5], "counts": [3, 5]},
            {"scores": scores},
            {"y": torch.cat(best)[:, None].float()},
        )
    )
    return cases


def dump(arguments) -> None:
    with torch.no_grad():
        draw = Draw(7)
        cases = (
            linear_cases(draw)
            + swin_cases(draw)
            + image_cases()
            + attention_cases(draw)
            + text_cases(draw)
            + fusion_cases(draw)
            + deformable_cases(draw)
            + position_cases(draw)
            + head_cases(draw)
        )
    write_json(arguments.out / "ops" / "ops.json", {"cases": infinities_as_text(cases)}, compact_rows=True)
