"""Goldens of the tokenizer: bert-base-uncased as transformers' BertTokenizer runs it."""

import zlib

import numpy as np
import torch
from transformers import BertTokenizer
from transformers.models.grounding_dino import modeling_grounding_dino as modeling

from reference import text_rules
from reference.files import vocabulary_path, write_json
from reference.nasty_strings import nasty_strings

BLOCK = 256  # code points a checksum

PROMPTS = [
    "cat.",
    "a cat.",
    "a cat. a remote control.",
    "cat",
    "a cat",
    "navy blazer. pants",
    "navy blazer. black-and-white striped t-shirt. shoes.",
    "is this a shoe? a sock.",
    "..",
    "",
    ".",
    "?",
    ". a cat.",
    "a cat..",
    "a [SEP] b.",
    "[SEP]",
    "a. [CLS] b.",
    "[PAD] a.",
    "a [PAD].",
    "unaffable houndstooth. e.g. t-shirt.",
]


def tokenizer() -> BertTokenizer:
    return BertTokenizer.from_pretrained(str(vocabulary_path().parent))


def byte_spans(text: str, offsets: list) -> list:
    """Offsets in code points, as the reference gives them, to offsets in UTF-8 bytes."""
    starts = [0]
    for character in text:
        starts.append(starts[-1] + len(character.encode("utf-8")))
    return [[starts[begin], starts[end]] for begin, end in offsets]


def string_rows(bert: BertTokenizer) -> list:
    rows = []
    for text in nasty_strings():
        encoded = bert(text, return_offsets_mapping=True)
        rows.append(
            {"text": text, "ids": encoded["input_ids"], "spans": byte_spans(text, encoded["offset_mapping"])}
        )
    return rows


def block_checksums(bert: BertTokenizer) -> list:
    """CRC-32 a block of 256 code points; see `unicode_blocks.json` for what is summed."""
    checksums = []
    for first in range(0, 0x110000, BLOCK):
        texts = [
            "a" + chr(point) + "b" for point in range(first, first + BLOCK) if not 0xD800 <= point <= 0xDFFF
        ]
        words = []
        for encoding in bert._tokenizer.encode_batch(texts, add_special_tokens=False):
            words.append(len(encoding.ids))
            words.extend(encoding.ids)
        checksums.append(zlib.crc32(np.asarray(words, dtype="<u4").tobytes()))
    return checksums


def prompt_rows(bert: BertTokenizer) -> list:
    """Ids, position ids under both rule sets, and attention as [begin, end) a token."""
    rows = []
    for text in PROMPTS:
        ids = torch.tensor([bert(text)["input_ids"]])
        row = {"text": text, "ids": ids[0].tolist()}
        for rules in (text_rules.PUBLISHED, text_rules.TRANSFORMERS5):
            with text_rules.applied(rules):
                mask, positions = modeling.generate_masks_with_special_tokens_and_transfer_map(ids)
            row[f"positions_{rules}"] = positions[0].tolist()
            ranges = []
            for line in mask[0]:
                seen = line.nonzero()[:, 0].tolist()
                assert seen == list(range(seen[0], seen[-1] + 1))
                ranges.append([seen[0], seen[-1] + 1])
            assert row.setdefault("attends", ranges) == ranges
        rows.append(row)
    return rows


def dump(arguments) -> None:
    bert = tokenizer()
    folder = arguments.out / "tokenizer"
    write_json(
        folder / "strings.json",
        {
            "vocabulary": "bert-base-uncased",
            "spans": "UTF-8 bytes of the input, [begin, end) a token; [CLS] and [SEP] have [0, 0)",
            "cases": string_rows(bert),
        },
        compact_rows=True,
    )
    write_json(
        folder / "unicode_blocks.json",
        {
            "what": "for every Unicode scalar value c of a block of 256, in order: the number of ids of"
            " 'a' + c + 'b' (no [CLS], no [SEP]), then the ids, all as little-endian uint32;"
            " CRC-32 (zlib) of a block's bytes. Surrogates are left out.",
            "block_size": BLOCK,
            "crc32": block_checksums(bert),
        },
    )
    write_json(
        folder / "prompts.json",
        {
            "what": "position ids under the rules of published checkpoints and of transformers 5, and"
            " the range of tokens that each token attends to",
            "cases": prompt_rows(bert),
        },
        compact_rows=True,
    )
