#!/bin/sh
# Called by `make test-services`: sees to it that this machine has Redis 7 and Postgres 15 or newer, then runs what wants them.
# An S3 server is found, built or fetched by test/services/s3-program.ts.
#
# What is missing comes from Debian's packages. No service of the system is started for it, neither now nor at the next boot.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "make test-services: $1" >&2
  exit 1
}

has_redis() { command -v redis-server >/dev/null; }
has_postgres() { command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }

install_missing() {
  command -v apt-get >/dev/null || fail "$* must be installed first; this machine has no apt-get."
  root=
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "$* must be installed first: apt-get install $*"
    root=sudo
  fi
  # A script that answers 101 forbids packages to start services (invoke-rc.d); one that is there already stays as it is.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap '$root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
  fi
  # Debian would make a database cluster of its own, which nobody here needs.
  $root mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo 'create_main_cluster = false' | $root tee /etc/postgresql-common/createcluster.conf >/dev/null
  # Files of ours in /etc stay as they are; nobody is asked.
  install="$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold"
  $install "$@" >/dev/null 2>&1 || {
    $root apt-get update -qq >/dev/null
    $install "$@" >/dev/null || fail "apt-get could not install $*."
  }
  # Of those that this script has just installed.
  case " $* " in *' redis-server '*) $root systemctl disable redis-server >/dev/null 2>&1 || true ;; esac
}

missing=
has_redis || missing="$missing redis-server"
has_postgres || missing="$missing postgresql"
# Split into words on purpose: the names of packages.
# shellcheck disable=SC2086
[ -z "$missing" ] || (install_missing $missing)

exec node test/services/run.ts "$@"
