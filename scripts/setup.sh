#!/usr/bin/env bash
# Brings what the build needs: Debian packages, and the pinned libtorch into .deps/.
#
# usage: scripts/setup.sh [--dev]
#   --dev        also the tools of the checks (clang, clang-format, clang-tidy, Google Benchmark)
#                and Open MPI, with which training runs under mpirun
#   LDM_CUDA=1   bring the CUDA runtime wheels (default: where an NVIDIA driver is found); 0: never
#
# Ends at once when everything is there, so a second run needs no network. All it says goes to
# stderr. pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX) are honoured.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
deps=$root/.deps
torch_version=2.11.0
target=$deps/libtorch-$torch_version

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }

# PyPI wheels: requirement and SHA-256. torch's wheel is unpacked, never installed, so the Python
# it was built for does not matter.
cpu_wheels='
torch==2.11.0 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
nvidia-cuda-cupti==13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548'
# What libtorch_cuda.so loads besides: the versions that torch 2.11.0 and cuda-toolkit 13.0.2 pin.
cuda_wheels='
nvidia-cublas==13.1.0.3 ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cuda-nvrtc==13.0.88 ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-cudnn-cu13==9.19.0.56 d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cufft==12.0.0.61 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
nvidia-cufile==1.15.1.6 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
nvidia-curand==10.4.0.35 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
nvidia-cusolver==12.0.4.66 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
nvidia-cusparse==12.6.3.3 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
nvidia-cusparselt-cu13==0.8.0 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
nvidia-nccl-cu13==2.28.9 e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
nvidia-nvjitlink==13.0.88 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
nvidia-nvshmem-cu13==3.4.5 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80
nvidia-nvtx==13.0.85 4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4'

# Debian packages, each with a command or a file that shows it is there.
packages='
g++ g++
cmake cmake
ninja-build ninja
ccache ccache
git git
python3 python3
nlohmann-json3-dev /usr/include/nlohmann/json.hpp
libcli11-dev /usr/include/CLI/CLI.hpp
catch2 /usr/include/catch2/catch.hpp
libsentencepiece-dev /usr/include/sentencepiece_processor.h
libstb-dev /usr/include/stb/stb_image.h
libpng-dev /usr/include/png.h
zlib1g-dev /usr/include/zlib.h
libicu-dev /usr/include/unicode/normalizer2.h
libssl-dev /usr/include/openssl/evp.h'
dev_packages='
clang clang++
clang-format clang-format
clang-tidy clang-tidy
libclang-rt-dev /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a
libbenchmark-dev /usr/include/benchmark/benchmark.h
libopenmpi-dev /usr/bin/mpicxx
openmpi-bin /usr/bin/mpirun'

present() {
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

install_packages() {
  local missing=() package probe
  while read -r package probe; do
    [ -z "$package" ] || present "$probe" || missing+=("$package")
  done <<<"$1"
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo)
  command -v apt-get >/dev/null ||
    fail "not a Debian system, and these are missing: ${missing[*]}" \
         "install them with this system's package manager, then run scripts/setup.sh again"
  [ ${#sudo[@]} = 0 ] || command -v sudo >/dev/null ||
    fail "missing Debian packages, and no sudo: ${missing[*]}" \
         "as root: apt-get install ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq >&2 || say "apt-get update failed; trying with what apt knows"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get could not install: ${missing[*]}" \
         "see the messages above; is the network there, and Debian 12 or later?"
}

wants_cuda() {
  case ${LDM_CUDA:-auto} in
    0) return 1 ;;
    1) return 0 ;;
    auto) [ -e /proc/driver/nvidia/version ] ||
          { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; } ;;
    *) fail "LDM_CUDA must be 0 or 1, not '$LDM_CUDA'" ;;
  esac
}

# Prints the pip requirements of the wheels that $target/wheels.txt does not list.
missing_wheels() {
  local requirement hash
  while read -r requirement hash; do
    [ -n "$requirement" ] || continue
    grep -qsxF "$requirement $hash" "$target/wheels.txt" ||
      printf '%s --hash=sha256:%s\n' "$requirement" "$hash"
  done <<<"$1"
}

download() {  # REQUIREMENTS FOLDER; pip checks every SHA-256
  printf '%s\n' "$1" >"$2/requirements.txt"
  local platform platforms=()
  for platform in 2_28 2_27 2_25 2_18 2_17 2_12 2_5; do
    platforms+=(--platform "manylinux_${platform}_x86_64")
  done
  for platform in manylinux2014 manylinux2010 manylinux1; do
    platforms+=(--platform "${platform}_x86_64")
  done
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 311 --implementation cp --abi cp311 --abi none "${platforms[@]}" \
    --require-hashes --requirement "$2/requirements.txt" --dest "$2" >&2 ||
    fail "could not download the wheels" \
         "the first set-up needs PyPI (or PIP_FIND_LINKS=DIR with the wheels); later ones do not"
  rm "$2/requirements.txt"
}

# Unpacks libraries, headers and licences; not Python's own parts, which nothing here loads.
unpack() {  # WHEEL_FOLDER DESTINATION
  python3 - "$1" "$2" <<'PYTHON'
import pathlib
import re
import sys
import zipfile

wheels, destination = map(pathlib.Path, sys.argv[1:])
wanted = re.compile(r"torch/(lib|include)/|nvidia/|[^/]+\.dist-info/(licenses/|METADATA|LICEN|NOTICE)")
unwanted = re.compile(r"\.(a|py|pyi)$|/libtorch_python\.so$|/libshm_windows/")
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(destination, [
            name for name in archive.namelist()
            if wanted.match(name) and not unwanted.search(name)
        ])
PYTHON
}

check_torch() {
  local header=$1/torch/include/torch/headeronly/version.h found
  found=$(awk '/define TORCH_VERSION_(MAJOR|MINOR|PATCH) /{v = v sep $3; sep = "."} END {print v}' \
          "$header" 2>/dev/null) || true
  [ "$found" = "$torch_version" ] || fail "libtorch in $1 is '${found:-absent}', not $torch_version"
  [ -e "$1/torch/lib/libtorch_cpu.so" ] || fail "no libtorch_cpu.so in $1"
}

bring_libtorch() {
  local pins=$cpu_wheels requirements kind=CPU need_gb=4
  if wants_cuda; then
    pins+=$cuda_wheels
    kind=CUDA need_gb=12
  fi
  requirements=$(missing_wheels "$pins")
  [ -n "$requirements" ] || return 0
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "the pinned libtorch is for Linux x86_64, this is $(uname -sm)" \
         "build with -DLDM_LIBTORCH=DIR and a libtorch $torch_version of your own"
  python3 -m pip --version >/dev/null 2>&1 || install_packages 'python3-pip /nonexistent'
  mkdir -p "$deps"
  local free_gb
  free_gb=$(($(df -Pk "$deps" | awk 'NR == 2 {print $4}') / 1000000))
  [ "$free_gb" -ge "$need_gb" ] || fail "$deps has $free_gb GB free; $need_gb GB are needed"

  exec 9>"$deps/.lock"
  flock 9
  requirements=$(missing_wheels "$pins")  # another set-up may have finished meanwhile
  [ -n "$requirements" ] || return 0
  local temporary=$deps/tmp-$$
  trap 'rm -rf "$deps/tmp-$$"' EXIT
  mkdir -p "$temporary/wheels" "$temporary/new"
  say "downloading libtorch $torch_version ($kind): $(cut -d' ' -f1 <<<"$requirements" | xargs)"
  download "$requirements" "$temporary/wheels"
  say "unpacking into $target"
  if [ -e "$target/wheels.txt" ]; then
    cp -al "$target/." "$temporary/new/"
    rm "$temporary/new/wheels.txt"
  fi
  unpack "$temporary/wheels" "$temporary/new"
  check_torch "$temporary/new"
  sed '/^$/d' <<<"$pins" >"$temporary/new/wheels.txt"
  [ ! -e "$target" ] || mv "$target" "$temporary/old"
  mv "$temporary/new" "$target"
  say "libtorch $torch_version is ready ($(du -sh "$target" | cut -f1))"
}

all_packages=$packages
for argument in "$@"; do
  case $argument in
    --dev) all_packages+=$dev_packages ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown option '$argument'" "scripts/setup.sh [--dev]" ;;
  esac
done
install_packages "$all_packages"
bring_libtorch
