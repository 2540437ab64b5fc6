# Every target does its own set-up: Python 3.11 or later and make are enough (for the integration
# tests, also a Docker engine, or root on Debian; see integration/README.md).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
CODE := $(wildcard _swarmroll_pytest.py swarmroll tests integration bench)

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(READY) ## Make .venv with everything needed for developing.

$(READY): requirements/dev.txt setup.cfg scripts/make-venv
	@scripts/make-venv $(VENV)
	@touch $@

.PHONY: test
test: ## Run everything that CI runs: lint, types, unit, integration.
	@$(MAKE) lint
	@$(MAKE) types
	@$(MAKE) unit
	@$(MAKE) integration

.PHONY: test-all
test-all: ## The same, with every integration test on every engine.
	@$(MAKE) lint
	@$(MAKE) types
	@$(MAKE) unit
	@$(MAKE) integration EVERYTHING=--everything

.PHONY: lint
lint: $(READY) ## Check style and format.
	@echo "lint: ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

.PHONY: format
format: $(READY) ## Mend style and format where that can be done for you.
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

.PHONY: types
types: $(READY) ## Check types.
	@echo "types: mypy"
	@$(BIN)/mypy --no-error-summary $(CODE)

.PHONY: unit
unit: $(READY) ## Run the tests in memory; every branch of the core has to be covered.
	@echo "unit: pytest with coverage"
	@$(BIN)/pytest --quiet -n auto --cov --cov-report= $(ARGS)
	@$(BIN)/coverage report --skip-covered
	@echo "unit: every branch of swarmroll/core is covered?"
	@$(BIN)/coverage report --include='swarmroll/core/*' --fail-under=100

.PHONY: integration
integration: $(READY) ## Run the tests on real swarms; ARGS go to pytest.
	@echo "integration: real swarms"
	@$(BIN)/python -m integration.lab.run $(EVERYTHING) $(ARGS)

.PHONY: conformance
conformance: $(READY) ## Hold the simulated swarm to a real one, in all scenarios; ENGINES="20 26 28".
	@echo "conformance: the same scenarios on real swarms and on the simulated one"
	@$(BIN)/python -m integration.lab.run --everything --engines "$(or $(ENGINES),26)" \
		integration/test_conformance.py --whole $(if $(RECORD),--record) $(ARGS)

.PHONY: soak
soak: $(READY) ## A million random rollouts and as many spoilt answers (hours); goes on where it was.
	@$(BIN)/python -m tests.faults.table
	@$(BIN)/python -m tests.faults.mutants
	@$(BIN)/python -m tests.faults.soak $(ARGS)

.PHONY: demo
demo: $(READY) ## Show a rolling update and a rollback on a real swarm (simulated without an engine).
	@$(BIN)/python -m integration.demo

.PHONY: demo-sim
demo-sim: $(READY) ## The same on a simulated swarm: no Docker, no root.
	@$(BIN)/python -m swarmroll demo

.PHONY: bench
bench: $(READY) ## Measure.
	@$(BIN)/python -m bench.run $(ARGS)

.PHONY: lock
lock: $(READY) ## Pin requirements/dev.in anew.
	@scripts/lock-requirements $(VENV)

.PHONY: clean
clean: ## Remove what the other targets made here.
	@rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
