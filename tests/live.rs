//! A cable, a capture played into it, and the daemon at its other end.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;

use serde_json::Value;
use tapguard::capture::{Files, Next, Source, Tap, TapState};
use tapguard::packet::{Hint, dissect};
use tapguard::time::Span;

use crate::harness::daemon::Daemon;
use crate::harness::namespace::Cable;
use crate::harness::{capture, skipped, tapguard, wait_for};

/// What an alert is about, without its times: these are the kernel's in one case and the file's in the other.
fn gist(alert: &Value) -> (String, String, String) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (text(&alert["kind"]), text(&alert["subject"]["mac"]), text(&alert["peers"][0]["ip"]))
}

/// The names that a capture file's DNS queries ask for.
fn asked_names(file: &Path) -> BTreeSet<String> {
    let mut files = Files::open(&[file.to_owned()]).unwrap();
    let mut names = BTreeSet::new();
    while let Next::Frame(frame) = files.next().unwrap() {
        let digest = dissect(&frame);
        if let Hint::Dns(dns) = digest.hint
            && !dns.response
            && !dns.multicast
        {
            names.insert(dns.name.as_str().to_owned());
        }
    }
    names
}

#[test]
fn a_played_capture_gives_the_alerts_of_its_replay() {
    let cable = match Cable::new("live") {
        Ok(cable) => cable,
        Err(why) => return skipped("live capture", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attacks.pcap");
    let at = Span::from_secs;
    let frames = capture::write(&file, at(30), at(20), at(60));
    let path = file.display().to_string();
    let replayed = String::from_utf8(tapguard(&["replay", "--format", "json", &path]).stdout).unwrap();
    let expected: BTreeSet<_> = replayed.lines().map(|l| gist(&serde_json::from_str(l).unwrap())).collect();
    assert!(!expected.is_empty(), "there is something to find");

    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    assert!(daemon.source.contains(&cable.tap) && daemon.source.contains("configured"), "{}", daemon.source);
    cable.play(&path, "1");
    let statistics = wait_for("all frames", || {
        let statistics = daemon.statistics();
        (statistics["capture"]["frames"].as_u64() >= Some(frames)).then_some(statistics)
    });
    assert_eq!(statistics["capture"]["frames"], frames);
    let drops = &statistics["drops"];
    assert_eq!((&drops["kernel"], &drops["interface"]), (&Value::from(0), &Value::from(0)), "{drops}");
    let found = wait_for("the alerts", || {
        let found: BTreeSet<_> = daemon.alerts().iter().map(gist).collect();
        (found.len() >= expected.len()).then_some(found)
    });
    assert_eq!(found, expected);
}

#[test]
fn an_interface_that_vanishes_is_waited_for() {
    let cable = match Cable::new("pull") {
        Ok(cable) => cable,
        Err(why) => return skipped("a pulled cable", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(120));
    let path = file.display().to_string();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    let capture = || daemon.statistics()["capture"].clone();
    cable.play(&path, "100");
    wait_for("frames", || (capture()["frames"] == frames).then_some(()));
    cable.pull();
    let waiting = wait_for("the loss", || Some(capture()).filter(|c| c["state"] == "waiting"));
    assert_eq!(waiting["losses"], 1, "{waiting}");
    assert!(waiting["waiting_for"].as_str().is_some_and(|r| r.contains(&cable.tap)), "{waiting}");
    assert!(cable.plug());
    wait_for("the return", || (capture()["state"] != "waiting").then_some(()));
    cable.play(&path, "100");
    wait_for("frames again", || (capture()["frames"].as_u64() >= Some(2 * frames)).then_some(()));
}

#[test]
fn a_stopped_capture_counts_nothing_until_it_is_started() {
    let cable = match Cable::new("halt") {
        Ok(cable) => cable,
        Err(why) => return skipped("a stopped capture", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(120));
    let path = file.display().to_string();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    let capture = || daemon.get("/api/capture/status").json()["capture"].clone();
    cable.play(&path, "100");
    wait_for("frames", || (capture()["frames"] == frames).then_some(()));

    assert_eq!(daemon.post("/api/capture/stop").json()["capture"]["state"], "stopped");
    assert_eq!(daemon.get("/healthz").body, "ok\ncapture: stopped on request\n");
    cable.play(&path, "100");
    let stopped = daemon.post("/api/capture/stop").json()["capture"].clone();
    assert_eq!((&stopped["state"], &stopped["frames"]), (&"stopped".into(), &frames.into()), "{stopped}");
    wait_for("time", || (capture()["time"] != stopped["time"]).then_some(()));

    let started = daemon.post("/api/capture/start").json()["capture"].clone();
    assert_eq!((&started["frames"], &started["losses"]), (&frames.into(), &0.into()), "{started}");
    cable.play(&path, "100");
    wait_for("frames again", || (capture()["frames"] == 2 * frames).then_some(()));
    assert_eq!(capture()["state"], "running");
}

#[test]
fn a_tap_goes_on_with_other_settings_only_where_they_open() {
    let cable = match Cable::new("swap") {
        Ok(cable) => cable,
        Err(why) => return skipped("other settings of a tap", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(60));
    let path = file.display().to_string();
    let settings = |interface: &str, filter: &str| tapguard::capture::Config {
        interface: Some(interface.to_owned()),
        filter: filter.to_owned(),
        ..Default::default()
    };
    // Plays the file and reads until nothing more comes; gives the frames of all openings.
    let count = |tap: &mut Tap| {
        cable.play(&path, "1000");
        let mut quiet = 0;
        while quiet < 5 {
            quiet = if matches!(tap.next().unwrap(), Next::Frame(_)) { 0 } else { quiet + 1 };
        }
        tap.counters().frames
    };
    let mut tap = Tap::open(settings(&cable.tap, "")).unwrap();
    assert_eq!(count(&mut tap), frames);
    for (interface, filter, why) in
        [(cable.tap.as_str(), "tcp prt 80", "bad filter"), ("nosuch9", "", "nosuch9")]
    {
        let refused = tap.reopen(settings(interface, filter)).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!((count(&mut tap), tap.state()), (2 * frames, &TapState::Running), "the old settings stay");

    tap.reopen(settings(&cable.tap, "arp")).unwrap();
    let filtered = count(&mut tap);
    assert!(filtered < 3 * frames && filtered >= 2 * frames, "{filtered} of {frames} a time");
    tap.stop();
    tap.reopen(settings(&cable.tap, "")).unwrap();
    assert_eq!((count(&mut tap), tap.state()), (filtered, &TapState::Stopped), "stopped stays stopped");
    tap.start().unwrap();
    assert_eq!(count(&mut tap), filtered + frames);
    tap.stop();
    cable.pull();
    tap.start().unwrap();
    assert!(matches!(tap.state(), TapState::Waiting(_)), "{:?}", tap.state());
}

#[test]
fn packets_that_were_just_played_are_shown_to_the_owner() {
    let cable = match Cable::new("seen") {
        Ok(cable) => cable,
        Err(why) => return skipped("packets of a cable", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(60));
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    cable.play(&file.display().to_string(), "1000");
    wait_for("frames", || (daemon.statistics()["capture"]["frames"] == frames).then_some(()));

    let ask = |query: &str| {
        let answer = daemon.get_as_owner(&format!("/api/capture/packets?{query}")).json();
        (answer["held"].as_u64(), answer["packets"].as_array().unwrap().clone())
    };
    let (held, newest) = ask("");
    assert_eq!((held, newest.len()), (Some(frames), 100), "asking takes nothing away");
    let expected = asked_names(&file);
    assert!(!expected.is_empty());
    let (held, queries) = ask("limit=1000&filter=udp+dst+port+53");
    let queried: BTreeSet<_> =
        queries.iter().map(|p| p["dns"]["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!((held, queried), (Some(frames), expected));
    assert!(queries.iter().all(|p| p["destination_port"] == 53 && p["length"].as_u64() >= Some(60)));
}

#[test]
fn a_quiet_interface_gives_way_to_the_generated_network_and_says_so() {
    let cable = match Cable::new("quiet") {
        Ok(cable) => cable,
        Err(why) => return skipped("a quiet interface", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--or-demo", "--interface", &cable.tap, "--store", &store]);
    assert!(daemon.source.contains("generated network"), "{}", daemon.source);
    assert!(daemon.source.contains(&format!("no traffic on interface {}", cable.tap)), "{}", daemon.source);
    let source =
        wait_for("the source", || Some(daemon.statistics()["capture"].clone()).filter(|c| !c.is_null()));
    assert_eq!(source["kind"], "demo", "{source}");
}

#[test]
fn two_interfaces_are_listened_to_and_one_may_go() {
    let (first, second) = match (Cable::new("one"), Cable::new("two")) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(why), _) | (_, Err(why)) => return skipped("two interfaces", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(60));
    let path = file.display().to_string();
    let store = folder.path().join("store").display().to_string();
    let daemon =
        Daemon::start(&["run", "--interface", &first.tap, "--interface", &second.tap, "--store", &store]);
    let of = |n: usize| daemon.statistics()["capture"]["sources"][n].clone();
    let frames_of = |n: usize, wanted: u64| {
        wait_for("the frames of one source", || (of(n)["frames"].as_u64() >= Some(wanted)).then_some(()));
        assert_eq!(of(n)["frames"], wanted);
    };
    wait_for("both sources", || of(1)["name"].as_str().map(drop));
    assert_eq!((of(0)["name"].as_str(), of(1)["name"].as_str()), (Some(&*first.tap), Some(&*second.tap)));
    first.play(&path, "100");
    frames_of(0, frames);
    let devices = |daemon: &Daemon| daemon.statistics()["devices"]["active"].as_u64();
    let seen = wait_for("the devices", || devices(&daemon).filter(|&n| n > 0));
    second.play(&path, "100");
    frames_of(1, frames);
    wait_for("both to be added up", || {
        (daemon.statistics()["traffic"]["packets"].as_u64() == Some(2 * frames)).then_some(())
    });
    assert_eq!(devices(&daemon), Some(seen), "a device on two is one");

    first.pull();
    wait_for("the loss", || (of(0)["state"] == "waiting").then_some(()));
    second.play(&path, "100");
    frames_of(1, 2 * frames);
    assert!(first.plug());
    wait_for("the first again", || (of(0)["state"] != "waiting").then_some(()));
    first.play(&path, "100");
    frames_of(0, 2 * frames);
}

#[test]
fn at_top_speed_what_is_not_seen_is_counted() {
    let cable = match Cable::new("fast") {
        Ok(cable) => cable,
        Err(why) => return skipped("top speed", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fast.pcap");
    let frames = capture::write(&file, Span::from_secs(60), Span::ZERO, Span::from_secs(1_200));
    let store = folder.path().join("store").display().to_string();
    let small = ["--set", "network.buffer_size=524288", "--set", "network.snapshot_length=65535"];
    let daemon =
        Daemon::start(&[&["run", "--interface", &cable.tap, "--store", &store], &small[..]].concat());
    let loops = 20;
    cable.play_at_top_speed(&file.display().to_string(), loops);
    let sent = frames * loops;
    let counted = wait_for("every frame to be counted", || {
        let statistics = daemon.statistics();
        let seen = statistics["capture"]["frames"].as_u64()?;
        let lost = statistics["drops"]["kernel"].as_u64()?;
        (seen + lost >= sent).then_some((seen, lost))
    });
    assert_eq!(counted.0 + counted.1, sent, "{counted:?}");
    assert!(counted.0 > 0);
    println!("{sent} sent, {} seen, {} dropped by the kernel", counted.0, counted.1);
}

#[test]
fn frames_that_a_switch_sends_are_taken_out_of_their_datagrams() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(60));
    let store = folder.path().join("store").display().to_string();
    // Free now, which is as near as one comes to a port that the daemon can be told.
    let ports = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let listen = format!("network.mirror_listen={},{}", ports[0], ports[1]);
    let daemon = Daemon::start(&["run", "--set", &listen, "--store", &store]);
    assert!(daemon.source.contains(&ports[0].to_string()), "{}", daemon.source);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut files = Files::open(&[file]).unwrap();
    let (mut macs, mut sent) = (BTreeSet::new(), 0);
    while let Next::Frame(frame) = files.next().unwrap() {
        let (to, head) = if sent % 2 == 0 {
            (ports[0], &[1, 0, 0, 1, 1][..])
        } else {
            (ports[1], &[8, 0, 0, 0, 0, 0, 1, 0][..])
        };
        sender.send_to(&[head, frame.bytes].concat(), to).unwrap();
        macs.insert(dissect(&frame).source.to_string());
        sent += 1;
    }
    sender.send_to(b"no frame", ports[0]).unwrap();
    assert_eq!(sent, frames);
    let sources = wait_for("all frames", || {
        let sources = daemon.statistics()["capture"]["sources"].clone();
        let all: u64 = (0..2).filter_map(|n| sources[n]["frames"].as_u64()).sum();
        (all == frames && sources[0]["mirror"]["foreign"] == 1).then_some(sources)
    });
    assert_eq!(sources[0]["mirror"]["senders"][0]["ip"], "127.0.0.1");
    assert_eq!((&sources[0]["kind"], &sources[1]["kernel_drops"]), (&Value::from("mirror"), &Value::from(0)));
    let known = daemon.get("/api/devices").json();
    let known: BTreeSet<_> = known["devices"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|d| d["mac"].as_str().map(str::to_owned))
        .collect();
    assert!(!known.is_empty() && known.is_subset(&macs), "{known:?} of {macs:?}");
}
