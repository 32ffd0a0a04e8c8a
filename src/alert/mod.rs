//! From evidence to what people are told: [`Incidents`] give an [`Alert`] for each telling.

mod expected;
mod explain;
mod feedback;
mod incident;
mod record;
mod severity;

pub use expected::{Expected, Rule};
pub use feedback::{Acknowledgement, Feedback, Judgement, Mark, Marking, Note, NoteTooLong};
pub use incident::{Incidents, Provenance, Tally};
pub use record::{Alert, AlertId, BadAlertId, Event};
pub use severity::Severity;

use crate::time::Span;

/// Settings of incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of this tap in every alert.
    pub tap: String,
    /// Incidents open at once; at the limit the one that has been quiet longest is cleared early.
    pub open_capacity: usize,
    /// Silence after which an incident is cleared.
    pub quiet: Span,
    /// Least time between two updates of one incident.
    pub update_interval: Span,
}

impl Default for Config {
    /// 256 incidents, cleared after ten minutes, updated at most each five.
    fn default() -> Self {
        Self {
            tap: "tap".to_owned(),
            open_capacity: 256,
            quiet: Span::from_secs(600),
            update_interval: Span::from_secs(300),
        }
    }
}
