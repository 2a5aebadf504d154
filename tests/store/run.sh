#!/usr/bin/env bash
# Runs the tests of this folder in a Python environment that has the S3 server; FOLDER keeps it.
# Usage: tests/store/run.sh PYTHON FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if ! timeout 300 bash "$here/../../scripts/python_tools.sh" "$here/../requirements/tools.txt" "$2" "$1"; then
  if [[ ${ITEMCROP_REQUIRE_PYTHON_TOOLS:-} == 1 ]]; then
    echo "FAILED: the S3 server (moto, from PyPI) cannot be installed" >&2
    exit 1
  fi
  echo "SKIPPED: the S3 server (moto, from PyPI) cannot be installed, so S3Store met no real one" >&2
  exit 77
fi
exec "$2/bin/python" -m pytest -q -rs -p no:cacheprovider "$here"
