//! The page's files and the description of the API: embedded, compressed once at start, and told apart by a hash.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::reply::Reply;

/// The files by path.
#[derive(Debug)]
pub(super) struct Assets(Vec<Asset>);

#[derive(Debug)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    zipped: Vec<u8>,
    /// Hash of the plain form, in hexadecimal digits.
    tag: String,
}

/// Path, type and content of each file.
pub(super) const FILES: [(&str, &str, &[u8]); 10] = [
    ("/", "text/html; charset=utf-8", include_bytes!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("page/style.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_bytes!("page/page.js")),
    ("/dom.js", "text/javascript; charset=utf-8", include_bytes!("page/dom.js")),
    ("/alerts.js", "text/javascript; charset=utf-8", include_bytes!("page/alerts.js")),
    ("/charts.js", "text/javascript; charset=utf-8", include_bytes!("page/charts.js")),
    ("/captures.js", "text/javascript; charset=utf-8", include_bytes!("page/captures.js")),
    ("/settings.js", "text/javascript; charset=utf-8", include_bytes!("page/settings.js")),
    ("/system.js", "text/javascript; charset=utf-8", include_bytes!("page/system.js")),
    ("/icon.svg", "image/svg+xml", include_bytes!("page/icon.svg")),
];

/// The description of the API, OpenAPI 3.1. A test holds it to the routes and to their answers.
pub(super) const DESCRIPTION: (&str, &str, &[u8]) =
    ("/openapi.json", "application/json", include_bytes!("openapi.json"));

impl Assets {
    pub(super) fn new() -> Self {
        Self(
            FILES
                .into_iter()
                .chain([DESCRIPTION])
                .map(|(path, kind, plain)| Asset::new(path, kind, plain))
                .collect(),
        )
    }

    /// Whether there is a file.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.iter().any(|asset| asset.path == path)
    }

    /// The file, compressed where the client takes that, or the word that the client has it already.
    pub(super) fn reply(&self, path: &str, accepted: &str, known: &str) -> Option<Reply> {
        let asset = self.0.iter().find(|asset| asset.path == path)?;
        let zip = accepts_gzip(accepted);
        let tag = if zip { format!("\"{}-gz\"", asset.tag) } else { format!("\"{}\"", asset.tag) };
        let body = if zip { &asset.zipped } else { asset.plain };
        let mut reply = if matches_tag(known, &tag) {
            Reply::not_modified(asset.content_type, body.len())
        } else {
            Reply::new(200, asset.content_type, body)
        };
        if zip {
            reply = reply.with("Content-Encoding", "gzip");
        }
        Some(reply.with("ETag", tag).with("Vary", "Accept-Encoding").with("Cache-Control", "no-cache"))
    }
}

impl Asset {
    fn new(path: &'static str, content_type: &'static str, plain: &'static [u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail; if it did, the hash test of the page would show it.
        let zipped = encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default();
        let tag = Sha256::digest(plain).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { path, content_type, plain, zipped, tag }
    }
}

/// Whether `Accept-Encoding` names gzip with a weight above zero.
fn accepts_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        named && !parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse().is_ok_and(|q: f32| q <= 0.0)))
    })
}

/// Whether `If-None-Match` holds a tag, or the star.
fn matches_tag(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|t| t == "*" || t.strip_prefix("W/").unwrap_or(t) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        for (accepted, yes) in [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, br", false),
            ("x-gzip-not", false),
        ] {
            assert_eq!(accepts_gzip(accepted), yes, "{accepted}");
        }
    }

    #[test]
    fn a_known_tag_is_found_in_a_list() {
        for (known, yes) in
            [("", false), ("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"aa\"", false)]
        {
            assert_eq!(matches_tag(known, "\"a\""), yes, "{known}");
        }
    }

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        // What a browser loads; the files as they stand are held to what one can read.
        let sizes = Assets::new().0.into_iter().filter(|asset| asset.path != DESCRIPTION.0);
        let (zipped, plain) =
            sizes.fold((0, 0), |(z, p), asset| (z + asset.zipped.len(), p + asset.plain.len()));
        assert!(zipped < 30_000 && plain < 80_000, "{zipped} bytes of {plain}");
        for (path, _, bytes) in FILES {
            let text = std::str::from_utf8(bytes).unwrap();
            // The name of SVG's vocabulary is an identifier; nothing is loaded from it.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for foreign in
                ["http:", "https:", "src=\"//", "url(", "@import", "innerHTML", "eval(", "insertAdjacent"]
            {
                assert!(!text.contains(foreign), "{path} contains {foreign}");
            }
        }
    }

    #[test]
    fn the_page_obeys_its_own_policy() {
        let html = std::str::from_utf8(FILES[0].2).unwrap();
        for inline in [" style=", "<style", " onclick", " onload", "<script>"] {
            assert!(!html.contains(inline), "{inline}");
        }
        for needed in ["<noscript>", "lang=\"en\"", "name=\"viewport\"", "aria-live=\"polite\""] {
            assert!(html.contains(needed), "{needed}");
        }
    }

    #[test]
    fn the_compressed_form_unpacks_to_the_plain_one() {
        for asset in Assets::new().0 {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&asset.zipped[..]), &mut plain)
                .unwrap();
            assert_eq!(plain, asset.plain, "{}", asset.path);
        }
    }
}
