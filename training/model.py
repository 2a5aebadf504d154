"""Grounding DINO for training: transformers' modules and weights, a forward pass made for speed.

``GroundingDinoForObjectDetection`` owns every parameter, so that checkpoints need no conversion; the
functions here compute the same outputs (a test compares them) for batches of equal size without
padding. What differs: fusion attention is folded into the text side, deformable attention is one
kernel, box heads run on the selected proposals, and the decoder can carry extra groups of queries
for training (Group DETR, arXiv 2207.13085).
"""

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig
from transformers.models.grounding_dino.modeling_grounding_dino import (
    encode_sinusoidal_position_embedding,
)

from training import deformable, rows, windows

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


def make_config(vocab_size: int, shape: dict, drop_path: float = 0.0) -> GroundingDinoConfig:
    """The published configuration class filled from the ``[model]`` table of a training config."""
    stages = len(shape["swin_depths"])
    swin = SwinConfig(
        image_size=256,
        embed_dim=shape["swin_embed"],
        depths=shape["swin_depths"],
        num_heads=shape["swin_heads"],
        window_size=shape["swin_window"],
        drop_path_rate=drop_path,
        out_features=[f"stage{i}" for i in range(stages - shape["swin_outputs"] + 1, stages + 1)],
    )
    text = BertConfig(
        vocab_size=vocab_size,
        hidden_size=384,
        num_hidden_layers=shape["text_layers"],
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    zero = dict.fromkeys(
        (
            "dropout",
            "attention_dropout",
            "activation_dropout",
            "fusion_dropout",
            "fusion_droppath",
            "text_enhancer_dropout",
        ),
        0.0,
    )
    return GroundingDinoConfig(
        backbone_config=swin,
        text_config=text,
        d_model=shape["d_model"],
        num_queries=shape["queries"],
        num_feature_levels=shape["levels"],
        encoder_layers=shape["encoder_layers"],
        decoder_layers=shape["decoder_layers"],
        encoder_ffn_dim=shape["ffn"],
        decoder_ffn_dim=shape["ffn"],
        encoder_attention_heads=shape["heads"],
        decoder_attention_heads=shape["heads"],
        encoder_n_points=shape["encoder_points"],
        decoder_n_points=shape["decoder_points"],
        max_text_len=256,
        disable_custom_kernels=True,
        **zero,
    )


def build(
    config: GroundingDinoConfig, text_weights: dict[str, Tensor] | None = None
) -> GroundingDinoForObjectDetection:
    """A fresh model; the text encoder starts from ``text_weights`` where given."""
    model = GroundingDinoForObjectDetection(config).float()
    if text_weights is not None:
        missing, unexpected = model.model.text_backbone.load_state_dict(
            {k: v.float() for k, v in text_weights.items()}, strict=False
        )
        if unexpected or any("position_ids" not in k for k in missing):
            raise ValueError(f"text encoder does not fit: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        # Logits are plain dot products of normalised states. Small text states keep the first ones small,
        # and opposite biases along one direction start every probability near 2%, as a detector's
        # prior should be; without it the first steps only unlearn thousands of false alarms.
        along = torch.full((config.d_model,), config.d_model**-0.5)
        text_norm = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
        text_norm.weight.mul_(0.12)
        text_norm.bias.add_(-0.5 * along)
        model.model.decoder.layer_norm.bias.add_(8 * along)
        model.model.enc_output_norm.bias.add_(8 * along)
        for layer in model.model.encoder.layers:  # 1e-4 keeps fusion shut for most of a short training
            layer.fusion_layer.vision_param.fill_(0.1)
            layer.fusion_layer.text_param.fill_(0.1)
    return model


@dataclass
class Outputs:
    """What training needs of one forward pass; G groups of Q queries, L decoder layers, T tokens.

    logits      [L, B, G*Q, T] (the first group is the one that inference has)
    boxes       [L, B, G*Q, 4] cx cy w h in 0..1
    states      [B, G*Q, d]    last decoder states
    proposals   [B, N, T] logits and proposal_boxes [B, N, 4] of every encoder token
    proposal_ok bool [N]       tokens whose initial box lies inside the picture
    points      f32 [N, 2]     centres of the encoder's tokens, 0..1
    backbone    [B, C, h, w]   the last backbone output
    token_mask  bool [B, T]    False at padding
    """

    logits: Tensor
    boxes: Tensor
    states: Tensor
    proposals: Tensor
    proposal_boxes: Tensor
    proposal_ok: Tensor
    points: Tensor
    backbone: Tensor
    token_mask: Tensor


@dataclass
class Encoded:
    """What the decoder starts from; N tokens of all levels, T text tokens, Q proposals.

    vision [B, N, d], text [B, T, d], token_mask bool [B, T], reference f32 [B, Q, 4] (the proposals'
    boxes, best first), shapes the levels' (height, width); the rest as in ``Outputs``.
    """

    vision: Tensor
    text: Tensor
    token_mask: Tensor
    reference: Tensor
    shapes: list[tuple[int, int]]
    proposals: Tensor | None = None
    proposal_boxes: Tensor | None = None
    proposal_ok: Tensor | None = None
    points: Tensor | None = None
    backbone: Tensor | None = None


# -- Swin -------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _relative_positions(window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One-hot [window⁴, (2·window−1)²]: as a product, the bias table's gradient is a product too."""
    at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    apart = at[:, :, None] - at[:, None] + window - 1
    index = apart[0] * (2 * window - 1) + apart[1]
    return F.one_hot(index.flatten(), (2 * window - 1) ** 2).to(device, dtype)


def _drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    if not training or rate == 0.0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) < 1 - rate
    return x * (keep.to(x.dtype) / (1 - rate))


def swin_block(block: nn.Module, x: Tensor, shifted: bool, rate: float) -> Tensor:
    """x [B, H, W, C]; attention in windows, shifted ones or not, then the MLP."""
    height, width = x.shape[1:3]
    attention, window = block.attention, block.window_size
    y = block.layernorm_before(x)
    bottom, right = -height % window, -width % window
    if bottom or right:
        y = F.pad(y, (0, 0, 0, right, 0, bottom))
    qkv = rows.linear(
        y,
        torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]),
        torch.cat([attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias]),
    )
    bias = (
        _relative_positions(window, y.dtype, y.device)
        @ attention.relative_position_bias.relative_position_bias_table
    )
    bias = bias.view(window**2, window**2, -1).permute(2, 0, 1)
    y = attention.o_proj(windows.attend(qkv, bias, window, window // 2 if shifted else 0))
    x = x + _drop_path(y[:, :height, :width], rate, block.training)
    return x + _drop_path(block.mlp(block.layernorm_after(x)), rate, block.training)


def patch_merge(merge: nn.Module, x: Tensor) -> Tensor:
    """x [B, H, W, C] -> [B, ceil(H/2), ceil(W/2), 2C]"""
    x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
    x = torch.cat([x[:, row::2, column::2] for column in range(2) for row in range(2)], -1)
    return merge.reduction(merge.norm(x))


# -- the encoder ------------------------------------------------------------------------------------


def _sine_position(height: int, width: int, config: GroundingDinoConfig, device) -> Tensor:
    """[H*W, d]: the reference's ``GroundingDinoSinePositionEmbedding`` of a picture without padding."""
    half = config.d_model // 2
    i = torch.arange(half, dtype=torch.float32, device=device)
    frequency = config.positional_embedding_temperature ** (2 * torch.div(i, 2, rounding_mode="floor") / half)

    def axis(n: int) -> Tensor:
        at = torch.arange(1, n + 1, dtype=torch.float32, device=device) / (n + 1e-6) * 2 * math.pi
        angle = at[:, None] / frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), -1).flatten(1)

    y = axis(height)[:, None].expand(-1, width, -1)
    x = axis(width)[None].expand(height, -1, -1)
    return torch.cat([y, x], -1).flatten(0, 1)


def _attend(module: nn.Module, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """``GroundingDinoMultiheadAttention``; ``mask`` is True where attention is allowed."""
    heads = module.num_attention_heads
    split = lambda x: x.view(*x.shape[:-1], heads, -1).transpose(1, 2)
    out = F.scaled_dot_product_attention(
        split(module.query(queries)), split(module.key(keys)), split(module.value(values)), attn_mask=mask
    )
    return module.out_proj(out.transpose(1, 2).flatten(2))


def fuse(layer: nn.Module, vision: Tensor, text: Tensor, token_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Attention both ways from one score matrix, folded into the text side (exact, fewer products).

    vision [B, N, d], text [B, T, d], token_mask bool [B, T].
    """
    attn = layer.attn
    vision, text = layer.layer_norm_vision(vision), layer.layer_norm_text(text)
    heads, dim, d = attn.num_heads, attn.head_dim, vision.shape[-1]
    b, tokens, _ = text.shape
    key = attn.text_proj(text).view(b, tokens, heads, dim) * attn.scale
    folded_key = torch.einsum("bthe,hed->bhtd", key, attn.vision_proj.weight.view(heads, dim, d))
    key_bias = torch.einsum("bthe,he->bht", key, attn.vision_proj.bias.view(heads, dim))
    scores = torch.einsum("bnd,bhtd->bhnt", vision, folded_key) + key_bias[:, :, None]

    to_vision = scores.masked_fill(~token_mask[:, None, None], float("-inf")).softmax(-1)
    value = attn.values_text_proj(text).view(b, tokens, heads, dim)
    folded_value = torch.einsum("bthe,dhe->bhtd", value, attn.out_vision_proj.weight.view(d, heads, dim))
    delta_vision = torch.einsum("bhnt,bhtd->bnd", to_vision, folded_value) + attn.out_vision_proj.bias

    # Over the last, contiguous axis: over any other one the GPU's softmax is ten times slower.
    to_text = scores.transpose(2, 3).contiguous().softmax(-1)
    pooled = torch.einsum("bhtn,bnd->bthd", to_text, vision)
    value = torch.einsum("bthd,hed->bthe", pooled, attn.values_vision_proj.weight.view(heads, dim, d))
    value = value.reshape(b, tokens, heads * dim) + attn.values_vision_proj.bias
    delta_text = attn.out_text_proj(value)
    return vision + layer.vision_param * delta_vision, text + layer.text_param * delta_text


def deform(module: nn.Module, x: Tensor, memory: Tensor, reference: Tensor, shapes, table: Tensor) -> Tensor:
    """``GroundingDinoMultiscaleDeformableAttention``: x [B, Q, d] (with positions) looks into memory
    [B, N, d]. ``reference`` is [N, 2] points or [B, Q, 4] boxes."""
    b, queries, d = x.shape
    heads, levels, points = module.n_heads, module.n_levels, module.n_points
    value = module.value_proj(memory).view(b, -1, heads, d // heads)
    offsets = module.sampling_offsets(x).view(b, queries, heads, levels, points, 2).float()
    weights = module.attention_weights(x).view(b, queries, heads, levels * points).float().softmax(-1)
    if reference.shape[-1] == 2:
        size = table[:, :2].flip(1).float()[:, None]  # [levels, 1, (w, h)]
        locations = reference[None, :, None, None, None] + offsets / size
    else:
        reference = reference[:, :, None, None, None]
        locations = reference[..., :2] + offsets / points * reference[..., 2:] * 0.5
    weights = weights.view(b, queries, heads, levels, points)
    return module.output_proj(deformable.sample(value, shapes, table, locations, weights))


def _mlp(layer: nn.Module, x: Tensor) -> Tensor:
    return layer.final_layer_norm(x + layer.fc2(F.relu(layer.fc1(x))))


def encoder_layer(
    layer, vision, position, text, text_position, text_mask, token_mask, reference, shapes, table
):
    """One fusion, text and deformable layer; text_mask bool [B, 1, T, T] is the blocks' mask."""
    vision, text = fuse(layer.fusion_layer, vision, text, token_mask)
    enhancer = layer.text_enhancer_layer
    query = text + text_position
    text = enhancer.layer_norm_before(text + _attend(enhancer.self_attn, query, query, text, text_mask))
    text = enhancer.layer_norm_after(text + enhancer.fc2(F.relu(enhancer.fc1(text))))
    deep = layer.deformable_layer
    y = deform(deep.self_attn, vision + position, vision, reference, shapes, table)
    vision = _mlp(deep, deep.self_attn_layer_norm(vision + y))
    return vision, text


def decoder_layer(layer, x, position, reference, memory, text, token_mask, groups, shapes, table):
    """x [B, G*Q, d]; queries see their own group only."""
    b, n, d = x.shape
    grouped = lambda t: t.reshape(b * groups, n // groups, d)
    query = grouped(x + position)
    y = _attend(layer.self_attn, query, query, grouped(x), None).reshape(b, n, d)
    x = layer.self_attn_layer_norm(x + y)
    x = layer.encoder_attn_text_layer_norm(
        x + _attend(layer.encoder_attn_text, x + position, text, text, token_mask[:, None, None])
    )
    y = deform(layer.encoder_attn, x + position, memory, reference, shapes, table)
    return _mlp(layer, layer.encoder_attn_layer_norm(x + y))


def _inverse_sigmoid(x: Tensor) -> Tensor:
    return torch.special.logit(x, eps=1e-5)


def text_blocks(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Who sees whom in a prompt, bool [B, T, T], and each token's place in its item, [B, T].

    The reference is ``generate_masks_with_special_tokens_and_transfer_map``; this one builds no
    tensor on the host, so that a CUDA graph can hold it.
    """
    length = ids.shape[1]
    special = torch.zeros_like(ids, dtype=torch.bool)
    for token in (101, 102, 1012, 1029):  # [CLS] [SEP] . ?
        special = special | (ids == token)
    at = torch.arange(length, device=ids.device)[None]
    before = torch.where(special, at, -1).cummax(1).values
    after = torch.where(special, at, length).flip(1).cummin(1).values.flip(1)
    # The reference leaves out blocks that end at either end of the padded prompt.
    inside = (after != 0) & (after != length - 1) & (after != length)
    mask = (after[:, :, None] == after[:, None]) & inside[:, None]
    mask = mask | torch.eye(length, dtype=torch.bool, device=ids.device)
    place = torch.where(inside, at - before - 1, 0).clamp(min=0)
    return mask, place


class Detector(nn.Module):
    """The whole forward pass over a ``GroundingDinoForObjectDetection``."""

    def __init__(self, model: GroundingDinoForObjectDetection, groups: int = 1):
        super().__init__()
        rows.adopt(model)
        self.model, self.groups = model, groups
        # All queries of a group start from one content. With one each, as published, a query's content
        # goes by its proposal's rank, and rounding that swaps two ranks changes both answers.
        queries = model.model.query_position_embeddings.weight
        with torch.no_grad():
            queries.copy_(queries.mean(0, keepdim=True).expand_as(queries))
        # The other groups' queries exist in training only; they are not exported.
        self.extra_queries = nn.Parameter(
            torch.randn(groups - 1, queries.shape[1]) * 0.1 + queries.detach()[0]
        )
        mean, std = torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1), torch.tensor(IMAGE_STD).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self._geometry_cache: dict = {}

    def _geometry(self, shapes: list[tuple[int, int]], device):
        """Constants of a list of level shapes: level table, positions, reference points, proposals."""
        key = (tuple(shapes), device)
        if key not in self._geometry_cache:
            config = self.model.config
            position = [_sine_position(h, w, config, device) for h, w in shapes]
            points, sizes = [], []
            for level, (h, w) in enumerate(shapes):
                y, x = torch.meshgrid(
                    (torch.arange(h, device=device) + 0.5) / h,
                    (torch.arange(w, device=device) + 0.5) / w,
                    indexing="ij",
                )
                points.append(torch.stack([x, y], -1).view(-1, 2))
                sizes.append(torch.full((h * w, 2), 0.05 * 2.0**level, device=device))
            points = torch.cat(points)
            proposals = torch.cat([points, torch.cat(sizes)], -1)
            ok = ((proposals > 0.01) & (proposals < 0.99)).all(-1)
            # The reference has infinity for the masked ones; 20 is the same box without the NaNs.
            logits = torch.where(ok[:, None], torch.log(proposals / (1 - proposals)), 20.0)
            table = deformable.level_table(shapes, device)
            self._geometry_cache[key] = (table, position, points, logits, ok)
        return self._geometry_cache[key]

    def backbone(self, pictures: Tensor) -> list[Tensor]:
        """Normalised pictures [B, 3, H, W] -> the configured stages' maps [B, C, h, w]."""
        backbone = self.model.model.backbone.conv_encoder.model
        embeddings = backbone.swin.embeddings
        patches = embeddings.patch_embeddings
        pictures = patches.maybe_pad(pictures, *pictures.shape[2:])
        x = embeddings.norm(patches.projection(pictures).permute(0, 2, 3, 1))
        out = []
        for name, stage in zip(backbone.stage_names[1:], backbone.swin.encoder.layers):
            for i, block in enumerate(stage.blocks):
                x = swin_block(block, x, i % 2 == 1, getattr(block.drop_path, "drop_prob", 0.0))
            if name in backbone.out_features:
                out.append(backbone.hidden_states_norms[name](x).permute(0, 3, 1, 2))
            if stage.downsample is not None:
                x = patch_merge(stage.downsample, x)
        return out

    def text(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Projected text states [B, T, d], the blocks' mask bool [B, 1, T, T], position ids [B, T]."""
        inner = self.model.model
        mask, position_ids = text_blocks(ids)
        mask = mask[:, None]
        bert = inner.text_backbone
        e = bert.embeddings
        x = e.word_embeddings(ids) + e.position_embeddings(position_ids) + e.token_type_embeddings.weight[0]
        x = e.LayerNorm(x)
        for layer in bert.encoder.layer:
            attention = layer.attention.self
            split = lambda y: y.view(*y.shape[:2], attention.num_attention_heads, -1).transpose(1, 2)
            y = F.scaled_dot_product_attention(
                split(attention.query(x)), split(attention.key(x)), split(attention.value(x)), attn_mask=mask
            )
            x = layer.attention.output.LayerNorm(
                x + layer.attention.output.dense(y.transpose(1, 2).flatten(2))
            )
            x = layer.output.LayerNorm(x + layer.output.dense(F.gelu(layer.intermediate.dense(x))))
        return inner.text_projection(x), mask, position_ids

    def _text_position(self, position_ids: Tensor) -> Tensor:
        d = self.model.config.d_model
        true = encode_sinusoidal_position_embedding(position_ids[..., None].float(), num_pos_feats=d)
        # transformers 5.17 casts these to the ids' integer type; earlier releases and the paper's code
        # do not. Training on both makes the model right under either.
        if not self.training:
            return true.trunc()
        pick = torch.rand(len(position_ids), 1, 1, device=position_ids.device) < 0.5
        return torch.where(pick, true, true.trunc())

    def look(self, pictures: Tensor) -> list[Tensor]:
        """pictures f32 [B, 3, H, W] in 0..1 -> the backbone's maps."""
        dtype = (
            self.model.model.level_embed.dtype
        )  # bf16 in training: the caller lends bf16 copies of the weights
        return self.backbone(((pictures - self.mean) / self.std).to(dtype))

    def encode(self, maps: list[Tensor], ids: Tensor) -> Encoded:
        """Maps of ``look`` and ids i64 [B, T] padded with 0 -> all that the decoder reads."""
        inner = self.model.model
        config = self.model.config
        token_mask = ids != 0
        dtype = inner.level_embed.dtype
        sources = []
        for level, projection in enumerate(inner.input_proj_vision):
            source = maps[level] if level < len(maps) else maps[-1] if level == len(maps) else sources[-1]
            sources.append(projection(source))
        shapes = [tuple(s.shape[-2:]) for s in sources]
        table, sine, points, proposal_logits, proposal_ok = self._geometry(shapes, ids.device)
        position = torch.cat([sine[i].to(dtype) + inner.level_embed[i] for i in range(len(shapes))])[None]
        vision = torch.cat([s.flatten(2).transpose(1, 2) for s in sources], 1)

        text, text_mask, position_ids = self.text(ids)
        text_position = self._text_position(position_ids).to(dtype)
        for layer in inner.encoder.layers:
            vision, text = encoder_layer(
                layer, vision, position, text, text_position, text_mask, token_mask, points, shapes, table
            )

        tokens = inner.enc_output_norm(inner.enc_output(vision * proposal_ok[None, :, None].to(vision.dtype)))
        proposals = self._logits(tokens, text, token_mask)
        deltas = inner.encoder_output_bbox_embed(tokens).float()
        proposal_boxes = (deltas + proposal_logits).sigmoid()
        best = proposals.amax(-1).topk(config.num_queries, 1).indices
        reference = proposal_boxes.detach().gather(1, best[..., None].expand(-1, -1, 4))
        return Encoded(
            vision,
            text,
            token_mask,
            reference,
            shapes,
            proposals,
            proposal_boxes,
            proposal_ok,
            points,
            maps[-1],
        )

    def decode(self, encoded: Encoded, queries: Tensor, groups: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """queries [G*Q, d] -> logits [L, B, G*Q, T], boxes [L, B, G*Q, 4] and states [B, G*Q, d]."""
        model, inner = self.model, self.model.model
        vision, text, token_mask = encoded.vision, encoded.text, encoded.token_mask
        table = self._geometry(encoded.shapes, vision.device)[0]
        x = queries[None].expand(len(vision), -1, -1)
        reference = encoded.reference.repeat(1, groups, 1)
        logits, boxes = [], []
        for i, layer in enumerate(inner.decoder.layers):
            sine_box = encode_sinusoidal_position_embedding(
                reference, num_pos_feats=model.config.d_model // 2
            )
            query_position = inner.decoder.reference_points_head(sine_box.to(x.dtype))
            x = decoder_layer(
                layer, x, query_position, reference, vision, text, token_mask, groups, encoded.shapes, table
            )
            states = inner.decoder.layer_norm(x)
            base = _inverse_sigmoid(reference)
            boxes.append((model.bbox_embed[i](states).float() + base).sigmoid())
            logits.append(self._logits(states, text, token_mask))
            reference = (model.bbox_embed[i](x).float() + base).sigmoid().detach()
        return torch.stack(logits), torch.stack(boxes), states

    def forward(self, pictures: Tensor, ids: Tensor) -> Outputs:
        """pictures f32 [B, 3, H, W] in 0..1, ids i64 [B, T] padded with 0."""
        encoded = self.encode(self.look(pictures), ids)
        groups = self.groups if self.training else 1
        own = self.model.model.query_position_embeddings.weight
        # The mean gives every row the same gradient, so that they stay equal.
        contents = torch.cat([own.mean(0, keepdim=True), self.extra_queries[: groups - 1]])
        logits, boxes, states = self.decode(encoded, contents.repeat_interleave(len(own), 0), groups)
        return Outputs(
            logits,
            boxes,
            states,
            encoded.proposals,
            encoded.proposal_boxes,
            encoded.proposal_ok,
            encoded.points,
            encoded.backbone,
            encoded.token_mask,
        )

    @staticmethod
    def _logits(states: Tensor, text: Tensor, token_mask: Tensor) -> Tensor:
        """Dot products with the tokens; padding gets a logit that is as good as minus infinity."""
        return (states @ text.transpose(1, 2)).float().masked_fill(~token_mask[:, None], -30.0)
