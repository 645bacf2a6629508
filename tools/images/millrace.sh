#!/bin/sh
# `millrace` in an image: the folder's own Node, and what was put beside it.
home=$(dirname "$(dirname "$(readlink -f "$0")")")
MILLRACE_HOME=${MILLRACE_HOME:-$home}
export MILLRACE_HOME
exec "$home/bin/node" "$home/apps/cli/dist/main.js" "$@"
