#!/usr/bin/env bash
# Checks a commit message as docs/STYLE.md asks: a subject of at most 72 characters, one change.
# Usage: scripts/check_commit_message.sh FILE      (pre-commit passes it at the stage commit-msg)
set -euo pipefail
subject=$(grep -v '^#' "$1" | head -n 1)

fail() {
  printf 'commit subject: %s\n  %s\n' "$1" "$subject" >&2
  exit 1
}

((${#subject} > 0)) || fail "is empty"
((${#subject} <= 72)) || fail "${#subject} characters are more than 72"
[[ $subject != *';'* ]] || fail "a semicolon joins two changes: make two commits, or use the body"
[[ $subject != *. ]] || fail "ends with a full stop"
second=$(grep -v '^#' "$1" | sed -n 2p)
[[ -z $second ]] || fail "a blank line has to follow"
