#!/bin/sh
# Called by `make`: brings the clients of other people, with which test/e2e/clients tries Millrace, into a folder of their own.
# Only tests need them. Where they are not to be had, says so and ends well: their suites are then skipped, aloud.
set -eu
pnpm=pnpm@12.21.0
cd "$(dirname "$0")/../test/e2e/clients"
if npx -y "$pnpm" install --frozen-lockfile; then
  touch node_modules/.millrace-installed
else
  echo "SKIPPED: the clients of test/e2e/clients could not be installed; see above. Their suites are skipped." >&2
fi
