#!/bin/sh
# Measures how much sooner an answer begins when the engine has read its system prompt of 1,500 tokens before, through the
# gateway: on the built-in model, and on a random one of 135 million parameters. Flags go to `millrace bench`.
set -eu
cd "$(dirname "$0")/.."
random=$(tools/random-model/cached-model.sh starcoder 135m q8_0)
for model in models/millrace-demo.gguf "${random#"$PWD"/}"; do
  printf '\n## %s\n\n' "$(basename "$model")"
  tools/millrace.sh bench --model "$model" --context 4096 --max-batch-size 8 --clients 8 \
    --shared-prompt-tokens 1500 --requests 5 --max-tokens 32 --markdown "$@"
done
