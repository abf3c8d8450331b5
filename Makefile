# The handful of verbs; CI calls the same ones.
PYTHON ?= python3
VENV   := .venv
UV     := $(VENV)/bin/uv
RUN    := $(VENV)/bin
UV_VERSION := 0.13.9

export BENTOML_DO_NOT_TRACK = True
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK = 1
export UV_PROJECT_ENVIRONMENT = $(VENV)
export UV_PYTHON_DOWNLOADS = never
export UV_LINK_MODE = copy

.PHONY: install demo test prove check format bench serve clean
.DEFAULT_GOAL := install

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# One stamp per set of dependencies, so that the demo installs only what it needs.
$(VENV)/.demo: $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen --quiet --inexact --python $(RUN)/python
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(UV) sync --frozen --quiet --inexact --python $(RUN)/python --group dev
	@touch $@

$(VENV)/.prove: $(VENV)/.dev
	$(UV) sync --frozen --quiet --inexact --python $(RUN)/python --group dev --group peers --all-extras
	@touch $@

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

format: $(VENV)/.dev
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: $(VENV)/.prove  ## the benchmarks that need no data of others
	$(RUN)/python -m benchmarks.features
	$(RUN)/python -m benchmarks.serving

serve: $(VENV)/.demo
	$(RUN)/regulars serve

clean:
	rm -rf $(VENV) build dist *.egg-info
