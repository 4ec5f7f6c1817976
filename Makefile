# Every target first makes (or reuses) .venv with the exact versions of requirements.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
CHAPTERS ?=
FORCE ?=
SEED ?= 1
N ?= 20
FIX ?=
MODULES ?=
MUTANTS ?= 25

.DEFAULT_GOAL := help
.PHONY: help book test lab notebooks perturbed replicate vary site-test pdf bench lint lock mutants clean

help:
	@echo "make book        build the site from the stored outputs -> _build/html/index.html"
	@echo "make test        unit tests, doctests, book tests, and every notebook run and compared"
	@echo "make lab         open the chapters in JupyterLab, to run and to change them"
	@echo "make notebooks   execute the chapters that changed; FORCE=1 executes all,"
	@echo "                 CHAPTERS=chapters/03_kl_closed_form.ipynb only that one"
	@echo "make perturbed   every chapter with noise in the last place of what it computes, as on another processor; SEED=2 ..."
	@echo "make replicate   every chapter on N=20 fresh streams of randomness, its claims counted -> back/replication.md"
	@echo "make vary        every chapter with a constant changed, as a reader may: each runs to its end"
	@echo "make site-test   build the site and check it in a headless Chromium"
	@echo "make pdf         the whole book for paper, printed by that Chromium -> _build/book.pdf"
	@echo "make bench       compare the book's training with the published recipe (a few minutes)"
	@echo "make lint        format, style and types of the code and the chapters; FIX=1 mends what can be mended by itself"
	@echo "make lock        requirements.txt, from the packages that requirements.in names"
	@echo "make mutants     break vaelib in small ways and count what the unit tests notice; MODULES=kl, MUTANTS=20"
	@echo "make clean       remove what was built; .venv stays"

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This book needs Python 3.11 or newer, and '$(PYTHON)' is older or missing."; \
	  echo "Name another one:  make PYTHON=python3.12"; exit 1; }
	@echo "Installing the book's packages into .venv (once; a few minutes)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --requirement requirements.txt
	@touch $@

book: $(READY)
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@echo "Open _build/html/index.html in a browser. It needs no network."

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile
	@echo "Everything that the book states was checked."

lab: $(READY)
	@echo "JupyterLab opens on chapters/. Stop it with Ctrl-C."
	$(BIN)/python -m tools.lab

notebooks: $(READY)
	$(BIN)/python -m tools.notebooks $(if $(FORCE),--all) $(CHAPTERS)
	@echo "Now: make test, then make book."

perturbed: $(READY)
	$(BIN)/python -m tools.perturb --seed $(SEED) $(CHAPTERS)
	@echo "No stored output depends on the last place of a number."

replicate: $(READY)
	$(BIN)/python -m tools.replicate --streams $(N) $(CHAPTERS)

vary: $(READY)
	$(BIN)/python -m tools.vary $(CHAPTERS)
	@echo "Every chapter runs to its end with its constants changed."

site-test: book
	$(BIN)/python -m pip install --quiet --requirement tests/browser/requirements.txt
	$(BIN)/python -m pytest -n auto --dist worksteal tests/browser
	@echo "The site is offline-clean. Open _build/html/index.html."

pdf: book
	$(BIN)/python -m pip install --quiet --requirement tests/browser/requirements.txt
	$(BIN)/python tests/browser/pdf.py _build/book.pdf

bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py

lint: $(READY)
	$(BIN)/ruff check $(if $(FIX),--fix)
	$(BIN)/ruff format $(if $(FIX),,--check)
	$(BIN)/mypy

lock: $(READY)
	$(BIN)/python -m pip install --quiet --requirement requirements.in
	$(BIN)/python -m tools.lock

mutants: $(READY)
	$(BIN)/python -m tools.mutants --number $(MUTANTS) $(MODULES)

clean:
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache vaelib.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "Removed what was built. 'make book' builds it again."
