//! The head of a request as bytes, checked before tiny_http sees it.
//!
//! tiny_http 0.12 puts no limit on the request line and the headers, allocates a declared `Content-Length` at once
//! (a large one ends the process), and blocks a thread for ever on version 2.0 in the request line. So nothing
//! reaches it that is not plain HTTP/1.0 or 1.1 (RFC 9112) within limits: what is ambiguous is refused, and what goes
//! on is written anew. This file knows no socket.

/// A checked head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The head as tiny_http gets it; always with `Connection: close`.
    pub(super) forward: Vec<u8>,
    /// Bytes of the head as it arrived, after which the body begins.
    pub(super) length: usize,
    /// Bytes of the body, at most [`MAX_BODY`].
    pub(super) body: usize,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// What the lines of a head say together.
#[derive(Default)]
struct Said {
    length: Option<usize>,
    /// `Upgrade` is a WebSocket and nothing else.
    websocket: bool,
    /// `Connection` names `Upgrade`.
    upgrade: bool,
}

/// Largest head in bytes, request line included.
pub(super) const MAX_HEAD: usize = 8 << 10;
/// Longest request target in bytes.
pub(super) const MAX_URL: usize = 2 << 10;
/// Largest body in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;
/// Most header lines.
const MAX_LINES: usize = 64;

/// Why a connection gets an answer without any worker being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No plain HTTP/1.x.
    Malformed(&'static str),
    /// The request did not arrive in time.
    Late,
    /// A body without `Content-Length`.
    LengthRequired,
    /// A body of more than [`MAX_BODY`].
    BodyTooLong,
    /// A target of more than [`MAX_URL`].
    UrlTooLong,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// A head of more than [`MAX_HEAD`] or [`MAX_LINES`].
    HeadTooLong,
    /// All seats are taken.
    Busy,
    /// All live streams are open.
    Streams,
    /// The workers are being restarted.
    Restarting,
    /// HTTP/0.9, 2.0 or 3.0.
    Version,
}

impl Refusal {
    /// Status code, and a detail in words.
    pub(super) const fn status(self) -> (u16, &'static str) {
        match self {
            Self::Malformed(detail) => (400, detail),
            Self::Late => (408, "the request did not arrive in time"),
            Self::LengthRequired => (411, "send the body with a Content-Length"),
            Self::BodyTooLong => (413, "a body has at most 64 KiB here"),
            Self::UrlTooLong => (414, "an address has at most 2 KiB here"),
            Self::Expectation => (417, "only 100-continue is understood"),
            Self::HeadTooLong => (431, "the head of a request has at most 8 KiB and 64 lines here"),
            Self::Busy => (503, "too many connections are open; try again"),
            Self::Streams => (503, "all live streams are open; try again later"),
            Self::Restarting => (503, "the server is starting; try again"),
            Self::Version => (505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        }
    }
}

/// The head at the start of `bytes`; none while more bytes are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n").filter(|&end| end + 4 <= MAX_HEAD) else {
        return match bytes.len() {
            0..MAX_HEAD => Ok(None),
            _ if !bytes[..MAX_HEAD].contains(&b'\n') => Err(Refusal::UrlTooLong),
            _ => Err(Refusal::HeadTooLong),
        };
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Refusal::Malformed("the head is not ASCII"))?;
    let mut lines = text.split("\r\n");
    let mut forward = Vec::with_capacity(end + 32);
    request_line(lines.next().unwrap_or_default(), &mut forward)?;
    let mut head = Head { forward, length: end + 4, body: 0, expects_continue: false };
    let mut said = Said::default();
    for (index, line) in lines.enumerate() {
        if index >= MAX_LINES {
            return Err(Refusal::HeadTooLong);
        }
        header_line(line, &mut head, &mut said)?;
    }
    head.body = said.length.unwrap_or(0);
    if said.websocket && said.upgrade {
        head.forward.extend_from_slice(b"Upgrade: websocket\r\n");
    }
    head.forward.extend_from_slice(b"Connection: close\r\n\r\n");
    Ok(Some(head))
}

fn request_line(line: &str, forward: &mut Vec<u8>) -> Result<(), Refusal> {
    const SHAPE: Refusal = Refusal::Malformed("the first line is not METHOD /path HTTP/1.1");
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(SHAPE);
    };
    if method.is_empty() || method.len() > 16 || !method.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(SHAPE);
    }
    if target.len() > MAX_URL {
        return Err(Refusal::UrlTooLong);
    }
    if target.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(SHAPE);
    }
    match version {
        "HTTP/1.0" | "HTTP/1.1" => {}
        _ if version.starts_with("HTTP/") => return Err(Refusal::Version),
        _ => return Err(SHAPE),
    }
    forward.extend_from_slice(line.as_bytes());
    forward.extend_from_slice(b"\r\n");
    Ok(())
}

fn header_line(line: &str, head: &mut Head, said: &mut Said) -> Result<(), Refusal> {
    const SHAPE: Refusal = Refusal::Malformed("a header is not Name: value in ASCII");
    let (name, value) = line.split_once(':').ok_or(SHAPE)?;
    let value = value.trim_matches([' ', '\t']);
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(SHAPE);
    }
    if !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') {
        return Err(SHAPE);
    }
    match name.to_ascii_lowercase().as_str() {
        "connection" => {
            said.upgrade |= value.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
            return Ok(());
        }
        "upgrade" => {
            said.websocket = value.eq_ignore_ascii_case("websocket");
            return Ok(());
        }
        "keep-alive" | "te" | "trailer" | "http2-settings" => return Ok(()),
        "transfer-encoding" => return Err(Refusal::LengthRequired),
        "expect" if value.eq_ignore_ascii_case("100-continue") => {
            head.expects_continue = true;
            return Ok(());
        }
        "expect" => return Err(Refusal::Expectation),
        "content-length" => said.length = Some(content_length(value, said.length)?),
        _ => {}
    }
    for part in [name, ": ", value, "\r\n"] {
        head.forward.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

fn content_length(value: &str, before: Option<usize>) -> Result<usize, Refusal> {
    if before.is_some() || value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::Malformed("Content-Length is not one whole number"));
    }
    value.parse().ok().filter(|&length| length <= MAX_BODY).ok_or(Refusal::BodyTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str) -> Result<Option<(String, usize)>, Refusal> {
        let parsed = parse(head.as_bytes())?;
        Ok(parsed.map(|h| (String::from_utf8(h.forward).unwrap(), h.body)))
    }

    #[test]
    fn a_plain_request_goes_on_with_connection_close() {
        let went =
            check("GET /a?b=c HTTP/1.1\r\nHost: tap\r\nConnection: keep-alive\r\n\r\nrest").unwrap().unwrap();
        assert_eq!(went, ("GET /a?b=c HTTP/1.1\r\nHost: tap\r\nConnection: close\r\n\r\n".to_owned(), 0));
        let head = parse(b"POST / HTTP/1.0\r\nContent-Length: 7\r\nExpect: 100-Continue\r\n\r\n{}")
            .unwrap()
            .unwrap();
        assert_eq!((head.body, head.expects_continue, head.length), (7, true, 60));
        assert!(!String::from_utf8(head.forward).unwrap().contains("Expect"));
    }

    #[test]
    fn only_a_whole_wish_for_a_websocket_goes_on() {
        for (lines, goes_on) in [
            ("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket", true),
            ("Upgrade: websocket\r\nConnection: upgrade", true),
            ("Upgrade: websocket", false),
            ("Connection: Upgrade", false),
            ("Connection: Upgrade\r\nUpgrade: h2c", false),
            ("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", false),
        ] {
            let (went, _) = check(&format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")).unwrap().unwrap();
            let more = if goes_on { "Upgrade: websocket\r\n" } else { "" };
            assert_eq!(went, format!("GET / HTTP/1.1\r\n{more}Connection: close\r\n\r\n"), "{lines}");
        }
    }

    #[test]
    fn an_unfinished_head_waits_for_more() {
        for head in ["", "GET / HTT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert_eq!(check(head), Ok(None), "{head:?}");
        }
    }

    #[test]
    fn limits_have_their_own_answers() {
        let long = "a".repeat(MAX_HEAD);
        assert_eq!(check(&format!("GET /{long}")), Err(Refusal::UrlTooLong));
        let target = "a".repeat(MAX_URL);
        assert_eq!(check(&format!("GET /{target} HTTP/1.1\r\n\r\n")), Err(Refusal::UrlTooLong));
        assert_eq!(check(&format!("GET / HTTP/1.1\r\nA: {long}")), Err(Refusal::HeadTooLong));
        let lines = "A: b\r\n".repeat(65);
        assert_eq!(check(&format!("GET / HTTP/1.1\r\n{lines}\r\n")), Err(Refusal::HeadTooLong));
        assert!(check(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(64))).unwrap().is_some());
    }

    #[test]
    fn what_is_ambiguous_or_too_much_is_refused() {
        let cases = [
            ("Content-Length: 9999999999999", Refusal::BodyTooLong),
            ("Content-Length: 99999999999999999999999999", Refusal::BodyTooLong),
            ("Content-Length: 65537", Refusal::BodyTooLong),
            ("Content-Length: +5", Refusal::Malformed("Content-Length is not one whole number")),
            (
                "Content-Length: 5\r\nContent-Length: 5",
                Refusal::Malformed("Content-Length is not one whole number"),
            ),
            ("Transfer-Encoding: chunked", Refusal::LengthRequired),
            ("Expect: cake", Refusal::Expectation),
            ("Na me: x", Refusal::Malformed("a header is not Name: value in ASCII")),
            (" folded: x", Refusal::Malformed("a header is not Name: value in ASCII")),
            ("A: b\nC: d", Refusal::Malformed("a header is not Name: value in ASCII")),
            ("A: \u{e4}", Refusal::Malformed("a header is not Name: value in ASCII")),
            ("A", Refusal::Malformed("a header is not Name: value in ASCII")),
        ];
        for (line, refusal) in cases {
            assert_eq!(check(&format!("GET / HTTP/1.1\r\n{line}\r\n\r\n")), Err(refusal), "{line:?}");
        }
    }

    #[test]
    fn other_versions_and_shapes_are_refused() {
        let shape = Refusal::Malformed("the first line is not METHOD /path HTTP/1.1");
        for (line, refusal) in [
            ("GET / HTTP/2.0", Refusal::Version),
            ("PRI * HTTP/2.0", Refusal::Version),
            ("GET / HTTP/0.9", Refusal::Version),
            ("GET /", shape),
            ("GET  / HTTP/1.1", shape),
            ("GET / HTTP/1.1 x", shape),
            ("G\u{1}T / HTTP/1.1", shape),
            ("GET /\t HTTP/1.1", shape),
            ("GET / FTP/1.1", shape),
            ("", shape),
        ] {
            assert_eq!(check(&format!("{line}\r\nHost: a\r\n\r\n")), Err(refusal), "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            if let Ok(Some(head)) = parse(&bytes) {
                proptest::prop_assert!(head.body <= MAX_BODY && head.length <= bytes.len());
            }
        }
    }
}
