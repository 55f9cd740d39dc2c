# Ordinaut. `make` lists the targets. Needs Python 3.11 or newer and make; everything else comes from the lock files.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
.SHELLFLAGS := -ec

VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
ARGS ?=
IN_VENV := $(VENV)/bin/python
PIP := $(IN_VENV) -m pip --disable-pip-version-check

# A stamp's name is a digest of what was installed, so that neither a checkout's file times nor a second start
# reinstalls anything. The development set holds the embedded one: `up` after `test` is served by it.
digest = $(shell cat $(1) pyproject.toml | cksum | tr ' ' '-')
DEV := $(VENV)/.dev-$(call digest,requirements-dev.txt)
UP := $(or $(wildcard $(DEV)),$(VENV)/.embedded-$(call digest,requirements-embedded.txt))

define install
@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it by make PYTHON=..." >&2; exit 1; }
@test -x $(IN_VENV) || { echo "Creating $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
@echo "Installing $(1) ..."
@$(PIP) install --quiet --require-hashes -r $(1)
@$(PIP) install --quiet --no-deps --no-build-isolation -e .
@rm -f $(VENV)/.dev-* $(VENV)/.embedded-* && touch $@
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(DEV): ; $(call install,requirements-dev.txt)
$(VENV)/.embedded-%: ; $(call install,requirements-embedded.txt)

# One plain command, so that make starts it directly and its SIGTERM reaches `up` itself.
.PHONY: up
up: $(UP) ## start everything on this machine: make up ARGS='--port 8911'
	@$(IN_VENV) manage.py up --stop-with-parent $(ARGS)

# Three at a time on two cores: tests of real processes wait for a part of their time, and their files are spread among
# those that compute (tests/ordering.py). Four at a time end no sooner.
PYTEST := $(IN_VENV) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(DEV) ## run the tests on embedded servers: make test ARGS='tests/unit -k cron'
	@$(PYTEST) $(ARGS)

# The plans of the hot statements, and what decides races, on another PostgreSQL than the embedded one.
.PHONY: test-older
test-older: $(DEV) ## test plans and races on an older PostgreSQL: make test-older POSTGRES_BIN=/usr/lib/postgresql/15/bin
	@test -x "$(POSTGRES_BIN)/initdb" || { echo "Name the folder of its initdb by POSTGRES_BIN=..." >&2; exit 1; }
	@ORDINAUT_TEST_POSTGRES_BIN="$(POSTGRES_BIN)" $(PYTEST) \
		tests/perf tests/races tests/db/workers tests/db/clock $(ARGS)

# Checks: each can be run alone; `make -k check` runs on after a failure.

CHECKS := check-lint check-format check-types check-imports check-migrations check-deploy check-schema \
	check-security check-locks check-docker

.PHONY: check $(CHECKS)
check: $(CHECKS) ## lint, types, import contracts, migrations, deployment, API schema, security, locks, image
	@echo "All checks passed."

check-lint: $(DEV)
	@$(IN_VENV) -m ruff check .

check-format: $(DEV)
	@$(IN_VENV) -m ruff format --check .

check-types: $(DEV)
	@$(IN_VENV) -m mypy

check-imports: $(DEV)
	@$(VENV)/bin/lint-imports --no-logo

# No database is asked: the variables of a running `up` must not leak in.
check-migrations: $(DEV)
	@DATABASE_URL= REDIS_URL= ORDINAUT_STATE_DIR=/nonexistent \
		$(IN_VENV) manage.py makemigrations --check --dry-run

check-deploy: $(DEV)
	@DATABASE_URL=postgresql://nobody@localhost/none REDIS_URL=redis://localhost ORDINAUT_ENV=production \
		ORDINAUT_ALLOWED_HOSTS=ordinaut.example ORDINAUT_SSL_REDIRECT=1 ORDINAUT_BEHIND_PROXY=1 \
		ORDINAUT_SECRET_KEY="$$($(IN_VENV) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		$(IN_VENV) manage.py check --deploy --fail-level WARNING

SCHEMA := docs/reference/openapi.yaml
check-schema: $(DEV)
	@test ! -f $(SCHEMA) || { \
		DATABASE_URL= ORDINAUT_STATE_DIR=/nonexistent $(IN_VENV) manage.py spectacular --validate --fail-on-warn \
			| diff -u $(SCHEMA) - || { echo "$(SCHEMA) is stale: run make schema" >&2; exit 1; }; }

.PHONY: schema
schema: $(DEV) ## write the API's schema to docs/reference/openapi.yaml
	@DATABASE_URL= ORDINAUT_STATE_DIR=/nonexistent \
		$(IN_VENV) manage.py spectacular --validate --fail-on-warn --file $(SCHEMA)

# Findings of low severity are ruff's, which asks for a reason beside the line (rules S).
check-security: $(DEV)
	@$(IN_VENV) -m bandit --quiet --severity-level medium --recursive --configfile pyproject.toml manage.py ordinaut_project scheduling pipelines workers

check-locks: $(DEV)
	@$(IN_VENV) -m tests.architecture.lock_files

check-docker: $(DEV)
	@if test -x $(VENV)/bin/hadolint; then $(VENV)/bin/hadolint --config deploy/hadolint.yaml Dockerfile; \
		else echo "hadolint has no wheel for this machine: Dockerfile not linted"; fi

.PHONY: lock
lock: $(DEV) ## resolve the dependencies anew and write the hashed lock files
	@compile() { $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' $(ARGS) pyproject.toml "$$@"; }; \
	compile --all-extras -o requirements-dev.txt; \
	compile --extra embedded -c requirements-dev.txt -o requirements-embedded.txt; \
	compile -c requirements-dev.txt -o requirements.txt; \
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' benchmarks/peers/requirements.in -o benchmarks/peers/requirements.txt

.PHONY: bench
bench: $(DEV) ## run the benchmarks: make bench ARGS='--list'
	@$(IN_VENV) -m benchmarks $(ARGS)

.PHONY: bench-peers
bench-peers: $(DEV) ## install the peers that make bench ARGS=throughput measures beside ours, in .venv-peers
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		-r benchmarks/peers/requirements.txt

.PHONY: torture
torture: $(DEV) ## throw faults at everything under load: make torture ARGS='--minutes 60 --seed 7'
	@$(IN_VENV) -m tests.torture $(ARGS)

.PHONY: docs
docs: $(DEV) ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(IN_VENV) -m mkdocs build --strict $(ARGS)

.PHONY: clean
clean: ## remove everything that make can make again; keeps .ordinaut
	@rm -rf $(VENV) .venv-peers site dist static-build build-reports .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the Dockerfile runs, one target a RUN line; CI runs the same on its own machine.

IMAGE_VENV ?= /opt/venv

.PHONY: image-deps
image-deps:
	@$(PYTHON) -m venv $(IMAGE_VENV)
	@$(IMAGE_VENV)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
		-r requirements.txt

.PHONY: image-project
image-project:
	@$(IMAGE_VENV)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps \
		--no-build-isolation -e .

# The folder must be there first: settings take the manifest storage where it is.
.PHONY: image-static
image-static:
	@mkdir -p static-build
	@DATABASE_URL= ORDINAUT_STATE_DIR=/nonexistent $(IMAGE_VENV)/bin/python manage.py collectstatic --noinput --verbosity 0
