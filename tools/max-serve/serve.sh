#!/bin/sh
# MAX Serve with configs/max-serve.yaml, for the worker beside it: batches of 32, no telemetry, this machine only.
#
#   tools/max-serve/serve.sh MODEL [flags of `max serve`]     MODEL is a folder or a name on Hugging Face
#
# On port 8010, unless MAX_SERVE_PORT says another: MAX's usual 8000 is Millrace's own.
#
# MAX_SERVE names the program (default: `max` on the PATH; `pip install 'max[serve]==26.7.0'`).
set -eu
if [ $# -lt 1 ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
model="$1"
shift
max="${MAX_SERVE:-max}"
if ! command -v "$max" >/dev/null; then
  echo "There is no \`$max\`: pip install 'max[serve]==26.7.0', or name it by MAX_SERVE." >&2
  exit 1
fi
config="$(dirname "$0")/../../configs/max-serve.yaml"
case " $* " in
  *" --devices cpu "* | *" --devices=cpu "*) set -- --no-enable-structured-output "$@" ;;
esac
# Neither a key of the file nor a flag.
export MAX_SERVE_DISABLE_TELEMETRY=1
# Flags, and no keys of the file. By its help MAX queues without end where it isn't given these, and answers 429 where it is.
exec "$max" serve --config-file "$config" --model "$model" --host "${MAX_SERVE_HOST:-127.0.0.1}" \
  --port "${MAX_SERVE_PORT:-8010}" --max-pending-requests 64 --max-queue-size 64 "$@"
