//! [`Reply`]: status, headers and body, with the security headers that everything carries; errors as RFC 9457.

use std::io::{self, Cursor, Write};

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Method, Request, Response, StatusCode};

use super::export::{Export, Place};
use super::head::Refusal;
use crate::control::Download;

/// An answer to one request.
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Body,
    /// Length of what the body would be, for an answer that leaves it out.
    length: Option<usize>,
}

enum Body {
    Whole(Vec<u8>),
    /// Boxed for its size: few replies have one.
    Stream(Box<Export>),
    /// With its length. The place is held until all was sent.
    File(Download, Place),
    /// None: from here on it is a WebSocket.
    Switch,
}

/// On everything. The page has no inline script or style, loads nothing from elsewhere and is framed by nobody.
const SECURITY: [(&str, &str); 5] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

const PROBLEM: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
}

/// One of several things that are wrong with a body.
#[derive(Serialize)]
pub(super) struct Fault {
    /// Where, as RFC 6901 has it.
    pub(super) pointer: String,
    /// What.
    pub(super) detail: String,
}

impl Reply {
    /// Bytes of a kind.
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: Body::Whole(body.into()), length: None }
    }

    /// A file that is made while it is sent. Only for a client that speaks HTTP/1.1.
    pub(super) fn stream(content_type: &'static str, export: Export) -> Self {
        Self { body: Body::Stream(Box::new(export)), ..Self::new(200, content_type, Vec::new()) }
    }

    /// A file that is read while it is sent.
    pub(super) fn file(content_type: &'static str, download: Download, place: Place) -> Self {
        Self { body: Body::File(download, place), ..Self::new(200, content_type, Vec::new()) }
    }

    /// A JSON object that is never to be kept by anyone.
    pub(super) fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status, "application/json", body).with("Cache-Control", "no-store"),
            Err(_) => Self::problem(500, "the answer could not be written as JSON"),
        }
    }

    /// An error for people and programs.
    pub(super) fn problem(status: u16, detail: &str) -> Self {
        Self::problems(status, detail, &[])
    }

    /// The same with each place that is wrong.
    pub(super) fn problems(status: u16, detail: &str, errors: &[Fault]) -> Self {
        Self::new(status, PROBLEM, problem_body(status, detail, errors)).with("Cache-Control", "no-store")
    }

    /// "You have it already", for a representation of a length.
    pub(super) fn not_modified(content_type: &'static str, length: usize) -> Self {
        Self { length: Some(length), ..Self::new(304, content_type, Vec::new()) }
    }

    /// "Agreed" to a WebSocket's handshake; the gate goes on with it.
    pub(super) fn switch(accept: String) -> Self {
        let reply = Self { body: Body::Switch, ..Self::new(101, "", Vec::new()) };
        reply.with("Sec-WebSocket-Accept", accept)
    }

    /// Adds a header. The value is ours, or checked: text of a client never goes here.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the client has gone, or a stream broke off: the client sees that its end is missing.
    pub(super) fn send(self, request: Request) -> io::Result<()> {
        let security = SECURITY.iter().map(|&(name, value)| (name, value.to_owned()));
        let own = [("Server", "tapguard".to_owned()), ("Content-Type", self.content_type.to_owned())];
        let headers = own
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .chain(security)
            .chain(self.headers)
            .filter_map(|(name, value)| Header::from_bytes(name, value).ok())
            .collect();
        let status = StatusCode(self.status);
        match self.body {
            Body::Whole(body) => {
                let length = self.length.unwrap_or(body.len());
                let response = Response::new(status, headers, Cursor::new(body), Some(length), None);
                // These are whole when they are sent, so their length can be told.
                request.respond(response.with_chunked_threshold(usize::MAX))
            }
            Body::File(Download { length, content }, place) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let response = Response::new(status, headers, content, Some(length), None);
                let sent = request.respond(response.with_chunked_threshold(usize::MAX));
                drop(place);
                sent
            }
            Body::Stream(export) => {
                let only_head = *request.method() == Method::Head;
                let mut writer = request.into_writer();
                // Without a length tiny_http announces chunks. It would end them in order after an error, too.
                Response::new(status, headers, io::empty(), None, None).raw_print(
                    &mut writer,
                    HTTPVersion(1, 1),
                    &[],
                    true,
                    None,
                )?;
                if only_head {
                    return writer.flush();
                }
                write_chunks(&mut writer, *export)
            }
            Body::Switch => {
                drop(request.upgrade("websocket", Response::new(status, headers, io::empty(), None, None)));
                Ok(())
            }
        }
    }
}

/// The chunked coding of RFC 9112, section 7.1; its last chunk is sent only if the export came to its end.
fn write_chunks(mut writer: impl Write, export: Export) -> io::Result<()> {
    for piece in export {
        let piece = piece.map_err(|error| {
            tracing::warn!(%error, "an export broke off");
            io::Error::other(error)
        })?;
        // An empty chunk would be the last.
        if !piece.is_empty() {
            write!(writer, "{:x}\r\n", piece.len())?;
            writer.write_all(&piece)?;
            writer.write_all(b"\r\n")?;
        }
    }
    writer.write_all(b"0\r\n\r\n")?;
    writer.flush()
}

/// The whole reply of the gate to what is no acceptable request.
pub(super) fn refusal(refusal: Refusal) -> Vec<u8> {
    let (status, detail) = refusal.status();
    let body = problem_body(status, detail, &[]);
    let mut text = format!(
        "HTTP/1.1 {status} {}\r\nServer: tapguard\r\nContent-Type: {PROBLEM}\r\nContent-Length: {}\r\n\
         Connection: close\r\nCache-Control: no-store\r\n",
        title(status),
        body.len()
    );
    for (name, value) in SECURITY {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if status == 503 {
        text.push_str("Retry-After: 2\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend(body);
    bytes
}

fn problem_body(status: u16, detail: &str, errors: &[Fault]) -> Vec<u8> {
    // Numbers and text always have a JSON form.
    serde_json::to_vec(&Problem { kind: "about:blank", title: title(status), status, detail, errors })
        .unwrap_or_default()
}

/// The standard's phrase for a code.
fn title(status: u16) -> &'static str {
    StatusCode(status).default_reason_phrase()
}
