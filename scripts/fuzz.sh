#!/usr/bin/env bash
# Runs every fuzz target for a while, from seeds that the repository holds anyway.
# Usage: scripts/fuzz.sh FOLDER [SECONDS EACH]     (FOLDER: where the fuzz preset built them)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
folder=${1:?"usage: $0 FOLDER [SECONDS EACH]"}
seconds=${2:-60}

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
for name in config http_body picture prompt safetensors settings taxonomy tokenizer url vlm_answer; do
  mkdir "$seeds/$name"
  [[ ! -d tests/fuzz/corpus/$name ]] || cp tests/fuzz/corpus/"$name"/* "$seeds/$name"
done
cp models/*/config.json "$seeds/config"
cp taxonomies/*.toml "$seeds/taxonomy"
find tests/golden -name '*.safetensors' -size -64k \
  -exec cp --backup=numbered -t "$seeds/safetensors" {} +

export LSAN_OPTIONS=suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0
for target in "$folder"/*_fuzz; do
  name=$(basename "$target" _fuzz)
  echo "--- $name, $seconds s"
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -print_funcs=0 -verbosity=0 -artifact_prefix="$seeds/crash-" "$seeds/$name" ||
    {
      mkdir -p build/fuzz-findings
      cp "$seeds"/crash-* build/fuzz-findings/
      echo "$name found a fault: the input is in build/fuzz-findings" >&2
      exit 1
    }
done
