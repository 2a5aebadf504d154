"""The code in docs/python.md and the examples, run as they stand there."""

import re
import shutil
import subprocess
import sys

import pytest

from conftest import ITEMS, PHOTO, ROOT


def blocks(document):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)


PAGE = blocks("docs/python.md")
CODE = [*PAGE, *blocks("README.md")]


def run(folder, *arguments):
    shutil.copy(PHOTO, folder / "look.jpg")
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_starts_with_five_lines():
    assert len(PAGE) >= 3
    assert len(PAGE[0].strip().splitlines()) == 5


@pytest.mark.parametrize("code", CODE, ids=[str(number) for number in range(len(CODE))])
def test_code_of_the_documents_works(tmp_path, code):
    run(tmp_path, "-c", code)


def test_code_that_needs_a_cluster_is_at_least_python():
    for code in blocks("docs/fleets.md"):
        compile(code, "fleets.md", "exec")


def test_the_example_writes_crops_and_results(tmp_path):
    printed = run(tmp_path, ROOT / "examples" / "python" / "detect.py", "look.jpg", ",".join(ITEMS), "out")
    assert "detections in 1200 x 900" in printed
    crops = list((tmp_path / "out").glob("*.jpg"))
    assert len(crops) >= 5
    assert all(crop.read_bytes().startswith(b"\xff\xd8\xff") for crop in crops)
    assert (tmp_path / "out" / "results.json").exists()


def test_the_types_hold_together(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--cache-dir", tmp_path]
    checked = subprocess.run([*command, "-p", "itemcrop"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
