# `make help` lists what there is. Needs cargo (Rust 1.94 or later) and python3 with pip; everything else is fetched.

.DEFAULT_GOAL := help
.PHONY: help serve runtime runtime-gpu encoders test test-training lint bench peers eval clean clients need-cargo

PYTHON ?= python3
CLIENTS := tests/clients
DATA ?= ../shared/data
BUNDLE ?= models/default
PRECISION ?= int8
# The port of `make serve`, where the environment names one.
LISTEN := $(if $(TRIMTAB_PORT),--listen 127.0.0.1:$(TRIMTAB_PORT))

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 # \2/p' $(MAKEFILE_LIST) | column -t -s '#'

serve: runtime ## Builds and runs the server; TRIMTAB_PORT changes its port
	cargo run --release --locked -- serve $(LISTEN)

runtime: | need-cargo ## Places ONNX Runtime under .runtime/
	@$(PYTHON) scripts/fetch-runtime

runtime-gpu: ## Places ONNX Runtime for CUDA 13 and cuDNN 9 under .runtime/ (a download of 256 MB)
	@$(PYTHON) scripts/fetch-runtime --gpu

encoders: training/.venv/.installed ## Builds the transformer encoder of the careful scorer; PRECISION=int8 (CPU), fp16 (GPU) or fp32
	cd training && .venv/bin/python build_transformer.py --precision $(PRECISION)

test: runtime clients ## Runs every test, with the official clients and the best known frameworks
	@scripts/run-tests

test-training: training/.venv/.installed ## Runs the tests of the encoder recipes
	cd training && .venv/bin/python -m unittest discover -s tests -t .

lint: | need-cargo ## Checks format, lints and documentation
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked

bench: runtime ## Measures speed
	cargo bench --locked

peers: runtime ## Compares speed with LiteLLM and Portkey, which it installs under target/peers, and with nginx where it is there
	benches/peers/setup target/peers
	PEERS=$(CURDIR)/target/peers cargo bench --locked --bench peers

eval: runtime ## Measures the bundle's quality against its bars on the outcomes under DATA; QUICK=1 draws fewer seeds
	@test -d $(DATA) || { echo "make eval needs published outcomes (outcomes.parquet, tasks.parquet): $(DATA) is not there; set DATA to a directory that has them"; exit 1; }
	cargo bench --locked --bench quality -- --data $(DATA) --bundle $(BUNDLE) $(if $(QUICK),--quick)

clean: ## Removes what was built and fetched, but no data and no models
	rm -rf target .runtime .venv training/.venv training/.cache $(CLIENTS)/node/node_modules

clients: .venv/.installed $(if $(shell command -v npm),$(CLIENTS)/node/node_modules/.installed)

.venv/.installed: $(CLIENTS)/python/requirements.txt
training/.venv/.installed: training/requirements.txt

%/.installed:
	@$(PYTHON) -m venv $(@D) || { echo "no virtual environment could be made (Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(CLIENTS)/node/node_modules/.installed: $(CLIENTS)/node/package-lock.json
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(CLIENTS)/node
	@touch $@

need-cargo:
	@command -v cargo >/dev/null || { echo "cargo is not installed: get Rust 1.94 or later from https://rustup.rs, then open a new shell"; exit 1; }
