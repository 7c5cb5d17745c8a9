# Every target installs what it needs itself: Debian packages as root (else it names them), Python packages into .venv from the lock files.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
ROWS ?=
RUN_DEBS := python3-venv fonts-noto-cjk
DEV_DEBS := $(RUN_DEBS) systemd postgresql postfix nginx-light mosquitto mosquitto-clients tesseract-ocr tesseract-ocr-jpn libxml2-utils nftables iproute2 chromium-headless-shell
# Told to keep nothing that it compiled, Python would compile this tree in every process that a test starts: a second each.
unexport PYTHONDONTWRITEBYTECODE
# One more than there are cores, because many tests wait for other processes and for timers. In the order of the folders, so that
# the long ones of acceptance/ and browser/ come first: sorted by how many tests it has, a file with one long test would come last.
WORKERS := $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 4)))
# What is said while installing goes to stderr: stdout belongs to the program (make run ARGS="-o json").

.PHONY: run test check bench fuzz lock clean help
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: .stamps/run  ## the demo: one evacuation order through six media, on this machine alone (ARGS="--help" for more)
	@exec $(BIN)/todoke demo $(ARGS)

test: .stamps/dev  ## every test, a file to each worker (ARGS="-n 0 -k name" for one in this process)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: .stamps/dev  ## lint, types, import contracts, dependencies, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/codespell

bench: .stamps/dev  ## the promises, each a ratio to a baseline of the same run (ROWS=engine,mail ARGS="-o json")
	@$(BIN)/python -m tests.bench $(if $(ROWS),--rows $(ROWS)) $(ARGS)

fuzz: .stamps/dev  ## the API asked whatever its document allows, at length (ARGS="--help")
	@$(BIN)/python -m tests.fuzz $(ARGS)

lock: .stamps/dev  ## write the lock files anew (needs uv)
	uv pip compile --quiet --python-version 3.11 --no-emit-index-url --generate-hashes pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --python-version 3.11 --no-emit-index-url --generate-hashes pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean:  ## remove the environment and what was built
	rm -rf .venv .stamps out build *.egg-info

.stamps/run: requirements.lock pyproject.toml
	@.ci/debs $(RUN_DEBS) >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
	@mkdir -p .stamps && touch $@

.stamps/dev: requirements-dev.lock .stamps/run
	@.ci/debs $(DEV_DEBS) >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock >&2
	@touch $@
