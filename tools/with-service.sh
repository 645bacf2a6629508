#!/bin/sh
# Starts Millrace on free ports, runs a command with its address in place of URL, and ends it:
#
#   tools/with-service.sh node tools/demo-model/evaluate.ts --url URL/v1
set -eu
cd "$(dirname "$0")/.."

log=$(mktemp)
# A service that is used beside this one has its own.
MILLRACE_DATA_FOLDER=$(mktemp -d)
export MILLRACE_DATA_FOLDER
tools/millrace.sh serve --port 0 --worker-port 0 --log-level warn >"$log" 2>&1 &
service=$!
stop() {
  kill "$service" 2>/dev/null || true
  wait "$service" 2>/dev/null || true
  rm -rf "$log" "$MILLRACE_DATA_FOLDER"
}
trap stop EXIT
trap 'exit 130' INT TERM

url=
while [ -z "$url" ]; do
  kill -0 "$service" 2>/dev/null || { cat "$log" >&2; exit 1; }
  url=$(sed -n 's/^curl .* \(http:[^ ]*\)\/v1\/.*/\1/p' "$log")
  [ -n "$url" ] || sleep 0.1
done

for word in "$@"; do
  shift
  set -- "$@" "$(printf '%s' "$word" | sed "s|URL|$url|")"
done
"$@"
