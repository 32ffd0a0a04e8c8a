# Every target installs what it is missing, on Debian and its kin: as root or with sudo.
.PHONY: run demo check test test-cross test-32-bit bench fuzz deb cross need-rust need-pcap need-test-tools need-home-assistant need-deb-tools

APT := $(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get
BIN := target/release/tapguard

# The daemon on the interface that it finds; the generated network where there is no permission or no traffic.
run: $(BIN)
	$(BIN) run --or-demo --new-token --store target/store

# The generated network, always.
demo: $(BIN)
	$(BIN) demo

# The fast loop: format, lints, unit tests.
check: need-rust need-pcap
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo test --lib

ARM := aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf

# Everything, with brokers, browsers, network namespaces, where there is a Python 3.13 Home Assistant, and the ARM
# builds under emulation; `make test ARM=` leaves those out.
test: need-test-tools need-home-assistant
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@$(MAKE) --no-print-directory test-cross
	cargo test

# The unit tests on 32 bits, under emulation; too slow to be a part of `make test`.
test-32-bit: need-rust
	packaging/cross.sh --unit-tests armv7-unknown-linux-gnueabihf

# Builds and tests for ARM; 77 says that it cannot be done on this machine, which is no failure.
test-cross: need-rust
	@for target in $(ARM); do packaging/cross.sh --test $$target || [ $$? = 77 ] || exit 1; done

# Coverage-guided fuzzing, each target for FUZZ_SECONDS; from generated traffic, and from what earlier runs found.
FUZZ_SECONDS := 600
FUZZ_TARGETS := frame traffic flows capture_file
fuzz: need-rust need-pcap
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz or the nightly compiler is missing: rustup toolchain install nightly, cargo install cargo-fuzz" >&2; exit 1; }
	cd fuzz && cargo run --bin seed
	@for target in $(FUZZ_TARGETS); do cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 || exit 1; done

# Parts of the data plane, then the program as a whole on large captures: those in BENCH_CAPTURES, else generated ones.
bench: need-rust need-pcap
	cargo bench --bench pipeline
	cargo bench --bench process

# The Debian package of this machine's architecture, or of TARGET as in `make cross`; in target/debian. Pages and
# completions are written by the program of this machine.
deb: $(BIN) need-deb-tools $(if $(TARGET),cross)
	$(BIN) generate target/generated
	$(if $(TARGET),CARGO_TARGET_DIR=target/cross) cargo deb --no-build --no-strip $(if $(TARGET),--target $(TARGET)) --output target/debian/

# One static file for an ARM target, in target/cross/TARGET/release; on Debian 12, without Docker:
# make cross TARGET=aarch64-unknown-linux-gnu, or armv7-unknown-linux-gnueabihf
cross: need-rust
	packaging/cross.sh $(TARGET)

$(BIN): need-rust need-pcap
	cargo build --release

need-rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then try again" >&2; exit 1; }

need-pcap:
	@command -v cc >/dev/null && test -e /usr/include/pcap/pcap.h || { $(APT) update -q && $(APT) install -qy gcc libc6-dev libpcap-dev; }

need-deb-tools: need-rust
	@command -v dpkg-shlibdeps >/dev/null || { $(APT) update -q && $(APT) install -qy --no-install-recommends dpkg-dev; }
	@command -v cargo-deb >/dev/null || cargo install --locked cargo-deb

# Package and the program it is wanted for. A tool that cannot be installed is no failure here: the tests that need
# it say so.
TOOLS := systemd:systemd-analyze mosquitto:mosquitto mosquitto-clients:mosquitto_sub tcpreplay:tcpreplay iproute2:ip prometheus:promtool chromium:chromium
need-test-tools: need-rust need-pcap
	@missing=; for t in $(TOOLS); do PATH="$$PATH:/usr/sbin:/sbin" command -v $${t#*:} >/dev/null || missing="$$missing $${t%:*}"; done; \
	[ -z "$$missing" ] || { $(APT) update -q && $(APT) install -qy --no-install-recommends $$missing; } || echo "not installed:$$missing"

# 600 MB in target/, once. Python 3.13 is newer than that of Debian 12; without it the test says that it was skipped.
HOME_ASSISTANT := target/home-assistant
need-home-assistant:
	@test -e $(HOME_ASSISTANT)/installed || test -n "$$HOME_ASSISTANT_PYTHON" || ! python3.13 -c "import ensurepip" 2>/dev/null || \
	{ python3.13 -m venv $(HOME_ASSISTANT) && $(HOME_ASSISTANT)/bin/pip install -q homeassistant==2025.4.4 paho-mqtt==2.1.0 && \
	touch $(HOME_ASSISTANT)/installed; } || echo "not installed: Home Assistant"
