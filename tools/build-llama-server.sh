#!/bin/sh
# Builds llama.cpp's own llama-server from the very source of the engine that the worker runs, for this machine's CPU, and
# prints its path. Takes some minutes the first time; kept in .millrace/cache until the source changes. Nothing is
# downloaded. With --configure-only it stops before compiling.
#
# LLAMA_SERVER names one that is already built, and is printed as it is.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

if [ -n "${LLAMA_SERVER:-}" ]; then
  [ -x "$LLAMA_SERVER" ] || { echo "LLAMA_SERVER is $LLAMA_SERVER, which is no program." >&2; exit 1; }
  echo "$LLAMA_SERVER"
  exit 0
fi

for tool in cmake g++ make; do
  command -v "$tool" >/dev/null || {
    echo "llama-server is not built: there is no $tool (Debian: apt-get install cmake g++ make)." >&2
    exit 1
  }
done

source=$("$root/tools/unpack-llama-cpp.sh")
build="$source-build"
server="$build/bin/llama-server"
if [ ! -x "$server" ]; then
  # As the engine is built: optimised for one CPU, without what a comparison of speed does not need.
  cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF >&2
  [ "${1:-}" = --configure-only ] && exit 0
  cmake --build "$build" --target llama-server --parallel "$(getconf _NPROCESSORS_ONLN)" >&2
fi
echo "$server"
