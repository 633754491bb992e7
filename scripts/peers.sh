#!/usr/bin/env bash
# Installs with apt the test peers that PyPI lacks, where that is allowed; otherwise says what is skipped.
# With CI=true a missing peer is an error. The same list, for the tests: tests/support/peers.py.
set -euo pipefail
exec </dev/null
PATH="$PATH:/usr/sbin:/sbin"

missing() { # Debian packages, one a line
  command -v mosquitto >/dev/null || echo mosquitto
  command -v mosquitto_sub >/dev/null || echo mosquitto-clients
  command -v vsftpd >/dev/null || echo vsftpd
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || echo chromium
  command -v gcc >/dev/null || printf '%s\n' gcc libc6-dev
  command -v pkg-config >/dev/null || echo pkg-config
  pkg-config --exists libmodbus 2>/dev/null || echo libmodbus-dev
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || echo postgresql
  command -v systemd-analyze >/dev/null || echo systemd
  command -v tshark >/dev/null || echo tshark
}

root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

apt() { root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >>"$log" 2>&1; }

# The brokers are only programs for the tests: Debian must not start them as services on their own ports.
policy=/usr/sbin/policy-rc.d
services_off() {
  [ -e $policy ] && return
  printf '#!/bin/sh\nexit 101\n' | root tee $policy >/dev/null
  root chmod 755 $policy
  trap 'root rm -f $policy; rm -f "$log"' EXIT
}
services_disabled() { # packages just installed
  local package
  [ -d /run/systemd/system ] || return 0
  for package in "$@"; do
    case $package in mosquitto | vsftpd | postgresql) root systemctl --quiet disable "$package" >>"$log" 2>&1 || true ;; esac
  done
}

install() { # packages; sets $why when it could not
  command -v apt-get >/dev/null || { why="there is no apt-get"; return; }
  root true 2>/dev/null || { why="apt needs root, or a sudo without password"; return; }
  echo "installing test peers with apt: $* (a minute or two, once)"
  services_off
  if ! apt update || ! apt install --yes --no-install-recommends "$@"; then
    why="apt-get failed: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
    for package in "$@"; do apt install --yes --no-install-recommends "$package" || true; done
  fi
  services_disabled "$@"
}

mapfile -t wanted < <(missing)
[ ${#wanted[@]} -eq 0 ] && exit 0
why="not found after the installation"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install "${wanted[@]}"
hash -r
mapfile -t wanted < <(missing)
[ ${#wanted[@]} -eq 0 ] && exit 0
echo "missing test peers (Debian packages): ${wanted[*]}; $why" >&2
if [ "${CI:-}" = true ]; then
  echo "CI=true: every peer must be there" >&2
  exit 1
fi
echo "the tests that need them are skipped" >&2
