# Every target works on a fresh clone with git, make and Python 3.11 or 3.12: each sets up first.

UV := tools/uv
RUN := $(UV) run --frozen --no-sync

.DEFAULT_GOAL := help
.PHONY: help setup test lint format demo bench chaos clean
MINUTES ?= 3
SEED ?= 7
MAKEFLAGS += --no-print-directory

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make the locked environment in .venv (installs uv into .tools where PATH has none)
	@$(UV) sync --locked

test: lint ## Run what lint runs, then all tests
	$(RUN) pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: setup ## Check lint rules, format, types and import contracts
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) basedpyright
	$(RUN) lint-imports --no-logo

format: setup ## Rewrite the code in the house's format and mend what ruff can mend
	$(RUN) ruff format
	$(RUN) ruff check --fix

demo: setup ## Run a market of simulated agents for about 20 seconds, then show its books
	$(RUN) walras demo

bench: setup ## Measure how fast this machine clears markets (bench/results)
	$(RUN) python -m bench full

chaos: setup ## Kill, freeze and cut off a deployment at random, then check it (MINUTES=3 SEED=7)
	$(RUN) python -m tests.chaos --minutes $(MINUTES) --seed $(SEED)

clean: ## Remove the environment, the tools and all caches (a ledger under .walras stays)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
