"""Records the reference's intermediate tensors under the engine's stage names.

Every stage is a float32 matrix an image, row = token, column = channel, except `pixels`:

    pixels                        [3*H, W]    normalised input, channel after channel
    swin.embeddings               [N, C]      patch embeddings after their norm
    swin.stage1..                 [N, C]      after a stage's blocks, before downsampling, no norm
    backbone.level0..             [HW, C]     each backbone output after hidden_states_norms
    text.embeddings               [T, hidden] word + position + type, after the norm
    text.backbone                 [T, hidden] last hidden state of BERT
    text.projected                [T, d]
    vision.level0..               [HW, d]     after input_proj_vision (convolution and GroupNorm)
    encoder.layerI.fusion.vision  [N, d]      residual included
    encoder.layerI.fusion.text    [T, d]
    encoder.layerI.text           [T, d]      after the text enhancer
    encoder.layerI.vision         [N, d]      after the deformable layer
    proposals.logits              [N, T]      masked proposals have the row of a zero feature
    queries.reference             [Q, 4]      sigmoid of the initial reference, cx cy w h
    decoder.layerI.hidden         [Q, d]      layer output after decoder.layer_norm
    decoder.layerI.reference      [Q, 4]      refined reference, cx cy w h; the last layer has
                                              none, its boxes are `boxes`
    logits                        [Q, T]      without the -inf padding to max_text_len
    boxes                         [Q, 4]      cx cy w h in [0, 1]
"""

import contextlib
import dataclasses

import torch

from reference.checkpoints import as_rows


@dataclasses.dataclass
class Run:
    """What one image of a batch went through."""

    stages: dict  # name -> float32 array [rows, cols], in order of computation
    topk: list[int]  # proposal index of each query
    topk_margin: float  # logit of the last query taken minus that of the first left out


@contextlib.contextmanager
def _hooks(model, sink: dict):
    """Stores each stage's whole batch in `sink`: name -> tensor [B, ...]."""
    handles = []

    def tap(module, name, pick):
        handles.append(
            module.register_forward_hook(
                lambda _module, _inputs, output: sink.__setitem__(name, pick(output))
            )
        )

    inner = model.model
    swin = inner.backbone.conv_encoder.model.swin
    tap(swin.embeddings, "swin.embeddings", lambda out: out[0])
    for i, stage in enumerate(swin.encoder.layers):
        tap(stage, f"swin.stage{i + 1}", lambda out: out[1])
    tap(inner.backbone.conv_encoder, "backbone", lambda out: [level for level, _mask in out])
    tap(inner.text_backbone.embeddings, "text.embeddings", lambda out: out)
    tap(inner.text_backbone, "text.backbone", lambda out: out.last_hidden_state)
    tap(inner.text_projection, "text.projected", lambda out: out)
    for i, projection in enumerate(inner.input_proj_vision):
        tap(projection, f"vision.level{i}", lambda out: out)
    for i, layer in enumerate(inner.encoder.layers):
        tap(layer.fusion_layer, f"encoder.layer{i}.fusion", lambda out: (out[0][0], out[1][0]))
        tap(layer.text_enhancer_layer, f"encoder.layer{i}.text", lambda out: out[0])
        tap(layer.deformable_layer, f"encoder.layer{i}.vision", lambda out: out[0])
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _select(sink: dict, outputs, inputs, image: int, layers: int) -> Run:
    tokens = int(inputs["attention_mask"][image].sum())
    stages = {"pixels": as_rows(inputs["pixel_values"][image].flatten(0, 1))}
    for name, value in sink.items():
        if name == "backbone":
            for i, level in enumerate(value):
                stages[f"backbone.level{i}"] = as_rows(level[image])
        elif name.endswith(".fusion"):
            stages[f"{name}.vision"] = as_rows(value[0][image])
            stages[f"{name}.text"] = as_rows(value[1][image, :tokens])
        elif name.startswith("text.") or name.endswith(".text"):
            stages[name] = as_rows(value[image, :tokens])
        else:
            stages[name] = as_rows(value[image])

    proposals = outputs.enc_outputs_class[image, :, :tokens]
    queries = outputs.logits.shape[1]
    best = proposals.max(-1)[0]
    topk = torch.topk(best, queries)[1]
    reference = outputs.init_reference_points[image]
    recomputed = outputs.enc_outputs_coord_logits[image][topk].sigmoid()
    # Not bit-equal: a vectorised sigmoid rounds by position.
    assert torch.allclose(recomputed, reference, atol=1e-6), "top-k differs from the model's own"
    ranked = best.sort(descending=True)[0]
    margin = float(ranked[queries - 1] - ranked[queries]) if len(ranked) > queries else 0.0

    stages["proposals.logits"] = as_rows(proposals)
    stages["queries.reference"] = as_rows(reference)
    for i in range(layers):
        stages[f"decoder.layer{i}.hidden"] = as_rows(outputs.intermediate_hidden_states[image, i])
        if i + 1 < layers:
            stages[f"decoder.layer{i}.reference"] = as_rows(outputs.intermediate_reference_points[image, i])
    stages["logits"] = as_rows(outputs.logits[image, :, :tokens])
    stages["boxes"] = as_rows(outputs.pred_boxes[image])
    return Run(stages, topk.tolist(), margin)


def run(model, inputs) -> tuple[object, list[Run]]:
    """Runs a batch; returns the model's outputs and each image's stages."""
    sink = {}
    with torch.inference_mode(), _hooks(model, sink):
        outputs = model(**inputs)
    count = inputs["pixel_values"].shape[0]
    layers = model.config.decoder_layers
    return outputs, [_select(sink, outputs, inputs, image, layers) for image in range(count)]
