#!/usr/bin/env bash
# Runs every fuzz target for a while, from seeds that the repository holds anyway.
#
#   scripts/fuzz.sh FOLDER [SECONDS EACH]      FOLDER: where the preset sanitizers built them
#   scripts/fuzz.sh pack FOLDER                for a machine without packages: build/fuzz/carry
#   scripts/fuzz.sh there [SECONDS EACH]       there, in a copy of the source tree with that folder
#
# `there` runs two processes a target and leaves fuzz.txt, the inputs of faults and corpus.tar.xz,
# the smallest inputs that together reach all that was reached, in $OUT (default build/fuzz/out);
# unpacked into tests/fuzz they are the corpus. A corpus.tar.xz beside fuzz*.tar.xz is where it begins.
# FUZZ_PROCESSES (default: the cores) bounds how many run at a time, FUZZ_TARGETS names some only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

carry=build/fuzz/carry
mode=run
case ${1:?"usage: $0 FOLDER [SECONDS EACH] | pack FOLDER | there [SECONDS EACH]"} in
  pack | there) mode=$1; shift ;;
esac

# Everything that the targets start from, in $1.
gather_seeds() {
  local name
  for name in tests/fuzz/*_fuzz.cpp; do
    name=$(basename "$name" _fuzz.cpp)
    mkdir -p "$1/$name"
    [[ ! -d tests/fuzz/corpus/$name ]] || cp tests/fuzz/corpus/"$name"/* "$1/$name"
  done
  cp models/*/config.json "$1/config"
  find . -name '*.toml' -path '*taxonom*' -not -path './build/*' -exec cp -t "$1/taxonomy" {} +
  find tests/golden -name '*.safetensors' -size -64k \
    -exec cp --backup=numbered -t "$1/safetensors" {} +
}

# one PROGRAM SECONDS CORPUS ARTIFACTS: a run, its last lines, and whether it found nothing.
one() {
  local name log
  name=$(basename "$1" _fuzz)
  log=$("$1" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -print_funcs=0 -verbosity=0 -artifact_prefix="$4/$name-" "$3/$name" 2>&1) && {
    echo "--- $name: $(grep -o 'number_of_executed_units: *[0-9]*' <<<"$log" | grep -o '[0-9]*$') runs in $2 s"
    return
  }
  echo "$log"
  echo "$name found a fault: the input is in $4" >&2
  return 1
}
export -f one

pack() {
  local stage program library
  stage=$(mktemp -d)
  mkdir -p "$carry" "$stage/lib"
  for program in "$1"/*_fuzz; do
    # libvips' libraries are larger than all else together: its own target runs where they are
    # installed, and those that only link it get libraries whose functions do nothing.
    [[ $(basename "$program") != image_fuzz ]] || continue
    strip -o "$stage/$(basename "$program")" "$program"
    if ldd "$program" | grep -q libvips; then
      for library in $(readelf -d "$program" | grep -o 'lib\(vips\|g[a-z]*-2.0\)\.so\.[0-9]*'); do
        nm -D --undefined-only "$program" | sed -n 's/.* U \(\(vips\|g\)_[a-z0-9_]*\)$/void \1(void) {}/p' |
          cc -shared -w -Wl,-soname,"$library" -o "$stage/lib/$library" -x c -
      done
      continue
    fi
    ldd "$program" |
      awk '$3 ~ /^\// && $1 !~ /^lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so/ { print $3 }' |
      xargs -r -I{} cp -Lu {} "$stage/lib/"
  done
  tar -C "$stage" -c . | xz -6 -T0 >"$carry/fuzz.tar.xz"
  rm -rf "$stage"
  ls -l "$carry"
}

there() {
  local seconds=${1:-500} out=${OUT:-build/fuzz/out} place name failed=0
  place=$(mktemp -d)
  mkdir -p "$out" "$place/corpus" "$place/faults" "$place/small/corpus"
  local archive
  for archive in "$carry"/fuzz*.tar.xz; do tar -C "$place" -xf "$archive"; done
  export LD_LIBRARY_PATH=$place/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  [[ ! -f $carry/corpus.tar.xz ]] || tar -C "$place" -xf "$carry/corpus.tar.xz"
  gather_seeds "$place/corpus"
  local programs=("$place"/*_fuzz)
  if [[ -n ${FUZZ_TARGETS:-} ]]; then
    read -r -a programs <<<"$FUZZ_TARGETS"
    programs=("${programs[@]/#/$place/}")
    programs=("${programs[@]/%/_fuzz}")
  fi
  printf '%s\0' "${programs[@]}" "${programs[@]}" |
    xargs -0 -I{} -P"${FUZZ_PROCESSES:-$((2 * ${#programs[@]}))}" \
      bash -c 'one "$@"' _ {} "$seconds" "$place/corpus" "$place/faults" >"$out/fuzz.txt" 2>&1 ||
    failed=1
  for program in "${programs[@]}"; do
    name=$(basename "$program" _fuzz)
    mkdir -p "$place/small/corpus/$name"
    "$program" -merge=1 -max_len=2048 -timeout=10 "$place/small/corpus/$name" \
      "$place/corpus/$name" >/dev/null 2>&1 || echo "$name: not merged" >>"$out/fuzz.txt"
  done
  tar -C "$place/small" -c corpus | xz -9 >"$out/corpus.tar.xz"
  [[ -z $(ls "$place/faults") ]] || tar -C "$place" -c faults | xz >"$out/faults.tar.xz"
  cat "$out/fuzz.txt"
  return "$failed"
}

# No libraries of ours are looked at for leaks there, so these are known.
export LSAN_OPTIONS=suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0
case $mode in
  pack) pack "${1:?"usage: $0 pack FOLDER"}" ;;
  there) there "$@" ;;
  run)
    source scripts/common.sh
    seeds=$(mktemp -d)
    trap 'rm -rf "$seeds"' EXIT
    gather_seeds "$seeds"
    mkdir -p build/fuzz-findings
    printf '%s\0' "$1"/*_fuzz |
      xargs -0 -I{} -P"$(build_jobs)" bash -c 'one "$@"' _ {} "${2:-60}" "$seeds" build/fuzz-findings
    ;;
esac
