//! DNS (RFC 1035) and mDNS (RFC 6762) messages: the header, the first question, and the address that an mDNS
//! responder announces. Other answers are not read.
//!
//! Names are read here and not with smoltcp's parser, which refuses classes other than IN (mDNS sets the top bit of
//! the class), does not say why it stopped and follows thousands of pointers.

use std::net::IpAddr;

use smoltcp::wire::{DnsFlags, DnsPacket, DnsQueryType};

use super::digest::{Dns, DnsName, FaultReason};
use super::window::Window;

const HEADER: usize = 12;

/// RFC 1035 section 2.3.4: octets of a name with all length octets.
const MAX_NAME: usize = 255;

/// A name has at most 127 labels, and no honest one needs a pointer for each.
const MAX_POINTERS: usize = 32;

/// Questions and records of an announcement that are looked at for an address.
const MAX_ENTRIES: u32 = 64;

/// Reads a message; `multicast` when it went over port 5353.
pub(super) fn read(window: Window<'_>, multicast: bool) -> Result<Dns, FaultReason> {
    let packet = DnsPacket::new_checked(window.bytes).map_err(|_| window.shortage(HEADER))?;
    let mut dns = Dns {
        multicast,
        response: packet.flags().contains(DnsFlags::RESPONSE),
        rcode: packet.rcode().into(),
        questions: packet.question_count(),
        answers: packet.answer_record_count(),
        name: DnsName::EMPTY,
        query_type: 0,
        address: None,
    };
    let mut reader = Reader { window, at: HEADER };
    if dns.questions > 0 {
        dns.name = reader.name()?;
        dns.query_type = reader.number()?;
        reader.take(2)?;
    }
    if multicast && dns.response {
        let records = [dns.answers, packet.authority_record_count(), packet.additional_record_count()];
        announcement(&mut reader, records.into_iter().map(u32::from).sum(), &mut dns)?;
    }
    Ok(dns)
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
