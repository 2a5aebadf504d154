#!/usr/bin/env bash
# Runs commands as a newcomer's machine would: in a root folder that holds a suite's minimal system and
# this working tree's files without their history, as a user who has sudo and nothing else.
# Usage: sudo scripts/bare.sh SUITE [COMMAND...]
#   SUITE      bookworm, or another that the mirror of this machine's apt has
#   COMMAND    a line for bash, run in the copy; one that begins with "offline " has no network but
#              loopback. Default: the commands of README.md.
# Environment:
#   BARE_CACHE    the minimal system (for a week) and downloads are kept here
#                 (default: ~/.cache/itemcrop-bare)
#   BARE_CCACHE   a folder for ccache, which is then installed too (default: no compiler cache)
#   BARE_OUT      a folder that the commands see as $OUT and may write to
#   BARE_MIRROR   the mirror (default: the one that apt uses here)
# The root is removed at the end, however that comes; its mounts and processes end with this process.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fail() {
  echo "bare.sh: $*" >&2
  exit 1
}

(($# > 0)) || fail "usage: bare.sh SUITE [COMMAND...]"
suite=$1
shift
(($# > 0)) || set -- \
  'bash scripts/try.sh' \
  'sudo cmake --install build/release' \
  'cp examples/wardrobe.jpg ~/look.jpg; cd && itemcrop crop look.jpg --items "navy blazer, pants, shoes"' \
  'cmake -G Ninja -S examples/cpp -B build/examples && cmake --build build/examples' \
  'bash scripts/test.sh'

((EUID == 0)) || fail "a root folder with its own mounts needs root: sudo bash scripts/bare.sh $suite"
for program in debootstrap unshare ip; do
  command -v "$program" >/dev/null || fail "'$program' is missing (bash scripts/install.sh ci)"
done

# Everything that is mounted or started from here on is gone when this process ends: it belongs to
# namespaces of their own.
if [[ -z ${BARE_ROOT:-} ]]; then
  BARE_ROOT=$(mktemp -d "${TMPDIR:-/tmp}/itemcrop-bare.XXXXXX")
  inside=
  clean_up() {
    [[ -z $inside ]] || { kill -KILL "$inside" && wait "$inside"; } 2>/dev/null || true
    rm -rf --one-file-system "$BARE_ROOT"
  }
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  export BARE_ROOT
  # In the background, since bash handles no signal while it waits for a command in the foreground;
  # with job control, without which commands in the background ignore SIGINT.
  set -m
  unshare --mount --propagation private --pid --fork --kill-child \
    bash "${BASH_SOURCE[0]}" "$suite" "$@" &
  inside=$!
  status=0
  wait "$inside" || status=$?
  inside=
  exit "$status"
fi
chmod 755 "$BARE_ROOT"

cache=${BARE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/itemcrop-bare}
mirror=${BARE_MIRROR:-$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
  awk -v suite="$suite" '$2 == suite {print $1; exit}')}
[[ -n $mirror ]] || fail "apt has no source of $suite here: set BARE_MIRROR to one"
mkdir -p "$cache/packages" "$cache/pip"
# apt locks its archives, so one root at a time shares them.
exec 9>"$cache/lock"
flock 9

say "A bare $suite"
extra=sudo
[[ -z ${BARE_CCACHE:-} ]] || extra+=,ccache
minimal="$cache/$suite-$extra.tar"
if [[ -z $(find "$minimal" -mtime -7 2>/dev/null) ]]; then
  debootstrap --variant=minbase --include="$extra" "$suite" "$BARE_ROOT/new" "$mirror" \
    >"$cache/debootstrap.log" 2>&1 || {
    tail -n 5 "$cache/debootstrap.log" >&2
    fail "debootstrap cannot make a $suite root from this machine's mirror"
  }
  tar -C "$BARE_ROOT/new" -cf "$minimal.part" .
  mv "$minimal.part" "$minimal"
  rm -rf --one-file-system "$BARE_ROOT/new"
fi
tar -C "$BARE_ROOT" -xf "$minimal"

# The outer machine's way to its mirrors: names, certificates and the settings of apt and pip.
cp /etc/hosts /etc/resolv.conf "$BARE_ROOT/etc/"
echo "127.0.0.1 $(uname -n)" >>"$BARE_ROOT/etc/hosts"
for settings in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf /etc/apt/auth.conf.d/*; do
  [[ ! -f $settings ]] || install -D -m 644 "$settings" "$BARE_ROOT$settings"
done
[[ ! -f /etc/pip.conf ]] || cp /etc/pip.conf "$BARE_ROOT/etc/"
environment=(HOME=/home/newcomer USER=newcomer PATH=/usr/local/bin:/usr/bin:/bin
  TERM="${TERM:-dumb}" OUT=/out)
while IFS= read -r variable; do
  environment+=("$variable")
done < <(env | grep -E '^(PIP_(INDEX|EXTRA|TRUSTED|DEFAULT_TIMEOUT)|(https?|no)_proxy=|CXXFLAGS=|CI=)' || true)
if [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
  # Not where the ca-certificates package writes its own.
  cp /etc/ssl/certs/ca-certificates.crt "$BARE_ROOT/etc/certificates-of-the-mirrors.crt"
  environment+=(PIP_CERT=/etc/certificates-of-the-mirrors.crt)
fi

# The root does not outlive this process, so nothing need reach the disk.
echo force-unsafe-io >"$BARE_ROOT/etc/dpkg/dpkg.cfg.d/unsafe-io"

mount -t proc proc "$BARE_ROOT/proc"
mount --rbind --make-rslave /sys "$BARE_ROOT/sys"
mount -t tmpfs -o mode=755 tmpfs "$BARE_ROOT/dev"
mkdir "$BARE_ROOT/dev/pts" "$BARE_ROOT/dev/shm"
for device in full null random tty urandom zero; do
  touch "$BARE_ROOT/dev/$device"
  mount --bind "/dev/$device" "$BARE_ROOT/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=666 devpts "$BARE_ROOT/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$BARE_ROOT/dev/shm"
ln -s pts/ptmx "$BARE_ROOT/dev/ptmx"
ln -s /proc/self/fd "$BARE_ROOT/dev/fd"
for at in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${at%:*}" "$BARE_ROOT/dev/${at#*:}"; done

# share FOLDER AT: the outer folder at a place of the root.
share() {
  mkdir -p "$1" "$BARE_ROOT$2"
  mount --bind "$1" "$BARE_ROOT$2"
  [[ $2 == /var/* ]] || chroot "$BARE_ROOT" chown newcomer: "$2"
}
chroot "$BARE_ROOT" useradd --create-home --shell /bin/bash newcomer
echo 'newcomer ALL=(ALL) NOPASSWD: ALL' >"$BARE_ROOT/etc/sudoers.d/newcomer"
home="/home/newcomer"
clone="$home/Neue Ordner ñ/itemcrop clone"
mkdir -p "$BARE_ROOT$clone" "$BARE_ROOT$home/.cache"
if git -C "$root" rev-parse --git-dir >/dev/null 2>&1; then
  git -C "$root" ls-files -z --cached --others --exclude-standard
else
  find . -path ./build -prune -o -path ./out -prune -o -type f -print0
fi | tar --null --files-from=- --ignore-failed-read -c | tar -x -C "$BARE_ROOT$clone"
chroot "$BARE_ROOT" chown -R newcomer: "$home"

share "$cache/packages" /var/cache/apt/archives
share "$cache/pip" "$home/.cache/pip"
[[ -z ${BARE_CCACHE:-} ]] || share "$BARE_CCACHE" "$home/.cache/ccache"
[[ -z ${BARE_OUT:-} ]] || share "$BARE_OUT" /out
# Photos beside the repository, where there are some: more tests.
if [[ -d $root/../shared/garments ]]; then
  mkdir -p "$BARE_ROOT${clone%/*}/shared/garments"
  mount --bind -o ro "$root/../shared/garments" "$BARE_ROOT${clone%/*}/shared/garments"
fi

# run LINE: as the user, in the copy.
run() {
  local line=$1 network=()
  if [[ $line == "offline "* ]]; then
    line=${line#offline }
    network=(unshare --net bash -c 'ip link set lo up && exec "$@"' -)
  fi
  "${network[@]}" chroot --userspec=newcomer: "$BARE_ROOT" /usr/bin/env -i "${environment[@]}" \
    bash -c 'cd "$1" && eval "$2"' - "$clone" "$line" </dev/null
}

for line in "$@"; do
  say "bare $suite: $line"
  started=$SECONDS
  status=0
  run "$line" || status=$?
  printf -- '--- %s: exit %d, %d s\n' "$line" "$status" $((SECONDS - started))
  ((status == 0)) || exit "$status"
done
