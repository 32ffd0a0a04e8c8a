//! The start of HTTP/1 messages (RFC 9112): request and status line, and the fields that name the peers. Recognised by
//! content on any port; a start that lies in several segments is read as far as the first has it.

use super::lines::{Line, Lines};
use crate::bounded::Text;
use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::{Hint, Http};
use crate::packet::window::Window;

const MAX_METHOD: usize = 16;

/// Methods that are believed although the end of their line, with the version, is not there.
const METHODS: [&[u8]; 6] = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS"];

/// A payload that begins with a capital letter. Whether it is of HTTP.
pub(super) fn read(payload: Window<'_>, digest: &mut Digest) -> bool {
    let mut lines = Lines::new(payload.bytes);
    let Some(mut http) = start(payload.bytes, &mut lines) else { return false };
    let host_and_agent: [&[u8]; 2] =
        if http.status == 0 { [b"host", b"user-agent"] } else { [b"", b"server"] };
    loop {
        match lines.next() {
            Line::Field(name, value) => field(host_and_agent, name, value, &mut http),
            Line::End => break,
            Line::Missing => {
                if payload.bytes.len() < payload.length() {
                    digest.note(Layer::Http, FaultReason::Cut);
                }
                break;
            }
            Line::Malformed => {
                digest.note(Layer::Http, FaultReason::BadField);
                return true;
            }
        }
    }
    digest.hint = Hint::Http(http);
    true
}

fn field([host, agent]: [&[u8]; 2], name: &[u8], value: &[u8], http: &mut Http) {
    if !host.is_empty() && name.eq_ignore_ascii_case(host) {
        for byte in without_port(value).iter().take(128) {
            http.host.push_wire(&[byte.to_ascii_lowercase()]);
        }
    } else if name.eq_ignore_ascii_case(agent) {
        http.agent = Text::from_wire(value);
    }
}

fn start(bytes: &[u8], lines: &mut Lines<'_>) -> Option<Http> {
    let http = Http { method: Text::EMPTY, host: Text::EMPTY, status: 0, agent: Text::EMPTY };
    if let Some(answer) = bytes.strip_prefix(b"HTTP/1.") {
        let &[b'0'..=b'9', b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ref rest @ ..] = answer
        else {
            return None;
        };
        if !matches!(rest, [] | [b' ' | b'\r' | b'\n', ..]) {
            return None;
        }
        lines.line();
        let status = [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        return Some(Http { status, ..http });
    }
    let of_method = |byte: &&u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let length = bytes.iter().take(MAX_METHOD + 1).take_while(of_method).count();
    let (method, target) = bytes.split_at_checked(length).filter(|_| length <= MAX_METHOD)?;
    let [b' ', target @ ..] = target else { return None };
    let is_http = match lines.line() {
        Some(line) => matches!(line, [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9']),
        None => METHODS.contains(&method) && matches!(target, [b'/', ..] | [b'h', b't', b't', b'p', ..]),
    };
    is_http.then(|| Http { method: Text::from_wire(method), ..http })
}

/// An IPv6 address has colons of its own, in brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let port = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match host.split_at_checked(host.len() - port) {
        Some(([name @ .., b':'], _)) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{LINK_IP4, captured, digest, fault, tcp4};

    fn read(text: &[u8]) -> Option<Http> {
        match digest(&tcp4(text)).hint {
            Hint::Http(http) => Some(http),
            Hint::None => None,
            other => panic!("{other:?}"),
        }
    }

    const REQUEST: &[u8] =
        b"GET /a?b=c HTTP/1.1\r\nAccept: */*\r\nHOST:  Camera.Example:8080\r\nUser-Agent: Mozilla/5.0 (X11)\r\n\r\n";

    #[test]
    fn a_request() {
        let http = read(REQUEST).unwrap();
        assert_eq!((http.method.as_str(), http.status), ("GET", 0));
        assert_eq!((http.host.as_str(), http.agent.as_str()), ("camera.example", "Mozilla/5.0 (X11)"));
        let odd = read(b"SUBSCRIBE * HTTP/1.0\nhost: [2001:db8::1]:80\nServer: no\n\n").unwrap();
        assert_eq!((odd.method.as_str(), odd.host.as_str()), ("SUBSCRIBE", "[2001:db8::1]"));
        assert!(odd.agent.is_empty(), "a server is the response's");
    }

    #[test]
    fn a_response() {
        let http =
            read(b"HTTP/1.1 404 Not Found\r\nHost: x\r\nserver: nginx\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
        assert_eq!((http.method.as_str(), http.status), ("", 404));
        assert_eq!((http.host.as_str(), http.agent.as_str()), ("", "nginx"));
        assert_eq!(read(b"HTTP/1.0 200\r\n\r\n").unwrap().status, 200);
    }

    #[test]
    fn what_is_no_http() {
        for text in [
            &b"GET"[..],
            b"GET ",
            b"GET /x HTTP/2.0\r\n\r\n",
            b"HELLO there\r\n",
            b"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 20",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/1.1 099 OK\r\n",
            b"Get / HTTP/1.1\r\n\r\n",
            b"FETCH /long",
        ] {
            let digest = digest(&tcp4(text));
            assert!(matches!(digest.hint, Hint::None), "{text:?}");
            assert_eq!(digest.fault, None, "what does not look like it is no fault");
        }
    }

    #[test]
    fn a_start_in_several_segments_is_read_as_far_as_it_is_there() {
        assert_eq!(read(b"GET /long").unwrap().method.as_str(), "GET");
        let http = read(&REQUEST[..70]).unwrap();
        assert_eq!((http.host.as_str(), http.agent.as_str()), ("camera.example", ""));
        assert_eq!(digest(&tcp4(&REQUEST[..70])).fault, None);
        let frame = tcp4(REQUEST);
        let cut = captured(&frame, frame.len() - 3);
        assert!(matches!(cut.hint, Hint::Http(_)));
        assert_eq!(cut.fault, fault(Layer::Http, FaultReason::Cut));
        let body = tcp4(&[REQUEST, &[0; 100]].concat());
        assert_eq!(captured(&body, LINK_IP4 + 32 + REQUEST.len()).fault, None, "all that is read is there");
    }

    #[test]
    fn a_line_that_is_no_field() {
        let digest = digest(&tcp4(b"GET / HTTP/1.1\r\nHost: a\r\nwhat\r\n\r\n"));
        assert_eq!(digest.fault, fault(Layer::Http, FaultReason::BadField));
        assert!(matches!(digest.hint, Hint::None));
    }
}
