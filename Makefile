# The front door. `make` alone, or `make help`, lists the targets.
# It needs Node 20.19 or newer, npm and git; everything else comes from npm into node_modules.

BIN := node_modules/.bin
# The workspace's own Node comes first for everything that is called here.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Flags for the command that a target runs: make run ARGS="--model ./any.gguf"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run dev build test test-services check charts lint format types docs proto proto-check e2e bench bench-target chaos bench-gateways bench-cache bench-memory bench-files bench-agreement bench-engine bench-reuse bench-upstream load-test fuzz simulate-routing bench-batch bench-queue bench-vectors bench-telemetry \
  demo-model-eval demo-embed-eval template-agreement openvino-check engine-cuda engine-vulkan install clean images compose-check up down logs ps install-systemd uninstall-systemd

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  Flags go into ARGS: make run ARGS="--port 8001 --model ./any.gguf"'

# Newer than the lock file: nothing to install. So a second `make run` asks neither npm nor pnpm.
INSTALLED := node_modules/.millrace-installed
$(INSTALLED): pnpm-lock.yaml pnpm-workspace.yaml .pnpmfile.cjs package.json $(wildcard apps/*/package.json libs/*/package.json)
	@tools/install-packages.sh
	@touch $@

# Of tests alone: other people's clients, 150 MB that nobody needs who only runs Millrace.
CLIENTS := test/e2e/clients/node_modules/.millrace-installed
$(CLIENTS): $(INSTALLED) test/e2e/clients/pnpm-lock.yaml test/e2e/clients/package.json
	@tools/install-clients.sh

# ------------------------------------------------------------------------------------------------------------ use it

run: build ## start Millrace on http://127.0.0.1:8000; Ctrl-C stops it
	@tools/millrace.sh serve --runs-folder runs $(ARGS)

bench: build ## measure throughput and latency, and what the gateway adds
	@tools/millrace.sh bench $(ARGS)

load-test: build ## the same with 1,000 requests by 32 clients and by 64
	@tools/millrace.sh bench --clients 32,64 --requests 1000 $(ARGS)

bench-target: build ## hold 32 clients with the built-in model to the latency target; status 2 where it is missed
	@tools/millrace.sh bench --scenario short --clients 32 --requests 2000 \
	  --thresholds 'total.p50<500,total.p95<1000,total.p99<1500,requests/s>=20,failed<0.1' $(ARGS)

bench-engine: build ## measure beside llama-server, which is built from the engine's own source (needs cmake and g++)
	@tools/bench-engine.sh $(ARGS)

bench-agreement: build ## see whether a model answers in a batch as alone: ARGS="model.gguf threads"
	@$(BIN)/node test/bench/agreement.ts $(ARGS)

bench-upstream: build ## measure what the way through Millrace adds to a server that answers at once
	@$(BIN)/node test/bench/upstream.ts $(ARGS)

bench-gateways: build ## measure beside Portkey's gateway, which comes from npm
	@$(BIN)/node test/bench/portkey.ts $(ARGS)

bench-cache: build ## measure how long an exact hit of the cache takes, kept in memory and in Redis
	@$(BIN)/node test/bench/cache-hits.ts $(ARGS)

bench-batch: build ## measure what a batch of 10,000 lines costs those who wait for their answers beside it
	@$(BIN)/node test/bench/batch-beside-interactive.ts $(ARGS)

bench-queue: build ## measure what it costs that work goes by a queue instead of gRPC (needs redis-server)
	@$(BIN)/node test/bench/queue-dispatch.ts $(ARGS)

bench-telemetry: build ## measure what it costs that traces and metrics are sent to a collector
	@$(BIN)/node test/bench/telemetry.ts $(ARGS)

bench-vectors: build ## measure searches among vectors, embedded and, with TEST_QDRANT_URL, in a Qdrant
	@$(BIN)/node test/bench/vector-search.ts $(ARGS)

bench-memory: build ## see whether the gateway's memory stays where it is (half an hour)
	@$(BIN)/node test/bench/memory.ts $(ARGS)

bench-files: build ## see how much memory the gateway takes while 2 GB go in and out (Linux)
	@$(BIN)/node test/bench/files-memory.ts $(ARGS)

chaos: build ## take Redis, Postgres, gateways and workers away under load, and in the middle of a batch; switch between three models where two have room
	@$(BIN)/node test/chaos/stores-away.ts
	@$(BIN)/node test/chaos/workers-away.ts --runs 3
	@$(BIN)/node test/chaos/batch-away.ts
	@$(BIN)/node test/chaos/model-switches.ts $(ARGS)

simulate-routing: build ## have the choice of workers choose among 1,000 simulated ones, and draw what came of it
	@$(BIN)/node test/routing/simulate.ts $(ARGS)

bench-reuse: build ## measure how much sooner an answer begins when its system prompt was read before
	@tools/bench-reuse.sh $(ARGS)

template-agreement: build ## compare how prompts are rendered with llama-server (needs cmake and g++)
	@tools/template-agreement/run.sh $(ARGS)

install: build ## put `millrace` into ~/.local/bin
	@tools/install-command.sh

images: ## build the container images with docker, podman or nerdctl: IMAGES="gateway worker" builds some
	@tools/images/build.sh

up: ## start gateway, worker, Redis, Postgres, Qdrant and MinIO in containers: PROFILES=observe,gpu OBJECT_STORE=seaweedfs
	@tools/compose/stack.sh up

down: ## end what `make up` started; what was stored is kept
	@tools/compose/stack.sh down

logs: ## follow what the containers write
	@tools/compose/stack.sh logs $(ARGS)

ps: ## list the containers and their health
	@tools/compose/stack.sh ps

install-systemd: build ## put Millrace into /opt/millrace and its units into /etc/systemd/system, as root
	@tools/systemd/install.sh install

uninstall-systemd: ## take both away again; what was stored and set is kept
	@tools/systemd/install.sh uninstall

engine-cuda: $(INSTALLED) ## add the engine for NVIDIA GPUs (about 300 MB; Linux x64)
	@tools/add-engine.sh linux-x64-cuda linux-x64-cuda-ext

engine-vulkan: $(INSTALLED) ## add the engine for GPUs with Vulkan (about 25 MB; Linux x64)
	@tools/add-engine.sh linux-x64-vulkan

# -------------------------------------------------------------------------------------------------------- develop it

dev: build ## run, and start again whenever a source changes
	@tools/dev.sh $(ARGS)

build: $(INSTALLED) ## install what is missing, and compile what changed
	@$(BIN)/tsc -b

# The second line says what it does, once and for some minutes where Go is; what needs it is skipped elsewhere, aloud.
test: build $(CLIENTS) ## every quick test
	@$(BIN)/node tools/charts/install.ts
	@$(BIN)/vitest run $(ARGS)

test-services: build ## test with a real Redis, Postgres, S3 server and Prometheus, which it starts itself (installed or built if missing)
	@tools/test-services.sh $(ARGS)

charts: build ## render the Helm chart and its examples, and check what comes of them (builds helm once, with Go)
	@$(BIN)/node tools/charts/install.ts
	@$(BIN)/vitest run --project modules test/charts $(ARGS)

e2e: build $(CLIENTS) ## start the real thing and use it as a client would
	@$(BIN)/vitest run --project e2e --project clients $(ARGS)

# What `make fuzz` sends: another seed each time, unless it is told one.
REQUESTS ?= 20000
SEED ?=
FROM ?= 0
fuzz: build ## send 20,000 requests over all endpoints, valid and spoilt, and judge every answer: REQUESTS=500 SEED=7
	@$(BIN)/node test/fuzz/fuzz.ts --requests $(REQUESTS) --seed "$(SEED)" --from $(FROM) $(ARGS)

compose-check: build ## check docker-compose.yaml and what it mounts with Compose's own loader and OpenTelemetry's collector (built once, where Go is)
	@$(BIN)/node tools/compose/install.ts
	@$(BIN)/vitest run --project modules test/compose $(ARGS)

check: types lint ## types, linter, import rules, reference pages
	@$(BIN)/vitest run test/tidy

types: build $(CLIENTS)
	@$(BIN)/tsc -p tsconfig.tests.json
	@if test -e $(CLIENTS); then $(BIN)/tsc -p test/e2e/clients; fi

lint: $(INSTALLED) ## formatter and linter, without changing anything
	@$(BIN)/biome check --error-on-warnings .

format: $(INSTALLED) ## write what formatter and linter can mend themselves
	@$(BIN)/biome check --write .

docs: build ## write the pages and files that are made from the code
	@node tools/docs/generate.ts

proto: ## write the code that is made from the .proto files
	@tools/generate-protocol.sh

proto-check: ## compare the committed code with the .proto files
	@tools/generate-protocol.sh --check

demo-model-eval: build ## score the built-in model, served as it is for everybody
	@tools/with-service.sh node tools/demo-model/evaluate.ts --url URL/v1 $(ARGS)

demo-embed-eval: build ## score the built-in embedding model, served as it is for everybody
	@tools/with-service.sh node tools/demo-embed/evaluate.ts --url URL/v1 $(ARGS)

openvino-check: ## check the program that runs OpenVINO (needs its Python packages; says so where they are missing)
	@tools/openvino-server/check.sh $(ARGS)

clean: ## remove builds and installed packages
	rm -rf node_modules test/e2e/clients/node_modules apps/*/node_modules libs/*/node_modules apps/*/dist libs/*/dist coverage
