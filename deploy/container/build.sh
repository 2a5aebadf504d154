#!/usr/bin/env bash
# Builds and installs itemcrop below a folder, with the list of packages that it needs to run.
# Usage: deploy/container/build.sh TARGET_FOLDER [CMAKE ARGUMENTS...]
set -euo pipefail
target=$1
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${ITEMCROP_BUILD_FOLDER:-$root/build/container}

cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DITEMCROP_TESTS=OFF \
  -DITEMCROP_BENCH=OFF -DCMAKE_INSTALL_PREFIX=/usr/local "$@"
cmake --build "$build"
DESTDIR=$target cmake --install "$build" --strip
# Headers and archives are for those who build with the library.
rm -rf "$target"/usr/local/include "$target"/usr/local/lib/*.a "$target"/usr/local/lib/*/*.a \
  "$target"/usr/local/lib/cmake "$target"/usr/local/lib/*/cmake

# The packages that own the shared libraries; dpkg knows some of them by their name before /usr was merged.
ldd "$target/usr/local/bin/itemcrop" | awk '$3 ~ /^\// { print $3 }' | while read -r library; do
  real=$(realpath "$library")
  dpkg-query -S "$real" 2>/dev/null || dpkg-query -S "${real#/usr}" 2>/dev/null ||
    dpkg-query -S "*/$(basename "$real")" 2>/dev/null || true
done | cut -d: -f1 | sort -u >"$target/packages"
[[ -s "$target/packages" ]]
