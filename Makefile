# make serve   set everything up and serve the two agents on the embedded model
# make test    set everything up and run every test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
PACKAGES := -e . $(foreach plugin,$(PLUGINS),-e $(dir $(plugin)))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary --constraint constraints.txt
SOURCES := agno_rt plugins tests benchmarks examples
PORT ?= 7777

.PHONY: help install dev serve test lint format types bench bench-quick docs clean

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## a virtual environment with the kernel and every plugin here

dev: $(VENV)/.dev  ## the same, with what working on agno_rt takes

serve: install  ## serve the agents of agno-rt.toml, or the two that ship, at http://127.0.0.1:7777
	$(BIN)/agno-rt llamacpp pull
	$(BIN)/agno-rt serve --port $(PORT)

test: dev  ## every test
	$(BIN)/agno-rt llamacpp pull
	$(BIN)/python -m pytest $(ARGS)

lint: dev types  ## format, lint and types, without changing anything
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: dev
	$(BIN)/mypy
	for plugin in $(PLUGINS); do $(BIN)/mypy $$(dirname $$plugin) || exit 1; done

format: dev  ## put the code in form
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: dev  ## every benchmark, on this commit
	$(BIN)/asv machine --yes
	$(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash $$(git rev-parse HEAD)

bench-quick: dev  ## every benchmark once, to see that it runs
	$(BIN)/asv machine --yes
	$(BIN)/asv run --quick --show-stderr --environment existing:$(BIN)/python --dry-run

docs: dev  ## build the documentation into docs/_build
	$(BIN)/sphinx-build --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build

clean:  ## remove the virtual environment and what was built
	rm -rf $(VENV) docs/_build .asv build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "agno_rt needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt $(PLUGINS)
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation $(PACKAGES)
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --requirement requirements-dev.txt
	@touch $@
