//! [`Cut`]: the moments around one alert, of its devices, as a section of pcapng. Where packets come from and where the
//! section goes is the caller's business; the daemon and `replay` cut alike.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;

use crate::alert::{Alert, AlertId, Event, Severity};
use crate::behaviour::Evidence;
use crate::capture::pcapng::{Origin, Section};
use crate::capture::{Bundle, Devices, Moments, SourceCounters};
use crate::packet::Frame;
use crate::pipeline::SourceId;
use crate::time::{Span, Timestamp};

/// What is gathered for an alert.
pub(super) struct Cut {
    id: AlertId,
    headline: String,
    devices: Devices,
    since: Timestamp,
    at: Timestamp,
    until: Timestamp,
    snapshot: u32,
    /// Newest first.
    before: Gathered,
    after: Gathered,
    /// Packets of the devices for which there was no room.
    left_out: u64,
    /// Number of the next packet of each source.
    next: BTreeMap<SourceId, u64>,
}

/// Packets, and what each came from.
#[derive(Default)]
struct Gathered {
    packets: Bundle,
    sources: Vec<SourceId>,
    cost: usize,
}

impl Gathered {
    /// Takes a packet as long as the limit holds.
    fn push(&mut self, source: SourceId, frame: &Frame<'_>, snapshot: u32, limit: usize) -> bool {
        let most = usize::try_from(snapshot).unwrap_or(usize::MAX);
        let cost = Section::<Vec<u8>>::cost(frame.bytes.len().min(most));
        if self.cost + cost > limit {
            return false;
        }
        self.cost += cost;
        self.packets.push(frame, most);
        self.sources.push(source);
        true
    }
}

/// Names of sources, and what they counted.
pub(super) type Sources = BTreeMap<SourceId, (String, SourceCounters)>;

/// Which alerts are cut: each as it is raised, and once more as it gets worse.
#[derive(Default)]
pub(super) struct Cases(BTreeMap<AlertId, Case>);

/// What was cut of an alert.
struct Case {
    /// How bad it was.
    severity: Severity,
    cuts: u8,
    /// Up to where.
    until: Timestamp,
}

impl Cases {
    /// Alerts that are remembered; the oldest is forgotten, and not cut again.
    const MOST: usize = 256;
    /// Cuts of one alert.
    const CUTS: u8 = 2;

    /// Whether an alert is to be cut.
    pub(super) fn wants(&self, alert: &Alert) -> bool {
        match (alert.event, self.0.get(&alert.id)) {
            (Event::Raised, None) => true,
            (Event::Updated, Some(case)) => alert.severity > case.severity && case.cuts < Self::CUTS,
            _ => false,
        }
    }

    /// Begins to cut an alert, after what was cut of it before; none for one that names no address.
    pub(super) fn begin(&mut self, alert: &Alert, snapshot: u32) -> Option<Cut> {
        let mut cut = Cut::begin(alert, snapshot)?;
        if let Some(case) = self.0.get(&alert.id) {
            // Nothing twice.
            cut.since = cut.since.max(case.until + Span::from_nanos(1));
        }
        self.note(alert, cut.until);
        Some(cut)
    }

    fn note(&mut self, alert: &Alert, until: Timestamp) {
        if self.0.len() >= Self::MOST && !self.0.contains_key(&alert.id) {
            self.0.pop_first();
        }
        let severity = alert.severity;
        let case = self.0.entry(alert.id).or_insert(Case { severity, cuts: 0, until });
        *case = Case { severity, cuts: case.cuts + 1, until };
    }
}

/// A finished section.
pub(super) struct Cutting {
    pub(super) id: AlertId,
    pub(super) bytes: Vec<u8>,
    pub(super) packets: u64,
}

impl Cut {
    /// Packet time before an alert's first observation.
    pub(super) const BEFORE: Span = Span::from_secs(30);
    /// Packet time after an alert was raised, or got worse.
    pub(super) const AFTER: Span = Span::from_secs(15);
    /// Bytes of packets in a section. An alert has at most two, so that its file stays about a mebibyte.
    pub(super) const ROOM: usize = 512 << 10;
    /// Of these, bytes for what came before: an alert tells of the past. The packets nearest to the alert are kept.
    const ROOM_BEFORE: usize = Self::ROOM / 4 * 3;

    /// Begins; none for an alert that names no address. Where it names as many peers as an alert can, there may be
    /// thousands, and only the packets of its subject are taken, which are those towards its peers, too.
    fn begin(alert: &Alert, snapshot: u32) -> Option<Self> {
        let mut devices = Devices::default();
        alert.subject.mac.into_iter().for_each(|mac| devices.add_mac(mac));
        alert.subject.ips.iter().for_each(|ip| devices.add_ip(*ip));
        if alert.peers.len() < Evidence::MAX_PEERS {
            for peer in &alert.peers {
                peer.mac.into_iter().for_each(|mac| devices.add_mac(mac));
                peer.ip.into_iter().for_each(|ip| devices.add_ip(ip));
            }
        }
        (!devices.is_empty()).then(|| Self {
            id: alert.id,
            headline: format!("alert {} ({}): {}", alert.id, alert.kind.word(), alert.title),
            devices,
            since: alert.first_seen.min(alert.timestamp) - Self::BEFORE,
            at: alert.timestamp,
            until: alert.timestamp + Self::AFTER,
            snapshot,
            before: Gathered::default(),
            after: Gathered::default(),
            left_out: 0,
            next: BTreeMap::new(),
        })
    }

    /// The alert.
    pub(super) const fn id(&self) -> AlertId {
        self.id
    }

    /// Number of the first packet of a source that was not looked at yet.
    pub(super) fn next(&self, source: SourceId) -> u64 {
        self.next.get(&source).copied().unwrap_or(0)
    }

    /// Whether what follows the alert is over.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    /// Looks at what the sources saw; what was looked at before is passed over.
    pub(super) fn gather(&mut self, moments: &[(SourceId, Moments)]) {
        let mut found = Vec::new();
        for &(source, ref moments) in moments {
            let next = moments.packets.next();
            let unseen = next.saturating_sub(self.next(source));
            let news = moments.packets.frames().take(usize::try_from(unseen).unwrap_or(usize::MAX));
            let wanted = |frame: &Frame<'_>| frame.time >= self.since && frame.time <= self.until;
            found.extend(news.filter(|f| wanted(f) && self.devices.are_in(f)).map(|frame| (source, frame)));
            self.next.insert(source, next);
        }
        found.sort_by_key(|(source, frame)| (Reverse(frame.time), *source));
        let split = found.partition_point(|(_, frame)| frame.time > self.at);
        let (after, before) = found.split_at(split);
        for (source, frame) in before {
            if !self.before.push(*source, frame, self.snapshot, Self::ROOM_BEFORE) {
                self.left_out += 1;
            }
        }
        for (source, frame) in after.iter().rev() {
            self.add(*source, frame);
        }
    }

    /// Takes a packet after the alert, in its order, where it is of the devices.
    pub(super) fn handle_frame(&mut self, source: SourceId, frame: &Frame<'_>) {
        if frame.time <= self.until && self.devices.are_in(frame) {
            self.add(source, frame);
        }
    }

    fn add(&mut self, source: SourceId, frame: &Frame<'_>) {
        let room = Self::ROOM - self.before.cost;
        if !self.after.push(source, frame, self.snapshot, room) {
            self.left_out += 1;
        }
    }

    /// The section; none where there is no packet. `sources` are names and counters.
    ///
    /// # Errors
    /// When there are more kinds of packets than a section can tell apart.
    pub(super) fn finish(self, sources: &Sources) -> io::Result<Option<Cutting>> {
        let before = self.before.packets.frames().zip(&self.before.sources);
        let after = self.after.packets.frames().zip(&self.after.sources);
        let mut all: Vec<_> = before.chain(after).map(|(frame, source)| (*source, frame)).collect();
        all.sort_by_key(|(source, frame)| (frame.time, *source));
        if all.is_empty() {
            return Ok(None);
        }
        let extent = format!(
            "{} packets of its devices between {} and {}; {} more had no room",
            all.len(),
            self.since,
            self.until,
            self.left_out
        );
        let origin = |(name, _): &(String, SourceCounters)| Origin {
            name: name.clone(),
            filter: String::new(),
            snapshot: self.snapshot,
        };
        let origins = sources.values().map(origin).collect();
        let mut section = Section::begin(Vec::new(), origins, &[self.headline.clone(), extent])?;
        let mut comment = Some(self.headline.as_str());
        for (source, frame) in &all {
            // Each was told of with its packets.
            let origin = sources.keys().position(|known| known == source).unwrap_or(0);
            section.packet(origin, frame, comment.take())?;
        }
        let counters: Vec<_> = sources.values().map(|(_, counters)| *counters).collect();
        let (bytes, _) = section.end(&counters, 0)?;
        let packets = u64::try_from(all.len()).unwrap_or(u64::MAX);
        Ok(Some(Cutting { id: self.id, bytes, packets }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::{Kind, Party, Peer};
    use crate::capture::Recent;
    use crate::capture::pcapng::whole;
    use crate::packet::{Link, Mac};

    const AT: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

    fn mac(number: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, number])
    }

    fn alert(peers: u8) -> Alert {
        let peer = |n| Peer { mac: Some(mac(100 + n)), ip: None, port: None, protocol: None };
        Alert {
            id: AlertId::new(AT, 1),
            event: Event::Raised,
            timestamp: AT,
            first_seen: AT,
            last_seen: AT,
            kind: Kind::PortScan,
            title: "The TV scans".to_owned(),
            description: String::new(),
            severity: Severity::High,
            score: 1.0,
            confidence: 1.0,
            subject: Party { mac: Some(mac(1)), ..Party::default() },
            peers: (0..peers).map(peer).collect(),
            reasons: Vec::new(),
            packets: 0,
            bytes: 0,
            count: 1,
            tap: "tap".to_owned(),
            model: None,
            baseline: None,
        }
    }

    /// A frame of a station at a time in milliseconds after the alert.
    fn push(recent: &mut Recent, millis: i64, from: u8) {
        let bytes = [&[0xff; 6][..], &mac(from).0, &[0x88, 0xb5], &[from; 186]].concat();
        let time = Timestamp::from_nanos(AT.as_nanos() + millis * 1_000_000);
        recent.push(&Frame { time, link: Link::Ethernet, wire_len: 200, bytes: &bytes });
    }

    fn moments(recent: &Recent, next: u64) -> (SourceId, Moments) {
        of(0, recent, next)
    }

    fn of(source: u16, recent: &Recent, next: u64) -> (SourceId, Moments) {
        let packets = recent.snapshot_after(next);
        let counters = SourceCounters::default();
        (SourceId(source), Moments { source: "eth1".to_owned(), counters, packets })
    }

    fn sources(count: u16) -> Sources {
        (0..count).map(|n| (SourceId(n), (format!("eth{n}"), SourceCounters::default()))).collect()
    }

    fn finish(cut: Cut, count: u16) -> (u64, String) {
        let cutting = cut.finish(&sources(count)).unwrap().unwrap();
        assert_eq!(whole(&cutting.bytes[..]).packets, cutting.packets);
        (cutting.packets, String::from_utf8_lossy(&cutting.bytes).into_owned())
    }

    #[test]
    fn the_moments_before_and_after_are_cut_for_subject_and_peers_once_each() {
        let mut recent = Recent::new();
        for (millis, from) in [(-31_000, 1), (-30_000, 1), (-5_000, 9), (-1, 100), (0, 1)] {
            push(&mut recent, millis, from);
        }
        let mut cut = Cut::begin(&alert(1), 64).unwrap();
        cut.gather(&[moments(&recent, 0)]);
        for (millis, from) in [(1, 1), (2, 9), (15_000, 100), (15_001, 1)] {
            push(&mut recent, millis, from);
        }
        // All of it again, as where another cut has just begun.
        cut.gather(&[moments(&recent, 0)]);
        cut.gather(&[moments(&recent, cut.next(SourceId(0)))]);
        assert!(cut.is_over(AT + Cut::AFTER) && !cut.is_over(AT + Span::from_secs(14)));
        let (packets, text) = finish(cut, 1);
        assert_eq!(packets, 5);
        let headline = format!("alert {} (port_scan): The TV scans", AlertId::new(AT, 1));
        assert_eq!(text.matches(&headline).count(), 2, "in section and first packet");
        assert!(text.contains("5 packets of its devices") && text.contains("; 0 more had no room"));
    }

    #[test]
    fn where_peers_are_many_the_subject_alone_is_cut() {
        let mut recent = Recent::new();
        push(&mut recent, 0, 1);
        push(&mut recent, 0, 100);
        let most = u8::try_from(Evidence::MAX_PEERS).unwrap();
        for (peers, packets) in [(most - 1, 2), (most, 1)] {
            let mut cut = Cut::begin(&alert(peers), 64).unwrap();
            cut.gather(&[moments(&recent, 0)]);
            assert_eq!(finish(cut, 1).0, packets);
        }
    }

    #[test]
    fn a_cut_has_a_limit_and_keeps_what_is_nearest_to_the_alert() {
        let mut recent = Recent::new();
        for n in -9_999..=9_999 {
            push(&mut recent, n, 1);
        }
        let mut cut = Cut::begin(&alert(0), 512).unwrap();
        cut.gather(&[moments(&recent, 0)]);
        let newest = |g: &Gathered| g.packets.frames().next().unwrap().time;
        assert_eq!(newest(&cut.before), AT);
        assert_eq!(newest(&cut.after), AT + Span::from_millis(1));
        let cost = Section::<Vec<u8>>::cost(200);
        assert_eq!(cut.before.packets.len(), Cut::ROOM_BEFORE / cost);
        let kept = cut.before.packets.len() + cut.after.packets.len();
        assert_eq!(u64::try_from(kept).unwrap() + cut.left_out, 19_999);
        let bytes = cut.finish(&sources(1)).unwrap().unwrap().bytes.len();
        assert!(bytes > Cut::ROOM / 20 * 19 && bytes < Cut::ROOM + 10_000, "{bytes}");
    }

    #[test]
    fn the_packets_of_several_sources_are_joined_by_time() {
        let (mut first, mut second) = (Recent::new(), Recent::new());
        push(&mut first, -3, 1);
        push(&mut second, -2, 1);
        push(&mut first, -1, 1);
        let mut cut = Cut::begin(&alert(0), 512).unwrap();
        cut.gather(&[moments(&first, 0), of(1, &second, 0)]);
        push(&mut second, 5, 1);
        cut.gather(&[moments(&first, cut.next(SourceId(0))), of(1, &second, cut.next(SourceId(1)))]);
        let cutting = cut.finish(&sources(2)).unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.pcapng");
        std::fs::write(&path, &cutting.bytes).unwrap();
        let mut files = crate::capture::Files::open(&[path]).unwrap();
        let mut times = Vec::new();
        while let crate::capture::Next::Frame(frame) = crate::capture::Source::next(&mut files).unwrap() {
            times.push((frame.time.as_nanos() - AT.as_nanos()) / 1_000_000);
        }
        assert_eq!(times, [-3, -2, -1, 5]);
        let text = String::from_utf8_lossy(&cutting.bytes).into_owned();
        assert!(text.contains("eth0") && text.contains("eth1"));
    }

    #[test]
    fn what_gets_worse_is_cut_once_more() {
        let mut cases = Cases::default();
        let told = |event, severity| Alert { event, severity, ..alert(0) };
        assert!(!cases.wants(&told(Event::Updated, Severity::High)), "it was never cut");
        for (event, severity, wanted) in [
            (Event::Raised, Severity::Medium, true),
            (Event::Raised, Severity::Medium, false),
            (Event::Updated, Severity::Medium, false),
            (Event::Cleared, Severity::High, false),
            (Event::Updated, Severity::High, true),
            (Event::Updated, Severity::Critical, false),
        ] {
            let alert = told(event, severity);
            assert_eq!(cases.wants(&alert), wanted, "{event:?} {severity:?}");
            if wanted {
                cases.begin(&alert, 64).unwrap();
            }
        }
        for number in 2..300 {
            cases.begin(&Alert { id: AlertId::new(AT, number), ..alert(0) }, 64).unwrap();
        }
        assert_eq!(cases.0.len(), Cases::MOST);
    }

    #[test]
    fn what_was_cut_is_not_cut_again() {
        let mut recent = Recent::new();
        for millis in [-1_000, 0, 15_000, 15_001, 16_000] {
            push(&mut recent, millis, 1);
        }
        let mut cases = Cases::default();
        let worse = Alert {
            event: Event::Updated,
            severity: Severity::Critical,
            timestamp: AT + Span::from_secs(20),
            ..alert(0)
        };
        for (alert, packets) in [(alert(0), 3), (worse, 2)] {
            let mut cut = cases.begin(&alert, 64).unwrap();
            cut.gather(&[moments(&recent, 0)]);
            assert_eq!(finish(cut, 1).0, packets);
        }
    }

    #[test]
    fn an_alert_of_nobody_is_not_cut() {
        assert!(Cut::begin(&Alert { subject: Party::default(), ..alert(0) }, 64).is_none());
        let cut = Cut::begin(&alert(0), 64).unwrap();
        assert!(cut.finish(&sources(1)).unwrap().is_none(), "nothing was seen of them");
    }

    #[test]
    fn replay_hands_over_packet_by_packet() {
        let mut cut = Cut::begin(&alert(0), 64).unwrap();
        let bytes = [&[0xff; 6][..], &mac(1).0, &[0x88, 0xb5], &[0; 46]].concat();
        for seconds in [1, 15, 16] {
            let time = AT + Span::from_secs(seconds);
            cut.handle_frame(SourceId(0), &Frame { time, link: Link::Ethernet, wire_len: 60, bytes: &bytes });
        }
        assert_eq!(finish(cut, 1).0, 2);
    }
}
