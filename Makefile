# `make demo` trains, scores and shows; `make test` tests, `make quick` in a minute. Each sets up first what it needs,
# once: a virtual environment in .venv with this package, made by uv where it is installed, else by venv and pip.

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(if $(shell $(p) -c \
  'import sys; sys.version_info >= (3, 11) and print(1)' 2>/dev/null),$(p))))
BIN := .venv/bin
RUN := runs/demo
PYTEST := $(BIN)/python -m pytest -n 2
NOTEBOOKS := $(PYTEST) --dist worksteal --nbmake
# The one of two minutes, which trains two CycleGANs, is for test-all; the longest of the others come first.
SLOW := notebooks/05*
SHORT := notebooks/03* notebooks/04* notebooks/0[12]*
# Tests that compile nothing large.
QUICK := $(addprefix tests/,test_house.py test_docs.py test_numbers.py test_plan.py test_fields.py test_optim.py data \
  losses/test_losses.py losses/test_image_pool.py losses/test_reconstruction.py models/test_models.py)
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

.PHONY: demo test test-all quick chaos check lint browser

demo: .venv/.demo
	@echo '== train: a map of elevations in, a shaded relief out'
	@$(BIN)/i2i train --config=pix2pix:task=relief,size=64 --workdir=$(RUN)
	@echo '== score on land that it has never seen'
	@$(BIN)/i2i evaluate --workdir=$(RUN) --split=test
	@$(BIN)/i2i report --workdir=$(RUN)

test: .venv/.test browser check
	$(PYTEST) --dist worksteal -m 'not slow'
	$(NOTEBOOKS) $(SHORT)

test-all: .venv/.test browser check
	$(PYTEST) --dist worksteal
	$(NOTEBOOKS) $(SLOW) $(SHORT)

quick: .venv/.test check
	$(PYTEST) -m 'not slow' $(QUICK)

# Kills, damage, floods: what was tried and what was lost, as a table. NAMES='checkpoints images' runs only some.
chaos: .venv/.test
	$(BIN)/python -m tests.chaos $(NAMES)

check: .venv/.test
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary

lint: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The page's test wants a browser; as root on Debian it is installed, elsewhere the test is skipped without one.
browser:
	@for b in $(BROWSERS); do command -v $$b >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo 'installing Chromium for the test of the page'; \
	  { apt-get update -qq && apt-get install -yqq chromium; } >/dev/null 2>&1 || true; \
	fi

.venv/.demo: setup.py
	$(call install,.)

.venv/.test: setup.py
	$(call install,.[test])

# $(1): what to install, in editable form. The stamp is touched last, so that a torn installation is taken up again.
define install
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11 or newer was found; make PYTHON=... names one' >&2; exit 2; }
	@echo "== install $(1) into .venv (a minute or two, once)"
	@if command -v uv >/dev/null; then \
	  { test -d .venv || uv venv --quiet --python $(PYTHON) .venv; } && \
	  uv pip install --quiet --python $(BIN)/python -e '$(1)'; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install -qq --disable-pip-version-check -e '$(1)'; \
	fi
	@touch $@
endef
