# `make repro` regenerates every result, `make quick` makes a first one in minutes, `make test` runs the tests; each sets
# itself up first. `make check` finds damaged files.
# `make verify` compares short runs with committed digests: does this machine compute the committed bytes? `make bench` measures
# speed of VARIANT into reports/bench.md. `make gpu` shows what a machine with a GPU does, in ten minutes, into
# reports/gpu.md; it goes on where it was.
.PHONY: repro quick test check verify torture bench gpu setup clean-venv
VARIANT ?= fashion_mnist
PYTHON ?= python3
# Another index that pip looks into beside its own, such as PyTorch's for CPU builds.
PIP_INDEX ?=
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Queued DVC experiments run in a copy of the tree: they must import the copy's library, not this one's.
export PYTHONPATH := src

# What a kill of DVC left half-written is mended first. DVC takes an empty `active` for nothing to do, so the whole of it
# is checked.
repro: setup
	python -m sidetrip.repair
	python stages/configure.py
	python -m sidetrip.runtime.arithmetic portable dvc repro
	@python -m sidetrip.summary

quick: setup
	@python -m sidetrip.quick

# Three processes for two cores: tests wait for processes that they have started. Types are checked beside them.
test: setup
	ruff check src stages tests datasets benchmarks
	mypy & types=$$!; pytest -n 3 --dist worksteal; tests=$$?; wait $$types && exit $$tests

check: setup
	python -m sidetrip.check

verify: setup
	python -m sidetrip.runtime.arithmetic portable python -m sidetrip.verify

# Minutes of signals at random moments, and while dvc.lock is written; results must be those of an undisturbed run.
torture: setup
	python tests/pipeline/torture.py --strikes 40 --locks 10

bench: setup
	python -m sidetrip.runtime.arithmetic portable python -m benchmarks --variant $(VARIANT)

gpu: setup
	@python -m benchmarks.gpu

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sidetrip needs Python 3.11 or newer; use make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet $(if $(PIP_INDEX),--extra-index-url $(PIP_INDEX)) --constraint constraints.txt --editable '.[dev]'
	touch $@

clean-venv:
	rm -rf $(VENV)
