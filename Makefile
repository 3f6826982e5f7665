# `make` prints what there is. Set-up is done once, and again only when pyproject.toml or constraints.txt change.
# It downloads about 3 GB, most of it CUDA. `make setup TORCH_INDEX=URL` takes another build, such as the one for CPUs,
# from the index that PyTorch's installation page names for it.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTORCH := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# So that what they print is what the README shows. (A comment on its line would be part of the value.)
demo report sync: export VAE_SWEEP_CALLED_AS := python3

.PHONY: help setup extras demo report sync test test-all lint format bench clean
help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)  ## a virtual environment in .venv with everything in it
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PYTORCH) -c constraints.txt -e '.[dev,notebook,slurm]'
	@touch $@

EXTRAS := bench,heic,hf,mlflow,optuna,ray,safetensors,tensorboard,tiff,workspace
BESIDE := $(if $(filter file,$(origin EXTRAS)),diffusers)  # with EXTRAS=hf,tiff these alone
extras: $(READY)  ## what is optional, 0.8 GB, so that make test-all leaves out no test for its want
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PYTORCH) -c constraints.txt -e '.[$(EXTRAS)]' $(BESIDE)

demo: $(READY)  ## four KL weights and the autoencoder on embedded paintings, then the report
	$(BIN)/python -m vae_sweep.run -m objective=vae,autoencoder loss.kl_weight=1,0.1,0.02,0.003 \
		trainer.max_epochs=10 sweep=demo
	$(BIN)/python -m vae_sweep.report outputs/demo

report: $(READY)  ## the page of the latest sweep, or of SWEEP=outputs/NAME
	$(BIN)/python -m vae_sweep.report $(SWEEP)

sync: $(READY)  ## upload to W&B the runs that are not there yet
	$(BIN)/python -m vae_sweep.tracking $(SWEEP)

# In another order every time; SEED=... of the printed command gives an order again.
SEED := $(or $(SEED),$(shell od -An -N2 -tu2 /dev/urandom | tr -d ' '))
ORDER := --random-order-seed=$(SEED)

test: $(READY)  ## the tests that need minutes
	$(BIN)/python -m pytest -m 'not slow and not slurm and not gpu' -n 2 --dist=worksteal $(ORDER) -q

test-all: $(READY)  ## all tests: kill tests, published numbers, more examples of properties, a real SLURM
	$(BIN)/python -m pytest --hypothesis-profile=deep $(ORDER) -q

lint: $(READY)  ## format, rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@# The page's scripts share one scope: they are linted as the page has them, in one piece.
	$(BIN)/python -c "from vae_sweep.report.render import script; print(script())" > $(VENV)/report.js
	$(BIN)/oxlint --config .oxlintrc.json --no-ignore $(VENV)/report.js

format: $(READY)  ## what lint would complain about and can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## side by side with other libraries; writes benchmarks/results
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.run

clean:  ## remove the environment and caches; outputs stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
