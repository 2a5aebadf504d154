#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over src/ and include/, the GPU's kernels apart: their
# language is nvcc's, and what they cost is measured on a device.
# Usage: scripts/tidy.sh [--part I/N] [FOLDER...]      (default: all of src; "src/io src/text": only these)
# --part 0/2: every second unit, from the first; 1/2: the others.
# Needs a configured build/release (scripts/common.sh: configure test).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[[ -f build/release/compile_commands.json ]] || configure test
part=0/1
if [[ ${1:-} == --part ]]; then
  part=$2
  shift 2
fi

# Headers are what takes the time, so sources are checked together: those that the build compiles
# together, and eight at a time those that it compiles one by one. A header that GCC has precompiled is
# not one to clang, and every source includes what it uses, so these are left out.
python3 - "$part" "$@" <<'UNITS'
import json, pathlib, re, shutil, sys
root = pathlib.Path.cwd()
build, out = root / "build" / "release", root / "build" / "tidy"
wanted = [root / folder for folder in (sys.argv[2:] or ["src"])]
part, parts = map(int, sys.argv[1].split("/"))
shutil.rmtree(out, ignore_errors=True)
out.mkdir()
groups = {}  # (library, flags, a source that shares no unit) -> sources
for entry in json.load(open(build / "compile_commands.json")):
    file, command = pathlib.Path(entry["file"]), entry["command"]
    library = re.search(r" -o (src/\S*)CMakeFiles/(\w+)\.dir/", command)
    together = "/Unity/" in entry["file"]
    if not library or not together and root / "src" not in file.parents:
        continue  # tests, and what the build generates
    sources = re.findall(r'#include "([^"]+)"', file.read_text()) if together else [str(file)]
    if not any(folder in pathlib.Path(source).parents for folder in wanted for source in sources):
        continue
    sources = [source for source in sources if not source.endswith(".cu")]
    flags = re.sub(r" -include \S+cmake_pch\.hxx| -Winvalid-pch|^\S*ccache ", "", command.split(" -o ")[0])
    one_by_one = "cmake_pch" in command and not together
    apart = "" if one_by_one else str(file)
    groups.setdefault((library[2], flags, apart), []).extend(sources)
units, count = [], -1
for (library, flags, _), sources in sorted(groups.items()):  # a group may have kernels alone
    for first in range(0, len(sources), 8):
        count += 1
        if count % parts != part:
            continue
        unit = out / f"{library}_{count}.cpp"
        unit.write_text("".join(f'#include "{source}"\n' for source in sources[first : first + 8]))
        units.append({"directory": str(build), "file": str(unit), "command": f"{flags} -c {unit}"})
if not units:
    sys.exit(f"no sources of {' '.join(sys.argv[2:]) or 'src'} are compiled in build/release")
(out / "compile_commands.json").write_text(json.dumps(units))
UNITS
find build/tidy -name '*.cpp' -print0 |
  xargs -0 --max-procs="$(build_jobs)" --max-args=1 clang-tidy-14 -p build/tidy --quiet \
    --checks=-bugprone-suspicious-include 2> >(grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header' >&2)
