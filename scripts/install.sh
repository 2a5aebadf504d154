#!/usr/bin/env bash
# Installs what itemcrop needs on Debian 12 or Ubuntu 24.04, and only what is missing.
# Usage: scripts/install.sh build|test|ci      (each includes the ones before it)
set -euo pipefail

# ocl-icd-opencl-dev: libdnnl-dev's CMake package asks for OpenCL without depending on it.
build=(g++ cmake ninja-build pkg-config libdnnl-dev ocl-icd-opencl-dev libhwy-dev libvips-dev
  libwebp-dev nlohmann-json3-dev libutf8proc-dev libcli11-dev libsqlite3-dev libtomlplusplus-dev libssl-dev
  libcurl4-openssl-dev libspdlog-dev prometheus-cpp-dev libarchive-dev
  'libboost1.81-dev|libboost1.83-dev')
test=(libgtest-dev libbenchmark-dev zlib1g-dev openssl python3 python3-pytest
  python3-jsonschema python3-selenium python3-venv chromium chromium-driver curl fish jq
  man-db nodejs shellcheck systemd zsh)
ci=(clang-format-14 clang-tidy-14 clang-14 libclang-rt-14-dev g++-aarch64-linux-gnu ccache debootstrap
  doxygen git iproute2 openjdk-17-jre-headless python3-dev)

case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  ci) wanted=("${build[@]}" "${test[@]}" "${ci[@]}") ;;
  *)
    echo "usage: $0 build|test|ci" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "No apt here: install the equivalents of these yourself, then go on:" >&2
  echo "  ${wanted[*]}" >&2
  exit 0
fi

# is_here "a|b": one of them is installed. The status is matched, not the exit code: a removed
# package still has a record.
is_here() {
  local name
  for name in ${1//|/ }; do
    if dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed; then
      return 0
    fi
  done
  return 1
}

missing=() unknown=()
for package in "${wanted[@]}"; do
  is_here "$package" || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "    all ${#wanted[@]} packages are here"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || {
    echo "These packages are missing, and there is neither root nor sudo: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

echo "    installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs apt-get quietly into the log, with its status reports turned into a line every tenth. sudo
# closes descriptors above 2, so the third is opened beyond it.
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -c \
    'exec apt-get -y -q -o Dpkg::Use-Pty=0 -o APT::Status-Fd=3 "$@" 3>&1 >&2' apt "$@" \
    2>>"$log" </dev/null |
    awk -F: '$1 == "dlstatus" || $1 == "pmstatus" {
        step = int($3 / 10) * 10
        if ($1 != kind) { kind = $1; last = -1 }
        if (step > last) {
          last = step
          printf "      %s %3d%%\n", kind == "dlstatus" ? "downloading" : "setting up ", step
          fflush()
        }
      }'
}

# known "a|b": the first that this release has; nothing if it has none.
known() {
  local name
  for name in ${1//|/ }; do
    if apt-cache show "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
}

failed() {
  tail -n 25 "$log" >&2
  echo "apt could not install: ${missing[*]}" >&2
  exit 1
}

apt update || failed
found=()
for package in "${missing[@]}"; do
  name=$(known "$package")
  if [[ -n $name ]]; then found+=("$name"); else unknown+=("$package"); fi
done
apt install --no-install-recommends "${found[@]}" || failed
if ((${#unknown[@]} > 0)); then
  echo "This release has no package ${unknown[*]}: install the like by other means." >&2
  [[ $1 != build ]] || exit 1
fi
