#!/bin/sh
# ruff, mypy and pytest for the program beside this file, with the Python that MILLRACE_PYTHON names. Says so and ends well
# where that Python has not what they need: OpenVINO is optional.
set -eu
cd "$(dirname "$0")"
python="${MILLRACE_PYTHON:-python3}"
if ! "$python" -c 'import aiohttp, mypy, openvino_genai, pytest' 2>/dev/null; then
  echo "SKIPPED: $python has no openvino-genai, or not what its tests need. To have them run:"
  echo "  $python -m pip install -r tools/openvino-server/requirements-dev.txt"
  exit 0
fi
"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m mypy main.py make_test_model.py openvino_server
"$python" -m pytest -q "$@"
