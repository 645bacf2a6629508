#!/bin/sh
# What an image of Millrace holds, made with nothing but npm's registry: the Dockerfile calls this, and test/images does where there is no
# container engine, so that both have the same.
#
#   tools/images/layout.sh install          what compiling needs, into this folder
#   tools/images/layout.sh build            compile
#   tools/images/layout.sh assemble TARGET OUT
#
# TARGET is `gateway`, `worker`, `worker-cuda` or `millrace` (both in one). OUT is a folder that is not there yet: what lies in it afterwards
# is all that runs, its own Node included. Versions are those of pnpm-lock.yaml and nothing else. The same sources make the same files, their
# times included: SOURCE_DATE_EPOCH says which, in seconds, else it is 1980.
set -eu
home=$(cd "$(dirname "$0")/../.." && pwd)
cd "$home"
# As tools/install-packages.sh has it.
pnpm=pnpm@12.21.0

fail() {
  echo "tools/images/layout.sh: $1" >&2
  exit 1
}

# --prefer-offline: a version that is locked never changes, so what is in the store need not be asked for.
install() {
  npx -y "$pnpm" install --frozen-lockfile --prefer-offline "$@"
}

build() {
  node_modules/.bin/tsc -b
}

assemble() {
  target=$1
  out=$2
  case "$target" in
    gateway | worker | worker-cuda | millrace) ;;
    *) fail "there is no image $target; gateway, worker, worker-cuda and millrace are there." ;;
  esac
  [ ! -e "$out" ] || fail "$out is there already."
  [ -f apps/cli/dist/main.js ] || fail "nothing is compiled yet; run \`tools/images/layout.sh build\`."
  mkdir -p "$out"
  out=$(cd "$out" && pwd)

  for file in package.json pnpm-lock.yaml pnpm-workspace.yaml .pnpmfile.cjs apps/*/package.json libs/*/package.json; do
    mkdir -p "$out/$(dirname "$file")"
    cp "$file" "$out/$file"
  done
  # The command line is in each image, and imports neither gateway nor worker: it starts them. `millrace` itself brings Node.
  case "$target" in
    gateway) set -- --filter millrace --filter @millrace/cli --filter '@millrace/gateway...' ;;
    worker*) set -- --filter millrace --filter @millrace/cli --filter '@millrace/worker...' ;;
    millrace) set -- --filter millrace --filter '@millrace/cli...' ;;
  esac
  # Copied, not linked: an image is to own its files, and a test that takes away their write permission must not do so to the store's.
  (cd "$out" && npx -y "$pnpm" install --frozen-lockfile --prefer-offline --prod --package-import-method=copy --ignore-scripts "$@")

  for folder in apps/cli apps/gateway apps/worker libs/*; do
    cp -R "$folder/dist" "$out/$folder/dist"
  done
  cp -R libs/contracts/openapi "$out/libs/contracts/openapi"
  mkdir -p "$out/init-scripts" "$out/models" "$out/configs" "$out/bin"
  cp -R init-scripts/postgres "$out/init-scripts/postgres"
  cp configs/millrace.yaml configs/models.yaml "$out/configs/"
  cp -R configs/prompts "$out/configs/prompts"
  # The two that come with Millrace: others may lie beside them.
  cp models/millrace-demo.gguf models/millrace-demo-embed.gguf "$out/models/"
  cp LICENSE "$out/LICENSE"
  cp tools/images/init.sh "$out/bin/init"
  cp tools/images/millrace.sh "$out/bin/millrace"
  chmod 755 "$out/bin/init" "$out/bin/millrace"
  # Of Node's package the program alone: npm and the headers stay behind.
  cp -L "$out/node_modules/.bin/node" "$out/bin/node"
  if [ "$target" = worker-cuda ]; then add_cuda "$out"; fi

  prune "$out" "$target"
}

# The engine for NVIDIA's GPUs, which the lock file leaves out: it weighs 300 MB, and two gigabytes with what it wants of CUDA. So its
# digests stand here.
add_cuda() {
  unpack_engine "$1" linux-x64-cuda \
    8rQCjyNNLZJUFit+YpjwlC4hwkKgOMIkB2wuycKBf8NU2O3ySKbiWZQ8aw9ku2nUTXjSnUIrE6KB88itduTBuA==
  unpack_engine "$1" linux-x64-cuda-ext \
    4e5ajkiM2aR2WAdB/N/ACk4weEhHvOAIrzxZPsIX0xDFW5+6hhShuy1/vs88SK9NGdgAco9IyE28eYS0H1efpA==
}

# For node-llama-cpp 3.22.1, and no other.
unpack_engine() {
  installed=$(sed -n 's/^ *"version": "\(.*\)",*$/\1/p' "$1/apps/worker/node_modules/node-llama-cpp/package.json")
  [ "$installed" = 3.22.1 ] || fail "node-llama-cpp is $installed; put the digests of its CUDA engine in here, then its version."
  folder="$1/node_modules/@node-llama-cpp"
  mkdir -p "$folder"
  archive="$folder/$2.tgz"
  (cd "$folder" && mv "$(npm pack --silent "@node-llama-cpp/$2@$installed")" "$archive")
  digest=$("$1/bin/node" -p 'require("crypto").hash("sha512", require("fs").readFileSync(process.argv[1]), "base64")' "$archive")
  [ "$digest" = "$3" ] || fail "@node-llama-cpp/$2 $installed has the digest $digest; $3 was expected."
  mkdir "$folder/$2"
  tar -xzf "$archive" -C "$folder/$2" --strip-components=1
  rm "$archive"
}

# What only compilers, debuggers and package managers read.
prune() {
  out=$1
  rm -rf "$out/pnpm-lock.yaml" "$out/pnpm-workspace.yaml" "$out/.pnpmfile.cjs" "$out/node_modules/.bin" "$out/node_modules/.modules.yaml" \
    "$out/node_modules/.pnpm/lock.yaml" "$out/node_modules/.pnpm-workspace-state-v1.json"
  rm -rf "$out"/node_modules/node-linux-* "$out"/node_modules/.pnpm/node-linux-*
  # Wanted by the command line of node-llama-cpp, to build llama.cpp from its source; that source; TypeScript, of which only types are used.
  rm -rf "$out"/node_modules/.pnpm/node-llama-cpp@*/node_modules/node-llama-cpp/llama/gitRelease.bundle
  rm -rf "$out"/node_modules/.pnpm/typescript@* "$out"/node_modules/.pnpm/@typescript+*
  rm -rf "$out"/node_modules/.pnpm/rxjs@*/node_modules/rxjs/src
  find "$out"/node_modules "$out"/apps "$out"/libs -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \
    -o -name '.tsbuildinfo' -o -name '*.md' -o -name '*.markdown' -o -name '*.test.js' -o -name '*.test.cjs' -o -name '*.test.mjs' \) -delete
  case "$2" in
    gateway) rm -rf "$out/apps/worker" "$out/models" ;;
    worker*) rm -rf "$out/apps/gateway" "$out/init-scripts" ;;
  esac
  # Links to what has just gone.
  find "$out" -type l ! -exec test -e {} \; -delete
  # Everybody may read it, and nobody write.
  chmod -R u=rwX,go=rX "$out"
  # Last: whatever is changed in a folder changes the folder's time.
  find "$out" -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH:-315532800}" {} +
}

command=${1:-}
case "$command" in
  install) install ;;
  build) build ;;
  assemble)
    [ $# -eq 3 ] || fail "call it so: tools/images/layout.sh assemble TARGET OUT"
    assemble "$2" "$3"
    ;;
  *) fail "install, build and assemble are what it does." ;;
esac
