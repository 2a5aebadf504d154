#!/usr/bin/env bash
# Makes a Python environment that holds exactly what a requirements file pins, unless it is there.
# Usage: scripts/python_tools.sh [REQUIREMENTS FOLDER [PYTHON]]
#        (default: tests/requirements/tools.txt build/python)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=${1:-"$root/tests/requirements/tools.txt"}
folder=${2:-"$root/build/python"}
python=${3:-python3}

# Tests that run at the same time share an environment: the first one makes it.
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9

# The file's copy is written last, so that an interrupted installation is begun anew.
if cmp -s "$requirements" "$folder/requirements.txt"; then exit 0; fi
rm -rf "$folder"
"$python" -m venv "$folder" || {
  echo "'$python -m venv' failed (Debian: bash scripts/install.sh test)" >&2
  exit 1
}
echo "    installing $(grep -c '==' "$requirements") packages of $requirements"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$folder/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
  --no-compile --retries 2 --timeout 15 --requirement "$requirements" 2>&1 | tee "$log" |
  awk '/^Collecting/ && ++n % 20 == 0 {print "      " n " found"; fflush()}
    /^Installing/ {print "      setting up"; fflush()}' || {
  tail -n 15 "$log" >&2
  echo "pip could not install $requirements" >&2
  exit 1
}
cp "$requirements" "$folder/requirements.txt"
