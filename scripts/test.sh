#!/usr/bin/env bash
# From a fresh clone to a tested build: installs what is missing, builds, runs every test.
# Usage: scripts/test.sh [CTEST ARGUMENTS...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

say "1/3  Packages"
bash scripts/install.sh test

say "2/3  Build with tests (Release, $(build_jobs) jobs)"
configure test
build test

say "3/3  Tests"
ctest --preset test --parallel "$(build_jobs)" "$@"
