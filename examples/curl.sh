#!/bin/sh
# A streamed answer, chunk by chunk, as it goes over the wire.
exec curl -sN "${OPENAI_BASE_URL:-http://127.0.0.1:8000/v1}/chat/completions" \
  -H 'Content-Type: application/json' \
  -d '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "stream": true}'
