"""The program under test and photos to feed it."""

import json
import os
import pathlib
import struct
import subprocess
import zlib

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ["ITEMCROP_BIN"]


def png(width, height, colour_at):
    """A PNG without help from an image library."""
    rows = b"".join(
        b"\0" + bytes(level for x in range(width) for level in colour_at(x, y)) for y in range(height)
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def scene(width=240, height=320):
    """A dark shirt-like cross on a light floor."""

    def colour_at(x, y):
        body = abs(x - width // 2) < width // 6 and height // 4 < y < 3 * height // 4
        sleeves = abs(x - width // 2) < width // 3 and height // 4 < y < height // 2
        return (30, 40, 90) if body or sleeves else (200 - (x // 9) % 7, 180, 150 + (y // 11) % 5)

    return png(width, height, colour_at)


@pytest.fixture(scope="session")
def photo_bytes():
    return scene()


@pytest.fixture
def photo(tmp_path, photo_bytes):
    path = tmp_path / "look.png"
    path.write_bytes(photo_bytes)
    return path


@pytest.fixture
def itemcrop(tmp_path):
    """Runs the program in an empty folder: itemcrop("crop", ...) -> CompletedProcess."""

    def run(*arguments, stdin=b"", timeout=300, **variables):
        return subprocess.run(
            [BINARY, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, **variables},
        )

    return run


@pytest.fixture(scope="session")
def validated():
    """Parses results and checks them against the documented schema."""
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def parse(text):
        results = json.loads(text)
        validator.validate(results)
        return results

    return parse
