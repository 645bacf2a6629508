#!/bin/sh
# `make install-systemd` and `make uninstall-systemd`: /opt/millrace, with its own Node and all that runs; units for systemd; and
# /etc/millrace/millrace.env for settings. DESTDIR=FOLDER puts all of it under a folder instead, and leaves systemd alone: for packages.
#
#   tools/systemd/install.sh install|uninstall
set -eu
cd "$(dirname "$0")/../.."
root=${DESTDIR:-}
home=$root/opt/millrace
units=$root/etc/systemd/system

fail() {
  echo "$1" >&2
  exit 1
}
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail "This writes to /opt and /etc: run it as root (sudo make $1-systemd), or give a DESTDIR."

# What is there is replaced when the new one is whole.
install_units() {
  # Whatever root keeps to itself elsewhere: the units have users of their own, who have to get at it.
  umask 022
  mkdir -p "$root/opt" "$units" "$root/etc/millrace"
  rm -rf "$home.new"
  tools/images/layout.sh assemble millrace "$home.new"
  rm -rf "$home.old"
  [ ! -e "$home" ] || mv "$home" "$home.old"
  mv "$home.new" "$home"
  rm -rf "$home.old"
  install -m 0644 deploy/systemd/millrace.service deploy/systemd/millrace-gateway.service deploy/systemd/millrace-worker.service "$units/"
  # Whatever was set stays set.
  [ -e "$root/etc/millrace/millrace.env" ] || install -m 0600 deploy/systemd/millrace.env "$root/etc/millrace/millrace.env"
  [ -n "$root" ] || systemctl daemon-reload
  cat <<TEXT
Installed $home and three units. Settings: $root/etc/millrace/millrace.env

  systemctl enable --now millrace            # gateway and worker on this machine
  systemctl enable --now millrace-gateway    # or one of them
  systemctl enable --now millrace-worker
  journalctl --unit millrace --follow

TEXT
}

uninstall_units() {
  # Whatever root keeps to itself elsewhere: the units have users of their own, who have to get at it.
  umask 022
  for name in millrace millrace-gateway millrace-worker; do
    [ -n "$root" ] || systemctl disable --now "$name" 2>/dev/null || true
    rm -f "$units/$name.service"
  done
  [ -n "$root" ] || systemctl daemon-reload
  rm -rf "$home"
  echo "Removed $home and the units. Kept: $root/etc/millrace, and what was stored in $root/var/lib/millrace*."
}

case "${1:-}" in
  install) install_units ;;
  uninstall) uninstall_units ;;
  *) fail "install and uninstall are what it does." ;;
esac
