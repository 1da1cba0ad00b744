# Two commands do everything: `make demo` and `make test`. Each sets up what it needs; a second call skips that.

PYTHON ?= python3
VENV ?= .venv
# Where torch comes from. Set it to PyTorch's CPU wheel index if your default registry only has CUDA builds.
TORCH_INDEX ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .venv-peers
DEMO := runs/demo
GAZEBO_TESTS := tests/test_plugin_core.py tests/test_sim.py $(addprefix tests/test_gazebo_,plugin.py server.py backend.py arms.py objects.py)

.DEFAULT_GOAL := help
.PHONY: help setup system demo test test-gz-sim cluster-test check docs bench peers images clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

setup: $(STAMP)  ## Make the virtual environment with everything that pip can give

$(STAMP): setup.py constraints.txt tests/legacy.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/legacy -r tests/legacy.txt
	@touch $@

system:  ## Install what tests and pictures need of the system (Debian, Ubuntu), where it is missing
	@{ $(PYTHON) -c "import ctypes.util, sys; sys.exit(ctypes.util.find_library('EGL') is None)" && command -v Xvfb >/dev/null && command -v chromium >/dev/null && command -v chromedriver >/dev/null && command -v cmake >/dev/null && command -v c++ >/dev/null && command -v ip >/dev/null; } || { \
	  packages='libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri xvfb chromium chromium-driver cmake g++ iproute2'; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -q -y $$packages; \
	  else echo "No EGL driver (pictures), no Xvfb (tests of windows), no Chromium (tests of reports), no CMake and C++ compiler (Gazebo plug-in), or no iproute2 (tests of clusters). Install them: sudo apt-get install $$packages"; fi; }

demo: system $(STAMP)  ## Train MARA-v0 with PPO, evaluate it, write the report
	@n=0; while [ -e $(DEMO)-$$n ]; do n=$$((n + 1)); done; \
	  $(BIN)/gym-gazebo2 train --env MARA-v0 --algo ppo --seed 0 --out $(DEMO)-$$n && $(BIN)/gym-gazebo2 evaluate $(DEMO)-$$n --runs 30

test: system $(STAMP)  ## Run every test, Gazebo and ROS 2 ones included
	$(BIN)/gym-gazebo2 install-gazebo
	$(BIN)/python -m pytest -n 3 --dist loadfile --durations 30 --durations-min 10 $(TESTS)

test-gz-sim: $(STAMP)  ## Run the tests of Gazebo 11 on gz-sim, where it is installed
	$(BIN)/gym-gazebo2 install-gazebo --simulator gz_sim
	GYM_GAZEBO2_SIMULATOR=gz_sim $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not gazebo11' $(or $(TESTS),$(GAZEBO_TESTS) tests/test_gz_control.py)

cluster-test: $(STAMP)  ## Test a cluster of several machines, made of network namespaces (Linux, root)
	@ip netns list >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] || { echo 'Network namespaces need root and iproute2. Use: sudo make cluster-test'; exit 1; }
	$(BIN)/python -m pytest tests/test_cluster_network.py

check: $(STAMP)  ## Lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## Build the documentation as a site, in site/
	$(BIN)/mkdocs build --strict --quiet

bench: system $(STAMP)  ## Print the speeds of docs/figures.md
	$(BIN)/python -m benchmarks.throughput $(if $(wildcard $(PEERS)/bin/python),--peers $(PEERS)/bin/python)

images:  ## Build and try the container images (root, buildah); BOOTSTRAP=1 HOST_PIP=1 needs no registry
	$(PYTHON) deploy/build_images.py $(if $(BOOTSTRAP),--bootstrap) $(if $(HOST_PIP),--host-pip) $(if $(STORAGE),--storage $(STORAGE))

peers: $(PEERS)/.installed  ## Install the packages that the benchmarks compare with, into an environment of their own

$(PEERS)/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	@touch $@

clean:  ## Remove what make made, but for the runs
	rm -rf $(VENV) $(PEERS) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
