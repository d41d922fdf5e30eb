# Every target makes .venv from requirements.lock first, so that each works on a fresh clone.
# The lock is tested with Python 3.11 on Linux; another one with `make PYTHON=python3.12`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
STAMP := $(VENV)/.complete
# For what Jupyter starts; see TENSORFLOW_SETTINGS in fer_lib/environment.py.
export TF_ENABLE_ONEDNN_OPTS ?= 1
BIN := $(VENV)/bin

.PHONY: setup study test lab lint notebooks bench bench-gpu readme site backends
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No python3 was found: install Python 3.11, or name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Python 3.11 to 3.13 is needed, found: $$($(PYTHON) --version)."; \
	  echo "Name another with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/fer-study kernel
	touch $@

# The whole study on generated faces; it ends by printing the path of its report.
study: $(STAMP)
	$(BIN)/fer-study run params/demo.yaml

# All tests, one process per file, and the slowest ten; then each notebook, two at a time, cell by cell: what it prints
# now against what it printed when it was committed. Cells tagged `nbval-ignore-output` are executed and not compared.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder \
	  --durations=10 tests
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m pytest --nbval --nbval-current-env \
	  --nbval-cell-timeout=600 -p no:cacheprovider --numprocesses=auto --maxprocesses=2 --dist=loadfile notebooks

lab: $(STAMP)
	$(BIN)/jupyter lab --notebook-dir=. notebooks/00_data_exploration.ipynb

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/limits.py

bench: $(STAMP)
	$(BIN)/python benchmarks/bench_non_local.py
	$(BIN)/python benchmarks/bench_train_step.py
	$(BIN)/python benchmarks/bench_train_step.py --peers

# On a machine with a GPU, for which see docs/gpu-servers.md.
bench-gpu: $(STAMP)
	$(BIN)/python benchmarks/bench_gpu.py

# The notebooks as they are committed: executed in place on their defaults.
notebooks: $(STAMP)
	cd notebooks && ../$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False [0-9]*.ipynb

# The answer and the table in README.md, from the study of real faces, and its picture, from that of `make study`.
readme: $(STAMP)
	$(BIN)/python docs/update_readme.py README.md outputs/fer2013_grid
	$(BIN)/python docs/images/draw_block.py
	$(BIN)/python docs/images/draw_attention.py

# README, docs, the layer's API, reports and executed notebooks as pages in site/, for a browser and for the Pages workflow.
site: $(STAMP)
	for study in outputs/*/params.yaml; do $(BIN)/fer-study report $${study%/params.yaml}; done
	$(BIN)/python docs/build_site.py
	@echo "Open site/index.html in a browser."

# The other backends of Keras, beside TensorFlow, and Ray: the tests then run on all of them.
backends: $(VENV)/.backends

$(VENV)/.backends: $(STAMP)
	$(BIN)/python -m pip install --quiet "jax==0.10.2" "torch==2.13.0" "ray==2.60.0"
	touch $@
