#!/usr/bin/env bash
# Runs every fuzz target for a while, from seeds that the repository holds anyway.
# Usage: scripts/fuzz.sh FOLDER [SECONDS EACH]     (FOLDER: where the preset sanitizers built them)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
folder=${1:?"usage: $0 FOLDER [SECONDS EACH]"}
seconds=${2:-60}

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
for name in config http_body http_head picture prompt safetensors settings taxonomy tokenizer url vlm_answer; do
  mkdir "$seeds/$name"
  [[ ! -d tests/fuzz/corpus/$name ]] || cp tests/fuzz/corpus/"$name"/* "$seeds/$name"
done
cp models/*/config.json "$seeds/config"
cp src/taxonomy/builtin/*.toml "$seeds/taxonomy"
find tests/golden -name '*.safetensors' -size -64k \
  -exec cp --backup=numbered -t "$seeds/safetensors" {} +

export LSAN_OPTIONS=suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0
export seeds seconds
one() {
  local name log
  name=$(basename "$1" _fuzz)
  log=$("$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -print_funcs=0 -verbosity=0 -artifact_prefix="$seeds/crash-$name-" \
    "$seeds/$name" 2>&1) && {
    echo "--- $name: $(grep -o 'number_of_executed_units: *[0-9]*' <<<"$log" | grep -o '[0-9]*$') runs in $seconds s"
    return
  }
  echo "$log"
  mkdir -p build/fuzz-findings
  cp "$seeds"/crash-"$name"-* build/fuzz-findings/
  echo "$name found a fault: the input is in build/fuzz-findings" >&2
  return 1
}
export -f one
printf '%s\0' "$folder"/*_fuzz | xargs -0 -n1 -P"$(build_jobs)" bash -c 'one "$1"' _
