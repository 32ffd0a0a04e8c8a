//! From totals to verdicts: the thresholds, each with its reason.

use super::check::{Check, Measure, Report, Trouble, Verdict};
use super::commonest::described;
use super::conversations::ConversationTotals;
use super::duplicates::{DuplicateTotals, Duplicates};
use super::frames::{FrameTotals, Frames};
use super::sliding::Sliding;
use super::{Clock, Reading};
use crate::flow::TcpTotals;
use crate::time::{Span, Timestamp};

/// Conversations for a verdict: below ten, one odd connection is more than a tenth.
const CONVERSATIONS: u64 = 10;
/// The share of conversations, in percent, that are seen in one direction only from which the mirror is at fault. Where
/// one of several ports is mirrored one way, the conversations between the others are still whole; asymmetric
/// routes and tunnels leave a few halves in any network.
const ONE_WAY_PERCENT: u64 = 20;
/// The same for tags.
const HALF_TAGGED_PERCENT: u64 = 20;
/// Frames of others for a verdict: an hour of a quiet network's broadcasts, or seconds of a mirror.
const FRAMES: u64 = 200;
/// Below this share of unicast, in percent, nothing is mirrored: an ordinary port gets no more than what its switch floods
/// because it has forgotten the station.
const UNICAST_PERCENT: u64 = 1;
/// So many unicast frames are more than what a switch floods in a minute or two, whatever their share: a storm of
/// broadcasts makes no ordinary port of a mirror.
const UNICAST_FRAMES: u64 = 200;
/// The share of frames, in percent, from which cut or joined ones matter. Single ones come with any capture.
const FRAMES_PERCENT: u64 = 1;
/// The share of frames, in percent, of unknown types from which too little is understood. A switch's own protocols
/// stay below it in all but idle networks.
const UNKNOWN_PERCENT: u64 = 10;
/// Frames for a verdict on what this machine drops: a hundredth of them can be counted.
const DELIVERED: u64 = 1_000;
/// The share of frames or bytes, in percent, from which loss matters: below it no count moves by more than its own
/// noise.
const LOSS_PERCENT: u64 = 1;
/// Bytes of TCP for a verdict on what is lost before this machine.
const ACKNOWLEDGED: u64 = 100_000;
/// Unique packets for a verdict on duplicates.
const UNIQUE: u64 = Duplicates::BLOCK;
/// Between a frame and this machine lie milliseconds; a second or two is what a loaded machine may be late.
const APART: Span = Span::from_secs(2);
/// Before any release of this program: the clock of a live capture was never set.
const FIRST_LIVE: Timestamp = Timestamp::from_nanos(1_577_836_800_000_000_000);
/// Before any capture file: 1990.
const FIRST_RECORDED: Timestamp = Timestamp::from_nanos(631_152_000_000_000_000);

/// What has been counted since start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) frames: FrameTotals,
    pub(super) conversations: ConversationTotals,
    pub(super) duplicates: DuplicateTotals,
    pub(super) tcp: TcpTotals,
    pub(super) reading: Option<Reading>,
    pub(super) back: u64,
    pub(super) ahead: u64,
}

impl Totals {
    const fn directions(&self) -> [u64; 2] {
        let c = &self.conversations;
        [c.both + c.one_way, c.one_way]
    }

    const fn unicast(&self) -> [u64; 2] {
        [self.frames.others, self.frames.unicast]
    }

    const fn tags(&self) -> [u64; 2] {
        [self.conversations.both, self.conversations.half_tagged]
    }

    const fn duplicated(&self) -> [u64; 5] {
        let d = &self.duplicates;
        [d.unique, d.doubled, d.routed, d.copies, d.forwarded]
    }

    const fn whole(&self) -> [u64; 4] {
        let f = &self.frames;
        [f.frames, f.cut, f.unreadable, f.joined]
    }

    const fn known(&self) -> [u64; 2] {
        [self.frames.frames, self.frames.unknown]
    }

    fn delivered(&self) -> [u64; 2] {
        self.reading.map_or([0, 0], |r| [r.frames.saturating_add(r.dropped), r.dropped])
    }

    const fn acknowledged(&self) -> [u64; 2] {
        [self.tcp.bytes_seen.saturating_add(self.tcp.bytes_missing), self.tcp.bytes_missing]
    }

    /// Time itself is the evidence.
    const fn jumps(&self) -> [u64; 2] {
        [self.back, self.ahead]
    }
}

/// The last minute or two of each check.
#[derive(Debug)]
pub(super) struct Windows {
    now: Option<Timestamp>,
    aged: Option<Timestamp>,
    directions: Sliding<2>,
    unicast: Sliding<2>,
    tags: Sliding<2>,
    duplicates: Sliding<5>,
    whole: Sliding<4>,
    known: Sliding<2>,
    delivered: Sliding<2>,
    acknowledged: Sliding<2>,
    jumps: Sliding<2>,
}

impl Windows {
    pub(super) const fn new() -> Self {
        Self {
            now: None,
            aged: None,
            directions: Sliding::new(CONVERSATIONS),
            unicast: Sliding::new(FRAMES),
            tags: Sliding::new(CONVERSATIONS),
            duplicates: Sliding::new(UNIQUE),
            whole: Sliding::new(FRAMES),
            known: Sliding::new(FRAMES),
            delivered: Sliding::new(DELIVERED),
            acknowledged: Sliding::new(ACKNOWLEDGED),
            jumps: Sliding::new(0),
        }
    }

    /// Windows that reach back to the start.
    pub(super) const fn of_all(&self) -> Self {
        Self { now: self.now, ..Self::new() }
    }

    /// Whether another stretch of time is over.
    pub(super) fn handle_time(&mut self, now: Timestamp, totals: &Totals) -> bool {
        self.directions.handle_time(now, totals.directions());
        self.unicast.handle_time(now, totals.unicast());
        self.tags.handle_time(now, totals.tags());
        self.duplicates.handle_time(now, totals.duplicated());
        self.whole.handle_time(now, totals.whole());
        self.known.handle_time(now, totals.known());
        self.delivered.handle_time(now, totals.delivered());
        self.acknowledged.handle_time(now, totals.acknowledged());
        self.jumps.handle_time(now, totals.jumps());
        self.now = Some(now);
        let since = *self.aged.get_or_insert(now);
        let over = now < since || now.since(since) >= Sliding::<1>::STRETCH;
        if over {
            self.aged = Some(now);
        }
        over
    }
}

/// All checks, in the order of [`Check::ALL`].
pub(super) fn reports(windows: &Windows, totals: &Totals, frames: &Frames) -> Vec<Report> {
    vec![
        directions(windows, totals),
        unicast(windows, totals, frames),
        tags(windows, totals),
        duplicates(windows, totals),
        whole(windows, totals, frames),
        encapsulation(windows, totals, frames),
        loss(windows, totals),
        clock(windows, totals),
    ]
}

fn directions(windows: &Windows, totals: &Totals) -> Report {
    let [all, one_way] = windows.directions.read(totals.directions());
    let verdict = enough(all, windows.directions.needed(), "conversations")
        .unwrap_or_else(|| found(reaches(one_way, all, ONE_WAY_PERCENT), Trouble::OneDirection));
    Report {
        check: Check::Directions,
        verdict,
        text: format!("{one_way} of {all} TCP conversations were seen in one direction only"),
        measures: measures(&[("conversations", all), ("one_direction", one_way)]),
    }
}

fn unicast(windows: &Windows, totals: &Totals, frames: &Frames) -> Report {
    let [all, unicast] = windows.unicast.read(totals.unicast());
    let nothing = unicast < UNICAST_FRAMES && !reaches(unicast, all, UNICAST_PERCENT);
    let verdict = enough(all, windows.unicast.needed(), "frames of others")
        .unwrap_or_else(|| found(nothing, Trouble::NoUnicast));
    let own = if frames.knows_own() { "" } else { " (this machine's own are not known here)" };
    Report {
        check: Check::Unicast,
        verdict,
        text: format!("{unicast} of {all} frames of others were for a single station{own}"),
        measures: measures(&[("frames_of_others", all), ("unicast", unicast)]),
    }
}

fn tags(windows: &Windows, totals: &Totals) -> Report {
    let [both, half] = windows.tags.read(totals.tags());
    let verdict = enough(both, windows.tags.needed(), "conversations seen in both directions")
        .unwrap_or_else(|| found(reaches(half, both, HALF_TAGGED_PERCENT), Trouble::HalfTagged));
    Report {
        check: Check::Tags,
        verdict,
        text: format!("{half} of {both} TCP conversations had a VLAN tag in one direction only"),
        measures: measures(&[("conversations", both), ("half_tagged", half)]),
    }
}

fn duplicates(windows: &Windows, totals: &Totals) -> Report {
    let [unique, doubled, routed, copies, forwarded] = windows.duplicates.read(totals.duplicated());
    let verdict = enough(unique, windows.duplicates.needed(), "packets that no sender repeats")
        .unwrap_or_else(|| {
            let twice = reaches(doubled, unique, Duplicates::BEGIN_PERCENT);
            let trouble = if twice { Trouble::Doubled } else { Trouble::Routed };
            found(twice || reaches(routed, unique, Duplicates::BEGIN_PERCENT), trouble)
        });
    Report {
        check: Check::Duplicates,
        verdict,
        text: format!(
            "of {unique} packets that no sender repeats, {doubled} came twice and {routed} before and after a router; {copies} \
             and {forwarded} frames were left out for it"
        ),
        measures: measures(&[
            ("unique_packets", unique),
            ("doubled", doubled),
            ("routed", routed),
            ("copies_left_out", copies),
            ("forwarded_left_out", forwarded),
        ]),
    }
}

fn whole(windows: &Windows, totals: &Totals, frames: &Frames) -> Report {
    let [all, cut, unreadable, joined] = windows.whole.read(totals.whole());
    let verdict = enough(all, windows.whole.needed(), "frames").unwrap_or_else(|| {
        let joins = reaches(joined, all, FRAMES_PERCENT);
        let trouble = if joins { Trouble::Joined } else { Trouble::Cut };
        found(joins || reaches(cut, all, FRAMES_PERCENT), trouble)
    });
    let limit = if frames.knows_mtu() { "the interface takes" } else { "any link carries" };
    Report {
        check: Check::Frames,
        verdict,
        text: format!(
            "of {all} frames {cut} were cut by the capture, {unreadable} of them within their headers, and {joined} were longer \
             than {limit}"
        ),
        measures: measures(&[("frames", all), ("cut", cut), ("cut_headers", unreadable), ("joined", joined)]),
    }
}

fn encapsulation(windows: &Windows, totals: &Totals, frames: &Frames) -> Report {
    let [all, unknown] = windows.known.read(totals.known());
    let verdict = enough(all, windows.known.needed(), "frames")
        .unwrap_or_else(|| found(reaches(unknown, all, UNKNOWN_PERCENT), Trouble::UnknownTypes));
    let types: Vec<_> = frames.types().into_iter().map(described).collect();
    let types = if types.is_empty() { String::new() } else { format!(": {}", types.join(", ")) };
    Report {
        check: Check::Encapsulation,
        verdict,
        text: format!("{unknown} of {all} frames were of a type that is not read{types}"),
        measures: measures(&[("frames", all), ("unknown", unknown)]),
    }
}

fn loss(windows: &Windows, totals: &Totals) -> Report {
    let [arrived, dropped] = windows.delivered.read(totals.delivered());
    let [bytes, missing] = windows.acknowledged.read(totals.acknowledged());
    let (counted, measured) = (arrived >= DELIVERED, bytes >= ACKNOWLEDGED);
    let verdict = if counted && reaches(dropped, arrived, LOSS_PERCENT) {
        Verdict::Found(Trouble::Dropped)
    } else if measured && reaches(missing, bytes, LOSS_PERCENT) {
        Verdict::Found(Trouble::Missing)
    } else if counted || measured {
        Verdict::Fine
    } else {
        Verdict::Unknown(format!(
            "{arrived} of {DELIVERED} frames counted by the kernel, {bytes} of {ACKNOWLEDGED} bytes of TCP acknowledged"
        ))
    };
    let kernel = match totals.reading {
        Some(_) => format!("{dropped} of {arrived} frames were dropped by this machine"),
        None => "nobody counts what was dropped".to_owned(),
    };
    let mut all = measures(&[("acknowledged_bytes", bytes), ("missing_bytes", missing)]);
    if totals.reading.is_some() {
        all.extend(measures(&[("frames", arrived), ("dropped", dropped)]));
    }
    Report {
        check: Check::Loss,
        verdict,
        text: format!("{kernel}; {missing} of {bytes} bytes of TCP were acknowledged but not seen"),
        measures: all,
    }
}

fn clock(windows: &Windows, totals: &Totals) -> Report {
    let [back, ahead] = windows.jumps.read(totals.jumps());
    let clock = totals.reading.map_or(Clock::Recorded, |r| r.clock);
    let live = matches!(clock, Clock::Untold | Clock::Synchronised | Clock::Unsynchronised);
    let apart = totals.reading.filter(|_| live).and_then(|r| r.apart);
    // A file may pause, and a generated network is played at any speed.
    let jumps = if live { back + ahead } else { back };
    let first = if live { FIRST_LIVE } else { FIRST_RECORDED };
    let verdict = match windows.now {
        None => Verdict::Unknown("no time is known yet".to_owned()),
        Some(_) if jumps > 0 => Verdict::Found(Trouble::Jumps),
        Some(now) if now < first || apart.is_some_and(|a| a > APART) => Verdict::Found(Trouble::WrongTime),
        Some(_) => match clock {
            Clock::Synchronised => Verdict::Fine,
            Clock::Unsynchronised => Verdict::Found(Trouble::Unsynchronised),
            Clock::Untold => {
                Verdict::Unknown("the system does not tell whether its clock is kept".to_owned())
            }
            Clock::Recorded => {
                Verdict::Unknown("a file does not tell whether its clock was right".to_owned())
            }
            Clock::Generated => Verdict::Unknown("a generated network has no clock".to_owned()),
        },
    };
    let kept = match clock {
        Clock::Synchronised => "a time service keeps the clock, ",
        Clock::Unsynchronised => "nothing keeps the clock, ",
        Clock::Untold | Clock::Recorded | Clock::Generated => "",
    };
    let distance = apart.map_or_else(String::new, |a| format!("frames are {a} from this machine's time, "));
    let mut all = measures(&[("jumps", jumps)]);
    all.extend(apart.map(|a| Measure { name: "seconds_apart", value: a.as_secs_f64() }));
    Report {
        check: Check::Clock,
        verdict,
        text: format!("{kept}{distance}{jumps} jumps of the capture's clock"),
        measures: all,
    }
}

/// Why there is no verdict yet.
fn enough(had: u64, needed: u64, what: &str) -> Option<Verdict> {
    (had < needed).then(|| Verdict::Unknown(format!("{had} of {needed} {what}")))
}

fn found(is: bool, trouble: Trouble) -> Verdict {
    if is { Verdict::Found(trouble) } else { Verdict::Fine }
}

const fn reaches(part: u64, whole: u64, percent: u64) -> bool {
    part.saturating_mul(100) >= whole.saturating_mul(percent)
}

#[expect(clippy::cast_precision_loss, reason = "for people and metrics")]
fn measures(all: &[(&'static str, u64)]) -> Vec<Measure> {
    all.iter().map(|&(name, value)| Measure { name, value: value as f64 }).collect()
}
