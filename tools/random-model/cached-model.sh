#!/bin/sh
# Prints the path of a random model, which it writes into .millrace/cache if it is not there yet:
#
#   tools/random-model/cached-model.sh starcoder 135m q8_0
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
vocabulary=$1 size=$2 type=$3
model="$root/.millrace/cache/random-$size-$vocabulary-$type.gguf"
if [ ! -f "$model" ]; then
  vocabularies=$("$root/tools/random-model/unpack-vocabularies.sh")
  PATH="$root/node_modules/.bin:$PATH" node "$root/tools/random-model/write-random-model.ts" \
    --vocab "$vocabularies/ggml-vocab-$vocabulary.gguf" --size "$size" --type "$type" --out "$model.part" >&2
  mv "$model.part" "$model"
fi
echo "$model"
