# Everything a newcomer or CI runs. Needs Python 3.11 or newer with venv, ca-certificates, git and make; the rest
# is fetched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin
# the checksum database does not know one of these modules; go.sum holds them all
export GONOSUMDB := github.com/bluenviron/*
export GOTOOLCHAIN := local
export GOFLAGS := -buildvcs=false

PYTHON ?= $(shell deploy/setup/find-python.sh)
VIEWERS ?= 150
ROWS ?=
SOAK_S ?= 1800
SEEDS ?= 2000
ORIGIN := tests/origin
FIREFOX := tests/browsers/test_firefox.py
# results of the test runners, for the report
LEFT := $(CURDIR)/build/report
BY_HAND := $(CURDIR)/build/by-hand
DOCS ?=
PAGE_SOURCES := $(shell find frontend -type f -not -path '*/node_modules/*' -not -path 'frontend/tests/*')

help: ## show this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) |
	    while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

# ------------------------------------------------------------------------------------- set up
setup: .venv/.installed ## create .venv and install AIRClass with its tools into it

# what a demo needs, a third of the whole
.venv/.program: pyproject.toml constraints.txt
	@echo "Installing Python packages into .venv"
	deploy/setup/venv.sh "$(PYTHON)" program
	touch $@

.venv/.installed: .venv/.program
	@deploy/setup/venv.sh "$(PYTHON)" tools
	touch $@

pages: airclass/_pages/.built ## build the web pages, if their sources changed

frontend/node_modules/.installed: frontend/package.json frontend/package-lock.json | .venv/.installed
	@deploy/setup/need.sh node
	npm --prefix frontend ci --no-progress
	touch $@

# for a demo without tools: Node.js and its packages are fetched for this build alone
airclass/_pages/index.html: $(PAGE_SOURCES) | .venv/.program
	@rm -rf airclass/_pages
	deploy/setup/pages.sh .venv/bin/python

airclass/_pages/.built: frontend/node_modules/.installed $(PAGE_SOURCES)
	@npm --prefix frontend run build
	touch $@

# ---------------------------------------------------------------------------------------- run
demo: .venv/.program $(if $(wildcard .venv/.installed),pages,airclass/_pages/index.html) ## a whole class on this machine: ingest, master, relay and a synthetic teacher
	@exec airclass demo

screenshots: setup pages ## every page in every state into build/screenshots (10 minutes); DOCS=1: only the pictures of docs/images
	@deploy/setup/need.sh chromium korean-font
	python -m tests.e2e.screenshots $(if $(DOCS),--docs)

# --------------------------------------------------------------------------------------- check
test: setup pages ## all tests that CI runs, about 30 minutes on two cores (installs what is missing; a failing runner does not end the others)
	@deploy/setup/need.sh node go chromium ffmpeg nginx prometheus systemd-analyze pg_dump initdb openssl ip iptables nft \
	    firefox-esr
	rm -rf $(LEFT)
	mkdir -p $(LEFT)
	failed=0
	step() { "$$@" || { echo "== failed: $$*"; failed=1; }; }
	step npm --prefix frontend test -- --reporter=default --reporter=junit --outputFile.junit=$(LEFT)/pages.xml
	step deploy/setup/go-test.sh $(ORIGIN) $(LEFT)/origin.json build/origin
	step pytest --junitxml=$(LEFT)/unit.xml -n 2 tests/unit tests/property tests/policy
	step pytest --junitxml=$(LEFT)/simulation.xml tests/simulation
	step python -m tests.mirror_coverage
	step pytest --junitxml=$(LEFT)/integration.xml -n 2 --dist loadfile -m "not timing" tests/contract tests/integration
	step pytest --junitxml=$(LEFT)/e2e.xml -n 2 --dist loadfile -m "not timing" tests/e2e
	step pytest --junitxml=$(LEFT)/timing.xml -m timing tests/contract tests/integration tests/e2e $(FIREFOX)
	exit $$failed

report: ## run all tests, also after a failure, and write docs/TEST_REPORT_KR.md of them and of the last test-compose and test-install
	@$(MAKE) test || echo "some tests failed: the report says which"
	python -m tests.report

test-browsers: setup pages ## join and play in Firefox and in WebKitGTK (Safari's engine), by hand
	@deploy/setup/need.sh node go firefox-esr WebKitWebDriver Xvfb
	pytest tests/browsers

test-mediamtx: setup ## the tests that take an ingest, against a real one: MEDIAMTX_PATH=/path/to/mediamtx
	@pytest --ingest mediamtx tests/contract tests/integration tests/e2e

coverage: setup ## statements and branches of the two cores, each file by its own test: all of them
	@python -m tests.mirror_coverage

lint: setup frontend/node_modules/.installed ## style, layers and types of Python, pages and Go
	@deploy/setup/need.sh node go
	ruff check .
	ruff format --check .
	lint-imports
	mypy
	npm --prefix frontend run lint
	npm --prefix frontend run check
	test -z "$$(gofmt -l $(ORIGIN))" || { gofmt -d $(ORIGIN); exit 1; }
	(cd $(ORIGIN) && go vet ./...)
	git ls-files '*.py' '*.ts' '*.svelte' '*.go' | xargs wc -l |
	    awk '$$2 != "total" && $$1 > 300 { print "worth a look, over 300 lines:", $$2, $$1 }'

types: setup ## the types of Python alone
	@mypy

format: setup frontend/node_modules/.installed ## rewrite Python, pages and Go in the house style
	@deploy/setup/need.sh node go
	ruff check --fix .
	ruff format .
	npm --prefix frontend run format
	gofmt -w $(ORIGIN)

docs: setup ## check the documents: links resolve, settings and interfaces are described as they are
	@pytest tests/policy

# ------------------------------------------------------------------------------------- measure
bench: setup ## viewers of one relay without a stall: VIEWERS=150
	@python -m benchmarks.viewers $(VIEWERS)

simulate: setup ## random schedules of the control plane in virtual time: SEEDS=2000, or SEEDS=FIRST:COUNT
	@python -m tests.simulation run --seeds "$(SEEDS)"

chaos: setup pages ## break relays, teacher, ingest, master under viewers; writes docs/chaos.md; ROWS="relay-killed …" for some
	@deploy/setup/need.sh node go chromium ffmpeg ip iptables unshare faketime
	python -m tests.chaos $(ROWS)

test-compose: setup ## compose on a Docker engine of its own, scaled under 100 viewers, its profiles; by hand: as root, 8 to 12 minutes; MEDIAMTX_PATH= a real one
	@deploy/setup/need.sh go dockerd debootstrap iptables ip
	pytest -o faulthandler_timeout=0 -s --junitxml=$(BY_HAND)/compose.xml tests/compose

test-install: setup pages ## install.sh on machines of its own with systemd, upgraded under viewers; by hand: as root, 5 minutes; MEDIAMTX_PATH= a real one
	@deploy/setup/need.sh go debootstrap iptables ip unshare
	pytest -o faulthandler_timeout=0 -s --junitxml=$(BY_HAND)/machine.xml tests/machine

conformance: setup frontend/node_modules/.installed ## other people's players at the relay, by hand; writes docs/conformance.md
	@deploy/setup/need.sh go chromium firefox-esr WebKitWebDriver Xvfb mpv cvlc ffmpeg nginx nginx-rtmp
	python -m tests.conformance

soak: setup ## half an hour of viewers (SOAK_S=1800): stalls, growth of memory and descriptors
	@deploy/setup/need.sh go
	python -m benchmarks.viewers $(VIEWERS) --ingest origin --seconds $(SOAK_S) --json benchmarks/results/soak.json
	python -m tests.chaos --table

.PHONY: help setup pages demo screenshots test report test-browsers test-mediamtx test-compose test-install coverage lint types format docs bench chaos conformance soak
