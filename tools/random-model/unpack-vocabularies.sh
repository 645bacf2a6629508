#!/bin/sh
# Takes the vocabulary files of llama.cpp's own tests (ggml-vocab-llama-bpe.gguf, -qwen2, -starcoder, -bert-bge, …) out of
# the source that node-llama-cpp's package carries, and prints the folder they lie in. Nothing is downloaded.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
source=$("$root/tools/unpack-llama-cpp.sh")
echo "$source/models"
