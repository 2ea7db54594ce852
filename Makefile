# Two commands: `make run` shows the gateway at work, `make test` proves it. Both set up by themselves.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080
SANDBOX_PORT ?= 8090
JOBS ?= 3
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Decided without I/O, so every branch of them can be tested, and is.
PURE := bff/shape/*,bff/cache/keys.py,bff/cache/tags.py,bff/cache/secrets.py,bff/cache/entry.py,bff/cache/envelope.py,bff/cache/decide.py,bff/cache/endings.py,bff/cache/memory.py,bff/edge/conditional.py,bff/edge/compression.py,bff/edge/caching.py,bff/edge/headers_in.py,bff/edge/problems.py,bff/edge/target.py,bff/spaces.py,bff/limits.py,bff/hooks/verify.py,bff/hooks/events.py,bff/session/principal.py,bff/session/interpret.py,bff/session/wants.py,bff/session/reading.py,bff/session/judging.py,bff/resources.py,bff/nexudus/headers.py,bff/nexudus/answers.py,bff/nexudus/location.py,bff/nexudus/acceptance.py,bff/nexudus/breaker.py,bff/nexudus/retry.py,bff/nexudus/blame.py,bff/nexudus/budget/verdict.py,bff/nexudus/budget/windows.py,bff/nexudus/budget/strictness.py,bff/nexudus/budget/waiting.py,bff/nexudus/budget/book.py,bff/nexudus/budget/config.py,bff/nexudus/budget/ledger.py,bff/nexudus/budget/strangers.py,bff/nexudus/budget/reports.py,bff/nexudus/budget/tallies.py,bff/nexudus/budget/trial.py,bff/nexudus/budget/peers.py,bff/nexudus/budget/ledger_clock.py,bff/nexudus/budget/standing.py,bff/observe/trace_context.py,bff/observe/otel_numbers.py,bff/ops/fleet/minutes.py,bff/ops/summary/verdict.py,bff/ops/summary/processes.py,bff/ops/page/charts.py,bff/ops/page/drawing.py,bff/ops/explaining/outlook.py
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test check bench figures bench-micro soak simulate lock clean

help:  ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## Install into .venv, so that .venv/bin/bff is the command

setup-test: $(VENV)/.installed-test

run: setup  ## Gateway and simulated Nexudus; UPSTREAM=https://… for a real space, PORT=8080, SANDBOX_PORT=8090
	@exec $(BIN)/bff demo --port $(PORT) --sandbox-port $(SANDBOX_PORT) $(if $(UPSTREAM),--upstream $(UPSTREAM))

test: setup-test  ## The whole test suite, on a real redis-server of its own
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
		--cov=bff --cov-report=term --cov-fail-under=95 $(ARGS)
	@$(BIN)/coverage report --include="$(PURE)" --fail-under=100 --precision=2 > /dev/null || \
		{ $(BIN)/coverage report --include="$(PURE)" --precision=2; \
		echo "The pure modules must be covered to the last branch." >&2; exit 1; }

check: setup-test  ## Lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup-test  ## The gateway beside its peers, into docs/ (wants wrk, nginx, varnish, node; nine minutes); ROUNDS=5
	@$(BIN)/python -m tests.bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(addprefix --only ,$(ONLY))

figures: ONLY := sizes one memory start
figures: bench  ## Of the gateway alone: sizes, added latency, memory, start (a minute; wants wrk)

bench-micro: setup-test  ## Parts of a request in process: times, calls, instructions (the last want valgrind)
	@$(BIN)/python -m pytest tests/bench/micro -o python_files='micro_*.py' -o addopts= -q \
		--benchmark-columns=median,iqr,ops --benchmark-sort=name --benchmark-disable-gc $(ARGS)
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.bench.micro.instructions

soak: setup-test  ## Random faults under load, ten minutes; SOAK_S=60 SOAK_SEED=1
	@$(BIN)/python -m tests.soak

simulate: setup-test  ## Monday morning of 2,000 members in virtual time, into docs/ (minutes); SIM_MEMBERS=500
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulate

lock: setup-test  ## Pin all dependencies anew, with hashes
	@$(PIP) install pip-tools
	@$(BIN)/pip-compile -q $(LOCK_FLAGS) -o deploy/requirements.txt pyproject.toml
	@$(BIN)/pip-compile -q $(LOCK_FLAGS) --extra otel -c deploy/requirements.txt \
		-o deploy/requirements-otel.txt pyproject.toml
	@$(BIN)/pip-compile -q $(LOCK_FLAGS) --extra test --extra otel -c deploy/requirements.txt \
		-o tests/requirements.txt pyproject.toml

LOCK_FLAGS := --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	--no-header --allow-unsafe --strip-extras --build-deps-for editable

clean:  ## Remove everything that setup and tests made
	rm -rf $(VENV) build *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "bff needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: deploy/requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once) …"
	@$(PIP) install --require-hashes -r deploy/requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-test: tests/requirements.txt $(VENV)/.installed
	@echo "Installing what the tests need (once) …"
	@$(PIP) install --require-hashes -r tests/requirements.txt
	@touch $@
