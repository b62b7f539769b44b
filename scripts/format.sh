#!/usr/bin/env bash
# Formats all C++ files with clang-format 14 (.clang-format); --check only reports, and exits 1.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
  '') mode=(-i) ;;
  --check) mode=(--dry-run --Werror) ;;
  *) echo "usage: scripts/format.sh [--check]" >&2; exit 2 ;;
esac
tool=$(command -v clang-format-14 || command -v clang-format) ||
  { echo "format: no clang-format; run scripts/setup.sh --dev" >&2; exit 1; }
case $("$tool" --version) in
  *' version 14.'*) ;;
  *) echo "format: $tool is not version 14, whose layout the project keeps" >&2; exit 1 ;;
esac
folders=()
for folder in include src tools tests; do
  [ ! -d "$folder" ] || folders+=("$folder")
done
find "${folders[@]}" \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 --no-run-if-empty -n 20 -P "$(nproc)" "$tool" "${mode[@]}"
