#!/bin/sh
# Prints the crates of Cargo.lock as a BitBake include, as `bitbake -c update_crates tapguard` would write it. After each
# change of Cargo.lock:
#
#   packaging/crates-inc.sh >yocto/meta-tapguard/recipes-tapguard/tapguard/tapguard-crates.inc
set -eu

cd "$(dirname "$0")/.."
awk -F '"' '
    /^\[\[package\]\]/ { name = version = source = "" }
    /^name = / { name = $2 }
    /^version = "/ { version = $2 }
    /^source = / {
        source = $2
        if (source != "registry+https://github.com/rust-lang/crates.io-index") {
            print "crates-inc: " name " comes from " source ": the recipe takes crates of crates.io only" >"/dev/stderr"
            exit failed = 1
        }
    }
    /^checksum = / {
        uris = uris "    crate://crates.io/" name "/" version " \\\n"
        sums = sums "SRC_URI[" name "-" version ".sha256sum] = \"" $2 "\"\n"
    }
    END {
        if (failed) exit 1
        printf "# Made from Cargo.lock by packaging/crates-inc.sh; a test compares the two.\nSRC_URI += \"\\\n%s\"\n\n%s", uris, sums
    }
' Cargo.lock
