"""A smaller BERT vocabulary that still tokenizes any text the full one can.

Grounding DINO (reference: ``SPECIAL_TOKENS`` in transformers' ``modeling_grounding_dino.py``) finds
the borders of a prompt by the ids of the full vocabulary, so these ids may not move. Every other
kept token takes the lowest free id: WordPiece is greedy and longest-first, its result does not
depend on the order of the list.
"""

from pathlib import Path

# [MASK] keeps its place too: some tools look it up by id.
FIXED_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}


def read(path: str | Path) -> list[str]:
    """The tokens of a ``vocab.txt``, one a line, in id order."""
    return Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")


def write(path: str | Path, tokens: list[str]) -> None:
    Path(path).write_text("\n".join(tokens) + "\n", encoding="utf-8")


def wordpiece(word: str, known: set[str] | dict) -> list[str]:
    """Greedy longest-match pieces of one lower-case word, ``["[UNK]"]`` where none fits."""
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in known:
                break
            end -= 1
        if end == start:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


def select(
    full: list[str], required_words: list[str], words: int, pieces: int, ascii_only: bool = False
) -> list[str]:
    """Choose and place the tokens to keep.

    Kept are all single characters and their ``##`` forms (so that no text becomes ``[UNK]`` that did
    not before), whatever ``required_words`` need, and the first ``words`` whole words and ``pieces``
    word endings: BERT's list is sorted by frequency.
    """
    known = set(full)
    wanted: dict[str, None] = {}

    def take(tokens, limit=None):
        for count, token in enumerate(tokens):
            if count == limit:
                break
            wanted.setdefault(token)

    take(t for t in full if len(t.removeprefix("##")) == 1 and (t.isascii() or not ascii_only))
    take(piece for word in required_words for piece in wordpiece(word, known))
    take((t for t in full if len(t) > 1 and t.isascii() and t.isalpha()), words)
    take(
        (t for t in full if t.startswith("##") and len(t) > 3 and t[2:].isascii() and t[2:].isalpha()), pieces
    )

    free = [t for t in wanted if t not in FIXED_IDS]
    size = max(len(free) + len(FIXED_IDS), max(FIXED_IDS.values()) + 1)
    at = {i: t for t, i in FIXED_IDS.items()}
    rest = iter(free)
    # Ids that nothing claims (only where few tokens are kept) carry BERT's own filler names.
    return [at.get(i) or next(rest, f"[unused{i}]") for i in range(size)]


def rows(full: list[str], kept: list[str]) -> list[int]:
    """For each kept token, its row in the full embedding table (fillers take [PAD]'s)."""
    index = {token: i for i, token in enumerate(full)}
    return [index.get(token, 0) for token in kept]
