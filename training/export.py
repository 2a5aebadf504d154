"""Write averaged weights as a published Hugging Face folder (F16), and check that it loads.

python -m training.export --config training/wardrobe.toml --weights out/one/averages.pt --out models/wardrobe
    [--blend FOLDER --share 0.25]
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import BertTokenizer, GroundingDinoForObjectDetection

from training import captions, model, vocabulary, wardrobe
from training.train import read_config

# transformers 5 names Swin's and BERT's parts differently in memory; it saves the published names.


def blend(weights: dict, other: dict, share: float) -> dict:
    """The mean of two trainings that began alike (arXiv 2203.05482). Queries' contents are the first's:
    trained apart they mean nothing to each other."""
    apart = ("query_position_embeddings",)
    return {
        n: w if any(part in n for part in apart) else torch.lerp(w.float(), other[n].float(), share)
        for n, w in weights.items()
    }


def write_weights(network: GroundingDinoForObjectDetection, out: Path) -> None:
    """``model.safetensors`` with the published names, each shared tensor once, nothing unused."""
    network.half().save_pretrained(out, safe_serialization=True)
    path = out / "model.safetensors"
    with safe_open(path, "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}
    # No out_feature reads the backbone's own last norm.
    unused = [
        n
        for n in tensors
        if n.endswith(("swin.layernorm.weight", "swin.layernorm.bias", "relative_position_index"))
    ]
    unused += [n for n in tensors if n.startswith("model.backbone.conv_encoder.model.layernorm.")]
    for name in unused:
        del tensors[name]
    save_file({n: t.contiguous() for n, t in sorted(tensors.items())}, path, metadata={"format": "pt"})


def write_rest(config: dict, network: GroundingDinoForObjectDetection, tokens: list[str], out: Path) -> None:
    network.config.save_pretrained(out)
    vocabulary.write(out / "vocab.txt", tokens)
    tokenizer = {
        "do_lower_case": True,
        "model_max_length": 256,
        "tokenizer_class": "BertTokenizer",
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    processor = {
        "do_convert_annotations": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "format": "coco_detection",
        "image_mean": list(model.IMAGE_MEAN),
        "image_processor_type": "GroundingDinoImageProcessor",
        "image_std": list(model.IMAGE_STD),
        "processor_class": "GroundingDinoProcessor",
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {k: config["export"][k] for k in ("shortest_edge", "longest_edge")},
    }
    for name, content in (("tokenizer_config.json", tokenizer), ("preprocessor_config.json", processor)):
        (out / name).write_text(json.dumps(content, indent=2) + "\n")


def check(out: Path, limit_mb: float = 40.0) -> None:
    """No tensor missing, none unexpected, every value finite, tokenizers agree, and it is small enough."""
    _, info = GroundingDinoForObjectDetection.from_pretrained(out, output_loading_info=True)
    problems = {k: v for k, v in info.items() if v}
    if problems:
        raise ValueError(f"transformers reports {problems}")
    with safe_open(out / "model.safetensors", "pt") as f:
        for name in f.keys():
            tensor = f.get_tensor(name)
            if tensor.dtype != torch.float16 or not tensor.isfinite().all():
                raise ValueError(f"{name} is {tensor.dtype}, or not finite")
    ours, theirs = captions.Tokenizer(vocabulary.read(out / "vocab.txt")), BertTokenizer.from_pretrained(out)
    names = [n for names in wardrobe.NAMES.values() for n in names] + wardrobe.ABSENT + wardrobe.SHOP_WORDS
    for phrase in [*names, "zebra xylophone", "naïve façade", "衣服"]:
        if (
            ours.phrase(phrase)[0] != theirs(phrase, add_special_tokens=False)["input_ids"]
            and phrase.isascii()
        ):
            raise ValueError(f"tokenizers disagree on {phrase!r}")
    size = sum(p.stat().st_size for p in out.iterdir()) / 1e6
    if size > limit_mb:
        raise ValueError(f"{out} holds {size:.1f} MB, the limit is {limit_mb}")
    print(f"{out}: {size:.1f} MB, loads with no missing and no unexpected tensor")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=Path("training/wardrobe.toml"))
    parser.add_argument(
        "--weights", type=Path, required=True, help="averages.pt of a training, vocab.txt beside it"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--blend", type=Path, help="exported folder to average with")
    parser.add_argument("--share", type=float, default=0.25, help="its share")
    args = parser.parse_args()
    config = read_config(args.config, [])
    tokens = vocabulary.read(args.weights.with_name("vocab.txt"))
    network = model.build(model.make_config(len(tokens), config["model"]))
    weights = torch.load(args.weights, map_location="cpu", weights_only=True)
    if args.blend:
        other = GroundingDinoForObjectDetection.from_pretrained(args.blend).state_dict()
        weights = blend(weights, other, args.share)
    missing, unexpected = network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    # The heads of the later layers, and the decoder's, are the first layer's (shared).
    missing = [n for n in missing if "bbox_embed" not in n and "relative_position_index" not in n]
    if missing or unexpected:
        raise ValueError(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    args.out.mkdir(parents=True, exist_ok=True)
    write_weights(network, args.out)
    write_rest(config, network, tokens, args.out)
    check(args.out)


if __name__ == "__main__":
    main()
