#!/bin/sh
# `make up`, `make down`, `make logs` and `make ps`: docker-compose.yaml with credentials that are made here once and kept in .env.
#
#   PROFILES=observe,gpu make up      what else is to run: gpu, max, llama-server, openvino, observe; PROFILES= for nothing else
#   OBJECT_STORE=seaweedfs make up    in place of MinIO
#
# Both are kept in .env too, so that the next `make up` means the same.
set -eu
cd "$(dirname "$0")/../.."

fail() {
  echo "$1" >&2
  exit 1
}

# Not MILLRACE_…: `make run` in this folder reads .env too, and has secrets of its own.
CREDENTIALS="STACK_ADMIN_KEY STACK_KEY_SECRET STACK_POSTGRES_PASSWORD STACK_REDIS_PASSWORD STACK_QDRANT_KEY STACK_S3_ACCESS_KEY STACK_S3_SECRET_KEY STACK_GRAFANA_PASSWORD STACK_GRAFANA_POSTGRES_PASSWORD"
file=${STACK_ENV_FILE:-.env}

# What Compose reads of .env for a variable: its last line, without `export`, quotes and what is behind ` #`.
line_of() {
  [ ! -f "$file" ] || sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1[[:space:]]*=[[:space:]]*//p" "$file" | tail -n 1 |
    sed -e "s/^'\([^']*\)'.*/\1/;t" -e 's/^"\([^"]*\)".*/\1/;t' -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//'
}

# A variable, else its line in .env, else what is usual. As with Compose, one that is set to nothing hides the line.
value_of() {
  if eval "[ -n \"\${$1+set}\" ]"; then eval "found=\$$1"; else found=$(line_of "$1"); fi
  printf '%s\n' "${found:-$2}"
}

# Others of the machine can't read what stands there.
write_line() {
  umask 077
  [ -f "$file" ] || echo "# Made by \`make up\` for docker-compose.yaml: keep it, it is the only copy." >"$file"
  # A last line without its end would swallow this one.
  [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
  echo "$1=$2" >>"$file"
  chmod 600 "$file"
}

# What is there stays: with another password nobody would get at what is stored.
make_credentials() {
  for name in $CREDENTIALS; do
    value=$(value_of "$name" "")
    case "$value" in
      "") ;;
      *[!A-Za-z0-9._~-]*)
        fail "$name has a character that does not stand in an address as it is. It may have letters, digits and . _ ~ - alone."
        ;;
      *) continue ;;
    esac
    # 32 letters and digits: they stand in addresses.
    write_line "$name" "$(od -An -v -tx1 -N16 /dev/urandom | tr -d ' \n')"
    echo "Made $name in $file."
  done
}

# A database keeps the password and the secret that it was made with: new ones would open nothing.
refuse_new_locks() {
  volume=$(value_of COMPOSE_PROJECT_NAME millrace)_postgres-data
  for name in STACK_POSTGRES_PASSWORD STACK_KEY_SECRET; do
    [ -z "$(value_of "$name" "")" ] || continue
    "${engine%% *}" volume inspect "$volume" >/dev/null 2>&1 || return 0
    fail "There is a database from before (the volume $volume), and $file has no $name for it. Put the line back. If what is stored may go: \`make down\`, then \`${engine%% *} volume rm $volume\`."
  done
}

# NAME VALUE USUAL: kept for the next time, where Compose reads it too. The last line counts, so none is taken out of the only copy.
keep_choice() {
  found=$(line_of "$1")
  [ "${found:-$3}" = "$2" ] || {
    write_line "$1" "$2"
    echo "$1=$2 is kept in $file."
  }
}

# "docker compose", or whatever else speaks as it does.
find_engine() {
  engine=${COMPOSE:-}
  [ -z "$engine" ] || return 0
  if version=$(docker compose version --short 2>/dev/null); then
    engine="docker compose"
    case "${version#v}" in
      1.* | 2.[0-9].* | 2.1[0-9].* | 2.2[0-3].*)
        fail "This needs Docker Compose 2.24 or newer; this is $version: https://docs.docker.com/compose/install. Without containers: make run."
        ;;
    esac
  elif podman compose version >/dev/null 2>&1; then engine="podman compose"
  else fail "This needs Docker with Compose 2.24 or newer, and there is none: https://docs.docker.com/compose/install. Without containers: make run."
  fi
}

compose() {
  # shellcheck disable=SC2086 # Two words.
  $engine "$@"
}

# Ending and listing want no credentials, and Compose reads the whole file first: so it goes on without those that are lost.
without_credentials() {
  for name in $CREDENTIALS; do
    [ -n "$(value_of "$name" "")" ] || export "$name=lost"
  done
  COMPOSE_PROFILES='*'
}

# What ran for a profile that is not chosen any more.
end_unchosen() {
  chosen=" $(compose config --services | tr '\n' ' ') "
  unchosen=
  for name in $(COMPOSE_PROFILES='*' compose ps --all --services); do
    case "$chosen" in *" $name "*) ;; *) unchosen="$unchosen $name" ;; esac
  done
  # shellcheck disable=SC2086 # Several names.
  [ -z "$unchosen" ] || COMPOSE_PROFILES='*' compose rm --stop --force $unchosen || true
}

line() { printf '  %-15s %-32s %s\n' "$1" "$2" "$3"; }

addresses() {
  gateway=http://127.0.0.1:$(value_of GATEWAY_PORT 8000)
  echo
  line "" "where" "how to get in"
  line "API" "$gateway/v1" "an API key, see below"
  line "docs" "$gateway/docs" ""
  line "metrics" "$gateway/metrics" ""
  case ",$COMPOSE_PROFILES," in
    *,observe,*)
      line "Grafana" "http://127.0.0.1:$(value_of GRAFANA_PORT 3000)" "admin, STACK_GRAFANA_PASSWORD"
      line "Prometheus" "http://127.0.0.1:$(value_of PROMETHEUS_PORT 9090)" ""
      ;;
  esac
  line "Postgres" "127.0.0.1:$(value_of POSTGRES_PORT 5432)" "millrace, STACK_POSTGRES_PASSWORD"
  line "Redis" "127.0.0.1:$(value_of REDIS_PORT 6379)" "STACK_REDIS_PASSWORD"
  line "Qdrant" "http://127.0.0.1:$(value_of QDRANT_PORT 6333)/dashboard" "STACK_QDRANT_KEY"
  line "S3 ($OBJECT_STORE)" "http://127.0.0.1:$(value_of OBJECTS_PORT 9000)" "STACK_S3_ACCESS_KEY, STACK_S3_SECRET_KEY"
  cat <<TEXT

  The credentials are in $file. Make an API key, and ask:

    export MILLRACE_API_KEY=\$($engine exec gateway millrace keys create me --quiet)
    curl -s $gateway/v1/chat/completions -H "Authorization: Bearer \$MILLRACE_API_KEY" \\
      -H 'Content-Type: application/json' -d '{"messages": [{"role": "user", "content": "What is the capital of France?"}]}'

TEXT
}

if [ -n "${PROFILES+set}" ]; then COMPOSE_PROFILES=$PROFILES; else COMPOSE_PROFILES=$(value_of COMPOSE_PROFILES ""); fi
COMPOSE_PROFILES=$(echo "$COMPOSE_PROFILES" | tr ' ' ',')
export COMPOSE_PROFILES
OBJECT_STORE=$(value_of OBJECT_STORE minio)
case "$OBJECT_STORE" in
  minio | seaweedfs) export OBJECT_STORE ;;
  *) fail "OBJECT_STORE is $OBJECT_STORE. It takes minio or seaweedfs." ;;
esac
for profile in $(echo "$COMPOSE_PROFILES" | tr ',' ' '); do
  case "$profile" in
    gpu | max | llama-server | openvino | observe) ;;
    *) fail "PROFILES has $profile. There are gpu, max, llama-server, openvino and observe." ;;
  esac
done
# Where nobody takes traces, they are not made.
own_collector=http://collector:4318
COLLECTOR_URL=$(value_of COLLECTOR_URL "")
case ",$COMPOSE_PROFILES," in
  *,observe,*) COLLECTOR_URL=${COLLECTOR_URL:-$own_collector} ;;
  *) [ "$COLLECTOR_URL" != "$own_collector" ] || COLLECTOR_URL= ;;
esac
export COLLECTOR_URL

case "${1:-}" in
  up)
    find_engine
    refuse_new_locks
    make_credentials
    keep_choice COMPOSE_PROFILES "$COMPOSE_PROFILES" ""
    # Another store has none of what is in this one.
    keep_choice OBJECT_STORE "$OBJECT_STORE" minio
    keep_choice COLLECTOR_URL "$COLLECTOR_URL" ""
    end_unchosen
    compose up --detach --wait --build ||
      fail "Not everything has become ready; \`make ps\` says what, and \`make logs\` why. Is a port taken? GATEWAY_PORT=8001 make up; the others are in docs/how-to/docker-compose.md."
    addresses
    ;;
  down)
    find_engine
    # Of all profiles, whichever it was started with.
    without_credentials
    compose down
    echo "What was stored is kept. To remove that too: docker compose --profile '*' down --volumes, and the STACK_ lines of $file."
    ;;
  logs) shift && find_engine && without_credentials && compose logs --follow --tail 200 "$@" ;;
  ps) find_engine && without_credentials && compose ps --all ;;
  credentials) make_credentials ;;
  addresses)
    engine="docker compose"
    addresses
    ;;
  *) fail "up, down, logs, ps, credentials and addresses are what it does." ;;
esac
