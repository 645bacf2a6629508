#!/bin/sh
# Prints the path of a Python that has what the examples need: the machine's own, or one made beside the cache, from PyPI, once.
# Says on standard error why there is none, and fails.
set -eu
cd "$(dirname "$0")/.."
wanted=examples/requirements.txt
command -v python3 >/dev/null || { echo "there is no python3" >&2; exit 1; }
if python3 -c 'import langchain_openai, openai' 2>/dev/null; then
  command -v python3
  exit 0
fi
folder=".millrace/cache/python-clients"
if ! cmp -s "$wanted" "$folder/installed.txt"; then
  rm -rf "$folder"
  python3 -m venv "$folder" >&2 && "$folder/bin/pip" install --quiet --disable-pip-version-check --timeout 20 --retries 1 -r "$wanted" >&2 || {
    rm -rf "$folder"
    echo "the packages of $wanted could not be installed" >&2
    exit 1
  }
  cp "$wanted" "$folder/installed.txt"
fi
echo "$PWD/$folder/bin/python"
