#!/usr/bin/env python3
"""Writes post_process.json: transformers' own answers for LabelMode::kTokens.

Needs torch, transformers and a BERT vocabulary:  dump_post_process.py VOCAB.txt > post_process.json
"""

import json
import sys
from types import SimpleNamespace

import torch
from transformers import BertTokenizer
from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

COLUMNS = 256  # the model pads its logits to max_text_len with -inf

CASES = [
    dict(text="shirt. blouse. undershirt. t-shirt.", queries=6, threshold=0.25, text_threshold=0.25),
    dict(text="a navy blazer. sunglasses! men's pants?", queries=6, threshold=0.4, text_threshold=0.3),
    dict(text=". ".join(["handbag"] * 126) + ".", queries=3, threshold=0.6, text_threshold=0.97),
    dict(text="cat.", queries=4, threshold=1.0, text_threshold=0.5),
]


def main(vocab: str) -> None:
    tokenizer = BertTokenizer(vocab, do_lower_case=True)
    processor = SimpleNamespace(batch_decode=tokenizer.batch_decode)
    generator = torch.Generator().manual_seed(7)
    cases = []
    for case in CASES:
        ids = tokenizer(case["text"], return_tensors="pt").input_ids[:, :COLUMNS]
        tokens = ids.shape[1]
        logits = torch.full((1, case["queries"], COLUMNS), -torch.inf)
        logits[:, :, :tokens] = torch.randn(1, case["queries"], tokens, generator=generator) * 2 - 1
        boxes = torch.rand(1, case["queries"], 4, generator=generator)
        width, height = 640, 427
        answer = GroundingDinoProcessor.post_process_grounded_object_detection(
            processor,
            SimpleNamespace(logits=logits, pred_boxes=boxes),
            ids,
            threshold=case["threshold"],
            text_threshold=case["text_threshold"],
            target_sizes=[(height, width)],
        )[0]
        cases.append(
            dict(
                threshold=case["threshold"],
                text_threshold=case["text_threshold"],
                width=width,
                height=height,
                queries=case["queries"],
                ids=ids[0].tolist(),
                tokens=tokenizer.convert_ids_to_tokens(ids[0].tolist()),
                probabilities=torch.sigmoid(logits[0, :, :tokens]).flatten().tolist(),
                boxes=boxes.flatten().tolist(),
                expected=dict(
                    scores=answer["scores"].tolist(),
                    boxes=answer["boxes"].tolist(),
                    # with nothing kept, transformers decodes an empty batch to one ""
                    labels=answer["text_labels"] if len(answer["scores"]) else [],
                ),
            )
        )
    words = [
        "shirt blouse t - shirt",
        "##ing a ##b . ?",
        "[CLS] a . [SEP]",
        ". a ! , ' s n ' t",
        "",
        "##a ##b",
        "do not",
    ]
    decoded = [
        dict(tokens=w.split(), text=tokenizer.decode(tokenizer.convert_tokens_to_ids(w.split())))
        for w in words
    ]
    json.dump(dict(cases=cases, decoded=decoded), sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main(sys.argv[1])
