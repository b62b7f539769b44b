#!/usr/bin/env bash
# Tries the .deb in a fresh Debian: makes a minimal root with mmdebstrap, installs the package there
# with apt (which brings its dependencies), and draws a picture as an ordinary user from another
# folder; then removes the package and shows that nothing stays. As root; needs mmdebstrap and a
# Debian mirror.
#
# usage: tests/soak/debian-root.sh PACKAGE.deb [SUITE] [ROOT]
#   SUITE   default bookworm
#   ROOT    an existing minimal root to use and keep; default: a fresh one below /tmp, removed again
set -euo pipefail

fail() { printf 'debian-root: %s\n' "$1" >&2; exit 1; }

[ $# -ge 1 ] && [ -e "$1" ] || fail 'usage: tests/soak/debian-root.sh PACKAGE.deb [SUITE] [ROOT]'
[ "$(id -u)" = 0 ] || fail 'must run as root'
package=$(realpath "$1")
suite=${2:-bookworm}
root=${3:-}
if [ -z "$root" ]; then
  root=$(mktemp -d /tmp/ldm-debian-XXXXXX)
  trap 'rm -rf --one-file-system "$root"' EXIT
  mmdebstrap --quiet --variant=minbase "$suite" "$root"
fi
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }

cp /etc/resolv.conf "$root/etc/resolv.conf"
inside sh -c 'dpkg-query -W | sort' >"$root/tmp/before"
cp "$package" "$root/tmp/package.deb"
inside sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends /tmp/package.deb' >"$root/tmp/log" 2>&1 ||
  { tail -n 20 "$root/tmp/log" >&2; fail 'apt-get could not install it'; }
echo "packages that came with it:"
inside sh -c 'dpkg-query -W | sort' | comm -13 "$root/tmp/before" - | sed 's/^/  /'
inside dpkg-query -W -f '${Package} ${Version}: ${Installed-Size} KiB\n' ldm-gen

# The build's own folders must not be there, or they could be what is found.
inside useradd -m painter 2>/dev/null || true
inside su painter -c 'cd && ldm-gen --version && ldm-gen --quiet \
  -p "a red apple on a blue background" --seed 42 -o apple.png && sha256sum apple.png &&
  ldm-gen gallery . && bash -c "source /usr/share/bash-completion/completions/ldm-gen &&
    complete -p ldm-gen" && ldm-convert --version'
cp "$root/home/painter/apple.png" /tmp/ldm-debian-apple.png
inside dpkg -V ldm-gen
inside env DEBIAN_FRONTEND=noninteractive apt-get remove -y -qq ldm-gen >"$root/tmp/log" 2>&1
left=$(find "$root/usr" -path '*ldm-gen*' | head)
[ -z "$left" ] || fail "left behind: $left"
echo ok
