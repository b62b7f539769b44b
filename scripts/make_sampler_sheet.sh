#!/usr/bin/env bash
# Makes the sheet of samplers by steps in README with the embedded model.
#
# usage: scripts/make_sampler_sheet.sh SHEET.png     LDM_GEN=PROGRAM for another build's
set -euo pipefail
sheet=$(realpath -m "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
pictures=$(mktemp -d)
trap 'rm -rf "$pictures"' EXIT
"${LDM_GEN:-$root/build/release/bin/ldm-gen}" --prompt "a red apple on a blue background" --seed 1 \
  --sweep steps=4,10,30 --sweep sampler=ddim,euler-a,heun,dpm2,dpmpp-2m,dpmpp-sde,dpmpp-3m-sde,unipc,deis,restart \
  --output-dir "$pictures" --grid "$sheet" --quiet
