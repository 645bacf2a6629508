#!/bin/sh
# `make images`: builds millrace/gateway, millrace/worker, millrace/worker with the CUDA engine and millrace/millrace with whatever engine for
# containers is there (docker, podman or nerdctl), tagged with the version in package.json. IMAGES="gateway worker" builds some of them.
set -eu
cd "$(dirname "$0")/../.."

engine=${CONTAINER_ENGINE:-}
for name in docker podman nerdctl; do
  [ -n "$engine" ] || { command -v "$name" >/dev/null && engine=$name; } || true
done
[ -n "$engine" ] || {
  echo "make images needs docker, podman or nerdctl, and there is none. \`tools/images/layout.sh assemble millrace FOLDER\` makes what would be in the image." >&2
  exit 1
}
version=$(sed -n 's/^ *"version": "\(.*\)",*$/\1/p' package.json)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# Of the commit, not of this moment: the same sources make the same labels.
created=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo 1970-01-01T00:00:00Z)
epoch=$(git log -1 --format=%ct 2>/dev/null || echo 315532800)
# The other form of images, podman's own choice, has no place for a HEALTHCHECK.
format=
[ "${engine##*/}" != podman ] || format="--format docker"

for target in ${IMAGES:-gateway worker worker-cuda millrace}; do
  case "$target" in
    worker-cuda) tag=millrace/worker:$version-cuda ;;
    *) tag=millrace/$target:$version ;;
  esac
  echo "Building ${REGISTRY:+$REGISTRY/}$tag…"
  # shellcheck disable=SC2086 # A flag, or nothing.
  "$engine" build $format --target "$target" --tag "${REGISTRY:+$REGISTRY/}$tag" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" --build-arg "SOURCE_DATE_EPOCH=$epoch" .
done
