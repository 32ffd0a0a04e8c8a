//! Mirrors that are set up wrongly, one by one, and what the doctor says of each.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::harness::mirror::{Seen, Way, broadcasts, good, routed, tagged, write};
use crate::harness::namespace::Cable;
use crate::harness::{PROGRAM, skipped, tapguard, tool};

const ETHERNET: u32 = 1;

/// What was found, and all that was said. Whether the clock of the machine that runs the tests is kept is not the test's.
fn troubles(said: &str) -> (BTreeSet<String>, Vec<Value>) {
    let records: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().all(|r| (r["verdict"] == "found") == r["remedy"].is_string()), "{said}");
    let found = records.iter().filter_map(|r| r["trouble"].as_str()).filter(|t| *t != "unsynchronised");
    (found.map(str::to_owned).collect(), records)
}

/// Frames as another mirror would have delivered them.
fn delivered(change: impl Fn(&Seen) -> Vec<Vec<u8>>) -> Vec<Seen> {
    let mut all = Vec::new();
    for seen in good() {
        for (copy, bytes) in (0..).zip(change(&seen)) {
            all.push(Seen { micros: seen.micros + copy * 40, bytes, ..seen.clone() });
        }
    }
    all
}

fn wrong() -> Vec<(&'static str, &'static str, Vec<Seen>)> {
    let ours = |seen: &Seen| seen.bytes.clone();
    let to_client = |seen: &Seen| seen.way == Way::ToClient;
    vec![
        ("", "", good()),
        ("", "one_direction", delivered(|s| if to_client(s) { vec![] } else { vec![ours(s)] })),
        ("", "no_unicast", broadcasts()),
        ("", "half_tagged", delivered(|s| vec![if to_client(s) { tagged(&s.bytes) } else { ours(s) }])),
        ("", "doubled", delivered(|s| vec![ours(s), ours(s)])),
        ("", "doubled", delivered(|s| vec![ours(s), tagged(&s.bytes)])),
        ("", "routed", delivered(|s| vec![ours(s), routed(&s.bytes)])),
        ("network.snapshot_length=128", "cut", good()),
    ]
}

/// The doctor on a cable, while `play` plays.
fn listen(cable: &Cable, setting: &str, play: impl FnOnce(u32)) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--format", "json", "--seconds", "5", "--interface", &cable.tap]);
    if !setting.is_empty() {
        command.args(["--set", setting]);
    }
    command.env_remove("TAPGUARD_CONFIG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the doctor ended before it listened");
    }
    play(child.id());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(if said.contains("\"found\"") { 76 } else { 0 }), "{said}");
    said
}

/// Each on a cable of its own, all at once.
#[test]
fn the_doctor_names_each_wrong_mirror_and_nothing_of_a_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<_> = wrong().into_iter().enumerate().collect();
    let run = |(number, (setting, expected, seen)): &(usize, (&str, &str, Vec<Seen>))| {
        let cable = Cable::new(&format!("d{number}"))?;
        let file = folder.path().join(format!("{number}.pcap"));
        write(&file, ETHERNET, seen);
        let said = listen(&cable, setting, |_| cable.play(&file.display().to_string(), "1"));
        let (found, records) = troubles(&said);
        let expected: BTreeSet<String> =
            Some(*expected).filter(|e| !e.is_empty()).map(str::to_owned).into_iter().collect();
        assert_eq!(found, expected, "case {number}: {said}");
        if expected.is_empty() {
            let fine = records.iter().filter(|r| r["verdict"] == "fine" && r["check"] != "clock").count();
            assert_eq!(fine, 9, "source, seven checks and disk: {said}");
        }
        Ok(())
    };
    let outcomes: Vec<Result<(), &str>> = thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(|| run(case))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    if let Some(Err(why)) = outcomes.into_iter().find(Result::is_err) {
        skipped("the doctor on a cable", why);
    }
}

#[test]
fn the_doctor_names_frames_that_the_kernel_dropped() {
    let cable = match Cable::new("dk") {
        Ok(cable) => cable,
        Err(why) => return skipped("the doctor's view of drops", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("busy.pcap");
    write(&file, ETHERNET, &good());
    let signal = |id: u32, name: &str| {
        let kill = Command::new(tool("kill").unwrap()).args([name, &id.to_string()]).status().unwrap();
        assert!(kill.success());
    };
    // It does not read while more comes than its ring holds.
    let said = listen(&cable, "network.buffer_size=65536", |id| {
        signal(id, "-STOP");
        for _ in 0..8 {
            cable.play(&file.display().to_string(), "1000");
        }
        signal(id, "-CONT");
    });
    assert!(troubles(&said).0.contains("dropped"), "{said}");
}

#[test]
fn the_doctor_reads_captures_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let look = |file: &Path| {
        let output = tapguard(&["doctor", "--format", "json", &file.display().to_string()]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (number, (setting, expected, seen)) in wrong().into_iter().enumerate() {
        if setting.is_empty() {
            let file = path(&format!("{number}.pcap"));
            write(&file, ETHERNET, &seen);
            let (code, said) = look(&file);
            let found: Vec<_> = troubles(&said).0.into_iter().collect();
            assert_eq!(found.join(" "), expected, "{said}");
            assert_eq!(code, Some(if expected.is_empty() { 0 } else { 76 }));
        }
    }
    // A link type that is reserved for private use.
    write(&path("private.pcap"), 147, &good());
    let (_, said) = look(&path("private.pcap"));
    assert!(troubles(&said).0.contains("unknown_types") && said.contains("LINKTYPE 147"), "{said}");

    let good = path("0.pcap").display().to_string();
    let text = String::from_utf8(tapguard(&["doctor", &good]).stdout).unwrap();
    assert!(text.lines().any(|l| l.starts_with("fine") && l.contains("Both directions")), "{text}");
    assert_eq!(tapguard(&["doctor", "nosuch.pcap"]).status.code(), Some(66));
}
