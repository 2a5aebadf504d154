#!/usr/bin/env bash
# Runs the tests with the Python in build/python where scripts/python_tools.sh has made it, so that nothing is
# skipped; else with the one named.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$here/../../build/python/bin/python
[[ -f $here/../../build/python/requirements.txt ]] || python=$1
exec "$python" -m pytest -q -rs -p no:cacheprovider "$here"
