#!/bin/sh
# Builds tapguard for an ARM target on Debian 12 (amd64), without a container: one static file per target.
#
#   packaging/cross.sh [--test | --unit-tests] aarch64-unknown-linux-gnu
#   packaging/cross.sh [--test | --unit-tests] armv7-unknown-linux-gnueabihf
#
# With --test it also tests the file under qemu: alerts as on this machine, store and MQTT. With --unit-tests it builds
# and runs the unit tests instead, which takes ten minutes and more the first time.
# It ends with 77 where it cannot be done here: another system than Debian 12, or packages that cannot be had.
#
# rustup's cargo drives a second rustc, Debian's rustc-web, because Debian packages the standard library of other
# architectures for it. That rustc and a static libpcap live in $CROSS_CACHE (~/.cache/tapguard-cross) and are made
# once; only cross compilers, qemu, flex and bison are installed on the machine. Delete the cache to make it anew.
set -eu

say() { echo "cross: $*" >&2; }
fail() { say "$*"; exit 1; }
cannot() { say "skipped: $*"; exit 77; }

WHAT=build
case ${1-} in
--test | --unit-tests) WHAT=${1#--}; shift ;;
esac
TARGET=${1-}
case $TARGET in
aarch64-unknown-linux-gnu) TRIPLE=aarch64-linux-gnu LIBC=libc6-dev-arm64-cross QEMU=qemu-aarch64-static ;;
armv7-unknown-linux-gnueabihf) TRIPLE=arm-linux-gnueabihf LIBC=libc6-dev-armhf-cross QEMU=qemu-arm-static ;;
*) fail "no target '$TARGET': choose aarch64-unknown-linux-gnu or armv7-unknown-linux-gnueabihf" ;;
esac

ROOT=$(cd "$(dirname "$0")/.." && pwd)
CACHE=${CROSS_CACHE:-$HOME/.cache/tapguard-cross}
APT=$CACHE/apt
RUST=$CACHE/rust
PCAP=$CACHE/libpcap/$TARGET
OUT=$ROOT/target/cross
BIN=$OUT/$TARGET/release/tapguard

# Folders are made under a name with .part and renamed when they are whole: an interrupted step starts again.
main() {
    host="$(dpkg --print-architecture 2>/dev/null) $(grep '^VERSION_CODENAME=' /etc/os-release)"
    [ "$host" = 'amd64 VERSION_CODENAME=bookworm' ] ||
        cannot "this needs Debian 12 (bookworm) on amd64: elsewhere use 'cross build --release --target $TARGET' with Docker"
    command -v cargo >/dev/null || fail "Rust is missing: install it from https://rustup.rs, then try again"
    mkdir -p "$CACHE"
    host_tools
    [ -d "$RUST" ] || rust
    [ -d "$PCAP" ] || pcap
    if [ $WHAT = unit-tests ]; then
        unit_tests
        return
    fi
    build
    prove
    [ $WHAT = build ] || tests
}

host_tools() {
    missing=
    for tool in $TRIPLE-gcc:gcc-$TRIPLE $QEMU:qemu-user-static flex:flex bison:bison make:make dpkg-source:dpkg-dev; do
        command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool#*:}"
    done
    [ -e "/usr/$TRIPLE/include/stdio.h" ] || missing="$missing $LIBC"
    [ -n "$missing" ] || return 0
    say "installing$missing"
    if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi
    # shellcheck disable=SC2086
    {
        $as_root apt-get update -q &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
    } >&2 || cannot "could not install$missing: install them by hand, then try again"
}

# An apt of our own beside the system's: the machine's Debian mirrors, read for three architectures.
private_apt() {
    [ ! -e "$APT/ready" ] || { export APT_CONFIG="$APT/apt.conf"; return 0; }
    say "reading the package lists of amd64, arm64 and armhf"
    rm -rf "$APT"
    mkdir -p "$APT/lists/partial" "$APT/archives/partial"
    : >"$APT/status"
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v by=/usr/share/keyrings/debian-archive-keyring.gpg \
            '$2 ~ /^bookworm(-updates|-security)?$/ && $3 == "main" {
                print "deb [signed-by=" by "] " $1, $2, $3; print "deb-src [signed-by=" by "] " $1, $2, $3 }' |
        sort -u >"$APT/sources.list"
    grep -q ' bookworm-security ' "$APT/sources.list" ||
        cannot "apt's sources have no bookworm-security, where rustc-web is: add it to /etc/apt/sources.list"
    cat >"$APT/apt.conf" <<CONF
Dir::State "$APT";
Dir::State::status "$APT/status";
Dir::Cache "$APT";
Dir::Etc::sourcelist "$APT/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architectures { "amd64"; "arm64"; "armhf"; };
CONF
    export APT_CONFIG="$APT/apt.conf"
    if ! apt-get update -q >&2; then
        # Mirrors publish the same suite by its status too, and one of the two names can lag behind.
        say "trying again with the security suite's other name"
        sed -i 's/^\(deb[-src]* \)\[\(.*\) bookworm-security /\1[check-valid-until=no \2 oldstable-security /' "$APT/sources.list"
        apt-get update -q >&2 || cannot "could not read the package lists: see apt's message above"
        grep -qx 'Codename: bookworm-security' "$APT/lists"/*oldstable-security_InRelease ||
            cannot "the mirror's bookworm-security does not match its index: try again in some hours"
    fi
    touch "$APT/ready"
}

# One rustc with the standard libraries of the host and both targets, all of one version.
rust() {
    private_apt
    rm -rf "$RUST.part"
    mkdir -p "$RUST.part/debs"
    libraries=$(apt-cache depends --recurse --important rustc-web:amd64 2>/dev/null |
        grep -Eo 'lib(std-rust-web-[0-9.]+|llvm[0-9.]+)$' | sort -u | sed 's/$/:amd64/')
    [ -n "$libraries" ] || fail "rustc-web is not in the package lists: delete $APT and try again"
    say "fetching Debian's rustc-web for three architectures (160 MB)"
    # shellcheck disable=SC2086
    (cd "$RUST.part/debs" && apt-get download -q rustc-web:amd64 $libraries libstd-rust-web-dev:amd64 \
        libstd-rust-web-dev:arm64 libstd-rust-web-dev:armhf >&2) ||
        cannot "could not fetch rustc-web: delete $APT (its lists may be out of date) and try again"
    say "unpacking it into $RUST (700 MB)"
    for deb in "$RUST.part/debs"/*.deb; do
        dpkg -x "$deb" "$RUST.part"
    done
    rm -r "$RUST.part/debs"
    cat >"$RUST.part/rustc" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$RUST/usr/lib/x86_64-linux-gnu" exec "$RUST/usr/bin/rustc" "\$@"
WRAPPER
    chmod +x "$RUST.part/rustc"
    mv "$RUST.part" "$RUST"
}

# Without 64-bit time flags, so that pcap_pkthdr's timeval is the one of Rust's libc on 32-bit ARM.
pcap() {
    private_apt
    say "building a static libpcap for $TARGET from Debian's source"
    rm -rf "$PCAP.part"
    mkdir -p "$PCAP.part"
    log=$PCAP.part/build.log
    (cd "$PCAP.part" && apt-get source -q libpcap >&2) ||
        cannot "could not fetch libpcap's source: delete $APT (its lists may be out of date) and try again"
    (
        cd "$PCAP.part"/libpcap-*/
        ./configure --host=$TRIPLE --with-pcap=linux --disable-shared --without-libnl --disable-dbus \
            --disable-bluetooth --disable-usb --disable-netmap --without-dpdk --disable-rdma --disable-remote
        make libpcap.a
        cp libpcap.a VERSION ..
    ) >"$log" 2>&1 || fail "libpcap did not build, its last words ($log): $(tail -n 3 "$log")"
    ! $TRIPLE-nm "$PCAP.part/libpcap.a" 2>/dev/null | grep -q gettimeofday64 ||
        fail "libpcap was built with 64-bit time flags, which Rust's libc here has not: unset CFLAGS and CPPFLAGS, then try again"
    rm -rf "$PCAP.part"/libpcap-*/ "$PCAP.part"/libpcap_*
    mv "$PCAP.part" "$PCAP"
}

# Cargo for the target, with the other compiler.
cross_cargo() {
    command=$1
    shift
    upper=$(echo "$TARGET" | tr a-z- A-Z_)
    lower=$(echo "$TARGET" | tr - _)
    (
        cd "$ROOT"
        env "CARGO_TARGET_DIR=$OUT" "RUSTC=$RUST/rustc" RUSTFLAGS="-C target-feature=+crt-static" \
            "CARGO_TARGET_${upper}_LINKER=$TRIPLE-gcc" "CC_$lower=$TRIPLE-gcc" "AR_$lower=$TRIPLE-ar" \
            "CARGO_TARGET_${upper}_RUNNER=$QEMU" \
            "LIBPCAP_LIBDIR=$PCAP" "LIBPCAP_VER=$(cat "$PCAP/VERSION")" \
            cargo "$command" --locked --target "$TARGET" "$@"
    )
}

build() {
    say "building $TARGET (4 to 5 minutes the first time on 2 cores)"
    cross_cargo build --release || fail "the build failed: see the compiler's message above"
}

# Runs the file under emulation: it starts, and finds the sweep in a capture of the year 2046, whose seconds do not fit
# 31 bits.
prove() {
    "$QEMU" "$BIN" --version >&2 || fail "$BIN does not start under $QEMU"
    alerts=$(sweep | "$QEMU" "$BIN" replay --config /dev/null --format json -) || fail "replay fails under $QEMU"
    case $alerts in
    *'"timestamp":"2046-'*'"kind":"host_sweep"'*) ;;
    *) fail "replay under $QEMU does not find the sweep of the year 2046, but: $alerts" ;;
    esac
    say "$BIN: $(stat -c %s "$BIN") bytes, tried under $QEMU"
}

# Left out under qemu, which starts no program of the target from another and has not all of the kernel's calls: the
# list of interfaces, and a store whose process is killed (tests/emulated.rs does that in another way).
unit_tests() {
    say "running the unit tests under $QEMU"
    cross_cargo test --lib -- --skip the_interfaces_are --skip interfaces_are_listed \
        --skip an_interface_that_does_not_exist --skip every_path_answers_get --skip survives_kill_9 \
        --skip a_full_disk || fail "a unit test fails for $TARGET: see above"
}

tests() {
    say "comparing alerts with this machine's, then store and MQTT, under $QEMU"
    (cd "$ROOT" && EMULATOR=$QEMU EMULATED=$BIN cargo test --locked --test tests emulated::) ||
        fail "a test of $BIN fails: see above"
}

# A capture file: one station asks for 200 others by ARP, one a second; each tenth answers.
# shellcheck disable=SC2059
sweep() {
    printf '\324\303\262\241\002\0\004\0\0\0\0\0\0\0\0\0\377\377\0\0\001\0\0\0'
    for n in $(seq 200); do
        host=$(printf '\\%03o' "$n")
        record="$host\0\0\220\0\0\0\0\052\0\0\0\052\0\0\0"
        arp='\010\006\0\001\010\0\006\004\0'
        sweeper='\002\0\0\0\0\377'
        address='\012\0\0\377'
        printf "$record\377\377\377\377\377\377$sweeper$arp\001$sweeper$address\0\0\0\0\0\0\012\0\0$host"
        [ $((n % 10)) -ne 0 ] ||
            printf "$record$sweeper\002\0\0\0\0$host$arp\002\002\0\0\0\0$host\012\0\0$host$sweeper$address"
    done
}

main
