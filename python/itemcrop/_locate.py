"""Where a model is: in the wheel, a folder, or the Hugging Face cache, as ``itemcrop --model`` looks for it."""

from __future__ import annotations

import os
import pathlib
import re

from . import errors

EMBEDDED = pathlib.Path(__file__).parent / "models"
FILES = ["*.json", "*.safetensors", "vocab.txt"]


def locate(model: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a model. A name "OWNER/NAME" that is not in the cache is downloaded by huggingface_hub,
    if that is installed; "@REVISION" may follow. Raises NotFoundError."""
    name = os.fspath(model)
    folders = [pathlib.Path(place) for place in os.environ.get("ITEMCROP_MODELS", "").split(":") if place]
    for folder in [*folders, EMBEDDED]:
        if re.fullmatch(r"[^/]+", name) and (folder / name / "config.json").is_file():
            return folder / name
    if (pathlib.Path(name) / "config.json").is_file():
        return pathlib.Path(name)
    if pathlib.Path(name).is_dir():
        raise errors.NotFoundError(f"model: folder '{name}' holds no config.json", "model")
    if cached := _in_cache(name):
        return cached
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name):
        return _download(name)
    known = sorted(folder.name for folder in EMBEDDED.iterdir() if folder.is_dir())
    raise errors.NotFoundError(
        f"model: no '{name}'; give a folder, OWNER/NAME of the Hugging Face hub, or one of: {', '.join(known)}",
        "model",
    )


def _cache() -> pathlib.Path:
    if hub := os.environ.get("HF_HUB_CACHE"):
        return pathlib.Path(hub)
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("HF_HOME") or pathlib.Path(caches) / "huggingface") / "hub"


def _plain(name: str) -> str:
    """As the command line compares names: '_' and '-' are alike, and so are capitals and small letters."""
    return name.lower().replace("_", "-")


def _in_cache(wanted: str) -> pathlib.Path | None:
    name, _, revision = wanted.partition("@")
    for repository in sorted(_cache().glob("models--*")):
        full = repository.name.removeprefix("models--").replace("--", "/", 1)
        if _plain(name) not in (_plain(full), _plain(full.rpartition("/")[2])):
            continue
        reference = repository / "refs" / (revision or "main")
        commit = reference.read_text().strip() if reference.is_file() else revision
        snapshots = sorted((repository / "snapshots").glob(commit or "*"))
        if len(snapshots) == 1 and (snapshots[0] / "config.json").is_file():
            return snapshots[0]
    return None


def _download(name: str) -> pathlib.Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise errors.NotFoundError(
            f"model: '{name}' is not in {_cache()}; 'itemcrop models pull {name}' brings it there, and so does this "
            "call once huggingface_hub is installed",
            "model",
        ) from None
    repository, _, revision = name.partition("@")
    try:
        return pathlib.Path(snapshot_download(repository, revision=revision or None, allow_patterns=FILES))
    except OSError as error:  # the base of huggingface_hub's errors
        raise errors.UnavailableError(f"model: '{name}' cannot be downloaded: {error}", "model") from error
