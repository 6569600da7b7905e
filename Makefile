PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo console quick test faults oldest detection cluster lint links audit clean

# The heart of the suite, for the oldest packages.
CORE := $(addprefix tests/,$(addsuffix .py, \
    models/runtime/test_storage models/runtime/test_weight_files models/runtime/test_feature_store \
    models/runtime/test_onnx_network models/test_gabor_filters models/test_coreset models/test_memory_bank \
    models/test_search_index models/test_patchcore models/test_calibration datasets/test_images \
    preprocessing/test_preprocessing preprocessing/test_edges inspection/test_inspector inspection/test_writers \
    evaluation/test_metrics evaluation/test_visualize console/test_console_service scripts/test_requirements))
TESTS := OMP_WAIT_POLICY=PASSIVE $(VENV)/bin/python -m pytest
EACH_CORE := -n auto --dist loadfile
# What the wheel holds, and the demo: mypy and editors find it as one package through links, see CONTRIBUTING.md.
ROOMS := $(filter-out tests,$(patsubst %/__init__.py,%,$(filter-out fastener/%,$(wildcard */__init__.py)))) \
    $(wildcard *.py) fastener/__init__.py

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## train on rendered parts, find the defective ones, show where to look
	$(VENV)/bin/python demo.py

console: $(VENV)/.installed  ## inspect in a browser; without a model of your own, with the demo's
	@find saved_models -name '*.pkl' | grep -q . || $(VENV)/bin/python demo.py
	$(VENV)/bin/python start_app.py

quick: $(VENV)/.installed-dev  ## run the tests of the daily loop, in under two minutes
	$(TESTS) $(EACH_CORE) -m "not slow and not browser and not cluster"

test: $(VENV)/.installed-dev  ## run all tests
	$(TESTS) $(EACH_CORE) --durations=15

faults: $(VENV)/.installed-dev  ## the long form of tests/faults: 50 kills, longer fuzzing; minutes
	FASTENER_FAULTS=long $(TESTS) --durations=15 tests/faults

oldest: $(OLDEST)/.installed  ## run the heart of the tests with the oldest packages that are supported
	OMP_WAIT_POLICY=PASSIVE $(OLDEST)/bin/python -m pytest --durations=5 $(CORE)

detection: $(VENV)/.installed-detection  ## install RF-DETR and run its tests
	$(TESTS) --durations=5 tests/anode/test_rf_detr.py tests/evaluation/test_detection_metrics.py

cluster: $(VENV)/.installed-cluster  ## install Ray and run its tests
	$(TESTS) --durations=5 tests/distributed

lint: $(VENV)/.installed-dev links  ## check style, format and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

links:
	@rm -rf build/typecheck && mkdir -p build/typecheck/fastener
	@ln -s $(addprefix $(CURDIR)/,$(ROOMS)) build/typecheck/fastener/

audit: $(VENV)/.installed-dev  ## ask PyPI for known vulnerabilities of the installed packages
	$(PIP) pip-audit
	$(VENV)/bin/python -m pip_audit --strict --progress-spinner off

clean:  ## remove what the demo and the checks wrote; .venv stays
	rm -rf build/typecheck data/demo saved_models/demo.pkl outputs/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: apt install python3, or name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "installing packages into $(VENV); minutes the first time"
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements/dev.txt | $(VENV)/bin/python
	@echo "installing packages into $(VENV); minutes the first time"
	$(PIP) -r requirements/dev.txt
	@touch $(VENV)/.installed $@

$(VENV)/.installed-detection: requirements/detection.txt $(VENV)/.installed-dev
	@echo "installing RF-DETR into $(VENV); minutes the first time"
	$(PIP) -r requirements/detection.txt
	@touch $@

$(VENV)/.installed-cluster: requirements/cluster.txt $(VENV)/.installed-dev
	@echo "installing Ray into $(VENV); minutes the first time"
	$(PIP) -r requirements/cluster.txt
	@touch $@

# What has no pin of its own, and torch where its pin is the same, is seen through a path to the other environment.
$(OLDEST)/.installed: requirements/oldest.txt $(VENV)/.installed-dev
	@echo "installing the oldest packages into $(OLDEST); minutes the first time"
	$(VENV)/bin/python -m venv $(OLDEST)
	echo "$(CURDIR)/$$(echo $(VENV)/lib/python3*/site-packages)" > $$(echo $(OLDEST)/lib/python3*/site-packages)/newest.pth
	$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet -r requirements/oldest.txt
	@touch $@
