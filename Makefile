# `make book` builds the book, as a site and in one file, `make test` tests package and chapters. Both set up .venv first, once.

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
STAMP := $(VENV)/.installed
CHAPTERS ?= book
# A test file or a chapter stays in one process; every core has one, four at most, for each may take a gigabyte.
PYTEST := $(PY) -m pytest -n logical --maxprocesses 4 --dist loadscope

# Threads that wait for each other sleep, in tests and in chapters: torch's spin by default, and beside other
# busy processes everything then takes many times as long. figures/benchmark/under_load.py measures it.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: book test test-all chapters lab lint format clean

book: $(STAMP)
	@$(PY) -c "import shutil; shutil.rmtree('_build', ignore_errors=True)"
	$(BIN)/jupyter-book build . -W -n --keep-going --all
	$(PY) -m tools.one_file _build/html _build/html/posemamba-book.html
	@echo "The book is built. Open $(CURDIR)/_build/html/index.html in a browser."

test: $(STAMP)
	$(PYTEST) tests -m "not long"
	$(PYTEST) --nbval book/

# What is long too: slow tests, lint, and every chapter alone in an empty folder, its gpu cells at tiny sizes.
test-all: lint
	SCALE=gpu POSEMAMBA_TINY=1 $(PY) tools/notebooks.py try book
	$(PYTEST) tests
	$(PYTEST) --nbval book/

# Runs the notebooks and stores their outputs in normal form; `make chapters CHAPTERS=book/x/y.ipynb` runs one.
chapters: $(STAMP)
	$(PY) tools/notebooks.py execute $(CHAPTERS)

# Opens the chapters to read, run and change.
lab: $(STAMP)
	$(PY) -m jupyter lab book

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) tools/notebooks.py normalise --check book

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(PY) tools/notebooks.py normalise book

# The stamp says that what these two files ask for is installed.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c "import venv, ensurepip" || { \
	  echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian: python3-venv)."; exit 1; }
	@echo "Setting up $(VENV): some minutes, this once."
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(PY) -c "import pathlib; pathlib.Path('$(STAMP)').touch()"

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ('_build', '.pytest_cache', '.ruff_cache', '.hypothesis')]"
