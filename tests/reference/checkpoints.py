"""Model folders for the procedural configurations, and loading one into transformers."""

import json
import pathlib
import tempfile

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import (
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)

from reference.files import vocabulary_path
from reference.procedural_weights import procedural_tensor

# Written by save_pretrained of transformers 5, used by nothing, absent from published files.
_UNUSED = "model.backbone.conv_encoder.model.swin.layernorm."


def tensor_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Published names and shapes of a configuration's tensors, in name order."""
    with tempfile.TemporaryDirectory() as folder:
        model = GroundingDinoForObjectDetection(GroundingDinoConfig(**config))
        model.save_pretrained(folder)
        with safe_open(pathlib.Path(folder) / "model.safetensors", "np") as file:
            return {
                name: tuple(file.get_slice(name).get_shape())
                for name in sorted(file.keys())
                if not name.startswith(_UNUSED)
            }


def write_folder(folder: pathlib.Path, config: dict) -> None:
    """config.json and model.safetensors of the procedural model."""
    tensors = {name: procedural_tensor(name, shape) for name, shape in tensor_shapes(config).items()}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: pathlib.Path) -> GroundingDinoForObjectDetection:
    """The reference model in fp32; refuses a folder that does not match exactly.

    The attention implementation is left at its default: asked for "eager", transformers 5.17 adds
    BERT's boolean block mask to the scores as 0 and 1 instead of masking with it.
    """
    model, report = GroundingDinoForObjectDetection.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    missing = [name for name in report["missing_keys"] if "swin.layernorm" not in name]
    if missing or report["unexpected_keys"] or report["mismatched_keys"]:
        raise SystemExit(f"{folder}: {missing} {report['unexpected_keys']}")
    return model.eval()


def load_procedural(config: dict) -> GroundingDinoForObjectDetection:
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
