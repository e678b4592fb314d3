# Every target works on a fresh clone with git, make and Python 3.11 or 3.12: each sets up first.

UV := tools/uv
RUN := $(UV) run --frozen --no-sync

.DEFAULT_GOAL := help
.PHONY: help setup test lint coverage format demo bench chaos collector phoenix wheels clean
SPREAD := --numprocesses 3 --dist loadfile --no-loadscope-reorder
TESTS ?= tests
DIST ?= dist
MINUTES ?= 3
SEED ?= 7
MAKEFLAGS += --no-print-directory

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Bytecode, because short-lived processes of many tests would each compile what they import.
setup: ## Install what is locked in .venv, with the tools of development (uv in .tools if PATH has none)
	@$(UV) sync --locked --group dev --compile-bytecode

test: lint ## Run what lint runs, then all tests
	$(RUN) pytest $(SPREAD)

lint: setup ## Check lint rules, format, types (mypy, pyright) and import contracts
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) basedpyright
	$(RUN) lint-imports --no-logo

# The gate is on the pure folders, whose lines do not depend on processes being killed.
coverage: setup ## Run all tests (or TESTS="...") with line coverage; fail below the limit
	$(RUN) coverage erase
	$(RUN) pytest $(TESTS) $(SPREAD) --cov --cov-report=
	$(RUN) coverage report
	$(RUN) coverage report --include='operators/*,state/*,schemas/*' --fail-under=97

format: setup ## Format the code and apply what ruff can fix
	$(RUN) ruff format
	$(RUN) ruff check --fix

demo: ## Run a market of simulated agents for about 20 seconds, then audit its ledger
	@$(UV) sync --locked --inexact
	$(RUN) walras demo

bench: setup ## Measure how fast this machine clears markets (bench/results)
	$(RUN) python -m bench full

chaos: setup ## Kill, pause and cut off a deployment at random, then check it (MINUTES=3 SEED=7)
	$(RUN) python -m tests.chaos --minutes $(MINUTES) --seed $(SEED)

# The builder and the collector come from Go modules; both are some minutes of compiling.
collector: ## Build the OpenTelemetry Collector of otel/collector into .tools (needs Go)
	@mkdir -p .tools
	GOBIN=$(CURDIR)/.tools/bin go install go.opentelemetry.io/collector/cmd/builder@v0.160.0
	.tools/bin/builder --config otel/collector/builder.yaml

phoenix: ## Install Arize Phoenix into .tools: 826 MB, three minutes
	@$(UV) venv --quiet --clear --python .venv/bin/python .tools/phoenix
	@$(UV) pip install --quiet --python .tools/phoenix/bin/python arize-phoenix==20.26.1

wheels: ## Build the three packages of the last commit as wheels in DIST
	@rm -rf $(DIST)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && git archive HEAD | tar -x -C "$$folder" && \
	$(UV) build --quiet --all-packages --wheel --out-dir $(DIST) "$$folder"

clean: ## Remove the environment, the tools and all caches (a ledger under .walras stays)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
