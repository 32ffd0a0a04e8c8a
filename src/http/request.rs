//! What a request says: its headers, its host, its body.

use std::io::Read;

use tiny_http::Request;

use super::head::MAX_BODY;
use super::reply::Reply;

/// The body of a write, which is JSON of one of these types or nothing.
pub(super) fn read_body(request: &mut Request, types: &[&str]) -> Result<Vec<u8>, Reply> {
    let kind =
        header(request, "Content-Type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let length = request.body_length().unwrap_or(0);
    if length > MAX_BODY {
        return Err(Reply::problem(413, "a body has at most 64 KiB here"));
    }
    if length > 0 && !types.contains(&kind.as_str()) {
        let detail = format!("send the body as Content-Type: {}", types.join(" or "));
        return Err(Reply::problem(415, &detail));
    }
    let mut body = Vec::with_capacity(length);
    let most = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    match request.as_reader().take(most).read_to_end(&mut body) {
        Ok(read) if read == length => Ok(body),
        _ => Err(Reply::problem(400, "the body did not arrive whole")),
    }
}

/// The value of a header; empty where there is none.
pub(super) fn header<'a>(request: &'a Request, name: &'static str) -> &'a str {
    headers(request, name).next().unwrap_or("")
}

pub(super) fn headers<'a>(request: &'a Request, name: &'static str) -> impl Iterator<Item = &'a str> {
    request
        .headers()
        .iter()
        .filter(move |header| header.field.equiv(name))
        .map(|header| header.value.as_str())
}

/// A `Host` without its port; an IPv6 address keeps its brackets.
pub(super) fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_port_is_no_part_of_the_name() {
        for (host, name) in [
            ("tap:8080", "tap"),
            ("tap", "tap"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("tap:", "tap"),
            (":80", ":80"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }
}
