"""Documents agree with the tree and with bench/results, as far as a program can tell."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = {"build", "out", "crops", ".git", ".venv"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not SKIPPED & set(path.relative_to(ROOT).parts)
    and not path.relative_to(ROOT).parts[0].startswith("build")
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_figures_are_those_of_bench_results():
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "figures.py", "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, part = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{document.name}: {target}"
        if part:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert part in map(anchor, headings), f"{document.name}: {target}"


def test_the_map_stays_short():
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_lines_stay_within_110_columns(document):
    """Tables and blocks of code apart."""
    prose = re.sub(r"^([ \t]*)```.*?^\1```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > 110 and not line.startswith("|")]
    assert long == []


def test_third_party_names_every_library_that_the_build_looks_for():
    build = (ROOT / "cmake" / "dependencies.cmake").read_text() + (ROOT / "CMakeLists.txt").read_text()
    found = set(re.findall(r"(?:find_package|pkg_check_modules)\((\w[\w+-]*)", build))
    found -= {"PkgConfig", "Threads"}
    headers = "".join(path.read_text() for path in (ROOT / "src").rglob("*.[ch]*"))
    found |= {f"Boost.{name}" for name in re.findall(r"#include <boost/([a-z]+)", headers)}
    names = {
        "Boost": "Boost.",
        "CUDAToolkit": "CUDA runtime",
        "CURL": "libcurl",
        "HWY": "Highway",
        "GTest": "GoogleTest",
        "SQLite3": "SQLite",
        "VIPS": "libvips",
        "WEBP": "libwebp",
        "benchmark": "Google Benchmark",
        "dnnl": "oneDNN",
        "nlohmann_json": "nlohmann/json",
        "tomlplusplus": "toml++",
    }
    document = (ROOT / "THIRD_PARTY.md").read_text().lower()
    assert [name for name in sorted(found) if names.get(name, name).lower() not in document] == []


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)


def test_commits_that_contributing_shows_exist():
    hashes = re.findall(r"`([0-9a-f]{7})`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(hashes) >= 5
    if shutil.which("git") is None:
        return  # as where a downloaded archive is unpacked, which has no history either
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        return  # a copy without its history
    for commit in hashes:
        found = git("merge-base", "--is-ancestor", commit, "HEAD")
        assert found.returncode == 0, f"{commit} is no commit of this branch"


def test_tests_that_the_threats_name_exist():
    python = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    cpp = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.cpp"))
    text = (ROOT / "docs" / "design" / "threats.md").read_text()
    named = 0
    for name in re.findall(r"`([^`]+)`", text):
        # `test_file.py::test_name`, `test_name_...` and `Suite.Name`; `Suite.Test` is the page's legend.
        if found := re.fullmatch(r"(?:test_\w+\.py::)?(test_\w+?)(?:_?\.\.\.)?", name):
            assert f"def {found[1]}" in python, name
        elif (found := re.fullmatch(r"([A-Z]\w+)\.([A-Z]\w+)", name)) and name != "Suite.Test":
            assert re.search(rf"TEST(_F|_P)?\(\s*{found[1]},\s*{found[2]}\b", cpp), name
        else:
            continue
        named += 1
    assert named > 30
