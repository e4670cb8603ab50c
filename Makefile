# `make` alone lists the targets. Each of them sets up what it needs first; that takes a second when all is there.
PYTHON_BIN := .venv/bin/python
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench run lock stubs dashboards docs screenshots clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup:  ## .venv, and on Debian as root the packages for the tests
	@PYTHON="$(PYTHON)" tools/setup

demo: setup  ## build the example three times on a real engine and show the profiles
	@$(PYTHON_BIN) -m examples.demo

test: setup  ## all tests, on real engines too (ARGS="-k name" for some)
	@$(PYTHON_BIN) -m tests.engines.rootfs
	$(PYTHON_BIN) -m pytest $(ARGS)

check: setup  ## ruff, mypy, import-linter; seconds
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup  ## all benchmarks, one after another (one of them: make bench-NAME)
	@$(PYTHON_BIN) tools/bench.py

bench-%: setup
	@$(PYTHON_BIN) tools/bench.py $*

run: setup  ## the agent on this machine's engine, in the foreground (ARGS="--listen …")
	@exec .venv/bin/buildprof agent $(ARGS)

lock: setup  ## requirements/*.txt from pyproject.toml, with hashes
	@tools/lock

stubs: setup  ## the Python modules of buildprof/sources/buildkit/wire from their .proto files
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(PYTHON_BIN) -m grpc_tools.protoc -I . --python_out=. --mypy_out=. \
	  --grpclib_python_out=. buildprof/sources/buildkit/wire/*.proto

dashboards: setup  ## grafana/dashboards/*.json from their source
	@$(PYTHON_BIN) -m grafana

docs: setup  ## docs/metrics.md from the catalog
	@$(PYTHON_BIN) tools/metrics_page.py

screenshots: setup  ## the README's pictures of the pages, from real builds
	@$(PYTHON_BIN) tools/screenshots.py

clean:  ## what was made in the checkout; engines stay in ~/.cache/buildprof
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
