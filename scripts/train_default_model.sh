#!/usr/bin/env bash
# Makes weights/default from nothing: scripts/train_default_model.sh WORK_FOLDER
#
# Renders the data set, trains the autoencoder and the denoiser with the programs of this build and
# the configs/train/*.json, trains a classifier on the data set, measures reconstructions and
# prompt following, and leaves the fp16 model in WORK_FOLDER/default. Needs Debian's
# fonts-noto-color-emoji, Python with Pillow and matplotlib, and about four hours of two cores. A second call
# goes on where the first was stopped.
set -euo pipefail

[ $# = 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
mkdir -p "$1/data"
cd "$1"
bin=$root/build/release/bin
ninja -C "$root/build/release" ldm-gen ldm-convert ldm-train-autoencoder ldm-train-denoiser ldm-eval
ninja -C "$root/build/release" ldm_mpi 2> /dev/null || true
ln -sfn "$root/weights" weights

# The denoiser's pictures, encoded once, are the first half of the autoencoder's.
dataset() {  # FOLDER COUNT
  [ -e "$1/dataset.json" ] ||
    python3 "$root/scripts/make_emoji_dataset.py" -o "$1" --size 128 --count "$2" \
      --heldout-count 2000 --seed 0 --objects 208
}
dataset data/emoji128-objects 40000
dataset data/emoji128-half 20000

# One process a core, where Open MPI is there, learns the same as one process with all cores, faster.
launch=()
if command -v mpirun > /dev/null && [ -e "$bin/libldm_mpi.so" ]; then
  export OMP_NUM_THREADS=1
  # On Ctrl-C there is time to write a checkpoint.
  launch=(mpirun -n "$(nproc)" --bind-to none --mca odls_base_sigkill_timeout 60)
fi

train() {  # PROGRAM CONFIG OUTPUT_DIR
  [ -e "$3/model" ] && return
  local resume=()
  ! compgen -G "$3/checkpoints/step-*" > /dev/null || resume=(--resume)
  "${launch[@]}" "$bin/$1" "$root/configs/train/$2" "${resume[@]}"
}
train ldm-train-autoencoder emoji-autoencoder.json runs/emoji-autoencoder
train ldm-train-denoiser emoji-denoiser.json runs/emoji-denoiser
train ldm-train-denoiser emoji-denoiser-finish.json runs/emoji-denoiser-finish
train ldm-train-denoiser emoji-denoiser-polish.json runs/emoji-denoiser-polish

"$bin/ldm-convert" runs/emoji-denoiser-polish/model default --dtype fp16 --overwrite
mkdir -p default/training
for run in emoji-autoencoder emoji-denoiser emoji-denoiser-finish emoji-denoiser-polish; do
  cp "runs/$run/log.jsonl" "default/training/$run.jsonl"
done
python3 "$root/scripts/plot_training.py" default/training/loss-curves.png default/training/*.jsonl

[ -e classifier.safetensors ] ||
  "$bin/ldm-eval" train-classifier --data data/emoji128-half -o classifier.safetensors
"$bin/ldm-eval" reconstruction --vae default --data data/emoji128-objects/heldout
"$bin/ldm-eval" prompts --model default --prompts data/emoji128-half/prompts.jsonl \
  --classifier classifier.safetensors --steps 30
