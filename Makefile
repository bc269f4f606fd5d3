# make serve   set everything up and serve the two agents on the embedded model
# make test    set everything up and run every test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
PACKAGES := -e . $(foreach plugin,$(PLUGINS),-e $(dir $(plugin)))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary --constraint constraints.txt
# The wheel holds a whole server for tests; the client's 90 packages, which it names as needed, are not.
SERVERS := chromadb
SOURCES := agno_rt plugins tests benchmarks examples $(wildcard docs/*.py) release.py
PORT ?= 7777
# What builds an image, its name, and the plugins in it, which examples/deploy/requirements.txt names.
BUILDER ?= docker build
TAG ?= agents
SERVED := agno-rt-serve agno-rt-postgres
# Many tests wait for other processes, so that one more than there are cores keeps the cores busy.
JOBS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))
# The files with few tests have the slow ones: they begin in the order of the folders, and so not last.
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
SLOW := compare contract_faults dashboard history load killed peers performance_page *everywhere *_sdk session_schedules \
	sqlite_faults testing_injection testing_plugin typing
# What starts no other program but Python's own.
QUICK := tests --ignore tests/cli --ignore tests/e2e $(SLOW:%=--ignore-glob '*/test_%.py')
# The Pythons that `make test-other` runs the tests on, besides the one that everything else takes.
OTHERS ?= 3.12 3.13
# They take what Pythons differ in: types, frames, asyncio, SQLite and its drivers, schedules of tasks. WHOLE=1 takes every
# quick test instead, on each.
BETWEEN := tests/schema tests/from_asyncio tests/watch tests/defaults tests/drive tests/workflows \
	$(SLOW:%=--ignore-glob '*/test_%.py')
# A shim of pyenv is on the PATH even where its Python is not in use, so that each is tried.
find_python = $(shell for python in python$(1) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(1).*/bin/python$(1); do \
	"$$python" -c '' 2>/dev/null && { echo "$$python"; break; }; done)
SCRIPTS := .asv/scripts/.fetched
COMPARE := $(patsubst benchmarks/compare/requirements-%.txt,.asv/compare/%/.installed,$(wildcard benchmarks/compare/requirements-*.txt))
CLIENTS := .asv/clients/.installed
SCRIPTED := plugins/agno-rt-serve/tests/standards/clients/package.json
PEERS := $(patsubst benchmarks/peers/requirements-%.txt,.asv/peers/%/.installed,$(wildcard benchmarks/peers/requirements-*.txt))

.PHONY: help install dev environments serve test test-other test-here test-between check lint format types bench bench-quick bench-history bench-keep dashboard draw docs clean
.PHONY: performance gate bench-compare peers compare clients release image

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## a virtual environment with the kernel and every plugin here

dev: $(VENV)/.dev  ## the same, with what working on agno_rt takes

# pip works on one core, so that two at a time take half as long: make -j2 environments.
environments: dev $(CLIENTS) $(OTHERS:%=environment-%)  ## every environment that the tests take

serve: install  ## serve the agents of agno-rt.toml, or the two that ship, at http://127.0.0.1:7777
	$(BIN)/agno-rt llamacpp pull
	$(BIN)/agno-rt serve --port $(PORT)

# Without npm the tests of the dashboard's graphs are skipped, which they say.
test: dev $(CLIENTS)  ## every test, in several processes: JOBS=3 ARGS="tests/drive/test_run.py -x"
	$(BIN)/agno-rt llamacpp pull
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(SCRIPTS); fi
	$(PYTEST) $(ARGS)

# Each has an environment of its own, .venv-3.12 and so on, so that it neither waits for the others nor disturbs them.
test-other: $(OTHERS:%=test-%)  ## the tests of what Pythons differ in, on 3.12 and 3.13: OTHERS=3.13 WHOLE=1

$(OTHERS:%=environment-%): environment-%:
	@python='$(call find_python,$*)'; if [ -n "$$python" ]; then \
		$(MAKE) --no-print-directory .venv-$*/.test PYTHON="$$python" VENV=.venv-$*; fi

$(OTHERS:%=test-%): test-%:
	@python='$(call find_python,$*)'; if [ -n "$$python" ]; then \
		$(MAKE) --no-print-directory $(if $(WHOLE),test-here,test-between) PYTHON="$$python" VENV=.venv-$*; \
	else \
		echo "Python $* is not here: put python$* on the PATH, or run: pyenv install $*"; [ -z "$$CI" ]; \
	fi

# What is tried in a browser, the text of the code, and the docs, which need Sphinx, do not differ by Python.
test-here: $(VENV)/.test
	@$(BIN)/python --version
	$(PYTEST) --quiet $(QUICK) --ignore tests/performance \
		--ignore tests/test_docs.py --ignore tests/test_house.py --ignore tests/test_prose.py \
		plugins --ignore plugins/agno-rt-serve/tests/page \
		--ignore-glob '*/test_serve_doors.py' --ignore-glob '*/test_serve_profiling.py' $(ARGS)

test-between: $(VENV)/.test
	@$(BIN)/python --version
	$(PYTEST) --quiet $(BETWEEN) $(ARGS)

# The tests that start no other program but Python's own, and the checks that read files alone.
check: dev  ## what takes a minute: format, lint, types of the kernel, the quick tests
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/mypy
	$(PYTEST) --quiet $(QUICK)

lint: dev types  ## format, lint and types, without changing anything
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: dev
	$(BIN)/mypy
	for plugin in $(PLUGINS); do $(BIN)/mypy $$(dirname $$plugin) || exit 1; done

format: dev  ## put the code in form
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: dev  ## every benchmark, on this commit: BENCH=regex
	$(BIN)/asv machine --yes
	$(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash $$(git rev-parse HEAD) \
		$(if $(BENCH),--bench '$(BENCH)')

# Sizes up to a thousand, and a round of each.
bench-quick: dev  ## every benchmark once, to see that it runs
	$(BIN)/asv machine --yes
	BENCH_QUICK=1 $(BIN)/asv run --quick --show-stderr --environment existing:$(BIN)/python --dry-run

gate: dev  ## hold the exact counts to benchmarks/baseline.toml; RECORD="why" writes it
	$(BIN)/python -m benchmarks.gate $(if $(RECORD),--record '$(RECORD)')

# Below 1.25 noise passes for change, even in rounds that take turns on a machine where little else runs; smaller growth is
# the gate's to find, in counts that have no noise. Runs a second are left out: asv takes more for worse.
bench-compare: dev  ## times of this commit against another's, in turns: BASE=commit BENCH=regex
	@test -n '$(BASE)' || { echo "name the commit to compare with: make bench-compare BASE=HEAD^"; exit 1; }
	$(BIN)/asv machine --yes
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/asv continuous --interleave-rounds --attribute rounds=4 --factor 1.25 \
		--show-stderr --bench '$(or $(BENCH),^(?!.*_a_second))' $$(git rev-parse '$(BASE)') $$(git rev-parse HEAD)

bench-history: dev  ## commits and tags that are not measured yet: COMMITS=10 BENCH=regex MACHINE=local RETRY=1
	$(BIN)/python -m benchmarks.history $(if $(COMMITS),--commits $(COMMITS)) $(if $(BENCH),--bench '$(BENCH)') \
		$(if $(MACHINE),--machine '$(MACHINE)') $(if $(RETRY),--retry)

bench-keep: dev  ## take what the reference machine measured into benchmarks/results: MACHINE=reference
	$(BIN)/python -m benchmarks.keep $(if $(MACHINE),--machine '$(MACHINE)')

dashboard: dev $(SCRIPTS)  ## publish what was measured and serve it at http://127.0.0.1:7778: PORT=7778
	$(BIN)/python -m benchmarks.dashboard $(if $(filter-out file,$(origin PORT)),--port $(PORT))

performance: dev  ## measure what the performance pages tell, on this commit, and write their tables: ARGS=--no-run
	$(BIN)/python -m benchmarks.page $(ARGS)

# Each peer has an environment of its own. Agno-Go is measured by a program that its user built: AGNO_GO names it.
peers: dev $(PEERS)  ## measure peers side by side, and write their table: AGNO_GO=program ARGS="--rows run --rounds 3"
	$(BIN)/python -m benchmarks.peers.drive $(if $(AGNO_GO),--agno-go '$(AGNO_GO)') $(ARGS)

clients: $(CLIENTS)  ## the clients of other frameworks, which the tests of agno-rt serve try

compare: dev $(COMPARE)  ## cancel, kill and approve in each framework, and write what happened into docs/comparison.md: ARGS=--no-run
	$(BIN)/python -m benchmarks.compare.drive $(ARGS)

draw: dev  ## draw the tables and the picture of docs/concepts/architecture.md from the code
	$(BIN)/python -m docs.draw_architecture
	$(BIN)/python -m docs.draw_routes

docs: draw  ## build the documentation into docs/_build
	$(BIN)/sphinx-build --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "The documentation is in docs/_build/index.html."

# No address of a repository is written in this one: what is published gets it here.
release: dev  ## build every wheel and sdist for an index into dist/: URL=https://HOST/OWNER/NAME ARGS="--docs https://..."
	@test -n '$(URL)' || { echo "say where the repository lies: make release URL=https://HOST/OWNER/NAME"; exit 1; }
	$(BIN)/python release.py --url '$(URL)' $(ARGS)

# A folder of its own: the build sees the files of the example and the wheels, and nothing else.
image: install  ## an image of examples/deploy: BUILDER="buildah bud --format docker" TAG=agents ARGS="--build-arg PYTHON=..."
	rm -rf build/image
	mkdir -p build
	cp -R examples/deploy build/image
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/image/wheels . $(SERVED:%=./plugins/%)
	$(BUILDER) --tag $(TAG) $(ARGS) build/image

clean:  ## remove the virtual environments and what was built
	rm -rf $(VENV) $(OTHERS:%=.venv-%) docs/_build .asv build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "agno_rt needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt $(PLUGINS)
	@echo "Installing agno_rt, its plugins and what they need into $(VENV): some 40 packages, a minute at most."
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation $(PACKAGES)
	@touch $@

.asv/peers/%/.installed: benchmarks/peers/requirements-%.txt
	$(PYTHON) -m venv .asv/peers/$*
	.asv/peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	@touch $@

.asv/compare/%/.installed: benchmarks/compare/requirements-%.txt
	$(PYTHON) -m venv .asv/compare/$*
	.asv/compare/$*/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	@touch $@

.asv/clients/.installed: requirements-clients.txt $(SCRIPTED)
	@echo "Installing the clients that agno-rt serve is tried with into .asv/clients: some 100 packages."
	$(PYTHON) -m venv .asv/clients
	.asv/clients/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	@cp $(SCRIPTED) .asv/clients/package.json
	@if command -v npm >/dev/null; then \
		npm install --prefix .asv/clients --silent --no-audit --no-fund --no-package-lock; fi
	@touch $@

$(SCRIPTS): benchmarks/site/scripts.py | $(VENV)/.dev
	$(BIN)/python -m benchmarks.site.scripts
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "Installing what working on agno_rt takes: some 60 packages more."
	$(PIP) --requirement requirements-dev.txt
	$(PIP) --no-deps $(SERVERS)
	@touch $@

$(VENV)/.test: $(VENV)/.installed requirements-test.txt
	@echo "Installing what the tests take into $(VENV): some 20 packages more."
	$(PIP) --requirement requirements-test.txt
	$(PIP) --no-deps $(SERVERS)
	@touch $@
