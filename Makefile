# `make run` shows a living site, `make test` proves it. Both install what they need first.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml))
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
PORTAL := services/api/web
PORTAL_BUILT := services/api/ccm_api/static/index.html

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed $(PORTAL_BUILT) ## .venv with .venv/bin/ccmaster, and the built portal

run: install ## the whole gateway with a simulated site (Ctrl-C stops it)
	@exec .venv/bin/ccmaster demo

demo: run

check: .venv/.dev ## formats, lint, types, import rules, catalogue (changes nothing; `make fix` repairs)
	@scripts/check

fix: .venv/.dev ## let ruff repair what it can, and write the generated documents anew
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	$(MAKE) docs

test: install .venv/.dev ## check, then every test, with real peers
	@scripts/peers.sh
	@scripts/check
	@scripts/test

docs: .venv/.dev ## asyncapi.yaml, openapi.json, profile.schema.json, NATS permissions
	$(PY) scripts/generate.py

bench: install .venv/.dev ## memory, idle CPU, start-up time: a table and bench.json
	PYTHONPATH=. $(PY) scripts/bench.py

picture: install .venv/.dev ## the README's picture anew, from the running portal (about five minutes)
	@CCM_PICTURE=docs/portal.png $(PY) -m pytest -q tests/system/test_portal.py -k desktop

lock: .venv/.dev ## every lock file anew
	$(PIP) install uv
	scripts/lock.sh

clean: ## everything that `make install` made
	rm -rf .venv $(PORTAL)/node_modules services/api/ccm_api/static

.venv/.python:
	@scripts/venv.sh
	@touch $@

.venv/.installed: .venv/.python VERSION requirements.lock requirements/build.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@echo "installing the gateway into .venv (about a minute, once)"
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --require-hashes --requirement requirements/build.lock
	@$(PIP) install --no-deps --no-build-isolation $(addprefix --editable ,$(PACKAGES))
	@touch $@

.venv/.dev: .venv/.installed requirements/dev.lock
	@echo "installing the test tools into .venv"
	@$(PIP) install --require-hashes --requirement requirements/dev.lock
	@touch $@

$(PORTAL_BUILT): .venv/.installed $(PORTAL)/package-lock.json $(PORTAL)/index.html $(PORTAL)/vite.config.ts $(shell find $(PORTAL)/src $(PORTAL)/public -type f 2>/dev/null)
	@echo "building the portal"
	@scripts/portal.sh
	@touch $@

.PHONY: picture help install run demo check fix test docs bench lock clean
