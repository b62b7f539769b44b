#!/usr/bin/env bash
# Tries what `cmake --install` gives: installs a finished release build below a temporary folder,
# moves it, and draws a picture from another folder with an empty environment. Shows that every
# file that is opened lies in the moved folder or belongs to the system.
#
# usage: tests/soak/install.sh [BUILD]      BUILD: default build/release
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=${1:-$root/build/release}
home=$(mktemp -d /tmp/ldm-install-XXXXXX)
trap 'rm -rf "$home"' EXIT

fail() { printf 'install: %s\n' "$1" >&2; exit 1; }

cmake --install "$build" --prefix "$home/first" >"$home/log"
mkdir "$home/somewhere else"
mv "$home/first" "$home/somewhere else/ldm"
prefix="$home/somewhere else/ldm"
printf 'installed: %s\n' "$(du -sh "$prefix" | cut -f1)"
du -sh "$prefix"/bin "$prefix"/lib "$prefix"/share

for file in share/man/man1/ldm-gen.1 share/bash-completion/completions/ldm-gen \
  share/zsh/vendor-completions/_ldm-gen share/fish/vendor_completions.d/ldm-gen.fish \
  share/doc/ldm-gen/copyright share/ldm-gen/weights/default/model_index.json \
  share/ldm-gen/weights/tokenizers share/ldm-gen/configs/sd15.json; do
  [ -e "$prefix/$file" ] || fail "no $file"
done
for program in "$prefix"/bin/*; do
  missing=$(ldd "$program" | grep 'not found' || true)
  [ -z "$missing" ] || fail "$program: $missing"
  foreign=$(ldd "$program" | sed -n 's/.*=> \(\/.*\) (0x.*/\1/p' |
    grep -v "^$prefix\|^/lib\|^/usr/lib" || true)
  [ -z "$foreign" ] || fail "$program loads $foreign"
  readelf -d "$program" | grep -q 'R.*PATH.*\[$ORIGIN/../lib/ldm-gen\]' || fail "$program: run path"
done

mkdir "$home/work"
cd "$home/work"
draw=("$prefix/bin/ldm-gen" --quiet --overwrite -p "a red apple on a blue background" --seed 42
  -o apple.png)
picture=$(env -i PATH=/usr/bin:/bin "${draw[@]}")
[ "$picture" = apple.png ] && [ -s apple.png ] || fail "no picture"
printf 'drawn: %s\n' "$(sha256sum apple.png)"
if command -v strace >/dev/null; then
  strace -f -qq -e trace=openat -o "$home/opened" "${draw[@]}" >/dev/null
  system='/lib\|/usr/lib\|/proc\|/sys\|/dev\|/etc\|/usr/share/\(locale\|zoneinfo\)'
  outside=$(grep -v ENOENT "$home/opened" | grep -o '"/[^"]*"' | tr -d '"' |
    grep -v "^$home" | grep -v "^\($system\)" || true)
  [ -z "$outside" ] || fail "opened outside: $outside"
  echo 'every opened file is in the installation or the system'
fi
echo ok
