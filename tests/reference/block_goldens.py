"""Goldens of the block rule: attention blocks and position ids of token id sequences."""

import random

import torch
from transformers.models.grounding_dino import modeling_grounding_dino as modeling

from reference import text_rules
from reference.files import write_json

CLS, SEP, PERIOD, QUESTION, WORD = 101, 102, 1012, 1029, 4937

ODD = [
    [CLS],
    [WORD],
    [PERIOD],
    [CLS, SEP],
    [WORD, WORD],
    [PERIOD, PERIOD, PERIOD],
    [CLS, PERIOD, SEP],
    [CLS, WORD, SEP],
    [CLS, WORD, PERIOD, SEP],
    [CLS, PERIOD, WORD, SEP],
    [CLS, WORD, PERIOD, PERIOD, SEP],
    [CLS, WORD, QUESTION, PERIOD, SEP],
    [WORD, PERIOD, WORD, PERIOD],
    [WORD, PERIOD, WORD],
    [CLS, WORD, PERIOD, WORD],
    [CLS, SEP, SEP],
    [CLS, CLS, WORD, SEP, SEP],
    [CLS, WORD, SEP, WORD, PERIOD, SEP],
    [CLS, 0, WORD, PERIOD, SEP],
    [CLS, WORD, PERIOD, SEP, 0, 0],
]


def sequences() -> list:
    draw = random.Random(0)
    rows = list(ODD)
    for _ in range(40):
        inner = draw.choices(
            [WORD, 1037, 100, PERIOD, QUESTION, CLS, SEP], [8, 4, 1, 4, 1, 1, 1], k=draw.randint(1, 30)
        )
        rows.append([CLS, *inner, SEP])
    return rows


def dump(arguments) -> None:
    rows = []
    for ids in sequences():
        row = {"ids": ids}
        for rules in (text_rules.PUBLISHED, text_rules.TRANSFORMERS5):
            with text_rules.applied(rules):
                mask, positions = modeling.generate_masks_with_special_tokens_and_transfer_map(
                    torch.tensor([ids])
                )
            row[f"positions_{rules}"] = positions[0].tolist()
            attends = ["".join("1" if seen else "0" for seen in line) for line in mask[0].tolist()]
            assert row.setdefault("attends", attends) == attends
        rows.append(row)
    write_json(
        arguments.out / "tokenizer" / "blocks.json",
        {"what": "attends: row i has a 1 for every token that token i attends to", "cases": rows},
        compact_rows=True,
    )
