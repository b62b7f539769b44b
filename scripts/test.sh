#!/usr/bin/env bash
# Sets up, builds and runs all tests: scripts/test.sh [ctest arguments, e.g. -L unit or -R schedulers]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$root/build/dev

"$root/scripts/setup.sh"
[ -e "$build/build.ninja" ] || cmake -S "$root" --preset dev
ninja -C "$build"
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
