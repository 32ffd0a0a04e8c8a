//! Frames and readings in, verdicts out.

use super::*;
use crate::packet::{Link, dissect};

const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);

/// A mirror that is told things.
struct Bench {
    mirror: Mirror,
    now: Timestamp,
    tcp: TcpTotals,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { mirror: Mirror::new(7), now: START, tcp: TcpTotals::default() };
        bench.second();
        bench
    }

    fn frame(&mut self, bytes: &[u8]) -> Sight {
        self.cut(bytes, bytes.len(), Link::Ethernet)
    }

    fn cut(&mut self, bytes: &[u8], length: usize, link: Link) -> Sight {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let frame = Frame { time: self.now, link, wire_len, bytes: &bytes[..length] };
        self.mirror.handle(&frame, &dissect(&frame))
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now + Span::from_nanos(micros * 1_000);
    }

    fn second(&mut self) {
        self.pass(1_000_000);
        self.mirror.handle_time(self.now, &self.tcp);
    }

    fn minutes(&mut self, minutes: u64) {
        (0..minutes * 60).for_each(|_| self.second());
    }

    fn reading(&mut self, frames: u64, dropped: u64, clock: Clock) {
        self.mirror.handle_reading(Reading { frames, dropped, clock, apart: Some(Span::from_millis(60)) });
    }

    /// Conversations of twelve segments in two seconds; `deliver` says what comes of each, by whether it goes back.
    fn talk(&mut self, conversations: u8, deliver: impl Fn(bool, Vec<u8>) -> Vec<Vec<u8>>) {
        for step in 0..16_u16 {
            for number in 0..conversations {
                let back = step % 2 == 1;
                for frame in deliver(back, segment(number, back, step)) {
                    self.frame(&frame);
                    self.pass(30);
                }
            }
            self.pass(120_000);
        }
        self.second();
    }

    fn verdict(&self, check: Check) -> Verdict {
        self.mirror.reports().into_iter().find(|report| report.check == check).unwrap().verdict
    }

    fn trouble(&self, check: Check) -> Option<Trouble> {
        self.verdict(check).trouble()
    }
}

fn segment(number: u8, back: bool, step: u16) -> Vec<u8> {
    let (a, b) = ([2, 0, 0, 0, 0, number + 1], [2, 0, 0, 0, 1, 1]);
    let (ip_a, ip_b) = ([10, 0, 0, number + 1], [10, 0, 1, 1]);
    let ((to, from), (source, destination)) =
        if back { ((a, b), (ip_b, ip_a)) } else { ((b, a), (ip_a, ip_b)) };
    let (port, service) = ([0x9c, number], [1, 0xbb]);
    let [high, low] = (step + 1).to_be_bytes();
    let ip = [&[0x45, 0, 0, 44, high, low, 0, 0, 64, 6, 0, 0][..], &source, &destination].concat();
    let ports = if back { [service, port] } else { [port, service] }.concat();
    let tcp = [&ports[..], &[0, 0, high, low, 0, 0, high, low, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0]].concat();
    [&to[..], &from, &[8, 0], &ip, &tcp, b"data"].concat()
}

fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 30], &frame[12..]].concat()
}

#[test]
fn little_evidence_is_no_verdict_and_says_how_little() {
    let mut bench = Bench::new();
    for check in Check::ALL {
        assert!(matches!(bench.verdict(check), Verdict::Unknown(_)), "{check:?}");
    }
    bench.talk(4, |_, frame| vec![frame]);
    assert_eq!(bench.verdict(Check::Directions), Verdict::Unknown("4 of 10 conversations".to_owned()));
    let checks: Vec<_> = bench.mirror.reports().iter().map(|r| r.check).collect();
    assert_eq!(checks, Check::ALL);
}

#[test]
fn a_right_mirror_is_fine() {
    let mut bench = Bench::new();
    bench.tcp.bytes_seen = 1 << 20;
    bench.talk(30, |_, frame| vec![frame]);
    bench.reading(5_000, 10, Clock::Synchronised);
    for check in Check::ALL {
        assert_eq!(bench.verdict(check), Verdict::Fine, "{check:?}");
    }
}

#[test]
fn one_direction_is_found_and_a_scan_is_not_taken_for_it() {
    let mut bench = Bench::new();
    bench.talk(30, |back, frame| if back { vec![] } else { vec![frame] });
    assert_eq!(bench.trouble(Check::Directions), Some(Trouble::OneDirection));
    assert!(matches!(bench.verdict(Check::Tags), Verdict::Unknown(_)), "nothing was seen in both");

    let mut bench = Bench::new();
    bench.talk(30, |_, frame| vec![frame]);
    for flags in [0x02, 0x10, 0x04] {
        for number in 0..5_000_u16 {
            let mut probe = segment(200, false, number);
            probe[47] = flags;
            [probe[36], probe[37]] = number.to_be_bytes();
            bench.frame(&probe);
            bench.pass(1_000);
        }
    }
    bench.second();
    assert_eq!(bench.verdict(Check::Directions), Verdict::Fine);
}

#[test]
fn tags_of_one_side_are_found_and_tags_of_both_are_not() {
    let mut bench = Bench::new();
    bench.talk(30, |_, frame| vec![tagged(&frame)]);
    assert_eq!(bench.verdict(Check::Tags), Verdict::Fine);
    let mut bench = Bench::new();
    bench.talk(30, |back, frame| vec![if back { tagged(&frame) } else { frame }]);
    assert_eq!(bench.trouble(Check::Tags), Some(Trouble::HalfTagged));
    // Copies with and without, in both directions.
    let mut bench = Bench::new();
    bench.talk(30, |_, frame| vec![tagged(&frame), frame]);
    assert_eq!(bench.verdict(Check::Tags), Verdict::Fine);
    assert_eq!(bench.trouble(Check::Duplicates), Some(Trouble::Doubled));
}

#[test]
fn an_ordinary_port_hears_broadcasts_and_this_machine() {
    let arp = |n: u8| {
        let sender = [2, 0, 0, 0, 0, n % 16];
        let body = [0, 1, 8, 0, 6, 4, 0, 1];
        [&[0xff; 6][..], &sender, &[8, 6], &body, &sender, &[10, 0, 0, n % 16], &[0; 6], &[10, 0, 0, n]]
            .concat()
    };
    let mut bench = Bench::new();
    let own = Mac([2, 0, 0, 0, 1, 1]);
    bench.mirror.set_place(Place { stations: [own].into_iter().collect(), mtu: Some(1_500) });
    for n in 0..=250 {
        bench.frame(&arp(n));
    }
    bench.talk(30, |_, frame| vec![frame]);
    assert_eq!(
        bench.trouble(Check::Unicast),
        Some(Trouble::NoUnicast),
        "all conversations are this machine's"
    );
    // A storm of broadcasts on a mirror.
    let mut bench = Bench::new();
    bench.talk(30, |_, frame| vec![frame]);
    for n in 0..60_000_u32 {
        bench.frame(&arp((n % 251).try_into().unwrap()));
    }
    assert_eq!(bench.verdict(Check::Unicast), Verdict::Fine);
}

#[test]
fn cut_and_joined_frames_are_found() {
    let mut bench = Bench::new();
    let long = [segment(1, false, 1), vec![0; 900]].concat();
    for _ in 0..300 {
        bench.frame(&long);
    }
    assert_eq!(bench.verdict(Check::Frames), Verdict::Fine);
    for _ in 0..10 {
        bench.cut(&long, 96, Link::Ethernet);
    }
    assert_eq!(bench.trouble(Check::Frames), Some(Trouble::Cut));

    let joined = [segment(1, false, 1), vec![0; 8_000]].concat();
    for (mtu, trouble) in [(Some(1_500), Some(Trouble::Joined)), (Some(9_000), None), (None, None)] {
        let mut bench = Bench::new();
        bench.mirror.set_place(Place { mtu, ..Place::default() });
        for _ in 0..300 {
            bench.frame(&joined);
        }
        assert_eq!(bench.trouble(Check::Frames), trouble, "an MTU of {mtu:?}");
    }
    // What no link carries was joined, whatever the link.
    let mut bench = Bench::new();
    let joined = [segment(1, false, 1), vec![0; 30_000]].concat();
    for _ in 0..300 {
        bench.frame(&joined);
    }
    assert_eq!(bench.trouble(Check::Frames), Some(Trouble::Joined));
}

#[test]
fn unknown_types_are_found_and_named() {
    let mut bench = Bench::new();
    bench.talk(30, |_, frame| vec![frame]);
    let bytes = segment(1, false, 1);
    for _ in 0..300 {
        bench.cut(&bytes, bytes.len(), Link::Unknown(147));
    }
    assert_eq!(bench.trouble(Check::Encapsulation), Some(Trouble::UnknownTypes));
    let report = bench.mirror.reports().into_iter().find(|r| r.check == Check::Encapsulation).unwrap();
    assert!(report.text.ends_with(": LINKTYPE 147"), "{}", report.text);
    assert_eq!(report.measures[1], Measure { name: "unknown", value: 300.0 });
}

#[test]
fn loss_here_and_loss_before_are_told_apart() {
    let mut bench = Bench::new();
    bench.reading(10_000, 200, Clock::Synchronised);
    assert_eq!(bench.trouble(Check::Loss), Some(Trouble::Dropped));
    bench.minutes(1);
    // Nothing was dropped since.
    for minute in 1..4 {
        bench.reading(10_000 + minute * 2_000, 200, Clock::Synchronised);
        bench.minutes(2);
    }
    assert_eq!(bench.verdict(Check::Loss), Verdict::Fine);
    (bench.tcp.bytes_seen, bench.tcp.bytes_missing) = (1_000_000, 40_000);
    bench.second();
    assert_eq!(bench.trouble(Check::Loss), Some(Trouble::Missing));
}

#[test]
fn a_clock_is_right_when_it_is_kept_and_does_not_jump() {
    let clock = |clock, apart, year_1971: bool| {
        let mut bench = Bench::new();
        if year_1971 {
            bench.now = Timestamp::from_parts(31_536_000, 0);
            bench.second();
        }
        bench.mirror.handle_reading(Reading { frames: 1, dropped: 0, clock, apart: Some(apart) });
        bench.trouble(Check::Clock)
    };
    let near = Span::from_millis(60);
    assert_eq!(clock(Clock::Synchronised, near, false), None);
    assert_eq!(clock(Clock::Untold, near, false), None);
    assert_eq!(clock(Clock::Unsynchronised, near, false), Some(Trouble::Unsynchronised));
    assert_eq!(clock(Clock::Synchronised, Span::from_secs(90), false), Some(Trouble::WrongTime));
    assert_eq!(clock(Clock::Synchronised, near, true), Some(Trouble::WrongTime));
    assert_eq!(clock(Clock::Recorded, Span::from_secs(1 << 30), false), None, "a file is of another time");
    assert_eq!(clock(Clock::Recorded, near, true), Some(Trouble::WrongTime));

    for (kind, back, found) in [
        (Clock::Synchronised, false, true),
        (Clock::Synchronised, true, true),
        (Clock::Recorded, false, false),
        (Clock::Recorded, true, true),
        (Clock::Generated, false, false),
    ] {
        let mut bench = Bench::new();
        bench.reading(1, 0, kind);
        let (old, later) = (bench.now, bench.now + Span::from_secs(7_200));
        let (old, new) = if back { (later, old) } else { (old, later) };
        bench.mirror.handle_jump(old, new);
        bench.second();
        assert_eq!(bench.trouble(Check::Clock) == Some(Trouble::Jumps), found, "{kind:?} {back}");
        bench.minutes(3);
        assert_ne!(bench.trouble(Check::Clock), Some(Trouble::Jumps), "it is long ago");
    }
}

#[test]
fn a_mirror_put_right_is_fine_again_and_its_past_is_still_known() {
    let mut bench = Bench::new();
    bench.talk(30, |back, frame| if back { vec![] } else { vec![frame] });
    bench.minutes(2);
    for _ in 0..3 {
        bench.talk(30, |_, frame| vec![frame]);
        bench.minutes(2);
    }
    assert_eq!(bench.verdict(Check::Directions), Verdict::Fine);
    let of_all = bench.mirror.reports_of_all();
    assert_eq!(of_all[0].verdict.trouble(), Some(Trouble::OneDirection), "{}", of_all[0].text);
}

#[test]
fn words_are_distinct_and_remedies_are_sentences() {
    let words: std::collections::BTreeSet<_> = Check::ALL.map(Check::word).into_iter().collect();
    assert_eq!(words.len(), Check::ALL.len());
    let words: std::collections::BTreeSet<_> = Trouble::ALL.map(Trouble::word).into_iter().collect();
    assert_eq!(words.len(), Trouble::ALL.len());
    for trouble in Trouble::ALL {
        let remedy = trouble.remedy();
        assert!(
            remedy.ends_with('.') && remedy.starts_with(char::is_uppercase) && !remedy.contains("  "),
            "{remedy}"
        );
    }
}
