//! DNS (RFC 1035) and mDNS (RFC 6762) messages: the header, the first question, the types of the answers, and the
//! address that an mDNS responder announces.
//!
//! Names are read here and not with smoltcp's parser, which refuses classes other than IN (mDNS sets the top bit of
//! the class), does not say why it stopped and follows thousands of pointers.

use std::net::IpAddr;

use smoltcp::wire::{DnsFlags, DnsPacket, DnsQueryType};

use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::{Dns, DnsName, DnsTypes, Hint};
use crate::packet::window::Window;

const HEADER: usize = 12;

/// RFC 1035 section 2.3.4: octets of a name with all length octets.
const MAX_NAME: usize = 255;

/// A name has at most 127 labels, and no honest one needs a pointer for each.
const MAX_POINTERS: usize = 32;

/// Questions and records of an announcement that are looked at for an address.
const MAX_ENTRIES: u32 = 64;

/// Answers of which the type is read.
const MAX_ANSWERS: u16 = 16;

/// A datagram; `multicast` when it went over port 5353. Answers that cannot be read do not hide the question.
pub(super) fn read_datagram(payload: Window<'_>, multicast: bool, digest: &mut Digest) {
    match read(payload, multicast) {
        Ok((dns, answers)) => {
            digest.hint = Hint::Dns(dns);
            if let Err(reason) = answers {
                digest.note(Layer::Dns, reason);
            }
        }
        Err(reason) => digest.note(Layer::Dns, reason),
    }
}

/// A segment of a TCP stream that a message begins and ends in, behind its length (RFC 7766 section 8). Others are
/// left alone: what does not fit may be the middle of a longer one.
pub(super) fn read_stream(payload: Window<'_>, digest: &mut Digest) {
    let Some(length) = payload.bytes.first_chunk::<2>() else { return };
    let length = usize::from(u16::from_be_bytes(*length));
    let rest = payload.after(2);
    if !(HEADER..=rest.length()).contains(&length) {
        return;
    }
    match read(rest.ending_at(length), false) {
        Ok((dns, Ok(()))) => digest.hint = Hint::Dns(dns),
        Ok((dns, Err(FaultReason::Cut))) => {
            digest.hint = Hint::Dns(dns);
            digest.note(Layer::Dns, FaultReason::Cut);
        }
        Err(FaultReason::Cut) => digest.note(Layer::Dns, FaultReason::Cut),
        Ok((_, Err(_))) | Err(_) => {}
    }
}

/// A message, and whether its answers could be read.
fn read(window: Window<'_>, multicast: bool) -> Result<(Dns, Result<(), FaultReason>), FaultReason> {
    let packet = DnsPacket::new_checked(window.bytes).map_err(|_| window.shortage(HEADER))?;
    let mut dns = Dns {
        multicast,
        response: packet.flags().contains(DnsFlags::RESPONSE),
        rcode: packet.rcode().into(),
        questions: packet.question_count(),
        answers: packet.answer_record_count(),
        name: DnsName::EMPTY,
        query_type: 0,
        answer_types: DnsTypes::default(),
        address: None,
    };
    let mut reader = Reader { window, at: HEADER };
    if dns.questions > 0 {
        dns.name = reader.name()?;
        dns.query_type = reader.number()?;
        reader.take(2)?;
    }
    let mut answers = Ok(());
    if multicast && dns.response {
        let records = [dns.answers, packet.authority_record_count(), packet.additional_record_count()];
        announcement(&mut reader, records.into_iter().map(u32::from).sum(), &mut dns)?;
    } else if dns.response && dns.questions <= 1 {
        answers = answer_types(&mut reader, &mut dns);
    }
    Ok((dns, answers))
}

fn answer_types(reader: &mut Reader<'_>, dns: &mut Dns) -> Result<(), FaultReason> {
    for _ in 0..dns.answers.min(MAX_ANSWERS) {
        reader.skip_name()?;
        dns.answer_types.insert(reader.number()?);
        reader.take(6)?;
        let length = reader.number()?;
        reader.take(usize::from(length))?;
    }
    Ok(())
}

/// Looks for the first address record behind the first question.
fn announcement(reader: &mut Reader<'_>, records: u32, dns: &mut Dns) -> Result<(), FaultReason> {
    let questions = u32::from(dns.questions.saturating_sub(1));
    if questions > MAX_ENTRIES {
        return Ok(());
    }
    for _ in 0..questions {
        reader.skip_name()?;
        reader.take(4)?;
    }
    for _ in 0..records.min(MAX_ENTRIES) {
        let start = reader.at;
        reader.skip_name()?;
        let kind = DnsQueryType::from(reader.number()?);
        reader.take(6)?;
        let length = reader.number()?;
        let data = reader.take(usize::from(length))?;
        dns.address = match kind {
            DnsQueryType::A => Some(IpAddr::from(exactly::<4>(data)?)),
            DnsQueryType::Aaaa => Some(IpAddr::from(exactly::<16>(data)?)),
            _ => continue,
        };
        reader.at = start;
        dns.name = reader.name()?;
        return Ok(());
    }
    Ok(())
}

fn exactly<const N: usize>(data: &[u8]) -> Result<[u8; N], FaultReason> {
    data.try_into().map_err(|_| FaultReason::BadLength)
}

/// A place in a message; pointers count from the start of the message.
struct Reader<'a> {
    window: Window<'a>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn slice(&self, start: usize, length: usize) -> Result<&'a [u8], FaultReason> {
        let end = start + length;
        self.window.bytes.get(start..end).ok_or_else(|| self.window.shortage(end))
    }

    fn octet(&self, at: usize) -> Result<u8, FaultReason> {
        self.window.bytes.get(at).copied().ok_or_else(|| self.window.shortage(at + 1))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FaultReason> {
        let taken = self.slice(self.at, length)?;
        self.at += length;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, FaultReason> {
        exactly(self.take(2)?).map(u16::from_be_bytes)
    }

    fn name(&mut self) -> Result<DnsName, FaultReason> {
        let mut name = DnsName::EMPTY;
        self.labels(|label| {
            if !name.is_empty() {
                name.push_wire(b".");
            }
            name.push_wire(label);
        })?;
        Ok(name)
    }

    fn skip_name(&mut self) -> Result<(), FaultReason> {
        self.labels(|_| ())
    }

    /// Gives each label of the name here to `visit` and goes behind the name. A pointer (RFC 1035 section 4.1.4)
    /// leads to a prior name, that is before all bytes seen so far: so there are no loops.
    fn labels(&mut self, mut visit: impl FnMut(&'a [u8])) -> Result<(), FaultReason> {
        let mut at = self.at;
        let mut first = at;
        let mut behind = None;
        let mut length = 1;
        let mut pointers = 0;
        loop {
            let octet = self.octet(at)?;
            match octet {
                0 => {
                    self.at = behind.unwrap_or(at + 1);
                    return Ok(());
                }
                1..=0x3f => {
                    let label = self.slice(at + 1, usize::from(octet))?;
                    at += 1 + label.len();
                    length += 1 + label.len();
                    if length > MAX_NAME {
                        return Err(FaultReason::BadField);
                    }
                    visit(label);
                }
                0x40..=0xbf => return Err(FaultReason::BadField),
                0xc0..=0xff => {
                    let target = usize::from(u16::from_be_bytes([octet & 0x3f, self.octet(at + 1)?]));
                    behind.get_or_insert(at + 2);
                    pointers += 1;
                    if target < HEADER || target >= first || pointers > MAX_POINTERS {
                        return Err(FaultReason::BadField);
                    }
                    first = target;
                    at = target;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{
        NAME, SERVER6, captured, digest, dns_header, dns_query, fault, mdns_announcement, record, segment,
        udp4,
    };

    fn message(digest: &Digest) -> Dns {
        match digest.hint {
            Hint::Dns(dns) => dns,
            ref other => panic!("no DNS but {other:?}, {:?}", digest.fault),
        }
    }

    fn unicast(bytes: &[u8]) -> Dns {
        message(&digest(&udp4(53, 40_000, bytes)))
    }

    fn multicast(bytes: &[u8]) -> Dns {
        message(&digest(&udp4(5353, 5353, bytes)))
    }

    fn reason(bytes: &[u8]) -> FaultReason {
        let digest = digest(&udp4(5353, 5353, bytes));
        assert!(matches!(digest.hint, Hint::None));
        let found = digest.fault.unwrap();
        assert_eq!(found.layer, Layer::Dns);
        found.reason
    }

    /// A query with this for its question.
    fn query(question: &[u8]) -> Vec<u8> {
        [dns_header(0, [1, 0, 0, 0]), question.to_vec(), vec![0, 1, 0, 1]].concat()
    }

    #[test]
    fn a_query() {
        let dns = unicast(&dns_query());
        assert_eq!(dns.name.as_str(), "plc.example");
        assert_eq!((dns.query_type, dns.questions, dns.answers, dns.rcode), (28, 1, 0, 0));
        assert!(!dns.response && !dns.multicast && dns.address.is_none());
    }

    #[test]
    fn answers_that_cannot_be_read_do_not_hide_the_question() {
        let answer = [dns_header(0x8183, [1, 2, 0, 0]), NAME.to_vec(), vec![0, 16, 0, 1, 0xff]].concat();
        let dns = unicast(&answer);
        assert_eq!((dns.query_type, dns.questions, dns.answers, dns.rcode), (16, 1, 2, 3));
        assert!(dns.response && dns.answer_types.is_empty());
        assert_eq!(digest(&udp4(53, 40_000, &answer)).fault, fault(Layer::Dns, FaultReason::TooShort));
        let bare = unicast(&dns_header(0x8182, [0, 0, 0, 0]));
        assert_eq!((bare.name.as_str(), bare.query_type, bare.rcode), ("", 0, 2));
    }

    fn response(answers: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let question = [NAME, &[0, 1, 0, 1]].concat();
        [dns_header(0x8180, [1, answers, 0, 0]), question, records.concat()].concat()
    }

    #[test]
    fn answers_have_types() {
        let alias = record(b"\xc0\x0c", 5, NAME);
        let address = record(b"\xc0\x0c", 1, &[192, 0, 2, 9]);
        let text = record(b"\xc0\x0c", 16, b"\x02hi");
        let dns = unicast(&response(2, &[alias.clone(), address.clone(), text.clone()]));
        let words: Vec<_> = dns.answer_types.words().collect();
        assert_eq!((words, dns.address), (vec!["A", "CNAME"], None), "additional records are no answers");
        let many = vec![address; 16].into_iter().chain([text]).collect::<Vec<_>>();
        assert_eq!(unicast(&response(17, &many)).answer_types.words().collect::<Vec<_>>(), ["A"]);
        let odd = unicast(&response(1, &[record(b"\xc0\x0c", 99, b"")]));
        assert_eq!(odd.answer_types.words().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn a_message_in_one_segment_of_a_stream() {
        let message = response(1, &[record(b"\xc0\x0c", 1, &[192, 0, 2, 9])]);
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        let stream = [&length[..], &message].concat();
        let read = |bytes: &[u8]| digest(&segment((53, 40_000), 1, bytes));
        let dns = self::message(&read(&[&stream[..], b"\x00\x20next"].concat()));
        assert_eq!((dns.name.as_str(), dns.answers), ("plc.example", 1));
        for other in [&stream[..1], &stream[..stream.len() - 1], &[&[0, 5][..], &message].concat()] {
            let digest = read(other);
            assert!(matches!(digest.hint, Hint::None) && digest.fault.is_none());
        }
        let frame = segment((53, 40_000), 1, &stream);
        let cut = captured(&frame, frame.len() - 1);
        assert_eq!(cut.fault, fault(Layer::Dns, FaultReason::Cut));
        assert!(matches!(cut.hint, Hint::Dns(_)));
    }

    #[test]
    fn names_are_text() {
        let name = |question: &[u8]| unicast(&query(question)).name;
        assert_eq!(name(b"\x00").as_str(), "", "the root");
        assert_eq!(name(b"\x05a\x00\xff\nb\x02Ex\x00").as_str(), "a???b.Ex");
        let longest =
            [&[b"\x3f".to_vec(), vec![b'x'; 63]].concat().repeat(3)[..], b"\x3d", &[b'y'; 61], b"\0"];
        assert_eq!(name(&longest.concat()).as_str().len(), 253);
    }

    #[test]
    fn names_longer_than_the_standard_allows() {
        let long = [&[b"\x3f".to_vec(), vec![b'x'; 63]].concat().repeat(3)[..], b"\x3e", &[b'y'; 62], b"\0"];
        assert_eq!(reason(&query(&long.concat())), FaultReason::BadField);
        assert_eq!(reason(&query(&[&b"\x01a".repeat(4000)[..], b"\0"].concat())), FaultReason::BadField);
    }

    #[test]
    fn pointers_only_lead_back() {
        let reason = |pointer: &[u8]| reason(&query(pointer));
        assert_eq!(reason(b"\xc0\x0c"), FaultReason::BadField, "to itself");
        assert_eq!(reason(b"\x01a\xc0\x0c"), FaultReason::BadField, "into a loop");
        assert_eq!(reason(b"\x01a\xc0\x0e"), FaultReason::BadField, "to its own pointer");
        assert_eq!(reason(b"\xc0\x0e\x01a\x00"), FaultReason::BadField, "forward");
        assert_eq!(reason(b"\xff\xff"), FaultReason::BadField, "out of the message");
        assert_eq!(reason(b"\xc0\x00"), FaultReason::BadField, "into the header");
        assert_eq!(reason(b"\x41a\x00"), FaultReason::BadField, "a label type that is none");
    }

    #[test]
    fn a_chain_of_pointers_is_followed_only_so_far() {
        // Data of a record that is no address: the root, then pointers, each to the one before.
        let chain = |pointers: u8| {
            let start = 12 + 1 + 10;
            let mut data = vec![0];
            for pointer in 0..pointers {
                let target = if pointer == 0 { start } else { start + 1 + 2 * (pointer - 1) };
                data.extend([0xc0, target]);
            }
            let last = [0xc0, start + 1 + 2 * (pointers - 1)];
            [dns_header(0x8400, [0, 2, 0, 0]), record(b"\0", 16, &data), record(&last, 1, &[192, 0, 2, 1])]
                .concat()
        };
        assert_eq!(multicast(&chain(31)).address, Some([192, 0, 2, 1].into()));
        assert_eq!(reason(&chain(32)), FaultReason::BadField);
    }

    #[test]
    fn an_announcement_gives_the_host_and_its_address() {
        let dns = multicast(&mdns_announcement());
        assert!(dns.multicast && dns.response);
        assert_eq!(dns.name.as_str(), "tv.local");
        assert_eq!(dns.address, Some([192, 0, 2, 77].into()));
        assert_eq!((dns.questions, dns.answers, dns.query_type), (0, 1, 0));
        let six = [dns_header(0x8400, [0, 1, 0, 0]), record(NAME, 28, &SERVER6)].concat();
        assert_eq!(multicast(&six).address, Some(SERVER6.into()));
        assert_eq!(unicast(&mdns_announcement()).address, None, "only of mDNS");
    }

    #[test]
    fn an_answer_with_its_question_keeps_the_type_and_gives_the_host() {
        let legacy = [
            dns_header(0x8400, [2, 1, 0, 0]),
            b"\x07printer\x05local\x00\x00\x0c\x00\x01".to_vec(),
            b"\x04scan\xc0\x14\x00\x0c\x00\x01".to_vec(),
            record(NAME, 1, &[192, 0, 2, 9]),
        ];
        let dns = multicast(&legacy.concat());
        assert_eq!((dns.name.as_str(), dns.query_type), ("plc.example", 12));
        assert_eq!(dns.address, Some([192, 0, 2, 9].into()));
    }

    #[test]
    fn known_answers_and_probes_announce_nothing() {
        let probe = [
            dns_header(0, [1, 0, 1, 0]),
            NAME.to_vec(),
            vec![0, 255, 0x80, 1],
            record(b"\xc0\x0c", 1, &[192, 0, 2, 9]),
        ];
        let dns = multicast(&probe.concat());
        assert_eq!((dns.name.as_str(), dns.query_type, dns.address), ("plc.example", 255, None));
    }

    #[test]
    fn an_announcement_is_looked_through_only_so_far() {
        let crowd = |others: u16| {
            let filler = record(b"\0", 16, b"").repeat(usize::from(others));
            [dns_header(0x8400, [0, others + 1, 0, 0]), filler, record(NAME, 1, &[192, 0, 2, 9])].concat()
        };
        assert!(multicast(&crowd(63)).address.is_some());
        assert!(multicast(&crowd(64)).address.is_none());
        let questions = [dns_header(0x8400, [1000, 1, 0, 0]), b"\0\0\x01\0\x01".repeat(1000)].concat();
        assert!(multicast(&questions).address.is_none());
    }

    #[test]
    fn incomplete_messages() {
        let announcement = mdns_announcement();
        for length in [0, 11, 12, 20, 40, 60, announcement.len() - 32] {
            assert_eq!(reason(&announcement[..length]), FaultReason::TooShort, "{length}");
        }
        let frame = udp4(53, 40_000, &dns_query());
        let cut = captured(&frame, frame.len() - 1);
        assert_eq!(cut.fault, fault(Layer::Dns, FaultReason::Cut));
        assert!(matches!(cut.hint, Hint::None));
        let odd = [dns_header(0x8400, [0, 1, 0, 0]), record(NAME, 1, &[192, 0, 2])].concat();
        assert_eq!(reason(&odd), FaultReason::BadLength);
    }
}
