# Two commands: `make demo` runs the main job end to end, `make test` runs the tests. Both make .venv and install by themselves.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(shell command -v $(name) && $(name) -c \
	'import sys; assert (3, 11) <= sys.version_info < (3, 14)' 2>/dev/null),$(name))))
BIN := .venv/bin
STUDY ?= studies/demo

.PHONY: demo test lint format clean

demo: .venv/demo.stamp
	$(BIN)/drive-fusion demo --study $(STUDY)

test: .venv/test.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/pip:
	@PYTHON="$(PYTHON)" sh .ci/make-venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/test.stamp: .venv/demo.stamp
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
