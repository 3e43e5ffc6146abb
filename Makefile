# The project's own commands. Everything runs in .venv; `make setup` fills it once from requirements.lock.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types docs check lab bench bench-batch bench-completeness bench-faults bench-headlines fuzz lock clean

help:     ## what can be made
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: [^#]*## /\t/' | expand -t 22

setup: $(VENV)/.ready ## the project's own environment in .venv (nothing to do the second time)

$(VENV)/.ready: requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/make-venv $(VENV)
	@echo "Installing the pinned packages (once) …"
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: setup ## the main job on synthetic audits: ends by naming reports/demo/index.html
	@$(BIN)/rca run parameters/demo.yml

test: setup ## all tests, the notebooks among them
	@$(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax tests rca_lib notebooks

lint: setup ## style of the code and of the notebooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup ## types of the package, checked by mypy
	@$(BIN)/mypy

docs: setup ## the documentation in build/site, with every link checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/site/index.html"

check: lint types docs test ## what has to hold before a change is shared

lab: setup ## JupyterLab on notebooks/
	@$(BIN)/rca lab

build/peers: tests/benchmarks/peers.lock | setup # what the benchmarks compare with, apart from .venv
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target $@ --requirement tests/benchmarks/peers.lock

build/peers_truth: tests/benchmarks/peers_truth.lock | setup # the same for who judges rightly
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target $@ --requirement tests/benchmarks/peers_truth.lock

bench: build/peers build/peers_truth ## the tables of "Since when" and "Whose error" in the README (about half an hour)
	@PYTHONPATH=build/peers $(BIN)/python tests/benchmarks/bench_trend.py --per-kind 1000 $(BENCH)
	@PYTHONPATH=build/peers $(BIN)/python tests/benchmarks/bench_screening.py
	@PYTHONPATH=build/peers_truth $(BIN)/python tests/benchmarks/bench_truth.py --cases 3 $(BENCH_TRUTH)

bench-batch: setup ## how fast a batch runs, compared with Papermill and the bare analysis (about five minutes)
	@$(BIN)/python tests/benchmarks/bench_batch.py $(BENCH_BATCH)

bench-faults: setup ## kills processes of a batch at random moments, then counts what 500 runs leave (about half an hour)
	@$(BIN)/python tests/benchmarks/bench_faults.py $(BENCH_FAULTS)

bench-headlines: setup ## how often headlines are false, and what they find (about 20 minutes)
	@$(BIN)/python tests/benchmarks/bench_headlines.py --power 300 $(BENCH_HEADLINES)

bench-completeness: setup ## reports from exports without some of the optional columns (about a quarter of an hour)
	@$(BIN)/python tests/benchmarks/bench_completeness.py --subsets 200 --seed 7 $(BENCH_COMPLETENESS)

fuzz: setup ## more mutated exports, mappings, side tables and batch files than the tests try
	@$(BIN)/python tests/fuzzing.py --cases 2000 --seed 7 $(FUZZ)

lock: ## pin the newest versions anew (needs uv)
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet --output-file requirements.lock

clean: ## everything that can be made again
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
	find reports -mindepth 1 ! -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
