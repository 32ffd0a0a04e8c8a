//! [`Packets`]: the packets that were just seen, for whoever has the admin token: they hold the names and words of
//! others. The capture thread gives a copy, and is asked by one at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use super::query::{self, PacketQuery};
use super::reply::Reply;
use super::router::{not_done, refused};
use super::view_packets::{PacketView, PacketsAnswer};
use crate::capture::{CaptureError, Filter, Snapshot, check_filter};
use crate::control::{CommandQueue, SourceStatus};
use crate::packet::{Frame, Link};
use crate::pipeline::SourceId;

/// Answers one question after the other.
#[derive(Debug, Default)]
pub(super) struct Packets {
    busy: AtomicBool,
}

/// The right to ask, until it is dropped.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Packets {
    fn take(&self) -> Option<Turn<'_>> {
        (!self.busy.swap(true, Ordering::AcqRel)).then_some(Turn(&self.busy))
    }

    pub(super) fn reply(
        &self,
        query: &str,
        commands: &CommandQueue,
        sources: &[SourceStatus],
    ) -> Result<Reply, Reply> {
        let wanted = query::packets(query).map_err(|bad| refused(&bad))?;
        let source = wanted.interface.as_deref().map(|name| source_of(name, sources)).transpose()?;
        let Some(_turn) = self.take() else {
            let busy =
                Reply::problem(503, "another question for packets is under way; try again when it has ended");
            return Err(busy.with("Retry-After", "1"));
        };
        let most = match &wanted.filter {
            None => wanted.limit,
            Some(filter) => {
                check_filter(filter).map_err(|error| bad_filter(&error))?;
                // How many are needed is known once they are filtered.
                usize::MAX
            }
        };
        let found = commands.recent_packets(source, most, wanted.since).map_err(|error| not_done(&error))?;
        let packets = picked(&found, &wanted).map_err(|error| bad_filter(&error))?;
        let (held, oldest) = (found.held(), found.oldest().map(|time| time.to_string()));
        Ok(Reply::json(200, &PacketsAnswer { packets, held, oldest }))
    }
}

fn source_of(name: &str, sources: &[SourceStatus]) -> Result<SourceId, Reply> {
    let found = sources.iter().find(|source| source.capture.name == name);
    found.map(|source| source.source).ok_or_else(|| {
        let there: Vec<_> = sources.iter().map(|source| source.capture.name.as_str()).collect();
        Reply::problem(400, &format!("nothing is captured on this interface, only on: {}", there.join(", ")))
    })
}

fn bad_filter(error: &CaptureError) -> Reply {
    Reply::problem(400, &error.to_string())
}

/// The newest that match, as they are told of.
fn picked(found: &Snapshot, wanted: &PacketQuery) -> Result<Vec<PacketView>, CaptureError> {
    let mut filter = wanted.filter.as_deref().map(LinkFilter::new);
    let mut packets = Vec::new();
    for frame in found.frames() {
        if packets.len() == wanted.limit {
            break;
        }
        let matches = match &mut filter {
            Some(filter) => filter.matches(&frame)?,
            None => true,
        };
        if matches {
            packets.push(PacketView::new(&frame, wanted.bytes));
        }
    }
    Ok(packets)
}

/// An expression, compiled for the link type of the packet before.
struct LinkFilter<'a> {
    text: &'a str,
    compiled: Option<(Link, Filter)>,
}

impl<'a> LinkFilter<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, compiled: None }
    }

    fn matches(&mut self, frame: &Frame<'_>) -> Result<bool, CaptureError> {
        let fitting = self.compiled.take().filter(|(link, _)| *link == frame.link);
        let (_, filter) = match fitting {
            Some(fitting) => self.compiled.insert(fitting),
            None => self.compiled.insert((frame.link, Filter::new(self.text, frame.link)?)),
        };
        Ok(filter.matches(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asks_at_a_time() {
        let packets = Packets::default();
        let turn = packets.take().unwrap();
        assert!(packets.take().is_none());
        drop(turn);
        assert!(packets.take().is_some());
    }
}
