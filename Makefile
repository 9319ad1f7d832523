# The door of the project. `make` lists what there is; every target does its own set-up.

PYTHON_RUN := .venv/bin/python
PYTEST := $(PYTHON_RUN) -m pytest $(if $(SEED),--randomly-seed=$(SEED) --hypothesis-seed=$(SEED))
PROGRAMS := runtara tests benchmarks examples tools setup.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all check fmt bench schema clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with the packages and the C extension; install missing system packages where root
	@tools/setup.sh

demo: setup ## Run a scenario from its JSON to its result, on a private server and database
	@.venv/bin/runtara demo

test: setup ## Run the fast tests (SEED=n repeats the random order and examples of a run)
	$(PYTEST) -n 2 -m "not slow and not bench"

test-slow: setup ## Run the tests that take seconds each: processes, crashes, sanitizers
	$(PYTEST) -m "slow and not bench and not soak"

test-all: setup ## Run all tests, those that take minutes too
	$(PYTEST) -m "not bench"

check: setup ## Check format, lint, types, layers, sizes and generated files
	.venv/bin/ruff format --check $(PROGRAMS)
	.venv/bin/ruff check $(PROGRAMS)
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON_RUN) tools/check_tidy.py
	$(PYTHON_RUN) tools/generate.py --verify

fmt: setup ## Format everything, and fix what lint can fix by itself
	.venv/bin/ruff format $(PROGRAMS)
	.venv/bin/ruff check --fix $(PROGRAMS)

bench: setup ## Measure, beside the floors
	$(PYTHON_RUN) -m benchmarks.run

schema: setup ## Write the generated files anew (check verifies that nobody has to)
	$(PYTHON_RUN) tools/generate.py

clean: ## Remove everything that was made, .venv included
	rm -rf .venv .data build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f runtara/_native/*.so
