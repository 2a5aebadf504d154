"""Model folders for the procedural configurations, and loading one into transformers."""

import json
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import (
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)

from reference.files import vocabulary_path
from reference.procedural_weights import logit_scale, procedural_tensor

# Written by save_pretrained of transformers 5, used by nothing, absent from published files.
_UNUSED = "model.backbone.conv_encoder.model.swin.layernorm."


_FAMILIES = {
    "grounding-dino": (GroundingDinoConfig, GroundingDinoForObjectDetection),
    "mm-grounding-dino": (MMGroundingDinoConfig, MMGroundingDinoForObjectDetection),
}
_FIRST_HEADS = ("bbox_embed.0.", "class_embed.0.")


def is_mm(config: dict) -> bool:
    return config["model_type"] == "mm-grounding-dino"


def tensor_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Published names and shapes of a configuration's tensors, each once, in name order.

    Published mm-grounding-dino checkpoints have a head for each decoder layer; a model that
    transformers makes from its config shares them all and saves the first.
    """
    with tempfile.TemporaryDirectory() as folder:
        make_config, make_model = _FAMILIES[config["model_type"]]
        make_model(make_config(**config)).save_pretrained(folder)
        with safe_open(pathlib.Path(folder) / "model.safetensors", "np") as file:
            shapes = {
                name: tuple(file.get_slice(name).get_shape())
                for name in file.keys()
                if not name.startswith(_UNUSED)
            }
    for name in [name for name in shapes if is_mm(config) and name.startswith(_FIRST_HEADS)]:
        for layer in range(1, config["decoder_layers"]):
            shapes[name.replace(".0.", f".{layer}.", 1)] = shapes[name]
    return dict(sorted(shapes.items()))


def write_folder(folder: pathlib.Path, config: dict) -> None:
    """config.json and model.safetensors of the procedural model."""
    tensors = {
        name: procedural_tensor(name, shape, logit_scale(config))
        for name, shape in tensor_shapes(config).items()
    }
    if is_mm(config):
        # As published. Without these copies transformers 5.17 ties all heads to the first.
        tensors |= {
            f"model.decoder.{name}": tensor.copy()
            for name, tensor in tensors.items()
            if name.startswith(("bbox_embed.", "class_embed."))
        }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _check_heads(model, folder: pathlib.Path) -> None:
    """Refuses a model whose heads are not those of the file: transformers may have tied them."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        for name, value in model.state_dict().items():
            if name.startswith(("bbox_embed.", "class_embed.")):
                if name in file.keys() and not torch.equal(value, file.get_tensor(name).float()):
                    raise SystemExit(f"{folder}: transformers changed {name}")


def load(folder: pathlib.Path):
    """The reference model in fp32; refuses a folder that does not match exactly.

    The attention implementation is left at its default: asked for "eager", transformers 5.17 adds
    BERT's boolean block mask to the scores as 0 and 1 instead of masking with it.
    """
    family = json.loads((folder / "config.json").read_text())["model_type"]
    transformers.logging.set_verbosity_error()  # it warns of every weight that it does not tie
    model, report = _FAMILIES[family][1].from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    missing = [name for name in report["missing_keys"] if "swin.layernorm" not in name]
    if missing or report["unexpected_keys"] or report["mismatched_keys"]:
        raise SystemExit(f"{folder}: {missing} {report['unexpected_keys']}")
    _check_heads(model, folder)
    return model.eval()


def load_procedural(config: dict):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_folder(folder, config)
        return load(folder)


def processor(shortest_edge: int, longest_edge: int) -> GroundingDinoProcessor:
    """The reference processor with PIL's resize and BERT's uncased vocabulary."""
    image_processor = GroundingDinoImageProcessorPil(
        size={"shortest_edge": shortest_edge, "longest_edge": longest_edge}
    )
    return GroundingDinoProcessor(
        image_processor, BertTokenizer.from_pretrained(str(vocabulary_path().parent))
    )


def as_rows(tensor: torch.Tensor) -> np.ndarray:
    """A feature map [C, H, W] as [H*W, C]; a matrix as it is."""
    if tensor.dim() == 3:
        tensor = tensor.flatten(1).T
    return tensor.detach().to(torch.float32).contiguous().numpy()
