# Everything runs in .venv, which is made from requirements.lock first (about 460 MB to download).
#     make reproduce PYTHON=python3.12     chooses a Python; it is remembered
#     make reproduce DATA=rruff            chooses a source of spectra; or DATA=path/of/an/archive.zip
# Without make, see the README.
STAMP = .venv/made-for.txt
MADE_FOR := $(shell cat $(STAMP) 2>/dev/null)
PYTHON ?= $(or $(firstword $(MADE_FOR)),python3)
IN_VENV = .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
COMMAND = $(IN_VENV) -m fmcnn_utils
DATA_OPTION = $(if $(DATA),--data "$(DATA)")
# where fits run: JOBS=4 processes, or on a Dask cluster, SCHEDULER=tcp://192.168.0.2:8786
FITS = $(if $(JOBS),--jobs $(JOBS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

.PHONY: help reproduce test lab identify paper site search sweep notebooks figures atlas pretrained identifier beyond classroom bundle lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

reproduce: $(STAMP)  ## run all notebooks, quickly: build/reproduce/index.html  [DATA=]
	@$(COMMAND) reproduce $(DATA_OPTION)

test: $(STAMP)  ## ruff, the tests, and nbval over the notebooks
	$(IN_VENV) -m ruff check
	$(IN_VENV) -m ruff format --check
	$(IN_VENV) -m pytest

lab: $(STAMP)  ## JupyterLab on the notebooks
	$(IN_VENV) -m jupyterlab --ip=127.0.0.1 notebooks

identify: $(STAMP)  ## name the minerals of spectra: build/identify.html  FILES="a.txt b.csv"
	@$(COMMAND) identify $(FILES) --html build/identify.html --csv build/identify.csv

paper: $(STAMP)  ## the full protocol on RRUFF, tables and figures: hours  [DATA= REPEATS= JOBS= SCHEDULER=]
	@$(IN_VENV) scripts/paper.py $(DATA_OPTION) $(if $(REPEATS),--repeats $(REPEATS)) $(FITS)

site: $(STAMP)  ## pages of the committed notebooks: build/site/index.html
	@$(COMMAND) site

sweep: $(STAMP)  ## a notebook for many values  FILE=notebooks/sweeps/width.yaml  [DATA= JOBS= SCHEDULER= KEEP=1]
	@$(COMMAND) sweep $(if $(FILE),"$(FILE)") $(DATA_OPTION) $(FITS) $(if $(KEEP),--keep)

notebooks: $(STAMP)  ## refresh the committed outputs
	@$(COMMAND) notebooks

figures: $(STAMP)  ## figures/ and the README's tables, from results/rruff  [DATA=]
	@$(IN_VENV) scripts/figures.py $(DATA_OPTION)

search: $(STAMP)  ## what the paper leaves open: hours  [DATA= JOBS= SCHEDULER=]
	@$(IN_VENV) scripts/search.py $(DATA_OPTION) $(FITS)

atlas: $(STAMP)  ## measure the peak atlas anew  DATA=  [JOBS=]
	@$(IN_VENV) scripts/atlas.py $(DATA_OPTION) $(if $(JOBS),--jobs $(JOBS))

pretrained: $(STAMP)  ## train the network that comes with the code  [DATA=]
	@$(IN_VENV) scripts/pretrained.py $(DATA_OPTION)

identifier: $(STAMP)  ## train and measure what identify uses  DATA= UNORIENTED=  [RAW= JOBS=]
	@$(IN_VENV) scripts/identify.py $(DATA_OPTION) --unoriented "$(UNORIENTED)" --protocol $(if $(RAW),--raw "$(RAW)") $(if $(JOBS),--jobs $(JOBS))

beyond: $(STAMP)  ## new specimens, and a better model: hours  [DATA= JOBS= UNORIENTED=]
	@$(IN_VENV) scripts/beyond.py $(DATA_OPTION) $(if $(JOBS),--jobs $(JOBS))
	$(if $(UNORIENTED),@$(IN_VENV) scripts/transfer.py $(DATA_OPTION) --unoriented "$(UNORIENTED)" $(if $(JOBS),--jobs $(JOBS)))

classroom: $(STAMP)  ## a course folder with all exercises, for nbgrader: build/classroom  [COURSE=]
	@$(IN_VENV) scripts/classroom.py $(if $(COURSE),--course "$(COURSE)")

bundle: $(STAMP) site  ## all for machines without internet: build/bundle  [PLATFORMS="linux mac windows" PYTHONS=3.12]
	@$(IN_VENV) scripts/bundle.py $(if $(PLATFORMS),--platform $(PLATFORMS)) $(if $(PYTHONS),--python $(PYTHONS))

# The stamp is written last, so that an interrupted environment is made again, and says what the
# environment was made for: another Python, or a folder that was moved, needs another one.
ifneq ($(MADE_FOR),$(PYTHON) $(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("This is Python %d.%d, and the locked packages are for 3.10 to 3.13: name one of those, for example: make reproduce PYTHON=python3.12" % v)'
	$(PYTHON) -m venv --clear .venv
	$(IN_VENV) -m pip install --require-hashes -r requirements.lock
	$(IN_VENV) -m pip install --no-deps --no-build-isolation -e .
	@echo "$(PYTHON) $(CURDIR)" > $(STAMP)

lock:  ## resolve the environment anew (needs uv)
	uv pip compile pyproject.toml --extra cpu --extra test --extra formats --extra classroom --universal --python-version 3.10 --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade -o requirements.lock

clean:  ## remove build/ and the tools' caches; kept fits, downloads and .venv stay
	rm -rf build .pytest_cache .ruff_cache .hypothesis data/cache/archives
	find fmcnn_utils scripts tests notebooks benchmarks -depth -name __pycache__ -exec rm -rf {} +
	find notebooks -depth -name .ipynb_checkpoints -exec rm -rf {} +
