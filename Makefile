# Each target sets up .venv by itself; nothing but Python 3.11+, git and make is needed.
PYTHON ?= python3
BIN := .venv/bin
SERVE_STAMP := .venv/.installed
STAMP := .venv/.installed-dev
ENGINES_STAMP := .venv-engines/.installed
BENCH_STAMP := .venv/.installed-bench

# Where the environment forbids it, each of the hundreds of processes that tests start would compile
# all of SEIDRA anew, and each process of pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve test test-postgresql test-slow engines browser screenshots fuzz lint lint-types lint-others format bench bench-shared weigh soak soak-cluster clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

$(SERVE_STAMP): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SEIDRA needs Python 3.11 or newer.")'
	@echo "Setting up .venv with what serving needs: 40 packages, 70 MB, half a minute, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(STAMP): $(SERVE_STAMP)
	@echo "Adding the tools of development to .venv (a minute, once)."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# `flask serve`, but that Ctrl-C ends it without a traceback from the first moment on: while Flask is
# imported too, which takes a third of a second.
SERVE := import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); \
	from flask.cli import cli; cli.main(["serve"], prog_name="flask")

serve: $(SERVE_STAMP) ## set up and run SEIDRA on SEIDRA_BIND (default 127.0.0.1:8000); Ctrl-C stops it
	@echo "Starting SEIDRA. Commands are .venv/bin/flask ... meanwhile, such as .venv/bin/flask doctor."
	@exec $(BIN)/python -c '$(SERVE)'

test: $(STAMP) ## run the tests, in parallel
	@$(BIN)/pytest -n auto --dist worksteal -m 'not slow'

test-slow: $(STAMP) ## kill, start, copy and package whole instances, play the docs: the tests that take long
	@$(BIN)/pytest -n auto --dist worksteal -m slow

test-postgresql: $(STAMP) ## run those of the tests on PostgreSQL that can differ there (SEIDRA_TEST_POSTGRESQL=url: on this server)
	@SEIDRA_TEST_DATABASE=postgresql $(BIN)/pytest -n auto --dist worksteal --ignore tests/postgresql

$(ENGINES_STAMP): setup.cfg tests/diffusers/constraints.txt
	@echo "Setting up .venv-engines with PyTorch for the processor: 1.5 GB, some minutes, once."
	@$(PYTHON) -m venv .venv-engines
	@.venv-engines/bin/pip install --quiet --disable-pip-version-check -c tests/diffusers/constraints.txt torch
	@.venv-engines/bin/pip install --quiet --disable-pip-version-check -c tests/diffusers/constraints.txt \
		-e '.[diffusers]' pytest hypothesis
	@touch $@

engines: $(ENGINES_STAMP) ## render with diffusers for real, on tiny models made by the tests
	@OMP_NUM_THREADS=1 .venv-engines/bin/pytest tests/diffusers

# The budgets alone: what they measure must not wait for other tests.
browser: $(STAMP) ## play the studio in Chromium: units, journeys, accessibility, budgets
	@$(BIN)/deno test --quiet tests/studio
	@$(BIN)/pytest -n 3 tests/browser --ignore tests/browser/test_budgets.py
	@$(BIN)/pytest tests/browser/test_budgets.py

screenshots: $(STAMP) ## take the pictures of the studio for the docs
	@$(BIN)/python tests/browser/screenshots.py

fuzz: $(STAMP) ## send requests made of the OpenAPI document (SEIDRA_FUZZ_EXAMPLES each, default 10)
	@PYTHONPATH=. exec $(BIN)/python tests/fuzz_api.py

lint: $(STAMP) ## ruff, mypy --strict, the SQL linter, deno for the page, known holes in dependencies
	@$(MAKE) --no-print-directory --jobs=2 lint-types lint-others

# mypy takes most of the time, and one core.
lint-types:
	$(BIN)/mypy

lint-others:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint -q sql migrations
	@$(BIN)/python tests/audit.py
	$(BIN)/deno fmt --check --quiet
	$(BIN)/deno lint --quiet
	$(BIN)/deno check --quiet seidra/studio/static/app.js seidra/studio/static/pages/*.js

format: $(STAMP) ## format the code, and write the types of the statements anew
	$(BIN)/python -m seidra.database.stub
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/deno fmt --quiet

$(BENCH_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

bench: $(BENCH_STAMP) ## measure speed side by side with the peers (BENCH_QUICK=1: under two minutes)
	@$(BIN)/python -m benchmarks

bench-shared: $(BENCH_STAMP) ## what shared personas and media cost the others, in CPU time (BENCH_TOTAL=200000)
	@$(BIN)/python -m benchmarks.shared

weigh: $(STAMP) ## what the house weighs (WEIGH=folder: another checkout)
	@$(BIN)/python -m benchmarks.weigh $(WEIGH)

soak: $(STAMP) ## kills, contention and durability with real processes, some ten minutes (SOAK_QUICK=1: about one)
	@$(BIN)/python -m soak

soak-cluster: $(STAMP) ## two web and four worker nodes in network namespaces, killed and cut off; as root (CLUSTER_QUICK=1)
	@$(BIN)/python -m soak.cluster

clean: ## remove .venv and caches (not data/)
	rm -rf .venv .venv-engines .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
