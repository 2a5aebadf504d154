#!/usr/bin/env bash
# Puts schemathesis into a Python environment of its own, for tests/service/test_schemathesis.py.
# Usage: scripts/schemathesis.sh [FOLDER]      (default: build/schemathesis)
set -euo pipefail
folder=${1:-"$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/schemathesis"}
if [[ ! -x "$folder/bin/schemathesis" ]]; then
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4,<5'
fi
"$folder/bin/schemathesis" --version
