#!/usr/bin/env bash
# Makes a Python environment that holds exactly what a requirements file pins, unless it is there.
# Usage: scripts/python_tools.sh REQUIREMENTS FOLDER [PYTHON]
set -euo pipefail
requirements=$1
folder=$2
python=${3:-python3}

# The file's copy is written last, so that an interrupted installation is begun anew.
if cmp -s "$requirements" "$folder/requirements.txt"; then exit 0; fi
rm -rf "$folder"
"$python" -m venv "$folder" || {
  echo "'$python -m venv' failed (Debian: bash scripts/install.sh test)" >&2
  exit 1
}
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  --retries 2 --timeout 15 --requirement "$requirements" || {
  echo "pip could not install $requirements" >&2
  exit 1
}
cp "$requirements" "$folder/requirements.txt"
