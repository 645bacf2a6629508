#!/bin/sh
# Runs `millrace` from this folder's build, from any working folder, on the Node that the workspace brings from npm
# where it does, else on the host's.
home=$(cd "$(dirname "$0")/.." && pwd)
program="$home/apps/cli/dist/main.js"

node="$home/node_modules/.bin/node"
[ -x "$node" ] || node=$(command -v node) || {
  echo "Millrace needs Node 22.15 or newer, and there is none. Install Node from https://nodejs.org." >&2
  exit 1
}
[ -f "$program" ] || {
  echo "Millrace is not built yet. Run \`make build\` in $home." >&2
  exit 1
}

# Gateway and worker look there for what comes with Millrace: configs/ and the demo model.
MILLRACE_HOME=${MILLRACE_HOME:-$home}
export MILLRACE_HOME
# exec, so that Ctrl-C and SIGTERM reach Node and not a shell in between.
exec "$node" "$program" "$@"
