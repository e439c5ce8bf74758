# Every target makes what it needs first: the environment .venv, from the versions pinned in constraints.txt.
# Variables: PYTHON (which Python makes .venv), ARGS (passed on: make demo ARGS="--seed 1"), WORKERS (processes of pytest),
# POLICIES (of make d4rl: "--policy-dir DIR").

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
WORKERS ?= 2
POLICIES ?=

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --constraint constraints.txt
INPUTS := constraints.txt setup.cfg pyproject.toml

# One thread, no screen: what makes test results repeatable on a shared machine.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg SDL_VIDEODRIVER=dummy \
    SDL_AUDIODRIVER=dummy HDF5_USE_FILE_LOCKING=BEST_EFFORT PYGAME_HIDE_SUPPORT_PROMPT=1

.PHONY: help demo test lint unit wheel bench d4rl docs clean distclean

help:  ## list the targets
	@sed -nE 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

demo: $(STAMPS)/runtime  ## from logged data to a swing-up: writes runs/demo/
	@echo "==> Demo: collect, train, plan, control"
	$(BIN)/trajopt-sgp demo $(ARGS)

test: lint unit wheel  ## everything that must hold before a change is merged
	@echo "==> All checks passed"

lint: $(STAMPS)/studies  ## ruff, mypy --strict, import layers
	@echo "==> Style: ruff"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "==> Types: mypy --strict"
	$(BIN)/mypy
	@echo "==> Layers: import-linter"
	$(BIN)/lint-imports --no-logo

unit: $(STAMPS)/studies  ## pytest alone: make unit ARGS="tests/test_mpc.py -x"
	@echo "==> Tests: pytest"
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

wheel: $(STAMPS)/dev  ## build the wheel, install it into a new environment, use it from elsewhere
	@echo "==> Wheel: build"
	rm -rf build dist trajopt_sgp.egg-info
	$(BIN)/python -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir dist .
	@echo "==> Wheel: install into a new environment (about a minute)"
	$(BIN)/python -m venv build/wheel-env
	build/wheel-env/bin/python -m pip install -qq --disable-pip-version-check --no-compile \
	    --constraint constraints.txt dist/*.whl
	@echo "==> Wheel: use it from another directory"
	$(TEST_ENV) tools/check_installed.sh build/wheel-env
	rm -rf build

bench: $(STAMPS)/bench  ## measure beside peers, write docs/benchmarks.md: make bench ARGS="--list"
	@echo "==> Benchmarks"
	$(TEST_ENV) $(BIN)/python -W ignore -m benchmarks $(ARGS)

d4rl: $(STAMPS)/studies  ## data, models, peers and the table of D4RL's tasks: make d4rl ARGS="--tasks hopper-*"
	@echo "==> D4RL: data"
	$(TEST_ENV) $(BIN)/python -W ignore -m benchmarks.d4rl.collect $(POLICIES)
	@echo "==> D4RL: models, methods, table"
	$(TEST_ENV) $(BIN)/python -W ignore -m benchmarks.d4rl.evaluate $(ARGS)

docs: $(STAMPS)/docs  ## build the documentation into docs/_build
	@echo "==> Documentation: sphinx"
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "==> Open docs/_build/index.html"

clean:  ## remove what was built, but neither .venv nor runs/
	rm -rf build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find trajopt_sgp tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv as well
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "The pinned versions need Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> Environment: $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/runtime: $(INPUTS) | $(BIN)/python
	@echo "==> Install: the package and what it runs on (a minute or two)"
	$(INSTALL) setuptools
	$(INSTALL) --editable .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/runtime
	@echo "==> Install: test tools"
	$(INSTALL) --editable '.[dev]'
	@touch $@

# The build finds torch in .venv, hence no build isolation; it needs cmake < 4, which PyPI has. A wheel that pip kept from
# a build against another torch would link and then crash, hence no cache.
$(STAMPS)/l4casadi: $(STAMPS)/dev
	@echo "==> Install: l4casadi, compiled against the installed torch (about half a minute)"
	$(INSTALL) cmake ninja scikit-build wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" $(INSTALL) --no-cache-dir l4casadi
	@$(BIN)/python -c 'import l4casadi'
	@touch $@

$(STAMPS)/studies: $(STAMPS)/l4casadi
	@echo "==> Install: what studies, hardware and peers run on"
	$(INSTALL) --editable '.[d4rl,hardware,ray,studies]'
	@touch $@

$(STAMPS)/bench: $(STAMPS)/l4casadi
	@echo "==> Install: the peers of the benchmarks"
	$(INSTALL) --editable '.[bench]'
	@touch $@

$(STAMPS)/docs: $(STAMPS)/runtime
	@echo "==> Install: documentation tools"
	$(INSTALL) --editable '.[docs]'
	@touch $@
