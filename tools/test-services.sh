#!/bin/sh
# Called by `make test-services`: sees to it that this machine has Redis 7, Postgres 15 and Prometheus 2.42 or newer, then runs what wants them.
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
# promtool is in the same package.
has_prometheus() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }
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
  for service in redis-server prometheus; do
    case " $* " in *" $service "*) $root systemctl disable "$service" >/dev/null 2>&1 || true ;; esac
  done
}

missing=
has_redis || missing="$missing redis-server"
has_postgres || missing="$missing postgresql"
has_prometheus || missing="$missing prometheus"
# Split into words on purpose: the names of packages.
# shellcheck disable=SC2086
[ -z "$missing" ] || (install_missing $missing)

exec node test/services/run.ts "$@"
