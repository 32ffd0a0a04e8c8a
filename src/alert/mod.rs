//! From evidence to what people are told: [`Alert`], its kinds, severities and reasons.

mod kind;
mod record;

pub use kind::{Kind, Severity};
pub use record::{Alert, AlertId, BadAlertId, Event, Party, Peer, Protocol, Reason};
