# What one does with Roundtable. `make` alone lists it.

# For how long `make fuzz` looks, for each target.
SECONDS_EACH ?= 600

# Test programs that take seconds, and tests that need another program or minutes.
QUICK_TESTS = allocations cluster server
SLOW_TESTS = doctor:: monitoring:: otlp:: servers:: http::connections

.PHONY: help run dev test check test-rust test-monitoring test-fuzz fuzz test-web test-e2e test-containers test-deploy lint fmt protocol bench cluster image pin page deny sbom scan certificate upgrade backup restore readable logs rust node python cxx tools build-tests images-for-tests build-rust-tests

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: rust page ## build everything and serve it at http://localhost:18080
	cargo build --release --locked
	@echo
	@echo 'Roundtable: http://localhost:18080'
	@echo
	@exec target/release/roundtable

dev: rust static/node_modules/.package-lock.json ## server and page, rebuilt as you edit the page
	cargo build --locked
	@trap 'kill 0' EXIT; ROUNDTABLE_ALLOWED_ORIGINS=http://localhost:5173,http://127.0.0.1:5173 target/debug/roundtable & cd static && npm run dev

test: ## everything that CI does; installs what is missing
	@$(MAKE) --no-print-directory -j2 --output-sync=line build-tests
	@$(MAKE) --no-print-directory -j2 --output-sync=line test-containers test-rust test-deploy test-fuzz
	@$(MAKE) --no-print-directory test-e2e

check: rust python cxx static/node_modules/.package-lock.json ## the edit loop: format, lints and quick tests, in under 3 minutes
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUST_TEST_THREADS=$$((6 * $$(nproc))) tests/rust --lib $(QUICK_TESTS:%=--test %) -- $(SLOW_TESTS:%=--skip %)
	cd static && npm run lint && npm test

test-rust: rust python cxx ## format, lints and tests of the server
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	tests/rust

test-monitoring: rust ## dashboards and alerts, with a real Prometheus; part of test-rust
	cargo test --locked --test server monitoring::

test-fuzz: rust ## a short look for input that breaks the server
	fuzz/run 5

test-web: page ## lints, tests, build and size of the page
	cd static && npm run lint && npm test && npm run size

test-e2e: ## calls in real browsers
	tests/e2e/run

test-containers: ## the images and the stack
	tests/containers/run

test-deploy: ## nginx on the machine itself, Kubernetes, the Compose files, the targets sbom, scan and certificate
	tests/deploy/run

lint: rust cxx static/node_modules/.package-lock.json ## formats and lints, without a test
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cd static && npm run lint

fmt: rust static/node_modules/.package-lock.json ## put everything in its format
	cargo fmt
	cd static && npm run format

protocol: rust ## write the TypeScript of the wire types anew
	ROUNDTABLE_WRITE_PROTOCOL=1 cargo test --lib typescript

bench: rust ## what one relayed message costs
	cargo bench --locked

fuzz: rust ## a long look: ten minutes for each target, or SECONDS_EACH=60
	fuzz/run $(SECONDS_EACH)

# With explicit files Compose does not look for the override by itself.
CLUSTER_FILES = -f docker-compose.yml -f docker-compose.cluster.yml $(if $(wildcard docker-compose.override.yml),-f docker-compose.override.yml)

cluster: readable ## three servers that share their rooms, behind nginx: https://localhost:19003
	@compose=$$(docker compose version >/dev/null 2>&1 && echo 'docker compose' || echo docker-compose); \
	set -x; exec $$compose $(CLUSTER_FILES) up --build

image: ## all images: roundtable, roundtable-nginx and roundtable-turn
	scripts/images

pin: ## add the digests of the base images, as their registries have them now, to the source
	scripts/pin

upgrade: readable ## build what is here, check the settings, restart the stack, or roll back; calls go on; CLUSTER=1: the three servers, one by one
	scripts/upgrade $(if $(CLUSTER),$(CLUSTER_FILES))

backup: ## one archive of what cannot be made anew: keys, certificates, .env; TO=folder
	scripts/backup $(TO)

restore: readable ## put a backup back, before the servers start: FROM=archive; CLUSTER=1: the three servers
	scripts/restore '$(FROM)' $(if $(CLUSTER),$(CLUSTER_FILES))

certificate: ## the stack's certificate, and how to bring one; DOMAIN=name EMAIL=address: from Let's Encrypt
	@scripts/certificate $(if $(DOMAIN),'$(DOMAIN)') $(if $(EMAIL),'$(EMAIL)')

# Only what is not readable yet: another user's files cannot be changed, and need not be.
readable: ## let the containers' users read the files that are mounted from here, in a checkout made with umask 027 or 077
	@find deploy/monitoring turn $(wildcard static/dist) \( ! -perm -o=r -o -type d ! -perm -o=x \) -exec chmod a+rX {} +

logs: ## what the stack's containers say, as they say it
	@compose=$$(docker compose version >/dev/null 2>&1 && echo 'docker compose' || echo docker-compose); \
	exec $$compose logs -f --tail=100

page: static/dist/index.html ## build the page into static/dist

deny: rust ## licences, sources and known holes of the dependencies; wants cargo-deny
	@cargo deny --version >/dev/null 2>&1 || { echo "make deny needs cargo-deny: cargo install cargo-deny --locked"; exit 1; }
	cargo deny check

sbom: rust node python ## what it is made of, as CycloneDX, in sbom/: crates, npm packages, the images' Debian packages
	scripts/sbom

scan: rust node python ## licences and known holes of all of that; 1: found some, 2: could not look everywhere
	@scripts/sbom crates npm && scripts/scan

# --- what the others stand on

static/dist/index.html: $(shell find static -name node_modules -prune -o -name dist -prune -o -type f -print) static/node_modules/.package-lock.json
	cd static && npm run build

static/node_modules/.package-lock.json: static/package.json static/package-lock.json | node
	cd static && npm ci --no-audit --no-fund
	@touch $@

rust:
	@command -v cargo >/dev/null || { echo "Rust is missing. Install it from https://rustup.rs (mirrors: https://rsproxy.cn), 1.88 or newer."; exit 1; }

node:
	@command -v npm >/dev/null || { echo "Node.js is missing. Install it from https://nodejs.org (mirrors: https://npmmirror.com/mirrors/node/), 20.19 or newer."; exit 1; }

python:
	@python3 -c 'import tomllib' || { echo "Python 3.11 or newer is missing (Debian: apt install python3)."; exit 1; }

cxx:
	@command -v c++ >/dev/null || { echo "A C++ compiler is missing, which the fuzzer's library needs (Debian: apt install g++)."; exit 1; }

tools: rust node
	tests/tools

# Images and Rust side by side: compilers have phases of one thread, and packages take their time to arrive.
build-tests: images-for-tests build-rust-tests test-web

images-for-tests: tools
	scripts/images

# The compiler for C and C++ may be among the missing tools.
build-rust-tests: rust $(if $(shell command -v cc && command -v c++),,tools)
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --no-run
	fuzz/run 0
