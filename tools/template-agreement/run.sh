#!/bin/sh
# Renders a table of conversations with every chat template of llama.cpp's source, once by llama.cpp's own server and once
# by us, and prints where the two differ and are not known to. Writes the digests that the tests of every day compare
# with. Takes some minutes; needs cmake and g++ the first time. An argument names a part of the templates' names: then
# nothing is written.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
server=$("$root/tools/build-llama-server.sh")
source=$("$root/tools/unpack-llama-cpp.sh")
model=$("$root/tools/random-model/cached-model.sh" llama-bpe tiny q8_0)
node "$root/tools/template-agreement/record.ts" "$server" "$source/models/templates" "$model" "$@"
"$root/node_modules/.bin/biome" format --write "$root/apps/worker/src/prompt/templates/agreement/digests.json" >/dev/null 2>&1 || true
exec "$root/node_modules/.bin/vitest" run --project modules "$root/apps/worker/src/prompt/templates/agreement"
