"""What is asked of a scene: prompts, and which of their tokens each garment answers to.

A prompt is ``item. item. item.`` as Grounding DINO reads it. For every garment and token the answer
is 1 (the token's item names the garment), 0 (it does not), or -1 (a matter of taste: neither rewarded
nor punished; colours that people mix up).
"""

import random
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from training import vocabulary, wardrobe
from training.data import Garment

ARTICLES = ("a", "an", "the")

# How often each kind of prompt is drawn.
KINDS = {
    "every class": 0.22,
    "some classes": 0.16,
    "groups": 0.09,
    "one class alone": 0.22,
    "one word for nothing alone": 0.04,
    "an old category": 0.03,
    "nothing that is there": 0.06,
    "colours": 0.18,
}
PAIRS = 0.35  # share of two words joined among the vocabulary's words for nothing


class Tokenizer:
    """BERT's lower-case WordPiece for the plain words of our prompts (a test holds it to transformers')."""

    def __init__(self, tokens: list[str]):
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.cls, self.sep, self.stop = (self.ids[t] for t in ("[CLS]", "[SEP]", "."))
        self._cache: dict[str, tuple[list[int], int]] = {}

    def phrase(self, text: str) -> tuple[list[int], int]:
        """Token ids of a phrase, and how many of them, at its start, are an article."""
        if text not in self._cache:
            spaced = "".join(f" {c} " if not (c.isalnum() or c.isspace()) else c for c in text.lower())
            words = spaced.split()
            ids = [self.ids[p] for w in words for p in vocabulary.wordpiece(w, self.ids)]
            self._cache[text] = ids, int(words[0] in ARTICLES)
        return self._cache[text]


@dataclass(frozen=True)
class Item:
    """A phrase, the labels of the garments it names (none: it is never there), and their colour."""

    text: str
    labels: tuple[str, ...] = ()
    colour: str = ""

    def answer(self, garment: Garment) -> int:
        if garment.label not in self.labels:
            return 0
        if not self.colour or garment.colour == self.colour:
            return 1
        return -1 if not garment.colour or wardrobe.colours_clash(self.colour, garment.colour) else 0


class Nothing:
    """Words for what is never there: ``wardrobe.ABSENT``, ``wardrobe.THINGS``, and the vocabulary's whole words that
    have nothing to do with clothes. Of things and words one in ten is held out of training, in pairs too:
    ``unmet`` draws from them alone."""

    def __init__(self, vocabulary_tokens: Collection[str]):
        clothes = wardrobe.all_words() + wardrobe.SHOP_WORDS
        # With the pieces of words that are not whole: "tea" of "teal", "jumps" of "jumpsuit".
        other = {piece for word in clothes for piece in vocabulary.wordpiece(word, vocabulary_tokens)}
        other.update(clothes, wardrobe.SAID_OF_CLOTHES, wardrobe.GRAMMAR)
        self.taught: list[str] = []
        self.held_out: list[str] = []
        for word in vocabulary_tokens:
            whole = len(word) >= 3 and word.isascii() and word.isalpha()
            if whole and word not in other and not word.endswith(wardrobe.DESCRIBING):
                (self.held_out if _is_held_out(word) else self.taught).append(word)
        self.things = [thing for thing in wardrobe.THINGS if not _is_held_out(thing)]
        self.unmet_things = [thing for thing in wardrobe.THINGS if _is_held_out(thing)]

    def items(self, rng: random.Random, count: int) -> list[Item]:
        """Different ones, near half of them from the vocabulary (none, where it is too small to have any)."""
        texts: dict[str, None] = {}
        while len(texts) < count:
            if len(self.taught) < 2 or rng.random() < 0.6:
                texts.setdefault(rng.choice(wardrobe.ABSENT if rng.random() < 0.6 else self.things))
            else:
                texts.setdefault(_joined(self.taught, rng, wardrobe.ABSENT))
        return [Item(text) for text in texts]

    def unmet(self, rng: random.Random) -> Item:
        """A thing, a word, or two, that training never asks for."""
        return Item(rng.choice(self.unmet_things) if rng.random() < 0.4 else _joined(self.held_out, rng))


def _is_held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % 10 == 0


def _joined(words: list[str], rng: random.Random, others: list[str] | None = None) -> str:
    """One of the words; or two, where the second may be one of the others."""
    if rng.random() >= PAIRS:
        return rng.choice(words)
    pair = [rng.choice(words), rng.choice(others)] if others and rng.random() < 0.5 else rng.sample(words, 2)
    return " ".join(rng.sample(pair, 2))


@dataclass
class Prompt:
    """ids [length], answers i8 [garments, length], spans (start, end) of each item without its article;
    covers bool [length, labels]: what the token's item names, whatever its colour (items with one: nothing)."""

    ids: np.ndarray
    answers: np.ndarray
    spans: list[tuple[int, int]]
    covers: np.ndarray


def build(tokenizer: Tokenizer, items: list[Item], garments: list[Garment], length: int) -> Prompt:
    """Lay the items out in ``length`` tokens; items that no longer fit are left out."""
    ids = [tokenizer.cls]
    answers = np.zeros((len(garments), length), np.int8)
    covers = np.zeros((length, len(wardrobe.LABELS)), bool)
    spans = []
    for item in items:
        tokens, article = tokenizer.phrase(item.text)
        if len(ids) + len(tokens) + 2 > length:
            continue
        start = len(ids) + article
        ids += tokens
        spans.append((start, len(ids)))
        for g, garment in enumerate(garments):
            answers[g, start : len(ids)] = item.answer(garment)
        if not item.colour:
            covers[start : len(ids), [wardrobe.LABEL_INDEX[label] for label in item.labels]] = True
        ids.append(tokenizer.stop)
    ids.append(tokenizer.sep)
    return Prompt(np.array(ids + [0] * (length - len(ids)), np.int64), answers, spans, covers)


def _name(label: str, rng: random.Random, usual: float = 0.6) -> str:
    names = wardrobe.NAMES[label]
    name = names[0] if rng.random() < usual else rng.choice(names)
    if rng.random() < 0.12:
        name = f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return name


def _labels(labels: list[str], rng: random.Random, usual: float) -> list[Item]:
    return [Item(_name(label, rng, usual), (label,)) for label in labels]


def _group(word: str) -> Item:
    return Item(word, tuple(wardrobe.GROUPS[word]))


def _absent_classes(present: list[str], others: list[str], rng: random.Random) -> list[str]:
    """Absent classes; half the time those alone that a garment of the scene could be taken for."""
    kin = [k for k in (wardrobe.GROUPS["tops"], wardrobe.GROUPS["bottoms"]) if any(p in k for p in present)]
    relatives = [label for label in others if any(label in k for k in kin)]
    return relatives if relatives and rng.random() < 0.5 else others


def _category(rng: random.Random) -> list[Item]:
    """Three to eight names of one category, as old clients ask for it, whether or not one is there."""
    labels, count = rng.choice(wardrobe.CATEGORIES), rng.randint(3, 8)
    items = [Item(name, (label,)) for label in labels for name in wardrobe.NAMES[label]]
    if labels == ["Hat"]:
        items = rng.sample(items, rng.randint(0, 2))
        return items + [Item(word) for word in rng.sample(wardrobe.ACCESSORIES, count - len(items))]
    return rng.sample(items, min(count, len(items)))


def _colour_items(garments: list[Garment], rng: random.Random) -> list[Item]:
    """Colour and class of the garments, with near misses: right class or right colour, not both."""
    items: dict[str, Item] = {}
    seen = {(g.colour, g.label) for g in garments}

    def add(colour: str, label: str) -> None:
        word = wardrobe.COLOURS[colour][0] if rng.random() < 0.75 else rng.choice(wardrobe.COLOURS[colour])
        name = wardrobe.NAMES[label][0] if rng.random() < 0.7 else rng.choice(wardrobe.NAMES[label])
        items.setdefault(f"{colour} {label}", Item(f"{word} {name}", (label,), colour))

    for colour, label in rng.sample(sorted(seen), len(seen)):
        if not colour:
            continue
        if rng.random() < 0.85:
            add(colour, label)
        if rng.random() < 0.5:
            other = rng.choice(wardrobe.COLOUR_LIST)
            if not wardrobe.colours_clash(colour, other):
                add(other, label)
        if rng.random() < 0.25:
            other = rng.choice(wardrobe.LABELS)
            if (colour, other) not in seen:
                add(colour, other)
    return list(items.values())


def sample_items(garments: list[Garment], rng: random.Random, nothing: Nothing) -> list[Item]:
    """The items of one training prompt."""
    present = list(dict.fromkeys(g.label for g in garments))
    others = [label for label in wardrobe.LABELS if label not in present]
    rng.shuffle(others)
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "every class":
        labels = list(wardrobe.LABELS)
        if rng.random() < 0.5:
            rng.shuffle(labels)
        items = _labels(labels, rng, usual=rng.choice([1.0, 1.0, 0.7, 0.3]))
        return items + nothing.items(rng, rng.choice([0, 0, 0, 2]))
    if kind == "some classes":  # those that are there, and some that are not
        items = _labels(present + others[: rng.randint(0, 8)], rng, 0.5) + nothing.items(
            rng, rng.choice([0, 0, 1, 3])
        )
    elif kind == "groups":
        words = rng.sample(["tops", "bottoms", "accessories", "clothing"], rng.randint(1, 3))
        words = [rng.choice(list(wardrobe.GROUPS)) if rng.random() < 0.3 else w for w in words]
        items = [_group(w) for w in dict.fromkeys(words)] + nothing.items(rng, rng.choice([0, 1, 2]))
        if rng.random() < 0.5:
            items += _labels(["Shoes"], rng, 0.7)
        if rng.random() < 0.4:
            items += _labels(["Dress"], rng, 0.7)
    elif kind == "one class alone":
        there = present and rng.random() < 0.45
        items = _labels([rng.choice(present if there else _absent_classes(present, others, rng))], rng, 0.5)
    elif kind == "one word for nothing alone":
        items = nothing.items(rng, 1)
    elif kind == "an old category":
        items = _category(rng)
    elif kind == "nothing that is there":
        items = _labels(others[: rng.randint(0, 4)], rng, 0.5) + nothing.items(rng, rng.randint(1, 4))
    else:
        items = _colour_items(garments, rng)
        if rng.random() < 0.25:
            items = items[:1]
        if not items:
            items = [_group("clothing")]
    rng.shuffle(items)
    return items


def every_class() -> list[Item]:
    """All classes in one prompt, as the evaluation asks."""
    return [Item(names[0], (label,)) for label, names in wardrobe.NAMES.items()]
