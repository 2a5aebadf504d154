#!/usr/bin/env bash
# Packs what bench/run.py needs onto a machine that has neither compiler nor packages: the two
# programs and their shared libraries (the C library, which must be as new there as here, left out).
# Usage: bench/carry.sh BUILD_FOLDER OUTPUT_FOLDER
# There: export LD_LIBRARY_PATH=OUTPUT_FOLDER/lib; bench/run.py --build OUTPUT_FOLDER ...
set -euo pipefail
build=$1
output=$2
programs=(bench/bench_engine tests/support/itemcrop-make-checkpoint)

rm -rf "$output"
mkdir -p "$output/lib"
for program in "${programs[@]}"; do
  mkdir -p "$output/$(dirname "$program")"
  strip -o "$output/$program" "$build/$program"
  ldd "$build/$program" |
    awk '$3 ~ /^\// && $1 !~ /^lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so/ { print $3 }' |
    xargs -r -I{} cp -Lu {} "$output/lib/"
done
du -sh "$output"
