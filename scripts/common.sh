# Sourced by try.sh and test.sh: where the repository is, how wide to build, how to say a step.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# With ccache, another clone's objects are as good as this one's.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros

say() { printf '\n==> %s\n' "$*"; }

# One compiler needs up to about 1.5 GB: as many jobs as cores, unless memory allows fewer.
build_jobs() {
  local cores memory_kb by_memory
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || true)
  by_memory=$((${memory_kb:-4000000} / 1500000))
  ((by_memory >= 1)) || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# configure PRESET [CMAKE ARGUMENTS...]: quiet unless it fails. Sources are compiled eight at a time,
# in less than half the time; headers are what a compiler here spends most on.
configure() {
  local preset=$1 arguments=(-DCMAKE_UNITY_BUILD=ON) log
  shift
  if command -v ccache >/dev/null; then
    arguments+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  fi
  log=$(mktemp)
  if ! cmake --preset "$preset" "${arguments[@]}" "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# build PRESET [TARGETS...]: ninja's own counter is the progress.
build() {
  local preset=$1 targets=()
  shift
  (($# == 0)) || targets=(--target "$@")
  cmake --build --preset "$preset" --parallel "$(build_jobs)" "${targets[@]}"
}

# run_tests PRESET JUNIT_FILE [CTEST ARGUMENTS...]. Two places a core, of which a test that computes
# takes both (tests/CMakeLists.txt). Output is kept whole: it ends with the totals and says why a case
# was skipped.
run_tests() {
  local preset=$1 results=$2
  shift 2
  ctest --preset "$preset" --parallel "$((2 * $(build_jobs)))" --no-tests=error \
    --output-junit "$root/$results" --test-output-size-passed 1048576 "$@"
}
