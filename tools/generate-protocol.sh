#!/bin/sh
# Writes libs/contracts/src/generated from the .proto files. buf and ts-proto come through npx for this one run: they
# weigh 150 MB, and only those who change the protocol need them.
#
# With --check: says what differs from the committed files, exit status 1. Where the registry has no buf, it is skipped.
set -eu
cd "$(dirname "$0")/../libs/contracts/proto"

generate() {
  npx -y -p @bufbuild/buf@1.75.0 -p ts-proto@2.18.0 "$@"
}

if [ "${1:-}" = --check ] && ! generate buf --version >/dev/null 2>&1; then
  echo "SKIPPED: this npm registry has no buf, so the generated code is not compared with the .proto files."
  exit 0
fi
generate buf generate
if [ "${1:-}" = --check ]; then
  git diff --exit-code -- ../src/generated || {
    echo "The committed code differs from what the .proto files give. Run \`make proto\` and commit the result." >&2
    exit 1
  }
  echo "The generated code is what the .proto files give."
fi
