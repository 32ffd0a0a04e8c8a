//! Named detectors over digests, flow events and the baseline's sets, one file each. Every finding is [`Evidence`].

mod evidence;
mod kind;

pub use evidence::{Evidence, Party, Peer, Protocol, Reason};
pub use kind::{Kind, UnknownWord};
