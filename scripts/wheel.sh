#!/usr/bin/env bash
# Builds the Python wheel, with the libraries that it needs inside. Its name says the oldest glibc it runs with.
# Usage: scripts/wheel.sh [FOLDER [PYTHON]]      (default: build/wheels python3)
# One wheel serves CPython 3.12 and later, when PYTHON is one of them; older ones need one each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
folder=${1:-build/wheels}
python=${2:-python3}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
tools=build/wheel-tools-$version
bash scripts/python_tools.sh tests/requirements/wheel.txt "$tools" "$python"

# As the other builds name the compiler, so that their objects in ccache serve.
export CXX=${CXX:-/usr/bin/c++} CMAKE_BUILD_PARALLEL_LEVEL
CMAKE_BUILD_PARALLEL_LEVEL=$(build_jobs)
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi

rm -rf "$folder"
"$tools/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$folder/plain" "${WHEEL_SOURCE:-.}"
# cuBLASLt comes in NVIDIA's wheels and the driver with the machine.
PATH=$root/$tools/bin:$PATH "$tools/bin/auditwheel" repair --exclude 'libcublasLt.so.*' --exclude libcuda.so.1 \
  --wheel-dir "$folder" "$folder"/plain/*.whl
rm -r "$folder/plain"
ls -l "$folder"

# What package indexes and slow lines bear.
limit=60000000
size=$(stat -c %s "$folder"/*.whl)
((size <= limit)) || {
  echo "$size bytes are more than $limit" >&2
  exit 1
}
