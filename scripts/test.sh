#!/usr/bin/env bash
# From a fresh clone to a tested build: installs what is missing, builds, runs every test.
# Usage: scripts/test.sh [CTEST ARGUMENTS...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

say "1/4  Packages"
bash scripts/install.sh test

say "2/4  Python packages of the tests (into build/python)"
bash scripts/python_tools.sh

say "3/4  Build with tests (Release, $(build_jobs) jobs)"
configure test
build test

say "4/4  Tests"
run_tests test build/test-results.xml "$@" || failed=$?

say "Result"
python3 scripts/test_report.py build/test-results.xml
exit "${failed:-0}"
