# What a change is checked with. `make` alone lists it; `make install` comes first.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help install quick test slow lint format types docs coverage bench check

help: ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: ## Make .venv, with this checkout and all that the tests need in it
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[test]'

quick: ## The quick suite: the domain, stores on SQLite, commands, the dashboard without a browser
	$(BIN)/pytest -n auto -m quick

test: ## The tests that CI runs: all but the slow ones
	$(BIN)/pytest -n auto

slow: ## The slow tests alone: servers that are killed, crowds, full disks
	$(BIN)/pytest -n auto -m slow

lint: ## Style: ruff, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: ## Types: mypy, strict
	$(BIN)/mypy --strict

docs: ## Write anew what README.md and pages of docs show as printed, and the list of modules
	$(BIN)/python -m docs.printed
	$(BIN)/python -m docs.modules

coverage: ## How much of queuectl/ the tests run, by branches, programs that they start included
# Left out are the tests of what is loaded before Ctrl-C is heeded: what measures is loaded too.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --timeout 600 --ignore tests/cli/test_interrupt.py
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered --sort=cover

bench: ## Measure speed beside what the machine can do; Linux, an hour, a quiet machine
	$(BIN)/python benchmarks/bench.py

check: ## Everything from nothing, as CI does it
	.ci/run
