#!/usr/bin/env bash
# Proves and times the GPU engine on a machine that has a GPU and CUDA but no packages.
#
#   scripts/gpu.sh build              here: programs and their libraries in build/gpu/carry
#   scripts/gpu.sh build-service      here: itemcrop too, and wheels of the server to compare with
#   scripts/gpu.sh run [STEP...]      there, in a copy of the source tree with build/gpu/carry
#
# Steps: info, ops, parity, sanitizer ("check" is these), ceilings, model, breakdown, products, detect,
# cold ("speed" is these), peers, families, service, quick, compare. Default: check speed peers.
# Results: a table at the end, gpu.json and logs.txt in $OUT (default build/gpu/out).
# Environment: GPU_ARCHITECTURES (90a), GPU_PRECISION (fp16), GPU_FLAGS (more for gpu_bench),
# GPU_PEERS (more for bench/peers/transformers_gpu.py).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

build=build/gpu
programs=(tests/unit/backend/cuda_device_test tests/parity/parity_cuda_device_test bench/gpu_bench
  tests/support/itemcrop-make-checkpoint src/backend/cuda/libitemcrop_cuda.so)

build_here() {
  set -e
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DITEMCROP_CLI=OFF \
    -DITEMCROP_ONEDNN=OFF -DITEMCROP_CUDA=ON -DITEMCROP_TEST_ROOT=. \
    -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache)" \
    -DCMAKE_CUDA_COMPILER_LAUNCHER="$(command -v ccache)" \
    -DCMAKE_CUDA_ARCHITECTURES="${GPU_ARCHITECTURES:-90a}"
  cmake --build "$build" -j "${GPU_JOBS:-$(nproc)}" --target itemcrop_cuda_module cuda_device_test \
    parity_cuda_device_test gpu_bench itemcrop-make-checkpoint
  rm -rf "$build/carry"
  pack gpu "${programs[@]/#/$build/}"
}

# The path of a program, or nothing: $(command -v) of a shell's own command is no file.
program_or_none() { type -P "$1" || true; }

# pack NAME PROGRAM...: the programs and their libraries, as carry/NAME.tar.xz.
pack() {
  local name=$1 stage=$build/stage program
  rm -rf "$stage"
  mkdir -p "$build/carry" "$stage/lib"
  for program in "${@:2}"; do
    [[ -n $program ]] || continue
    strip -o "$stage/$(basename "$program")" "$program"
    # All but the C library, which must be as new there, and CUDA's.
    ldd "$program" |
      awk '$3 ~ /^\// && $1 !~ /^lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|cuda.*|cublas.*)\.so/ { print $3 }' |
      xargs -r -I{} cp -Lu {} "$stage/lib/"
  done
  # The device code is in every program; a window of 64 MiB finds it again.
  tar -C "$stage" -c . | xz -9 -T0 >"$build/carry/$name.tar.xz"
  rm -rf "$stage"
  ls -l "$build/carry"
}

build_service_here() {
  set -e
  local full=$build/full  # not the cuda preset's own folder, which CI builds unoptimised
  cmake --preset cuda -B "$full" -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache)" \
    -DCMAKE_CUDA_COMPILER_LAUNCHER="$(command -v ccache)" \
    -DCMAKE_CUDA_ARCHITECTURES="${GPU_ARCHITECTURES:-90a}"
  cmake --build "$full" -j "${GPU_JOBS:-$(nproc)}" --target itemcrop itemcrop_cuda_module
  pack service "$full/bin/itemcrop" "$full/src/backend/cuda/libitemcrop_cuda.so" "$(program_or_none hey)"
  python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$build/carry/wheels" \
    fastapi uvicorn pydantic==2.14.3 pydantic_core==2.50.4 starlette annotated-types \
    typing-inspection opentelemetry-api
}

# --- on the device machine -------------------------------------------------------------------

place=/tmp/itemcrop-gpu
tiny=tests/golden/tiny
precision=${GPU_PRECISION:-fp16}
read -r -a flags <<<"${GPU_FLAGS:-}"
read -r -a peers <<<"${GPU_PEERS:-}"
out=${OUT:-$build/out}
failed=0

# step NAME SECONDS COMMAND...: output to the logs, JSON (if it is JSON) to the results.
step() {
  local name=$1 seconds=$2 start=$SECONDS status
  shift 2
  timeout "$seconds" "$@" >"$place/out/$name.out" 2>"$place/out/$name.err"
  status=$?
  ((status == 0)) || failed=1
  printf '%-22s %s in %d s\n' "$name" "$( ((status == 0)) && echo ok || echo "FAILED ($status)")" \
    $((SECONDS - start))
  if ((status != 0)); then
    grep -hE 'FAILED|Failure|Actual|error|Error|terminate|!!' "$place/out/$name".{out,err} | head -n 12
  fi
  return $status
}

# A whole model under a tool. racecheck does not follow the barriers of cuBLASLt's own kernels, and a
# filter of kernels makes it crash, so what it says of those is passed over.
sanitize_model() {
  local log=$place/out/sanitize_$1
  compute-sanitizer --tool "$1" "$place/parity_cuda_device_test" --gtest_brief=1 \
    --gtest_filter='Micro/*Fp16/micro_batch' >"$log" 2>&1 || { cat "$log"; return 1; }
  cat "$log"
  ! grep -E '^=+ +(Error|Invalid|Race|and|Program hit|Internal)' "$log" | grep -qv nvjet
}
export -f sanitize_model
export place

checkpoint() {
  [[ -d $place/tiny ]] && return
  "$place/itemcrop-make-checkpoint" "$tiny" "$place/tiny" --dtype f16 \
    --vocab tests/golden/tokenizer/vocab.txt >/dev/null
}

run_step() {
  local model=("$place/gpu_bench" model "$tiny" --precision "$precision" "${flags[@]}")
  case $1 in
    info) step info 30 bash -c 'nvidia-smi; nvcc --version | tail -2; ldd '"$place"'/libitemcrop_cuda.so' ;;
    ops) step ops 200 "$place/cuda_device_test" --gtest_brief=1 ;;
    parity)
      step parity_micro 100 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='Micro*:Cuda*'
      step parity_tiny 150 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='Tiny*-*large*'
      step parity_large 200 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='Tiny*large*'
      step parity_base 200 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='Base*small*'
      ;;
    sanitizer)
      local tool
      for tool in memcheck racecheck synccheck; do
        step "sanitizer_$tool" 120 compute-sanitizer --tool "$tool" --error-exitcode 9 \
          "$place/cuda_device_test" --gtest_brief=1 --gtest_filter='*fp16*:Graphs.Repeated*:SmallProducts*'
        step "sanitizer_${tool}_model" 120 bash -c 'sanitize_model "$1"' - "$tool"
      done
      ;;
    ceilings) step ceilings 60 "$place/gpu_bench" ceilings --precision "$precision" ;;
    model)
      step model 200 "${model[@]}" --batches 1,8,32 --tokens 16,64,256
      step model_mixed 60 "${model[@]}" --batches 8 --mixed
      step model_no_graphs 60 "${model[@]}" --batches 1,8 --no-graphs
      step model_timed 120 "${model[@]}" --batches 1,8 --timed
      step model_exact_gelu 60 "${model[@]}" --batches 1,8 --exact-gelu
      step model_deterministic 60 "${model[@]}" --batches 1,8 --deterministic
      local value
      for value in 0 24; do
        step "model_piece_$value" 60 "${model[@]}" --batches 1,8 --piece-mib "$value"
      done
      ;;
    quick) step model_quick 60 "${model[@]}" --batches 1,8,32 ;;
    compare)
      # What fails its test is left out.
      local without=() test=("$place/cuda_device_test" --gtest_brief=1)
      step own_row_products 40 "${test[@]}" --gtest_filter='RowProducts*' || without+=(--no-row-products)
      step own_feed_forward 40 "${test[@]}" --gtest_filter='FeedForwards*' ||
        without+=(--no-feed-forward)
      step own_early 40 "${test[@]}" --gtest_filter='Graphs*' || without+=(--no-early)
      step compare 150 "$place/gpu_bench" compare "$tiny" --precision "$precision" --batches 1,8 \
        --runs 15 "${without[@]}" "${flags[@]}"
      cat "$place/out/compare.err"
      ;;
    breakdown) step breakdown 100 "$place/gpu_bench" ops "$tiny" --precision "$precision" --batches 1,8 "${flags[@]}" ;;
    products) step products 200 "$place/gpu_bench" products "$tiny" --precision "$precision" --batches 8 "${flags[@]}" ;;
    detect)
      checkpoint
      step detect 150 "$place/gpu_bench" detect "$place/tiny" --precision "$precision" --batches 1,8,32
      step detect_mixed 100 "$place/gpu_bench" detect "$place/tiny" --precision "$precision" --batches 64 --mixed --runs 5
      ;;
    cold)
      checkpoint
      step cold_first 60 "$place/gpu_bench" cold "$place/tiny" --precision "$precision"
      step cold 60 "$place/gpu_bench" cold "$place/tiny" --precision "$precision"
      ;;
    service)
      checkpoint
      mkdir -p "$place/service" && tar -C "$place/service" -xf "$build/carry/service.tar.xz" &&
        python3 -m pip install -q --no-index --no-deps --upgrade --target "$place/python" \
          "$build"/carry/wheels/*.whl
      local service=(env LD_LIBRARY_PATH="$place/service/lib:$LD_LIBRARY_PATH"
        PATH="$place/service:$PATH" PYTHONPATH="$place/python"
        ITEMCROP_CUDA_MODULE="$place/service/libitemcrop_cuda.so"
        python3 bench/service/gpu.py --binary "$place/service/itemcrop" --model "$place/tiny"
        --photo examples/wardrobe.jpg)
      step service 60 "${service[@]}" --clients 1,4,16,64 --seconds 4 --json "$out/service.json"
      step service_compare 120 "${service[@]}" --clients 1,8 --seconds 4 --legacy \
        --json "$out/service_compare.json"
      cat "$place"/out/service*.out
      ;;
    families)
      # MM-Grounding-DINO and LLMDet: proof, and times beside the first family's and transformers'.
      local shape
      step parity_mm_micro 60 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='MmMicro*'
      step parity_mm_tiny 150 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='MmTiny*'
      step parity_mm_large 200 "$place/parity_cuda_device_test" --gtest_brief=1 --gtest_filter='MmLarge*'
      for shape in tiny mm_tiny mm_large; do
        step "model_shape_$shape" 100 "$place/gpu_bench" model "tests/golden/$shape" \
          --precision "$precision" --batches 1,8 "${flags[@]}"
        step "peers_shape_$shape" 150 python3 bench/peers/transformers_gpu.py \
          --config "tests/golden/$shape" --batches 1,8 "${peers[@]}"
      done
      ;;
    peers) step peers 500 python3 bench/peers/transformers_gpu.py "${peers[@]}" ;;
    *) echo "unknown step $1" >&2; exit 2 ;;
  esac
}

run_there() {
  mkdir -p "$place/out" "$out"
  tar -C "$place" -xf "$build/carry/gpu.tar.xz" || exit 1
  local cublas
  cublas=$(find /usr/local/cuda*/lib64 /usr/local/cuda*/targets /opt /usr/lib -name 'libcublasLt.so.13' 2>/dev/null | head -n 1)
  LD_LIBRARY_PATH=$place/lib:$(dirname "${cublas:-/none}"):${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH
  export PATH=$PATH:/usr/local/cuda/bin ITEMCROP_CUDA_MODULE=$place/libitemcrop_cuda.so
  local check=(info ops parity sanitizer) name
  local speed=(ceilings model breakdown products detect cold) steps=()
  (($# > 0)) || set -- check speed peers
  for name in "$@"; do
    case $name in
      check) steps+=("${check[@]}") ;;
      speed) steps+=("${speed[@]}") ;;
      *) steps+=("$name") ;;
    esac
  done
  for name in "${steps[@]}"; do run_step "$name"; done
  python3 bench/gpu_table.py "$place/out" "$out"
  return $failed
}

case ${1:-} in
  build) build_here ;;
  build-service) build_here && build_service_here ;;
  run) run_there "${@:2}" ;;
  *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
