# Two commands: `make demo` trains, scores and shows; `make test` tests. Each sets up what it needs first.

PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo

.PHONY: demo test lint

demo: .venv/.ready
	@$(BIN)/python -m i2i_jax.train --config=configs/pix2pix_earth.py:task=relief,size=64 --workdir=$(RUN)
	@$(BIN)/python -m i2i_jax.evaluate --workdir=$(RUN) --split=test
	@$(BIN)/python -m i2i_jax.report --workdir=$(RUN)
