# The words people type; `make` alone lists them. Each does all the set-up that it needs, and none when that is up to date.

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help quickstart test check format coverage bench docs lock clean

help: ## List these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=… is passed on (make test ARGS='-k resume'), PYTHON=… names the Python to use."

quickstart: $(VENV)/ready-run ## See Penstock work: a server, a worker and a real ETL, on this machine
	@$(BIN)/penstock quickstart $(ARGS)

test: $(VENV)/ready-dev ## Run all tests
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(VENV)/ready-dev ## Check format, lint, types and who imports whom
	@failed=; for tool in 'ruff format --check .' 'ruff check .' basedpyright 'lint-imports'; do \
	  echo "$$tool"; $(BIN)/$$tool || failed="$$failed, $$tool"; \
	done; [ -z "$$failed" ] || { echo "check: not in order$$failed" | sed 's/order,/order:/'; exit 1; }

format: $(VENV)/ready-dev ## Format the code, and mend the lint that can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# The four packages that decide, record and replay are held to a number; the rest is only reported.
coverage: $(VENV)/ready-dev ## Run all tests and report the lines and branches that none reached
	@$(BIN)/python -m pytest -n 2 --cov --cov-report= $(ARGS)
	@$(BIN)/coverage report
	@$(BIN)/coverage report --fail-under=95 --format=total \
	  --include='*/penstock/core/*,*/penstock/journal/*,*/penstock/store/*,*/penstock/engine/*'

bench: $(VENV)/ready-dev ## Measure what the budgets promise, as ratios
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/ready-docs ## Build the documentation into site/
	$(BIN)/zensical build --clean $(ARGS)

# Both installers read the same files: see docs/decisions/0001-one-lock-for-uv-and-pip.md.
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --no-annotate --no-emit-index-url \
           --python $(PYTHON) --python-version 3.11 pyproject.toml
lock: ## Choose the versions in requirements/ anew (needs uv); ARGS=--upgrade takes the newest
	$(COMPILE) --all-extras --group dev $(ARGS) -o requirements/dev.txt
	$(COMPILE) --extra etl --group build -c requirements/dev.txt $(ARGS) -o requirements/run.txt
	$(COMPILE) --group docs -c requirements/dev.txt $(ARGS) -o requirements/docs.txt

clean: ## Remove what the other words made
	rm -rf $(VENV) site dist htmlcov .coverage* .hypothesis .import_linter_cache .pytest_cache .ruff_cache

$(VENV)/ready-%: requirements/%.txt pyproject.toml scripts/setup
	@PYTHON='$(PYTHON)' scripts/setup $*

# An environment holds the path of its tree: in a copy it would run the original's code, so it is made again there.
ifneq ($(shell cat $(VENV)/made-for 2>/dev/null),$(CURDIR))
.PHONY: elsewhere
$(VENV)/ready-run $(VENV)/ready-dev $(VENV)/ready-docs: elsewhere
endif
