#!/bin/sh
# Called by `make` when the lock file is newer than what is installed: brings everything from npm into node_modules,
# with a pnpm that npx fetches for this one run. Nothing is installed globally.
set -eu
pnpm=pnpm@12.21.0
cd "$(dirname "$0")/.."

need() {
  echo "Millrace needs Node 20.19 or newer, with npm, to install itself; $1. Install it from https://nodejs.org." >&2
  exit 1
}
command -v node >/dev/null || need "there is none"
command -v npx >/dev/null || need "there is no npx"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  need "this is $(node --version)"

npx -y "$pnpm" install --frozen-lockfile

# The registry has node-llama-cpp's engine for macOS at times, and at times not yet; so it is not in the lock file.
if [ "$(uname -s)" = Darwin ]; then
  case "$(uname -m)" in
    arm64) tools/add-engine.sh mac-arm64-metal ;;
    *) tools/add-engine.sh mac-x64 ;;
  esac
fi
