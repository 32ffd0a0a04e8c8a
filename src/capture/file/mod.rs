//! Capture files as a source of frames: pcap and pcapng, plain or in gzip, from disk or from a pipe.
//!
//! [`Files`] goes from file to file; below it `Input` unpacks, `Window` holds a bounded piece of the stream, `Reader`
//! knows which format it is, and `classic` and `ng` know their records. pcap-parser gives the grammar of headers and
//! blocks; the stream is ours, since the crate's own readers need the whole header in one read, cannot pass over a
//! block that is larger than their buffer and take a pipe without data for an error.

mod classic;
mod files;
mod input;
mod ng;
mod reader;
#[cfg(test)]
mod tests;
mod window;

pub use files::{BrokenRecord, Files};
pub use reader::Flaw;
