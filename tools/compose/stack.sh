#!/bin/sh
# `make up`, `make down`, `make logs` and `make ps`: docker-compose.yaml with credentials that are made here once and kept in .env.
#
#   PROFILES=observe,gpu make up      what else is to run: gpu, max, llama-server, openvino, observe
#   OBJECT_STORE=seaweedfs make up    in place of MinIO
set -eu
cd "$(dirname "$0")/../.."

fail() {
  echo "$1" >&2
  exit 1
}

# Not MILLRACE_…: `make run` in this folder reads .env too, and has secrets of its own.
CREDENTIALS="STACK_ADMIN_KEY STACK_KEY_SECRET STACK_POSTGRES_PASSWORD STACK_REDIS_PASSWORD STACK_QDRANT_KEY STACK_S3_ACCESS_KEY STACK_S3_SECRET_KEY STACK_GRAFANA_PASSWORD"
file=${STACK_ENV_FILE:-.env}

# What is there stays: with another password nobody would get at what is stored.
make_credentials() {
  umask 077
  for name in $CREDENTIALS; do
    if [ -f "$file" ] && grep -q "^$name=." "$file"; then continue; fi
    [ -f "$file" ] || echo "# Made by \`make up\` for docker-compose.yaml: keep it, it is the only copy." >"$file"
    # 32 letters and digits: they stand in addresses.
    value=$(od -An -v -tx1 -N16 /dev/urandom | tr -d ' \n')
    # A last line without its end would swallow this one.
    [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
    echo "$name=$value" >>"$file"
    echo "Made $name in $file."
  done
  chmod 600 "$file"
}

compose() {
  engine=${COMPOSE:-}
  if [ -z "$engine" ]; then
    if docker compose version >/dev/null 2>&1; then engine="docker compose"
    elif podman compose version >/dev/null 2>&1; then engine="podman compose"
    else fail "This needs Docker with Compose 2.24 or newer, and there is none: https://docs.docker.com/compose/install. Without containers: make run."
    fi
  fi
  # shellcheck disable=SC2086 # Two words.
  $engine "$@"
}

# A variable, else its line in .env, else what is usual.
value_of() {
  found=$(sed -n "s/^$1=\(..*\)$/\1/p" "$file" 2>/dev/null | tail -1)
  eval "echo \${$1:-${found:-$2}}"
}

line() { printf '  %-13s %-32s %s\n' "$1" "$2" "$3"; }

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

    export MILLRACE_API_KEY=\$(docker compose exec gateway millrace keys create me --quiet)
    curl -s $gateway/v1/chat/completions -H "Authorization: Bearer \$MILLRACE_API_KEY" \\
      -H 'Content-Type: application/json' -d '{"messages": [{"role": "user", "content": "What is the capital of France?"}]}'

TEXT
}

COMPOSE_PROFILES=$(echo "${PROFILES:-${COMPOSE_PROFILES:-}}" | tr ' ' ',')
export COMPOSE_PROFILES
OBJECT_STORE=$(value_of OBJECT_STORE minio)
case "$OBJECT_STORE" in
  minio | seaweedfs) export OBJECT_STORE ;;
  *) fail "OBJECT_STORE is $OBJECT_STORE. It takes minio or seaweedfs." ;;
esac
for profile in $(echo "$COMPOSE_PROFILES" | tr ',' ' '); do
  case "$profile" in
    gpu | max | llama-server | openvino) ;;
    # Else nobody takes traces, and they are not made.
    observe) export OTEL_EXPORTER_OTLP_ENDPOINT="${OTEL_EXPORTER_OTLP_ENDPOINT:-http://collector:4318}" ;;
    *) fail "PROFILES has $profile. There are gpu, max, llama-server, openvino and observe." ;;
  esac
done

case "${1:-}" in
  up)
    make_credentials
    compose up --detach --wait --build || fail "Not everything has become ready; \`make ps\` says what, and \`make logs\` why."
    addresses
    ;;
  down)
    # Of all profiles, whichever it was started with.
    COMPOSE_PROFILES='*' compose down
    echo "What was stored is kept. To remove that too: docker compose --profile '*' down --volumes, and the STACK_ lines of $file."
    ;;
  logs) shift && COMPOSE_PROFILES='*' compose logs --follow --tail 200 "$@" ;;
  ps) COMPOSE_PROFILES='*' compose ps --all ;;
  credentials) make_credentials ;;
  addresses) addresses ;;
  *) fail "up, down, logs, ps, credentials and addresses are what it does." ;;
esac
