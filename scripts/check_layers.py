"""Checks that the libraries under src/ use each other only as the table below allows.

Usage: check_layers.py
A library is a folder of src/; backend/ holds one a backend. For each, every #include of another
library's header and every link in its CMakeLists.txt must be in the table, every include must be
linked (headers alone do not make a library), and what the table allows must be used. Exits 1 and
lists what is wrong.
"""

import pathlib
import re
import sys

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "src"

# Library: the libraries it may use. From the bottom up, so there are no circles: a line names only
# libraries of lines above it.
ALLOWED = {
    "core": "",
    "io": "core",
    "model_files": "core",
    "text": "core io",
    "items": "core text",
    "ops": "core",
    "backend/cpu": "core ops",
    "backend/cuda": "core ops",
    "model": "core io ops",
    "engine": "core io model_files text items ops model backend/cpu backend/cuda",
    "image": "core",
    "fetch": "core",
    "hub": "core model_files fetch",
    "store": "core fetch",
    "jobs": "core",
    "scheduler": "core engine",
    "taxonomy": "core io text image items fetch",
    "crop": "core image items taxonomy",
    "service": "core io text items engine image fetch store jobs scheduler taxonomy crop",
    "cli": "core io model_files items engine image fetch hub taxonomy crop service",
}


def library_of(path):
    """The library that a path below src/ belongs to."""
    parts = path.split("/")
    return "/".join(parts[: 2 if parts[0] == "backend" else 1])


def files_of(library, pattern):
    return sorted((SOURCES / library).rglob(pattern))


def targets():
    """CMake target -> library, of all areas and further libraries."""
    known = {}
    for library in ALLOWED:
        for file in files_of(library, "CMakeLists.txt"):
            text = file.read_text()
            for name in re.findall(r"^\s*itemcrop_area\((\w+)", text, re.M):
                known["itemcrop_" + name] = library
            for name in re.findall(r"^\s*add_library\((\w+)", text, re.M):
                known[name] = library
    return known


def includes(library):
    """{other library: where its header is included first}"""
    found = {}
    for file in sorted(
        path for path in (SOURCES / library).rglob("*") if path.suffix in {".h", ".cpp", ".cu", ".cuh"}
    ):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if match := re.match(r'#include "([^"]+/[^"]+)"', line):
                other = library_of(match[1])
                if other != library and (SOURCES / match[1]).exists():
                    found.setdefault(other, f"src/{file.relative_to(SOURCES)}:{number}")
    return found


def links(library, known):
    """{other library: the list that names it}"""
    found = {}
    for file in files_of(library, "CMakeLists.txt"):
        text = re.sub(r"#.*", "", file.read_text())
        for call in re.findall(r"(?:itemcrop_area|target_link_libraries)\(([^)]*)\)", text):
            for target in re.findall(r"\bitemcrop_\w+", call):
                other = known.get(target, library)
                if other != library:
                    found.setdefault(other, f"src/{file.relative_to(SOURCES)}")
    return found


def main():
    problems = []
    on_disk = {library_of(str(file.parent.relative_to(SOURCES))) for file in SOURCES.glob("*/**/*.cpp")}
    problems += [f"src/{library} is not in the table" for library in sorted(on_disk - set(ALLOWED))]
    known = targets()
    below = set()
    for library, words in ALLOWED.items():
        allowed = set(words.split())
        problems += [
            f"table: {library} may use {other}, which is not above it" for other in sorted(allowed - below)
        ]
        included, linked = includes(library), links(library, known)
        for other, where in sorted({**linked, **included}.items()):
            if other not in allowed:
                problems.append(f"{where}: {library} may not use {other}")
        problems += [
            f"{where}: {library} includes {other} but does not link it"
            for other, where in included.items()
            if other not in linked
        ]
        problems += [
            f"table: {library} does not use {other}"
            for other in sorted(allowed - included.keys() - linked.keys())
        ]
        below.add(library)
    for problem in problems:
        print(problem)
    arrows = sum(len(words.split()) for words in ALLOWED.values())
    print(f"{len(ALLOWED)} libraries, {arrows} arrows, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
