# Thin on purpose: each target prepares the environment (a no-op when nothing changed) and runs one command.
BIN := .venv/bin
CODE := $(wildcard packages services tests tools migrations docs infra)
TYPED := $(wildcard packages services tests infra/grafana)

.PHONY: help run test test-full check bench bench-peers bench-docs profile dashboards screenshots up lock clean bootstrap
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

bootstrap: ## make or refresh .venv from the lock
	@./tools/bootstrap

run: bootstrap ## start PostgreSQL, Valkey, the API and the worker here; Ctrl-C stops them, data stays
	@exec $(BIN)/agentflow-cloud run

test: bootstrap ## the whole test suite; ARGS="-k words" narrows it
	@$(BIN)/python -m pytest -q -n auto $(ARGS)

test-full: bootstrap ## the same with many more generated examples
	@AGENTFLOW_TEST_PROFILE=full $(BIN)/python -m pytest -q -n auto $(ARGS)

check: bootstrap ## format, lint, types, dead code, import rules
	@$(BIN)/ruff format --check -q $(CODE) || { echo "run: $(BIN)/ruff format $(CODE)"; exit 1; }
	@$(BIN)/ruff check -q $(CODE)
	@$(BIN)/mypy --no-error-summary $(TYPED)
	@$(BIN)/vulture
	@$(BIN)/python -m pytest -q -p no:xdist tests/unit/test_rules*.py

bench: bootstrap ## measure every figure against its goal; ARGS="--only write,read" narrows it
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-peers: bootstrap ## the same workload on the peers, beside ours; PEER_BENCH=path names their harness
	@$(BIN)/python tools/peers.py
	@$(BIN)/python -m tests.benchmarks.peers $(ARGS)

bench-docs: bootstrap ## write what the last `make bench` measured into docs/
	@$(BIN)/python -m tests.benchmarks.documents

profile: bootstrap ## where the time of a durable write goes, at 1, 16 and 64 writers
	@$(BIN)/python -m tests.benchmarks.profile $(ARGS)

dashboards: bootstrap ## write Grafana's dashboards anew from infra/grafana
	@$(BIN)/python -m infra.grafana

screenshots: bootstrap ## pictures of the console of a running `make run`, for docs/console
	@$(BIN)/python tools/screenshots.py $(ARGS)

up: ## the stack in containers
	docker compose up

lock: bootstrap ## write requirements/*.txt anew; UPGRADE=1 moves to newer releases
	@./tools/lock $(if $(UPGRADE),--upgrade)

clean: ## remove what make made: environments and caches, never a state folder
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
