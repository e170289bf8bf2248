# Every target sets up what it needs: `make demo` and `make test` work from a bare Python 3.11+.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# the version before, from which tests upgrade: the last one with snapshots of format 1
PREVIOUS := 3e4cb66df5541566710d2bb0d705f8bba7644718
# a process for each core; one that has run out of tests takes some of another's
UNIT   := -n auto --dist worksteal tests/unit
# each worker has ports of its own (tests/support/free_ports.py); what measures delays has the machine to itself
BESIDE := -n auto --dist worksteal -m "not alone"
# each worker has an API server of its own; the files install CRDs and take them away again
BY_FILE := -n auto --dist loadfile
# of the tests with a real Envoy those that depend on the gRPC server; all run on the default one
ON_GRPCIO := $(addprefix tests/envoy/test_envoy_,pick.py attempt_rewrite.py peers.py transport.py usage.py xds.py) tests/e2e/test_e2e_third_party.py

# what tests start again and again reads compiled modules, whatever the environment says
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo clean lock crds tables chart format lint fuzz
.PHONY: test test-unit test-thorough test-transport test-grpcio test-kube test-operator kube-assets
.PHONY: test-cluster test-upgrade test-envoy-gateway test-vllm cluster-demo kind-demo
.PHONY: bench bench-guard bench-placement

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install the locked dependencies

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Pilotage needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Envoy, the picker and simulated model servers: one request, answered and explained
	$(BIN)/pilotage demo

test: setup ## All tests that need no special hardware (fast ones first)
	$(BIN)/python -m pytest $(UNIT)
	$(BIN)/python -m pytest $(BESIDE) tests/envoy tests/e2e
	$(BIN)/python -m pytest -m alone tests/envoy tests/e2e
	$(MAKE) test-kube
	$(MAKE) test-operator
	$(MAKE) test-transport

test-unit: setup ## Only the fast, pure tests
	$(BIN)/python -m pytest $(UNIT)

test-thorough: setup ## The same with four times as many examples of each property, as in CI
	PILOTAGE_TEST_THOROUGH=1 $(BIN)/python -m pytest $(UNIT)

kube-assets: ## Put kube-apiserver, etcd, kubectl and helm where KUBEBUILDER_ASSETS points, else in a cache
	$(PYTHON) hack/kube/assets.py get

test-kube: setup ## Tests against a real API server (skipped where it cannot be had, or fail: PILOTAGE_REQUIRE_KUBE=1)
	@$(PYTHON) hack/kube/assets.py get || [ -z "$$PILOTAGE_REQUIRE_KUBE" ]
	$(BIN)/python -m pytest $(BY_FILE) tests/kube tests/chart

test-transport: setup ## The picker's gRPC servers: h2spec, clients in Python and Go
	@hack/transport/setup build || [ -z "$$PILOTAGE_REQUIRE_TRANSPORT" ]
	$(BIN)/python -m pytest tests/transport

test-grpcio: setup ## With a real Envoy, what depends on the gRPC server, on the second one
	PILOTAGE_TEST_TRANSPORT=grpcio $(BIN)/python -m pytest $(BESIDE) $(ON_GRPCIO)
	PILOTAGE_TEST_TRANSPORT=grpcio $(BIN)/python -m pytest -m alone $(ON_GRPCIO)

test-cluster: setup ## The chart and its pods on a single-node cluster of real programs (root, Linux; minutes)
	hack/with-cluster $(abspath $(BIN))/python -m pytest tests/cluster

test-upgrade: setup ## There too: an upgrade from the version before, and a rollback to it (builds its image; minutes)
	PILOTAGE_PREVIOUS=$(PREVIOUS) hack/with-cluster $(abspath $(BIN))/python -m pytest tests/cluster/test_cluster_upgraded.py

test-envoy-gateway: setup ## A real Envoy Gateway on that cluster, asking Pilotage (builds it once; needs Go)
	hack/envoy-gateway/setup build
	hack/with-cluster $(abspath $(BIN))/python -m pytest tests/envoy_gateway

test-operator: setup ## The operator against a real API server (as test-kube)
	@$(PYTHON) hack/kube/assets.py get || [ -z "$$PILOTAGE_REQUIRE_KUBE" ]
	$(BIN)/python -m pytest $(BY_FILE) tests/operator

test-vllm: setup ## The gateway in front of two real vLLM servers (installs vLLM into a cache, 6 GB)
	hack/vllm install
	PILOTAGE_REQUIRE_VLLM=1 $(BIN)/python -m pytest tests/vllm

cluster-demo: setup ## Pilotage on a single-node cluster: a request and its explanation (root, Linux; VLLM=1: real vLLM)
ifdef VLLM
	hack/vllm install
	hack/vllm for-pods
endif
	PILOTAGE=$(abspath $(BIN))/pilotage hack/with-cluster hack/demo-on-cluster $(if $(VLLM),vllm "$$(hack/vllm where)")

kind-demo: setup ## The same on kind (needs Docker, kind, kubectl, helm; VLLM=1: real vLLM)
	hack/demo-on-kind $(if $(VLLM),vllm)

fuzz: setup ## The transport by ill-formed HTTP/2 (SECONDS=600, SEED=), then conditions of rules (EXAMPLES=20000)
	$(BIN)/python tests/unit/transport/fuzz_frames.py --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))
	PILOTAGE_FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/python -m pytest tests/unit/rules/test_condition_fuzz.py --timeout=3600

lint: setup ## ruff, mypy --strict, layer contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pilotage crds --check crds
	$(BIN)/python hack/field_tables.py --check
	$(BIN)/python hack/chart_files.py --check

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Throughput and added latency against a fixed-pick picker (table and JSON; RIVAL=PROGRAM: another picker too)
	$(if $(RIVAL),RIVAL=$(abspath $(RIVAL)) )$(BIN)/python -m bench

bench-guard: setup ## Does a request cost the picker what it did? In process, against bench/guard.json
	$(BIN)/python -m bench.guard

bench-placement: setup ## Placement on 8 simulated servers against Envoy's own balancers (table and JSON; minutes)
	$(BIN)/python -m bench.placement

crds: setup ## Write crds/ from the types in api/
	$(BIN)/pilotage crds --out crds

chart: setup ## Write what of charts/pilotage is generated: values, their schema, CRD templates
	$(BIN)/python hack/chart_files.py

tables: setup ## Renew the tables of fields in docs/ from the same types
	$(BIN)/python hack/field_tables.py

lock: ## Refresh the lock files (needs uv)
	uv pip compile pyproject.toml --extra valkey --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	uv pip compile pyproject.toml --group dev -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements-dev.lock
	uv pip compile --group build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements-build.lock

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
