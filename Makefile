# Two commands do all the set-up, each from a fresh checkout: `make demo` and `make test`.
# Needs Python >= 3.11, make and git. Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
USER_READY := $(VENV)/.installed
DEV_READY := $(VENV)/.installed-dev

.PHONY: help setup dev demo test lint docs bench gpu-check figures published
.DEFAULT_GOAL := help

help:  ## what can be asked for
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(USER_READY)  ## .venv with the package, at the tested versions

dev: $(DEV_READY)  ## .venv with the tools for tests and docs as well

demo: $(USER_READY)  ## train, sample and judge the demo: ten minutes on two cores, fifteen without bf16
	$(BIN)/hybridgen train demo

test: $(DEV_READY)  ## the whole test suite, fast tests first
	$(BIN)/python -m pytest -m "not slow" --numprocesses logical --dist loadfile
	$(BIN)/python -m pytest -m slow

lint: $(DEV_READY)  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DEV_READY)  ## the documentation, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(USER_READY)  ## every claim on speed, measured here
	set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

gpu-check: $(USER_READY)  ## on a machine with a GPU, six minutes: resume, equal seeds, HART-0.7B, VAR-d16
	$(BIN)/python benchmarks/gpu_check.py

figures: $(USER_READY)  ## the figures of the README and of docs/log.md: hours
	$(BIN)/python benchmarks/figures.py

published: $(DEV_READY)  ## docs/published.md: what agrees with the official codes; needs the reference data
	set -e; account=$$(mktemp -d); HYBRIDGEN_PARITY=$$account $(BIN)/python -m pytest -q tests/parity; \
	$(BIN)/python tests/parity/page.py $$account

# The stamps make a second call instant; a change of versions installs again.
$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev,docs]'
	touch $(USER_READY) $@

$(USER_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): the first time this fetches PyTorch, several GB, and takes minutes."
	$(PIP) --editable .
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "hybridgen needs Python 3.11 or newer; this is %d.%d. Say which: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
