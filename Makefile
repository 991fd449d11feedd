# The one door to this repository. `make help` lists what is behind it.
#
# Python 3.11 or newer with pip, and make, are enough: the first target that needs the
# environment creates .venv and installs exactly what the lock files name, by hash.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# What checks deploy/ is large and shares nothing with the product, so it has an environment of its own.
DEPLOY_VENV := .venv-deploy
DEPLOY_INSTALLED := $(DEPLOY_VENV)/.installed

IMAGE ?= monohull
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/monohull/__init__.py)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# Name another interpreter with `make run PYTHON=/opt/python/bin/python3`.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo $$candidate; break; fi; done)

WORKERS ?= 2

# Each takes a stretch of the suite, so that tests which share an application meet it in one of them,
# and who is done first takes half of what is left to the others.
SHARED_OUT := -n $(WORKERS) --dist worksteal

# Tests start hundreds of processes; without its cache each of them would compile all of the source first.
unexport PYTHONDONTWRITEBYTECODE

# Measured by instrumented bytecode: tracing every line of every library costs more than the tests themselves.
COVERED := $(BIN)/python -m slipcover --json --out .coverage.json -m pytest -p tests.coverage
COVERAGE := $(BIN)/python -m slipcover --skip-covered --fail-under 90 --merge .coverage.json --out .coverage.json

# A folder that was moved or copied holds an environment that points to the old place.
$(shell test "$$(cat $(INSTALLED) 2>/dev/null)" = "$(CURDIR)" || rm -f $(INSTALLED))
$(shell test "$$(cat $(DEPLOY_INSTALLED) 2>/dev/null)" = "$(CURDIR)" || rm -f $(DEPLOY_INSTALLED))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile

.PHONY: install
install: $(INSTALLED) ## create .venv with the locked dependencies

.PHONY: run
run: $(INSTALLED) ## start everything with the example project storefront
	@exec $(BIN)/monohull up --example storefront $(ARGS)

.PHONY: worker
worker: $(INSTALLED) ## start one more job worker
	@exec $(BIN)/monohull worker $(ARGS)

.PHONY: migrate
migrate: $(INSTALLED) ## bring the configured database up to date
	@exec $(BIN)/monohull migrate $(ARGS)

.PHONY: revision
revision: $(INSTALLED) ## begin the next revision of the platform schema (TITLE="...")
	@$(BIN)/python -m tools.revision "$(TITLE)"

.PHONY: check
check: lint ## all of lint, and the tests of architecture, docs and deploy/
	$(BIN)/python -m pytest -q $(SHARED_OUT) tests/architecture tests/docs tests/deploy -m "not slow"

.PHONY: lint
lint: $(INSTALLED) ## format, ruff, types, import contracts, generated docs, file lengths
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.generate_reference --check
	$(BIN)/python -m tools.deploy.write --check
	$(BIN)/python -m tools.security.asvs --check
	$(BIN)/python -m tools.security.rules
	$(BIN)/python -m tools.check_lengths
	@$(MAKE) --no-print-directory observability-check

.PHONY: observability-check
observability-check: $(INSTALLED) ## alert rules and dashboards are current; promtool accepts and tests the rules
	$(BIN)/python -m tools.observability --check
	@if command -v promtool >/dev/null; then \
		cd deploy/observability/prometheus && promtool check rules rules.yml && promtool test rules tests/*.yml; \
	else \
		echo "promtool is not installed, so the alert rules were not tested (on Debian: apt-get install prometheus)"; \
	fi

.PHONY: test
test: $(INSTALLED) ## the whole suite on embedded PostgreSQL and Redis, with branch coverage
	@$(COVERED) $(SHARED_OUT) -m "not slow or crash" $(ARGS)
	@$(COVERAGE)

.PHONY: test-all
test-all: $(INSTALLED) ## fetch PostgreSQL 14, 16 and 17 first, so that nothing is skipped for lack of them
	-$(BIN)/python -m tools.postgres_majors
	@$(COVERED) $(SHARED_OUT) $(ARGS)
	@$(COVERAGE)

.PHONY: clients
clients: $(INSTALLED) ## install the official clients that tests/clients drives; without them it skips
	-cd tests/clients/javascript && npm ci --omit=dev --no-audit --no-fund --loglevel=error
	-cd tests/clients/descriptions && npm ci --no-audit --no-fund --loglevel=error
	-$(BIN)/python -m venv tests/clients/python/.venv && \
		tests/clients/python/.venv/bin/python -m pip install -q --disable-pip-version-check \
		-r tests/clients/python/requirements.txt

.PHONY: brokers
brokers: ## install RabbitMQ, NATS and Memcached (Debian, as root) for the tests that want them; without them those skip
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends rabbitmq-server nats-server memcached

.PHONY: contract
contract: $(INSTALLED) ## the wire tables, and the conformance cases when they lie beside (CASES=file, PG=15)
	@exec $(BIN)/python -m tools.contract $(if $(CASES),--cases $(CASES)) $(if $(PG),--pg $(PG)) $(ARGS)

.PHONY: load
load: $(INSTALLED) ## the workloads of tests/load beside pgbench: a table, load.json, compared with the baseline; OF=jobs, webhooks, storm, …: another of its programs
	@exec $(BIN)/python -m tests.load.$(or $(OF),run) $(ARGS)

.PHONY: install-deploy
install-deploy: $(DEPLOY_INSTALLED) ## install what checks deploy/ and the pipelines (450 MB)

.PHONY: image
image: $(INSTALLED) ## build the image (IMAGE=name); without a container engine, do as image-check
	@if docker version >/dev/null 2>&1; then \
		docker build --file deploy/docker/Dockerfile --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
			--tag $(IMAGE):$(VERSION) .; \
	else \
		echo "No container engine answers, so no image is built."; $(MAKE) --no-print-directory image-check; \
	fi

.PHONY: image-check
image-check: $(INSTALLED) ## lint the Dockerfile, and run its steps in a clean root where that is possible
	@$(BIN)/python -m tools.deploy.image_check $(ARGS)

.PHONY: sbom
sbom: $(DEPLOY_INSTALLED) ## list what the image installs (dist/monohull.cdx.json, CycloneDX)
	@mkdir -p dist
	@$(DEPLOY_VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --output-file dist/monohull.cdx.json deploy/docker/requirements.lock

.PHONY: chart
chart: $(INSTALLED) $(DEPLOY_INSTALLED) ## check the chart against Kubernetes and our rules, and package it into dist/
	@$(BIN)/python -m tools.deploy.write --check
	@$(BIN)/python -m pytest -q tests/deploy/test_chart.py
	@mkdir -p dist
	@$(DEPLOY_VENV)/bin/python -c 'import helm_python as helm; print(helm.Chart.load("deploy/helm/monohull").save("dist"))'

.PHONY: security
security: $(INSTALLED) $(DEPLOY_INSTALLED) ## audit of dependencies, secrets, source, fuzz and scan; OF="rules bandit" some of them; 3: not all could be checked
	@$(BIN)/python -m tools.security $(OF) $(ARGS)

.PHONY: asvs
asvs: $(INSTALLED) ## count what of OWASP's ASVS holds, and see that each test named for it exists
	@$(BIN)/python -m tools.security.asvs

.PHONY: postgres-majors
postgres-majors: $(INSTALLED) ## fetch PostgreSQL 14, 16 and 17 for the tests
	$(BIN)/python -m tools.postgres_majors

.PHONY: changelog
changelog: $(INSTALLED) ## write the section of this version from changes/, and delete its fragments
	$(BIN)/python -m tools.changelog collect

.PHONY: release
release: $(INSTALLED) chart sbom image ## what a release hands out: dist/ with notes, chart, parts list and wheel, and the image
	@$(BIN)/python -m tools.changelog notes > dist/notes.md
	@$(BIN)/python -m hatchling build -d dist

.PHONY: docs
docs: $(INSTALLED) ## write docs/reference, alert rules, dashboards and what follows in deploy/ anew
	$(BIN)/python -m tools.generate_reference
	$(BIN)/python -m tools.observability
	$(BIN)/python -m tools.deploy.write
	$(BIN)/python -m tools.security.asvs --write

.PHONY: lock
lock: $(INSTALLED) ## resolve the dependencies of pyproject.toml into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet --output-file requirements.lock $(ARGS)
	$(BIN)/uv pip compile requirements-bootstrap.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet --output-file requirements-bootstrap.lock $(ARGS)
	$(BIN)/uv pip compile requirements-deploy.in --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet --output-file requirements-deploy.lock $(ARGS)
	@# Litestar demands polyfactory and Faker, and loads them for made-up examples alone, which we do not show
	$(BIN)/uv pip compile pyproject.toml --constraint requirements.lock --universal --python-version 3.11 --no-annotate \
		--no-emit-package polyfactory --no-emit-package faker --generate-hashes --no-header --no-emit-index-url --quiet --output-file deploy/docker/requirements.lock $(ARGS)
	$(BIN)/uv pip compile deploy/docker/requirements-build.in --constraint requirements.lock --universal --no-annotate \
		--python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet \
		--output-file deploy/docker/requirements-build.lock $(ARGS)

.PHONY: clean
clean: ## remove the environment, caches and build results; .monohull stays
	rm -rf $(VENV) $(DEPLOY_VENV) build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.monohull/*' -prune -exec rm -rf {} +

# uv installs in seconds what takes pip more than a minute. It reads neither pip's configuration nor,
# unless told to, the certificates of the system; so it is asked twice, and then pip does it.
# Without ensurepip (Debian splits it off) the pip of the system fills the environment.
$(INSTALLED): requirements.lock requirements-bootstrap.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; install it, or name it with PYTHON=." >&2; exit 2; }
	@$(PYTHON) -c 'import venv' 2>/dev/null || { echo "$(PYTHON) has no venv; install it (on Debian: apt-get install python3-venv)." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(PYTHON) -m pip --version >/dev/null 2>&1 || \
		{ echo "$(PYTHON) has neither ensurepip nor pip; install one (on Debian: apt-get install python3-venv)." >&2; exit 2; }
	@echo "Installing into $(VENV), once; this takes less than a minute with a usual network."
	@set -e; \
	if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV); pip="$(BIN)/python -m pip"; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv --clear --without-pip $(VENV); pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	fi; \
	export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore; \
	$$pip install -q --require-hashes -r requirements-bootstrap.lock || true; \
	locked="--require-hashes -r requirements.lock"; own="--no-deps --no-build-isolation -e ."; \
	uv="$(BIN)/uv pip install -q --python $(BIN)/python"; \
	if test -x $(BIN)/uv && { $$uv --compile-bytecode $$locked || UV_SYSTEM_CERTS=1 $$uv --compile-bytecode $$locked; } 2>/dev/null; then \
		$$uv $$own; \
	else \
		$$pip install -q $$locked && $$pip install -q $$own; \
	fi
	@printf '%s\n' "$(CURDIR)" > $@

$(DEPLOY_INSTALLED): requirements-deploy.lock | $(INSTALLED)
	@echo "Installing what checks deploy/ into $(DEPLOY_VENV), once."
	@set -e; test -x $(DEPLOY_VENV)/bin/python || $(BIN)/python -m venv --clear --without-pip $(DEPLOY_VENV); \
	locked="--require-hashes -r requirements-deploy.lock"; \
	uv="$(BIN)/uv pip install -q --python $(DEPLOY_VENV)/bin/python"; \
	{ test -x $(BIN)/uv && { $$uv $$locked || UV_SYSTEM_CERTS=1 $$uv $$locked; } 2>/dev/null; } || \
		$(PYTHON) -m pip --python $(DEPLOY_VENV)/bin/python install -q --disable-pip-version-check $$locked
	@printf '%s\n' "$(CURDIR)" > $@
