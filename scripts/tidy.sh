#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over src/ and include/, as the build compiles them.
# Usage: scripts/tidy.sh [FOLDER...]      (default: all of src; "src/io src/text": only these)
# Needs a configured build/release (scripts/common.sh: configure test).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[[ -f build/release/compile_commands.json ]] || configure test

# Sources that are compiled together are checked together: headers are what takes the time.
python3 - "$@" <<'LIST' >build/tidy_units
import json, pathlib, sys
build = pathlib.Path("build/release").resolve()
wanted = [build / folder for folder in (sys.argv[1:] or ["src"])]
files = {pathlib.Path(entry["file"]) for entry in json.load(open(build / "compile_commands.json"))}
units = [file for file in files if any(folder in file.parents for folder in wanted)]
print("\n".join(map(str, sorted(units))))
LIST
[[ -s build/tidy_units ]] || {
  echo "no sources of '${*:-src}' are compiled in build/release" >&2
  exit 1
}
xargs --max-procs="$(build_jobs)" --max-args=1 clang-tidy-14 -p build/release --quiet \
  --checks=-bugprone-suspicious-include <build/tidy_units 2> >(grep -vE '^[0-9]+ warnings? generated|^Suppressed|^Use -header' >&2)
