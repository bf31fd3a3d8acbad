# make demo   installs, draws synthetic images, trains a small TFPose, evaluates it and writes a report with figures
# make test   installs and runs the tests
# make help   lists all commands

# STACK selects the host packages: classic has OpenMMLab's releases of 2023 (torch 2.1), modern has torch 2.11 with the
# maintained forks onedl-mmengine, onedl-mmcv and onedl-mmdetection. Each uses its own virtual environment.
STACK ?= classic
# the first Python that starts: from the PATH, from pyenv, or python3
find-python = $(shell for python in $(1) $(HOME)/.pyenv/versions/*/bin/$(1) python3; do \
  "$$python" -c '' 2>/dev/null && echo "$$python" && exit; done; echo python3)
ifeq ($(STACK),classic)
  PYTHONS := 3.9 to 3.11
  USUAL := python3.11
  OTHER := modern
  PYTHON_RANGE := (3, 9) <= sys.version_info[:2] <= (3, 11)
  PYTHON ?= $(call find-python,python3.11)
  CONSTRAINTS := constraints.txt
  MMCV := mmcv
  HOSTS := mmengine mmdet mmpose xtcocotools openmim
  VENV ?= .venv
  DEMO ?= work_dirs/demo
else ifeq ($(STACK),modern)
  PYTHONS := 3.12
  USUAL := python3.12
  OTHER := classic
  PYTHON_RANGE := sys.version_info[:2] == (3, 12)
  PYTHON ?= $(call find-python,python3.12)
  CONSTRAINTS := constraints-modern.txt
  MMCV := onedl-mmcv
  # the pinned numpy needs Python 3.12, and xtcocotools, which is compiled for numpy 2, does not build on 3.13
  HOSTS := --no-binary xtcocotools onedl-mmengine onedl-mmdetection mmpose xtcocotools openmim opencv-python-headless
  VENV ?= .venv-modern
  DEMO ?= work_dirs/demo-modern
else
  $(error STACK must be classic or modern, but is $(STACK))
endif

BIN := $(VENV)/bin
READY := $(VENV)/ready
CONFIG := configs/tfpose_tiny_synthetic_128x96.py
DATA := $(DEMO)/data/annotations/person_keypoints_val.json
CHECKPOINT := $(DEMO)/train/trained.pth
REPORT := $(DEMO)/report/report.html
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINNED := $(PIP) install -c $(CONSTRAINTS)
# up to 4 processes with one thread each; all tests of a file run in the same process
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart=0

.DELETE_ON_ERROR:
.PHONY: help env demo test test-fast test-faults coverage faults lint format picture clean

help:
	@echo "make demo       train and evaluate a small TFPose on synthetic images (about 7 minutes after installation)"
	@echo "make test       run all tests; make test-fast leaves out those that train"
	@echo "make test-faults  test killed trainings, faulty data, full disks, large data sets; writes docs/reliability.md (1 hour)"
	@echo "make coverage   run all tests and print the branch coverage; make faults checks that seeded faults fail tests"
	@echo "make env        only create the environment in $(VENV)"
	@echo "make lint       check the style; make format fixes it"
	@echo "make picture    put the demo's contact sheet and figures into docs/images"
	@echo "make clean      delete the demo's results; the environment stays"
	@echo "Options: STACK=classic (torch 2.1, Python 3.9 to 3.11) or STACK=modern (torch 2.11, Python 3.12)"
	@echo "         PYTHON=$(PYTHON) VENV=$(VENV) DEMO=$(DEMO)"

env: $(READY)

# mmcv has no wheel on PyPI: its operators are compiled here, for the CPU, and pip keeps them in its cache. The cache may
# have operators for another torch, so they are checked below. GPU users install MMCV as the README shows.
$(READY): $(CONSTRAINTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not $(PYTHON_RANGE))' 2>/dev/null || { \
	  echo "The $(STACK) stack needs Python $(PYTHONS), but $(PYTHON) is $$($(PYTHON) -V 2>&1): run 'make PYTHON=$(USUAL) STACK=$(STACK) $(MAKECMDGOALS)' or 'make STACK=$(OTHER) $(MAKECMDGOALS)'." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "The virtual environment could not be created: install Python's venv module, as in 'apt-get install python3-venv'." >&2; exit 1; }
	@echo "[1/4] torch, OpenCV and the build tools of mmcv (2 to 3 GB)"
	@$(PINNED) torch torchvision numpy opencv-python setuptools wheel ninja cython hatchling editables || { \
	  echo "Installing torch failed: check the network and 9 GB of free disk, then run make again." >&2; exit 1; }
	@$(BIN)/python -c 'import cv2' || { \
	  echo "OpenCV does not start: it needs system libraries, as from 'apt-get install libgl1 libglib2.0-0'." >&2; exit 1; }
	@echo "[2/4] $(MMCV) with operators: compiled once, about 10 minutes on 2 cores (log: $(VENV)/mmcv.log)"
	@$(MAKE) --no-print-directory mmcv
	@$(BIN)/python -c 'import torch, mmcv._ext' 2>/dev/null || { \
	  echo "      pip's cache has operators for another torch: compiling them again"; \
	  $(MAKE) --no-print-directory mmcv FRESH="--no-cache-dir --force-reinstall --no-deps"; }
	@echo "[3/4] mmpose, mmdet, mim and the tools for tests"
	@$(PINNED) --no-build-isolation chumpy && $(PINNED) --no-build-isolation $(HOSTS) && \
	  $(PINNED) safetensors pytest pytest-cov pytest-xdist hypothesis ruff playwright tensorboard onnx onnxruntime openvino || { \
	  echo "Installing mmpose failed: see the lines above for the package; check the network and run make again." >&2; exit 1; }
	@echo "[4/4] tfpose_mm"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) check
	@CUDA_VISIBLE_DEVICES= $(BIN)/python -m tfpose_lite.check_env
	@touch $@

# pip runs in the foreground, so that Ctrl-C ends it; then the counter in the background ends, too.
.PHONY: mmcv
mmcv:
	@( while sleep 5; do printf '\r      compiled %s ' "$$(grep -oE '^ *\[[0-9]+/[0-9]+\]' $(VENV)/mmcv.log | tail -n 1)"; done ) & counter=$$!; \
	trap 'kill $$counter' EXIT; trap 'exit 130' INT TERM; \
	MMCV_WITH_OPS=1 FORCE_CUDA=0 CUDA_VISIBLE_DEVICES= CFLAGS="-O2 -g0" \
	  $(PINNED) -v --no-build-isolation $(FRESH) $(MMCV) > $(VENV)/mmcv.log 2>&1 || { tail -n 20 $(VENV)/mmcv.log; \
	  echo "Compiling mmcv failed: it needs a C++ compiler, as from 'apt-get install g++'; the whole log is $(VENV)/mmcv.log." >&2; exit 1; }; \
	echo

demo: $(REPORT)
	@cat $(DEMO)/report/report.txt
	@echo "report:      $(REPORT): open it in a browser"

$(DATA): $(wildcard tfpose_mm/datasets/synthetic/*.py) | $(READY)
	@echo "[1/3] Drawing synthetic images"
	@rm -rf $(DEMO)/data # drawn by another version of the code
	@$(BIN)/python -m tfpose_mm.tools.make_synthetic $(DEMO)/data --train 2000 --val 300 --level easy

# An interrupted training is resumed only if its config and its data have not changed.
$(CHECKPOINT): $(DATA) $(CONFIG) $(wildcard configs/_base_/*.py)
	@echo "[2/3] Training (log: $(DEMO)/train)"
	@cat $^ | sha256sum > $(DEMO)/began-with; cmp -s $(DEMO)/began-with $(DEMO)/train/began-with && test ! -e $@ || { \
	  rm -rf $(DEMO)/train; mkdir -p $(DEMO)/train; }; mv $(DEMO)/began-with $(DEMO)/train
	@SYNTHETIC_ROOT=$(DEMO)/data PATH="$(abspath $(BIN)):$$PATH" \
	  $(BIN)/mim train mmpose $(CONFIG) --work-dir $(DEMO)/train --resume || { \
	  echo "Training failed: see the lines above. 'make demo' resumes from the last epoch; after 'make clean' it starts from scratch." >&2; exit 1; }
	@cp "$$(cat $(DEMO)/train/last_checkpoint)" $@

$(REPORT): $(CHECKPOINT)
	@echo "[3/3] Evaluating on the validation images, writing the report (about a minute; log: $(DEMO)/report.log)"
	@rm -rf $(DEMO)/report # of another checkpoint
	@export SYNTHETIC_ROOT=$(DEMO)/data; \
	  $(BIN)/python -m tfpose_mm.tools.evaluate $(CONFIG) $(CHECKPOINT) --out $(DEMO)/report > $(DEMO)/report.log && \
	  $(BIN)/python -m tfpose_mm.tools.report $(CONFIG) $(CHECKPOINT) --out $(DEMO)/report --logs demo=$(DEMO)/train \
	  >> $(DEMO)/report.log || { \
	  echo "Evaluating failed: see $(DEMO)/report.log; run 'make clean' and 'make demo' to start from scratch." >&2; exit 1; }

test: $(READY)
	@$(PYTEST)

coverage: $(READY)
	@$(PYTEST) --cov=tfpose_mm --cov=tfpose_lite --cov=benchmarks --cov-branch --cov-report=term-missing:skip-covered

faults: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.seeded_faults

# each fault many times: writes docs/reliability.md
test-faults: $(READY)
	@RELIABILITY=full $(PYTEST) -m reliability
	@$(BIN)/python -m tests.helpers.reliability

test-fast: $(READY)
	@$(PYTEST) -m "not slow"

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(READY)
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

picture: demo
	@$(BIN)/python -c 'import cv2; \
	  pictures = {"demo": "predictions", "refinement": "figures/person0_refinement", \
	    "sampling_points": "figures/person0_fig7_sampling_points"}; \
	  [cv2.imwrite(f"docs/images/{name}.jpg", cv2.imread(f"$(DEMO)/report/{path}.png")) for name, path in pictures.items()]'

clean:
	rm -rf $(DEMO)/data $(DEMO)/train $(DEMO)/report $(DEMO)/report.log
