#!/bin/sh
# Measures llama-server, our worker and our gateway by turns in one run: one model file, as many threads, 32 clients, the
# same prompts and answers of one length; greedy, and at temperature 1. Flags go to `millrace bench`.
#
# MODEL: a model file in place of the random one of 135 million parameters; with the built-in one our worker has a cache of
# q8_0 and llama-server one of f16 (see `kvCacheType`). THREADS (1) of each engine: load generator
# and gateway need a core of their own. CONTEXT (512) tokens of each sequence. TEMPERATURES ("0 1").
set -eu
cd "$(dirname "$0")/.."
THREADS=${THREADS:-1} CONTEXT=${CONTEXT:-512} TEMPERATURES=${TEMPERATURES:-"0 1"}
clients=32

server=$(tools/build-llama-server.sh) || { echo "Not measured: llama-server is what the engine is compared with." >&2; exit 1; }
MODEL=${MODEL:-$(tools/random-model/cached-model.sh starcoder 135m q8_0)}
MODEL=${MODEL#"$PWD"/} # Shorter, and the same on every machine.

port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
log=$(mktemp)
flags="-np $clients -c $((clients * CONTEXT)) --threads $THREADS -cb"
pid=
stop() {
  [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
  pid=
}
trap 'stop; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

# What is not said here is llama-server's default, flash attention "auto" and prompt reuse among it.
start() {
  # Unquoted: each word is a flag.
  "$server" -m "$MODEL" $flags --host 127.0.0.1 --port "$port" >"$log" 2>&1 &
  pid=$!
  until node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "http://127.0.0.1:$port/health"; do
    kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.5
  done
}

echo "Beside: $("$server" --version 2>&1 | sed -n 's/^version: //p'), \`llama-server -m $(basename "$MODEL") $flags\`"
for temperature in $TEMPERATURES; do
  printf '\n## Temperature %s\n\n' "$temperature"
  # Anew for each: the prompts are the same, and the last run's would be found read.
  start
  tools/millrace.sh bench --beside "http://127.0.0.1:$port" --beside-pid "$pid" --model "$MODEL" --context "$CONTEXT" --threads "$THREADS" \
    --max-batch-size "$clients" --clients "$clients" --requests $((clients * 10)) --requests-per-turn 2 --max-tokens 64 \
    --completion --ignore-eos --temperature "$temperature" --markdown "$@"
  stop
done
