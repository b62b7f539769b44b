#!/usr/bin/env bash
# Makes the Python environment of the reference implementations, for scripts/make_goldens.py and
# scripts/bench_peers.py. The project itself never needs it.
#
# usage: scripts/reference.sh [DIR]      default: .deps/reference
#   LDM_CUDA_LIBS=DIR   take CUDA 13's libraries (cuBLAS, cuDNN, NCCL, …), which `import torch` loads
#                       even on a CPU, from DIR (default: /usr/local/cuda/lib64 where it has them)
#                       instead of downloading 2.5 GB of them
#
# The last lines on stdout are what to put before a command.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
target=${1:-$root/.deps/reference}
cuda_libs=${LDM_CUDA_LIBS:-/usr/local/cuda/lib64}

say() { printf 'reference: %s\n' "$*" >&2; }

has_cuda_libs() {
  local name
  for name in libcublas.so.13 libcudnn.so.9 libcufft.so.12 libcurand.so.10 libcusparse.so.12 \
              libnccl.so.2; do
    [ -e "$cuda_libs/$name" ] || /sbin/ldconfig -p | grep -F "$name" >/dev/null || return 1
  done
}

needs_path=no
! has_cuda_libs || needs_path=yes
pins="torch==2.11.0 diffusers==0.42.1 transformers==5.23.0 sentencepiece==0.2.3 scikit-image==0.26.0"
pins+=" lpips==0.1.4 DeepCache==0.1.1 $needs_path"
if [ "$(cat "$target/pins.txt" 2>/dev/null)" != "$pins" ]; then
  say "making $target"
  python3 -m venv --clear "$target" ||
    { say "error: no venv"; echo "hint: apt-get install python3-venv" >&2; exit 1; }
  pip() { "$target/bin/python" -m pip "$@" --quiet --disable-pip-version-check --no-warn-conflicts >&2; }
  if [ "$needs_path" = yes ]; then
    say "torch 2.11.0, with CUDA's libraries from $cuda_libs"
    # Without its dependencies torch needs these and what is asked for below.
    pip install --no-deps torch==2.11.0 nvidia-cuda-cupti==13.0.85 nvidia-cuda-runtime==13.0.96 \
      nvidia-cufile==1.15.1.6 nvidia-cusparselt-cu13==0.8.0 nvidia-nvshmem-cu13==3.4.5
  else
    say "torch 2.11.0 and CUDA's libraries (2.5 GB)"
    pip install torch==2.11.0
  fi
  say "diffusers 0.42.1, transformers 5.23.0, sentencepiece, scikit-image, OpenVINO"
  pip install numpy pillow scipy psutil regex requests tqdm filelock packaging pyyaml \
    typing_extensions sympy networkx jinja2 fsspec importlib_metadata safetensors httpx httpx2 \
    typer
  pip install sentencepiece==0.2.3
  pip install --no-deps scikit-image==0.26.0 lazy_loader==0.6
  pip install --no-deps diffusers==0.42.1 transformers==5.23.0 tokenizers==0.23.3 \
    huggingface_hub==2.4.0 hf-xet openvino==2026.4.1 openvino-telemetry
  # Of the losses of autoencoders: scripts/goldens/lpips.py and adversarial.py.
  pip install --no-deps lpips==0.1.4 torchvision==0.26.0 taming-transformers-rom1504==0.0.6
  # Of scripts/goldens/steering.py.
  pip install --no-deps DeepCache==0.1.1
  printf '%s' "$pins" >"$target/pins.txt"
fi

library_path=
[ "$needs_path" = no ] || library_path="LD_LIBRARY_PATH=$cuda_libs "
env ${library_path:+"${library_path% }"} HF_HUB_OFFLINE=1 "$target/bin/python" -c '
import torch, diffusers, transformers
from transformers import CLIPTextModel
from diffusers import StableDiffusionPipeline
print("torch", torch.__version__, "diffusers", diffusers.__version__,
      "transformers", transformers.__version__)'
printf '%s%s/bin/python\n' "$library_path" "$target"
