#!/usr/bin/env bash
# Sets up, builds and runs ldm-gen: scripts/run.sh --prompt "a red apple" -o apple.png
#
# All arguments go to ldm-gen, which runs in the caller's folder. stdout carries only what ldm-gen
# prints; set-up and build speak on stderr, and only while there is something to do.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$root/build/release

"$root/scripts/setup.sh"

# Passes ninja's lines to stderr; on a terminal, progress stays on one line.
progress() {
  local line width=${COLUMNS:-80}
  while IFS= read -r line; do
    case $line in
      'ninja: no work to do.' | *'Re-checking globbed directories'* | 'ninja: Entering directory'*) ;;
      '['*) if [ -t 2 ]; then printf '\r\033[K%.*s' "$width" "$line"; else echo "$line"; fi ;;
      *) [ ! -t 2 ] || printf '\r\033[K'; echo "$line" ;;
    esac
  done >&2
  [ ! -t 2 ] || printf '\r\033[K' >&2
}

if [ ! -e "$build/build.ninja" ]; then
  echo "run: building ldm-gen in $build (a few minutes, the first time only)" >&2
  cmake -S "$root" --preset release >&2
fi
targets=(ldm-gen)
! grep -qs 'libldm_cuda\.so' "$build/build.ninja" || targets+=(ldm_cuda)
ninja -C "$build" "${targets[@]}" 2>&1 | progress

exec "$build/bin/ldm-gen" "$@"
