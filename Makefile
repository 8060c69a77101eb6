# Each target does its own set-up: Python 3.11 with pip (or venv) is all a fresh machine needs. What it fetches goes into
# .tools and .venv: nothing of the system's own Python is touched, which Debian and Ubuntu do not allow (PEP 668).
SHELL := /bin/bash
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
GET_UV = @$(UV) --version >/dev/null 2>&1 \
	|| python3 -m pip install --quiet --disable-pip-version-check --target .tools uv 2>/dev/null \
	|| { python3 -m venv .tools/env && .tools/env/bin/pip install --quiet --disable-pip-version-check uv \
	     && mkdir -p .tools/bin && ln -sf ../env/bin/uv .tools/bin/uv; } \
	|| { echo "uv cannot be fetched. Fix: apt install python3-venv (or pip), or https://docs.astral.sh/uv/"; exit 2; }
RUN := $(UV) run --no-sync
EXTRAS := --extra content --extra retrieval --extra lightgbm --extra tokenizers --extra local --extra redis --extra postgres --extra aws --extra otel --extra console --extra jwt --extra parquet
DATA ?=

.PHONY: loadtools setup demo test check audit sbom sign check-long clients bench rivals docs dist clean
.DEFAULT_GOAL := test

.venv/.ready: pyproject.toml uv.lock
	$(GET_UV)
	@$(UV) sync --quiet --frozen $(EXTRAS) --group servers --group bench --group weights
	@touch $@

setup: .venv/.ready

# Builds the wheel that `pipx install` and `uvx` take.
dist: .venv/.ready
	@$(UV) build --quiet --wheel --out-dir dist

.venv/.demo: pyproject.toml uv.lock
	$(GET_UV)
	@test -e .venv/.ready || $(UV) sync --quiet --frozen --inexact --no-default-groups --group demo
	@mkdir -p .venv && touch $@

# Ends with the reference application: on a terminal it serves its page until Ctrl-C, elsewhere it checks it.
demo: .venv/.demo
	@$(RUN) hapenny demo
	@$(RUN) mangaassist demo

# Two at once: most of a test's time is waiting for servers, and the halves of one file stay together.
test: setup
	@$(RUN) pytest -n 2 --dist worksteal

# The site, in strict mode: dead links and anchors fail.
docs: setup
	@$(RUN) zensical build --strict

# Hashes of the lock; known vulnerabilities where their database can be reached.
audit: setup
	@$(RUN) python .ci/audit.py

# The bill of materials (CycloneDX 1.5) of what is installed with all extras.
sbom:
	@mkdir -p build
	@$(UV) export --quiet --frozen --all-extras --no-default-groups --format cyclonedx1.5 -o build/hapenny.cdx.json
	@echo build/hapenny.cdx.json

# Signs a released image and the bill of materials, as cosign verifies them: make sign IMAGE=REPOSITORY@sha256:… KEY=FILE
sign: setup sbom
	@$(RUN) python .ci/sign.py --image "$(IMAGE)" --key "$(KEY)"

check: setup audit
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) lint-imports
	@$(RUN) zensical build --strict >/dev/null
	@for v in 3.11 3.12 3.13 3.14; do echo "mypy for Python $$v"; $(RUN) mypy --python-version $$v || exit 1; done

# Third-party clients for the long tests, each set in an environment of its own. Offline they are left out, and the tests
# that drive them say so.
clients:
	@for set in python pinned old; do \
	  $(UV) venv --quiet --allow-existing --python 3.11 .venv-clients/$$set \
	    && VIRTUAL_ENV=$(CURDIR)/.venv-clients/$$set $(UV) pip install --quiet -r tests/real_clients/$$set.txt \
	    || echo "not run: the clients of tests/real_clients/$$set.txt cannot be had from PyPI here"; \
	done
	@mkdir -p .venv-clients/node && cp tests/real_clients/package.json tests/real_clients/package-lock.json .venv-clients/node/ \
	  && (cd .venv-clients/node && npm ci --silent --no-audit --no-fund --ignore-scripts=false) \
	  || echo "not run: the clients of tests/real_clients/package.json cannot be had from npm here"

# Soak, long fuzz and all scenarios; then the tests once more on every other Python that is on this machine.
check-long: check clients
	@$(UV) sync --quiet --frozen --inexact $(EXTRAS) --group servers --group bench --group weights --group deploy
	@$(RUN) pytest --long --fault-minutes 60
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

# guidellm, aiperf and inference-perf, for tests/studies/loadtest/test_cross_check.py: each in an environment of its own, since they
# want different versions of the same libraries. inference-perf wants Python 3.12.
loadtools:
	@for tool in guidellm==0.8.1 aiperf==0.13.0 inference-perf==0.7.0; do \
	  place=.venv-loadtools/$${tool%%==*}; { UV_PYTHON_DOWNLOADS=never $(UV) venv --quiet --allow-existing --python 3.12 $$place 2>/dev/null \
	      || $(UV) venv --quiet --allow-existing $$place; } && VIRTUAL_ENV=$(CURDIR)/$$place $(UV) pip install --quiet $$tool \
	    || echo "not compared: $$tool cannot be had from PyPI here"; \
	done

rivals:
	@$(UV) venv --quiet --allow-existing .venv-rivals
	@VIRTUAL_ENV=$(CURDIR)/.venv-rivals $(UV) pip install --quiet -r benchmarks/rivals.txt
	@$(UV) venv --quiet --allow-existing --python 3.11 .venv-gateways
	@VIRTUAL_ENV=$(CURDIR)/.venv-gateways $(UV) pip install --quiet -r benchmarks/overhead/rivals.txt \
	  || echo "not measured: the gateways of benchmarks/overhead/rivals.txt cannot be had from PyPI here"
	@mkdir -p .venv-gateways/node && cd .venv-gateways/node \
	  && npm install --silent --no-audit --no-fund --ignore-scripts @portkey-ai/gateway@1.15.2 \
	  || echo "not measured: Portkey cannot be had from npm here"

clean:
	rm -rf .venv .venv-* .tools dist site .mypy_cache .ruff_cache
