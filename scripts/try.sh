#!/usr/bin/env bash
# From a fresh clone to cropped items: installs what is missing, builds, crops the sample photo.
# Usage: scripts/try.sh [OUTPUT FOLDER]      (default: out/ in the repository)
set -euo pipefail
out=$(realpath -m -- "${1:-$(dirname "${BASH_SOURCE[0]}")/../out}")
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

say "1/3  Packages"
bash scripts/install.sh build

say "2/3  Build (Release, $(build_jobs) jobs)"
configure release
build release

say "3/3  Crop examples/wardrobe.jpg"
build/release/bin/itemcrop crop examples/wardrobe.jpg --items "$(cat examples/items.txt)" --out "$out"

cat <<END

Done. Look at:
  $out/index.html    every crop on one page, for a browser
  $out/crops/        the items, cut out
  $out/annotated/    the photo with its boxes
  $out/results.json  boxes and scores

Now your own photos:
  "$root/build/release/bin/itemcrop" crop PHOTO... --items "navy blazer, pants" --out DIR
or from anywhere, with man page and completions:
  sudo cmake --install "$root/build/release"
END
