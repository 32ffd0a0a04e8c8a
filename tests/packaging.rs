//! What is shipped beside the program: the layer for Yocto, and configuration files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{skipped, tapguard, tool};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

fn with_ending(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut files = below(&shipped(folder));
    files.retain(|file| endings.iter().any(|ending| file.to_string_lossy().ends_with(ending)));
    files
}

#[test]
fn every_configuration_that_is_shipped_is_good() {
    for folder in ["config", "yocto"] {
        let files = with_ending(folder, &[".toml"]);
        assert!(!files.is_empty(), "{folder} has a configuration");
        for file in files {
            let output = tapguard(&["check-config", "--config", file.to_str().unwrap()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

const RECIPES: &str = "yocto/meta-tapguard/recipes-tapguard/tapguard";

#[test]
fn the_recipe_has_the_crates_of_the_lock_file_and_this_version() {
    let output = Command::new(shipped("packaging/crates-inc.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kept = fs::read_to_string(shipped(RECIPES).join("tapguard-crates.inc")).unwrap();
    assert!(
        output.stdout == kept.as_bytes(),
        "Cargo.lock has changed: packaging/crates-inc.sh >{RECIPES}/tapguard-crates.inc"
    );
    let lock = fs::read_to_string(shipped("Cargo.lock")).unwrap();
    let packages = lock.matches("[[package]]").count();
    // All but this one.
    assert_eq!(kept.matches("crate://").count(), packages - 1);
    assert_eq!(kept.matches(".sha256sum] = \"").count(), packages - 1);
    let recipe = format!("tapguard_{}.bb", env!("CARGO_PKG_VERSION"));
    assert!(shipped(RECIPES).join(&recipe).is_file(), "{recipe} is in {RECIPES}");
}

/// The checksum is how a build notices that the licence has changed.
#[test]
fn the_recipe_has_the_licence_s_checksum() {
    let Some(md5sum) = tool("md5sum") else { return skipped("the licence", "md5sum is not installed") };
    let output = Command::new(md5sum).arg(shipped("LICENSE")).output().unwrap();
    let sum = String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(sum.len(), 32);
    let recipe = &with_ending(RECIPES, &[".bb"])[0];
    assert!(fs::read_to_string(recipe).unwrap().contains(&format!("LICENSE;md5={sum}\"")), "{sum}");
}

#[test]
fn the_layer_passes_oelint() {
    let Some(oelint) = tool("oelint-adv") else {
        return skipped("the layer's lints", "oelint-adv is not installed: pip install oelint-adv");
    };
    let files = with_ending("yocto", &[".bb", ".inc", "layer.conf"]);
    assert!(files.len() >= 4, "{files:?}");
    for release in ["scarthgap", "wrynose"] {
        // The rule left out asks the network.
        let output = Command::new(&oelint)
            .args([
                "--quiet",
                "--exit-zero",
                "--release",
                release,
                "--suppress",
                "oelint.vars.homepageping",
                "--",
            ])
            .args(&files)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains(":error:"), "{said}");
    }
}
