#!/bin/sh
# Unpacks the source of llama.cpp that node-llama-cpp's package carries as a git bundle, and prints its folder: the very
# source of the engine that the worker runs. Kept until the bundle changes. Nothing is downloaded.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
bundle="$root/apps/worker/node_modules/node-llama-cpp/llama/gitRelease.bundle"
cache="$root/.millrace/cache"

[ -f "$bundle" ] || { echo "$bundle is missing: run \`make build\` first, which installs the packages." >&2; exit 1; }
commit=$(git bundle list-heads "$bundle" | sed -n '1s/ .*//p')
source="$cache/llama.cpp-$commit"
if [ ! -f "$source/CMakeLists.txt" ]; then
  mkdir -p "$cache"
  # Under another name until it is whole, so that an interrupted run leaves nothing that looks finished.
  part=$(mktemp -d "$cache/unpacking-XXXXXX")
  trap 'rm -rf "$part"' EXIT
  git -c advice.detachedHead=false clone --quiet "$bundle" "$part/source" >&2
  rm -rf "$source"
  mv "$part/source" "$source"
fi
echo "$source"
