# Everything a newcomer needs. `make` alone lists the targets.
PY ?= python3
UV_VERSION := 0.13.9
TOOLS := .venv-tools
UV := $(TOOLS)/bin/uv
BIN := .venv/bin
STAMP := .venv/.slipway-installed
PYTEST_ARGS ?=
FAULT ?=
KILL ?=

# Every workflow run imports its modules anew (Temporal's sandbox): without bytecode it compiles them.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup build stack down demo lint check test bench bench-judgement clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install the locked dependencies into .venv

$(UV):
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed: make PY=/path/to/python3.11"; exit 1; }
	@$(PY) -m pip --version >/dev/null || \
		{ echo "error: pip is needed for $(PY): install it (Debian: python3-pip)"; exit 1; }
	PIP_ROOT_USER_ACTION=ignore $(PY) -m pip install --quiet --disable-pip-version-check --upgrade \
		--target $(TOOLS) uv==$(UV_VERSION)

# The editable install makes .venv/bin/slipway; its build backend is in the lock as well.
$(STAMP): requirements.lock pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PY))" .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	@touch $@

build: setup ## find or build the real servers (about 17 minutes the first time)
	@$(BIN)/python -m devstack build --quiet

stack: setup ## start the local stack and leave it up
	@$(BIN)/python -m devstack up

down: setup ## stop the local stack, keep its data
	@$(BIN)/python -m devstack down

demo: setup ## carry the example release to production; FAULT=service:fault or KILL=seed disturb it
	@$(BIN)/python -m devstack.demo $(if $(FAULT),--fault $(FAULT)) $(if $(KILL),--kill $(KILL))

lint: setup ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## the same and the unit tests: about two minutes, no server
	$(BIN)/pytest -q tests/unit $(PYTEST_ARGS)

# A file's tests stay together: they share what is costly to make. Two processes for two cores; files
# run in the order of tests/conftest.py.
test: setup ## all tests, on the local stack
	@$(BIN)/python -m devstack build --quiet --for-tests
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bench: setup build ## the numbers of the README, measured here
	$(BIN)/python -m benchmarks

# No server. Resumes where it was stopped; QUICK=1 simulates fewer runs and says so.
bench-judgement: setup ## the detector on simulated deployments, beside what others do (20 minutes)
	$(BIN)/python -m benchmarks.judgement $(if $(QUICK),--quick) $(if $(QUICK),,--json benchmarks/results/judgement.json)

clean: ## stop the stack, delete its data and what tools have cached
	@if test -x $(BIN)/python; then $(BIN)/python -m devstack down --all; fi
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .bench
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "The built servers stay in $${XDG_CACHE_HOME:-$$HOME/.cache}/slipway, Go's own caches are"
	@echo "dropped by: go clean -cache -modcache"
