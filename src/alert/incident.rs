//! From findings to incidents: what is told of one subject and kind is one [`Alert`] with a beginning, news and an
//! end. What the finding means is the detector's business, how it is worded is `explain`'s.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use super::{Alert, AlertId, Config, Event, Expected, Rule, Severity, explain};
use crate::behaviour::{Evidence, Kind, Party, Peer};
use crate::time::{Span, Timestamp};

/// What a finding was compared with, for the alert to name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Model and version; none for a detector that needs no training.
    pub model: Option<String>,
    /// Baseline; none for a detector that needs none.
    pub baseline: Option<String>,
}

/// All open incidents, at most [`Config::open_capacity`]; at the limit the one that has been quiet longest is
/// cleared early, so that nothing is ever raised without being cleared.
#[derive(Debug)]
pub struct Incidents {
    config: Config,
    open: Vec<Incident>,
    expected: Expected,
    told: VecDeque<Alert>,
}

#[derive(Debug)]
struct Incident {
    alert: Alert,
    peer_count: u64,
    /// Findings came that nobody was told of yet.
    news: bool,
    /// How severe it was when the owner said that he has seen it.
    acknowledged: Option<Severity>,
    /// The owner expects it: nobody is told of it, but it still explains what belongs to it.
    muted: bool,
}

impl Incidents {
    /// Time that a swept host takes to answer, name resolution of the link included (RFC 1122, 2.3.2.1: ARP asks
    /// once a second).
    const ANSWER: Span = Span::from_secs(3);

    /// No incident is open.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, open: Vec::new(), expected: Expected::default(), told: VecDeque::new() }
    }

    /// Takes up incidents that were open when the daemon stopped. They are not told again; what exceeds the capacity
    /// is cleared.
    pub fn restore(&mut self, alerts: impl IntoIterator<Item = Alert>) {
        for alert in alerts {
            let (peer_count, at) = (u64::try_from(alert.peers.len()).unwrap_or(u64::MAX), alert.last_seen);
            self.open.push(Incident::new(alert, peer_count, false));
            if self.open.len() > self.config.open_capacity {
                self.clear(0, at);
            }
        }
    }

    /// Joins a finding with the open incident on its subject and kind, or raises a new one. One that is expected is
    /// counted instead of raised; its incident goes on unseen.
    pub fn handle(&mut self, evidence: Evidence, provenance: Provenance) {
        let same = |i: &Incident| {
            i.alert.kind == evidence.kind
                && same_subject(&i.alert.subject, &evidence.subject)
                && !is_another_attack(&i.alert, &evidence)
        };
        let expected = self.expected.covers(&evidence);
        let at = self.open.iter().position(same);
        let muted = at.and_then(|at| self.open.get(at)).map(|incident| incident.muted);
        if muted.unwrap_or(true) && expected {
            self.expected.count(&evidence);
        }
        match at {
            Some(at) if expected || muted == Some(false) => self.join(at, evidence, provenance),
            // It is not expected any more, or not this much of it.
            Some(at) => {
                self.open.remove(at);
                self.raise(evidence, provenance, false);
            }
            None => self.raise(evidence, provenance, expected),
        }
    }

    /// Takes up the rules from before a restart.
    pub fn restore_expected(&mut self, rules: Vec<Rule>) {
        self.expected.restore(rules);
    }

    /// Expects the like of an alert from now on, and clears what is open of it. An alert of a subject without an
    /// address, such as the tap itself, is only cleared.
    pub fn expect(&mut self, alert: &Alert, now: Timestamp) {
        let current = self.open.iter().map(|i| &i.alert).find(|open| open.id == alert.id);
        let rule = self.expected.expect(current.unwrap_or(alert), now);
        let mut at = 0;
        while let Some(Incident { alert: open, muted, .. }) = self.open.get(at) {
            let (marked, muted) = (open.id == alert.id, *muted);
            let covered = rule.as_ref().is_some_and(|r| r.covers(open.kind, &open.subject, open.severity));
            if (marked || covered) && !muted {
                self.tell(at, Event::Cleared, now.max(open.timestamp));
            }
            if marked && !covered {
                self.open.remove(at);
                continue;
            }
            if let Some(incident) = self.open.get_mut(at) {
                incident.muted |= covered;
            }
            at += 1;
        }
    }

    /// Takes back what was said of an alert: the next finding like it is told.
    pub fn forget_expected(&mut self, alert: AlertId) {
        if let Some(rule) = self.expected.forget(alert) {
            self.open.retain(|i| !(i.muted && rule.covers(i.alert.kind, &i.alert.subject, i.alert.severity)));
        }
    }

    /// What is expected.
    #[must_use]
    pub const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Notes that the owner has seen an incident while it was as severe as this, or that he has not; nothing where it
    /// is not open. It counts until the incident grows more severe.
    pub fn acknowledge(&mut self, id: AlertId, seen: Option<Severity>) {
        if let Some(incident) = self.open.iter_mut().find(|incident| incident.alert.id == id) {
            incident.acknowledged = seen;
        }
    }

    /// Open incidents that the owner has not seen.
    pub fn unacknowledged(&self) -> impl Iterator<Item = AlertId> {
        self.pressing().map(|incident| incident.alert.id)
    }

    /// Lets time pass: incidents that were quiet long enough are cleared, and news that waited is told.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.expected.handle_time(now);
        let mut at = 0;
        while let Some(incident) = self.open.get(at) {
            if now.since(incident.alert.last_seen) >= self.config.quiet {
                self.clear(at, now);
            } else {
                self.update_if_due(at, now);
                at += 1;
            }
        }
    }

    /// The capture's clock jumped: what is open counts its silence from `now`.
    pub fn handle_step(&mut self, now: Timestamp) {
        for incident in &mut self.open {
            incident.alert.first_seen = incident.alert.first_seen.min(now);
            incident.alert.last_seen = now;
            incident.alert.timestamp = now;
        }
    }

    /// Whether an open incident of another kind, with evidence from `since` on, has this host as its subject or among
    /// its peers, and so explains what is unusual about it.
    #[must_use]
    pub fn explains(&self, host: &Party, since: Timestamp) -> bool {
        self.open.iter().map(|i| &i.alert).any(|alert| {
            alert.kind != Kind::Behaviour
                && alert.last_seen >= since
                && (same_subject(&alert.subject, host) || alert.peers.iter().any(|peer| is_peer(peer, host)))
        })
    }

    /// Whether an open sweep of another host was going on at `time`, so that a silent device may have answered it.
    #[must_use]
    pub fn is_swept(&self, host: &Party, time: Timestamp) -> bool {
        self.open.iter().map(|i| &i.alert).any(|alert| {
            alert.kind == Kind::HostSweep
                && (alert.first_seen..=alert.last_seen + Self::ANSWER).contains(&time)
                && !same_subject(&alert.subject, host)
        })
    }

    /// The next telling, in order.
    pub fn poll(&mut self) -> Option<Alert> {
        self.told.pop_front()
    }

    /// Incidents open now, without those that are expected.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.iter().filter(|incident| !incident.muted).count()
    }

    /// The highest severity of what is open now and not acknowledged.
    #[must_use]
    pub fn threat(&self) -> Option<Severity> {
        self.pressing().map(|incident| incident.alert.severity).max()
    }

    fn pressing(&self) -> impl Iterator<Item = &Incident> {
        let unseen = |i: &Incident| i.acknowledged.is_none_or(|seen| i.alert.severity > seen);
        self.open.iter().filter(move |incident| !incident.muted && unseen(incident))
    }

    fn raise(&mut self, evidence: Evidence, provenance: Provenance, muted: bool) {
        if self.open.len() >= self.config.open_capacity.max(1)
            && let Some(quietest) = (0..self.open.len()).min_by_key(|&at| self.last_seen(at))
        {
            self.clear(quietest, evidence.time);
        }
        let alert = Alert {
            id: identity(&evidence),
            event: Event::Raised,
            timestamp: evidence.time,
            first_seen: evidence.since,
            last_seen: evidence.time,
            kind: evidence.kind,
            title: explain::title(evidence.kind, &evidence.subject, &evidence.peers, evidence.peer_count),
            description: explain::description(&evidence),
            severity: explain::severity(evidence.kind, evidence.score),
            score: evidence.score,
            confidence: evidence.confidence,
            subject: evidence.subject,
            peers: evidence.peers,
            reasons: evidence.reasons,
            packets: evidence.packets,
            bytes: evidence.bytes,
            count: 1,
            tap: self.config.tap.clone(),
            model: provenance.model,
            baseline: provenance.baseline,
        };
        if !muted {
            self.told.push_back(alert.clone());
        }
        self.open.push(Incident::new(alert, evidence.peer_count, muted));
    }

    fn join(&mut self, at: usize, evidence: Evidence, provenance: Provenance) {
        let Some(incident) = self.open.get_mut(at) else { return };
        let escalated = incident.join(evidence, provenance);
        let now = incident.alert.last_seen;
        if escalated {
            self.tell(at, Event::Updated, now);
        } else {
            self.update_if_due(at, now);
        }
    }

    fn update_if_due(&mut self, at: usize, now: Timestamp) {
        let due = self
            .open
            .get(at)
            .is_some_and(|i| i.news && now.since(i.alert.timestamp) >= self.config.update_interval);
        if due {
            self.tell(at, Event::Updated, now);
        }
    }

    fn clear(&mut self, at: usize, now: Timestamp) {
        self.tell(at, Event::Cleared, now);
        self.open.remove(at);
    }

    fn tell(&mut self, at: usize, event: Event, now: Timestamp) {
        let Some(incident) = self.open.get_mut(at) else { return };
        if incident.muted {
            return;
        }
        incident.news = false;
        incident.alert.event = event;
        incident.alert.timestamp = now;
        self.told.push_back(incident.alert.clone());
    }

    fn last_seen(&self, at: usize) -> Option<Timestamp> {
        self.open.get(at).map(|i| i.alert.last_seen)
    }
}

impl Incident {
    const fn new(alert: Alert, peer_count: u64, muted: bool) -> Self {
        Self { alert, peer_count, news: false, acknowledged: None, muted }
    }

    /// Whether the severity rose, which is worth telling at once.
    fn join(&mut self, evidence: Evidence, provenance: Provenance) -> bool {
        let alert = &mut self.alert;
        let severity = alert.severity.max(explain::severity(evidence.kind, evidence.score));
        let escalated = severity > alert.severity;
        self.peer_count = self.peer_count.max(evidence.peer_count);
        merge_peers(&mut alert.peers, evidence.peers.iter());
        alert.severity = severity;
        // Words, reasons and score belong together: those of the worst finding are told.
        if evidence.score >= alert.score {
            alert.description = explain::description(&evidence);
            alert.reasons = evidence.reasons;
            alert.model = provenance.model;
            alert.baseline = provenance.baseline;
            alert.score = evidence.score;
            alert.confidence = evidence.confidence;
        }
        alert.last_seen = alert.last_seen.max(evidence.time);
        alert.first_seen = alert.first_seen.min(evidence.since);
        alert.subject = fuller(&alert.subject, evidence.subject);
        alert.title = explain::title(alert.kind, &alert.subject, &alert.peers, self.peer_count);
        alert.packets = alert.packets.saturating_add(evidence.packets);
        alert.bytes = alert.bytes.saturating_add(evidence.bytes);
        alert.count = alert.count.saturating_add(1);
        self.news = true;
        escalated
    }
}

/// The subject as known last, without forgetting a name that was known before.
fn fuller(old: &Party, new: Party) -> Party {
    Party {
        name: new.name.or_else(|| old.name.clone()),
        vendor: new.vendor.or_else(|| old.vendor.clone()),
        ..new
    }
}

/// Whether a scan turns to a target that the incident does not know, after a pause: an attack of its own. Without the
/// pause it is one attack that goes from host to host.
fn is_another_attack(alert: &Alert, evidence: &Evidence) -> bool {
    const PAUSE: Span = Span::from_secs(60);
    evidence.kind == Kind::PortScan
        && evidence.since.since(alert.last_seen) >= PAUSE
        && evidence.peers.iter().all(|peer| !alert.peers.contains(peer))
}

fn merge_peers<'a>(peers: &mut Vec<Peer>, more: impl Iterator<Item = &'a Peer>) {
    for peer in more {
        if peers.len() >= Evidence::MAX_PEERS {
            return;
        }
        if !peers.contains(peer) {
            peers.push(peer.clone());
        }
    }
}

/// By hardware address where both have one, else by any address in common.
fn same_subject(a: &Party, b: &Party) -> bool {
    match (a.mac, b.mac) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.ips.iter().any(|ip| b.ips.contains(ip)) || (a.ips.is_empty() && b.ips.is_empty()),
        _ => false,
    }
}

fn is_peer(peer: &Peer, host: &Party) -> bool {
    peer.ip.is_some_and(|ip| host.ips.contains(&ip))
        || (peer.ip.is_none() && peer.mac.is_some() && peer.mac == host.mac)
}

fn identity(evidence: &Evidence) -> AlertId {
    let subject = match (evidence.subject.mac, evidence.subject.ips.first()) {
        (Some(mac), _) => mac.to_string(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => String::new(),
    };
    let mut hash = Sha256::new();
    hash.update(evidence.kind.word());
    hash.update(subject);
    hash.update(evidence.since.as_nanos().to_be_bytes());
    hash.update(evidence.time.as_nanos().to_be_bytes());
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    AlertId::new(evidence.since, u64::from_be_bytes(first))
}

/// Alerts told since start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    raised: [u64; Kind::ALL.len()],
    /// Updates told.
    pub updated: u64,
    /// Cleared.
    pub cleared: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { raised: [0; Kind::ALL.len()], updated: 0, cleared: 0 }
    }
}

impl Tally {
    /// Counts one telling.
    pub fn count(&mut self, alert: &Alert) {
        match alert.event {
            Event::Raised => {
                if let Some(n) = self.raised.get_mut(alert.kind as usize) {
                    *n += 1;
                }
            }
            Event::Updated => self.updated += 1,
            Event::Cleared => self.cleared += 1,
        }
    }

    /// Raised alerts of each kind, zero ones included, in the order of [`Kind::ALL`].
    pub fn raised(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Reason;
    use crate::packet::Mac;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Span::from_secs(1_000 + seconds)
    }

    fn scan(station: u8, seconds: u64, score: f64) -> Evidence {
        Evidence {
            kind: Kind::PortScan,
            time: at(seconds),
            since: at(seconds) - Span::from_secs(2),
            subject: Party { mac: Some(Mac([2, 0, 0, 0, 0, station])), ..Party::default() },
            peers: vec![Peer {
                mac: None,
                ip: Some([192, 0, 2, station].into()),
                port: None,
                protocol: None,
            }],
            peer_count: 1,
            reasons: vec![Reason {
                feature: "failed_ports".into(),
                value: 40.0,
                unit: "ports".into(),
                median: None,
                p99: Some(15.0),
                contribution: 1.0,
            }],
            packets: 40,
            bytes: 2_400,
            score,
            confidence: 0.9,
        }
    }

    fn told(incidents: &mut Incidents) -> Vec<(Event, u64)> {
        std::iter::from_fn(|| incidents.poll()).map(|a| (a.event, a.count)).collect()
    }

    #[test]
    fn an_incident_is_raised_updated_and_cleared_once() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        assert_eq!(told(&mut incidents), [(Event::Raised, 1)]);
        incidents.handle(scan(1, 20, 0.8), Provenance::default());
        assert_eq!(told(&mut incidents), [], "news waits for the update interval");
        incidents.handle_time(at(301));
        assert_eq!(told(&mut incidents), [(Event::Updated, 2)]);
        incidents.handle_time(at(619));
        assert_eq!(told(&mut incidents), []);
        incidents.handle_time(at(620));
        assert_eq!(told(&mut incidents), [(Event::Cleared, 2)]);
        incidents.handle_time(at(9_000));
        assert_eq!((told(&mut incidents), incidents.open()), (vec![], 0));
    }

    #[test]
    fn a_worse_finding_is_told_at_once() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        incidents.handle(scan(1, 3, 1.0), Provenance::default());
        assert_eq!(told(&mut incidents), [(Event::Raised, 1), (Event::Updated, 2)]);
        assert_eq!(incidents.threat(), Some(Severity::High));
    }

    #[test]
    fn a_scan_of_another_target_after_a_pause_is_another_attack() {
        let mut incidents = Incidents::new(Config::default());
        let on = |target: u8, seconds| {
            let peers =
                vec![Peer { mac: None, ip: Some([192, 0, 2, target].into()), port: None, protocol: None }];
            Evidence { peers, ..scan(1, seconds, 0.8) }
        };
        for (target, seconds) in [(7, 0), (8, 30), (7, 200), (9, 300)] {
            incidents.handle(on(target, seconds), Provenance::default());
        }
        assert_eq!(told(&mut incidents), [(Event::Raised, 1), (Event::Raised, 1)]);
        assert_eq!(incidents.open(), 2);
    }

    #[test]
    fn subjects_are_kept_apart_and_the_quietest_makes_room() {
        let mut incidents = Incidents::new(Config { open_capacity: 2, ..Config::default() });
        for station in 1..=3 {
            incidents.handle(scan(station, u64::from(station), 0.8), Provenance::default());
        }
        let events: Vec<_> = told(&mut incidents).into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, [Event::Raised, Event::Raised, Event::Cleared, Event::Raised]);
        assert_eq!(incidents.open(), 2);
    }

    #[test]
    fn a_restored_incident_goes_on_under_its_id() {
        let mut before = Incidents::new(Config::default());
        before.handle(scan(1, 0, 0.8), Provenance::default());
        let raised = before.poll().unwrap();
        let mut after = Incidents::new(Config::default());
        after.restore([raised.clone()]);
        after.handle(scan(1, 60, 0.8), Provenance::default());
        assert_eq!(told(&mut after), []);
        after.handle_time(at(660));
        let cleared = after.poll().unwrap();
        assert_eq!((cleared.id, cleared.event, cleared.count), (raised.id, Event::Cleared, 2));
    }

    #[test]
    fn a_named_incident_explains_its_subject_and_its_peers() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 10, 0.8), Provenance::default());
        let station = |n| Party { mac: Some(Mac([2, 0, 0, 0, 0, n])), ..Party::default() };
        let victim = Party { ips: vec![[192, 0, 2, 1].into()], ..station(9) };
        let asked = [station(1), victim.clone(), station(3)].map(|p| incidents.explains(&p, at(0)));
        assert_eq!(asked, [true, true, false]);
        assert!(!incidents.explains(&victim, at(60)), "what is over explains nothing new");
    }

    #[test]
    fn a_sweep_may_wake_silent_hosts_but_not_its_own_source() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(Evidence { kind: Kind::HostSweep, ..scan(1, 10, 0.8) }, Provenance::default());
        let station = |n| Party { mac: Some(Mac([2, 0, 0, 0, 0, n])), ..Party::default() };
        let asked =
            [(1, 10), (2, 8), (2, 13), (2, 7), (2, 14)].map(|(n, t)| incidents.is_swept(&station(n), at(t)));
        assert_eq!(asked, [false, true, true, false, false]);
    }

    #[test]
    fn a_clock_that_jumps_does_not_clear() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        incidents.handle_step(at(1_000_000));
        incidents.handle_time(at(1_000_001));
        assert_eq!(incidents.open(), 1);
    }

    /// What was told, and what is open and pressing afterwards.
    fn seen(incidents: &mut Incidents) -> (Vec<Event>, usize, usize) {
        let events = told(incidents).into_iter().map(|(event, _)| event).collect();
        (events, incidents.open(), incidents.unacknowledged().count())
    }

    #[test]
    fn an_acknowledged_incident_threatens_again_once_it_grows_worse() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        let id = incidents.poll().unwrap().id;
        incidents.acknowledge(id, Some(Severity::Medium));
        assert_eq!((incidents.open(), incidents.threat()), (1, None));
        incidents.handle(scan(1, 10, 0.85), Provenance::default());
        assert_eq!(incidents.threat(), None, "more of the same");
        incidents.handle(scan(2, 12, 0.8), Provenance::default());
        assert_eq!(incidents.threat(), Some(Severity::Medium), "a new one");
        incidents.handle(scan(1, 20, 1.0), Provenance::default());
        assert_eq!((incidents.threat(), incidents.unacknowledged().count()), (Some(Severity::High), 2));
        incidents.acknowledge(id, Some(Severity::High));
        assert_eq!(incidents.unacknowledged().count(), 1);
        incidents.acknowledge(id, None);
        assert_eq!(incidents.unacknowledged().count(), 2);
    }

    #[test]
    fn what_is_expected_is_cleared_and_then_only_counted() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        let alert = incidents.poll().unwrap();
        incidents.expect(&alert, at(5));
        assert_eq!(seen(&mut incidents), (vec![Event::Cleared], 0, 0));
        for seconds in [10, 20, 2_000] {
            incidents.handle(scan(1, seconds, 0.8), Provenance::default());
            incidents.handle_time(at(seconds + 700));
        }
        assert_eq!(seen(&mut incidents), (vec![], 0, 0));
        let expected = incidents.expected();
        assert_eq!((expected.matched(), expected.rules().first().map(|r| r.matched)), (3, Some(3)));
        incidents.handle(scan(2, 2_001, 0.8), Provenance::default());
        assert_eq!(seen(&mut incidents), (vec![Event::Raised], 1, 1), "another subject");
    }

    #[test]
    fn what_is_worse_than_expected_is_a_new_incident() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        let alert = incidents.poll().unwrap();
        incidents.expect(&alert, at(5));
        incidents.handle(scan(1, 10, 0.8), Provenance::default());
        assert_eq!(incidents.poll().map(|a| a.event), Some(Event::Cleared));
        incidents.handle(scan(1, 20, 1.0), Provenance::default());
        let worse = incidents.poll().unwrap();
        assert_eq!((worse.event, worse.severity), (Event::Raised, Severity::High));
        assert_ne!(worse.id, alert.id);
        incidents.handle(scan(1, 30, 0.8), Provenance::default());
        assert_eq!((incidents.open(), incidents.expected().matched()), (1, 1), "it belongs to what is open");
    }

    #[test]
    fn what_is_expected_still_explains_what_belongs_to_it() {
        let mut incidents = Incidents::new(Config::default());
        let sweep = |seconds| Evidence { kind: Kind::HostSweep, ..scan(1, seconds, 0.8) };
        incidents.handle(sweep(0), Provenance::default());
        let alert = incidents.poll().unwrap();
        incidents.expect(&alert, at(700));
        incidents.handle_time(at(1_300));
        incidents.handle(sweep(2_000), Provenance::default());
        let station = |n| Party { mac: Some(Mac([2, 0, 0, 0, 0, n])), ..Party::default() };
        assert!(incidents.explains(&station(1), at(1_990)));
        assert!(incidents.is_swept(&station(2), at(2_001)));
        assert_eq!(seen(&mut incidents), (vec![Event::Cleared], 0, 0));
    }

    #[test]
    fn what_is_taken_back_or_over_is_told_again() {
        let marked = || {
            let mut incidents = Incidents::new(Config::default());
            incidents.handle(scan(1, 0, 0.8), Provenance::default());
            let alert = incidents.poll().unwrap();
            incidents.expect(&alert, at(5));
            incidents.handle(scan(1, 10, 0.8), Provenance::default());
            assert_eq!(told(&mut incidents), [(Event::Cleared, 1)]);
            (incidents, alert.id)
        };
        let (mut incidents, id) = marked();
        incidents.forget_expected(id);
        incidents.handle(scan(1, 20, 0.8), Provenance::default());
        assert_eq!(seen(&mut incidents), (vec![Event::Raised], 1, 1));

        let (mut incidents, _) = marked();
        // It never fell quiet, and the rule has ended.
        for day in 0..30 {
            incidents.handle(scan(1, 20 + day * 86_400, 0.8), Provenance::default());
        }
        assert_eq!(told(&mut incidents), []);
        incidents.expected.handle_time(at(31 * 86_400));
        incidents.handle(scan(1, 31 * 86_400, 0.8), Provenance::default());
        assert_eq!(seen(&mut incidents), (vec![Event::Raised], 1, 1));
    }

    #[test]
    fn an_older_alert_that_is_marked_clears_what_is_open_of_its_like() {
        let mut incidents = Incidents::new(Config::default());
        incidents.handle(scan(1, 0, 0.8), Provenance::default());
        let first = incidents.poll().unwrap();
        incidents.handle_time(at(700));
        incidents.handle(scan(1, 800, 0.8), Provenance::default());
        incidents.handle(scan(2, 800, 0.8), Provenance::default());
        assert_eq!(told(&mut incidents).len(), 3);
        incidents.expect(&first, at(810));
        assert_eq!(seen(&mut incidents), (vec![Event::Cleared], 1, 1));
    }

    #[test]
    fn without_an_address_there_is_nothing_to_expect_by() {
        let mut incidents = Incidents::new(Config::default());
        let nobody = |seconds| Evidence { subject: Party::default(), ..scan(1, seconds, 0.8) };
        incidents.handle(nobody(0), Provenance::default());
        let alert = incidents.poll().unwrap();
        incidents.expect(&alert, at(5));
        assert_eq!(seen(&mut incidents), (vec![Event::Cleared], 0, 0));
        incidents.handle(nobody(10), Provenance::default());
        assert_eq!(seen(&mut incidents), (vec![Event::Raised], 1, 1));
    }
}
