//! DNS messages (RFC 1035) and the mDNS announcement of a host with a service (RFC 6762, RFC 6763).

use std::net::Ipv4Addr;

use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRecord, DnsRecordData, DnsRepr,
};

use super::length;

/// Query types.
pub(crate) const TYPE_A: u16 = 1;
pub(crate) const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_SRV: u16 = 33;

const CLASS_IN: u16 = 1;
/// mDNS: this record replaces older ones.
const CACHE_FLUSH: u16 = 0x8000;

const HEADER: usize = 12;

/// A question for one name.
pub(crate) fn query(id: u16, name: &str, query_type: u16) -> Vec<u8> {
    let name = encode(name);
    let repr = DnsRepr {
        transaction_id: id,
        opcode: DnsOpcode::Query,
        // mDNS questions have the id 0 and no flags.
        flags: if id == 0 { DnsFlags::empty() } else { DnsFlags::RECURSION_DESIRED },
        question: DnsQuestion { name: &name, type_: DnsQueryType::from(query_type) },
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut bytes[..]));
    bytes
}

/// The answer to a question: an address, or that there is no such name.
pub(crate) fn response(query: &[u8], ip: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = query.to_vec();
    if let Some(header) = bytes.get_mut(..HEADER) {
        // QR, RD, RA; and NXDOMAIN where there is no address.
        header[2] = 0x81;
        header[3] = if ip.is_some() { 0x80 } else { 0x83 };
        header[7] = u8::from(ip.is_some());
    }
    if let Some(ip) = ip {
        bytes.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x01, 0x2c, 0, 4]);
        bytes.extend_from_slice(&ip);
    }
    bytes
}

/// Whether it is an answer.
pub(crate) fn is_response(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// The name in the first question.
pub(crate) fn name(message: &[u8]) -> Option<String> {
    let packet = DnsPacket::new_checked(message).ok()?;
    if packet.question_count() == 0 {
        return None;
    }
    let (_, question) = DnsQuestion::parse(packet.payload()).ok()?;
    let mut name = String::new();
    for label in packet.parse_name(question.name) {
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(label.ok()?).ok()?);
    }
    Some(name)
}

/// The address in the first answer.
pub(crate) fn address(message: &[u8]) -> Option<Ipv4Addr> {
    let packet = DnsPacket::new_checked(message).ok()?;
    if packet.answer_record_count() == 0 {
        return None;
    }
    let (rest, _) = DnsQuestion::parse(packet.payload()).ok()?;
    match DnsRecord::parse(rest).ok()?.1.data {
        DnsRecordData::A(ip) => Some(ip),
        _ => None,
    }
}

/// An unasked mDNS answer: the host's address and, where it has one, its service.
pub(crate) fn announcement(host: &str, service: Option<&str>, ip: Ipv4Addr) -> Vec<u8> {
    let host_name = encode(&format!("{host}.local"));
    let answers: u16 = if service.is_some() { 4 } else { 1 };
    let mut bytes = vec![0, 0, 0x84, 0, 0, 0];
    bytes.extend_from_slice(&answers.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    record(&mut bytes, &host_name, (TYPE_A, CLASS_IN | CACHE_FLUSH), 120, &ip.octets());
    if let Some(service) = service {
        let (kind, instance) = (encode(service), encode(&format!("{host}.{service}")));
        let mut place = vec![0, 0, 0, 0, 0x1f, 0x90];
        place.extend_from_slice(&host_name);
        record(&mut bytes, &kind, (TYPE_PTR, CLASS_IN), 4500, &instance);
        record(&mut bytes, &instance, (TYPE_SRV, CLASS_IN | CACHE_FLUSH), 120, &place);
        record(&mut bytes, &instance, (TYPE_TXT, CLASS_IN | CACHE_FLUSH), 4500, b"\x09txtvers=1");
    }
    bytes
}

fn record(bytes: &mut Vec<u8>, name: &[u8], kind: (u16, u16), seconds: u32, data: &[u8]) {
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&kind.0.to_be_bytes());
    bytes.extend_from_slice(&kind.1.to_be_bytes());
    bytes.extend_from_slice(&seconds.to_be_bytes());
    bytes.extend_from_slice(&length(data.len()));
    bytes.extend_from_slice(data);
}

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answers_can_be_read() {
        let asked = query(7, "cdn.video.example", TYPE_A);
        assert_eq!(name(&asked).as_deref(), Some("cdn.video.example"));
        assert!(!is_response(&asked));
        let found = response(&asked, Some([192, 0, 2, 9]));
        assert!(is_response(&found));
        assert_eq!(address(&found), Some(Ipv4Addr::new(192, 0, 2, 9)));
        assert_eq!(address(&response(&asked, None)), None);
    }
}
