# rca-llm: everything one needs to type. `make` alone prints this help.
SHELL := /bin/bash
.DEFAULT_GOAL := help

EXPERIMENT ?= quickstart
RUN_ID ?= $(EXPERIMENT)
INVENTORY ?= inventories/local
# On a cluster nothing is served by this machine.
SERVING := $(if $(shell grep -rls '^ *platform: *kubernetes' $(INVENTORY)),,serve-environment)
DATASET ?= llm-serving-local-1
RECORDED := data/runs/$(DATASET)
PYTHON ?= python3
# Where evaluate runs: empty for this machine, auto for the cluster of INVENTORY, or the address of a Ray that is there.
RAY ?=
# Who has to type a password for sudo: make sweep BECOME=--ask-become-pass
BECOME ?=

.PHONY: help experiment data evaluate data-set artifacts test test-e2e test-ray lint format sweep clean uninstall known-experiment dev-environment serve-environment

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  EXPERIMENT=$(EXPERIMENT) (ansible/configs/experiments), RUN_ID=$(RUN_ID) (data/runs), INVENTORY=$(INVENTORY), PYTHON=$(PYTHON)"

experiment: known-experiment dev-environment $(SERVING) ## Serve a model, load it, break it, find the culprit (about 8 minutes)
	@.venv/bin/python ansible/run_experiment.py $(EXPERIMENT) --run-id $(RUN_ID) --inventory $(INVENTORY)

data: dev-environment ## Unpack the data set llm-serving-local-1 and check every file of it
	@test -e data/$(DATASET) || .venv/bin/rca-benchmark dataset unpack data/artifacts.tar.gz --out data/$(DATASET)
	@.venv/bin/rca-benchmark dataset validate data/$(DATASET)

evaluate: data ## Score every installed method on the data set (about 10 minutes); with RAY=auto on INVENTORY's cluster
ifeq ($(RAY),auto)
	@cd ansible && ../.venv/bin/ansible-playbook -i ../$(INVENTORY) evaluate.yaml \
		-e evaluation_dataset=$(CURDIR)/data/$(DATASET) -e evaluation_out=$(CURDIR)/data/evaluation
else
	@rca-benchmark/evaluate-all.sh $(if $(RAY),--ray $(RAY)) --out data/evaluation data/$(DATASET)
endif

data-set: dev-environment $(SERVING) ## Go on recording the data set; a new one with DATASET=name (about 5 hours)
	@test $(DATASET) != llm-serving-local-1 || test -e $(RECORDED) || test ! -e data/artifacts.tar.gz || { \
		.venv/bin/rca-benchmark dataset unpack data/artifacts.tar.gz --out $(RECORDED)/cases && \
		mv $(RECORDED)/cases/manifest.json $(RECORDED)/; }
	@.venv/bin/python ansible/run_experiment.py rca-anomaly-injections --run-id $(DATASET) --inventory $(INVENTORY) \
		--retries 3

artifacts: dev-environment ## Score and check the recorded data set, and pack it as data/artifacts.tar.gz
	@.venv/bin/rca-benchmark dataset index $(RECORDED)/cases --name $(DATASET) --licence CC-BY-4.0
	@rca-benchmark/evaluate-all.sh --out $(RECORDED)/evaluation $(RECORDED)/cases
	@.venv/bin/rca-benchmark validity $(RECORDED)/cases --out $(RECORDED)/validity.md
	@rm -f data/artifacts.tar.gz
	@.venv/bin/rca-benchmark dataset pack $(RECORDED)/cases --out data/artifacts.tar.gz \
		$(foreach file,evaluation/leaderboard.csv evaluation/leaderboard.md validity.md manifest.json,--attach $(RECORDED)/$(file))

test: dev-environment ## Run the unit and integration tests
	@.venv/bin/pytest -q llm-benchmark
	@.venv/bin/pytest -q --numprocesses auto --maxprocesses 8 --dist worksteal rca-benchmark ansible

test-e2e: dev-environment serve-environment ## Run every fault and a shortened experiment on the real stack (about 21 minutes)
	@.venv/bin/pytest -q -x -m e2e ansible/tests/test_faults_e2e.py ansible/tests/test_e2e.py

test-ray: dev-environment serve-environment ## Run the test that scores over Ray, with the serving environment's Ray
	@PYTHONPATH=$(CURDIR)/rca-benchmark/src:$$(echo $(CURDIR)/.venv/lib/python3*/site-packages) \
		.venv-serve/bin/python -m pytest -q rca-benchmark/tests/evaluation/test_over_ray.py

lint: dev-environment ## Check style, types and playbooks
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy
	@MYPYPATH=ansible/tests/support .venv/bin/mypy ansible/run_experiment.py ansible/docs.py ansible/versions.py ansible/benchmarks ansible/tests
	@for role in ansible/roles/*/files; do .venv/bin/mypy $$role || exit 1; done
	@cd ansible && ../.venv/bin/ansible-lint --offline --profile production --strict

format: dev-environment ## Put the code into its one format
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

sweep: dev-environment ## Take back whatever faults an interrupted run left behind
	@cd ansible && ../.venv/bin/ansible-playbook -i ../$(INVENTORY) sweep-faults.yaml $(BECOME)

uninstall: dev-environment ## Leave this machine as it was found (recorded runs stay)
	@cd ansible && ../.venv/bin/ansible-playbook -i ../$(INVENTORY) uninstall.yaml $(BECOME)

clean: ## Remove the virtual environments and caches (recorded runs stay)
	rm -rf .venv .venv-serve .pytest_cache .mypy_cache .ruff_cache .hypothesis ansible/.ansible

# Before the minutes that the environments take.
known-experiment:
	@test -e ansible/configs/experiments/$(EXPERIMENT).yaml || { \
		echo "there is no experiment '$(EXPERIMENT)'; choose one of:" \
			$(sort $(basename $(notdir $(wildcard ansible/configs/experiments/*.yaml)))) >&2; exit 2; }

dev-environment:
	@requirements/set-up.sh dev $(PYTHON)

serve-environment:
	@requirements/set-up.sh serve $(PYTHON)
