# Needs Python 3.11 or newer, git and make; everything else is installed into .venv/ once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin

FUZZ ?=

.PHONY: demo test explore faults fuzz check bench docs clean

demo: .venv/core.stamp  ## real predictions, from nothing
	$(BIN)/perfmodel predict llama-3.1-8b --hardware h100-sxm,rtx-4090,tpu-v5e --precision bf16,w4a16 --batch 1 \
		--input-tokens 2048 --output-tokens 128
	@echo
	# does speed depend on size?
	@mkdir -p build/demo
	$(BIN)/perfmodel scale llama,resnet --hardware h100-sxm,rtx-4090,tpu-v5e --precision bf16 --phase decode,forward \
		--plot build/demo/sizes.png

test: .venv/dev.stamp  ## the whole suite
	$(BIN)/python -m pytest -n 2

explore: .venv/dev.stamp  ## the property tests with examples never tried before, four times as many
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -n 2 -m hypothesis

faults: .venv/dev.stamp  ## 200 kills of commands that write files: none torn, all resumed; half an hour
	$(BIN)/python -m tests.faults.loop

fuzz: .venv/dev.stamp  ## ten thousand damaged files for every reader; hours. FUZZ="--cases 100 --readers onnx,gguf" for less
	$(BIN)/python -m tests.fuzz.hostile
	$(BIN)/python -m tests.fuzz.run $(FUZZ)

check: .venv/dev.stamp  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/dev.stamp  ## speeds, as a table
	$(BIN)/python benchmarks/run.py

docs: .venv/docs.stamp  ## the documentation as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("perfmodel needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv

.venv/core.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/docs.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	# timm asks for torchvision, of which it needs nothing to build its models
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'timm>=1.0.20'
	touch .venv/core.stamp .venv/docs.stamp $@
