//! What the API says of the interfaces of this machine. The rules are those of `view`.

use std::net::IpAddr;

use serde::Serialize;

use crate::capture::{Interface, LinkState, Medium, choose};
use crate::control::{CaptureState, SourceKind, SourceStatus};

/// `/api/interfaces`.
#[derive(Debug, Serialize)]
pub(super) struct InterfacesAnswer {
    /// By name.
    interfaces: Vec<InterfaceView>,
    /// What would be listened on if it were chosen now; null where nothing but loopback is up.
    auto: Option<ChoiceView>,
}

#[derive(Debug, Serialize)]
struct InterfaceView {
    name: String,
    description: Option<String>,
    addresses: Vec<IpAddr>,
    state: &'static str,
    medium: &'static str,
    /// Since boot; null where the kernel does not tell.
    received_packets: Option<u64>,
    /// Whether it is captured on, or waited for.
    captured: bool,
}

#[derive(Debug, Serialize)]
struct ChoiceView {
    name: String,
    why: String,
}

impl InterfacesAnswer {
    pub(super) fn new(interfaces: Vec<Interface>, sources: &[SourceStatus]) -> Self {
        let captured = |name: &str| {
            let mut taps = sources.iter().filter(|one| one.capture.kind == SourceKind::Interface);
            taps.any(|one| one.capture.name == name && one.capture.state != CaptureState::Stopped)
        };
        let auto = choose(&interfaces).map(|(best, why)| ChoiceView { name: best.name.clone(), why });
        Self {
            auto,
            interfaces: interfaces
                .into_iter()
                .map(|interface| InterfaceView::new(captured(&interface.name), interface))
                .collect(),
        }
    }
}

impl InterfaceView {
    fn new(captured: bool, interface: Interface) -> Self {
        Self {
            name: interface.name,
            description: interface.description,
            addresses: interface.addresses,
            state: match interface.state {
                LinkState::Down => "down",
                LinkState::Up => "up",
                LinkState::Running => "running",
            },
            medium: match interface.medium {
                Medium::Wired => "wired",
                Medium::Wireless => "wireless",
                Medium::Virtual => "virtual",
                Medium::Loopback => "loopback",
            },
            received_packets: interface.received,
            captured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_told_with_the_choice_among_them() {
        let lan = Interface {
            name: "eth0".to_owned(),
            description: None,
            addresses: vec![IpAddr::from([192, 0, 2, 1])],
            state: LinkState::Running,
            medium: Medium::Wired,
            received: Some(7),
        };
        let mirror = Interface {
            name: "eth1".to_owned(),
            description: Some("mirror".to_owned()),
            addresses: Vec::new(),
            ..lan.clone()
        };
        let answer = serde_json::to_value(InterfacesAnswer::new(vec![lan.clone(), mirror], &[])).unwrap();
        let eth0 = serde_json::json!({"name": "eth0", "description": null, "addresses": ["192.0.2.1"],
            "state": "running", "medium": "wired", "received_packets": 7, "captured": false});
        assert_eq!(answer["interfaces"][0], eth0);
        let why = "eth1 carries traffic and has no address, as a mirror port does";
        assert_eq!(answer["auto"], serde_json::json!({"name": "eth1", "why": why}));

        let down = Interface { state: LinkState::Down, received: None, ..lan };
        let answer = serde_json::to_value(InterfacesAnswer::new(vec![down], &[])).unwrap();
        assert!(answer["auto"].is_null() && answer["interfaces"][0]["received_packets"].is_null());
    }
}
