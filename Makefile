# Each target is one command of the package, for those without make:
#     python3 -m fmcnn_utils reproduce          (Windows: py -m fmcnn_utils reproduce)
# and in a conda or Binder environment, which needs no .venv:
#     python -m fmcnn_utils.run reproduce
# Choose a Python with   make reproduce PYTHON=python3.12
# and a data source with make reproduce DATA=rruff   or   DATA=path/of/an/archive.zip
PYTHON ?= python3
COMMAND = $(PYTHON) -m fmcnn_utils
# where fits run: JOBS=4 processes, or on a Dask cluster, SCHEDULER=tcp://192.168.0.2:8786
FITS = $(if $(JOBS),--jobs $(JOBS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

.PHONY: help reproduce test lab paper search sweep notebooks atlas manifest lock clean

help:       # list the commands:              python3 -m fmcnn_utils --help
	@$(COMMAND) --help

reproduce:  # run all notebooks, quickly:     python3 -m fmcnn_utils reproduce [--data SOURCE]
	@$(COMMAND) reproduce $(if $(DATA),--data "$(DATA)")

test:       # ruff, pytest, nbval:            python3 -m fmcnn_utils test
	@$(COMMAND) test

lab:        # JupyterLab on the notebooks:    python3 -m fmcnn_utils lab
	@$(COMMAND) lab

paper:      # the full protocol, on RRUFF:    python3 -m fmcnn_utils paper [--data SOURCE] [--repeats N] [--jobs N] [--scheduler ADDRESS]
	@$(COMMAND) paper $(if $(DATA),--data "$(DATA)") $(if $(REPEATS),--repeats $(REPEATS)) $(FITS)

search:     # what the paper leaves open:     python3 -m fmcnn_utils search [--data SOURCE] [--jobs N] [--scheduler ADDRESS] [MODEL ...]
	@$(COMMAND) search $(if $(DATA),--data "$(DATA)") $(FITS)

sweep:      # e.g. make sweep NOTEBOOK=03 P="SEED 0 1 2":
            #                                 python3 -m fmcnn_utils sweep 03 -p SEED 0 1 2
	@$(COMMAND) sweep $(NOTEBOOK) -p $(P)

notebooks:  # refresh the committed outputs:  python3 -m fmcnn_utils notebooks
	@$(COMMAND) notebooks

atlas:      # measure the peak atlas anew:    python3 -m fmcnn_utils atlas --data ARCHIVE
	@$(COMMAND) atlas $(if $(DATA),--data "$(DATA)")

manifest:   # write the manifest anew:        python3 -m fmcnn_utils manifest --data ARCHIVE
	@$(COMMAND) manifest $(if $(DATA),--data "$(DATA)")

lock:       # resolve the environment anew (needs uv)
	uv pip compile pyproject.toml --extra cpu --extra test --universal --python-version 3.10 --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade -o requirements.lock

clean:      # remove build/ and caches:       python3 -m fmcnn_utils clean
	@$(COMMAND) clean
