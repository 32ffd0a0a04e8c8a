//! What the program says and with which code it ends when it is used wrongly: one clear line each.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::harness::namespace::Cable;
use crate::harness::{PROGRAM, is_root, skipped, tapguard, tool};

/// Exit code and what was said, which must be one line.
fn told(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let ours: Vec<_> = said.lines().filter(|line| line.starts_with("tapguard: ")).collect();
    assert_eq!(ours.len(), 1, "one line: {said}");
    (output.status.code(), ours[0].to_owned())
}

fn folder_with(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn run(folder: &tempfile::TempDir, more: &[&str]) -> Output {
    let store = folder.path().join("store").display().to_string();
    tapguard(&[&["run", "--listen", "127.0.0.1:0", "--store", &store], more].concat())
}

#[test]
fn a_wrong_interface_is_named_with_those_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let (code, line) = told(&run(&folder, &["--interface", "nosuch0"]));
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains("`nosuch0`") && line.contains("lo"), "{line}");
}

#[test]
fn a_missing_permission_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let output = if is_root() {
        let Some(setpriv) = tool("setpriv") else {
            return skipped("permission", "`setpriv` is not installed");
        };
        // The program may lie where only root looks, so it is run from a copy.
        let copy = folder.path().join("tapguard");
        fs::copy(PROGRAM, &copy).unwrap();
        drop(Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path()).status());
        let mut command = Command::new(setpriv);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(copy);
        command.args(["run", "--interface", "lo", "--listen", "127.0.0.1:0"]).output().unwrap()
    } else {
        run(&folder, &["--interface", "lo"])
    };
    let (code, line) = told(&output);
    assert_eq!(code, Some(77), "{line}");
    assert!(line.contains("CAP_NET_RAW") && line.contains("setcap"), "{line}");
}

#[test]
fn a_bad_key_is_named_with_file_line_and_the_nearest() {
    let (_folder, path) = folder_with("t.toml", b"[network]\n\ninterfac = \"eth0\"\n");
    let path = path.display().to_string();
    let (code, line) = told(&tapguard(&["check-config", "--config", &path]));
    assert_eq!(code, Some(78));
    assert_eq!(
        line,
        format!("tapguard: {path}:3: unknown key network.interfac; did you mean network.interface?")
    );
    let (code, line) = told(&tapguard(&["check-config", "--config", "/nonexistent/t.toml"]));
    assert_eq!(code, Some(66), "{line}");
    assert!(line.contains("/nonexistent/t.toml") && line.contains("No such file"), "{line}");
    let (code, line) = told(&tapguard(&["check-config", "--set", "mqtt.prot=1"]));
    assert_eq!(code, Some(78));
    assert_eq!(line, "tapguard: command line: unknown key mqtt.prot; did you mean mqtt.port?");
}

#[test]
fn a_bad_filter_is_told_by_check_config_and_by_run() {
    let filter = "network.filter=port nonsense and";
    let (code, line) = told(&tapguard(&["check-config", "--set", filter]));
    assert_eq!(code, Some(78), "{line}");
    assert!(line.contains("bad filter `port nonsense and`"), "{line}");
    match Cable::new("filter") {
        Err(why) => skipped("a bad filter on a live interface", why),
        Ok(cable) => {
            let folder = tempfile::tempdir().unwrap();
            let (code, line) = told(&run(&folder, &["--interface", &cable.tap, "--set", filter]));
            assert_eq!(code, Some(78), "{line}");
        }
    }
}

#[test]
fn what_is_no_capture_is_named() {
    let (_folder, path) = folder_with("letter.pcap", b"Dear Sir or Madam, this is not a capture.");
    let path = path.display().to_string();
    let (code, line) = told(&tapguard(&["replay", &path]));
    assert_eq!(code, Some(65));
    assert!(line.contains(&path) && line.contains("not a capture"), "{line}");
    let (code, line) = told(&tapguard(&["replay", "/nonexistent.pcap"]));
    assert_eq!(code, Some(66), "{line}");
    assert!(line.contains("/nonexistent.pcap"), "{line}");
}

#[test]
fn a_busy_port_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, line) = told(&tapguard(&["demo", "--listen", &address]));
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains(&address) && line.contains("http.listen"), "{line}");
}

#[test]
fn a_store_in_use_or_in_no_place_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store").display().to_string();
    let _first = crate::harness::daemon::Daemon::start(&["demo", "--store", &store]);
    let (code, line) = told(&tapguard(&["demo", "--listen", "127.0.0.1:0", "--store", &store]));
    assert_eq!(code, Some(75), "{line}");
    assert!(line.contains(&store), "{line}");
    let (_folder, file) = folder_with("file", b"");
    let inside = file.join("store").display().to_string();
    let (code, line) = told(&tapguard(&["demo", "--listen", "127.0.0.1:0", "--store", &inside]));
    assert_eq!(code, Some(73), "{line}");
    assert!(line.contains(&inside), "{line}");
}

#[test]
fn help_version_and_interfaces_answer() {
    for args in [["--help"], ["--version"], ["interfaces"]] {
        let output = tapguard(&args);
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}");
    }
    let known = String::from_utf8(tapguard(&["check-config", "--keys"]).stdout).unwrap();
    assert!(known.contains("mqtt.host"));
}

#[test]
fn pages_and_completions_are_generated() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("new");
    let output = tapguard(&["generate", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let page = read("tapguard.1");
    for word in [".TH tapguard 1", "tapguard\\-run(1)", "SIGHUP", "/etc/tapguard/tapguard.toml"] {
        assert!(page.contains(word), "{word} is in {page}");
    }
    assert!(!page.contains("\\-generate") && !page.contains("\\-help(1)"), "{page}");
    assert!(read("tapguard-run.1").contains("interface"));
    for completion in ["tapguard.bash", "_tapguard", "tapguard.fish"] {
        assert!(read(completion).contains("check-config"), "{completion}");
    }
    let told = String::from_utf8(tapguard(&["--help"]).stdout).unwrap();
    assert!(!told.lines().any(|line| line.trim_start().starts_with("generate ")), "{told}");
}
