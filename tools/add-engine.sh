#!/bin/sh
# Adds an engine package of node-llama-cpp, such as `linux-x64-vulkan`, in the version that is installed. The lock file
# stays as it is: these packages weigh hundreds of megabytes, and few machines can use them.
#
# node-llama-cpp imports them by name. Node looks for that name in every node_modules above, and the last of these is the
# one of this folder: so it is found there, although pnpm knows nothing of it.
set -eu
cd "$(dirname "$0")/.."

installed=apps/worker/node_modules/node-llama-cpp/package.json
[ -f "$installed" ] || { echo "Nothing is installed yet. Run \`make build\` first." >&2; exit 1; }
version=$(sed -n 's/^ *"version": "\(.*\)",*$/\1/p' "$installed")

for name in "$@"; do
  package="@node-llama-cpp/$name"
  target="node_modules/$package"
  if [ -f "$target/package.json" ] && grep -q "\"version\": \"$version\"" "$target/package.json"; then
    echo "$package $version is there already."
    continue
  fi
  echo "Fetching $package $version…"
  unpacked=$(mktemp -d node_modules/.engine-XXXXXX)
  trap 'rm -rf "$unpacked"' EXIT
  archive=$(npm pack --silent --pack-destination "$unpacked" "$package@$version") || {
    echo "The registry has no $package $version. Ask \`npm view $package versions\` which ones it has." >&2
    exit 1
  }
  tar -xzf "$unpacked/$archive" -C "$unpacked"
  mkdir -p node_modules/@node-llama-cpp
  rm -rf "$target"
  mv "$unpacked/package" "$target"
  rm -rf "$unpacked"
  trap - EXIT
  echo "Added $target."
done
