"""Whether two programs' outputs for one image and prompt agree, as bench/run.py asks first."""

import math

LOGITS = 2e-3  # largest difference of a logit
BOXES = 1e-4  # largest difference of a box coordinate, 0..1
MATCHED = 0.97  # least share of queries within both; the others traded ranks by rounding


def _rows(dump: dict, field: str) -> list[list[float]]:
    values = dump[field]
    width = len(values) // dump["queries"]
    return [values[i * width : (i + 1) * width] for i in range(dump["queries"])]


def _largest(a: list[float], b: list[float]) -> float:
    largest = 0.0
    for x, y in zip(a, b, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            return math.inf
        largest = max(largest, abs(x - y))
    return largest


def matched_share(reference: dict, engine: dict) -> float:
    """Share of queries whose logits and boxes agree within the bounds, rank by rank."""
    if reference["ids"] != engine["ids"] or reference["queries"] != engine["queries"]:
        return 0.0
    logits = zip(_rows(reference, "logits"), _rows(engine, "logits"))
    boxes = zip(_rows(reference, "boxes"), _rows(engine, "boxes"))
    matched = sum(_largest(*logit) <= LOGITS and _largest(*box) <= BOXES for logit, box in zip(logits, boxes))
    return matched / reference["queries"]


def score_differences(reference: dict, engine: dict, threshold: float = 0.25) -> list[float]:
    """For each reference query above the threshold, how far the score of the engine's query with
    the nearest box is; sorted. Describes bf16, whose ranks differ."""

    def best(row: list[float]) -> float:
        return 1.0 / (1.0 + math.exp(-max(row)))

    candidates = [(box, best(row)) for box, row in zip(_rows(engine, "boxes"), _rows(engine, "logits"))]
    differences = []
    for box, row in zip(_rows(reference, "boxes"), _rows(reference, "logits")):
        if best(row) > threshold:
            nearest = min(candidates, key=lambda candidate: _largest(candidate[0], box))
            differences.append(abs(nearest[1] - best(row)))
    return sorted(differences)
