#!/bin/sh
# `make dev`: compiles what changes, and starts `millrace serve` again after each compilation.
set -eu
cd "$(dirname "$0")/.."
# The workspace's own Node first; where npm has none for this machine, as on macOS, the host's.
PATH=$PWD/node_modules/.bin:$PATH
export PATH

tsc -b --watch --preserveWatchOutput &
compiler=$!
trap 'kill "$compiler" 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM

MILLRACE_HOME=$PWD
export MILLRACE_HOME
# Gateway and worker are processes of their own, so their folders are named: Node watches only what it imports itself.
node --watch --watch-preserve-output \
  --watch-path apps/cli/dist --watch-path apps/gateway/dist --watch-path apps/worker/dist \
  --watch-path libs/contracts/dist --watch-path libs/runtime/dist --watch-path configs \
  apps/cli/dist/main.js serve "$@"
