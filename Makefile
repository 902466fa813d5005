# Everything a checkout can do. `make` alone is what a change must pass.
# Needs Python 3.11 or newer and make; the network only when the locks or pyproject.toml changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
FRAMEWORKS := .venv-frameworks
SUITES := .venv-suites

# Stamps, inside the virtual environment so that they go when it goes.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

# Packages of Node's registry, for the tests of its SDKs; without npm those are skipped.
NODE := $(if $(shell command -v npm),tests/contract/node/node_modules/.package-lock.json)
CODE = $(wildcard proxy tests bench)
PYTEST = $(BIN)/python -m pytest $(if $(T),-k '$(T)')
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
FUZZ_SECONDS ?= 20

# Recorded traffic of real providers, where it lies beside the checkout.
CASSETTES := $(wildcard ../shared/cassettes)
ifneq ($(CASSETTES),)
export LLM_PROXY_CASSETTES ?= $(abspath $(CASSETTES))
endif

.DEFAULT_GOAL := check
.NOTPARALLEL:
.PHONY: check format lint types floors test dev frameworks suites run bench fuzz fmt test-lowest lock clean

check: format lint types floors test ## what a change must pass: the five below, in this order

format: $(DEV)
	@echo '== format: ruff format --check'
	@$(BIN)/ruff format --check $(CODE)

lint: $(DEV)
	@echo '== lint: ruff check'
	@$(BIN)/ruff check $(CODE)

types: $(DEV)
	@echo '== types: mypy --strict'
	@$(BIN)/mypy $(CODE)

floors: $(DEV)
	@echo '== floors: import-linter'
	@$(BIN)/lint-imports --no-logo

test: $(DEV) $(NODE) ## T=EXPRESSION runs the tests that match it
	@echo '== tests: pytest'
	@$(PYTEST)

dev: $(DEV) $(NODE) ## set up everything that the other targets need

run: $(RUNTIME) ## ARGS='-c FILE …' go to `llm-proxy serve`
	@$(BIN)/llm-proxy serve $(ARGS)

frameworks: $(FRAMEWORKS)/.installed ## what the tests of other people's libraries need: 400 MB

suites: $(SUITES)/.installed ## the SDKs' own test suites, for tests that run them through the proxy

bench: $(DEV) ## FULL=1 for the long one
	@$(BIN)/python -m bench $(if $(FULL),--full)

fuzz: $(DEV) ## FUZZ_SECONDS=N for each decoder, by chance and guided by coverage
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) tests/fuzz/test_decoders.py --hypothesis-profile=fuzz --timeout=0
	@$(BIN)/python -m tests.fuzz.guided --each --seconds $(FUZZ_SECONDS)

fmt: $(DEV) ## mend what ruff can mend
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

# What other programs see of the proxy, whatever versions it has: a minute that is spent once.
WHATEVER = tests/contract/test_suites.py tests/contract/test_frameworks.py tests/contract/test_node.py \
	tests/fuzz/test_guided.py tests/e2e/test_bench.py

test-lowest: $(LOWEST)/.installed ## the tests, with the oldest dependencies that pyproject.toml allows
	@echo '== tests with the lowest versions: pytest'
	@$(LOWEST)/bin/python -m pytest $(addprefix --ignore=,$(WHATEVER)) $(if $(T),-k '$(T)')

lock: $(if $(wildcard $(BIN)/uv),,$(DEV)) ## after a change of dependencies; UPGRADE=1 for newer versions
	@$(COMPILE) --output-file requirements.lock
	@$(COMPILE) --extra dev --extra bench --constraints requirements.lock --output-file requirements-dev.lock

clean: ## remove all that is made here, the virtual environments too
	rm -rf $(VENV) $(LOWEST) $(FRAMEWORKS) $(SUITES) build dist bench/build *.egg-info tests/contract/node/node_modules
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The build backend is locked with the rest (it installs the package itself), from its only home.
BUILD_REQUIRES = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
COMPILE = $(BIN)/python -c '$(BUILD_REQUIRES)' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) pyproject.toml -

INSTALL_SELF = $(PIP) --no-deps --no-build-isolation --editable .

# A virtual environment that did not come to its end (Debian without python3-venv) does not stay.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llm-proxy needs Python 3.11 or newer; make PYTHON=python3.X names another one")'
	@echo '== setting up $(VENV)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	@echo '== installing what the proxy needs'
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(INSTALL_SELF)
	@touch $@

tests/contract/node/node_modules/.package-lock.json: tests/contract/node/package-lock.json
	@echo '== installing the SDKs for Node'
	@npm ci --silent --no-audit --no-fund --prefix tests/contract/node
	@touch $@

# Whoever has this has the runtime too: its lock holds the same versions and more.
$(DEV): requirements-dev.lock requirements.lock pyproject.toml | $(BIN)/python
	@echo '== installing what development needs'
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@$(INSTALL_SELF)
	@touch $(RUNTIME) $@

$(SUITES)/.installed: tests/contract/suites/requirements.txt
	@echo '== setting up $(SUITES)'
	@$(PYTHON) -m venv --clear $(SUITES)
	@$(SUITES)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@$(SUITES)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
		--no-binary openai,anthropic --dest $(SUITES)/src $$(sed -n 's/\[aiohttp\]//p' $<)
	@for suite in $(SUITES)/src/*.tar.gz; do tar -xzf $$suite -C $(SUITES)/src; done
	@touch $@

$(FRAMEWORKS)/.installed: tests/contract/frameworks/requirements.txt
	@echo '== setting up $(FRAMEWORKS)'
	@$(PYTHON) -m venv --clear $(FRAMEWORKS)
	@$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(LOWEST)/.installed: pyproject.toml | $(DEV)
	@echo '== setting up $(LOWEST)'
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	@$(BIN)/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct --editable '.[bench,dev]'
	@touch $@
