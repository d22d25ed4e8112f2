# `make` alone prints help. Two commands matter: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
STAGE := tests/setup/stage.sh
# What could not be tested is noted here and said loudly at the end; in CI it is a failure.
export STEWARD_SKIPPED := $(CURDIR)/target/skipped.txt

.PHONY: help run demo test bench fuzz check openapi n8n setup fmt clean-data

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Start all four services on this machine, nothing to install; says what to open
	cargo run --release --quiet -p steward -- up $(ARGS)

demo: ## Play the low-stock scenario on a bundled week of real retail sales
	cargo run --release --quiet -p steward -- demo $(ARGS)

test: setup ## Install what the tests need, then run all of them
	@mkdir -p target && rm -f $(STEWARD_SKIPPED)
	$(STAGE) 120 "build what the tests run" cargo build --workspace --bins
	$(STAGE) 420 "unit and service tests" cargo test --workspace --exclude steward-e2e --quiet --no-fail-fast
	$(STAGE) 1000 "end to end" cargo test -p steward-e2e --quiet --no-fail-fast -- --test-threads=1
	$(STAGE) 180 "fuzzing" tests/fuzz/run.sh 3
	@tests/setup/skipped.sh

bench: setup ## Measure against yardsticks on durable servers; ONLY="path hook" for some; faults, public, stream-10g only so
	cargo build --release --bins
	cargo bench -p steward-e2e --bench bench -- $(ONLY)

fuzz: ## Look for inputs that break a parser's promise: FOR=300 seconds each, TARGET=grant for one
	tests/fuzz/run.sh $(or $(FOR),300) $(TARGET)

check: ## Formatting, lints, layers, generated files, workflows, manifests, licences
	$(STAGE) 10 "formatting" cargo fmt --all --check
	$(STAGE) 180 "clippy" cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(STAGE) 160 "layers, generated documents, workflows" cargo test -p steward-e2e --quiet --test house
	$(STAGE) 30 "manifests" deploy/check.sh
	$(STAGE) 240 "dependencies" tests/setup/deny.sh

openapi: ## Write openapi/ anew from the code
	cargo run --quiet -p steward -- openapi --out openapi

n8n: ## Start a real n8n with the workflows, beside the fleet of `make run`
	tests/setup/install.sh n8n
	n8n-workflows/up.sh

setup: ## Install RabbitMQ, Redis, PostgreSQL, Chromium, n8n, Odoo and schemathesis where missing
	$(STAGE) 340 "set-up" tests/setup/install.sh

fmt: ## Format the code
	cargo fmt --all

clean-data: ## Remove the data that `make run` left in ./steward-data
	rm -rf steward-data
