//! [`Expected`]: what the owner has said is nothing to tell of. Which finding that covers, for how long, and how much
//! of it there is; what becomes of a covered finding is `incident`'s business.

use super::{Alert, AlertId, Severity, explain};
use crate::behaviour::{Evidence, Kind, Party};
use crate::flow::DeviceKey;
use crate::time::{Span, Timestamp};

/// Findings of this kind on this subject are expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The alert that was marked.
    pub alert: AlertId,
    /// Of what.
    pub kind: Kind,
    /// Of whom.
    pub subject: DeviceKey,
    /// The name that the subject gave itself.
    pub name: Option<String>,
    /// As severe as this at most.
    pub severity: Severity,
    /// When it was made, on the capture's clock.
    pub since: Timestamp,
    /// When it ends, on the capture's clock.
    pub until: Timestamp,
    /// Findings that it covered since start.
    pub matched: u64,
}

/// All rules, oldest first, at most [`Expected::CAPACITY`]: for one more the oldest is dropped and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    rules: Vec<Rule>,
    dropped: u64,
    matched: u64,
}

impl Rule {
    /// Whether the rule covers what has this kind, subject and severity.
    #[must_use]
    pub fn covers(&self, kind: Kind, subject: &Party, severity: Severity) -> bool {
        self.kind == kind && severity <= self.severity && is_of(self.subject, subject)
    }
}

impl Expected {
    /// Rules at once.
    pub const CAPACITY: usize = 256;
    /// How long a rule holds.
    pub const LIFETIME: Span = Span::from_secs(30 * 86_400);

    /// Rules from before a restart, oldest first.
    pub fn restore(&mut self, rules: Vec<Rule>) {
        for rule in rules {
            self.add(rule);
        }
    }

    /// Expects the like of an alert from now on. An alert that has a rule keeps it. None where the subject has no
    /// address to know it by.
    pub fn expect(&mut self, alert: &Alert, now: Timestamp) -> Option<Rule> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.alert == alert.id) {
            return Some(rule.clone());
        }
        let rule = Rule {
            alert: alert.id,
            kind: alert.kind,
            subject: key(&alert.subject)?,
            name: alert.subject.name.clone(),
            severity: alert.severity,
            since: now,
            until: now + Self::LIFETIME,
            matched: 0,
        };
        self.add(rule.clone());
        Some(rule)
    }

    /// Takes back what was said of an alert; the rule that is no more.
    pub fn forget(&mut self, alert: AlertId) -> Option<Rule> {
        let at = self.rules.iter().position(|rule| rule.alert == alert)?;
        Some(self.rules.remove(at))
    }

    /// Lets time pass: rules end.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.rules.retain(|rule| now < rule.until);
    }

    /// Whether a finding is expected.
    #[must_use]
    pub fn covers(&self, evidence: &Evidence) -> bool {
        self.covering(evidence).is_some()
    }

    /// Counts a finding that was not told of.
    pub fn count(&mut self, evidence: &Evidence) {
        self.matched = self.matched.saturating_add(1);
        if let Some(rule) = self.covering(evidence).and_then(|at| self.rules.get_mut(at)) {
            rule.matched = rule.matched.saturating_add(1);
        }
    }

    /// The rules, oldest first.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Rules dropped for room since start.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Findings that were not told of since start.
    #[must_use]
    pub const fn matched(&self) -> u64 {
        self.matched
    }

    fn covering(&self, evidence: &Evidence) -> Option<usize> {
        let severity = explain::severity(evidence.kind, evidence.score);
        self.rules.iter().position(|rule| rule.covers(evidence.kind, &evidence.subject, severity))
    }

    fn add(&mut self, rule: Rule) {
        if self.rules.len() >= Self::CAPACITY {
            self.rules.remove(0);
            self.dropped = self.dropped.saturating_add(1);
        }
        self.rules.push(rule);
    }
}

/// What a party is known by: its hardware address, or else its oldest address.
fn key(party: &Party) -> Option<DeviceKey> {
    party.mac.map(DeviceKey::Mac).or_else(|| party.ips.first().copied().map(DeviceKey::Ip))
}

fn is_of(subject: DeviceKey, party: &Party) -> bool {
    match subject {
        DeviceKey::Mac(mac) => party.mac == Some(mac),
        DeviceKey::Ip(ip) => party.mac.is_none() && party.ips.contains(&ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Mac;

    fn rule(n: u64) -> Rule {
        Rule {
            alert: AlertId::new(Timestamp::EPOCH, n),
            kind: Kind::PortScan,
            subject: DeviceKey::Mac(Mac([2, 0, 0, 0, 0, 1])),
            name: None,
            severity: Severity::Medium,
            since: Timestamp::EPOCH,
            until: Timestamp::EPOCH + Expected::LIFETIME,
            matched: 0,
        }
    }

    #[test]
    fn a_rule_covers_its_kind_and_subject_up_to_its_severity() {
        let of_mac = Party { mac: Some(Mac([2, 0, 0, 0, 0, 1])), ..Party::default() };
        let of_ip = Party { ips: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()], ..Party::default() };
        let (medium, high) = (Severity::Medium, Severity::High);
        assert!(rule(1).covers(Kind::PortScan, &of_mac, medium));
        assert!(rule(1).covers(Kind::PortScan, &of_mac, Severity::Low));
        assert!(!rule(1).covers(Kind::PortScan, &of_mac, high));
        assert!(!rule(1).covers(Kind::HostSweep, &of_mac, medium));
        assert!(!rule(1).covers(Kind::PortScan, &of_ip, medium));
        let by_ip = Rule { subject: DeviceKey::Ip([192, 0, 2, 2].into()), ..rule(1) };
        assert!(by_ip.covers(Kind::PortScan, &of_ip, medium));
        let behind = Party { mac: of_mac.mac, ..of_ip };
        assert!(!by_ip.covers(Kind::PortScan, &behind, medium), "that is what a station is known by");
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let mut expected = Expected::default();
        expected.restore((0..258).map(rule).collect());
        assert_eq!((expected.rules().len(), expected.dropped()), (Expected::CAPACITY, 2));
        assert_eq!(expected.rules().first().map(|rule| rule.alert), Some(rule(2).alert));
    }

    #[test]
    fn a_rule_ends_after_thirty_days() {
        let mut expected = Expected::default();
        expected.restore(vec![rule(1)]);
        let end = Timestamp::EPOCH + Span::from_secs(30 * 86_400);
        expected.handle_time(end - Span::from_secs(1));
        assert_eq!(expected.rules().len(), 1);
        expected.handle_time(end);
        assert_eq!(expected.rules().len(), 0);
    }
}
