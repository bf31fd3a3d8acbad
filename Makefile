# make demo   installs, draws synthetic images, trains a small TFPose, evaluates it and writes a report with figures
# make test   installs and runs the tests
# make help   lists all commands

# STACK selects the host packages: modern has torch 2.13 with the maintained forks onedl-mmengine, onedl-mmcv and
# onedl-mmdetection, classic has OpenMMLab's releases of 2023 (torch 2.1). Each uses its own virtual environment.
STACK ?= modern
ifeq ($(STACK),modern)
  VENV ?= .venv
  DEMO ?= work_dirs/demo
else
  VENV ?= .venv-$(STACK)
  DEMO ?= work_dirs/demo-$(STACK)
endif
PYTHON ?=

BIN := $(VENV)/bin
READY := $(VENV)/ready$(if $(filter 1,$(CUDA)),-cuda)
CONFIG := configs/tfpose_tiny_synthetic_128x96.py
DATA := $(DEMO)/data/annotations/person_keypoints_val.json
CHECKPOINT := $(DEMO)/train/trained.pth
REPORT := $(DEMO)/report/report.html
# Threads that wait without spinning: on a quiet machine an iteration takes 0.31 s instead of 0.27 s, beside one busy
# process 0.42 s instead of 2.4 s (2 cores)
export OMP_WAIT_POLICY ?= PASSIVE
# up to 4 processes with one thread each; all tests of a file run in the same process
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart=0

.DELETE_ON_ERROR:
.PHONY: help env demo test test-all test-faults coverage faults lint format picture clean

help:
	@echo "make demo       train and evaluate a small TFPose on synthetic images, write a report (about 12 minutes)"
	@echo "make test       run the tests for use after each change (about 4 minutes)"
	@echo "make test-all   run all tests: also trainings, models of full size, the wheel, exports"
	@echo "make test-faults  test killed trainings, faulty data, full disks; writes docs/reliability.md (15 minutes)"
	@echo "make coverage   run the tests of make test and print the branch coverage"
	@echo "make faults     check that faults that are put into the code fail tests"
	@echo "make env        only create the environment in $(VENV)"
	@echo "make lint       check style and types; make format corrects the style"
	@echo "make picture    put the demo's figures into docs/images"
	@echo "make clean      delete the demo's results; the environment stays"
	@echo "Options: STACK=modern (torch 2.13, Python 3.12 or 3.13) or STACK=classic (torch 2.1, Python 3.9 to 3.11)"
	@echo "         PYTHON=/path/to/python, else one that fits is found or fetched; CUDA=1 compiles MMCV for GPUs"
	@echo "         VENV=$(VENV) DEMO=$(DEMO)"

env: $(READY)

# uv installs the versions of pyproject.toml; environment/install.sh says what it does
$(READY): pyproject.toml $(wildcard environment/* environment/*/*.toml)
	@CUDA=$(CUDA) environment/install.sh $(STACK) $(VENV) $(PYTHON)
	@touch $@

demo: $(REPORT)
	@cat $(DEMO)/report/report.txt
	@echo "Open the report in a browser."

$(DATA): $(wildcard tfpose_mm/datasets/synthetic/*.py) | $(READY)
	@echo "[1/3] Drawing synthetic images"
	@rm -rf $(DEMO)/data # drawn by another version of the code
	@$(BIN)/tfpose synthesize $(DEMO)/data --train 2000 --val 300

# An interrupted training is resumed only if its config and its data have not changed.
$(CHECKPOINT): $(DATA) $(CONFIG) configs/tfpose_r50_coco_256x192.py $(wildcard configs/_base_/*.py)
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
	@SYNTHETIC_ROOT=$(DEMO)/data $(BIN)/tfpose report $(CONFIG) $(CHECKPOINT) --out $(DEMO)/report \
	  --logs demo=$(DEMO)/train > $(DEMO)/report.log || { \
	  echo "Evaluating failed: see $(DEMO)/report.log; run 'make clean' and 'make demo' to start from scratch." >&2; exit 1; }

test: $(READY)
	@$(PYTEST) -m "not slow"

test-all: $(READY)
	@$(PYTEST)

coverage: $(READY)
	@$(PYTEST) -m "not slow" --cov=tfpose_mm --cov-branch --cov-report=term-missing:skip-covered

faults: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.seeded_faults

# each fault many times: writes docs/reliability.md
test-faults: $(READY)
	@RELIABILITY=full $(PYTEST) -m reliability
	@$(BIN)/python -m tests.helpers.reliability

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
ifeq ($(STACK),modern)
	@$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python
	@$(BIN)/lint-imports --no-cache
endif

format: $(READY)
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

picture: demo
	@$(BIN)/python -c 'import cv2; \
	  pictures = {"demo": "fig10_qualitative", "refinement": "person0_refinement", \
	    "sampling_points": "person0_fig7_sampling_points"}; \
	  [cv2.imwrite(f"docs/images/{name}.jpg", cv2.imread(f"$(DEMO)/report/figures/{figure}.png")) \
	    for name, figure in pictures.items()]'

clean:
	rm -rf $(DEMO)/data $(DEMO)/train $(DEMO)/report $(DEMO)/report.log
