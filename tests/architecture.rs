//! The house rules that a machine can check: module order, crate fences, purity of the data plane, file shape.

use std::fs;
use std::path::{Path, PathBuf};

/// A module imports only modules above it.
const ORDER: [&str; 20] = [
    "time",
    "bounded",
    "sys",
    "packet",
    "capture",
    "flow",
    "feature",
    "baseline",
    "model",
    "behaviour",
    "alert",
    "pipeline",
    "control",
    "store",
    "mqtt",
    "http",
    "config",
    "demo",
    "app",
    "main",
];

const PURE: [&str; 10] =
    ["time", "bounded", "packet", "flow", "feature", "baseline", "model", "behaviour", "alert", "pipeline"];

/// Which modules may name which crate.
const FENCES: [(&str, &[&str]); 15] = [
    ("etherparse", &["packet", "demo"]),
    ("smoltcp", &["packet", "demo"]),
    ("pcap", &["capture"]),
    ("pcap_parser", &["capture"]),
    ("ndarray", &["model"]),
    ("sled", &["store"]),
    ("rumqttc", &["mqtt"]),
    ("rustls", &["mqtt"]),
    ("ring", &["packet"]),
    ("tiny_http", &["http"]),
    ("tungstenite", &["http"]),
    ("config", &["config"]),
    ("tokio", &["app", "mqtt"]),
    ("clap", &["main", "cli", "generate"]),
    ("libc", &["sys", "capture"]),
];

/// Where serde may be named: the edges, and what is kept.
const SERDE: [&str; 8] = ["config", "store", "mqtt", "http", "control", "baseline", "model", "app"];

struct Source {
    path: PathBuf,
    module: String,
    /// Without tests and comments.
    code: String,
    whole: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let module =
                    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
                let whole = fs::read_to_string(&path).unwrap();
                let code = stripped(&whole);
                found.push(Source { path, module, code, whole });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 30, "the sources were found");
    found
}

fn stripped(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let code = |line: &&str| !line.trim_start().starts_with("//");
    text[..end]
        .lines()
        .filter(code)
        .map(|line| line.split(" // ").next().unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// Whether `word` stands in `code` with no letter, digit, `_` or `:` before it and what `after` says behind it.
fn names(code: &str, word: &str, after: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        !(before.is_alphanumeric() || before == '_' || before == ':')
            && code[at + word.len()..].starts_with(after)
    })
}

fn is_test(source: &Source) -> bool {
    source.path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs")
}

#[test]
fn modules_import_only_what_stands_above_them() {
    let rank = |module: &str| ORDER.iter().position(|m| *m == module);
    for source in sources().iter().filter(|s| !is_test(s)) {
        let Some(own) = rank(&source.module) else {
            assert!(
                ["lib", "cli", "generate"].contains(&source.module.as_str()),
                "{} has no place",
                source.path.display()
            );
            continue;
        };
        for (at, module) in ORDER.iter().enumerate() {
            let imported = source.code.contains(&format!("crate::{module}::"))
                || source.code.contains(&format!("crate::{module};"))
                || grouped(&source.code).iter().any(|m| m == module);
            assert!(!imported || at <= own, "{} imports {module}", source.path.display());
        }
    }
}

/// First names of `use crate::{a::.., b};` groups.
fn grouped(code: &str) -> Vec<String> {
    let groups = code.split("use crate::{").skip(1).filter_map(|rest| rest.split_once("};"));
    let items = groups.flat_map(|(inside, _)| {
        let mut depth = 0;
        inside
            .split(move |c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                c == ',' && depth == 0
            })
            .map(|item| item.trim().split("::").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    });
    items.collect()
}

#[test]
fn crates_stay_behind_their_fences() {
    for source in sources() {
        for (name, allowed) in FENCES {
            let used = names(&source.code, name, "::") && !source.code.contains(&format!("crate::{name}"));
            let own = name == source.module || source.code.contains(&format!("mod {name}"));
            assert!(
                !used || own || allowed.contains(&source.module.as_str()) || source.module == "main",
                "{} names {name}",
                source.path.display()
            );
        }
        let serde = names(&source.code, "serde", "::") || names(&source.code, "serde_json", "::");
        assert!(!serde || SERDE.contains(&source.module.as_str()), "{} names serde", source.path.display());
    }
}

#[test]
fn the_data_plane_is_pure() {
    let impure = [
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "std::io",
        "Instant",
        "SystemTime",
        "Mutex",
        "RwLock",
        "Atomic",
        "println!",
        "tracing::info",
        "tracing::warn",
        "tracing::error",
        "TcpStream",
        "UdpSocket",
        "sys::",
    ];
    for source in sources().iter().filter(|s| PURE.contains(&s.module.as_str())) {
        for word in impure {
            assert!(!source.code.contains(word), "{} mentions {word}", source.path.display());
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_fence() {
    for source in sources().iter().filter(|s| s.code.contains("unsafe ")) {
        let path = source.path.display().to_string();
        assert!(source.module == "sys" || path.contains("/capture/live"), "{path} has unsafe code");
        assert!(source.whole.contains("// SAFETY:"), "{path} does not say why it is sound");
    }
}

#[test]
fn every_file_says_what_it_owns_and_none_is_a_drawer() {
    for source in sources() {
        let path = source.path.display();
        assert!(source.whole.starts_with("//!"), "{path} does not open with what it owns");
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        let drawer = ["util", "utils", "common", "helper", "helpers", "types", "misc"].contains(&name);
        assert!(!drawer, "{path} is a drawer");
        let lines = source.code.lines().count();
        assert!(is_test(&source) || lines <= 600, "{path} has {lines} lines of code");
    }
}

#[test]
fn shipped_configurations_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let inputs =
                tapguard::config::Inputs { file: Some(path.clone()), ..tapguard::config::Inputs::default() };
            let told = tapguard::config::Config::load(&inputs).err().map(|e| e.to_string());
            assert_eq!(told, None, "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "there is a configuration to check");
}

/// Every key is in the shipped file, so that the file documents all of them.
#[test]
fn the_shipped_configuration_shows_every_key() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tapguard.toml")).unwrap();
    for known in tapguard::config::key::KEYS {
        let leaf = known.path.rsplit('.').next().unwrap();
        let shown = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{leaf} = ")));
        assert!(shown, "{} is not shown", known.path);
    }
}
