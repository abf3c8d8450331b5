# The handful of verbs; CI calls the same ones.
VENV   := .venv
UV     := $(VENV)/bin/uv
RUN    := $(VENV)/bin
UV_VERSION := 0.13.9
# The first Python of a supported version, unless PYTHON= names one.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)

export BENTOML_DO_NOT_TRACK = True
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK = 1
export UV_PROJECT_ENVIRONMENT = $(VENV)
export UV_PYTHON_DOWNLOADS = never
export UV_LINK_MODE = copy

.PHONY: help install demo test prove check format bench serve clean
.DEFAULT_GOAL := install

$(UV):
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed; name one by make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# One stamp per set of dependencies, so that the demo installs only what it needs.
$(VENV)/.demo: $(UV) pyproject.toml uv.lock .ci/openmp.py
	@echo "installing into $(VENV), once; this takes a few minutes where nothing is cached"
	@$(UV) sync --frozen --quiet --inexact --python $(RUN)/python
	@$(RUN)/python .ci/openmp.py
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@$(UV) sync --frozen --quiet --inexact --python $(RUN)/python --group dev
	@touch $@

$(VENV)/.prove: $(VENV)/.dev
	@$(UV) sync --frozen --quiet --inexact --python $(RUN)/python --group dev --group peers --all-extras
	@touch $@

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(VENV)/.demo  ## everything the command line needs, into .venv

demo: $(VENV)/.demo  ## simulate a shop, train, serve, show answers; ONCE=1 stops there
	$(RUN)/regulars demo $(if $(ONCE),--once)

test: $(VENV)/.dev  ## the fast core of the tests
	$(RUN)/pytest -m "not prove" -n 2

prove: $(VENV)/.prove  ## what needs real servers, a JVM or patience
	$(RUN)/pytest -m prove

check: $(VENV)/.dev  ## format, lint, types
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

format: $(VENV)/.dev  ## put the code in its usual form
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: $(VENV)/.prove  ## the benchmark that needs no data of others
	$(RUN)/python -m benchmarks.features

serve: $(VENV)/.demo  ## answer from the champion release
	$(RUN)/regulars serve

clean:  ## forget what was installed and built; data/ and mlruns/ stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
