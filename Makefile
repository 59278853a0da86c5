# Two commands matter: `make demo` and `make test`. Both build what they need.
# Plain pip is enough; uv is used when it is on PATH because it is faster.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
# Two processes: compilation by XLA, not the number of tests, takes the time.
PYTEST_WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile
UV := $(shell command -v uv 2>/dev/null)

# $(call install,PYTHON,ARGUMENTS): the same installation with either installer.
ifeq ($(UV),)
install = $(1) -m pip install --quiet --no-input --disable-pip-version-check $(2)
else
install = $(UV) pip install --quiet --python $(1) $(2)
endif

.PHONY: help env env-dev env-all demo test test-fast test-worlds test-faults \
	test-faults-coordinator test-faults-points test-faults-workers test-faults-disk \
	test-faults-dask test-faults-training test-faults-sigterm test-trust test-trust-tests bench lint \
	format docs bench-peers bench-bayesflow bench-deepxde example-sbi lock clean distclean

help:
	@echo "make demo         run the influenza study and write runs/influenza/report.html"
	@echo "make test         run the whole test suite"
	@echo "make test-fast    run the tests that take less than five seconds each"
	@echo "make test-faults  break everything on purpose; also in seven parts, see Makefile"
	@echo "make test-trust   test the trust room and measure every claim about it"
	@echo "make test-worlds  hold the baselines of the worlds to their bounds"
	@echo "make lint         check style, types and spelling"
	@echo "make docs         build the documentation into docs/_build/html"
	@echo "make env          create $(VENV) with what the demo and the tests need"
	@echo "make env-dev      ... and what lint and docs need"
	@echo "make env-all      ... and every extra: GPU, cosmology, Dask"
	@echo "make bench        run the measurements marked bench"
	@echo "make bench-peers  create $(PEERS) with the libraries we compare with"
	@echo "make example-sbi  judge a posterior of sbi, in the environment of bench-peers"
	@echo "make bench-bayesflow  ... with BayesFlow"
	@echo "make bench-deepxde  ... and for the physics-informed networks"
	@echo "make lock         resolve the lock files anew"
	@echo "make clean        remove caches and built documentation"
	@echo "make distclean    ... and the environments"

# A stamp says which lock an environment was installed from, so that it is done once.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "retrodict needs Python 3.11 or newer; this is " + sys.version + ". Say make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-%: requirements/%.lock pyproject.toml | $(VENV)/.made
	@echo "Installing requirements/$*.lock into $(VENV) ..."
	$(call install,$(BIN)/python,--require-hashes -r requirements/$*.lock)
	$(call install,$(BIN)/python,--no-deps --no-build-isolation -e .)
	@touch $@

.PRECIOUS: $(VENV)/.installed-%

env: $(VENV)/.installed-test

env-dev: $(VENV)/.installed-dev

env-all: $(VENV)/.installed-all

demo: env
	$(BIN)/retrodict run influenza --out runs/influenza

test: env
	$(PYTEST) -m "not bench and not worlds"

test-fast: env
	$(PYTEST) -m "not bench and not worlds and not slow"

# The worlds as wholes, against their bounds; needs the data folder (RETRODICT_DATA), an
# hour or two, and for kids1000 the extra of cosmology (make env-all).
test-worlds: env
	$(BIN)/python -m pytest -m "worlds and not bench" tests/worlds

# Each part may be run alone and takes less than half an hour; `make test` runs a short
# slice of every one.
FAULTS := RETRODICT_FAULTS=full $(BIN)/python -m pytest -s -q -m faults

test-faults: test-faults-coordinator test-faults-points test-faults-workers \
	test-faults-disk test-faults-dask test-faults-training test-faults-sigterm

test-faults-coordinator: env
	$(FAULTS) tests/simulations/test_coordinator_faults.py -k random_times

test-faults-points: env
	$(FAULTS) tests/simulations/test_coordinator_faults.py -k "not random_times"

test-faults-workers: env
	$(FAULTS) tests/simulations/test_worker_faults.py tests/simulations/test_command.py \
		tests/cli/test_external.py

test-faults-disk: env
	$(FAULTS) tests/simulations/test_disk_faults.py

test-faults-dask: env
	$(FAULTS) tests/simulations/test_cluster.py

test-faults-training: env
	$(FAULTS) tests/training/test_checkpoint.py tests/training/test_training_faults.py \
		-k "not sigterm"

test-faults-sigterm: env
	$(FAULTS) tests/training/test_training_faults.py -k sigterm
	$(FAULTS) tests/cli/test_interrupts.py

# The tests of the trust room, then every claim about it: computed, compared with its
# bound, and written into docs/trust-measured.md. Each part may be run alone and takes
# less than half an hour on one core; `make -k` goes on after a claim that does not hold.
TRUST := verdict waste correction-slcp correction-two_moons correction-bernoulli_glm \
	misspecification observation ridge nuisances frequentist weights-linear weights-slcp

test-trust: test-trust-tests $(TRUST:%=test-trust-%)

test-trust-tests: env
	$(PYTEST) tests/trust tests/diagnostics -m "not bench"

$(TRUST:%=test-trust-%): test-trust-%: env
	$(BIN)/python benchmarks/measure_trust $*

bench: env
	$(BIN)/python -m pytest -m bench

lint: env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/codespell

format: env-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: env-dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# Measured side by side, never installed into the same environment: it brings torch.
# TORCH_FROM holds more options of pip for torch alone, such as the index of the smaller
# builds for machines without a GPU.
TORCH_FROM ?=
bench-peers:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install $(TORCH_FROM) torch==2.13.0
	$(PEERS)/bin/python -m pip install sbi==0.27.0

example-sbi:
	$(PEERS)/bin/python -m pip install --quiet -e .
	$(PEERS)/bin/python examples/judge_sbi.py

bench-bayesflow:
	$(PYTHON) -m venv .venv-bayesflow
	.venv-bayesflow/bin/python -m pip install 'bayesflow<2.1' jax==0.10.2

# The rival of the physics-informed networks, with torch too.
bench-deepxde:
	$(PYTHON) -m venv .venv-deepxde
	.venv-deepxde/bin/python -m pip install $(TORCH_FROM) torch==2.13.0
	.venv-deepxde/bin/python -m pip install deepxde==1.15.0

# Needs uv (pip cannot resolve for all platforms at once). One version of a package
# for every Python, so that what was tested on one is what runs on the other.
RESOLVE = $(if $(UV),$(UV),$(BIN)/uv) --no-config pip compile pyproject.toml --quiet \
	--universal --generate-hashes --python-version 3.11 --fork-strategy fewest \
	--no-annotate --custom-compile-command "make lock" --group build

lock:
	$(RESOLVE) --all-extras --output-file requirements/all.lock
	$(RESOLVE) --extra test --extra dev --extra docs \
		--constraints requirements/all.lock --output-file requirements/dev.lock
	$(RESOLVE) --extra test \
		--constraints requirements/all.lock --output-file requirements/test.lock

clean:
	rm -rf docs/_build docs/reference/generated .pytest_cache .ruff_cache .jax_cache \
		.hypothesis build dist
	find src tests benchmarks examples docs -name __pycache__ -type d -prune \
		-exec rm -rf {} + 2>/dev/null || true

distclean: clean
	rm -rf $(VENV) $(PEERS) .venv-bayesflow .venv-deepxde
