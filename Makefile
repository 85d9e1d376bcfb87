# Everything a newcomer or CI runs. Needs Python 3.11 or newer, git and make; the rest is fetched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
PYTHON ?= $(shell deploy/setup/find-python.sh)
VIEWERS ?= 150
ORIGIN := tests/origin

PAGE_SOURCES := $(shell find frontend -type f -not -path '*/node_modules/*' -not -path 'frontend/tests/*' 2>/dev/null)

help: ## show this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# ------------------------------------------------------------------------------------- set up
setup: .venv/.installed ## create .venv and install AIRClass into it

.venv/.installed: pyproject.toml constraints.txt
	deploy/setup/venv.sh "$(PYTHON)"
	touch $@

pages: airclass/_pages/.built ## build the web pages

frontend/node_modules/.installed: frontend/package.json frontend/package-lock.json | .venv/.installed
	deploy/setup/need.sh node
	npm --prefix frontend ci
	touch $@

airclass/_pages/.built: frontend/node_modules/.installed $(PAGE_SOURCES)
	npm --prefix frontend run build
	touch $@

# ---------------------------------------------------------------------------------------- run
demo: setup pages ## a whole class on this machine: ingest, master, relay, a synthetic teacher
	airclass demo

# --------------------------------------------------------------------------------------- check
test: setup pages ## everything that CI tests (installs Go, Chromium, FFmpeg, nginx if missing)
	deploy/setup/need.sh go ffmpeg chromium nginx
	npm --prefix frontend test
	pytest tests/unit tests/property tests/policy
	pytest tests/contract tests/integration tests/e2e

test-mediamtx: setup ## the ingest tests against a real MediaMTX: MEDIAMTX_PATH=/path/to/mediamtx
	deploy/setup/need.sh ffmpeg
	pytest --ingest mediamtx tests/contract tests/integration

lint: setup frontend/node_modules/.installed ## style, layers and types of Python, pages and Go
	deploy/setup/need.sh go
	ruff check .
	ruff format --check .
	lint-imports --no-logo
	mypy
	npm --prefix frontend run check
	test -z "$$(gofmt -l $(ORIGIN))" || { gofmt -d $(ORIGIN); exit 1; }
	cd $(ORIGIN) && go vet ./...

format: setup ## rewrite Python and Go in the house style
	deploy/setup/need.sh go
	ruff check --fix .
	ruff format .
	gofmt -w $(ORIGIN)

types: setup ## mypy alone
	mypy

# ------------------------------------------------------------------------------------- measure
bench: setup ## viewers without a stall: VIEWERS=150
	python -m benchmarks.viewers $(VIEWERS)

.PHONY: help setup pages demo test test-mediamtx lint format types bench
