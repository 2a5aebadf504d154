"""The two sets of text rules that checkpoints were trained with, as patches of transformers 5.17.

`published`: the paper's code and transformers 4.x, which the published weights need. A block's
closing delimiter continues the block's position ids, and the text enhancer's sine embedding of
those ids is floating point.

`transformers5`: transformers 5.x as installed. A delimiter's own position id is 0, and the sine
embedding is computed from int64 ids and cast back to int64, which leaves -1, 0 and 1
(transformers issue 47674). Checkpoints trained with 5.x expect it.

A checkpoint is taken to follow `transformers5` when config.json says `transformers_version` 5 or
later, `published` otherwise.
"""

import contextlib
from unittest import mock

import torch
from transformers.models.grounding_dino import modeling_grounding_dino
from transformers.models.mm_grounding_dino import modeling_mm_grounding_dino

PUBLISHED = "published"
TRANSFORMERS5 = "transformers5"


def rules_of(config: dict) -> str:
    version = config.get("transformers_version")
    return TRANSFORMERS5 if version and int(version.split(".")[0]) >= 5 else PUBLISHED


def published_masks_and_positions(input_ids: torch.Tensor):
    """transformers 4.x: attention mask [B, T, T] and position ids [B, T]."""
    batch, length = input_ids.shape
    attention = torch.eye(length, dtype=torch.bool).repeat(batch, 1, 1)
    positions = torch.zeros((batch, length), dtype=torch.long)
    for row in range(batch):
        start = 0
        for column in range(length):
            if int(input_ids[row, column]) not in modeling_grounding_dino.SPECIAL_TOKENS:
                continue
            if column not in (0, length - 1):
                attention[row, start : column + 1, start : column + 1] = True
                positions[row, start : column + 1] = torch.arange(column + 1 - start)
            start = column + 1
    return attention, positions


def _of_floats(sine):
    return lambda positions, **options: sine(positions.to(torch.float32), **options)


@contextlib.contextmanager
def applied(rules: str):
    """Runs transformers under `rules` inside a `with` block."""
    with contextlib.ExitStack() as patches:
        if rules == PUBLISHED:
            # mm-grounding-dino has its own copy of these functions.
            for modeling in (modeling_grounding_dino, modeling_mm_grounding_dino):
                sine = modeling.encode_sinusoidal_position_embedding
                for name, replacement in (
                    ("generate_masks_with_special_tokens_and_transfer_map", published_masks_and_positions),
                    ("encode_sinusoidal_position_embedding", _of_floats(sine)),
                ):
                    patches.enter_context(mock.patch.object(modeling, name, replacement))
        yield
