"""Goldens of the tokenizer on random runs of marks, decomposing letters and separators."""

import random

from reference.files import write_json
from reference.tokenizer_goldens import byte_spans, tokenizer

# Marks of every kind of combining class, spacing marks that outlive the removal of accents, marks
# and decompositions younger than the reference's tables, and letters that decompose.
MARKS = [
    0x301,
    0x308,
    0x323,
    0x327,
    0x334,
    0x345,
    0x344,
    0x5B0,
    0x64B,
    0x94D,
    0x93C,
    0xE38,
    0xF71,
    0xF73,
    0xF81,
    0x302A,
    0x3099,
    0x20D0,
    0x1D165,
    0x1D166,
    0x1D16D,
    0x1D16E,
    0x1D172,
    0x302E,
    0x302F,
    0x1B44,
    0xA953,
    0x111C0,
    0x1134D,
    0x1734,
    0x8D4,
    0x8E1,
    0x898,
    0x1ABF,
    0x1DFB,
    0x16FF0,
    0x1E000,
    0x1E944,
    0x10EAB,
    0x11938,
    0x11935,
    0x1E2AE,
]
LETTERS = [
    0x61,
    0x41,
    0x69,
    0xE9,
    0x1E69,
    0x1D6,
    0x130,
    0x131,
    0x212B,
    0x3A3,
    0x390,
    0xAC01,
    0x1100,
    0x1161,
    0x11A8,
    0x95B,
    0x9CB,
    0x1D15E,
    0x1D160,
    0x2F800,
    0xFB1D,
    0x4E2D,
    0x10400,
    0x1C89,
    0x10D50,
    0xA7DC,
    0x105C9,
    0x1E900,
]
OTHERS = [0x20, 0x2E, 0x2D, 0x37E, 0x3000, 0x200D, 0xFE0F, 0x2E43, 0x10EAD]


def texts() -> list:
    draw = random.Random(0)
    rows = []
    for _ in range(400):
        pools = draw.choices([MARKS, LETTERS, OTHERS], [6, 4, 1], k=draw.randint(1, 14))
        rows.append("".join(chr(draw.choice(pool)) for pool in pools))
    return rows


def dump(arguments) -> None:
    bert = tokenizer()
    normalize = bert._tokenizer.normalizer.normalize_str
    rows = []
    for text in texts():
        encoded = bert(text, return_offsets_mapping=True)
        rows.append(
            {
                "text": text,
                "normalized": normalize(text),
                "ids": encoded["input_ids"],
                "spans": byte_spans(text, encoded["offset_mapping"]),
            }
        )
    write_json(
        arguments.out / "tokenizer" / "sequences.json",
        {
            "what": "as strings.json, for random runs of marks and letters, with the normalized text",
            "cases": rows,
        },
        compact_rows=True,
    )
