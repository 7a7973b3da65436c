# `make` alone lists what can be done.

.DEFAULT_GOAL := help
.PHONY: help install check docs test coverage test-fast test-faults test-schema contract contract-models promote rollback test-containers demo start stop up gpu-check down release sbom models train bench proto schemas lock clean

VENV := .venv
PYTHON := $(VENV)/bin/python
PACKAGES := shared client services/api services/worker services/ui services/trainer services/serving
PROJECT_FILES := pyproject.toml $(addsuffix /pyproject.toml,$(PACKAGES))
PIP_INSTALL := $(PYTHON) -m pip install -qq --disable-pip-version-check -c constraints.txt
INSTALLED := $(VENV)/.installed
PYTEST := -m pytest
MEASURED_PYTEST := -m coverage run -m pytest
RUFF_PATHS := shared client services deploy benchmarks tests

# The pages of the site, and what they link to outside docs/ (mkdocs.yml).
DOCS := README.md CONTRIBUTING.md CHANGELOG.md LICENSE .env.example docs samples/README.md samples/NOTICE.txt splits

# Moves the labels of models; the local stack's addresses may stand in `.env`.
ROLLOUT := $(if $(COMPOSE),docker compose run --rm --no-deps rollout,set -a; test ! -e .env || . ./.env; set +a; metseg-api models)

# Programs of .venv come first, for what the tests start, too.
export PATH := $(abspath $(VENV))/bin:$(PATH)

# Real images, where they lie beside the repository; tests that need them are skipped otherwise.
ifeq ($(origin METSEG_DATA),undefined)
ifneq ($(wildcard ../shared/data),)
export METSEG_DATA := $(abspath ../shared/data)
endif
endif

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## set up .venv and Redis (repeating it costs nothing)
	@deploy/local/system_parts.sh redis

$(INSTALLED): $(PROJECT_FILES) constraints.txt deploy/local/make_venv.sh
	@echo "Setting up $(VENV) (some minutes the first time)."
	@deploy/local/make_venv.sh $(VENV)
	@$(PIP_INSTALL) pip
	@$(PIP_INSTALL) hatchling editables
	@$(PIP_INSTALL) --no-build-isolation --group dev $(addprefix -e ,$(PACKAGES))
	@touch $@

check: install docs  ## formatting, lint, types, layers of imports, scripts, images, documentation
	$(VENV)/bin/ruff format --check $(RUFF_PATHS)
	$(VENV)/bin/ruff check $(RUFF_PATHS)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/shellcheck .ci/run deploy/*/*.sh
	$(VENV)/bin/hadolint services/*/Dockerfile

docs: install  ## build the documentation as a site in build/docs; broken links fail
	@rm -rf .run/docs-source && mkdir -p .run/docs-source
	@cp -r --parents $(DOCS) .run/docs-source
	$(VENV)/bin/mkdocs build --strict

test: install models  ## every test but the containers', with the running stack and a browser
	@deploy/local/system_parts.sh chromium
	@deploy/local/system_parts.sh promtool
	@deploy/local/system_parts.sh dicom
	@deploy/local/system_parts.sh jpeg_lossless
	$(PYTHON) $(PYTEST) -m "not stack and not browser and not containers" -n logical --maxprocesses 4 --dist loadfile
	$(PYTHON) $(PYTEST) -m "(stack or browser) and not containers"

coverage: install  ## as `make test`, and print how much of each package the tests run (TESTS="tests/metseg": some of them)
	@rm -rf .run/coverage && mkdir -p .run/coverage
	$(if $(TESTS),$(PYTHON) $(MEASURED_PYTEST) $(TESTS),$(MAKE) test PYTEST="$(MEASURED_PYTEST)")
	@$(PYTHON) -m coverage combine -q
	@for folder in $(PACKAGES); do \
	  share=$$($(PYTHON) -m coverage report --format=total --include="$$folder/*" 2>/dev/null) || share=–; \
	  printf '%-18s %4s %%\n' $$folder "$$share"; \
	done

test-fast: install  ## the tests that need no stack, no browser and no patience
	$(PYTHON) -m pytest -m "not slow and not stack and not browser and not containers"

test-faults: install  ## kill everything under running jobs (COUNT=1000 SEED=7: the long form)
	FAULT_COUNT=$(COUNT) FAULT_SEED=$(SEED) $(PYTHON) -m pytest -s tests/faults

contract: install  ## ask a model server all that metseg expects (METSEG_CONTRACT_TARGET=host:port, else metseg-serving)
	$(PYTHON) -m pytest tests/contract

contract-models: install  ## write the models and files that `make contract` wants served to .run/contract
	@rm -rf .run/contract
	@PYTHONPATH=tests/support TF_CPP_MIN_LOG_LEVEL=2 $(PYTHON) tests/support/contract_models.py .run/contract

promote: install  ## let jobs have MODEL in VERSION (TO=canary: a share of them; COMPOSE=1: in the containers)
	@$(ROLLOUT) promote $(MODEL) $(VERSION) $(if $(TO),--to $(TO))

rollback: install  ## take the last promotion of MODEL back (COMPOSE=1: in the containers)
	@$(ROLLOUT) rollback $(MODEL)

test-schema: install  ## send what the OpenAPI document allows and what it forbids (CASES=300 SEED=7: the long form)
	SCHEMA_CASES=$(CASES) SCHEMA_SEED=$(SEED) $(PYTHON) -m pytest -s tests/api/openapi/test_cases.py

test-containers: install  ## build every image, run the deployment, prove what it promises (TAG=latest: of built images; ONLY: some files)
	@deploy/local/system_parts.sh chromium
	$(PYTHON) -m pytest -s -v -m containers $(or $(ONLY),tests/containers)

demo: install models  ## start everything, segment a sample scan, show it (ONCE=1: stop after the job)
	@$(PYTHON) -m deploy.local.demo $(if $(ONCE),--once)

start: install models  ## start the same stack in the background, return when it is ready
	@$(PYTHON) -m deploy.local.stack start

stop:  ## end what `make start` started
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m deploy.local.stack stop; else echo "Nothing is installed here."; fi

up:  ## start the containers, with or without a GPU as this host is (docs/deployment.md)
	@deploy/compose/up.sh

gpu-check: install  ## on a host with a GPU: start the containers, try all they promise there, write gpu-report.json
	@$(PYTHON) -m deploy.gpu_check

down:  ## stop the containers; jobs, results, models and keys stay in their volumes
	docker compose --profile '*' down --remove-orphans

release: install  ## check, test and build this commit as a release, and tag it (CONTRIBUTING.md, Release)
	@$(PYTHON) -m deploy.local.release check
	@$(MAKE) check test
	@$(PYTHON) -m deploy.local.release build

sbom: install  ## list what is in each image, in sbom/ (images must be built)
	@deploy/compose/sbom.sh

models: install  ## export the shipped weights to SavedModels, where that is not done yet
	@deploy/local/models_are_exported.sh || { \
	  echo "Exporting the shipped models (once)."; \
	  $(VENV)/bin/metseg-train export --all-shipped --models models; }

train: install  ## train, measure and export the shipped weights, or go on with it (METSEG_DATA; hours; RECIPE=shipped: one of them)
	@recipes=$$($(VENV)/bin/metseg-train recipes) && for recipe in $(or $(RECIPE),$$recipes); do \
	  $(VENV)/bin/metseg-train fit --recipe $$recipe --resume && \
	  $(VENV)/bin/metseg-train evaluate --run runs/$$recipe --choose && \
	  $(VENV)/bin/metseg-train export --run runs/$$recipe --models models || exit 1; \
	done

bench: install models  ## print the measured claims
	$(PYTHON) -m benchmarks.memory
	$(PYTHON) -m benchmarks.api
	$(PYTHON) -m benchmarks.finish
	$(PYTHON) -m benchmarks.gatekeeper

proto: install  ## generate the protobuf code anew from the .proto files
	$(PYTHON) -m grpc_tools.protoc -I shared --python_out=shared --pyi_out=shared shared/metseg/serving/proto/serving_wire.proto
	$(PYTHON) -m grpc_tools.protoc -I services/serving --python_out=services/serving --pyi_out=services/serving \
	  services/serving/metseg_serving/proto/batching_parameters.proto services/serving/metseg_serving/proto/monitoring_config.proto

schemas: install  ## publish the JSON schemas of reports and model cards anew
	$(PYTHON) -m deploy.local.schemas

lock: install  ## remake constraints.txt from the newest versions that fit together
	deploy/local/lock.sh

clean: stop  ## remove what was made here, but not the store, nor the weights
	rm -rf $(VENV) .run build demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find shared client services deploy benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
