"""Procedural weights, identical in tests/support/procedural_weights.cpp.

Every element of every tensor is a function of the tensor's published name, its shape and the flat
index i (row-major), so that a full-size checkpoint needs no file:

    seed  = FNV-1a 64 of the name's bytes
    bits  = splitmix64(seed + i * 0x9E3779B97F4A7C15) >> 40        (24 bits)
    unit  = bits / 2^23 - 1                                        (exact in float32, [-1, 1))
    value = offset + scale * unit                                  (float32, two roundings)

`offset` and `scale` are computed in double and rounded to float32 once. They follow from the name
and the shape by the first rule that matches (d = elements of a one-dimensional tensor, s = what
the class heads multiply x.t by: 1, in mm-grounding-dino 1 / sqrt(d_model), fan_in = product of all
dimensions but the first, keep = sqrt(3 / fan_in), which preserves the variance):

    name ends with                                          offset     scale
    relative_position_bias_table                            0          0.5
    text_enhancer_layer.layer_norm_after.weight             w          w / 4     w = 2.56 / sqrt(d) / s
    text_enhancer_layer.layer_norm_after.bias               -26 / d/s  6.5 / d / s
    decoder.layer_norm.bias, enc_output_norm.bias           0.25       0.1
    enc_output.bias                                         0          0.001
    norm*.weight, input_proj_vision.L.1.weight              1          0.2
    norm*.bias, input_proj_vision.L.1.bias                  0          0.1
    vision_param, text_param                                0.5        0.25
    sampling_offsets.bias                                   0          4
    level_embed                                             0          0.5
    word_embeddings.weight, query_position_embeddings.weight  0        1
    embeddings.weight (position, token type)                0          0.3
    bias of a class_embed                                   0          0.5
    any other one-dimensional tensor (a bias)               0          0.05
    layers.2.weight of a bbox_embed                         0          0.2 keep
    query, key, vision_proj, text_proj .weight              0          1.5 keep
    output.dense, out_proj, out_*_proj, fc2 .weight         0          0.3 keep
    everything else                                         0          keep

Why: branches at 0.3 of the residual and attention scores wide of zero keep tokens and queries
apart through all layers (at 1 a random transformer makes them all equal). The text norm's small
weight and negative bias against the positive bias of the norms on the vision side give token
logits around -5 with a spread of 1.5, as a trained detector's: a few queries pass 0.25.
enc_output.bias is small so that masked proposals, which all share one feature, score low instead
of filling the top-k with ties.

Rows of query_position_embeddings repeat: row r has the values of row r - r mod max(1, rows / 16).
The decoder's input is the embedding of a proposal's rank, and of 900 ranks a few always swap by
rounding; so rounding changes nothing, while a wrong row, further off, still does.
"""

import math
import re

import numpy as np

from reference.procedural_image import splitmix64_array

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 1 << 22
_ATTENTION_INPUTS = (".query.weight", ".key.weight", ".vision_proj.weight", ".text_proj.weight")
_BRANCH_OUTPUTS = (
    ".output.dense.weight",
    ".out_proj.weight",
    ".out_vision_proj.weight",
    ".out_text_proj.weight",
    ".fc2.weight",
)
_NORM = re.compile(
    r"(norm\w*|hidden_states_norms\.\w+|input_proj_vision\.\d+\.1)"
    r"\.(weight|bias)$",
    re.IGNORECASE,
)


def fnv1a64(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8"):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def offset_and_scale(name: str, shape: tuple[int, ...], logit_scale: float = 1.0) -> tuple[float, float]:
    """The rule of the table above for one tensor, in double."""
    size = math.prod(shape)
    if name.endswith("relative_position_bias_table"):
        return 0.0, 0.5
    if name.endswith("text_enhancer_layer.layer_norm_after.weight"):
        weight = 2.56 / math.sqrt(size) / logit_scale
        return weight, weight / 4
    if name.endswith("text_enhancer_layer.layer_norm_after.bias"):
        return -26.0 / size / logit_scale, 6.5 / size / logit_scale
    if name.endswith(("decoder.layer_norm.bias", "enc_output_norm.bias")):
        return 0.25, 0.1
    if name.endswith("enc_output.bias"):
        return 0.0, 0.001
    if len(shape) == 1 and _NORM.search(name):
        return (1.0, 0.2) if name.endswith(".weight") else (0.0, 0.1)
    if name.endswith(("vision_param", "text_param")):
        return 0.5, 0.25
    if name.endswith("sampling_offsets.bias"):
        return 0.0, 4.0
    if name.endswith("level_embed"):
        return 0.0, 0.5
    if name.endswith(("word_embeddings.weight", "query_position_embeddings.weight")):
        return 0.0, 1.0
    if name.endswith("embeddings.weight"):
        return 0.0, 0.3
    if "class_embed" in name:
        return 0.0, 0.5
    if len(shape) == 1:
        return 0.0, 0.05
    keep = math.sqrt(3.0 / (size // shape[0]))
    if "bbox_embed" in name and name.endswith("layers.2.weight"):
        return 0.0, 0.2 * keep
    if name.endswith(_ATTENTION_INPUTS):
        return 0.0, 1.5 * keep
    if name.endswith(_BRANCH_OUTPUTS):
        return 0.0, 0.3 * keep
    return 0.0, keep


def row_repeats(name: str, shape: tuple[int, ...]) -> int:
    """How many consecutive rows hold the same values."""
    if name.endswith("query_position_embeddings.weight"):
        return max(1, shape[0] // 16)
    return 1


def logit_scale(config: dict) -> float:
    """By what the class heads of a configuration multiply x.t."""
    return config["d_model"] ** -0.5 if config["model_type"] == "mm-grounding-dino" else 1.0


def procedural_tensor(name: str, shape: tuple[int, ...], logit_scale: float = 1.0) -> np.ndarray:
    """float32 array of `shape`."""
    offset, scale = (np.float32(value) for value in offset_and_scale(name, shape, logit_scale))
    seed = np.uint64(fnv1a64(name))
    repeats, columns = (np.uint64(n) for n in (row_repeats(name, shape), (1, *shape)[-1]))
    out = np.empty(math.prod(shape), dtype=np.float32)
    for begin in range(0, out.size, _CHUNK):
        index = np.arange(begin, min(begin + _CHUNK, out.size), dtype=np.uint64)
        if repeats > 1:
            row, column = index // columns, index % columns
            index = (row - row % repeats) * columns + column
        bits = (splitmix64_array(seed + index * _GOLDEN) >> np.uint64(40)).astype(np.float32)
        unit = bits * np.float32(2.0**-23) - np.float32(1.0)
        out[begin : begin + bits.size] = offset + scale * unit
    return out.reshape(shape)
