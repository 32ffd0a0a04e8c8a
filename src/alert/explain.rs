//! Words for people: titles, descriptions and severities, from what a detector found. One table by kind.

use std::fmt::Write as _;

use super::Severity;
use crate::behaviour::{Evidence, Kind, Party, Peer, Reason};

/// How much a finding matters: its kind's own severity, one step up when it is far beyond chance (a score of 0.95
/// is rarer than one in 50,000).
pub(super) fn severity(kind: Kind, score: f64) -> Severity {
    const FAR: f64 = 0.95;
    match (kind, score >= FAR) {
        (Kind::NewDevice, _) | (Kind::Behaviour, false) => Severity::Low,
        (Kind::Behaviour, true) | (Kind::PortScan | Kind::HostSweep, false) => Severity::Medium,
        (Kind::PortScan | Kind::HostSweep, true) | (Kind::ArpSpoof | Kind::TapStore, _) => Severity::High,
    }
}

/// One line that names the subject and, where there is one, the other side.
pub(super) fn title(kind: Kind, subject: &Party, peers: &[Peer], peer_count: u64) -> String {
    let who = subject.label();
    let whom = others(peers, peer_count);
    match kind {
        Kind::PortScan => format!("{who} scans the ports of {whom}"),
        Kind::HostSweep => format!("{who} looks for hosts: tried {peer_count} addresses"),
        Kind::ArpSpoof => format!("{who} claims the address of {whom}"),
        Kind::NewDevice => format!("New device on the network: {who}"),
        Kind::Behaviour => format!("{who} behaves unlike its baseline"),
        Kind::TapStore => "The tap replaced its store".to_owned(),
    }
}

/// What was seen, what it may mean, what to do.
pub(super) fn description(evidence: &Evidence) -> String {
    let mut text = String::new();
    for reason in evidence.reasons.iter().take(3) {
        let separator = if text.is_empty() { "Seen: " } else { "; " };
        text.push_str(separator);
        observed(&mut text, reason);
    }
    if !text.is_empty() {
        text.push_str(". ");
    }
    text.push_str(advice(evidence.kind));
    text
}

const fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::PortScan => {
            "A device that tries many ports looks for services to attack. If nobody runs an inventory or a test on \
             it now, disconnect it and find out what runs there."
        }
        Kind::HostSweep => {
            "A device that tries many addresses looks for others to attack, as worms do. If nobody runs an \
             inventory on it now, disconnect it and find out what runs there."
        }
        Kind::ArpSpoof => {
            "Traffic for that address may go through the claiming device, which can then read and change it. If no \
             device was replaced and no address moved, find the claiming device and disconnect it."
        }
        Kind::NewDevice => {
            "It was not there while the baseline was learned. If it is yours, nothing is to be done; if not, find \
             it by its addresses and take it off the network."
        }
        Kind::Behaviour => {
            "Nothing of the kind was seen from this device while the baseline was learned. Ask what changed: an \
             update, a new use, or somebody else in control of it."
        }
        Kind::TapStore => {
            "The database did not open and was moved aside, to where the status page says; a new one was begun, so \
             earlier baseline, devices and alerts are not in use. Check the storage medium."
        }
    }
}

fn observed(text: &mut String, reason: &Reason) {
    let name = reason.feature.replace('_', " ");
    let value = number(reason.value);
    // A String takes whatever is written.
    let _ = write!(text, "{name} {value}");
    if reason.unit != "ratio" {
        let _ = write!(text, " {}", reason.unit);
    }
    let _ = match (reason.median, reason.p99) {
        (Some(median), Some(p99)) => {
            write!(text, " (normally about {}, seldom over {})", number(median), number(p99))
        }
        (None, Some(limit)) => write!(text, " (limit {})", number(limit)),
        _ => Ok(()),
    };
}

/// Up to three significant digits after a whole part of fewer.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn others(peers: &[Peer], peer_count: u64) -> String {
    let Some(first) = peers.first() else { return "another".to_owned() };
    match peer_count.saturating_sub(1) {
        0 => first.label(),
        1 => format!("{} and 1 other", first.label()),
        more => format!("{} and {more} others", first.label()),
    }
}

impl Party {
    /// The name people know it by: its own name with an address, else an address. Of several addresses, an IPv4 one
    /// is what they find in their router.
    #[must_use]
    pub fn label(&self) -> String {
        let ip = self.ips.iter().find(|ip| ip.is_ipv4()).or(self.ips.first());
        match (&self.name, ip, self.mac) {
            (Some(name), Some(ip), _) => format!("{name} ({ip})"),
            (Some(name), None, Some(mac)) => format!("{name} ({mac})"),
            (Some(name), None, None) => name.clone(),
            (None, Some(ip), _) => ip.to_string(),
            (None, None, Some(mac)) => mac.to_string(),
            (None, None, None) => "unknown".to_owned(),
        }
    }
}

impl Peer {
    /// Its address.
    #[must_use]
    pub fn label(&self) -> String {
        match (self.ip, self.mac) {
            (Some(ip), _) => ip.to_string(),
            (None, Some(mac)) => mac.to_string(),
            (None, None) => "unknown".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [312.0, 15.5, 2.25, 0.5, 0.0, 4_005.4].map(number);
        assert_eq!(texts, ["312", "15.5", "2.25", "0.5", "0", "4005"]);
    }

    #[test]
    fn a_reason_is_told_with_what_is_normal() {
        let mut text = String::new();
        observed(
            &mut text,
            &Reason {
                feature: "failed_flow_rate".into(),
                value: 12.0,
                unit: "flows/s".into(),
                median: Some(0.0),
                p99: Some(0.25),
                contribution: 0.5,
            },
        );
        assert_eq!(text, "failed flow rate 12 flows/s (normally about 0, seldom over 0.25)");
    }
}
