# The images of Millrace: `docker build --target gateway .`, and likewise worker, worker-cuda and millrace (both in one; also without
# --target). `make images` builds them all. What is in them, and what is written where, is told in docs/how-to/docker.md.
#
# Whatever is run to build them stands in tools/images/layout.sh, which wants npm's registry and nothing else: no packages of a distribution,
# no compiler. Node comes from the lock file like everything else; the one of this image only fetches it.
ARG NODE_IMAGE=docker.io/library/node:24.9.0-bookworm-slim
# As small as distroless plus a shell, in which tools/images/init.sh is written.
ARG DEBIAN_IMAGE=docker.io/library/debian:12.12-slim
# What the CUDA engine wants beside the driver: libcudart and libcublas of CUDA 12.
ARG CUDA_IMAGE=docker.io/nvidia/cuda:12.6.3-runtime-ubuntu22.04

# ------------------------------------------------------------------------------------------------------------- build
FROM ${NODE_IMAGE} AS build
WORKDIR /src
# First what changes seldom: the packages are fetched anew only when one of these does.
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml .pnpmfile.cjs ./
COPY apps/cli/package.json apps/cli/
COPY apps/gateway/package.json apps/gateway/
COPY apps/worker/package.json apps/worker/
COPY libs/contracts/package.json libs/contracts/
COPY libs/openai-engine/package.json libs/openai-engine/
COPY libs/runtime/package.json libs/runtime/
COPY libs/storage/package.json libs/storage/
COPY tools/images tools/images
RUN tools/images/layout.sh install
COPY LICENSE tsconfig.base.json tsconfig.json ./
COPY libs libs
COPY apps apps
RUN tools/images/layout.sh build
COPY configs configs
COPY init-scripts init-scripts
COPY models/millrace-demo.gguf models/millrace-demo-embed.gguf models/

# Of the commit, where `make images` gives it: the same sources make the same layers.
FROM build AS gateway-layout
ARG SOURCE_DATE_EPOCH
RUN tools/images/layout.sh assemble gateway /out
FROM build AS worker-layout
ARG SOURCE_DATE_EPOCH
RUN tools/images/layout.sh assemble worker /out
FROM build AS worker-cuda-layout
ARG SOURCE_DATE_EPOCH
RUN tools/images/layout.sh assemble worker-cuda /out
FROM build AS millrace-layout
ARG SOURCE_DATE_EPOCH
RUN tools/images/layout.sh assemble millrace /out

# --------------------------------------------------------------------------------------------------------------- run
# Nothing is written outside of /data and /tmp (`docker run --read-only --tmpfs /tmp`); models are looked for in /models. 65532 is nobody's
# number in either distribution, and a user by name is what some libraries ask for.
FROM ${DEBIAN_IMAGE} AS base
ARG SOURCE_DATE_EPOCH
RUN echo 'millrace:x:65532:' >>/etc/group && echo 'millrace:x:65532:65532:Millrace:/data:/usr/sbin/nologin' >>/etc/passwd \
  && mkdir -m 0750 /data && mkdir -p /models /opt/millrace && chown 65532:65532 /data /models \
  && touch -d "@${SOURCE_DATE_EPOCH:-315532800}" /data /etc/group /etc/passwd /etc /models /opt/millrace /opt
ENV PATH=/opt/millrace/bin:/usr/local/bin:/usr/bin:/bin NODE_ENV=production HOME=/tmp \
  MILLRACE_DATA_FOLDER=/data MILLRACE_CACHE_FOLDER=/data/cache MILLRACE_MODELS_DIR=/models
WORKDIR /data
VOLUME ["/data"]
USER 65532:65532
ENTRYPOINT ["/opt/millrace/bin/init", "/opt/millrace/bin/millrace"]

FROM ${CUDA_IMAGE} AS cuda-base
ARG SOURCE_DATE_EPOCH
RUN echo 'millrace:x:65532:' >>/etc/group && echo 'millrace:x:65532:65532:Millrace:/data:/usr/sbin/nologin' >>/etc/passwd \
  && mkdir -m 0750 /data && mkdir -p /models /opt/millrace && chown 65532:65532 /data /models \
  && touch -d "@${SOURCE_DATE_EPOCH:-315532800}" /data /etc/group /etc/passwd /etc /models /opt/millrace /opt
ENV PATH=/opt/millrace/bin:/usr/local/bin:/usr/bin:/bin NODE_ENV=production HOME=/tmp \
  MILLRACE_DATA_FOLDER=/data MILLRACE_CACHE_FOLDER=/data/cache MILLRACE_MODELS_DIR=/models
WORKDIR /data
VOLUME ["/data"]
USER 65532:65532
# Not NVIDIA's own, which prints a page of text first.
ENTRYPOINT ["/opt/millrace/bin/init", "/opt/millrace/bin/millrace"]

FROM base AS gateway
COPY --from=gateway-layout /out /opt/millrace
# Beyond loopback only who has an API key is served: docs/how-to/docker.md makes the first.
ENV MILLRACE_HOST=0.0.0.0 MILLRACE_PORT=8000
EXPOSE 8000
# Half a second of a core each time.
HEALTHCHECK --interval=30s --timeout=8s --start-period=60s --retries=3 CMD ["/opt/millrace/bin/millrace", "health"]
CMD ["gateway"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Millrace gateway" \
  org.opencontainers.image.description="The OpenAI API in front of workers that run elsewhere" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Millrace" \
  org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"

FROM base AS worker
COPY --from=worker-layout /out /opt/millrace
ENV MILLRACE_WORKER_HOST=0.0.0.0 MILLRACE_WORKER_PORT=8100 MILLRACE_WORKER_METRICS_PORT=8101
EXPOSE 8100 8101
HEALTHCHECK --interval=30s --timeout=8s --start-period=600s --retries=3 CMD ["/opt/millrace/bin/millrace", "health", "--worker"]
CMD ["worker"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Millrace worker" \
  org.opencontainers.image.description="The engine, on the CPU, for gateways that run elsewhere" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Millrace" \
  org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"

FROM cuda-base AS worker-cuda
COPY --from=worker-cuda-layout /out /opt/millrace
# A GPU that is not there is an error, and no slow worker.
ENV MILLRACE_WORKER_HOST=0.0.0.0 MILLRACE_WORKER_PORT=8100 MILLRACE_WORKER_METRICS_PORT=8101 MILLRACE_GPU=cuda
EXPOSE 8100 8101
HEALTHCHECK --interval=30s --timeout=8s --start-period=600s --retries=3 CMD ["/opt/millrace/bin/millrace", "health", "--worker"]
CMD ["worker"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Millrace worker with CUDA" \
  org.opencontainers.image.description="The engine, on NVIDIA's GPUs, for gateways that run elsewhere" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Millrace" \
  org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"

FROM base AS millrace
COPY --from=millrace-layout /out /opt/millrace
ENV MILLRACE_HOST=0.0.0.0 MILLRACE_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=8s --start-period=600s --retries=3 CMD ["/opt/millrace/bin/millrace", "health"]
CMD ["serve"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Millrace" \
  org.opencontainers.image.description="Large language models behind the OpenAI API: gateway and worker in one" \
  org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Millrace" \
  org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
