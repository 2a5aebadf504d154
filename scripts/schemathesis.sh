#!/usr/bin/env bash
# Puts schemathesis into a Python environment of its own, for tests/service/test_schemathesis.py.
# Usage: scripts/schemathesis.sh [FOLDER]      (default: build/schemathesis)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-"$root/build/schemathesis"}
bash "$root/scripts/python_tools.sh" "$root/tests/service/requirements.txt" "$folder"
"$folder/bin/schemathesis" --version
