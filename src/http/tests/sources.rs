//! Several sources at once: what is shown of all together and of each.

use std::sync::Arc;

use serde_json::json;

use super::fixture::{Bench, meter};
use crate::capture::MirrorCounters;
use crate::control::{CaptureState, MeterStatus, Meters, SourceKind};
use crate::packet::Mac;
use crate::pipeline::SourceId;

fn of(source: u16, name: &str, state: CaptureState) -> MeterStatus {
    let mut status = meter();
    status.source = SourceId(source);
    status.capture.name = name.to_owned();
    status.capture.state = state;
    status
}

#[test]
fn one_source_is_shown_as_it_is() {
    let meters = Meters::default();
    assert!(meters.latest().is_none());
    for beat in 1..=2 {
        meters.publish(of(3, "eth1", CaptureState::Running));
        let latest = meters.latest().unwrap();
        assert!(Arc::ptr_eq(&latest, &meters.each()[0]));
        assert_eq!((latest.sources.len(), latest.sources[0].published), (1, beat));
    }
}

#[test]
fn several_are_added_up_and_a_device_on_two_is_one() {
    let meters = Meters::default();
    let (mut a, mut b) =
        (of(0, "eth1", CaptureState::Running), of(1, "eth2", CaptureState::Waiting("gone".to_owned())));
    let devices = a.devices.len();
    for (n, device) in a.devices.iter_mut().enumerate() {
        device.packets_sent = 5 + u64::try_from(n).unwrap();
    }
    b.devices.truncate(1);
    b.devices[0].packets_sent = 6;
    b.devices[0].interface = Some("eth2".to_owned());
    let mut stranger = b.devices[0].clone();
    stranger.mac = Some(Mac([2, 9, 9, 9, 9, 9]));
    b.devices.push(stranger);
    (a.packets_per_second, b.packets_per_second) = (Some(2.0), None);
    let (packets, drops) = (a.packets, a.capture.counters.kernel_drops);
    let first = a.devices[0].key();
    meters.publish(b);
    meters.publish(a);
    let all = meters.latest().unwrap();
    assert!(Arc::ptr_eq(&all, &meters.latest().unwrap()), "it is put together once");
    assert_eq!((all.packets, all.capture.counters.kernel_drops), (2 * packets, 2 * drops));
    assert_eq!(all.packets_per_second, Some(2.0));
    assert_eq!(all.capture.name, "eth1, eth2");
    assert_eq!(all.capture.state, CaptureState::Waiting("gone".to_owned()));
    assert_eq!(all.sources.iter().map(|s| s.source.0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(all.devices.len(), devices + 1);
    let seen_twice = all.devices.iter().find(|d| d.key() == first).unwrap();
    assert_eq!((seen_twice.packets_sent, seen_twice.interface.as_deref()), (11, Some("eth2")));
    assert_eq!(all.protocols.iter().find(|(name, _)| *name == "arp"), Some(&("arp", 2 * 4_311)));

    meters.remove(SourceId(1));
    assert_eq!(meters.latest().unwrap().capture.state, CaptureState::Running);
}

#[test]
fn each_source_is_shown_beside_all_together() {
    let mut bench = Bench::new();
    bench.board.meter.publish(of(0, "eth1", CaptureState::Running));
    bench.board.meter.publish(of(1, "eth2", CaptureState::Waiting("it is down".to_owned())));
    let capture = bench.json("/api/capture/status")["capture"].clone();
    assert_eq!((&capture["name"], &capture["state"]), (&json!("eth1, eth2"), &json!("waiting")));
    let shown =
        |n: usize| (capture["sources"][n]["name"].clone(), capture["sources"][n]["waiting_for"].clone());
    assert_eq!((shown(0), shown(1)), ((json!("eth1"), json!(null)), (json!("eth2"), json!("it is down"))));
    let health = bench.get("/healthz");
    assert_eq!((health.status, health.text()), (503, "capture: waiting for eth2: it is down\n".to_owned()));
    let metrics = bench.get("/metrics").text();
    assert!(metrics.contains("\ntapguard_source_up{source=\"eth1\"} 1\n"), "{metrics}");
    assert!(metrics.contains("\ntapguard_source_up{source=\"eth2\"} 0\n"), "{metrics}");
    assert!(
        metrics.contains("\ntapguard_source_dropped_frames_total{source=\"eth2\",where=\"kernel\"} 12\n")
    );

    let mut mirror = of(2, "192.0.2.1:37008", CaptureState::Quiet);
    mirror.capture.kind = SourceKind::Mirror;
    let senders = vec![([192, 0, 2, 9].into(), 7)];
    mirror.capture.mirror = Some(MirrorCounters { foreign: 3, refused: 2, senders, others: 1 });
    bench.board.meter.publish(mirror);
    let sources = bench.json("/api/capture/status")["capture"]["sources"].clone();
    let counted =
        json!({"foreign": 3, "refused": 2, "senders": [{"ip": "192.0.2.9", "frames": 7}], "others": 1});
    assert_eq!((&sources[2]["kind"], &sources[2]["mirror"]), (&json!("mirror"), &counted));
    assert_eq!(sources[0]["mirror"], json!(null));
    let metrics = bench.get("/metrics").text();
    let frames = "\ntapguard_mirror_frames_total{source=\"192.0.2.1:37008\",sender=\"192.0.2.9\"} 7\n";
    assert!(metrics.contains(frames), "{metrics}");

    bench.obey_capture();
    let unknown = bench.get_as_owner("/api/capture/packets?interface=eth9");
    assert_eq!(unknown.status, 400);
    assert_eq!(bench.get_as_owner("/api/capture/packets?interface=eth1").status, 200);
    assert_eq!(bench.get_as_owner("/api/capture/packets").status, 200);
}
